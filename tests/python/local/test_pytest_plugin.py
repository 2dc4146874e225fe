"""The pytest plugin, as a team's own suite uses it: in a process and a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import OURS, ROOT, TIMEOUT
from edulearn_migrate import RoundTrip
from edulearn_migrate.pytest_plugin import TestDatabase
from edulearn_migrate.testing import assert_round_trip as round_trip
from harness import Client

SUITE = ROOT / "tests" / "fixtures" / "sample_suite"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SUITE, tmp_path / "suite"))


def run(suite: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest there, without any setting of ours."""
    kept = {name: value for name, value in os.environ.items() if not OURS.fullmatch(name)}
    # Nor one of the pytest that runs this test.
    kept = {name: value for name, value in kept.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments],
        cwd=suite,
        env={**kept, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )


def test_a_faulty_down_script_is_found_and_a_good_one_passes(
    suite: Path, server_uri: str, client: Client
) -> None:
    done = run(suite, "-rA", "-q", EDULEARN_TEST_URI=server_uri)
    assert done.returncode == 1, done.stdout
    assert "3 passed" in done.stdout and "1 failed" in done.stdout
    assert "FAILED test_migrations.py::test_a_faulty_down_script" in done.stdout
    told = [line[2:].strip() for line in done.stdout.splitlines() if line.startswith("E  ")]
    assert told[0] == ("AssertionError: migration_002 does not come back from its round trip.")
    assert [re.sub(r" \(.*", "", line) for line in told[1:]] == [
        "After the down script, compared with before:",
        "users: the index email_1 is missing",
        "users: field old: 1 document lost it",
        "users:   field old of _id 1: was [1], is absent",
        "users: field settings: 2 documents had none before",
        "users:   field settings of _id 2: was absent, is {}",
        "users:   field settings of _id 3: was absent, is {}",
        "users: field settings.theme: 1 document lost it",
        'users:   field settings.theme of _id 1: was "dark", is absent',
    ]
    # The message, and nothing of how it was found out.
    assert "edulearn_migrate/testing.py" not in done.stdout
    # Every database is gone, the copies too.
    [line] = [line for line in done.stdout.splitlines() if line.startswith("DATABASE")]
    _, name, uri = line.split()
    assert uri == server_uri
    left = client.list_database_names()
    assert name not in left
    assert not [each for each in left if "_down_script_" in each or each.endswith("_was")]


def test_a_server_of_its_own_for_the_session(suite: Path) -> None:
    done = run(suite, "-q", "-s", "-k", "database or good")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert re.search(r"DATABASE t_test_a_database_of_its_own_\w{8} mongodb://127", done.stdout)


def test_no_mongod_is_said_in_a_sentence(suite: Path) -> None:
    done = run(suite, "-q", "-k", "good", EDULEARN_MONGOD="/nowhere/mongod")
    assert done.returncode == 1
    assert "No server to test on: EDULEARN_MONGOD names /nowhere/mongod" in done.stdout
    assert "Traceback" not in done.stdout and "local/server.py" not in done.stdout


def test_a_suite_that_uses_none_of_it_pays_nothing(tmp_path: Path) -> None:
    test = """
import sys
def test_it():
    loaded = {name for name in sys.modules if name.startswith(("edulearn_migrate", "pymongo"))}
    plugin = {"pytest_plugin", "testing", "testing.async_database"}
    assert loaded <= {"edulearn_migrate", *map("edulearn_migrate.{}".format, plugin)}, loaded
"""
    (tmp_path / "test_it.py").write_text(test)
    done = run(tmp_path, "-q")
    assert done.returncode == 0, done.stdout


def test_here(assert_round_trip: Callable[..., RoundTrip], edulearn_database: TestDatabase) -> None:
    """The shipped examples on data that they do not harm, in this project's own suite."""
    edulearn_database.db["users"].insert_one({"_id": 1, "role": "teacher"})
    for path in sorted((ROOT / "migrations").iterdir()):
        if "performance" in path.name:
            edulearn_database.db["assessments"].insert_one({"_id": 1})
        trip = assert_round_trip(path)
        assert trip.outcome == "came_back"
    assert edulearn_database.db["users"].find_one() == {"_id": 1, "role": "teacher"}


def test_what_cannot_be_found(server_uri: str, database_name: str, tmp_path: Path) -> None:
    for migration, where in ((tmp_path / "none.json", None), ("migration_7", ROOT / "migrations")):
        with pytest.raises(FileNotFoundError, match="migration"):
            round_trip(migration, uri=server_uri, database=database_name, migrations_dir=where)


def test_every_file_of_a_directory(suite: Path, server_uri: str) -> None:
    """The second needs the first, and its down script forgets something."""
    folder = suite / "own"
    folder.mkdir()
    for number, up, down in (
        (1, {"type": "create_collection", "collection": "a"}, "a"),
        (2, {"type": "create_index", "collection": "a", "index": "x"}, None),
    ):
        undo = [] if down is None else [{"type": "drop_collection", "collection": down}]
        text = json.dumps({"name": "n", "up": {"operations": [up]}, "down": {"operations": undo}})
        (folder / f"migration_{number}_n.json").write_text(text)
    (suite / "empty").mkdir()
    done = run(
        suite, "-rA", "-q", "--edulearn-migrations", "own", "empty", EDULEARN_TEST_URI=server_uri
    )
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "a: the index x_1 is added" in done.stdout or "x_1" in done.stdout
    assert "Traceback" not in done.stdout
    wrong = run(suite, "-q", "--edulearn-migrations", "empty", "empty")
    assert wrong.returncode == 4
    assert "empty holds no migration files" in wrong.stdout + wrong.stderr


def test_after_all(
    assert_round_trip: Callable[..., RoundTrip], edulearn_database: TestDatabase
) -> None:
    edulearn_database.db["assessments"].insert_one({"_id": 1})
    last = sorted((ROOT / "migrations").iterdir())[-1]
    assert assert_round_trip(last, after="all").outcome == "came_back"
    applied = edulearn_database.db["migrations"].find({"status": "applied"})
    assert {each["_id"] for each in applied} == {"migration_001", "migration_002"}


# What a team writes, whoever runs its event loops.
ASYNCHRONOUS = """
import pytest
from edulearn_migrate import AsyncMigrator

seen = []

async def is_open(database, kind):
    assert type(database).__name__ == kind
    await database["users"].insert_one({"_id": 1})
    assert (await AsyncMigrator(database).status()).pending == 0
    seen.append(database.client)

MARK

async def test_it(edulearn_async_database, edulearn_database):
    await is_open(edulearn_async_database, "KIND")
    assert edulearn_async_database.name == edulearn_database.name
    assert edulearn_database.db["users"].find_one() == {"_id": 1}
    print("DATABASE", edulearn_database.name)
"""
AND_THEN = """
from test_it import seen

def test_that_it_is_closed():
    [client] = seen
    # Motor's wraps PyMongo's.
    assert vars(client).get("delegate", client)._closed
"""
BY_ANYIO = """
pytestmark = pytest.mark.anyio
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
NO_NEW_PYMONGO = """
import pymongo
del pymongo.AsyncMongoClient
"""
# Nothing may be left open: not a socket, not a task, not a client.
STRICT = ("-W", "error", "-W", "ignore::pytest.PytestDeprecationWarning")


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("pytestmark = pytest.mark.asyncio", ("-o", "asyncio_mode=strict")),
        ("", ("-o", "asyncio_mode=auto")),
        # The loop outlives the test, and the fixture is in it.
        ("pytestmark = pytest.mark.asyncio(loop_scope='module')", ()),
        ("", ("-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session")),
        (BY_ANYIO, ()),
        (BY_ANYIO, ("-p", "no:asyncio")),
        (NO_NEW_PYMONGO, ("-o", "asyncio_mode=auto")),
    ],
)
def test_an_asynchronous_database(
    tmp_path: Path, server_uri: str, client: Client, mark: str, options: tuple[str, ...]
) -> None:
    kind = "AsyncIOMotorDatabase" if NO_NEW_PYMONGO in mark else "AsyncDatabase"
    test = ASYNCHRONOUS.replace("MARK", mark).replace("KIND", kind)
    (tmp_path / "test_it.py").write_text(test)
    (tmp_path / "test_then.py").write_text(AND_THEN)
    done = run(tmp_path, "-q", "-s", *STRICT, *options, EDULEARN_TEST_URI=server_uri)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    name = re.search(r"DATABASE (\w+)", done.stdout)
    assert name is not None
    assert name[1] not in client.list_database_names()


@pytest.mark.parametrize(
    ("mark", "options", "said"),
    [
        ("", ("-p", "no:asyncio", "-p", "no:anyio"), "install pytest-asyncio"),
        (BY_ANYIO.replace('"asyncio"', '("trio", {})'), (), "PyMongo needs asyncio"),
    ],
)
def test_no_loop_for_the_asynchronous_database_is_said_in_a_sentence(
    tmp_path: Path, server_uri: str, mark: str, options: tuple[str, ...], said: str
) -> None:
    test = ASYNCHRONOUS.replace("MARK", mark)
    (tmp_path / "test_it.py").write_text(test)
    done = run(tmp_path, "-q", "-k", "test_it", *options, EDULEARN_TEST_URI=server_uri)
    assert done.returncode == 1, done.stdout
    assert f"edulearn_async_database cannot be opened: {said}" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_plugin_needs_no_runner_of_loops(tmp_path: Path) -> None:
    (tmp_path / "pytest_asyncio.py").write_text("raise ImportError('none here')")
    test = "from edulearn_migrate.testing import async_database\n\ndef test_it():\n    assert "
    (tmp_path / "test_it.py").write_text(test + "async_database._asyncio is None\n")
    environment = {"PYTHONPATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = run(tmp_path, "-q", "-p", "edulearn_migrate.pytest_plugin", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
