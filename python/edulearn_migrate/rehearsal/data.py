"""What a rehearsal is on: a backup, or the live database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edulearn_migrate import _native

if TYPE_CHECKING:
    import os

LATEST = ("latest", "latest_backup_name")


@dataclass(frozen=True)
class Data:
    """Where the private server's data comes from: the backup of a name, or `live`."""

    live: bool
    backup: str | None
    size: int | None
    version: str | None
    created_at: datetime


def of_backup(directory: str | os.PathLike[str], database: str, name: str | None) -> Data:
    """The backup of that name, else the newest full one. No server is asked.

    Raises `BackupNotFoundError`.
    """
    stored = _native.stored_backups(directory)
    found = stored["backups"]
    if name is None or name in LATEST:
        full = [
            each
            for each in found
            if each["full"] and each["kind"] == "manual" and each["database"] == database
        ]
        if not full:
            raise _missing(
                f"There is no full backup of {database} in {Path(directory).absolute()} to rehearse"
                f" on. Make one with `backup`, name another directory with --backup-dir, or"
                f" rehearse on the live database with --live (in Python: live=True)."
                f"{''.join(f' {problem}' for problem in stored['problems'])}",
                "latest",
                directory,
                found,
            )
        # Said again when it is restored: a newer one that is damaged must not be passed over.
        chosen, name = full[0], LATEST[0]
    else:
        named = [each for each in found if each["name"] == name]
        if not named:
            raise _missing(
                f"There is no backup {name!r} in {Path(directory).absolute()}."
                f" A rehearsal needs one that `backup` wrote: `backups list` shows them.",
                name,
                directory,
                found,
            )
        chosen = named[0]
    return Data(False, name, chosen["bytes"], chosen["server_version"], chosen["created_at"])


def of_live(engine: _native.Engine, stop: _native.StopToken | None) -> Data:
    """The live database of that engine."""
    size = int(engine.status(stop=stop).run()["retained"]["data_bytes"])
    version = _native.server_version(engine, stop=stop)
    return Data(True, None, size, version, datetime.now(timezone.utc))


def _missing(
    text: str, name: str, directory: str | os.PathLike[str], found: list[dict[str, Any]]
) -> _native.BackupNotFoundError:
    error = _native.BackupNotFoundError(text)
    error.report = None
    error.name = name
    error.looked_in = [str(Path(directory).absolute())]
    error.newest = [each["name"] for each in found[:5]]
    return error


def same_series(one: str, other: str) -> bool:
    """Whether two versions of MongoDB are of one major version.

    The first number since 5.0; before, the first two, as in 4.4.
    """
    return _series(one) == _series(other)


def _series(version: str) -> tuple[str, ...]:
    parts = version.split(".")
    before_five = parts[0].isdigit() and int(parts[0]) < 5
    return tuple(parts[: 2 if before_five else 1])
