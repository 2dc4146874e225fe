"""How often `assessment-migrate` reads everything, and that nothing is missed by reading it less.

The backup and the look at every document are one read, and what was written is counted instead of
being read again. What somebody writes in between must be met all the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pymongo
import pytest
from bson import ObjectId

from assessment_documents import both, random_document
from assessment_model import COLLECTIONS, KINDS, Document, copy_id
from assessment_runs import Documents, check_unified, now, read
from edulearn_migrate import Event, Migrator
from edulearn_migrate.reports.assessment import AssessmentReport
from faults.message_proxy import Command, Strike, messages_to

pytestmark = pytest.mark.usefixtures("directory")

EACH = 300
# The first write of a run that looked at every document, and the end of its last write.
BEFORE_THE_CHUNKS = Strike("update", target="migrations")
BEFORE_VALIDATION = Strike("createIndexes", target="assessments")


@pytest.fixture
def migrator(server_uri: str, database_name: str) -> Migrator:
    return Migrator(server_uri, database_name)


def fill(db: Documents, each: int = EACH) -> dict[str, list[ObjectId]]:
    """Documents that can all be mapped; their `_id`s by kind."""
    dice = random.Random(db.name)
    ids: dict[str, list[ObjectId]] = {}
    for kind in KINDS:
        rows = [random_document(dice, kind, ObjectId(), wrong=0) for _ in range(each)]
        db[COLLECTIONS[kind]].insert_many(rows)
        ids[kind] = [row["_id"] for row in rows]
    return ids


def migrate(
    db: Documents, at: Strike, write: Callable[[], object], **options: Any
) -> AssessmentReport:
    """A run during which the application writes at that command: before the first write to the
    ledger, or when the server has made the indexes."""

    def hook(_: Command) -> None:
        write()

    strike = replace(at, after=hook) if at is BEFORE_VALIDATION else replace(at, before=hook)
    return struck(db, strike, **options)


def struck(
    db: Documents, strike: Strike, *, batch: int | None = None, **options: Any
) -> AssessmentReport:
    """A run that is struck."""
    _, port = db.client.address or ("", 0)
    with messages_to(port, batch=batch) as proxy:
        proxy.arm(strike)
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        report = Migrator(uri, db.name).assessment_migrate(**options)
        assert proxy.struck is not None
    return report


def returned(client: pymongo.MongoClient[Any]) -> int:
    """How many documents the server has sent to its clients."""
    count: int = client.admin.command("serverStatus")["metrics"]["document"]["returned"]
    return count


@pytest.mark.parametrize("ids", ["new", "keep"])
def test_every_document_is_sent_twice(
    db: Documents, client: pymongo.MongoClient[Any], migrator: Migrator, ids: Literal["new", "keep"]
) -> None:
    """Once for the look and the backup, and once to be written."""
    fill(db, 4_000)
    before = {name: read(db, name) for name in COLLECTIONS.values()}
    began, sent = now(), returned(client)
    report = migrator.assessment_migrate(ids=ids)
    sent = returned(client) - sent
    assert report.validation.valid and report.validation.total == 8_000
    # Where the `_id`s are kept, teacher assessments are looked at by themselves: the server says
    # which of their `_id`s another document has.
    assert sent < (18_000 if ids == "new" else 22_500), "8,000 documents"
    assert check_unified(before, db, began, ids) == {}


def test_edits_between_the_look_and_the_chunks(db: Documents) -> None:
    """What was well when it was looked at, and what was wrong, is judged as it is when written."""
    ids = fill(db)
    regular, teacher = db["assessments"], db["teacher_assessments"]
    regular.update_one({"_id": ids["regular"][0]}, {"$set": {"title": 1}})
    teacher.update_one({"_id": ids["teacher"][0]}, {"$set": {"title": 1}})

    def edit() -> None:
        for kind in KINDS:
            documents, own = db[COLLECTIONS[kind]], ids[kind]
            documents.update_one({"_id": own[0]}, {"$set": {"title": "well"}})
            documents.update_one({"_id": own[1]}, {"$set": {"title": 2}})
            documents.update_one({"_id": own[2]}, {"$set": {"title": "edited"}})
            documents.delete_one({"_id": own[3]})

    report = migrate(db, BEFORE_THE_CHUNKS, edit, accept_unmapped=True)
    assert [(each.id, each.field) for each in report.unmapped] == [
        ({"$oid": str(ids[kind][1])}, "title") for kind in KINDS
    ]
    assert (report.regular.migrated, report.teacher.migrated) == (EACH - 2, EACH - 2)
    assert (report.regular.unmapped, report.teacher.unmapped) == (1, 1)
    assert (report.validation.unmapped, report.validation.added_meanwhile) == (2, 0)
    assert report.validation.total == regular.count_documents({})
    titles = [regular.find_one({"_id": ids["regular"][at]}) for at in range(3)]
    assert [title and title["title"] for title in titles] == ["well", 2, "edited"]


def test_unmapped_documents_are_listed_though_the_others_are_counted(
    db: Documents, migrator: Migrator
) -> None:
    ids = fill(db)
    wrong = {kind: ids[kind][7] for kind in KINDS}
    for kind in KINDS:
        db[COLLECTIONS[kind]].update_one({"_id": wrong[kind]}, {"$set": {"title": 1}})
    report = migrator.assessment_migrate()
    assert not report.validation.valid
    assert [(each.collection, each.id) for each in report.unmapped] == [
        (COLLECTIONS[kind], {"$oid": str(wrong[kind])}) for kind in KINDS
    ]
    assert (report.validation.total, report.validation.unified) == (2 * EACH - 1, 2 * EACH - 2)
    assert report.copies.new_ids == EACH - 1


def lose_a_copy(db: Documents, ids: dict[str, list[ObjectId]]) -> object:
    return db["assessments"].delete_one({"_id": copy_id(ids["teacher"][5])})


def exchange_a_copy(db: Documents, ids: dict[str, list[ObjectId]]) -> object:
    """As many documents as before."""
    return lose_a_copy(db, ids), db["assessments"].insert_one({"title": "another"})


@pytest.mark.parametrize("write", [lose_a_copy, exchange_a_copy])
def test_a_document_that_is_missing_is_found(db: Documents, write: Callable[..., object]) -> None:
    ids = fill(db)
    report = migrate(db, BEFORE_VALIDATION, lambda: write(db, ids))
    found = db["assessments"].count_documents({})
    unified = {"migration_source": {"$exists": True}}
    assert report.validation.total == found
    assert report.validation.teacher == EACH - 1
    assert report.validation.unified == db["assessments"].count_documents(unified)
    # The teacher assessment has no copy any more, as if it had been added since.
    assert report.validation.added_meanwhile == 1 + found - (2 * EACH - 1)


def test_a_field_that_is_missing_is_found(db: Documents) -> None:
    """Nothing but the bytes of the collection shows it without reading the document."""
    ids = fill(db)
    chosen = {"_id": ids["regular"][5]}
    report = migrate(
        db,
        BEFORE_VALIDATION,
        lambda: db["assessments"].update_one(chosen, {"$unset": {"status": 1}}),
    )
    assert (report.validation.valid, report.validation.missing_fields) == (False, 1)
    assert any("status is missing" in each for each in report.validation.problems)


def test_an_original_that_is_added_is_counted(db: Documents) -> None:
    """Its number is that of a deleted one: no copy is missing by the numbers alone."""
    ids = fill(db)
    teacher = db["teacher_assessments"]

    def exchange() -> None:
        teacher.delete_one({"_id": ids["teacher"][5]})
        teacher.insert_one({"topic": "added since"})

    report = migrate(db, BEFORE_VALIDATION, exchange)
    assert report.validation.valid and report.validation.added_meanwhile == 1


def test_what_was_unified_before_is_looked_at_again(db: Documents, migrator: Migrator) -> None:
    """A second run counts what the first has written, and reads what has a fault."""
    ids = fill(db)
    migrator.assessment_migrate()
    added: list[Document] = [{"title": "new"}, {"title": "newer"}]
    db["assessments"].insert_many(added)
    db["teacher_assessments"].insert_one({"topic": "new"})
    second = migrator.assessment_migrate()
    assert (second.regular.migrated, second.teacher.migrated) == (2, 1)
    assert (second.regular.already, second.teacher.already) == (EACH, EACH)
    assert second.validation.valid and second.copies.new_ids == EACH + 1
    db["assessments"].update_one({"_id": ids["regular"][0]}, {"$unset": {"status": 1}})
    db["assessments"].insert_one({"title": "newest"})
    third = migrator.assessment_migrate()
    assert (third.regular.migrated, third.validation.missing_fields) == (1, 1)
    assert not third.validation.valid


def test_the_backup_is_what_was_looked_at(db: Documents, migrator: Migrator) -> None:
    """Of the time of the look: what is written right after it is not in it."""
    fill(db)
    before = both(db)
    report = migrate(
        db, BEFORE_THE_CHUNKS, lambda: db["assessments"].insert_one({"title": "later"})
    )
    assert report.regular.migrated == EACH + 1
    assert report.backup is not None and report.backup.documents == 2 * EACH
    migrator.restore(report.backup.name)
    assert both(db) == before


def test_a_unified_document_that_only_the_server_takes_for_one_is_left(
    db: Documents, migrator: Migrator
) -> None:
    """A list of sources: to the server's filter it holds the source, to nobody else."""
    fill(db)
    odd: Document = {"migration_source": ["regular_assessment"], "original_id": "x", "title": "t"}
    db["assessments"].insert_one(odd)
    report = migrator.assessment_migrate()
    assert db["assessments"].find_one({"_id": odd["_id"]}) == odd
    assert (report.regular.migrated, report.validation.added_meanwhile) == (EACH, 1)


def surveyed(db: Documents, strike: Strike, batch: int | None = None) -> tuple[str, str]:
    """What a run that is struck while it looks and backs up finds, and all that it told before."""
    events: list[Event] = []
    report = struck(db, strike, batch=batch, progress=events.append)
    assert report.validation.valid
    assert (report.regular.migrated, report.teacher.migrated) == (EACH, EACH)
    assert report.backup is not None and report.backup.documents == 2 * EACH
    (at,) = [at for at, event in enumerate(events) if event.kind == "surveyed"]
    return events[at].message, "\n".join(event.message for event in events[:at])


ALL = f"To be migrated: {EACH} regular and {EACH} teacher assessments. Cannot be mapped: 0."


def test_a_backup_that_starts_over_is_looked_at_anew(db: Documents) -> None:
    """Because of an index that somebody makes meanwhile; nothing is counted twice."""
    fill(db)

    def interfere(_: Command) -> None:
        db["assessments"].create_index("tag")

    # The first one is for whether there is anything to do.
    found, told = surveyed(db, Strike("find", target="assessments", skip=1, after=interfere))
    assert found == ALL
    assert "Starting the backup over" in told


@pytest.mark.parametrize("skip", [7, 9, 13])
def test_a_lost_connection_loses_nothing_of_the_look(db: Documents, skip: int) -> None:
    """The read goes on behind the last document, which comes twice and counts once."""
    fill(db)
    found, _ = surveyed(db, Strike("getMore", answer=False, skip=skip), batch=50)
    assert found == ALL
