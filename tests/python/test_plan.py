"""`plan` and dry runs: what they say is what the run then does, and they change nothing."""

from __future__ import annotations

import json
import os
import random
from contextlib import suppress
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
)
from harness import Client, Documents, delete, update, write_migration
from random_migrations import Script, fill

SEED = int(os.environ.get("EDULEARN_SEED") or random.SystemRandom().randrange(2**31))
CASES = int(os.environ.get("EDULEARN_CASES") or 24)


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
    if plan.problems:
        assert run.outcome == "failed", told
    if run.outcome == "failed":
        return False
    if plan.outcome is not None:
        assert plan.outcome == run.outcome, told
    did = run.modified + run.inserted + run.deleted
    if plan.changes is not None:
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
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations, case: int
) -> None:
    seed = SEED + case
    dice = random.Random(seed)
    fill(db, dice, 60)
    script = Script(dice)
    ups = [script.operations(4), script.operations(4)]
    for number, up in enumerate(ups, 1):
        write_migration(migrations.directory.parent, number, up)
    plan = planned(client, db, migrator)
    with suppress(MigrateError):
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
    modify = {
        "type": "modify_collection",
        "collection": "c",
        "options": {"validator": {"a": {"$gte": 2}}},
    }
    (one,) = plan_one(client, db, migrator, migrations, modify)
    assert one.rejected is not None
    assert (one.rejected.documents, one.rejected.examples) == (2, ("0", "1"))
    assert not one.problems


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
    assert [each.documents for each in script.beyond] == [3]
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
    client: Client, db: Documents, migrator: Migrator, migrations: Migrations, case: int
) -> None:
    seed = SEED + case
    dice = random.Random(seed)
    fill(db, dice, 60)
    up = Script(dice).operations(3)
    write_migration(migrations.directory.parent, 1, up)
    with suppress(MigrateError):
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
    assert any("depends on migration_1 operation 1" in line for line in plan.lines)
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
