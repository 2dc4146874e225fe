"""Documents that are kept: in batches that the server takes, back as they were, never lost."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId, Timestamp

from edulearn_migrate import Migrator, WrongStateError
from features import require
from harness import Documents, delete, update, write_migration
from random_migrations import snapshot
from undoing import check_same, counts, undo

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Cli

OLD = datetime(2026, 1, 1, tzinfo=timezone.utc)
# Not the collection's: the operation is one transaction.
OTHER = {"locale": "fr"}


def only_name(migrator: Migrator) -> str:
    """The name of the one thing that is set aside."""
    (entry,) = migrator.dropped()
    return entry.name


# The server's limits.


def test_more_documents_than_one_insert_takes_return(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    many = 100_500
    db["c"].insert_many([{"_id": at} for at in range(many)])
    write_migration(directory, 1, [{**delete("c", {}), "options": {"collation": OTHER}}])
    migrator.apply()
    assert db["c"].count_documents({}) == 0
    name = only_name(migrator)
    back = migrator.undrop(name)
    assert (back.documents, back.standing, back.barred) == (many, 0, 0)
    back = migrator.undrop(name)
    assert (back.documents, back.standing, back.barred) == (0, many, 0)
    assert counts(undo(migrator)) == (many, 0, 0, 0)
    assert db["c"].count_documents({}) == many


@pytest.mark.parametrize("what", ["delete", "unset"])
def test_more_bytes_than_one_insert_takes_return(
    db: Documents, directory: Path, migrator: Migrator, what: str
) -> None:
    db["c"].insert_many([{"_id": at, "pad": os.urandom(700_000)} for at in range(40)])
    before = snapshot(db)
    operation = update("c", {}, {"$unset": {"pad": ""}}, collation=OTHER)
    if what == "delete":
        operation = {**delete("c", {}), "options": {"collation": OTHER}}
    write_migration(directory, 1, [operation])
    migrator.apply()
    if what == "delete":
        assert migrator.undrop(only_name(migrator)).documents == 40
        check_same(before, db)
        db["c"].delete_many({})
    assert counts(undo(migrator)) == (40, 0, 0, 0)
    check_same(before, db)


@pytest.mark.parametrize("way", ["undrop", "exact"])
def test_more_buckets_than_one_insert_takes_return(
    db: Documents, directory: Path, migrator: Migrator, way: str
) -> None:
    db.create_collection("c", timeseries={"timeField": "t", "metaField": "m"})
    pads = [os.urandom(20_000) for _ in range(50)]
    for part in range(20):
        db["c"].insert_many(
            [
                {"t": OLD + timedelta(seconds=part * 50 + at), "m": at % 7, "pad": pad}
                for at, pad in enumerate(pads)
            ]
        )
    before = snapshot(db)
    write_migration(directory, 1, [{"type": "drop_collection", "collection": "c"}])
    migrator.apply()
    if way == "undrop":
        migrator.undrop(only_name(migrator))
    else:
        undo(migrator)
    check_same(before, db)


def test_a_tree_that_is_as_deep_as_the_server_stores_goes_and_returns(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    tree: dict[str, Any] = {"end": 1}
    for _ in range(176):
        tree = {"d": tree}
    db["c"].insert_many([{"_id": 1, "tree": tree}, {"_id": 2, "tree": tree, "t": Timestamp(1, 1)}])
    db["c"].update_one({"_id": 2}, [{"$set": {"t": {"$literal": Timestamp(0, 0)}}}])
    before = snapshot(db)
    inside = ".".join(["tree", *["d"] * 176, "end"])
    write_migration(
        directory,
        1,
        [
            update("c", {}, {"$set": {inside: 2}}),
            update("c", {}, {"$unset": {"tree": ""}}),
            delete("c", {}),
        ],
    )
    migrator.apply()
    assert counts(undo(migrator)) == (6, 0, 0, 0)
    check_same(before, db)


def test_a_deep_document_with_a_zero_timestamp_is_kept(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    tree: dict[str, Any] = {"end": 1}
    for _ in range(177):
        tree = {"d": tree}
    db["c"].insert_one({"_id": 1, "tree": tree})
    db["c"].update_one({"_id": 1}, [{"$set": {"t": {"$literal": Timestamp(0, 0)}}}])
    before = snapshot(db)
    write_migration(directory, 1, [delete("c", {})])
    migrator.apply()
    assert migrator.undrop(only_name(migrator)).documents == 1
    check_same(before, db)


# As they were.


def test_undrop_keeps_zero_timestamps_and_counts_what_an_index_bars(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_many([{"_id": at, "mail": at} for at in range(6)])
    db["c"].update_many({}, [{"$set": {"t": {"$literal": Timestamp(0, 0)}}}])
    db["c"].create_index("mail", unique=True)
    was = list(db["c"].find())
    write_migration(directory, 1, [delete("c", {})])
    migrator.apply()
    db["c"].insert_many([{"_id": "mine", "mail": 3}, {"_id": 5, "mail": "mine"}])
    back = migrator.undrop(only_name(migrator))
    assert (back.documents, back.standing, back.barred) == (4, 1, 1)
    assert list(db["c"].find({"_id": {"$in": [0, 1, 2, 4]}}).sort("_id", 1)) == [*was[:3], was[4]]


def test_what_a_rollback_cannot_bring_back_stays_listed_until_somebody_decides(
    cli: Cli, db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_many([{"_id": at, "mail": at} for at in range(6)])
    db["c"].create_index("mail", unique=True)
    write_migration(directory, 1, [delete("c", {})])
    migrator.apply()
    db["c"].insert_many([{"_id": "mine", "mail": 3}, {"_id": 5, "mail": "mine"}])
    assert counts(undo(migrator)) == (4, 0, 0, 2)
    (entry,) = migrator.dropped()
    assert (entry.kind, entry.collection, entry.documents) == ("documents", "c", 2)
    report = migrator.purge()
    assert [each.migration for each in report.left] == ["migration_001"]
    assert [each.exact for each in report.purged] == [True]
    assert "a rollback could not bring back all of it" in cli("purge").stdout
    back = migrator.undrop(entry.name)
    assert (back.documents, back.standing, back.barred) == (0, 1, 1)
    db["c"].delete_one({"_id": "mine"})
    back = migrator.undrop(entry.name)
    assert (back.documents, back.standing, back.barred) == (1, 1, 0)
    assert db["c"].find_one({"_id": 3}) == {"_id": 3, "mail": 3}
    db["c"].delete_one({"_id": 5})
    assert migrator.undrop(entry.name).documents == 1
    assert not migrator.dropped()
    assert [each.migration for each in migrator.purge().purged] == ["migration_001"]


def test_to_name_the_migration_is_to_decide(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_one({"_id": 1})
    write_migration(directory, 1, [delete("c", {})])
    migrator.apply()
    db["c"].insert_one({"_id": 1, "mine": True})
    undo(migrator)
    assert len(migrator.purge("migration_001").purged) == 2
    assert not migrator.dropped()


def test_documents_of_a_collection_that_is_gone_stay_listed(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_many([{"_id": at} for at in range(3)])
    write_migration(directory, 1, [delete("c", {"_id": {"$gt": 0}})])
    migrator.apply()
    db["c"].drop()
    assert counts(undo(migrator)) == (0, 0, 2, 0)
    (entry,) = migrator.dropped()
    assert entry.documents == 2
    assert migrator.undrop(entry.name, to="d").documents == 2
    assert [each["_id"] for each in db["d"].find()] == [1, 2]


def test_what_undrop_brought_back_goes_on_back(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    """Nobody has edited it."""
    db["c"].insert_many([{"_id": at, "v": 1} for at in range(3)])
    before = snapshot(db)
    write_migration(directory, 1, [update("c", {}, {"$set": {"v": 2}}), delete("c", {"_id": 1})])
    migrator.apply()
    migrator.undrop(only_name(migrator))
    assert counts(undo(migrator)) == (4, 0, 0, 0)
    check_same(before, db)


# A collection that moved.


def test_a_collection_that_was_renamed_since_is_followed(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_many([{"_id": at, "v": 1} for at in range(5)])
    before = {each["_id"]: each for each in db["c"].find()}
    index = {"type": "create_index", "collection": "c", "index": [["v", 1]]}
    up = [delete("c", {"_id": {"$lt": 3}}), update("c", {}, {"$set": {"v": 2}}), index]
    write_migration(directory, 1, up)
    write_migration(directory, 2, [{"type": "rename_collection", "collection": "c", "to": "d"}])
    migrator.apply()
    db["c"].insert_one({"_id": 1, "mine": True})
    assert counts(undo(migrator)) == (5, 0, 0, 0)
    assert {each["_id"]: each for each in db["d"].find()} == before
    assert list(db["d"].index_information()) == ["_id_"]
    assert list(db["c"].find()) == [{"_id": 1, "mine": True}]


def test_a_collection_that_a_later_migration_dropped_bars_the_rollback(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_many([{"_id": at} for at in range(5)])
    before = snapshot(db)
    write_migration(directory, 1, [delete("c", {"_id": {"$lt": 3}})])
    write_migration(directory, 2, [{"type": "drop_collection", "collection": "c"}])
    migrator.apply()
    with pytest.raises(WrongStateError, match=r"was dropped by migration_002.*Nothing was done"):
        undo(migrator)
    undo(migrator, "migration_002")
    assert counts(undo(migrator)) == (3, 0, 0, 0)
    check_same(before, db)


def test_a_rename_that_a_later_migration_renamed_bars_the_rollback(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_one({"_id": 1})
    before = snapshot(db)
    for number, (name, to) in enumerate([("c", "d"), ("d", "e")], 1):
        write_migration(
            directory, number, [{"type": "rename_collection", "collection": name, "to": to}]
        )
    migrator.apply()
    with pytest.raises(WrongStateError, match="was renamed by migration_002"):
        undo(migrator)
    migrator.rollback(exact=True)
    check_same(before, db)


# Measurements.


def test_measurements_come_back_once(db: Documents, directory: Path, migrator: Migrator) -> None:
    require(db, "updates and deletes of measurements")
    db.create_collection("c", timeseries={"timeField": "t", "metaField": "m"})
    for meta in range(2):
        db["c"].insert_many([{"t": OLD + timedelta(hours=at), "m": meta} for at in range(10)])
    before = sorted(str(each) for each in db["c"].find())
    write_migration(directory, 1, [delete("c", {"m": 1})])
    migrator.apply()
    name = only_name(migrator)
    assert (migrator.undrop(name).documents, migrator.undrop(name).documents) == (10, 0)
    assert counts(undo(migrator)) == (10, 0, 0, 0)
    assert sorted(str(each) for each in db["c"].find()) == before


def test_measurements_whose_return_was_cut_off_come_back_once(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    """Marked as begun; of these some are back."""
    require(db, "updates and deletes of measurements")
    db.create_collection("c", timeseries={"timeField": "t", "metaField": "m"})
    db["c"].insert_many([{"t": OLD, "m": 1, "v": at} for at in range(10)])
    before = sorted(each["v"] for each in db["c"].find())
    write_migration(directory, 1, [delete("c", {"m": 1})])
    migrator.apply()
    (kept,) = [name for name in db.list_collection_names() if name.endswith("_1")]
    begun = list(db[kept].find().limit(6))
    db[kept].update_many({"_id": {"$in": [each["_id"] for each in begun]}}, {"$set": {"r": 1}})
    db["c"].insert_many([each["d"] for each in begun[:4]])
    assert migrator.undrop(only_name(migrator)).documents == 10
    assert sorted(each["v"] for each in db["c"].find()) == before


def test_measurements_that_were_inserted_cannot_be_taken_back(
    cli: Cli, db: Documents, directory: Path, migrator: Migrator
) -> None:
    db.create_collection("c", timeseries={"timeField": "t"})
    documents = [{"t": {"$date": "2026-01-01T00:00:00Z"}}]
    write_migration(
        directory, 1, [{"type": "insert_documents", "collection": "c", "documents": documents}]
    )
    text = (directory / "migrations" / "migration_001_number_1.json").read_text()
    assert "$date" in text
    migrator.apply()
    done = cli("rollback", "migration_001", "--exact")
    assert done.code == 1
    assert "cannot be taken back" in done.stdout + done.stderr
    assert "conflict" not in done.stdout
    assert db["c"].count_documents({}) == 1


# The `_id`s of inserted documents.


def test_ids_of_different_operations_never_overlap(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    documents: list[dict[str, Any]] = [{"v": at} for at in range(3)]
    for number in (1, 2):
        write_migration(
            directory,
            number,
            [
                {"type": "insert_documents", "collection": name, "documents": documents}
                for name in ("c", "c", "d")
            ],
        )
    migrator.apply()
    ids: list[ObjectId] = [each["_id"] for name in ("c", "d") for each in db[name].find()]
    assert len(ids) == len(set(ids)) == 18
