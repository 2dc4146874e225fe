"""The unification from Python: the old class with its results, and the typed verbs.

Runs with the newest PyMongo and Motor, and with EDULEARN's own versions.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import json_util
from pymongo.database import Database

from api.test_database_objects import OPENERS, closed
from edulearn_migrate import (
    AssessmentModelMigration,
    AsyncMigrator,
    Event,
    InterruptedRunError,
    MigrateError,
    Migrator,
    StopToken,
    WrongStateError,
)

pytestmark = pytest.mark.usefixtures("directory")

Db = Database[dict[str, Any]]

INDEXES = [
    "creator_timestamp_idx",
    "type_status_idx",
    "batch_status_idx",
    "subject_difficulty_idx",
    "published_timestamp_idx",
]
MANY = 30_000


@pytest.fixture(params=OPENERS)
async def database(
    request: pytest.FixtureRequest, server_uri: str, database_name: str
) -> AsyncIterator[Any]:
    """The test's database as each kind of object."""
    opened = OPENERS[request.param](server_uri, database_name)
    yield opened
    await closed(opened)


@pytest.fixture
def school(db: Db, legacy: Path) -> Db:
    """The recorded assessments, five and three."""
    for name in ("assessments", "teacher_assessments"):
        db[name].insert_many(json_util.loads((legacy / f"before_{name}.json").read_text()))
    return db


@pytest.fixture
def typed(server_uri: str, database_name: str) -> Migrator:
    return Migrator(server_uri, database_name)


def contents(db: Db) -> dict[str, list[dict[str, Any]]]:
    return {
        name: list(db[name].find().sort("_id", 1))
        for name in ("assessments", "teacher_assessments")
    }


def check_shape(found: Any, recorded: Any, place: str = "result") -> None:
    """That all that was recorded is there, of the same types; more keys may stand beside it."""
    if isinstance(recorded, dict):
        assert isinstance(found, dict), place
        for name, each in recorded.items():
            assert name in found, f"{place} has no {name}"
            check_shape(found[name], each, f"{place}.{name}")
        return
    assert type(found) is type(recorded), f"{place} is {found!r}, it was {recorded!r}"
    if isinstance(recorded, list):
        assert all(type(each) is str for each in found), place


# -- the drop-in class


async def test_the_old_class(database: Any, school: Db, legacy: Path, directory: Path) -> None:
    before = contents(school)
    migration = AssessmentModelMigration(database)
    assert migration.db is database
    assert contents(school) == before, "nothing is done by its constructor"
    result = await migration.migrate_to_unified_model()
    recorded = json.loads((legacy / "migrate_to_unified_model_result.json").read_text())
    check_shape(result, recorded)
    assert result["backup"]["backup_id"], "by which it is found"
    # Its counts are the old ones, and so are the names of the indexes.
    del recorded["backup"]["backup_id"], recorded["migration_log"]
    for name, part in recorded.items():
        assert {each: result[name][each] for each in part} == part, name
    assert len(result["migration_log"]) >= 5
    assert (directory / "backups" / result["backup"]["backup_id"]).is_dir()

    undone = await migration.rollback_migration()
    recorded = json.loads((legacy / "rollback_migration_result.json").read_text())
    check_shape(json.loads(json.dumps(undone, default=str)), recorded)
    assert undone["restore"]["restored_regular"] == 5
    assert undone["restore"]["restored_teacher"] == 3
    assert sorted(undone["indexes"]["dropped_indexes"]) == sorted(INDEXES)
    assert contents(school) == before


async def test_the_old_class_again(database: Any, school: Db) -> None:
    migration = AssessmentModelMigration(database)
    await migration.migrate_to_unified_model()
    after = contents(school)
    again = await migration.migrate_to_unified_model()
    assert again["regular_assessments"]["migrated"] == 0
    assert again["teacher_assessments"]["migrated"] == 0
    assert again["indexes"]["indexes_created"] == []
    assert again["validation"]["is_valid"] is True
    assert contents(school) == after
    await migration.rollback_migration()
    nothing = await migration.rollback_migration()
    assert nothing["restore"]["restored_regular"] == 0
    assert nothing["indexes"]["dropped_indexes"] == []


async def test_the_old_class_and_what_cannot_be_mapped(database: Any, school: Db) -> None:
    school["assessments"].insert_one({"_id": 1, "title": 1})
    school["teacher_assessments"].insert_many([{"_id": 2, "topic": 1}, {"_id": 3, "config": 1}])
    result = await AssessmentModelMigration(database).migrate_to_unified_model()
    assert result["regular_assessments"] == {
        **result["regular_assessments"],
        "migrated": 5,
        "errors": 1,
    }
    assert result["teacher_assessments"]["errors"] == 2
    assert result["validation"]["is_valid"] is False
    assert school["assessments"].find_one(1) == {"_id": 1, "title": 1}


async def test_the_old_class_and_a_conflict(database: Any, school: Db) -> None:
    school["assessments"].create_index("title", name="type_status_idx")
    before = contents(school)
    with pytest.raises(MigrateError, match="type_status_idx"):
        await AssessmentModelMigration(database).migrate_to_unified_model()
    assert contents(school) == before


async def test_from_a_connection_string(server_uri: str, database_name: str, school: Db) -> None:
    migration = AssessmentModelMigration(server_uri, database_name)
    result = await migration.migrate_to_unified_model()
    assert result["teacher_assessments"]["migrated"] == 3
    assert school["assessments"].count_documents({}) == 8


async def test_never_another_database(
    database: Any, school: Db, client: pymongo.MongoClient[dict[str, Any]]
) -> None:
    assert school.name == database.name
    names = set(client.list_database_names())
    await AssessmentModelMigration(database).migrate_to_unified_model()
    assert set(client.list_database_names()) == names


# -- the typed verbs


def check_typed(report: Any, *, dry_run: bool) -> None:
    assert report.dry_run is dry_run
    assert (report.regular.migrated, report.regular.already) == (5, 0)
    assert (report.regular.unmapped, report.regular.dates_converted) == (0, 0)
    assert (report.teacher.migrated, report.teacher.clashes) == (3, 0)
    assert tuple(report.unmapped) == tuple(report.clashes) == ()
    assert sorted(report.indexes.created) == sorted(INDEXES)
    assert (report.backup is None) is dry_run
    assert isinstance(report.seconds, float)


def test_synchronously(typed: Migrator, school: Db, directory: Path) -> None:
    before = contents(school)
    check_typed(typed.assessment_migrate(dry_run=True), dry_run=True)
    assert contents(school) == before and list(directory.iterdir()) == []
    report = typed.assessment_migrate()
    check_typed(report, dry_run=False)
    assert report.backup is not None and report.backup.documents == 8
    assert Path(report.backup.path).is_dir()
    assert report.validation.valid is True and tuple(report.validation.problems) == ()
    undone = typed.assessment_rollback()
    assert undone.nothing_to_roll_back is False
    assert (undone.regular.restored, undone.teacher.restored) == (5, 3)
    assert sorted(undone.indexes_dropped) == sorted(INDEXES)
    assert contents(school) == before
    assert typed.assessment_rollback().nothing_to_roll_back is True


async def test_asynchronously(database: Any, school: Db) -> None:
    before = contents(school)
    migrator = AsyncMigrator(database)
    check_typed(await migrator.assessment_migrate(dry_run=True), dry_run=True)
    assert contents(school) == before
    check_typed(await migrator.assessment_migrate(), dry_run=False)
    undone = await migrator.assessment_rollback()
    assert (undone.regular.restored, undone.teacher.restored) == (5, 3)
    assert contents(school) == before


def test_what_cannot_be_mapped_is_told(typed: Migrator, school: Db) -> None:
    school["assessments"].insert_one({"_id": "wrong", "title": 1})
    report = typed.assessment_migrate()
    assert report.regular.migrated == 5 and report.validation.valid is False
    (unmapped,) = report.unmapped
    assert (unmapped.collection, unmapped.id, unmapped.field) == ("assessments", "wrong", "title")
    assert unmapped.reason
    accepted = typed.assessment_migrate(accept_unmapped=True)
    assert accepted.regular.unmapped == 1 and accepted.validation.valid is True


def test_an_index_in_the_way(typed: Migrator, school: Db) -> None:
    school["assessments"].create_index("title", name="type_status_idx")
    before = contents(school)
    with pytest.raises(WrongStateError, match="type_status_idx"):
        typed.assessment_migrate()
    report = typed.assessment_migrate(dry_run=True)
    assert any("type_status_idx" in each for each in report.indexes.conflicts)
    assert contents(school) == before


def fill(db: Db) -> None:
    for first in range(0, MANY, 10_000):
        rows = [{"_id": at, "padding": "x" * 300} for at in range(first, first + 10_000)]
        db["assessments"].insert_many(rows)


def test_progress(typed: Migrator, db: Db) -> None:
    fill(db)
    db["teacher_assessments"].insert_one({"_id": "t", "topic": "x"})
    events: list[Event] = []
    typed.assessment_migrate(progress=events.append)
    assert events[0].at <= events[-1].at
    told = " ".join(event.message.lower() for event in events)
    at = 0
    for word in ("back", "regular", "teacher", "index", "valid"):
        at = told.find(word, at)
        assert at >= 0, f"{word} is not told in its turn: {told}"
    done = [each.documents for each in events if each.kind == "progress" and each.documents]
    assert done and max(done) == MANY
    del events[:]
    typed.assessment_rollback(progress=events.append)
    assert any(event.kind == "progress" for event in events)


def test_what_is_found_beforehand_is_told_first(typed: Migrator, db: Db) -> None:
    db["assessments"].insert_many([{"_id": 1, "title": "x"}, {"_id": 2, "title": 5}])
    db["teacher_assessments"].insert_many([{"_id": 1, "topic": "y"}, {"_id": 3}])
    events: list[Event] = []
    report = typed.assessment_migrate(ids="keep", progress=events.append)
    kinds = [event.kind for event in events]
    assert kinds.index("surveyed") < kinds.index("step_started")
    assert events[kinds.index("surveyed")].message == (
        "To be migrated: 1 regular and 2 teacher assessments. Cannot be mapped: 1. Have an _id that"
        " another document has: 1. Copies keep the _id: 0 results and 0 submissions refer to them."
    )
    assert (report.regular.migrated, report.teacher.migrated) == (1, 2)
    assert (len(report.unmapped), len(report.clashes)) == (1, 1)


def test_a_stop_token(typed: Migrator, db: Db) -> None:
    fill(db)
    stop = StopToken()

    def watch(event: Event) -> None:
        # That of the backup has no index.
        if event.kind == "progress" and event.index and event.documents:
            stop.set()

    with pytest.raises(InterruptedRunError):
        typed.assessment_migrate(progress=watch, stop=stop)
    done = db["assessments"].count_documents({"original_id": {"$exists": True}})
    assert 0 < done < MANY
    assert not (db["migrations_lock"].find_one() or {}).get("owner")
    report = typed.assessment_migrate(lock_timeout=0)
    assert report.validation.valid is True
    assert db["assessments"].count_documents({"original_id": {"$exists": True}}) == MANY
    assert len(db["assessments"].distinct("updated_at")) == 1


async def test_a_cancelled_task(server_uri: str, database_name: str, db: Db) -> None:
    fill(db)
    migrator = AsyncMigrator(server_uri, database_name)
    chunk = asyncio.Event()

    def watch(event: Event) -> None:
        # That of the backup has no index.
        if event.kind == "progress" and event.index and event.documents:
            chunk.set()

    task = asyncio.create_task(migrator.assessment_migrate(progress=watch))
    await chunk.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 0 < db["assessments"].count_documents({"original_id": {"$exists": True}}) < MANY
    undone = await migrator.assessment_rollback(lock_timeout=0)
    assert undone.nothing_to_roll_back is False
    assert db["assessments"].count_documents({"original_id": {"$exists": True}}) == 0
    (one,) = db["assessments"].find().limit(1)
    assert set(one) == {"_id", "padding"}
