"""The checks of a migration file, the end state after every apply, and `check` for pipelines."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from conftest import Cli, Migrations
from edulearn_migrate import CheckFailedError, InvalidMigrationError, Migrator
from harness import GATE, Documents, closed_gate, record_of, update
from random_migrations import snapshot

Check = dict[str, Any]

NOBODY_WITHOUT_ROLE = {
    "type": "count",
    "collection": "users",
    "filter": {"role": {"$exists": False}},
    "equals": 0,
    "reason": "everybody needs a role",
}


def write(
    migrations: Migrations,
    up: list[Any],
    *,
    before: list[Check] | None = None,
    after: list[Check] | None = None,
    down: list[Any] | None = None,
) -> None:
    """Writes migration_1 with checks around its up script."""
    document: dict[str, Any] = {
        "name": "checked",
        "up": {"operations": up},
        "checks": {"before": before or [], "after": after or []},
    }
    if down is not None:
        document["down"] = {"operations": down}
    migrations.raw("migration_1_checked.json", json.dumps(document))


def give_role(**more: Any) -> Any:
    return {**update("users", {"_id": {"$lt": 3}}, {"$set": {"role": "student"}}), **more}


def test_a_failed_check_before_leaves_nothing_behind(
    db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["users"].insert_one({"_id": 1})
    write(migrations, [give_role()], before=[NOBODY_WITHOUT_ROLE])
    before = snapshot(db)
    with pytest.raises(CheckFailedError, match=r"there are 1 .everybody needs a role.") as raised:
        migrator.apply()
    assert raised.value.when == "before"
    assert raised.value.migration_id == "migration_1"
    assert "Nothing was done" in str(raised.value)
    assert snapshot(db) == before
    assert record_of(db, "migration_1") == {}
    assert db["migrations_history"].count_documents({}) == 0
    assert migrator.status().pending == 1
    # Once it holds, the migration applies.
    db["users"].update_one({}, {"$set": {"role": "x"}})
    assert migrator.apply().ids("applied") == ["migration_1"]


def test_a_failed_check_after_is_undone_exactly(
    db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["users"].insert_many([{"_id": n} if n else {"_id": n, "role": "old"} for n in range(5)])
    write(
        migrations,
        [give_role()],
        after=[NOBODY_WITHOUT_ROLE],
        down=[update("users", {}, {"$unset": {"role": ""}})],
    )
    before = snapshot(db)
    with pytest.raises(CheckFailedError, match="rollback migration_1") as raised:
        migrator.apply()
    assert raised.value.when == "after"
    assert raised.value.report.migrations[0].outcome == "failed"
    record = record_of(db, "migration_1")
    assert record["status"] == "failed"
    assert "everybody needs a role" in record["error"]["message"]
    assert json.loads(record["checks"])["after"] == [NOBODY_WITHOUT_ROLE]
    assert db["users"].count_documents({"role": "student"}) == 3
    # The down script would take the role from 0, too.
    (run,) = migrator.rollback("migration_1").migrations
    assert run.exact
    assert snapshot(db) == before
    assert migrator.status().rolled_back == 1


def test_without_captures_the_down_script_is_what_there_is(
    db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["users"].insert_many([{"_id": n} for n in range(5)])
    down = [update("users", {}, {"$unset": {"role": ""}})]
    write(migrations, [give_role()], after=[NOBODY_WITHOUT_ROLE], down=down)
    with pytest.raises(CheckFailedError):
        migrator.apply(capture=False)
    (run,) = migrator.rollback("migration_1").migrations
    assert not run.exact
    assert db["users"].count_documents({"role": {"$exists": True}}) == 0


def test_apply_again_only_checks_again(
    db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["users"].insert_many([{"_id": n} for n in range(5)])
    counts = update("users", {}, {"$inc": {"n": 1}})
    write(migrations, [give_role(), counts], after=[NOBODY_WITHOUT_ROLE])
    for _ in range(2):
        with pytest.raises(CheckFailedError):
            migrator.apply()
    db["users"].update_many({"role": {"$exists": False}}, {"$set": {"role": "guest"}})
    assert migrator.apply().ids("applied") == ["migration_1"]
    assert db["users"].distinct("n") == [1]
    assert "error" not in record_of(db, "migration_1")


def test_killed_before_its_checks_it_is_checked_by_the_next_run(
    cli: Cli, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["users"].insert_many([{"_id": n} for n in range(5)])
    write(migrations, [give_role(), GATE], after=[NOBODY_WITHOUT_ROLE])
    with closed_gate(db) as reached:
        process = cli.start("apply")
        reached()
        process.kill()
        process.wait()
    record = record_of(db, "migration_1")
    assert record["status"] == "applying"
    assert record["progress"]["operations"][0]["outcome"] == "done"
    with pytest.raises(CheckFailedError):
        migrator.apply()
    assert record_of(db, "migration_1")["status"] == "failed"


def test_a_migration_without_its_file_is_checked_by_its_record(
    server_uri: str, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["users"].insert_many([{"_id": n} for n in range(5)])
    write(migrations, [give_role()], after=[NOBODY_WITHOUT_ROLE])
    with pytest.raises(CheckFailedError):
        migrator.apply()
    without_files = Migrator(server_uri, db.name)
    with pytest.raises(CheckFailedError, match="everybody needs a role"):
        without_files.apply()


@pytest.mark.parametrize(
    ("check", "holds"),
    [
        ({"type": "count", "collection": "c", "equals": 3}, True),
        ({"type": "count", "collection": "c", "filter": {"a": {"$gt": 0}}, "at_most": 1}, False),
        ({"type": "count", "collection": "none", "at_least": 1}, False),
        ({"type": "count", "collection": "none", "not_equals": 1}, True),
        ({"type": "count", "collection": "c", "filter": {"$no": 1}, "equals": 0}, False),
        ({"type": "collection", "collection": "c"}, True),
        ({"type": "collection", "collection": "c", "exists": False}, False),
        ({"type": "collection", "collection": "c", "options": {"validator": {"a": 1}}}, False),
        (
            {
                "type": "collection",
                "collection": "c",
                "options": {"validator": {"a": {"$gte": 0}}, "validationLevel": "moderate"},
            },
            True,
        ),
        ({"type": "index", "collection": "c", "index": "by_a"}, True),
        ({"type": "index", "collection": "c", "index": [["a", 1]]}, True),
        ({"type": "index", "collection": "c", "index": {"a": -1}, "exists": False}, True),
        (
            {"type": "index", "collection": "c", "index": "by_a", "options": {"unique": True}},
            True,
        ),
        (
            {"type": "index", "collection": "c", "index": "by_a", "options": {"sparse": True}},
            False,
        ),
        ({"type": "validator", "collection": "c"}, True),
        ({"type": "validator", "collection": "c", "validator": {"a": {"$gte": 0}}}, True),
        ({"type": "validator", "collection": "c", "validator": {"a": {"$gte": 1}}}, False),
        ({"type": "validator", "collection": "c", "exists": False}, False),
        ({"type": "validator", "collection": "none", "exists": False}, True),
    ],
)
def test_each_kind_of_check(
    db: Documents, migrator: Migrator, migrations: Migrations, check: Check, holds: bool
) -> None:
    db.create_collection("c", validator={"a": {"$gte": 0}}, validationLevel="moderate")
    db["c"].insert_many([{"a": n} for n in range(3)])
    db["c"].create_index("a", unique=True, name="by_a")
    write(migrations, [], before=[check])
    (result,) = migrator.plan().migrations[0].checks
    assert result.holds == holds, result
    if holds:
        migrator.apply()
    else:
        with pytest.raises(CheckFailedError):
            migrator.apply()


def test_checks_are_no_part_of_what_was_applied(migrator: Migrator, migrations: Migrations) -> None:
    write(migrations, [{"type": "create_collection", "collection": "a"}])
    migrator.apply()
    write(
        migrations, [{"type": "create_collection", "collection": "a"}], after=[NOBODY_WITHOUT_ROLE]
    )
    assert not migrator.status().migrations[0].changed


def test_an_error_in_a_check_names_file_and_check(
    migrator: Migrator, migrations: Migrations
) -> None:
    write(migrations, [], before=[{"type": "count", "collection": "c", "equal": 1}])
    with pytest.raises(InvalidMigrationError, match=r"check 1 \(count\).*did you mean .equals."):
        migrator.apply()


def tampering(db: Documents, migrator: Migrator, tamper: Any) -> CheckFailedError:
    """What apply says when something is changed before its last operation, `GATE`, has ended."""
    with ThreadPoolExecutor(1) as pool, closed_gate(db) as reached:
        applied = pool.submit(migrator.apply)
        reached()
        tamper()
    with pytest.raises(CheckFailedError) as raised:
        applied.result()
    assert raised.value.when == "end_state"
    assert record_of(db, "migration_1")["status"] == "failed"
    return raised.value


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (lambda db: db["a"].drop_index("by_x"), 'the index "by_x" of "a" is missing'),
        (lambda db: db.command("collMod", "a", validator={}), 'the options of "a" differ'),
        (lambda db: db["a"].drop(), '"a" is missing'),
        (lambda db: db.create_collection("gone"), '"gone" should be gone'),
        (
            lambda db: db.command("collMod", "a", index={"name": "by_x", "hidden": True}),
            "hidden: asked for nothing, found true",
        ),
    ],
)
def test_the_end_state_is_verified_unasked(
    db: Documents, migrator: Migrator, migrations: Migrations, tamper: Any, words: str
) -> None:
    db["gone"].insert_one({"_id": 1})
    unique = {"name": "by_x", "unique": True}
    migrations.write(
        1,
        [
            {"type": "drop_collection", "collection": "gone"},
            {"type": "create_collection", "collection": "a", "options": {"validator": {"x": 1}}},
            {"type": "create_index", "collection": "a", "index": "x", "options": unique},
            update("a", {}, {"$set": {"y": 1}}),
            GATE,
        ],
    )
    error = tampering(db, migrator, lambda: tamper(db))
    assert any(words in each for each in error.failed), error.failed


def test_what_later_operations_undo_is_not_asked_for(
    migrator: Migrator, migrations: Migrations
) -> None:
    index = {"type": "create_index", "collection": "a", "index": "x", "options": {"name": "i"}}
    migrations.write(
        1,
        [
            {"type": "create_collection", "collection": "a", "options": {"validator": {"x": 1}}},
            index,
            {
                "type": "modify_collection",
                "collection": "a",
                "options": {"validator": {"x": 2}, "validationLevel": "moderate"},
            },
            {
                "type": "modify_collection",
                "collection": "a",
                "options": {"index": {"name": "i", "hidden": True}},
            },
            {"type": "rename_collection", "collection": "a", "to": "b"},
            {"type": "create_collection", "collection": "a"},
            {"type": "drop_collection", "collection": "a"},
            {"type": "drop_index", "collection": "b", "index": [["y", 1]]},
        ],
    )
    assert migrator.apply().ids("applied") == ["migration_1"]


def test_check_tells_a_pipeline_what_to_stop_at(
    cli: Cli, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    create = [{"type": "create_collection", "collection": "a"}]
    assert cli("check").code == 3
    migrations.write(1, create)
    pending = cli("check")
    assert pending.code == 3
    assert "✗ pending: migration_1 (step_1): not applied" in pending.lines
    migrator.apply()
    assert cli("check").lines[-1] == "✓ Nothing is pending, changed, failed, unfinished or held"

    migrations.write(1, [{"type": "create_collection", "collection": "b"}])
    assert any(line.startswith("✗ changed: migration_1") for line in cli("check").lines)
    migrations.write(1, create)

    db["c"].insert_many([{"k": 1}, {"k": 1}])
    unique = {"unique": True}
    migrations.write(
        2, [{"type": "create_index", "collection": "c", "index": "k", "options": unique}]
    )
    with pytest.raises(Exception, match="E11000"):
        migrator.apply()
    document = json.loads(cli("check", "--json").stdout)
    assert document["ok"] is False
    assert [each["kind"] for each in document["findings"]] == ["failed"]

    db["migrations"].update_one({"_id": "migration_2"}, {"$set": {"status": "applying"}})
    assert [each.kind for each in migrator.check().findings] == ["unfinished"]
    db["migrations"].update_one({"_id": "migration_2"}, {"$set": {"status": "what"}})
    assert [each.kind for each in migrator.check().findings] == ["unreadable"]
    # Rolled back is not pending.
    db["migrations"].update_one({"_id": "migration_2"}, {"$set": {"status": "rolled_back"}})
    assert cli("check", "--allow-rolled-back").code == 0


def test_check_sees_a_held_lock(db: Documents, migrator: Migrator, migrations: Migrations) -> None:
    migrations.write(1, [GATE])
    with ThreadPoolExecutor(1) as pool, closed_gate(db) as reached:
        applied = pool.submit(migrator.apply)
        reached()
        seen = [finding.kind for finding in migrator.check().findings]
    assert applied.result().ids("applied") == ["migration_1"]
    assert seen == ["unfinished", "held"]
    assert not migrator.check().findings


def test_the_command_prints_both_lines(cli: Cli, db: Documents, migrations: Migrations) -> None:
    db["users"].insert_one({"_id": 1})
    write(migrations, [give_role()], before=[NOBODY_WITHOUT_ROLE])
    plan = cli("plan")
    assert plan.code == 1
    assert any(line.startswith("  ✗ check 1: exactly 0 documents") for line in plan.lines)
    failed = cli("apply")
    assert failed.code == 1
    assert "✗ Failed to apply migration: migration_1" in failed.lines
    assert any("Nothing was done" in line for line in failed.lines)
    document = json.loads(cli("apply", "--json").stdout)
    assert document["error"]["type"] == "CheckFailedError"
