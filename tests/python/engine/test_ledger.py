"""The ledger: what the old tool left, what people do to it by hand, and what it records."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import json_util
from pymongo.database import Database

from conftest import Cli, Migrations, Operation
from edulearn_migrate import (
    InvalidMigrationError,
    MigrateError,
    Migrator,
    OperationFailedError,
    OutOfOrderError,
    ScriptChangedError,
    StopToken,
    UnknownMigrationError,
    WrongStateError,
    __version__,
)
from edulearn_migrate.events import Event
from harness import insert

Db = Database[dict[str, Any]]

# Of the old tool's ledger: two applied, one rolled back, one pending, one that is Python source.
AUDIT, METRICS, ANALYTICS, PREFERENCES, PYTHON = (
    f"migration_17953548{n}" for n in (45, 47, 48, 49, 50)
)


def update(change: dict[str, Any], *, collection: str = "c", **filter: Any) -> Operation:
    return {
        "type": "update_documents",
        "collection": collection,
        "filter": filter,
        "update": change,
    }


def create(collection: str) -> Operation:
    return {"type": "create_collection", "collection": collection}


def drop(collection: str) -> Operation:
    return {"type": "drop_collection", "collection": collection}


INCREMENT = update({"$inc": {"n": 1}})


def record(db: Db, migration: str) -> dict[str, Any]:
    found = db["migrations"].find_one({"_id": migration})
    assert found is not None
    return found


def statuses(db: Db) -> dict[Any, Any]:
    records = db["migrations"].find({"kind": {"$ne": "part"}})
    return {each["_id"]: each.get("status") for each in records}


def events(db: Db) -> list[tuple[str, str]]:
    log = db["migrations_history"].find(sort=[("at", 1), ("_id", 1)])
    return [(entry["migration"], entry["event"]) for entry in log]


def stop_after_first_chunk(migrator: Migrator, **options: Any) -> None:
    """Applies until the first chunk is committed, and stops there as Ctrl-C would."""
    stop = StopToken()

    def watch(event: Event) -> None:
        if event.kind == "progress":
            stop.set()

    with pytest.raises(MigrateError, match="Stopped on request"):
        migrator.apply(progress=watch, stop=stop, **options)


# -- taking over what the old tool left


@pytest.fixture
def old(db: Db, legacy: Path) -> Db:
    """The database as the old tool left it."""
    text = (legacy / "migrations.json").read_text()
    db["migrations"].insert_many(json_util.loads(text))
    for collection in ("audit_logs", "performance_metrics"):
        db.create_collection(collection)
        db[collection].insert_one({"_id": 1})
    return db


def test_status_of_an_old_ledger(cli: Cli, old: Db) -> None:
    before = sorted(old.list_collection_names()), list(old["migrations"].find(sort=[("_id", 1)]))
    result = cli("status")
    assert result.code == 0
    assert [line for line in result.lines if not line.startswith(("Target", "      "))] == [
        "Migration Status:",
        "  Total migrations: 5",
        "  Applied: 2",
        "  Pending: 2",
        "  Rolled back: 1",
        "",
        "Migration History:",
        "  ✓ 001_create_audit_logs - applied",
        "  ✓ 002_create_performance_metrics - applied",
        "  ✗ 003_add_user_analytics - rolled_back",
        "  ○ add_user_preferences - pending",
        "  ○ set_flag_in_python - pending",
    ]
    after = sorted(old.list_collection_names()), list(old["migrations"].find(sort=[("_id", 1)]))
    assert after == before


def test_applied_ones_of_an_old_ledger_roll_back(cli: Cli, old: Db) -> None:
    before = record(old, AUDIT)
    result = cli("rollback")
    assert result.code == 0, result
    lines = result.lines
    at = lines.index("✓ Rolled back 2 migrations:")
    assert lines[at + 1 : at + 3] == [f"  - {METRICS}", f"  - {AUDIT}"]
    assert not {"audit_logs", "performance_metrics"} & set(old.list_collection_names())
    after = record(old, AUDIT)
    assert after["status"] == "rolled_back"
    assert after["rolled_back_at"] > before["applied_at"]
    # What the old tool wrote stays as it wrote it.
    for field in ("name", "description", "up_script", "down_script", "created_at", "applied_at"):
        assert after[field] == before[field]


def test_pending_ones_of_an_old_ledger(cli: Cli, old: Db) -> None:
    result = cli("apply")
    assert result.code == 1
    at = result.lines.index("✓ Applied 1 migrations:")
    assert result.lines[at + 1] == f"  - {PREFERENCES}"
    assert f"✗ Failed to apply migration: {PYTHON}" in result.lines[at:]
    assert "user_preferences" in old.list_collection_names()
    error = result.error
    assert "never run as code" in error
    documented = (
        f'db.migrations.updateOne({{_id: "{PYTHON}"}}, {{$set: {{status: "rolled_back"}}}})'
    )
    assert documented in error
    assert "hello" not in result.stdout + result.stderr
    assert statuses(old)[PYTHON] == "pending"
    # The very line, and the run is through.
    old["migrations"].update_one({"_id": PYTHON}, {"$set": {"status": "rolled_back"}})
    result = cli("apply")
    assert result.code == 0
    assert "No pending migrations to apply" in result.lines
    assert "  ✗ set_flag_in_python - rolled_back" in cli("status").lines
    asked = cli("apply", PYTHON)
    assert asked.code == 1
    assert "never run as code" in asked.stdout


def test_files_come_before_an_old_ledgers_records(
    cli: Cli, migrations: Migrations, old: Db
) -> None:
    migrations.write(20990101000000, [create("later")], name="later")
    result = cli("apply")
    at = result.lines.index("✓ Applied 2 migrations:")
    assert result.lines[at + 1 : at + 3] == ["  - migration_20990101000000", f"  - {PREFERENCES}"]
    assert "later" in old.list_collection_names()


def test_the_scripts_of_an_old_ledger_do_what_they_say(cli: Cli, old: Db) -> None:
    assert cli("apply", ANALYTICS).code == 0
    [options] = [
        each["options"] for each in old.list_collections(filter={"name": "user_analytics"})
    ]
    assert options["validator"]["$jsonSchema"]["required"] == [
        "user_id",
        "event_type",
        "timestamp",
    ]
    index = old["user_analytics"].index_information()["user_event_timestamp_idx"]
    assert index["key"] == [("user_id", 1), ("event_type", 1), ("timestamp", -1)]
    assert record(old, ANALYTICS)["rolled_back_at"] is None


# -- by hand


def test_the_documented_recovery_of_a_half_applied_one(
    migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    db["c"].insert_many({"_id": n, "n": 0} for n in range(5000))
    one = migrations.write(1, [INCREMENT, create("d")], [drop("d")])
    stop_after_first_chunk(migrator)
    assert statuses(db) == {one: "applying"}
    db["migrations"].update_one({"_id": one}, {"$set": {"status": "rolled_back"}})
    [state] = migrator.status().migrations
    assert (state.status, state.error) == ("rolled_back", None)
    assert "carries on" not in (state.note or "")
    assert migrator.apply().migrations == ()
    with pytest.raises(WrongStateError, match="is not applied"):
        migrator.rollback(one)
    # Applied again it begins at the beginning, as a rolled back migration does.
    db["c"].update_many({}, {"$set": {"n": 0}})
    report = migrator.apply(one)
    assert (report.migrations[0].outcome, report.migrations[0].resumed) == ("applied", False)
    assert db["c"].count_documents({"n": 1}) == 5000
    assert "progress" not in record(db, one)


@pytest.mark.parametrize("state", ["applied", "pending", "rolled_back"])
def test_mark(migrator: Migrator, migrations: Migrations, db: Db, state: Any) -> None:
    one = migrations.write(1, [create("c")], [drop("c")])
    report = migrator.mark(one, state)
    assert (report.id, report.before, report.after) == (one, "pending", state)
    assert "c" not in db.list_collection_names()
    made = record(db, one)
    assert made["status"] == state
    assert (made["name"], json.loads(made["up_script"])) == (
        "step_1",
        {"operations": [create("c")]},
    )
    assert json.loads(made["down_script"]) == {"operations": [drop("c")]}
    [entry] = db["migrations_history"].find()
    assert (entry["event"], entry["migration"]) == ("marked", one)
    assert (entry["before"], entry["after"]) == ("pending", state)
    applied = {"applied": 0, "pending": 1, "rolled_back": 0}[state]
    assert len(migrator.apply().migrations) == applied
    assert migrator.apply(one).ids("applied", "already_applied") == [one]


def test_mark_takes_a_failed_one_off(migrator: Migrator, migrations: Migrations, db: Db) -> None:
    one = migrations.write(1, [insert("c", {"_id": 1}), insert("c", {"_id": 1})], [drop("c")])
    with pytest.raises(OperationFailedError):
        migrator.apply()
    assert migrator.mark(one, "applied").before == "failed"
    made = record(db, one)
    assert "progress" not in made
    assert "error" not in made
    assert made["applied_at"] is not None
    assert migrator.rollback().ids("rolled_back") == [one]
    with pytest.raises(UnknownMigrationError, match="migration_2"):
        migrator.mark("migration_2", "applied")


# -- order


def test_out_of_order(migrator: Migrator, migrations: Migrations, cli: Cli, db: Db) -> None:
    migrations.write(10, [create("ten")])
    migrator.apply()
    nine = migrations.write(9, [create("nine")])
    migrations.write(11, [create("eleven")])
    marks = {each.id: each.out_of_order for each in migrator.status().migrations}
    assert marks == {"migration_9": True, "migration_10": False, "migration_11": False}
    assert any("out of order" in line for line in cli("status").lines)
    with pytest.raises(OutOfOrderError, match="migration_9") as refused:
        migrator.apply(strict_order=True)
    assert "Nothing was done" in str(refused.value)
    assert "eleven" not in db.list_collection_names()
    result = cli("apply", "--strict-order")
    assert result.code == 1
    assert "--strict-order: migration_9" in result.stdout
    assert migrator.apply().ids("applied") == [nine, "migration_11"]
    assert migrator.apply(strict_order=True).migrations == ()


def test_the_order_is_that_of_the_numbers(
    migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    for number in ("010", "9", "20241217143022", "1"):
        migrations.write(number, [insert("c", {"_id": number})], [insert("back", {"_id": number})])
    applied = migrator.apply().ids("applied")
    assert applied == ["migration_1", "migration_9", "migration_010", "migration_20241217143022"]
    assert [each["_id"] for each in db["c"].find()] == ["1", "9", "010", "20241217143022"]
    # Back in reverse order of application, whatever the numbers say.
    migrations.write(2, [create("d")], [insert("back", {"_id": "2"})])
    migrator.apply()
    assert migrator.rollback().ids("rolled_back") == ["migration_2", *reversed(applied)]
    assert [each["_id"] for each in db["back"].find()] == ["2", "20241217143022", "010", "9", "1"]


# -- files that change


def test_an_applied_file_that_changed(
    cli: Cli, migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    one = migrations.write(1, [insert("c", {"_id": 1})], [drop("c")])
    migrator.apply()
    path = migrations.directory / "migration_1_step_1.json"
    # Another layout and another description are no change.
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "description": "better words"}, indent=4))
    assert not migrator.status().migrations[0].changed
    assert migrator.apply().migrations == ()

    migrations.write(1, [insert("c", {"_id": 2})], [drop("other")])
    migrations.write(2, [create("d")])
    [state, _] = migrator.status().migrations
    assert state.changed
    assert any("changed since it was applied" in line for line in cli("status").lines)
    for line in (["apply"], ["apply", "migration_2"], ["apply", "--json"]):
        result = cli(*line)
        assert result.code == 5
        assert "migration_1_step_1.json changed since migration_1 was applied" in result.stdout
        assert "Nothing was done" in result.stdout
    assert "d" not in db.list_collection_names()
    # The record keeps the scripts as they were applied, and rollback runs those.
    assert migrator.rollback(one).ids("rolled_back") == [one]
    assert "c" not in db.list_collection_names()
    assert migrator.apply(one).ids("applied") == [one]
    assert db["c"].find_one() == {"_id": 2}


def test_rollback_when_the_file_is_gone_and_from_file(
    cli: Cli, migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    one = migrations.write(1, [create("c"), create("d")], [drop("c")])
    migrator.apply()
    migrations.write(1, [create("c"), create("d")], [drop("d")])
    assert cli("rollback", one, "--from-file").code == 0
    assert {"c", "d"} & set(db.list_collection_names()) == {"c"}
    migrations.write(1, [create("c"), create("d")], [drop("c")])
    migrator.apply(one)
    (migrations.directory / "migration_1_step_1.json").unlink()
    [state] = migrator.status().migrations
    assert (state.id, state.file) == (one, None)
    with pytest.raises(WrongStateError, match="has no file"):
        migrator.rollback(one, from_file=True)
    assert cli("rollback", one).code == 0
    assert {"c", "d"} & set(db.list_collection_names()) == {"d"}


def test_a_failed_one_is_mended_and_carried_on(
    cli: Cli, migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    db["c"].insert_many({"_id": n, "n": 0} for n in range(3000))
    bad = update({"$inc": {"_id": 1}})
    migrations.write(1, [INCREMENT, bad, create("d")], [])
    with pytest.raises(OperationFailedError) as failed:
        migrator.apply()
    assert (failed.value.migration_id, failed.value.operation) == ("migration_1", 2)
    assert failed.value.server_code == 66
    assert "Operation 1 is done. Of operation 2, nothing is done." in str(failed.value)
    made = record(db, "migration_1")
    assert made["status"] == "failed"
    assert (made["error"]["operation"], made["error"]["code"]) == (2, 66)
    assert "migration_1_step_1.json: operation 2 of 3" in made["error"]["message"]
    # Again as it is: it fails again, and what was done is not done again.
    with pytest.raises(OperationFailedError):
        migrator.apply()
    # The finished operation may not be changed any more.
    migrations.write(1, [update({"$inc": {"n": 5}}), create("d")], [])
    result = cli("apply")
    assert result.code == 5
    assert "operation 1 changed after an earlier run had begun it" in result.stdout
    # The failed one may, and what comes after it.
    migrations.write(1, [INCREMENT, update({"$set": {"mended": True}}), create("e")], [])
    report = migrator.apply()
    assert report.migrations[0].resumed
    assert [each.index for each in report.migrations[0].operations] == [2, 3]
    assert db["c"].count_documents({"n": 1, "mended": True}) == 3000
    assert "e" in db.list_collection_names()
    made = record(db, "migration_1")
    assert (made["status"], "error" in made, "progress" in made) == ("applied", False, False)
    assert json.loads(made["up_script"])["operations"][2] == create("e")
    assert not migrator.status().migrations[0].changed


def test_a_begun_operation_must_not_change(
    cli: Cli, migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    db["c"].insert_many({"_id": n, "n": 0} for n in range(5000))
    one = migrations.write(1, [create("before"), INCREMENT, create("d")], [drop("before")])
    stop_after_first_chunk(migrator)
    done = db["c"].count_documents({"n": 1})
    assert 0 < done < 5000
    migrations.write(1, [create("before"), update({"$inc": {"n": 2}}), create("d")], [])
    result = cli("apply")
    assert result.code == 5
    assert "operation 2 changed after an earlier run had begun it" in result.stdout
    migrations.write(1, [create("before")], [])
    with pytest.raises(ScriptChangedError, match="operation 2"):
        migrator.apply(one)
    assert db["c"].count_documents({"n": 1}) == done
    # What was not begun may change.
    migrations.write(1, [create("before"), INCREMENT, create("e")], [])
    assert migrator.apply().ids("applied") == [one]
    assert db["c"].count_documents({"n": 1}) == 5000
    assert "e" in db.list_collection_names()


def test_rollback_undoes_a_failed_one(migrator: Migrator, migrations: Migrations, db: Db) -> None:
    one = migrations.write(
        1, [create("d"), insert("c", {"_id": 1}), insert("c", {"_id": 1})], [drop("c"), drop("d")]
    )
    migrations.write(2, [create("e")])
    with pytest.raises(OperationFailedError) as failed:
        migrator.apply()
    assert "e" not in db.list_collection_names(), "nothing runs behind a failed one"
    assert failed.value.report.ids("failed") == [one]
    assert migrator.rollback(one).ids("rolled_back") == [one]
    assert not {"c", "d"} & set(db.list_collection_names())
    assert statuses(db) == {one: "rolled_back"}


def test_a_rollback_that_failed(
    cli: Cli, migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    one = migrations.write(1, [create("d")], [drop("d"), insert("c", {"_id": 1})])
    migrator.apply()
    db["c"].insert_one({"_id": 1})
    result = cli("rollback", one)
    assert result.code == 1
    assert f"✗ Failed to rollback migration: {one}" in result.lines
    assert "down script) failed" in result.stdout
    assert statuses(db) == {one: "failed"}
    # Half rolled back, it is not applied again by accident; rolling back goes on.
    forward = cli("apply")
    assert forward.code == 1
    assert f"`rollback {one}` finishes that" in forward.stdout
    db["c"].delete_many({})
    again = migrator.rollback()
    assert again.ids("rolled_back") == [one]
    assert again.migrations[0].resumed
    assert [each.index for each in again.migrations[0].operations] == [2]


# -- history


def test_the_history_is_complete_and_only_grows(
    migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    db["c"].insert_many({"_id": n, "n": 0} for n in range(5000))
    seen: list[dict[str, Any]] = []

    def grown() -> list[dict[str, Any]]:
        entries = list(db["migrations_history"].find(sort=[("at", 1), ("_id", 1)]))
        assert entries[: len(seen)] == seen
        new, seen[:] = entries[len(seen) :], entries
        return new

    one = migrations.write(1, [INCREMENT, create("d")], [drop("d")])
    stop_after_first_chunk(migrator)
    [interrupted] = grown()
    assert (interrupted["event"], interrupted["migration"]) == ("interrupted", one)
    assert interrupted["operations"][0]["modified"] == db["c"].count_documents({"n": 1})
    migrator.apply()
    [applied] = grown()
    assert (applied["event"], applied["resumed"], applied["direction"]) == ("applied", True, "up")
    assert (applied["host"], applied["pid"]) == (os.uname().nodename, os.getpid())
    assert (applied["version"], applied["name"]) == (__version__, "step_1")
    assert applied["user"]
    assert applied["duration_ms"] >= 0
    assert applied["at"] >= interrupted["at"]
    assert applied["run"] != interrupted["run"]
    counts = [(each["type"], each["modified"]) for each in applied["operations"]]
    assert counts == [("update_documents", 5000), ("create_collection", 0)]
    migrator.rollback()
    migrations.write(2, [insert("c", {"_id": 1})])
    with pytest.raises(OperationFailedError):
        migrator.apply()
    migrator.mark("migration_2", "rolled_back")
    back, failed, marked = grown()
    assert (back["event"], back["direction"]) == ("rolled_back", "down")
    assert (failed["event"], failed["error"]["code"]) == ("failed", 11000)
    assert "E11000" in failed["error"]["message"]
    assert (marked["event"], marked["before"]) == ("marked", "failed")
    migrator.apply()
    assert grown() == [], "nothing was done"


def test_looking_creates_nothing(cli: Cli, migrations: Migrations, db: Db) -> None:
    migrations.write(1, [create("c")])
    names = sorted(db.client.list_database_names())
    assert db.name not in names
    assert cli("status").code == 0
    assert cli("apply", "migration_404").code == 1
    assert cli("rollback").code == 0
    assert cli("rollback", "migration_1").code == 1
    assert sorted(db.client.list_database_names()) == names
    assert cli("apply").code == 0
    ours = {name for name in db.list_collection_names() if name != "c"}
    assert all(name.startswith("migrations") for name in ours)
    before = {name: list(db[name].find()) for name in db.list_collection_names()}
    for line in (["status"], ["status", "--json"], ["apply"], ["apply", "migration_1"]):
        assert cli(*line).code == 0
    assert {name: list(db[name].find()) for name in db.list_collection_names()} == before


# -- records edited by hand


@pytest.fixture
def half(migrator: Migrator, migrations: Migrations, db: Db) -> str:
    """A migration in the middle of its first operation, whose position is in the record itself."""
    db["c"].insert_many({"_id": n, "n": 0} for n in range(3000))
    one = migrations.write(1, [INCREMENT, create("d")], [drop("d")])
    stop_after_first_chunk(migrator, workers=1)
    return one


@pytest.mark.parametrize(
    "edit",
    [
        {"$set": {"progress": "x"}},
        {"$unset": {"progress": ""}},
        {"$set": {"progress": {}}},
        {"$set": {"progress.direction": "sideways"}},
        {"$set": {"progress.seq": "5"}},
        {"$unset": {"progress.seq": ""}},
        {"$set": {"progress.operations": None}},
        {"$set": {"progress.operations": {"0": {}}}},
        {"$set": {"progress.operations": [1]}},
        {"$set": {"progress.operations": [{}]}},
        {"$set": {"progress.operations.0.hash": 7}},
        {"$set": {"progress.operations.0.outcome": "great"}},
        {"$set": {"progress.operations.0.modified": "many"}},
        {"$unset": {"progress.operations.0.begun": ""}},
        {"$unset": {"progress.position": ""}},
        {"$set": {"progress.position": []}},
        {"$set": {"progress.position.kind": "nowhere"}},
        {"$set": {"progress.position.kind": "list"}},
        {"$set": {"progress.position": {"kind": "whole"}}},
        {"$unset": {"progress.position.upper": ""}},
        {
            "$set": {
                "progress.position": {
                    "kind": "list",
                    "next": 0,
                    "seed": bson.ObjectId("5f0000000000000000000000"),
                }
            }
        },
        {"$set": {"status": "Applying"}},
        {"$set": {"status": 5}},
        {"$set": {"status": None}},
        {"$unset": {"status": ""}},
    ],
    ids=str,
)
def test_a_record_of_progress_edited_by_hand(
    migrator: Migrator, half: str, db: Db, edit: dict[str, Any]
) -> None:
    db["migrations"].update_one({"_id": half}, edit)
    before = list(db["c"].find()), record(db, half)
    status = migrator.status()
    assert status.total == 1
    assert "cannot be relied on" in (status.migrations[0].note or "")
    for run in (migrator.apply, migrator.rollback):
        with pytest.raises(WrongStateError, match="cannot be relied on") as refused:
            run(half)
        assert f"mark {half} --as applied" in str(refused.value)
        assert (list(db["c"].find()), record(db, half)) == before
    # What the message proposes is a way out.
    migrator.mark(half, "applied")
    assert migrator.apply().migrations == ()
    assert migrator.rollback().ids("rolled_back") == [half]


def test_an_operation_hash_edited_by_hand(migrator: Migrator, half: str, db: Db) -> None:
    db["migrations"].update_one({"_id": half}, {"$set": {"progress.operations.0.hash": "0"}})
    with pytest.raises(ScriptChangedError):
        migrator.apply()


@pytest.mark.parametrize("next", [-1, 4, 10**12])
def test_an_inserts_position_edited_by_hand(
    migrator: Migrator, migrations: Migrations, db: Db, next: int
) -> None:
    one = migrations.write(1, [insert("c", {"_id": 1}, {"_id": 2}, {"_id": 1})], [])
    db["c"].insert_one({"_id": 1})
    with pytest.raises(OperationFailedError):
        migrator.apply()
    db["c"].delete_many({})
    db["migrations"].update_one(
        {"_id": one},
        {
            "$set": {
                "progress.position.next": bson.Int64(next),
                "progress.operations.0.begun": True,
            }
        },
    )
    # Past the end of the list there is nothing to insert, so it would pass for done.
    with pytest.raises(MigrateError):
        migrator.apply()
    assert statuses(db)[one] != "applied"


@pytest.mark.parametrize(
    "edit",
    [
        {"up_script": None},
        {"up_script": 5},
        {"up_script": "{"},
        {"up_script": '{"operations": [{"type": "create_collection"}]}'},
        {"up_script": bson.Binary(b"{}")},
        {"name": 7},
        {"name": None, "description": []},
        {"created_at": "yesterday"},
        {"applied_at": "never", "rolled_back_at": {}},
        {"token": "x", "run": 5, "error": "none", "checksum": 3, "duration_ms": None},
    ],
    ids=str,
)
def test_a_registered_record_edited_by_hand(
    migrator: Migrator, db: Db, edit: dict[str, Any]
) -> None:
    script = json.dumps({"operations": [create("c")]})
    one = migrator.register("one", script, json.dumps({"operations": [drop("c")]}))
    db["migrations"].update_one({"_id": one}, {"$set": edit})
    assert migrator.status().pending == 1
    if "up_script" in edit:
        with pytest.raises(InvalidMigrationError, match=one):
            migrator.apply()
        assert "c" not in db.list_collection_names()
        migrator.mark(one, "rolled_back")
    else:
        assert migrator.apply().ids("applied") == [one]
        assert migrator.rollback().ids("rolled_back") == [one]
    assert statuses(db) == {one: "rolled_back"}


@pytest.mark.parametrize(
    "odd", [5, bson.ObjectId("5f0000000000000000000000"), {"a": 1}, None, "", "no number", 5.5]
)
def test_an_odd_id(migrator: Migrator, migrations: Migrations, db: Db, odd: Any) -> None:
    first = migrations.write(1, [create("c")])
    script = '{"operations": [{"type": "create_collection", "collection": "d"}]}'
    db["migrations"].insert_one(
        {"_id": odd, "name": "odd", "status": "pending", "up_script": script}
    )
    assert [each.name for each in migrator.status().migrations] == ["step_1", "odd"]
    if isinstance(odd, str):
        assert migrator.apply().ids("applied") == [first, odd]
        return
    with pytest.raises(WrongStateError, match=r"its _id is .* and ours are texts") as refused:
        migrator.apply()
    assert refused.value.report.ids("applied") == [first]
    assert "d" not in db.list_collection_names()
    # `mark` would make another record beside it; what the message proposes is a way out.
    assert "db.migrations.deleteOne({_id: " in str(refused.value)
    with pytest.raises(WrongStateError, match="ours are texts"):
        migrator.mark("odd", "rolled_back")
    assert db["migrations"].count_documents({}) == 2
    db["migrations"].delete_one({"_id": odd})
    assert migrator.apply().migrations == ()


@pytest.mark.parametrize(
    "lock",
    [
        {},
        {"owner": "me"},
        {"owner": {}},
        {"owner": {"host": 5, "pid": "x"}, "expires_at": None},
        {"owner": {"run": "x"}, "expires_at": "soon"},
        {"token": "x"},
        {"token": None, "retired": 5},
    ],
    ids=str,
)
def test_a_lock_edited_by_hand(
    migrator: Migrator, migrations: Migrations, db: Db, lock: dict[str, Any]
) -> None:
    one = migrations.write(1, [create("c")])
    db["migrations_lock"].insert_one({"_id": "lock", **lock})
    assert migrator.status().pending == 1
    try:
        migrator.apply(lock_timeout=0)
    except MigrateError:
        assert "c" not in db.list_collection_names()
        migrator.unlock(force=True)
        assert migrator.apply(lock_timeout=0).ids("applied") == [one]
    assert statuses(db) == {one: "applied"}


JUNK: list[Any] = [
    None,
    True,
    -1,
    10**15,
    1.5,
    float("nan"),
    "",
    "applied",
    "failed",
    "x" * 5000,
    [],
    [None, {"a": [1]}],
    {},
    {"direction": "down", "seq": bson.Int64(0), "operations": []},
    {"direction": "up", "seq": bson.Int64(3), "operations": [], "position": {"kind": "whole"}},
    bson.ObjectId(),
    bson.Binary(b"\0\xff"),
    bson.MinKey(),
    bson.MaxKey(),
    bson.Timestamp(1, 1),
    bson.Regex("x"),
    bson.Code("print()"),
    bson.Decimal128("1e400"),
]


def paths(value: Any, prefix: str = "") -> list[str]:
    """Every field of a document, embedded ones and those in arrays too."""
    if isinstance(value, dict):
        items = [(key, each) for key, each in value.items() if key != "_id"]
    elif isinstance(value, list):
        items = [(str(at), each) for at, each in enumerate(value)]
    else:
        return []
    found = []
    for key, each in items:
        found += [f"{prefix}{key}", *paths(each, f"{prefix}{key}.")]
    return found


def outcome(run: Callable[[], object]) -> MigrateError | None:
    """The error that a verb raised; anything but one of ours is a defect."""
    try:
        run()
    except MigrateError as error:
        return error
    return None


def test_random_edits_neither_crash_nor_half_run(
    migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    seed = int(os.environ["EDULEARN_SEED"])
    print(f"EDULEARN_SEED={seed}")
    rng = random.Random(seed)
    one = migrations.write(
        1, [create("a"), INCREMENT, insert("b", {"_id": 1}), create("e")], [drop("a"), drop("e")]
    )

    def prepare(kind: str) -> None:
        for name in ("a", "b", "c", "e", "migrations"):
            db.drop_collection(name)
        db["c"].insert_many({"_id": n, "n": 0} for n in range(2500))
        if kind == "failed":
            db["b"].insert_one({"_id": 1})
            with pytest.raises(OperationFailedError):
                migrator.apply()
            db["b"].delete_many({})
        elif kind == "applying":
            stop_after_first_chunk(migrator)
        elif kind == "applied":
            migrator.apply()

    def data() -> dict[str, list[dict[str, Any]]]:
        names = sorted(db.list_collection_names(filter={"name": {"$regex": "^[a-e]$"}}))
        return {name: list(db[name].find(sort=[("_id", 1)])) for name in names}

    for attempt in range(40):
        prepare(rng.choice(["failed", "applying", "applied"]))
        for _ in range(rng.randint(1, 2)):
            path = rng.choice(paths(record(db, one)))
            edit = (
                {"$unset": {path: ""}} if rng.random() < 0.2 else {"$set": {path: rng.choice(JUNK)}}
            )
            db["migrations"].update_one({"_id": one}, edit)
        story = f"attempt {attempt} of EDULEARN_SEED={seed}: {record(db, one)}"
        before = data()
        assert migrator.status().total == 1, story
        migrator.records()
        for run in (migrator.apply, migrator.rollback):
            error = outcome(run)
            report = getattr(error, "report", None)
            began = report is not None and any(each.operations for each in report.migrations)
            if error is not None and not began:
                assert data() == before, f"{story}: {error}"
            before = data()
        # There is always a way out.
        assert migrator.mark(one, "rolled_back").after == "rolled_back", story
        for name in ("a", "b", "e"):
            db.drop_collection(name)
        assert migrator.apply(one).ids("applied") == [one], story
        assert statuses(db) == {one: "applied"}, story
        assert "progress" not in record(db, one), story
