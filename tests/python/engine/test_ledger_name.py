"""`--ledger NAME`: where our collections are, and the history's move to a name of its own."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from bson import Int64

from edulearn_migrate import Migrator, SettingsError

if TYPE_CHECKING:
    from pymongo.database import Database

    from conftest import Cli, Migrations

DROP = {"type": "drop_collection", "collection": "old"}
FILL = {
    "type": "update_documents",
    "collection": "users",
    "filter": {},
    "update": {"$inc": {"n": 1}},
}


def _names(db: Database[dict[str, Any]]) -> set[str]:
    return set(db.list_collection_names())


def test_every_collection_of_ours_has_the_ledgers_name(
    cli: Cli, db: Database[dict[str, Any]], migrations: Migrations
) -> None:
    db["users"].insert_many([{"_id": n, "n": 0} for n in range(5)])
    db["old"].insert_one({"_id": 1})
    before = _names(db)
    migrations.write(1, up=[FILL, DROP], down=[])
    assert cli("apply", "--ledger", "audit.steps").code == 0
    made = _names(db) - before
    assert made and all(name.startswith("audit.steps") for name in made)
    assert {"audit.steps", "audit.steps_history", "audit.steps_lock", "audit.steps_undo"} <= made
    assert any(name.startswith("audit.steps_kept_") for name in made)
    # The default ledger knows nothing of it; an environment variable names it as well.
    assert "  Applied: 0" in cli("status").lines
    env = {"EDULEARN_LEDGER": "audit.steps"}
    status = cli("status", env=env)
    assert "  Applied: 1" in status.lines
    [retained] = json.loads(cli("undrop", "--json", env=env).stdout)["dropped"]
    assert retained["collection"] == "old"
    assert cli("rollback", "--exact", env=env).code == 0
    assert [each["n"] for each in db["users"].find()] == [0] * 5 and db[
        "old"
    ].find_one() is not None
    assert cli("purge", env=env).code == 0
    left = {name for name in _names(db) if name.startswith("audit")}
    assert left == {"audit.steps", "audit.steps_history", "audit.steps_lock", "audit.steps_undo"}


def test_a_backup_and_a_restore_know_the_ledgers_name(
    cli: Cli, db: Database[dict[str, Any]], migrations: Migrations
) -> None:
    env = {"EDULEARN_LEDGER": "audit"}
    db["users"].insert_one({"_id": 1, "n": 0})
    migrations.write(1, up=[FILL], down=[])
    assert cli("apply", env=env).code == 0
    assert cli("backup", env=env).code == 0
    migrations.write(2, up=[FILL], down=[])
    assert cli("apply", env=env).code == 0
    assert db["audit_history"].count_documents({"event": "applied"}) == 2
    assert cli("restore", "latest", env=env).code == 0
    assert db["audit"].count_documents({"status": "applied"}) == 1
    assert db["audit_history"].count_documents({"event": "applied"}) == 2
    assert db["users"].find_one() == {"_id": 1, "n": 1}
    assert not any(name.startswith("migrations") for name in _names(db))


@pytest.mark.parametrize("name", ["a$b", "a b", "9a", "system.x", "audit_lock", "n" * 101])
def test_what_cannot_be_a_ledgers_name(cli: Cli, server_uri: str, name: str) -> None:
    refused = cli("status", "--ledger", name)
    assert refused.code == 2
    assert "--ledger" in refused.stdout + refused.stderr
    with pytest.raises(SettingsError, match="cannot be the name of a ledger"):
        Migrator(server_uri, "x", ledger=name)


def test_the_history_moves_and_beanies_stays(
    cli: Cli, db: Database[dict[str, Any]], migrations: Migrations
) -> None:
    at = datetime(2025, 1, 1, tzinfo=timezone.utc)
    ours = [
        {"migration": f"migration_{n}", "event": "applied", "at": at, "host": "h", "version": "0.1"}
        for n in range(450)
    ]
    beanies = {"_id": "b", "ts": at, "name": "20250101_x.py", "is_current": True}
    db["migrations_log"].insert_many([*ours, beanies])
    # A move that was killed between its two writes, where there are no transactions.
    db["migrations_history"].insert_one(dict(ours[0]))
    assert cli("status").code == 0
    assert db["migrations_log"].count_documents({}) == 451
    migrations.write(1, up=[], down=[])
    assert cli("purge").code == 0
    assert list(db["migrations_log"].find()) == [beanies]
    moved = [each["_id"] for each in db["migrations_history"].find(sort=[("_id", 1)])]
    assert moved == [each["_id"] for each in ours]
    assert cli("purge").code == 0
    assert db["migrations_history"].count_documents({}) == 450


def test_a_restore_brings_beanies_history_back_and_keeps_ours(
    cli: Cli, db: Database[dict[str, Any]], migrations: Migrations
) -> None:
    beanies = {"_id": "b", "name": "20250101_x.py", "is_current": True}
    db["migrations_log"].insert_one(dict(beanies))
    migrations.write(1, up=[], down=[])
    assert cli("backup").code == 0
    db["migrations_log"].update_one({}, {"$set": {"is_current": False}})
    db["migrations_log"].insert_one({"_id": "c", "name": "20250102_y.py", "is_current": True})
    assert cli("apply").code == 0
    assert cli("restore", "latest").code == 0
    assert list(db["migrations_log"].find()) == [beanies]
    events = [each["event"] for each in db["migrations_history"].find(sort=[("at", 1)])]
    assert events == ["applied", "restored"]


@pytest.mark.parametrize(
    "operation",
    [
        {"type": "delete_documents", "collection": "audit", "filter": {}},
        {"type": "drop_collection", "collection": "audit_lock"},
        {"type": "create_collection", "collection": "audit_undo_x"},
        {"type": "rename_collection", "collection": "users", "to": "audit_history"},
    ],
    ids=lambda operation: operation["type"],
)
def test_a_script_does_not_write_to_the_ledger_in_use(
    cli: Cli, db: Database[dict[str, Any]], migrations: Migrations, operation: dict[str, Any]
) -> None:
    env = {"EDULEARN_LEDGER": "audit"}
    db["users"].insert_one({"_id": 1, "n": 0})

    def refused(*command: str) -> None:
        done = cli(*command, env=env)
        assert done.code != 0
        said = done.stdout + done.stderr
        assert f"operation 2 ({operation['type']}) is about the collection" in said
        assert 'in the ledger "audit" (--ledger)' in said

    migrations.write(1, up=[FILL, operation], down=[])
    for command in (["plan"], ["apply"], ["apply", "--dry-run"]):
        refused(*command)
    assert _names(db) == {"users"}
    assert db["users"].find_one() == {"_id": 1, "n": 0}
    migrations.write(1, up=[FILL], down=[FILL, operation])
    assert cli("apply", env=env).code == 0
    before = list(db["audit"].find())
    for command in (["rollback"], ["rollback", "--dry-run"]):
        refused(*command)
    assert list(db["audit"].find()) == before
    assert db["users"].find_one() == {"_id": 1, "n": 1}
    # It undoes what was done, and runs no script.
    assert cli("rollback", "--exact", env=env).code == 0


def test_another_tools_documents_in_the_ledger_stay_as_they_are(
    cli: Cli, db: Database[dict[str, Any]]
) -> None:
    theirs = [
        {"_id": at, "name": "20250101_x.js", "status": status}
        for at, status in enumerate(("failed", "applying", "rolling_back"))
    ]
    db["migrations"].insert_many(theirs)
    db["migrations"].insert_one({"_id": "migration_1", "up_script": "{}", "status": "failed"})
    owner = {"run": "x", "host": "elsewhere", "pid": 1}
    soon = datetime.now(timezone.utc) + timedelta(hours=1)
    lock = {"_id": "lock", "token": Int64(4), "owner": owner, "expires_at": soon}
    db["migrations_lock"].insert_one(lock)
    broken = cli("unlock", "--force")
    assert broken.code == 0, broken.stdout + broken.stderr
    assert list(db["migrations"].find({"_id": {"$ne": "migration_1"}})) == theirs
    ours = db["migrations"].find_one({"_id": "migration_1"})
    assert ours is not None and ours["token"] == 5
