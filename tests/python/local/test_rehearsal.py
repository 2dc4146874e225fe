"""Rehearsals: what does not come back is named, production is not touched, no server is left."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import ObjectId, json_util

from conftest import ROOT, Cli, Migrations, login
from edulearn_migrate import (
    AsyncMigrator,
    BackupNotFoundError,
    Event,
    Migrator,
    RehearsalReport,
    SettingsError,
    StopToken,
    UnknownMigrationError,
    WrongStateError,
)
from edulearn_migrate.local import LocalServer, LocalServerError
from edulearn_migrate.rehearsal import data as rehearsed
from harness import Client, Documents, as_json, finish, record_of, until, update

STUDENTS = 300
WITHOUT = 2_700
LOSS = f"    users: field role: {STUDENTS} documents lost it"


@pytest.fixture
def school(db: Documents, legacy: Path) -> Documents:
    """Users of whom some are students already, which the third example's down script forgets."""
    db["users"].insert_many(
        {
            "_id": ObjectId(),
            "email": f"pupil{n}@school.example",
            **({"role": "student"} if n < STUDENTS else {}),
            "profile": {"batches": [n % 7]},
        }
        for n in range(STUDENTS + WITHOUT)
    )
    db["users"].create_index("email", unique=True)
    db["assessments"].insert_many(json_util.loads((legacy / "before_assessments.json").read_text()))
    return db


@pytest.fixture
def published(cli: Cli) -> Cli:
    shutil.copytree(ROOT / "migrations", cli.directory / "migrations")
    return cli


@pytest.fixture
def corrected(published: Cli) -> Cli:
    """The examples with a third one whose down script knows whom it gave a role."""
    [file] = (ROOT / "tests" / "fixtures" / "corrected").iterdir()
    shutil.copy(file, published.directory / "migrations")
    return published


@pytest.fixture
def migrator(server_uri: str, database_name: str, cli: Cli) -> Migrator:
    scripts = cli.directory / "migrations"
    scripts.mkdir(exist_ok=True)
    backups = cli.directory / "backups"
    return Migrator(server_uri, database_name, migrations_dir=scripts, backup_dir=backups)


@pytest.fixture
def untouched(client: Client, db: Documents) -> Iterator[None]:
    """Fails the test where it has written to the database or set anything at its server."""
    before = production(client, db)
    [last] = client["local"]["oplog.rs"].find().sort("$natural", -1).limit(1)
    yield
    assert production(client, db) == before
    written = {"ts": {"$gt": last["ts"]}, "op": {"$ne": "n"}, "ns": {"$not": {"$regex": "^config"}}}
    assert client["local"]["oplog.rs"].find_one(written) is None


def production(client: Client, db: Documents) -> list[Any]:
    """What a rehearsal must leave as it is."""
    parameters = client.admin.command({"getParameter": "*"})
    window = "minSnapshotHistoryWindowInSeconds"
    kept = {name: value for name, value in parameters.items() if name not in ("$clusterTime",)}
    for moving in ("operationTime", "logComponentVerbosity"):
        kept.pop(moving, None)
    assert window in kept
    return [
        db.command("dbHash")["collections"],
        list(db.list_collections()),
        sorted(client.list_database_names()),
        kept,
    ]


def test_the_loss_of_the_third_example_is_named(
    school: Documents, published: Cli, client: Client
) -> None:
    assert published("backup").code == 0
    before = production(client, school)
    result = published("rehearse")
    assert production(client, school) == before
    assert result.code == 1, result
    version = client.server_info()["version"]
    assert f"  Data of: MongoDB {version}" in result.lines
    assert f"  Private server: MongoDB {version}" in result.lines
    assert "✓ Everything came back: migration_001" in result.lines
    assert "✓ Everything came back: migration_002" in result.lines
    assert "✗ Not everything came back by the down script: migration_003" in result.lines
    assert LOSS in result.lines
    assert result.lines[-1] == "✗ Rehearsal failed: migration_003"
    students = {str(each["_id"]) for each in school["users"].find({"role": "student"})}
    examples = [line for line in result.lines if line.startswith("    users:   field role of")]
    assert len(examples) == 3
    for line in examples:
        assert json.loads(line.partition("_id ")[2].partition(": was")[0])["$oid"] in students
        assert line.endswith('was "student", is absent')
    # Nothing else was lost, and nothing at all by the exact rollback.
    table = [line.split() for line in result.lines if line.startswith("  migration_")]
    assert [(row[0], row[3], row[-2:]) for row in table] == [
        ("migration_001", "0", ["all", "back"]),
        ("migration_002", "0", ["all", "back"]),
        ("migration_003", f"{WITHOUT:,}", ["all", "back"]),
    ]


@pytest.mark.usefixtures("school")
def test_with_a_corrected_down_script_all_is_well(
    corrected: Cli, untouched: None, tmp_path: Path
) -> None:
    del untouched
    assert corrected("backup", "--backup-dir", str(tmp_path / "kept")).code == 0
    result = corrected("rehearse", "--backup-dir", str(tmp_path / "kept"), "--json")
    assert result.code == 0, result
    report = as_json(result.stdout)
    assert report["ok"] and report["passed"]
    assert [each["outcome"] for each in report["migrations"]] == ["came_back"] * 3
    assert report["migrations"][2]["documents"] == WITHOUT
    assert report["migrations"][2]["down"] == {
        **report["migrations"][2]["down"],
        "same": True,
        "collections": [],
    }
    assert not report["live"] and report["backup"].startswith("edulearn_backup_")
    # Typed, from Python.
    typed = RehearsalReport.from_dict(report)
    assert typed.migrations[2].down is not None and typed.migrations[2].down.same
    lines = corrected("rehearse", "--backup-dir", str(tmp_path / "kept")).lines
    assert lines[-1] == "✓ Rehearsal passed: 3 migrations"


def test_a_rename_there_and_back_comes_back_in_another_order(
    db: Documents, cli: Cli, migrations: Migrations, migrator: Migrator
) -> None:
    db["users"].insert_many({"_id": n, "role": "student", "name": f"pupil {n}"} for n in range(50))
    there = update("users", {}, {"$rename": {"role": "kind"}})
    back = update("users", {}, {"$rename": {"kind": "role"}})
    migrations.write(1, [there], [back], name="rename_role")
    assert cli("backup").code == 0
    result = cli("rehearse")
    assert result.code == 0, result
    assert "✓ Everything came back: migration_1" in result.lines
    remark = "users: 50 documents with the same fields in another order (as _id 0, 1, 2)"
    assert f"    after the down script: {remark}" in result.lines
    # The exact rollback is compared with what was before the down script reordered it.
    assert not any("after the exact rollback" in line for line in result.lines)
    strict = cli("rehearse", "--strict-order")
    assert strict.code == 1, strict
    assert "✗ Not everything came back by the down script: migration_1" in strict.lines
    assert f"    {remark}" in strict.lines
    assert migrator.rehearse().passed
    assert not migrator.rehearse(strict_order=True).passed


def test_on_the_live_database(school: Documents, published: Cli, untouched: None) -> None:
    del untouched
    result = published("rehearse", "--live", "--json")
    assert result.code == 1, result
    report = as_json(result.stdout)
    assert (report["live"], report["backup"]) == (True, None)
    assert report["documents"] == sum(
        school[name].estimated_document_count() for name in ("users", "assessments")
    )
    [field] = report["migrations"][2]["down"]["collections"][0]["documents"]["fields"]
    assert (field["field"], field["documents"], field["lost"]) == ("role", STUDENTS, STUDENTS)
    assert not (published.directory / "backups").exists()


def test_read_rights_are_enough(published: Cli, guarded: LocalServer) -> None:
    with pymongo.MongoClient[Any](login(guarded, "teacher", "s3cr3t!")) as client:
        school = client["rehearsed"]
        school["users"].insert_many([{"role": "student"}, {"role": "teacher"}, {}])
        role = {"role": "read", "db": "rehearsed"}
        client["admin"].command("createUser", "rehearser", pwd="r34d", roles=[role])
    reader = {"MONGO_URI": login(guarded, "rehearser", "r34d"), "DB_NAME": "rehearsed"}
    result = published("rehearse", "--live", "migration_003", env=reader)
    assert result.code == 1
    assert "    users: field role: 1 document lost it" in result.lines
    assert "r34d" not in result.stdout + result.stderr


def test_an_empty_database(published: Cli, client: Client, database_name: str) -> None:
    """Its indexes make a collection, which their down script leaves there."""
    result = published("rehearse", "--live")
    assert result.code == 1
    assert "    assessments: a collection that was not there, with 0 documents" in result.lines
    assert result.lines[-1] == "✗ Rehearsal failed: migration_002"
    assert database_name not in client.list_database_names()


def test_one_migration_and_one_backup(
    school: Documents, published: Cli, migrator: Migrator
) -> None:
    first = migrator.backup().name
    migrator.apply("migration_003")
    migrator.backup()
    # On the newest backup it is applied already.
    refused = published("rehearse", "migration_003")
    assert refused.code == 1
    assert "is applied in the data" in refused.stdout
    result = published("rehearse", "update_document_schema", "--backup", first)
    assert result.code == 1
    assert LOSS in result.lines
    assert not any("migration_001" in line for line in result.lines)
    # What is pending there still is rehearsed.
    report = migrator.rehearse()
    assert report.passed
    assert [each.id for each in report.migrations] == ["migration_001", "migration_002"]
    migrator.apply()
    migrator.backup()
    assert "No pending migrations to rehearse" in published("rehearse").lines
    assert record_of(school, "migration_003")["status"] == "applied"


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.usefixtures("school")
def test_where_nothing_is_pending_nothing_is_read(
    published: Cli, migrator: Migrator, live: bool
) -> None:
    """By the ledger alone: no server is started, and only the ledger of the backup is whole."""
    migrator.apply()
    backup = Path(migrator.backup().path)
    (backup / "migrations.bson.zst").rename(published.directory / "ledger")
    for each in backup.glob("*.bson.zst"):
        each.unlink()
    (published.directory / "ledger").rename(backup / "migrations.bson.zst")
    result = published(
        "rehearse", "--json", *(["--live"] if live else []), env={"EDULEARN_MONGOD": "/nowhere"}
    )
    assert result.code == 0, result
    report = json.loads(result.stdout)
    assert report["passed"] and report["migrations"] == []
    assert (report["documents"], report["private_version"]) == (0, None)
    # Only the ledger says so: a damaged one is told.
    if not live:
        (backup / "migrations.bson.zst").write_bytes(b"no zstd")
        assert published("rehearse").code == 1


def test_without_a_backup_it_says_what_to_do(published: Cli, migrator: Migrator) -> None:
    result = published("rehearse")
    assert result.code == 1
    line = result.error
    assert line.startswith("✗ Error: There is no full backup of ")
    assert "`backup`" in line and "--live" in line
    named = published("rehearse", "--backup", "edulearn_backup_20200101_000000")
    assert named.code == 1
    assert named.lines[0] == "✗ Backup not found: edulearn_backup_20200101_000000"
    with pytest.raises(BackupNotFoundError) as caught:
        migrator.rehearse()
    assert caught.value.newest == []
    # It takes no server to say so.
    absent = published("rehearse", env={"MONGO_URI": "mongodb://127.0.0.1:9/"})
    assert absent.lines == result.lines


def test_a_damaged_newest_backup_is_not_passed_over(
    school: Documents, published: Cli, migrator: Migrator
) -> None:
    del school
    migrator.backup()
    newest = Path(migrator.backup().path) / "manifest.json"
    newest.write_text(newest.read_text() + " ")
    result = published("rehearse")
    assert result.code == 1
    assert "manifest.json" in result.stdout and "checksum" in result.stdout


def test_a_backup_is_enough(school: Documents, published: Cli, migrator: Migrator) -> None:
    """The server that the backup is of need not be reached."""
    del school
    migrator.backup()
    result = published("rehearse", "migration_001", env={"MONGO_URI": "mongodb://127.0.0.1:9/"})
    assert result.code == 0, result


def test_wrong_arguments(published: Cli, migrator: Migrator, db: Documents) -> None:
    assert published("rehearse", "--live", "--backup", "x").code == 2
    with pytest.raises(SettingsError, match="backup or on the live"):
        migrator.rehearse(live=True, backup="x")
    db["users"].insert_one({})
    with pytest.raises(UnknownMigrationError, match="migration_9"):
        migrator.rehearse("migration_9", live=True)


def test_another_major_version_is_refused(
    school: Documents, corrected: Cli, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    del school
    path = Path(migrator.backup().path) / "manifest.json"
    as_if_of(path, "7.0.4")
    refused = corrected("rehearse")
    assert refused.code == 1
    line = refused.error
    assert "MongoDB 7.0.4" in line and "MongoDB 6." in line and "--any-version" in line
    with pytest.raises(WrongStateError, match="any_version"):
        migrator.rehearse()
    result = corrected("rehearse", "--any-version")
    assert result.code == 0, result
    assert "  Data of: MongoDB 7.0.4" in result.lines
    # Of what is live it is asked before anything is read.
    monkeypatch.setattr(rehearsed, "_series", lambda version: (version, object()))
    with pytest.raises(WrongStateError, match="another major version"):
        migrator.rehearse(live=True)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("6.0.5", "6.0.21", True),
        ("6.0.5", "7.0.0", False),
        ("8.0.1", "8.2.0", True),
        ("4.4.9", "4.2.1", False),
    ],
)
def test_major_versions(one: str, other: str, same: bool) -> None:
    assert rehearsed.same_series(one, other) is same


def as_if_of(manifest: Path, version: str) -> None:
    """Makes a backup say that it is of another version of the server, checksum included."""
    opening, checksum, rest = manifest.read_text().split("\n", 2)
    rest = re.sub('("server_version": )"[^"]*"', rf'\1"{version}"', rest)
    digest = hashlib.sha256(f"\n{rest}".encode()).hexdigest()
    checksum = re.sub("[0-9a-f]{64}", digest, checksum)
    manifest.write_text(f"{opening}\n{checksum}\n{rest}")


def step(kind: str, collection: str, **rest: Any) -> dict[str, Any]:
    return {"type": kind, "collection": collection, **rest}


def test_what_fails_is_told_and_what_comes_after_is_not_rehearsed(
    school: Documents, migrations: Migrations, cli: Cli
) -> None:
    school["users"].update_many({}, {"$set": {"n": 1}})
    migrations.write(
        1,
        [
            step("update_documents", "users", filter={}, update={"$inc": {"n": 1}}),
            step("create_index", "users", index=[["n", 1]], options={"unique": True}),
        ],
        [],
    )
    migrations.write(2, [step("create_collection", "x", options={})], [])
    result = cli("rehearse", "--live")
    assert result.code == 1
    assert "✗ Failed to rehearse migration: migration_1 (apply)" in result.lines
    assert "✗ Not rehearsed, after one that could not be applied: migration_2" in result.lines
    assert result.lines[-1] == "✗ Rehearsal failed: migration_1, migration_2"
    # Half of it was done there, and came back.
    assert not any("Not everything came back" in line for line in result.lines), result
    assert any("duplicate key" in line for line in result.lines)


def test_later_migrations_are_rehearsed_on_what_earlier_ones_made(
    school: Documents, migrations: Migrations, migrator: Migrator
) -> None:
    """Each is compared with what was before it, whatever the earlier ones lost."""
    lossy = step("delete_documents", "users", filter={"role": "student"})
    migrations.write(1, [lossy], [])
    migrations.write(2, [step("drop_collection", "assessments")], [])
    migrations.write(3, [step("rename_collection", "users", to="people")], [])
    migrations.write(
        4,
        [step("update_documents", "people", filter={}, update={"$set": {"seen": True}})],
        [step("update_documents", "people", filter={}, update={"$unset": {"seen": ""}})],
    )
    school.create_collection("capped", capped=True, size=4096)
    report = migrator.rehearse(live=True)
    told = [
        (each.id, each.outcome, each.exact is not None and each.exact.same)
        for each in report.migrations
    ]
    assert told == [
        ("migration_1", "lost", True),
        ("migration_2", "lost", True),
        ("migration_3", "lost", True),
        ("migration_4", "came_back", True),
    ]
    downs = [each.down for each in report.migrations]
    assert downs[0] is not None
    [users] = downs[0].collections
    assert (users.documents.missing, len(users.documents.missing_examples)) == (STUDENTS, 3)
    assert downs[1] is not None
    assert [(each.collection, each.standing) for each in downs[1].collections] == [
        ("assessments", "missing")
    ]
    assert downs[2] is not None
    assert [(each.collection, each.standing) for each in downs[2].collections] == [
        ("people", "added"),
        ("users", "missing"),
    ]


def test_what_is_not_captured_cannot_come_back_exactly(
    school: Documents, migrations: Migrations, migrator: Migrator
) -> None:
    del school
    up = step("update_documents", "users", filter={}, update={"$set": {"x": 1}}, capture=False)
    migrations.write(1, [up], [step("delete_documents", "users", filter={"x": 2})])
    migrations.write(
        2, [step("create_collection", "x", options={})], [step("drop_collection", "x")]
    )
    report = migrator.rehearse(live=True)
    first, second = report.migrations
    assert first.outcome == "failed"
    assert [failure.step for failure in first.failures] == ["exact rollback"]
    # The next one begins where the first had led all the same.
    assert second.outcome == "came_back" and second.down is not None


async def test_for_asyncio(school: Documents, corrected: Cli, migrator: Migrator) -> None:
    del school
    aio = AsyncMigrator(
        migrator_uri(corrected), migrator.database_name, migrations_dir=migrator.migrations_dir
    )
    kinds: list[str] = []
    report = await aio.rehearse(live=True, progress=lambda event: kinds.append(event.kind))
    assert report.passed and len(report.migrations) == 3
    assert {"rehearsal_step", "migration_applied", "migration_rolled_back"} <= set(kinds)
    task = asyncio.ensure_future(aio.rehearse(live=True))
    await asyncio.to_thread(until, lambda: mongods(os.getpid()), "a server runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mongods(os.getpid()) == {}


def migrator_uri(cli: Cli) -> str:
    return cli.environment()["MONGO_URI"]


def mongods(program: int) -> dict[int, Path]:
    """The rehearsals' servers that a program has started: process ids, and their directories."""
    found = {}
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        plan = next((part for part in command if part.startswith(b'{"command"')), None)
        if plan is not None:
            told = json.loads(plan)
            directory = Path(told["remove"] or "/nowhere")
            if told["program"] == program and (directory / "rehearsal").exists():
                found[int(process.name)] = directory
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("number", "code"),
    [(None, 1), (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
def test_no_server_is_left(
    school: Documents, published: Cli, number: signal.Signals | None, code: int
) -> None:
    del school
    process = published.start("rehearse", "--live")
    until(lambda: mongods(process.pid), "its server runs")
    [(supervisor, directory)] = mongods(process.pid).items()
    [mongod] = children(supervisor)
    if number is not None:
        process.send_signal(number)
    ended, stdout, _ = finish(process)
    assert ended == code, stdout
    if number in (signal.SIGINT, signal.SIGTERM):
        assert "✗ Error: " in stdout
    if number is not signal.SIGKILL:
        # Nobody has to wait for it.
        assert not directory.exists()
    until(lambda: not directory.exists(), "the directory is removed")
    until(lambda: not Path(f"/proc/{mongod}").exists(), "mongod is gone")
    until(lambda: not Path(f"/proc/{supervisor}").exists(), "its supervisor is gone")


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(each) for each in text.split()]


def test_no_mongod_to_run(
    school: Documents, published: Cli, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    del school
    result = published("rehearse", "--live", env={"EDULEARN_MONGOD": "/nowhere/mongod"})
    assert result.code == 1
    assert "/nowhere/mongod, which is not a program that can be run" in result.lines[0]
    monkeypatch.setenv("EDULEARN_MONGOD", "/nowhere/mongod")
    with pytest.raises(LocalServerError):
        migrator.rehearse(live=True)
    monkeypatch.delenv("EDULEARN_MONGOD")
    stop = StopToken()
    stop.set()
    with pytest.raises(Exception, match="Stopped"):
        migrator.rehearse(live=True, stop=stop)


def test_what_has_expired_stays(school: Documents, corrected: Cli, migrator: Migrator) -> None:
    """An old backup's documents must not go while they are compared."""
    del school, corrected
    seen: list[Any] = []

    def look(event: Event) -> None:
        if event.kind == "rehearsal_step" and not seen:
            [supervisor] = mongods(os.getpid())
            [mongod] = children(supervisor)
            command = Path(f"/proc/{mongod}/cmdline").read_text().split("\0")
            port = int(command[command.index("--port") + 1])
            with pymongo.MongoClient[Any](port=port, directConnection=True) as client:
                told = client.admin.command({"getParameter": 1, "ttlMonitorEnabled": 1})
                seen.append(told["ttlMonitorEnabled"])

    assert migrator.rehearse("migration_001", live=True, progress=look).passed
    assert seen == [False]


def test_a_half_applied_migration_is_finished_first(
    school: Documents, migrations: Migrations, migrator: Migrator
) -> None:
    migrations.write(1, [step("create_collection", "users", options={"capped": True, "size": 1})])
    with pytest.raises(Exception, match="exists already"):
        migrator.apply()
    assert record_of(school, "migration_1")["status"] == "failed"
    with pytest.raises(WrongStateError, match="Finish it first"):
        migrator.rehearse(live=True)
