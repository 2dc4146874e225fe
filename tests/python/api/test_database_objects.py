"""The Python classes, given the database objects an application already has.

Runs with the newest PyMongo and Motor, and with EDULEARN's own versions.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import json_util
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from conftest import TIMEOUT, Migrations, Operation, login
from edulearn_migrate import (
    AssessmentModelMigration,
    AsyncMigrator,
    Event,
    InterruptedRunError,
    LockHeldError,
    MigrateError,
    MigrationManager,
    Migrator,
    OperationFailedError,
    RunReport,
    ServerUnavailableError,
    SettingsError,
    StopToken,
    UnknownMigrationError,
)
from edulearn_migrate.local import LocalServer
from harness import operations_done, until

Db = Database[dict[str, Any]]
Open = Callable[[str, str], Any]

UP = {"operations": [{"type": "create_collection", "collection": "c"}]}
DOWN = {"operations": [{"type": "drop_collection", "collection": "c"}]}
SCRIPTS = json.dumps(UP), json.dumps(DOWN)
BAD = json.dumps({"operations": [{"type": "drop_index", "collection": "c", "index": "_id_"}]})
INCREMENT: Operation = {
    "type": "update_documents",
    "collection": "numbers",
    "filter": {},
    "update": {"$inc": {"n": 1}},
}
MANY = 60_000


def _motor(uri: str, name: str) -> Any:
    motor = pytest.importorskip("motor.motor_asyncio")
    return motor.AsyncIOMotorClient(uri)[name]


def _pymongo(uri: str, name: str) -> Any:
    return pymongo.MongoClient[dict[str, Any]](uri)[name]


def _pymongo_async(uri: str, name: str) -> Any:
    client = vars(pymongo).get("AsyncMongoClient")
    if client is None:
        pytest.skip("this PyMongo has no asynchronous client")
    return client(uri)[name]


OPENERS: dict[str, Open] = {
    "motor": _motor,
    "pymongo": _pymongo,
    "pymongo-async": _pymongo_async,
}


async def closed(database: Any) -> None:
    done = database.client.close()
    if isinstance(done, Awaitable):
        await done


@pytest.fixture(params=OPENERS)
async def database(
    request: pytest.FixtureRequest, server_uri: str, database_name: str
) -> AsyncIterator[Any]:
    """The test's database as each kind of object."""
    opened = OPENERS[request.param](server_uri, database_name)
    yield opened
    await closed(opened)


@pytest.fixture
def many(db: Db, migrations: Migrations) -> str:
    """A migration that takes many chunks."""
    padding = "x" * 200
    db["numbers"].insert_many(
        ({"_id": n, "n": 0, "padding": padding} for n in range(MANY)), ordered=False
    )
    return migrations.write(1, [INCREMENT], [])


# -- the drop-in class


async def test_the_old_methods(database: Any, db: Db) -> None:
    manager = MigrationManager(database)
    await manager.initialize()
    assert manager.db is database
    assert manager.migrations_collection.name == "migrations"
    assert manager.migration_history == []
    assert db.list_collection_names() == [], "nothing is created unasked"

    before = int(time.time())
    first = await manager.create_migration("first", *SCRIPTS, "the first one")
    second = await manager.create_migration("second", *SCRIPTS)
    numbers = [int(each.removeprefix("migration_")) for each in (first, second)]
    assert before <= numbers[0] < numbers[1] <= before + 60
    made = db["migrations"].find_one({"_id": first})
    assert made is not None
    fields = ("name", "description", "up_script", "down_script", "status")
    assert [made[each] for each in fields] == [
        "first",
        "the first one",
        *SCRIPTS,
        "pending",
    ]
    assert made["applied_at"] is made["rolled_back_at"] is None

    assert await manager.apply_migration(first) is True
    assert await manager.apply_migration(first) is True
    assert "c" in db.list_collection_names()
    assert await manager.rollback_migration(second) is False
    assert "is not applied" in str(manager.last_error)
    assert (await manager.rollback_migration(first), manager.last_error) == (True, None)
    assert await manager.apply_migration("migration_404") is False
    assert isinstance(manager.last_error, UnknownMigrationError)
    # rolled_back is not pending.
    assert await manager.apply_all_pending() == [second]
    assert await manager.apply_all_pending() == []
    await manager.initialize()
    assert [each["_id"] for each in manager.migration_history] == [first, second]
    assert await manager.rollback_all() == [second]
    assert await manager.rollback_all() == []


async def test_a_failure_answers_with_what_was_done(database: Any) -> None:
    manager = MigrationManager(database)
    good = await manager.create_migration("good", *SCRIPTS)
    bad = await manager.create_migration("bad", BAD, BAD)
    assert await manager.apply_all_pending() == [good]
    assert isinstance(manager.last_error, OperationFailedError)
    assert manager.last_error.migration_id == bad
    assert isinstance(manager.last_error.report, RunReport)
    assert await manager.apply_migration(bad) is False
    with pytest.raises(MigrateError, match="never run as code"):
        await manager.create_migration("python", "print('hello')", "print('bye')")


async def test_the_status_is_shaped_as_the_old_one(database: Any, db: Db, legacy: Path) -> None:
    db["migrations"].insert_many(json_util.loads((legacy / "migrations.json").read_text()))
    manager = MigrationManager(database)
    status = await manager.get_migration_status()
    expected = json.loads((legacy / "get_migration_status.json").read_text())
    assert list(status) == list(expected)
    # The recording has dates as text, as `str` writes a naive datetime.
    assert json.loads(json.dumps(status, default=str)) == expected
    applied_at = status["migrations"][2]["applied_at"]
    assert isinstance(applied_at, datetime)
    assert applied_at.tzinfo is None
    assert await manager.apply_all_pending() == ["migration_1795354849"]
    assert "never run as code" in str(manager.last_error)


async def test_with_a_directory_of_files(database: Any, migrations: Migrations, db: Db) -> None:
    one = migrations.write(1, UP["operations"], DOWN["operations"])
    assert await MigrationManager(database).apply_all_pending() == []
    manager = MigrationManager(database, migrations_dir=migrations.directory)
    status = await manager.get_migration_status()
    assert (status["total"], status["pending"]) == (1, 1)
    assert status["migrations"][0]["_id"] == one
    assert await manager.apply_all_pending() == [one]
    assert "c" in db.list_collection_names()
    status = await manager.get_migration_status()
    assert (status["total"], status["applied"]) == (1, 1)


async def test_from_a_connection_string(server_uri: str, database_name: str, db: Db) -> None:
    manager = MigrationManager(server_uri, database_name)
    one = await manager.create_migration("one", *SCRIPTS)
    assert await manager.apply_all_pending() == [one]
    assert db["migrations"].count_documents({"status": "applied"}) == 1
    with pytest.raises(SettingsError, match="names no database"):
        MigrationManager(server_uri)


@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_loop_per_test(server_uri: str, database_name: str, attempt: int) -> None:
    """The second test has another event loop than the first, in the same process."""
    manager = MigrationManager(OPENERS["motor"](server_uri, database_name))
    await asyncio.gather(*(manager.get_migration_status() for _ in range(5)))
    assert attempt
    await closed(manager.db)


def test_one_manager_in_several_loops(server_uri: str, database_name: str) -> None:
    manager = MigrationManager(server_uri, database_name)
    for _ in range(3):
        assert asyncio.run(manager.get_migration_status())["total"] == 0


async def test_the_assessment_class_reaches_the_same_database(
    database: Any, db: Db, tmp_path: Path
) -> None:
    db["teacher_assessments"].insert_one({"_id": 1, "topic": "x"})
    migration = AssessmentModelMigration(database, backup_dir=tmp_path)
    done = await migration.migrate_to_unified_model()
    assert done["teacher_assessments"]["migrated"] == 1
    assert done["validation"]["is_valid"] is True
    copy = db["assessments"].find_one({"original_id": "1"})
    assert copy is not None
    assert copy["subject"] == "x"
    undone = await migration.rollback_migration()
    assert undone["restore"]["restored_teacher"] == 1
    assert db["assessments"].find_one() is None


# -- which database, and how it is reached


async def test_never_another_database(
    database: Any, client: pymongo.MongoClient[dict[str, Any]], database_name: str
) -> None:
    before = {name: client[name].list_collection_names() for name in client.list_database_names()}
    manager = MigrationManager(database)
    await manager.create_migration("one", *SCRIPTS)
    await manager.apply_all_pending()
    after = {name: client[name].list_collection_names() for name in client.list_database_names()}
    ours = set(after.pop(database_name))
    assert ours == {"c", "migrations", "migrations_lock", "migrations_history", "migrations_undo"}
    ignored = {"config", "local", "admin"}
    assert {k: v for k, v in after.items() if k not in ignored} == {
        k: v for k, v in before.items() if k not in ignored
    }


@pytest.mark.parametrize("kind", OPENERS)
@pytest.mark.parametrize("name", ["admin", "local", "config"])
async def test_the_servers_own_databases_are_refused(server_uri: str, kind: str, name: str) -> None:
    opened = OPENERS[kind](server_uri, name)
    with pytest.raises(SettingsError, match=name):
        MigrationManager(opened)
    await closed(opened)


async def test_what_is_no_database_is_refused(database: Any) -> None:
    for wrong in (database.client, database["c"], None, 5, object()):
        with pytest.raises(SettingsError):
            Migrator(wrong)
    with pytest.raises(SettingsError, match="a database object has its own"):
        Migrator(database, "another")


@pytest.fixture(scope="module")
def keywords(guarded: LocalServer) -> dict[str, Any]:
    """The login of a user whose name and password need escaping, and who owns `school` only."""
    with pymongo.MongoClient[dict[str, Any]](login(guarded, "teacher", "s3cr3t%21")) as client:
        roles = [{"role": "dbOwner", "db": "school"}]
        client["people"].command("createUser", "ada@x", pwd="p@ss:/w%rd", roles=roles)
    return {"username": "ada@x", "password": "p@ss:/w%rd", "authSource": "people"}


@pytest.mark.parametrize("kind", OPENERS)
async def test_credentials_are_carried_over(
    guarded: LocalServer, keywords: dict[str, Any], kind: str
) -> None:
    opened = OPENERS[kind](guarded.uri, "school")
    client_class = type(opened.client)
    await closed(opened)
    client = client_class("127.0.0.1", guarded.port, **keywords)
    manager = MigrationManager(client["school"])
    one = await manager.create_migration("one", *SCRIPTS)
    assert await manager.apply_all_pending() == [one]
    assert await manager.rollback_all() == [one]
    await closed(client["school"])
    # Nobody else's rights are used, and no message shows the password.
    other = client_class("127.0.0.1", guarded.port, **{**keywords, "password": "p@ss:/wr0ng"})
    with pytest.raises(ServerUnavailableError) as refused:
        await MigrationManager(other["school"]).get_migration_status()
    assert "credentials" in str(refused.value)
    assert "wr0ng" not in str(refused.value)
    await closed(other["school"])


def test_a_user_may_write_this_database_only(
    guarded: LocalServer, keywords: dict[str, Any]
) -> None:
    client = pymongo.MongoClient[dict[str, Any]]("127.0.0.1", guarded.port, **keywords)
    with client, pytest.raises(ServerUnavailableError, match="read on another"):
        Migrator(client["another"]).register("one", *SCRIPTS)


def test_concerns_and_app_name_are_carried_over(
    server_uri: str, db: Db, database_name: str
) -> None:
    with pymongo.MongoClient[dict[str, Any]](server_uri, appName="edulearn-backend") as client:
        database = client.get_database(
            database_name,
            write_concern=WriteConcern(w="majority", wtimeout=7000),
            read_concern=ReadConcern("majority"),
        )
        migrator = Migrator(database)
        migrator.status()
        # The engine's own connections, not the client's: that one has not connected yet.
        found = db.client.admin.aggregate(
            [
                {"$currentOp": {"allUsers": True, "idleConnections": True}},
                {"$match": {"appName": "edulearn-backend"}},
            ]
        )
        drivers = {each["clientMetadata"]["driver"]["name"] for each in found}
        assert any("rust" in name for name in drivers), drivers


def test_an_option_that_cannot_be_honoured_raises(server_uri: str, database_name: str) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "server_selector": {"server_selector": list},
        "w=0": {"w": 0},
    }
    for named, options in wrong.items():
        client = pymongo.MongoClient[dict[str, Any]](server_uri, **options)
        with client, pytest.raises(SettingsError, match=named):
            Migrator(client[database_name])


def test_a_server_that_is_away(database_name: str) -> None:
    uri = "mongodb://teacher:s3cr3t@127.0.0.1:1/"
    with pymongo.MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=200) as client:
        started = time.monotonic()
        with pytest.raises(ServerUnavailableError) as away:
            Migrator(client[database_name]).status()
        assert time.monotonic() - started < 9, "the client's own limit, not ten seconds"
    assert "s3cr3t" not in str(away.value)
    assert "127.0.0.1:1" in str(away.value)


# -- Migrator and AsyncMigrator


def test_migrator(server_uri: str, migrations: Migrations, database_name: str, db: Db) -> None:
    one = migrations.write(1, UP["operations"], DOWN["operations"], description="makes c")
    migrator = Migrator(db, migrations_dir=migrations.directory)
    assert database_name in repr(migrator)
    status = migrator.status()
    assert (status.database, status.total, status.pending) == (database_name, 1, 1)
    assert (status.migrations[0].id, status.migrations[0].description) == (one, "makes c")
    report = migrator.apply()
    assert report.ids("applied") == [one]
    assert report.migrations[0].operations[0].type == "create_collection"
    assert migrator.apply(one).ids("already_applied") == [one]
    [record] = migrator.records()
    assert record["_id"] == one
    assert isinstance(record["applied_at"], datetime)
    assert migrator.rollback().ids("rolled_back") == [one]
    assert migrator.mark(one, "applied").before == "rolled_back"
    assert migrator.unlock().broken is False
    made = migrator.create("two")
    assert Path(made.path).is_file()
    assert Migrator(server_uri, database_name).status().total == 1
    with pytest.raises(SettingsError, match="migrations_dir"):
        Migrator(db).create("three")
    with pytest.raises(SettingsError, match="does not exist"):
        Migrator(db, migrations_dir=migrations.directory / "absent")
    with pytest.raises(SettingsError, match="applied, pending or rolled_back"):
        migrator.mark(one, "failed")  # type: ignore[arg-type]


async def test_async_migrator(database: Any, migrations: Migrations, db: Db) -> None:
    one = migrations.write(1, UP["operations"], DOWN["operations"])
    migrator = AsyncMigrator(database, migrations_dir=migrations.directory)
    assert (await migrator.status()).pending == 1
    assert (await migrator.apply()).ids("applied") == [one]
    assert [each["_id"] for each in await migrator.records()] == [one]
    assert (await migrator.rollback(one)).ids("rolled_back") == [one]
    assert (await migrator.mark(one, "pending")).after == "pending"
    two = await migrator.register("two", *SCRIPTS)
    assert (await migrator.apply(two)).ids("applied") == [two]
    assert (await migrator.unlock(force=True)).owner is None
    with pytest.raises(UnknownMigrationError):
        await migrator.apply("none")
    assert db["migrations"].count_documents({}) == 2


def test_exceptions_carry_the_report(migrator: Migrator, migrations: Migrations) -> None:
    migrations.write(1, UP["operations"])
    migrations.write(
        2, [{"type": "drop_collection", "collection": "x"}, *json.loads(BAD)["operations"]]
    )
    with pytest.raises(OperationFailedError) as failed:
        migrator.apply()
    report = failed.value.report
    assert isinstance(report, RunReport)
    assert (report.ids("applied"), report.ids("failed")) == (["migration_1"], ["migration_2"])
    assert [each.outcome for each in report.migrations[1].operations] == ["absent", "failed"]
    assert report.migrations[1].error == str(failed.value)
    assert isinstance(failed.value, MigrateError)
    with pytest.raises(UnknownMigrationError) as unknown:
        migrator.apply("none")
    assert unknown.value.report is None


def test_progress(migrator: Migrator, many: str) -> None:
    events: list[Event] = []
    migrator.apply(progress=events.append)
    kinds = [event.kind for event in events]
    for kind in ("migration_started", "operation_started", "operation_finished"):
        assert kinds.count(kind) == 1
    assert "migration_applied" in kinds
    progress = [event for event in events if event.kind == "progress"]
    done = [event.documents or 0 for event in progress]
    assert len(progress) > 1
    assert done == sorted(done)
    assert done[-1] == MANY
    last = progress[-1]
    assert (last.total, last.index, last.operations) == (MANY, 1, 1)
    assert all(event.migration == many for event in progress)
    assert len({event.run for event in events if event.run}) == 1
    assert all(event.at.tzinfo is not None for event in events)


async def test_progress_comes_in_the_loop(database: Any, migrations: Migrations, many: str) -> None:
    threads = set()
    migrator = AsyncMigrator(database, migrations_dir=migrations.directory)
    report = await migrator.apply(progress=lambda _: threads.add(threading.get_ident()))
    assert report.ids("applied") == [many]
    assert threads == {threading.get_ident()}


def test_a_progress_callback_that_raises(
    migrator: Migrator, migrations: Migrations, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: caught.append(each.exc_value))
    one = migrations.write(1, UP["operations"])

    def fails(_: Event) -> None:
        raise ValueError("a defect of the caller")

    assert migrator.apply(progress=fails).ids("applied") == [one]
    assert "c" in db.list_collection_names()
    assert caught
    assert {str(each) for each in caught} == {"a defect of the caller"}


def test_logging_goes_to_one_logger_only(
    migrator: Migrator,
    migrations: Migrations,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    one = migrations.write(1, UP["operations"])
    with caplog.at_level(logging.DEBUG):
        migrator.apply()
    names = {record.name for record in caplog.records if not record.name.startswith("pymongo")}
    assert names == {"edulearn_migrate"}
    applied = [record for record in caplog.records if "Applied migration_1" in record.getMessage()]
    assert [(each.levelname, vars(each)["migration"]) for each in applied] == [("INFO", one)]
    assert capfd.readouterr() == ("", "")


def test_the_gil_is_released(migrator: Migrator, many: str) -> None:
    ticks = 0
    running = threading.Event()
    finished = threading.Event()

    def count() -> None:
        nonlocal ticks
        running.set()
        while not finished.is_set():
            ticks += 1
            finished.wait(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    running.wait()
    started = time.monotonic()
    report = migrator.apply()
    took = time.monotonic() - started
    finished.set()
    thread.join()
    assert report.ids("applied") == [many]
    assert ticks > took * 50, f"{ticks} ticks of a millisecond in {took:.1f} s"


# -- stopping


def owner(db: Db) -> Any:
    return (db["migrations_lock"].find_one() or {}).get("owner")


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_task_stops_after_its_chunk(
    database: Any, migrations: Migrations, many: str, db: Db, times: int
) -> None:
    migrator = AsyncMigrator(database, migrations_dir=migrations.directory)
    chunk = asyncio.Event()

    def watch(event: Event) -> None:
        if event.kind == "progress":
            chunk.set()

    task = asyncio.create_task(migrator.apply(progress=watch))
    await chunk.wait()
    for _ in range(times):
        # Cancelling again does not hurry it.
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    done = db["numbers"].count_documents({"n": 1})
    assert 0 < done < MANY
    record = db["migrations"].find_one({"_id": many})
    assert record is not None
    assert record["status"] == "applying"
    assert operations_done(db, many, "modified") == done
    assert owner(db) is None, "the lock is released"
    report = await migrator.apply(lock_timeout=0)
    assert report.migrations[0].resumed
    assert db["numbers"].count_documents({"n": 1}) == MANY


async def test_a_timeout_of_asyncio(
    database: Any, db: Db, many: str, migrations: Migrations
) -> None:
    migrator = AsyncMigrator(database, migrations_dir=migrations.directory)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(migrator.apply(), 0.05)
    assert owner(db) is None
    assert (await migrator.apply(lock_timeout=0)).ids("applied") == [many]
    assert db["numbers"].count_documents({"n": 1}) == MANY


def test_a_stop_token_from_another_thread(migrator: Migrator, many: str, db: Db) -> None:
    stop = StopToken()

    def watch() -> None:
        until(lambda: db["numbers"].find_one({"n": 1}), "the first chunk")
        stop.set()

    thread = threading.Thread(target=watch)
    thread.start()
    with pytest.raises(InterruptedRunError, match="carry on") as stopped:
        migrator.apply(stop=stop)
    thread.join()
    assert stopped.value.report.ids("interrupted") == [many]
    assert owner(db) is None
    assert migrator.apply(lock_timeout=0).ids("applied") == [many]
    assert db["numbers"].count_documents({"n": 1}) == MANY


def test_ctrl_c_in_a_program(migrator: Migrator, many: str, db: Db) -> None:
    def watch() -> None:
        until(lambda: db["numbers"].find_one({"n": 1}), "the first chunk")
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=watch)
    thread.start()
    with pytest.raises(KeyboardInterrupt) as interrupted:
        migrator.apply()
    thread.join()
    assert isinstance(interrupted.value.__cause__, InterruptedRunError)
    assert owner(db) is None
    assert migrator.apply(lock_timeout=0).ids("applied") == [many]
    assert db["numbers"].count_documents({"n": 1}) == MANY


async def test_two_at_once(database: Any, migrations: Migrations, many: str, db: Db) -> None:
    first = AsyncMigrator(database, migrations_dir=migrations.directory)
    second = AsyncMigrator(database, migrations_dir=migrations.directory)
    chunk = asyncio.Event()
    running = asyncio.create_task(first.apply(progress=lambda event: _set(chunk, event)))
    await chunk.wait()
    with pytest.raises(LockHeldError) as held:
        await second.apply(lock_timeout=0)
    assert held.value.owner["pid"] == os.getpid()
    assert "Another run holds the lock" in str(held.value)
    assert (await second.status()).applying == 1
    assert (await running).ids("applied") == [many]
    assert db["numbers"].count_documents({"n": 1}) == MANY


def _set(chunk: asyncio.Event, event: Event) -> None:
    if event.kind == "progress":
        chunk.set()


# -- processes

FORK = """
import os, sys
from edulearn_migrate import Migrator
migrator = Migrator(sys.argv[1], sys.argv[2])
migrator.status()
sys.stdout.flush()
child = os.fork()
if not child:
    try:
        migrator.status()
    except RuntimeError as error:
        print(error, flush=True)
        os._exit(7)
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert migrator.status().total == 0
sys.exit(code)
"""


def test_use_after_a_fork(server_uri: str, database_name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, server_uri, database_name],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 7, done
    [line] = done.stdout.splitlines()
    assert "fork" in line
    assert line.endswith(".")
    assert done.stderr == ""


def test_fork_before_first_use(server_uri: str, database_name: str) -> None:
    program = FORK.replace("migrator.status()\nsys.stdout", "sys.stdout")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, server_uri, database_name],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done


def test_without_pymongo(server_uri: str, database_name: str, db: Db) -> None:
    db["migrations"].insert_one({"_id": "migration_1", "name": "x", "status": "pending"})
    program = (
        "import sys\n"
        "sys.modules['bson'] = sys.modules['pymongo'] = None\n"
        "from edulearn_migrate import Migrator\n"
        "print(Migrator(sys.argv[1], sys.argv[2]).records())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, server_uri, database_name],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done
    assert "'migration_1'" in done.stdout
