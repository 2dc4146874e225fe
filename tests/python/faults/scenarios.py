"""The verbs that faults are tried on: what stands before each, small but of every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from edulearn_migrate import Migrator
from faults.forked import Place, Verbs
from harness import delete, update, write_migration

Documents = Database[dict[str, Any]]

MIGRATION = "migration_001"
# Documents of one answer of the server: so few that everything takes several.
BATCH = 4
PEOPLE = 18
# So many that an update of the marked ones names them instead of going through all.
MANY = 260
OLD = datetime(2024, 1, 5, 8, 30, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Scenario:
    """A verb, and what stands before it."""

    name: str
    verb: str
    prepare: Callable[[Documents, Verbs, Place], None]
    """Makes an empty database what the verb needs. Reaches the server directly."""
    call: Callable[[Place], tuple[tuple[Any, ...], dict[str, Any]]] = lambda _: ((), {})
    """The verb's arguments, once everything is prepared."""
    outwaits: bool = True
    """Whether the documentation promises that one lost connection is outwaited."""
    may_leave: bool = False
    """Whether it builds several collections at once: one of them may just have proven the lease."""
    may_find_it_done: bool = False
    """Whether the verb reports success where there is nothing to do."""
    repeats: bool = False
    """Whether the verb does its work again, and notes it again, where it has been done."""


def fill(db: Documents) -> None:
    """What the migration works on."""
    db.create_collection("people", validator={"name": {"$exists": True}})
    db["people"].insert_many({"_id": at, "name": f"name {at}", "n": 0} for at in range(PEOPLE))
    db["people"].create_index("name", name="by_name")
    db["many"].insert_many(
        {"_id": at, "v": 0, **({"marked": True} if at % 23 == 0 else {})} for at in range(MANY)
    )
    db["many"].create_index("marked")
    db["titles"].insert_many({"_id": at, "title": f"title {at}"} for at in range(3))
    db["titles"].create_index("title", unique=True, name="unique_title")
    db["sessions"].insert_many({"_id": at, "at": OLD} for at in range(6))
    # Not within the life of this test.
    db["sessions"].create_index("at", name="expiry", expireAfterSeconds=2_000_000_000)
    db.create_collection("live", viewOn="people", pipeline=[{"$match": {"n": 0}}])


def scripts(*, once: bool) -> tuple[list[Any], list[Any]]:
    """A migration of every operation, up and down.

    Where nothing is made exactly `once`, updates are such that it does not matter.
    """
    change = {"$inc": {"n": 1}} if once else {"$set": {"n": 1}}
    back = {"$inc": {"n": -1}} if once else {"$set": {"n": 0}}
    up: list[Any] = [
        {
            "type": "create_collection",
            "collection": "notes",
            "options": {"validator": {"number": {"$gte": 0}}},
        },
        {
            "type": "insert_documents",
            "collection": "notes",
            "documents": [{"number": at} for at in range(3)]
            + [{"_id": at, "number": at} for at in range(3, 6)],
        },
        {
            "type": "create_index",
            "collection": "notes",
            "index": "number",
            "options": {"unique": True},
        },
        update("people", {}, change),
        update("many", {"marked": True}, {"$set": {"v": 1}, "$unset": {"marked": ""}}),
        update("people", {"n": 1}, {"$set": {"first": True}}, multi=False),
        update("people", {"_id": PEOPLE}, {"$set": {"name": "made", "n": 5}}, upsert=True),
        update("people", {"_id": {"$lt": 6}}, [{"$replaceWith": {"name": "$name", "n": "$n"}}]),
        delete("people", {"_id": {"$in": [9, 10, 11, 12, 13, 14]}}),
        {
            "type": "modify_collection",
            "collection": "people",
            "options": {"validator": {"n": {"$exists": True}}, "validationLevel": "moderate"},
        },
        {"type": "drop_index", "collection": "people", "index": "by_name"},
        {"type": "rename_collection", "collection": "titles", "to": "headings"},
        {"type": "drop_collection", "collection": "sessions"},
        {"type": "drop_collection", "collection": "live"},
    ]
    down: list[Any] = [
        {"type": "rename_collection", "collection": "headings", "to": "titles"},
        {
            "type": "create_index",
            "collection": "people",
            "index": "name",
            "options": {"name": "by_name"},
        },
        update("people", {}, back),
        {
            "type": "insert_documents",
            "collection": "people",
            "documents": [{"_id": at, "name": "again", "n": 0} for at in range(9, 15)],
        },
        delete("people", {"_id": PEOPLE}),
        {"type": "drop_collection", "collection": "notes"},
    ]
    return up, down


def before_apply(db: Documents, _: Verbs, place: Place) -> None:
    """Documents, and a migration that is pending."""
    fill(db)
    once = "setName" in db.client.admin.command("hello")
    up, down = scripts(once=once)
    write_migration(place.directory, 1, up, down)


def applied(db: Documents, verbs: Verbs, place: Place) -> None:
    """The same, applied."""
    before_apply(db, verbs, place)
    verbs.well(place, "apply")


def set_aside(kind: str, collection: str) -> Callable[[Place], Any]:
    """The arguments that `undrop` takes for what was dropped."""

    def arguments(place: Place) -> Any:
        dropped = Migrator(place.uri, place.database).dropped()
        (name,) = (
            each.name for each in dropped if (each.kind, each.collection) == (kind, collection)
        )
        return (name,), {}

    return arguments


def backed_up(db: Documents, verbs: Verbs, place: Place) -> None:
    """A backup, and a database that differs from it in everything."""
    applied(db, verbs, place)
    verbs.well(place, "backup")
    db["people"].update_many({}, {"$set": {"n": 77}})
    db["many"].delete_many({"_id": {"$gte": 5}})
    db["many"].drop_index("marked_1")
    db["headings"].drop()
    db["extra"].insert_one({"_id": 1})
    db.create_collection("people_view", viewOn="people", pipeline=[])


def assessments(db: Documents, _: Verbs, place: Place) -> None:
    """Assessments of both models."""
    (place.directory / "migrations").mkdir(exist_ok=True)
    db["assessments"].insert_many(
        {
            "_id": ObjectId(f"65a1b2c3d4e5f60000000{at:03x}"),
            "title": f"Assessment {at}",
            "created_by": "65a1b2c3d4e5f60000000384",
            "time_limit": 45,
            "questions": [{"text": f"question {at}", "points": 2}],
            "created_at": "2024-01-05T08:30:00Z" if at % 2 else OLD,
        }
        for at in range(10)
    )
    db["teacher_assessments"].insert_many(
        {
            "_id": ObjectId(f"65a1b2c3d4e5f60000001{at:03x}"),
            "title": f"Teacher's {at}",
            "teacher_id": "65a1b2c3d4e5f60000000385",
            "duration": 30,
            "questions": [],
            "created_at": OLD,
        }
        for at in range(10)
    )


def assessments_migrated(db: Documents, verbs: Verbs, place: Place) -> None:
    """The same, migrated."""
    assessments(db, verbs, place)
    verbs.well(place, "assessment_migrate")


def _constant(*arguments: Any, **options: Any) -> Callable[[Place], Any]:
    return lambda _: (arguments, options)


SCENARIOS = (
    Scenario("apply", "apply", before_apply),
    Scenario("rollback", "rollback", applied, _constant(MIGRATION)),
    Scenario("exact_rollback", "rollback", applied, _constant(MIGRATION, exact=True)),
    Scenario(
        "undrop_collection",
        "undrop",
        applied,
        set_aside("collection", "sessions"),
        may_find_it_done=True,
        repeats=True,
    ),
    Scenario("undrop_documents", "undrop", applied, set_aside("documents", "people"), repeats=True),
    Scenario("undrop_index", "undrop", applied, set_aside("index", "people"), repeats=True),
    Scenario("purge", "purge", applied, may_find_it_done=True),
    Scenario("backup", "backup", applied, repeats=True),
    Scenario(
        "restore",
        "restore",
        backed_up,
        _constant("latest", safety_backup=False),
        may_leave=True,
        repeats=True,
    ),
    Scenario(
        "assessment_migrate",
        "assessment_migrate",
        assessments,
        may_find_it_done=True,
        repeats=True,
    ),
    Scenario("assessment_rollback", "assessment_rollback", assessments_migrated),
)
