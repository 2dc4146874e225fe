"""`backup`, `restore` and `backups` as their users meet them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pymongo import MongoClient

import edulearn_migrate
from conftest import Cli
from edulearn_migrate import (
    AsyncMigrator,
    BackupError,
    BackupNotFoundError,
    Event,
    LockHeldError,
    Migrator,
    OtherDatabaseError,
    SettingsError,
    WrongStateError,
)
from harness import Client, Documents, as_json, delete, names_in, write_migration
from oddities import hashes
from proxy import proxy_to

NAME = re.compile(r"edulearn_backup_\d{8}_\d{6}")


@pytest.fixture
def migrator(server_uri: str, database_name: str, cli: Cli) -> Migrator:
    return Migrator(server_uri, database_name, backup_dir=cli.directory / "backups")


def fill(db: Documents) -> None:
    db["users"].insert_many([{"_id": at} for at in range(30)])
    db["users"].create_index("email", name="email")
    db["batches"].insert_one({"_id": 1})


def test_the_documented_lines(db: Documents, cli: Cli) -> None:
    fill(db)
    made = cli("backup")
    assert made.code == 0, made.stdout
    first = next(line for line in made.lines if line.startswith("✓"))
    name = first.removeprefix("✓ Database backup created: ")
    assert NAME.fullmatch(name)
    assert "  Collections backed up: 2" in made.lines
    path = cli.directory / "backups" / name
    assert f"  Path: {path}" in made.lines and path.is_dir()
    assert any(
        line.startswith("  Consistency: snapshot (all of cluster time ") for line in made.lines
    )
    before = hashes(db)
    db["users"].drop()
    restored = cli("restore", name)
    assert restored.code == 0, restored.stdout
    assert f"✓ Database restored from backup: {name}" in restored.lines
    assert "  Documents restored: 31" in restored.lines
    assert hashes(db) == before
    # Quietly, only the documented lines.
    quiet = cli("backup", "--quiet", "--collections", "users")
    assert [line.split(":")[0] for line in quiet.lines] == [
        "✓ Database backup created",
        "  Collections backed up",
        "  Path",
        "  Consistency",
    ]


def test_json(db: Documents, cli: Cli) -> None:
    fill(db)
    assert json.loads(cli("backups", "list", "--json").stdout) == []
    assert cli("backups", "list").lines == ["No backups"]
    made = as_json(cli("backup", "--json").stdout)
    assert made["ok"] and made["command"] == "backup" and NAME.fullmatch(made["name"])
    assert (made["collections"], made["documents"], made["kind"]) == (2, 31, "manual")
    done = as_json(cli("restore", "latest", "--json").stdout)
    assert done["ok"] and done["documents"] == 31 and done["earlier"] == "none"
    listed: list[dict[str, Any]] = json.loads(cli("backups", "list", "--json").stdout)
    assert [each["kind"] for each in listed] == ["safety", "manual"]
    wanted = {"name", "kind", "database", "created_at", "bytes", "documents", "consistency"}
    assert all(wanted <= each.keys() for each in listed)
    assert listed[1]["name"] == made["name"] and listed[1]["database"] == db.name
    verified = as_json(cli("backups", "verify", made["name"], "--json").stdout)
    assert verified["ok"] and verified["documents"] == 31
    newer = as_json(cli("backup", "--json").stdout)["name"]
    pruned = as_json(cli("backups", "prune", "--keep", "1", "--json").stdout)
    assert pruned["removed"] == [made["name"]]
    shutil.rmtree(cli.directory / "backups" / newer)
    missing = cli("restore", made["name"], "--json")
    error = as_json(missing.stdout)["error"]
    assert missing.code == 1 and error["type"] == "BackupNotFoundError"
    assert error["newest"] == [listed[0]["name"]]


def test_a_backup_that_is_not_there(db: Documents, cli: Cli) -> None:
    fill(db)
    for command in (("restore", "nothing"), ("backups", "verify", "nothing")):
        result = cli(*command)
        assert result.code == 1
        assert "✗ Backup not found: nothing" in result.lines
        assert f"Looked in {cli.directory / 'backups'}" in result.error
    names = [as_json(cli("backup", "--json").stdout)["name"] for _ in range(7)]
    assert len(set(names)) == 7
    result = cli("restore", "nothing")
    assert f"The newest there: {', '.join(reversed(names[2:]))}." in result.error
    # `latest` names the newest full one made by hand; so does the old guide's placeholder.
    cli("backup", "--collections", "users")
    for latest in ("latest", "latest_backup_name"):
        assert f"✓ Database restored from backup: {names[-1]}" in cli("restore", latest).lines


def test_the_latest_one_damaged_is_not_an_older_one(db: Documents, cli: Cli) -> None:
    fill(db)
    older, latest = (as_json(cli("backup", "--json").stdout)["name"] for _ in range(2))
    manifest = cli.directory / "backups" / latest / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    refused = cli("restore", "latest")
    assert refused.code == 1 and "cannot be trusted" in refused.stdout
    listed = cli("backups", "list")
    assert older in listed.stdout and latest not in listed.stdout and latest in listed.stderr
    assert cli("restore", older).code == 0


@pytest.mark.parametrize("name", ["../backups/x", "/etc", "..", ".", "a/b", "", ".hidden"])
def test_paths_are_no_names(cli: Cli, name: str) -> None:
    for command in (("restore", name), ("backups", "verify", name)):
        result = cli(*command)
        assert result.code == 2, result.stdout
        assert "cannot be the name of a backup" in result.stdout


def test_wrong_usage(cli: Cli) -> None:
    for arguments, words in [
        (("restore",), "Name one backup"),
        (("restore", "latest", "--finish"), "Name one backup"),
        (("restore", "latest", "--into", "admin"), "server's own database"),
        (("restore", "latest", "--into", "a/b"), "cannot be a database's name"),
        (("restore", "--from-mongodump", "nowhere"), "no such file or directory"),
        (("backup", "--collections", ","), "names no collection"),
        (("backup", "--collections", "nothing"), "has no collection nothing"),
        (("backup", "--consistency", "some"), "invalid choice"),
        (("backups",), "required"),
        (("backups", "prune"), "required"),
        (("backups", "prune", "--keep", "-1"), "not a whole number"),
    ]:
        result = cli(*arguments)
        assert result.code == 2, (arguments, result.stdout)
        assert words in result.stdout, (arguments, result.stdout)


def test_another_databases_backup(db: Documents, cli: Cli, client: Client) -> None:
    fill(db)
    made = as_json(cli("backup", "--json").stdout)["name"]
    other = client[f"{db.name[:50]}_other"]
    other["stands"].insert_one({"_id": 1})
    try:
        refused = cli("restore", made, "--db", other.name)
        assert refused.code == 5, refused.stdout
        assert "--allow-different-db" in refused.stdout
        assert other.list_collection_names() == ["stands"]
        assert cli("restore", "latest", "--db", other.name).code == 1
        assert cli("restore", made, "--db", other.name, "--allow-different-db").code == 0
        assert hashes(other) == hashes(db)
    finally:
        client.drop_database(other.name)


def test_scopes(db: Documents, cli: Cli) -> None:
    fill(db)
    name = as_json(cli("backup", "--json").stdout)["name"]
    before = hashes(db)
    db["users"].delete_many({})
    db["batches"].delete_many({})
    db["extra"].insert_one({"_id": 1})
    one = cli("restore", name, "--collections", "users")
    assert one.code == 0, one.stdout
    assert db["users"].count_documents({}) == 30 and db["batches"].count_documents({}) == 0
    assert cli("restore", name, "--collections", "users,userz").code == 2
    assert cli("restore", name, "--keep-extra", "--no-safety-backup").code == 0
    assert db["extra"].count_documents({}) == 1 and db["batches"].count_documents({}) == 1
    last = cli("restore", name)
    assert "  Dropped, the backup lacks it: extra" in last.lines
    assert hashes(db) == before
    # The safety backup of a part is one of that part: it knows that "extra" was there, and only it.
    kinds = [each["kind"] for each in json.loads(cli("backups", "list", "--json").stdout)]
    assert kinds == ["safety", "safety", "manual"]


def test_prune_keeps_what_is_needed(db: Documents, cli: Cli) -> None:
    fill(db)
    names = [as_json(cli("backup", "--json").stdout)["name"] for _ in range(4)]
    db["migrations"].insert_one({"_id": "migration_1", "status": "applied", "backup": names[0]})
    other = db.client[f"{db.name}_other"]
    other["c"].insert_one({"_id": 1})
    foreign = as_json(cli("backup", "--json", "--db", other.name).stdout)["name"]
    db.client.drop_database(other.name)
    assert cli("restore", names[3]).code == 0
    db["migrations"].insert_one({"_id": "migration_1", "status": "applied", "backup": names[0]})
    result = cli("backups", "prune", "--keep", "2")
    assert result.code == 0, result.stdout
    assert f"✓ Removed backup: {names[1]}" in result.lines
    assert f"  Kept, a record needs it: {names[0]}" in result.lines
    left = {each["name"] for each in json.loads(cli("backups", "list", "--json").stdout)}
    assert {names[0], *names[2:], foreign} < left and names[1] not in left
    assert len(left) == 5  # and the safety backup
    again = cli("backups", "prune", "--keep", "2")
    assert "No backups to remove" in again.lines
    assert cli("restore", names[3]).code == 0
    assert "✓ Removed backup: " in cli("backups", "prune", "--keep", "1", "--kind", "safety").stdout


def test_without_a_server(db: Documents, cli: Cli) -> None:
    fill(db)
    name = as_json(cli("backup", "--json").stdout)["name"]
    down = {"MONGO_URI": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"}
    for arguments in (("backup",), ("restore", name), ("backups", "prune", "--keep", "1")):
        result = cli(*arguments, env=down)
        assert result.code == 1 and "Cannot use MongoDB at 127.0.0.1:1" in result.stdout
    assert names_in(cli.directory / "backups") == {name}
    # What is in the directory can be listed and verified all the same.
    listed = cli("backups", "list", env=down)
    assert listed.code == 0 and name in listed.stdout and "Cannot use MongoDB" in listed.stderr
    assert cli("backups", "verify", name, env=down).code == 0


def test_backups_that_the_old_tool_left(db: Documents, cli: Cli, legacy: Path) -> None:
    text = (legacy / "backups.json").read_text()
    old = json_util.loads(text, json_options=json_util.JSONOptions(tz_aware=True))[0]
    # An old backup inside an old backup.
    inner = {key: value for key, value in old.items() if key != "collections"}
    db["backups"].insert_one(
        {**old, "collections": {**old["collections"], "backups": [{**inner, "collections": {}}]}}
    )
    db.create_collection("users", validator={"email": {"$type": "string"}})
    db["users"].create_index("email", unique=True, name="email")
    db["extra"].insert_one({"_id": 1})
    name = old["backup_name"]
    listed = json.loads(cli("backups", "list", "--json").stdout)
    assert [(each["name"], each["kind"]) for each in listed] == [(name, "old_tool")]
    assert cli("backups", "verify", name).code == 0
    result = cli("restore", name)
    assert result.code == 0, result.stdout
    for collection, documents in old["collections"].items():
        stands = list(db[collection].find().sort("$natural", 1))
        assert stands == documents, collection
    assert "extra" not in db.list_collection_names()
    assert "  Left as it is: backups" in result.lines
    assert db["backups"].count_documents({}) == 1
    # Options and indexes of live collections stay as they are.
    assert db["users"].index_information()["email"]["unique"]
    assert db["users"].options()["validator"] == {"email": {"$type": "string"}}


def test_a_document_that_cannot_be_restored_stops_it(db: Documents, cli: Cli) -> None:
    documents = [{"_id": 1, "x": 1}, {"_id": 2, "x": 1}]
    db["backups"].insert_one({"backup_name": "old", "collections": {"a": documents, "b": []}})
    db["a"].insert_one({"_id": "stands"})
    db["a"].create_index("x", unique=True)
    db["b"].insert_one({"_id": "stands"})
    before = hashes(db)
    result = cli("restore", "old")
    assert result.code == 1
    assert "E11000" in result.stdout and "as it was before" in result.stdout
    assert hashes(db) == before
    assert not [name for name in db.list_collection_names() if "migrations_restore" in name]


def test_one_restore_at_a_time(db: Documents, cli: Cli, migrator: Migrator) -> None:
    fill(db)
    name = migrator.backup().name
    # Whoever holds the lock keeps a restore out; a backup needs none.
    from datetime import datetime, timedelta, timezone

    expires = datetime.now(timezone.utc) + timedelta(seconds=60)
    owner = {"run": "r", "command": "apply", "host": "elsewhere", "pid": 1, "user": "u"}
    db["migrations_lock"].insert_one(
        {"_id": "lock", "token": 1, "owner": owner, "expires_at": expires, "retired": []}
    )
    before = hashes(db)
    with pytest.raises(LockHeldError):
        migrator.restore(name, lock_timeout=0)
    assert cli("restore", name, "--lock-timeout", "0").code == 4
    assert hashes(db) == before
    assert migrator.backup().documents == 31


def test_restored_documents_that_are_past_their_ttl_are_told(db: Documents, cli: Cli) -> None:
    now = datetime.now(timezone.utc)
    fresh = [{"at": now + timedelta(days=1)} for _ in range(3)]
    db["sessions"].insert_many([*({"at": now - timedelta(days=n)} for n in range(1, 41)), *fresh])
    db["sessions"].create_index("at", expireAfterSeconds=3_600)
    db["kept"].insert_one({"at": now - timedelta(days=1)})
    assert cli("backup").code == 0
    result = cli("restore", "latest")
    assert result.code == 0, result
    [documents] = [line for line in result.lines if line.startswith("  Documents restored: ")]
    # The server may have deleted them before the backup.
    expired = int(documents.split()[-1]) - len(fresh) - 1
    told = [line for line in result.lines if "past their TTL" in line]
    if expired:
        assert told == [
            f'  Note: {expired} documents of "sessions" are past their TTL: the server deletes them'
            " within about a minute"
        ]
    else:
        assert told == []


def test_an_unfinished_restore_is_told(db: Documents, migrator: Migrator) -> None:
    fill(db)
    db["migrations_restore"].insert_one({"_id": "restore", "phase": "building", "backup": "x"})
    with pytest.raises(WrongStateError, match="has not ended"):
        migrator.backup()
    unfinished = migrator.status().unfinished_restore
    assert unfinished is not None and unfinished.backup == "x"
    done = migrator.restore()
    assert done.earlier == "undone"
    assert migrator.restore().earlier == "none"
    assert migrator.backup().documents == 31


def test_no_migration_runs_over_an_unfinished_restore(db: Documents, cli: Cli) -> None:
    write_migration(cli.directory, 1, [delete("c", {})])
    db["c"].insert_one({"_id": 1})
    db["migrations_restore"].insert_one({"_id": "restore", "phase": "swapping", "backup": "x"})
    refused = cli("apply")
    assert refused.code == 1
    assert "run `restore` again" in refused.stdout
    assert db["c"].count_documents({}) == 1


def test_a_restore_that_begins_meanwhile_ends_the_backup(
    db: Documents, migrator: Migrator, cli: Cli
) -> None:
    """Killed half-way it would leave a catalog that stands still, and a mixture of two states."""
    # More than one reply: the first tells of progress, and the next is still to come.
    db["large"].insert_many([{"_id": at, "x": os.urandom(1_000)} for at in range(9_000)])
    begun = threading.Event()

    def watch(event: Event) -> None:
        if event.kind == "progress":
            begun.set()

    [(_, port)] = db.client.nodes
    assert port is not None
    with proxy_to(port) as proxy, ThreadPoolExecutor(1) as pool:
        proxy.rate = 2_000_000
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        slow = Migrator(uri, db.name, backup_dir=migrator.backup_dir)
        made = pool.submit(slow.backup, progress=watch)
        assert begun.wait(60)
        head = {"_id": "restore", "phase": "swapping", "backup": "x", "host": "h"}
        db["migrations_restore"].insert_one(head)
        proxy.rate = None
        with pytest.raises(WrongStateError, match="has not ended"):
            made.result()
    assert names_in(cli.directory / "backups") == set()


async def test_asynchronously(server_uri: str, db: Documents, tmp_path: Path) -> None:
    fill(db)
    events: list[Event] = []
    migrator = AsyncMigrator(server_uri, db.name, backup_dir=tmp_path)
    made = await migrator.backup(progress=events.append)
    assert (await migrator.verify_backup(made.name)).documents == 31
    assert [each.name for each in (await migrator.list_backups()).backups] == [made.name]
    db["users"].drop()
    done = await migrator.restore("latest", progress=events.append)
    assert done.documents == 31 and done.safety_backup is not None
    with pytest.raises(BackupNotFoundError) as caught:
        await migrator.restore("nothing")
    assert caught.value.name == "nothing" and caught.value.newest[-1] == made.name
    assert isinstance(caught.value, BackupError)
    with pytest.raises(SettingsError, match="remove all of them"):
        await migrator.prune_backups(0)
    newer = await migrator.backup()
    pruned = await migrator.prune_backups(1)
    assert (pruned.removed, pruned.kept) == ((made.name,), 1)
    assert newer.name in [each.name for each in (await migrator.list_backups()).backups]
    await asyncio.sleep(0)  # events arrive through the loop
    kinds = {event.kind for event in events}
    assert {"backup_started", "backup_finished", "restore_started", "restore_finished"} <= kinds
    progress = [event for event in events if event.kind == "progress"]
    assert progress and all(event.bytes is not None for event in progress)


async def test_a_cancelled_backup_leaves_nothing(
    server_uri: str, db: Documents, tmp_path: Path
) -> None:
    rows = [{"_id": at, "x": os.urandom(2_000)} for at in range(30_000)]
    db["large"].insert_many(rows)
    migrator = AsyncMigrator(server_uri, db.name, backup_dir=tmp_path)
    begun = asyncio.Event()

    def follow(event: Event) -> None:
        if event.kind == "progress":
            begun.set()

    task = asyncio.create_task(migrator.backup(progress=follow))
    await begun.wait()
    assert names_in(tmp_path) != set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names_in(tmp_path) == set()


def test_kinds_of_errors(
    db: Documents, migrator: Migrator, server_uri: str, tmp_path: Path
) -> None:
    fill(db)
    made = migrator.backup()
    other = Migrator(server_uri, f"{db.name}_", backup_dir=migrator.backup_dir)
    with pytest.raises(OtherDatabaseError):
        other.restore(made.name)
    with pytest.raises(SettingsError):
        migrator.backup(consistency="some")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        migrator.backup(collections="users")
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupError, match="Cannot"):
        Migrator(server_uri, db.name, backup_dir=tmp_path / "file").backup()
    assert edulearn_migrate.DiskFullError.__mro__[1] is BackupError


def test_copied_and_renamed(db: Documents, cli: Cli, migrator: Migrator) -> None:
    """A backup is its directory: it may be copied, moved and renamed."""
    fill(db)
    before = hashes(db)
    made = Path(migrator.backup().path)
    shutil.copytree(made, made.with_name("before the exam"))
    shutil.rmtree(made)
    db["users"].drop()
    result = cli("restore", "before the exam")
    assert result.code == 0, result.stdout
    assert hashes(db) == before


def test_the_restored_ledger_counts(db: Documents, cli: Cli, server_uri: str) -> None:
    """Migrations applied after the backup are pending again, and apply."""
    (cli.directory / "migrations").mkdir()
    text = (
        '{"name": "make", "up": {"operations": [{"type": "create_collection", "collection": "m"}]}}'
    )
    (cli.directory / "migrations" / "migration_1_make.json").write_text(text)
    fill(db)
    assert cli("backup").code == 0
    assert cli("apply").code == 0
    assert cli("restore", "latest").code == 0
    assert "  Pending: 1" in cli("status").lines
    assert "m" not in db.list_collection_names()
    assert cli("apply").code == 0
    with MongoClient[dict[str, Any]](server_uri) as client:
        log = client[db.name]["migrations_history"]
        assert [each["event"] for each in log.find().sort("at", 1)].count("restored") == 1
