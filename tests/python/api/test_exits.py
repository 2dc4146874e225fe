"""A program that used the package ends with exit code 0, on every Python there is.

Many short processes at once, because what goes wrong at the end of an interpreter goes wrong in a
few of a hundred. EDULEARN_EXITS says how many on each Python (20); `make exits` runs 500.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

import edulearn_migrate
from conftest import OURS, TIMEOUT
from harness import Client

PROGRAMS = Path(__file__).with_name("short_programs.py")
KINDS = (
    "status",
    "apply",
    "followed",
    "drop_in",
    "cancelled",
    "timed_out",
    "left_to_the_loop",
    "thrown_away",
    "in_a_daemon",
    "stuck",
)
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
# More than the cores there are, so that threads have to wait for each other.
AT_ONCE = 3 * (os.cpu_count() or 2)


@cache
def interpreters() -> dict[str, str]:
    """The Pythons of this machine by version: on the PATH, and those that pyenv has."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *map(str, pyenv.glob("*/bin"))]
    found = {"{}.{}".format(*sys.version_info[:2]): sys.executable}
    for version in VERSIONS:
        for folder in folders:
            python = Path(folder, f"python{version}")
            # A shim of pyenv is there for versions that are not chosen, too.
            if version not in found and os.access(python, os.X_OK) and works(python):
                found[version] = str(python)
    return found


def works(python: Path) -> bool:
    asked = [str(python), "-c", "import sys, asyncio; print(sys.implementation.name)"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return said.returncode == 0 and said.stdout.strip() == "cpython"


@pytest.mark.parametrize("version", VERSIONS)
def test_short_programs_end_with_0(
    version: str, client: Client, server_uri: str, database_name: str, tmp_path: Path
) -> None:
    python = interpreters().get(version)
    if python is None:
        pytest.skip(f"there is no CPython {version} on this machine")
    count = int(os.environ.get("EDULEARN_EXITS", "20"))
    seed = random.Random(f"{os.environ['EDULEARN_SEED']} {version}").randrange(10**6)
    operations = [
        {"type": "create_collection", "collection": f"made_{number}"} for number in range(3)
    ]
    (tmp_path / "migration_1_made.json").write_text(
        json.dumps({"name": "made", "up": {"operations": operations}})
    )
    kept = {name: value for name, value in os.environ.items() if not OURS.fullmatch(name)}
    # The one extension module serves them all; nothing else is needed.
    environment = {**kept, "PYTHONPATH": str(Path(edulearn_migrate.__file__).parents[1])}

    def run(number: int) -> str | None:
        """What was wrong with it, or None."""
        kind = KINDS[number % len(KINDS)]
        # A few programs share each database: some find it migrated, some find the lock held.
        database = f"{database_name}_{number // (2 * len(KINDS))}"
        done = subprocess.run(
            [python, str(PROGRAMS), kind, server_uri, database, str(tmp_path), f"{seed + number}"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode == 0 and not re.search("Fatal|Traceback|panicked", done.stderr):
            return None
        return f"{kind}, seed {seed + number}: exit code {done.returncode}\n{done.stderr[-2000:]}"

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            wrong = [said for said in pool.map(run, range(count)) if said is not None]
    finally:
        for name in client.list_database_names():
            if name.startswith(f"{database_name}_"):
                client.drop_database(name)
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:5])
