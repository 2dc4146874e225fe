"""`plan` and dry runs: what they say is what the run then does, and they change nothing."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pymongo
import pytest

from conftest import Cli, Migrations
from edulearn_migrate import (
    AsyncMigrator,
    MigrateError,
    Migrator,
    OperationPlan,
    OperationRun,
    PlanReport,
    ScriptChangedError,
    WrongStateError,
)
from features import require
from harness import CASES, SEED, Client, Documents, delete, update, write_migration
from random_migrations import Attempts, Script, fill


def everything(client: Client, db: Documents) -> Any:
    """What a plan must leave as it was: hashes, the catalog with indexes, the databases."""
    names = sorted(each["name"] for each in db.list_collections(filter={"type": "collection"}))
    return (
        sorted(client.list_database_names()),
        sorted(map(repr, db.list_collections())),
        [sorted(map(repr, db[name].list_indexes())) for name in names],
        db.command("dbHash")["collections"],
    )


def planned(client: Client, db: Documents, migrator: Migrator, id: str | None = None) -> PlanReport:
    """The plan, having made sure that it changed nothing."""
    before = everything(client, db)
    report = migrator.plan(id)
    assert everything(client, db) == before
    return report


def check_operation(plan: OperationPlan, run: OperationRun, told: str) -> bool:
    """The numbers of a plan against what the run did. Whether they were called exact."""
    told = f"{told}\n{plan}\n{run}"
    assert (plan.index, plan.type, plan.collection) == (run.index, run.type, run.collection), told
    if any(each.fails for each in plan.problems):
        assert run.outcome == "failed", told
    if run.outcome == "failed":
        return False
    if plan.outcome is not None:
        assert plan.outcome == run.outcome, told
    did = run.modified + run.inserted + run.deleted
    if plan.changes is not None and not plan.depends_on:
        assert plan.changes >= did, told
        if plan.exact:
            assert plan.changes == did, told
    if plan.matched is not None and not plan.depends_on:
        assert plan.matched == run.matched + run.deleted, told
    if not plan.depends_on:
        assert (plan.upserted or 0) == run.upserted, told
    return plan.exact


@pytest.mark.parametrize("case", range(CASES))
def test_what_a_plan_says_is_what_apply_does(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations, case: int
) -> None:
    """One operation at a time, so that every number can be known."""
    seed = SEED + case
    dice = random.Random(seed)
    fill(db, dice, 60)
    script = Script(dice)
    exact = 0
    for number in range(1, 11):
        operation = script.operation()
        id = write_migration(migrations.directory.parent, number, [operation])
        plan = planned(client, db, migrator, id).migrations[0].operations[0]
        if plan.sets_aside is not None:
            assert plan.sets_aside.documents == db[plan.collection].count_documents({})
        told = f"EDULEARN_SEED={seed} {operation}"
        try:
            run = migrator.apply(id).migrations[0].operations[0]
        except MigrateError as error:
            run = error.report.migrations[0].operations[0]
        exact += check_operation(plan, run, told)
        if run.outcome == "failed":
            migrator.mark(id, "rolled_back")
    assert exact > 0


@pytest.mark.parametrize("case", range(CASES))
def test_what_depends_on_earlier_operations_is_left_open(
    attempts: Attempts,
    client: Client,
    db: Documents,
    migrator: Migrator,
    migrations: Migrations,
    case: int,
) -> None:
    seed = SEED + case
    dice = random.Random(seed)
    fill(db, dice, 60)
    script = Script(dice)
    ups = [script.operations(4), script.operations(4)]
    for number, up in enumerate(ups, 1):
        write_migration(migrations.directory.parent, number, up)
    plan = planned(client, db, migrator)
    with attempts.one():
        migrator.apply()
    done = {each.id: each for each in migrator.status().migrations}
    for at, migration in enumerate(plan.migrations):
        # The journal's own account, also of a migration that failed.
        log = db["migrations_history"].find_one({"migration": migration.id})
        if log is None:
            assert done[migration.id].status == "pending"
            continue
        for one, ran in zip(migration.operations, log["operations"], strict=False):
            fields = {"undone": None, **ran}
            run = OperationRun(**{name: fields[name] for name in OperationRun.__slots__})
            check_operation(one, run, f"EDULEARN_SEED={seed} {ups[at]}")
            if run.outcome == "failed":
                break


def plan_one(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations, *up: Any
) -> tuple[OperationPlan, ...]:
    migrations.write(1, list(up))
    return planned(client, db, migrator).migrations[0].operations


def test_an_empty_server_stays_empty(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    migrations.write(1, [{"type": "create_collection", "collection": "a"}], [])
    before = sorted(client.list_database_names())
    assert migrator.plan().problems == 0
    assert [each.kind for each in migrator.check().findings] == ["pending"]
    assert sorted(client.list_database_names()) == before
    assert db.name not in before


def test_setting_a_value_to_itself_is_no_change(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    # By type and bytes, as the server has it: 1 as a double is another value.
    db["c"].insert_many([{"a": 1}, {"a": 1.0}, {"a": [1]}, {"b": 1}, {"a": {"x": 1}}])
    (one,) = plan_one(client, db, migrator, migrations, update("c", {}, {"$set": {"a": 1}}))
    assert (one.matched, one.changes, one.exact) == (5, 4, True)
    assert (one.chunks, one.transactions) == (True, True)
    assert migrator.apply().migrations[0].operations[0].modified == 4


def test_a_field_that_cannot_be_set_is_found(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["c"].insert_many([{"_id": 1, "a": {"b": 2}}, {"_id": 2, "a": 5}, {"_id": 3}])
    (one,) = plan_one(client, db, migrator, migrations, update("c", {}, {"$set": {"a.b": 1}}))
    assert one.problems[0].code == 28
    assert "_id 2" in one.problems[0].message
    with pytest.raises(MigrateError):
        migrator.apply()


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({"$set": {"a": 1, "a.b": 1}}, {}),
        ({"$nonsense": {"a": 1}}, {}),
        ({"$set": {"a.$[one]": 1}}, {}),
        ([{"$match": {}}], {}),
        ({"$set": {"a": 1}}, {"hint": "no_such_index"}),
        ({"$set": {"a": 1}}, {"collation": {"locale": "no_such"}}),
    ],
)
def test_an_update_that_the_server_does_not_understand(
    client: Client,
    db: Documents,
    migrator: Migrator,
    migrations: Migrations,
    change: Any,
    options: Any,
) -> None:
    db["c"].insert_one({"a": 2})
    (one,) = plan_one(client, db, migrator, migrations, update("c", {}, change, **options))
    assert len(one.problems) == 1, one
    with pytest.raises(MigrateError):
        migrator.apply()


@pytest.mark.parametrize(
    ("index", "options", "documents", "keys"),
    [
        ([["a", 1]], {}, [{"a": 1}, {"a": 1.0}, {"a": "1"}], 1),
        ([["a", 1]], {}, [{"a": 1}, {}, {"a": None}], 1),
        ([["a", 1]], {"sparse": True}, [{"a": 1}, {}, {"b": 1}], 0),
        ([["a", 1]], {}, [{"a": [1, 2]}, {"a": [2, 3]}, {"a": [4, 4]}], 1),
        ([["a.b", 1]], {}, [{"a": [{"b": 1}]}, {"a": {"b": 1}}], 1),
        ([["a", 1], ["b", -1]], {}, [{"a": 1, "b": 1}, {"a": 1, "b": 2}], 0),
        (
            [["a", 1]],
            {"partialFilterExpression": {"live": True}},
            [{"a": 1, "live": True}, {"a": 1}, {"a": 2, "live": True}],
            0,
        ),
        ([["a", 1]], {"collation": {"locale": "en", "strength": 2}}, [{"a": "x"}, {"a": "X"}], 1),
    ],
)
def test_duplicates_are_those_that_the_build_meets(
    client: Client,
    db: Documents,
    migrator: Migrator,
    migrations: Migrations,
    index: Any,
    options: Any,
    documents: Any,
    keys: int,
) -> None:
    db["c"].insert_many(documents)
    operation = {
        "type": "create_index",
        "collection": "c",
        "index": index,
        "options": {"unique": True, **options},
    }
    (one,) = plan_one(client, db, migrator, migrations, operation)
    assert one.duplicates is not None
    assert one.duplicates.keys == keys
    assert len(one.duplicates.examples) == keys
    if keys:
        assert one.problems[0].code == 11000
        with pytest.raises(MigrateError, match="E11000"):
            migrator.apply()
    else:
        migrator.apply()


def test_what_is_in_the_way_of_schema_operations_is_shown(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    require(db, "$documents")
    db.create_collection("c", validator={"a": 1})
    db["c"].create_index("x")
    db.create_collection("v", viewOn="c", pipeline=[])
    db["other"].insert_one({"_id": 1})
    operations: list[Any] = [
        {"type": "create_collection", "collection": "c"},
        {"type": "create_index", "collection": "c", "index": "x", "options": {"hidden": True}},
        {"type": "create_index", "collection": "c", "index": "x", "options": {"name": "other"}},
        {"type": "rename_collection", "collection": "c", "to": "other"},
        {"type": "rename_collection", "collection": "no", "to": "where"},
        {"type": "modify_collection", "collection": "no", "options": {"validator": {}}},
        update("v", {}, {"$set": {"a": 1}}),
        {"type": "insert_documents", "collection": "other", "documents": [{"_id": 1}, {"_id": 2}]},
        {"type": "insert_documents", "collection": "c", "documents": [{"a": 1}, {"a": 2}]},
        {"type": "drop_index", "collection": "c", "index": "_id_"},
    ]
    codes = [48, 85, 85, 48, 26, 26, 166, 11000, 121, 72]
    for operation, code in zip(operations, codes, strict=True):
        (one,) = plan_one(client, db, migrator, migrations, operation)
        assert [each.code for each in one.problems] == [code], operation
        with pytest.raises(MigrateError):
            migrator.apply()
        migrator.mark("migration_1", "pending")


def test_documents_that_a_validator_would_not_admit(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["c"].insert_many([{"_id": n, "a": n} for n in range(5)])
    modify: dict[str, Any] = {
        "type": "modify_collection",
        "collection": "c",
        "options": {"validator": {"a": {"$gte": 2}}},
    }
    (one,) = plan_one(client, db, migrator, migrations, modify)
    assert one.rejected is not None
    assert (one.rejected.documents, one.rejected.examples) == (2, ("0", "1"))
    [problem] = one.problems
    assert (problem.code, problem.fails) == (121, False)
    assert "_id 0, 1" in problem.message
    assert one.outcome == "done"
    # Under this level, documents that do not meet it may be updated.
    moderate = {**modify, "options": {**modify["options"], "validationLevel": "moderate"}}
    (one,) = plan_one(client, db, migrator, migrations, moderate)
    assert one.rejected is not None and one.rejected.documents == 2
    assert not one.problems
    assert migrator.apply().migrations[0].operations[0].outcome == "done"


@pytest.mark.parametrize("number", [0, 1, 1_499, 2_999])
def test_the_document_that_a_pipeline_fails_on_is_named(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations, number: int
) -> None:
    db["c"].insert_many(
        {"_id": n, "a": "n/a" if n == number else str(n), "live": True} for n in range(3_000)
    )
    change = [{"$set": {"a": {"$toInt": "$a"}}}]
    (one,) = plan_one(client, db, migrator, migrations, update("c", {"live": True}, change))
    [problem] = one.problems
    assert f"document _id {number}:" in problem.message
    assert "n/a" in problem.message
    assert (one.matched, one.outcome) == (3_000, "failed")
    with pytest.raises(MigrateError, match=f"document _id {number}:"):
        migrator.apply()
    db["c"].update_one({"_id": number}, {"$set": {"a": "7"}})
    (one,) = planned(client, db, migrator).migrations[0].operations
    assert not one.problems
    migrator.apply()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"$inc": {"text": 1}}, 14),
        ({"$mul": {"sub.none": 1, "text": 2}}, 14),
        ({"$push": {"sub": 1}}, 14),
        ({"$set": {"_id": 9}}, 66),
        ({"$unset": {"_id": ""}}, 66),
        ({"$rename": {"text": "_id"}}, 66),
        ([{"$replaceWith": {"_id": {"$add": ["$_id", 1]}, "x": 1}}], 66),
    ],
)
def test_what_an_update_would_fail_at(
    client: Client,
    db: Documents,
    migrator: Migrator,
    migrations: Migrations,
    change: Any,
    code: int,
) -> None:
    db["c"].insert_many([{"_id": 1, "n": 1}, {"_id": 2, "text": "x", "sub": {"n": 1}}])
    (one,) = plan_one(client, db, migrator, migrations, update("c", {}, change))
    assert [each.code for each in one.problems] == [code], one
    assert one.problems[0].message.endswith(" 2")
    with pytest.raises(MigrateError):
        migrator.apply()


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"_id": 2}},
        {"$inc": {"n": 1, "new": 1}},
        {"$push": {"list": 1, "new": 1}},
        [{"$replaceWith": {"x": 1}}],
        [{"$unset": "_id"}],
    ],
)
def test_what_an_update_does_not_fail_at(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations, change: Any
) -> None:
    db["c"].insert_one({"_id": 2, "n": 1, "list": []})
    (one,) = plan_one(client, db, migrator, migrations, update("c", {}, change))
    assert not one.problems, one
    migrator.apply()


INDEX = {"type": "create_index", "collection": "c"}
REFUSED: list[dict[str, Any]] = [
    {**INDEX, "index": "a", "options": {"partialFilterExpression": {"a": {"$exists": False}}}},
    {**INDEX, "index": "a", "options": {"partialFilterExpression": {"a": {"$exsts": True}}}},
    {**INDEX, "index": ["a", "b"], "options": {"expireAfterSeconds": 5}},
    {**INDEX, "index": "a", "options": {"expireAfterSeconds": -5}},
    {**INDEX, "index": [["a", "hashed"]], "options": {"unique": True}},
    {**INDEX, "index": "$**", "options": {"unique": True}},
    {**INDEX, "index": "a", "options": {"collation": {"locale": "zz"}}},
    {**INDEX, "index": [["a", "text"]], "options": {"collation": {"locale": "en"}}},
    {**INDEX, "collection": "collated", "index": [["a", "text"]]},
    {**INDEX, "index": "a", "options": {"weights": {"a": 2}}},
    {**INDEX, "index": "_id", "options": {"hidden": True}},
    {**INDEX, "index": [["a", "text"], ["b", 1], ["d", "text"]]},
    *(
        {"type": kind, "collection": name, "options": {"validator": validator}}
        for kind, name in (("create_collection", "new"), ("modify_collection", "c"))
        for validator in (
            {"$jsonSchema": {"requird": ["a"]}},
            {"$jsonSchema": {"properties": {"a": {"type": "integer"}}}},
            {"a": {"$exsts": True}},
            {"$text": {"$search": "x"}},
        )
    ),
    {
        "type": "modify_collection",
        "collection": "c",
        "options": {"index": {"name": "twice", "unique": True}},
    },
    {
        "type": "modify_collection",
        "collection": "c",
        "options": {"index": {"name": "twice", "unique": True, "prepareUnique": True}},
    },
]


@pytest.mark.parametrize("operation", REFUSED, ids=lambda each: json.dumps(each)[9:])
def test_what_the_server_always_refuses_is_known(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations, operation: Any
) -> None:
    db["c"].insert_many([{"_id": 1, "twice": 1}, {"_id": 2, "twice": 1}])
    db["c"].create_index("twice", name="twice")
    db.create_collection("collated", collation={"locale": "en"})
    (one,) = plan_one(client, db, migrator, migrations, operation)
    assert one.problems, one
    assert all(each.fails for each in one.problems)
    with pytest.raises(MigrateError):
        migrator.apply()


def test_what_expires_at_once_is_counted(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    now = datetime.now(timezone.utc)
    db["c"].insert_many(
        {"at": now - timedelta(days=n), "list": [now, now - timedelta(days=n)]} for n in range(50)
    )
    db["c"].insert_many([{"at": "no date"}, {"at": now + timedelta(days=1)}])
    db["c"].create_index("list", expireAfterSeconds=10 * 365 * 86_400, name="list")
    day = 86_400
    for operation, expires in (
        ({**INDEX, "index": "at", "options": {"expireAfterSeconds": day // 2}}, 49),
        ({**INDEX, "index": "at", "options": {"expireAfterSeconds": 100 * day}}, 0),
        ({**INDEX, "index": "at"}, None),
        (
            {
                "type": "modify_collection",
                "collection": "c",
                "options": {"index": {"name": "list", "expireAfterSeconds": int(9.5 * day)}},
            },
            40,
        ),
    ):
        (one,) = plan_one(client, db, migrator, migrations, operation)
        assert one.expires == expires, one
        assert not one.problems


def test_what_depends_on_earlier_operations_is_told_of_today(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["c"].insert_many([{"_id": n, "a": n % 2, "k": 1} for n in range(10)])
    other, same, unique, renamed, moved, made = plan_one(
        client,
        db,
        migrator,
        migrations,
        update("c", {"a": 1}, {"$set": {"b": 1}}),
        update("c", {"b": None}, {"$set": {"d": 1}}),
        {**INDEX, "index": "k", "options": {"unique": True}},
        {"type": "rename_collection", "collection": "c", "to": "new"},
        update("new", {"a": 0}, {"$set": {"e": 1}}),
        {"type": "create_index", "collection": "fresh", "index": "a"},
    )[:6]
    assert (other.changes, other.exact, other.depends_on) == (5, True, ())
    assert [each.operation for each in same.depends_on] == [1]
    assert (same.matched, same.changes, same.exact, same.looked_at) == (10, 10, False, True)
    # The update touches no field of the index.
    assert (unique.depends_on, [each.code for each in unique.problems]) == ((), [11000])
    assert [each.operation for each in moved.depends_on] == [4]
    assert (moved.changes, moved.looked_at) == (5, True)
    assert not renamed.problems
    assert made.outcome == "done"
    report = migrator.plan()
    assert (report.problems, report.undecided) == (1, 3)


def test_text_indexes_are_known_by_their_fields(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["c"].insert_one({"a": "x", "b": "y"})
    keys = [["x", 1], ["a", "text"], ["b", "text"]]
    create: dict[str, Any] = {**INDEX, "index": keys, "options": {"name": "t", "weights": {"b": 3}}}
    drop = {
        "type": "drop_index",
        "collection": "c",
        "index": [["x", 1], ["b", "text"], ["a", "text"]],
    }
    migrations.write(1, [create], [drop])
    migrator.apply()
    [index] = [each for each in db["c"].list_indexes() if each["name"] == "t"]
    for number, (change, outcome) in enumerate(
        (
            (create, "standing"),
            ({**create, "index": [["x", 1], ["b", "text"], ["a", "text"]]}, "standing"),
            ({**create, "index": [["x", 1], ["a", "text"]]}, "standing"),
            ({**create, "options": {"name": "t"}}, None),
            ({**create, "index": [["a", "text"], ["b", "text"]]}, None),
            ({**create, "index": [*keys, ["d", "text"]]}, None),
            ({**create, "options": {**create["options"], "default_language": "german"}}, None),
            ({**create, "options": {**create["options"], "language_override": "l"}}, None),
        ),
        2,
    ):
        migrations.write(number, [change])
        (one,) = planned(client, db, migrator, f"migration_{number}").migrations[0].operations
        if outcome is None:
            assert [each.code for each in one.problems] in ([85], [86]), one
            with pytest.raises(MigrateError, match="exists"):
                migrator.apply(f"migration_{number}")
            migrator.mark(f"migration_{number}", "rolled_back")
        else:
            assert (one.outcome, one.problems) == (outcome, ()), one
            run = migrator.apply(f"migration_{number}").migrations[0].operations[0]
            assert run.outcome == outcome
    other = {"type": "drop_index", "collection": "c", "index": [["a", "text"]]}
    migrations.write(20, [other])
    assert migrator.plan("migration_20").migrations[0].operations[0].outcome == "absent"
    # Dropped by its keys, it comes back as it was.
    migrations.write(21, [drop])
    (one,) = planned(client, db, migrator, "migration_21").migrations[0].operations
    assert one.outcome == "done"
    assert migrator.apply("migration_21").migrations[0].operations[0].outcome == "done"
    assert "t" not in db["c"].index_information()
    migrator.rollback("migration_21", exact=True)
    assert [each for each in db["c"].list_indexes() if each["name"] == "t"] == [index]
    down = migrator.rollback("migration_1").migrations[0].operations[0]
    assert down.outcome == "done"
    assert "t" not in db["c"].index_information()


def test_weaker_promises_are_named(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db.create_collection("capped", capped=True, size=4096)
    db["capped"].insert_one({"a": 1})
    db["c"].insert_one({"a": 1})
    weak, one = plan_one(
        client,
        db,
        migrator,
        migrations,
        update("capped", {}, {"$set": {"a": 2}}),
        update("c", {}, {"$set": {"a": 2}}, multi=False),
    )
    assert (weak.transactions, weak.chunks) == (False, True)
    assert any("at-least-once" in note for note in weak.notes)
    assert (one.transactions, one.chunks, one.changes) == (True, False, 1)


def test_what_a_begun_migration_has_left(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["c"].insert_many([{"a": 1}, {"a": 1}, {"a": 1}])
    db["u"].insert_many([{"k": 1}, {"k": 1}])
    unique = {
        "type": "create_index",
        "collection": "u",
        "index": "k",
        "options": {"unique": True},
    }
    migrations.write(1, [update("c", {}, {"$set": {"a": 2}}), unique])
    with pytest.raises(MigrateError):
        migrator.apply()
    report = planned(client, db, migrator).migrations[0]
    assert (report.resumed, report.done) == (True, 1)
    assert [each.index for each in report.operations] == [2]
    assert report.operations[0].problems


def test_a_rollback_is_planned_by_script_and_exactly(
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["users"].insert_many(
        [{"_id": n, "role": "student"} if n < 3 else {"_id": n} for n in range(8)]
    )
    up = update("users", {"role": {"$exists": False}}, {"$set": {"role": "student"}})
    migrations.write(1, [up], [update("users", {}, {"$unset": {"role": ""}})])
    migrator.apply()
    db["users"].update_one({"_id": 4}, {"$set": {"role": "teacher"}})
    db["users"].delete_one({"_id": 5})
    before = everything(client, db)
    script = migrator.plan_rollback("migration_1").migrations[0]
    exact = migrator.plan_rollback("migration_1", exact=True).migrations[0]
    assert everything(client, db) == before
    assert [each.documents for each in script.overreach] == [3]
    assert script.operations[0].changes == 7
    (undo,) = exact.operations
    assert undo.undone is not None
    assert undo.exact
    run = migrator.rollback("migration_1", exact=True).migrations[0]
    (done,) = run.undone
    assert undo.undone.restored == done.restored == 3
    assert undo.undone.conflicts == done.conflicts == 1
    assert undo.undone.gone == done.gone == 1


@pytest.mark.parametrize("case", range(CASES))
def test_an_exact_rollback_does_what_its_plan_says(
    attempts: Attempts,
    client: Client,
    db: Documents,
    migrator: Migrator,
    migrations: Migrations,
    case: int,
) -> None:
    seed = SEED + case
    dice = random.Random(seed)
    fill(db, dice, 60)
    up = Script(dice).operations(3)
    write_migration(migrations.directory.parent, 1, up)
    with attempts.one():
        migrator.apply()
    for name in ("people", "things"):
        db[name].update_many(
            {"key": {"$lt": 10}}, {"$set": {"b": "edited"}}, bypass_document_validation=True
        )
        db[name].delete_many({"key": {"$gte": 50}})
    before = everything(client, db)
    plan = migrator.plan_rollback("migration_001", exact=True).migrations[0]
    assert everything(client, db) == before
    run = migrator.rollback("migration_001", exact=True).migrations[0]
    by_index = {each.index: each for each in run.operations}
    for one in plan.operations:
        done = by_index[one.index].undone
        if one.exact and one.undone is not None and done is not None:
            told = f"EDULEARN_SEED={seed} {up}\n{one}\n{done}"
            for name in ("restored", "restored_with_edits", "gone", "conflicts"):
                assert getattr(one.undone, name) == getattr(done, name), told


def test_an_exact_rollback_is_planned_in_a_collection_that_was_renamed_since(
    db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    db["users"].insert_many([{"_id": n} for n in range(5)])
    migrations.write(1, [update("users", {}, {"$set": {"a": 1}})])
    migrator.apply()
    db["users"].rename("people")
    db["people"].delete_one({"_id": 4})
    (undo,) = migrator.plan_rollback("migration_1", exact=True).migrations[0].operations
    assert 'its collection is called "people" now' in undo.notes
    (done,) = migrator.rollback("migration_1", exact=True).migrations[0].undone
    assert undo.undone is not None
    assert (undo.undone.restored, undo.undone.gone) == (done.restored, done.gone) == (4, 1)


def test_a_planned_exact_rollback_is_refused_as_the_run_is(
    db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    for name in ("one", "two"):
        db[name].insert_one({"_id": 1})
    migrations.write(1, [update("one", {}, {"$set": {"a": 1}})])
    migrations.write(2, [update("two", {}, {"$set": {"a": 1}})])
    migrations.write(3, [{"type": "drop_collection", "collection": "one"}])
    migrator.apply()
    # All of them together go back.
    assert len(migrator.plan_rollback(exact=True).migrations) == 3
    with pytest.raises(WrongStateError, match="was dropped by migration_3") as planned:
        migrator.plan_rollback("migration_1", exact=True)
    with pytest.raises(WrongStateError) as run:
        migrator.rollback("migration_1", exact=True)
    assert str(planned.value) == str(run.value)
    migrator.mark("migration_3", "rolled_back")
    plan = migrator.plan_rollback(exact=True)
    with pytest.raises(WrongStateError) as run:
        migrator.rollback(exact=True)
    assert [each.id for each in plan.migrations] == run.value.report.ids("rolled_back")
    assert plan.blocked is not None
    assert (plan.blocked.id, plan.blocked.error) == ("migration_1", str(run.value))


def test_a_plan_is_refused_where_apply_would_be(migrator: Migrator, migrations: Migrations) -> None:
    migrations.write(1, [{"type": "create_collection", "collection": "a"}])
    migrator.apply()
    migrations.write(1, [{"type": "create_collection", "collection": "b"}])
    with pytest.raises(ScriptChangedError):
        migrator.plan()


async def test_the_same_for_asyncio(
    server_uri: str, database_name: str, migrations: Migrations
) -> None:
    migrations.write(1, [{"type": "create_collection", "collection": "a"}])
    migrator = AsyncMigrator(server_uri, database_name, migrations_dir=migrations.directory)
    assert (await migrator.plan()).migrations[0].operations[0].outcome == "done"
    assert [each.kind for each in (await migrator.check()).findings] == ["pending"]
    await migrator.apply()
    assert (await migrator.plan_rollback("migration_1", exact=True)).exact
    assert not (await migrator.check()).findings


def test_the_command_says_it_in_few_lines(cli: Cli, db: Documents, migrations: Migrations) -> None:
    db["users"].insert_many([{"_id": n} for n in range(4)])
    db["old"].insert_one({"_id": 1})
    migrations.write(
        1,
        [
            update("users", {}, {"$set": {"role": "student"}}),
            {"type": "drop_collection", "collection": "old"},
            delete("users", {"_id": 1}),
        ],
        [],
        name="roles",
    )
    plan = cli("plan")
    assert plan.code == 0, plan.stdout
    assert "Would apply migration_1 roles" in plan.lines
    assert "  1. update_documents users: 4 documents changed, in chunks" in plan.lines
    assert any("sets aside 1 document" in line for line in plan.lines)
    # The role that the first operation sets has nothing to do with the third one's filter.
    assert "  3. delete_documents users: 1 document deleted, in chunks" in plan.lines
    assert "✓ No problems found; nothing was changed" in plan.lines
    assert cli("apply", "--dry-run").stdout == plan.stdout
    assert "migrations" not in db.list_collection_names()
    document = json.loads(cli("plan", "--json").stdout)
    assert document["problems"] == 0
    assert document["migrations"][0]["operations"][0]["changes"] == 4
    assert cli("apply").code == 0
    down = cli("rollback", "--dry-run", "migration_1", "--exact")
    assert down.code == 0
    assert any(line.startswith("Would roll back migration_1 roles (exactly") for line in down.lines)


def test_the_command_says_what_its_verdict_does_not_rest_on(
    cli: Cli, db: Documents, migrations: Migrations
) -> None:
    db["users"].insert_many([{"_id": n, "name": "x"} for n in range(4)])
    db["sessions"].insert_one({"at": datetime(2001, 1, 1, tzinfo=timezone.utc)})
    unique = {"type": "create_index", "collection": "users", "index": "name"}
    ttl = {"type": "create_index", "collection": "sessions", "index": "at"}
    migrations.write(
        1,
        [
            update("users", {"_id": {"$gt": 0}}, {"$unset": {"name": ""}}),
            update("users", {"name": None}, {"$set": {"named": False}}),
            {**unique, "options": {"unique": True}},
            {**ttl, "options": {"expireAfterSeconds": 60}},
        ],
    )
    plan = cli("plan")
    assert plan.code == 0, plan.stdout
    today = "on today's data, 0 documents changed, depends on migration_1 operation 1, in chunks"
    assert f"  2. update_documents users: {today}" in plan.lines
    assert any("! on today's data it would fail: 1 key occurs" in line for line in plan.lines)
    assert any(
        line.startswith("  4. ") and "1 document expired at once" in line for line in plan.lines
    )
    [verdict] = [line for line in plan.lines if line.startswith("✓ No problems found")]
    assert "2 of 4 operations cannot be judged before the run" in verdict


def test_a_problem_is_exit_code_1(cli: Cli, db: Documents, migrations: Migrations) -> None:
    db["users"].insert_many([{"name": "x"}, {"name": "x"}])
    unique = {"unique": True}
    migrations.write(
        1, [{"type": "create_index", "collection": "users", "index": "name", "options": unique}]
    )
    plan = cli("plan")
    assert plan.code == 1
    assert "✗ Problems found: 1" in plan.lines
    assert json.loads(cli("plan", "--json").stdout)["ok"] is False


def test_it_needs_read_rights_only(guarded: Any, tmp_path: Any) -> None:
    from conftest import login

    name = "t_plan_reader"
    root = login(guarded, "teacher", "s3cr3t!")
    with pymongo.MongoClient[dict[str, Any]](root) as client:
        client[name]["c"].insert_many([{"a": 1}, {"a": 1}])
        client["admin"].command(
            "createUser", "looker", pwd="x", roles=[{"role": "read", "db": name}]
        )
        folder = Migrations(tmp_path / "migrations")
        unique = {"unique": True}
        folder.write(
            1,
            [
                update("c", {}, {"$set": {"a": 2}}),
                {"type": "create_index", "collection": "d", "index": "a", "options": unique},
            ],
        )
        try:
            migrator = Migrator(
                login(guarded, "looker", "x"), name, migrations_dir=folder.directory
            )
            first = migrator.plan().migrations[0].operations[0]
            assert (first.changes, first.transactions) == (2, False)
            assert [each.kind for each in migrator.check().findings] == ["pending"]
            assert client[name].list_collection_names() == ["c"]
        finally:
            client["admin"].command("dropUser", "looker")
            client.drop_database(name)
