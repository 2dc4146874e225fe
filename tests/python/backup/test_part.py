"""Backups and restores of a part, without indexes, and restores that are given up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from conftest import login
from edulearn_migrate import AsyncMigrator, Migrator, SettingsError
from faults.message_proxy import at_command
from harness import Documents, finish

if TYPE_CHECKING:
    from conftest import Cli, Result
    from edulearn_migrate.local import LocalServer

NAMES = ("a", "b", "c")


def fill(db: Documents, state: str) -> None:
    """Three collections with an index that lets documents expire, a time-series and a view."""
    for name in NAMES:
        db[name].delete_many({})
        db[name].insert_one({"_id": 1, "state": state})
        db[name].create_index("at", name="ttl", expireAfterSeconds=86_400)
    if "t" not in db.list_collection_names():
        db.create_collection("t", timeseries={"timeField": "at"})
        db.create_collection("v", viewOn="a", pipeline=[])
    db["t"].insert_one({"at": datetime(2026, 1, 1, tzinfo=timezone.utc), "state": state})


def states(db: Documents) -> dict[str, Any]:
    return {name: db[name].find_one({}, {"_id": 0, "state": 1}) for name in NAMES}


@pytest.fixture
def migrator(server_uri: str, db: Documents, cli: Cli) -> Migrator:
    fill(db, "old")
    return Migrator(server_uri, db.name, backup_dir=cli.directory / "backups")


def test_a_backup_without_some_is_not_full(cli: Cli, db: Documents, migrator: Migrator) -> None:
    full = migrator.backup().name
    made = cli("backup", "--exclude", "b,none")
    assert made.code == 0, made.stdout
    assert "  Excluded: b, none" in made.lines
    assert '"none" is excluded and does not exist' in made.stdout
    name = made.lines[1].removeprefix("✓ Database backup created: ")
    manifest = json.loads((cli.directory / "backups" / name / "manifest.json").read_text())
    assert manifest["scope"] == {"except": ["b", "none"]}
    assert {each["name"] for each in manifest["collections"]} == {"a", "c", "t", "v"}
    listed = {each.name: each.full for each in migrator.list_backups().backups}
    assert listed == {full: True, name: False}
    # Restoring it touches nothing that it left out, and drops what was not there.
    fill(db, "new")
    db["extra"].insert_one({"_id": 1})
    report = migrator.restore(name, safety_backup=False)
    assert states(db) == {"a": {"state": "old"}, "b": {"state": "new"}, "c": {"state": "old"}}
    assert report.dropped == ("extra",)
    assert any("made without b, none" in note for note in report.notes)
    # `latest` is the full one.
    assert migrator.restore("latest", safety_backup=False).name == full
    assert states(db)["b"] == {"state": "old"}


def test_a_restore_leaves_what_it_is_to_leave(cli: Cli, db: Documents, migrator: Migrator) -> None:
    name = migrator.backup().name
    fill(db, "new")
    db["extra"].insert_one({"_id": 1})
    done = cli("restore", name, "--exclude", "b,extra,t")
    assert done.code == 0, done.stdout
    assert "  Left as it is: b" in done.lines
    assert states(db) == {"a": {"state": "old"}, "b": {"state": "new"}, "c": {"state": "old"}}
    assert db["extra"].count_documents({}) == 1
    assert db["t"].count_documents({}) == 2
    # What is not touched is not in the safety backup.
    [safety] = [each for each in migrator.list_backups().backups if each.kind == "safety"]
    assert safety.collections == 3
    misspelt = cli("restore", name, "--exclude", "bb")
    assert (misspelt.code, "is to stay as it is" in misspelt.stdout) == (2, True)
    both = cli("restore", name, "--exclude", "b", "--collections", "a")
    assert both.code == 2


def test_a_restore_without_indexes(cli: Cli, db: Documents, migrator: Migrator) -> None:
    name = migrator.backup().name
    done = cli("restore", name, "--no-indexes")
    assert done.code == 0, done.stdout
    assert "3 indexes were not built" in done.stdout
    assert [set(db[each].index_information()) for each in NAMES] == [{"_id_"}] * 3
    assert migrator.restore(name, safety_backup=False).indexes == 3


def test_from_python(server_uri: str, db: Documents, migrator: Migrator, cli: Cli) -> None:
    report = migrator.backup(exclude=["b"])
    assert report.excluded == ("b",)
    with pytest.raises(SettingsError, match="not both"):
        migrator.backup(exclude=["b"], collections=["a"])
    with pytest.raises(TypeError):
        migrator.restore(report.name, exclude="b")
    fill(db, "new")

    async def asynchronously() -> None:
        other = AsyncMigrator(server_uri, db.name, backup_dir=cli.directory / "backups")
        assert (await other.backup(exclude=["a"])).excluded == ("a",)
        await other.restore(report.name, exclude=["c"], no_indexes=True, safety_backup=False)
        assert (await other.restore(abandon=True)).earlier == "none"

    asyncio.run(asynchronously())
    assert states(db) == {"a": {"state": "old"}, "b": {"state": "new"}, "c": {"state": "new"}}
    assert "ttl" not in db["a"].index_information()


def killed(
    cli: Cli, port: int, backup: str, command: str, collection: str | None = None, skip: int = 0
) -> None:
    """A restore that is killed before such a command arrives."""
    processes: list[Any] = []
    with at_command(port, command, collection, "cut", lambda: processes[0].kill(), skip) as proxy:
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        processes.append(cli.start("restore", backup, "--no-safety-backup", env={"MONGO_URI": uri}))
        code, stdout, stderr = finish(processes[0])
        assert proxy.struck, stdout + stderr
        assert code == -9


RENAME = "renameCollection"


def abandoned(cli: Cli) -> Result:
    done = cli("restore", "--abandon")
    assert done.code == 0, done.stdout + done.stderr
    assert cli("backup").code == 0  # nobody is locked out
    assert "No unfinished restore" in cli("restore", "--abandon").stdout
    return done


@pytest.mark.parametrize(
    ("command", "skip"),
    [
        ("createIndexes", 0),  # while it builds
        (RENAME, 0),  # the swap is committed, and nothing swapped
    ],
)
def test_given_up_before_anything_was_swapped(
    cli: Cli, db: Documents, client: Any, migrator: Migrator, command: str, skip: int
) -> None:
    name = migrator.backup().name
    fill(db, "new")
    before = sorted(db.list_collection_names())
    killed(cli, client.address[1], name, command, skip=skip)
    refused = cli("backup")
    assert "restore --abandon" in refused.stdout
    done = abandoned(cli)
    assert "it had replaced nothing" in done.stdout
    assert states(db) == {each: {"state": "new"} for each in NAMES}
    assert db["t"].count_documents({}) == 2
    after = set(db.list_collection_names()) - {"migrations_lock", "migrations_history"}
    assert sorted(after) == before


def test_given_up_in_the_middle(cli: Cli, db: Documents, client: Any, migrator: Migrator) -> None:
    name = migrator.backup().name
    fill(db, "new")
    killed(cli, client.address[1], name, RENAME, skip=1)
    done = abandoned(cli)
    assert "given up in the middle" in done.stdout
    assert "  Note: as in the backup: a" in done.lines
    assert "  Note: as before: b, c, t, v" in done.lines
    new = {"state": "new"}
    assert states(db) == {"a": {"state": "old"}, "b": new, "c": new}
    # What is in its place expires again.
    assert db["a"].index_information()["ttl"]["expireAfterSeconds"] == 86_400
    assert not [each for each in db.list_collection_names() if "migrations_restore" in each]


def test_given_up_while_a_time_series_is_filled(
    cli: Cli, db: Documents, client: Any, migrator: Migrator
) -> None:
    name = migrator.backup().name
    fill(db, "new")
    killed(cli, client.address[1], name, "insert", "system.buckets.t")
    done = abandoned(cli)
    [note] = [line for line in done.lines if "missing or not whole" in line]
    kept = note.split('"')[3]
    # What would be lost is kept.
    assert db[kept].count_documents({}) == 1
    assert states(db) == {each: {"state": "old"} for each in NAMES}
    restored = migrator.restore(name, safety_backup=False)
    assert kept in restored.left_alone
    assert db["t"].count_documents({}) == 1


@pytest.fixture
def school(guarded: LocalServer) -> Iterator[tuple[Any, str]]:
    """A database of the server that wants a login, and its user's connection string."""
    with pymongo.MongoClient[dict[str, Any]](login(guarded, "teacher", "s3cr3t!")) as root:
        db = root["part"]
        fill(db, "old")
        db.command("createUser", "user", pwd="pw", roles=["readWrite", "dbAdmin"])
        only = ["find", "insert", "update", "remove", "listCollections", "listIndexes", "collStats"]
        resource = {"db": "part", "collection": ""}
        privileges = [{"resource": resource, "actions": only}]
        db.command("createRole", "writer", privileges=privileges, roles=[])
        uri = f"mongodb://user:pw@127.0.0.1:{guarded.port}/part?authSource=part"
        yield db, uri
        db.command("dropUser", "user")
        db.command("dropRole", "writer")
        root.drop_database("part")


@pytest.mark.parametrize(("command", "skip"), [("createIndexes", 1), (RENAME, 0), (RENAME, 1)])
def test_a_user_who_loses_rights_in_the_middle_is_not_locked_out(
    cli: Cli, guarded: LocalServer, school: tuple[Any, str], command: str, skip: int
) -> None:
    db, uri = school
    db["t"].drop()  # its buckets need rights that such a user never has
    env = {"MONGO_URI": uri, "DB_NAME": "part"}
    made = cli("backup", env=env)
    assert made.code == 0, made.stdout
    name = made.lines[1].removeprefix("✓ Database backup created: ")
    for each in NAMES:
        db[each].update_one({}, {"$set": {"state": "new"}})

    def lose() -> None:
        db.command("updateUser", "user", roles=["writer"])

    with at_command(guarded.port, command, None, "forward", lose, skip) as proxy:
        through = env | {"MONGO_URI": uri.replace(str(guarded.port), str(proxy.port))}
        failed = cli("restore", name, "--no-safety-backup", env=through)
        assert proxy.struck
    assert failed.code == 1, failed.stdout
    if command == RENAME:
        assert "`restore --abandon` gives it up" in failed.stdout
        assert cli("restore", "--abandon", env=env).code == 0
    assert cli("restore", "--finish", env=env).lines[-1] == "No unfinished restore"
    done = cli("backup", env=env)
    assert done.code == 0, done.stdout
    expected = ["old" if number < skip and command == RENAME else "new" for number in range(3)]
    assert [db[each].find_one()["state"] for each in NAMES] == expected
