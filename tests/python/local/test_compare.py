"""Two databases of one server compared: everything that differs is found, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp

import oddities
from edulearn_migrate import MigrateError, _native
from edulearn_migrate.rehearsal import Snapshot, differences, remarks
from harness import Client, Documents


@pytest.fixture
def before(
    server_uri: str, client: Client, database_name: str, tmp_path: Path
) -> Iterator[Snapshot]:
    copy = f"{database_name[:50]}_was"
    yield Snapshot(server_uri, database_name, copy, tmp_path / "snapshots")
    client.drop_database(copy)


def only(before: Snapshot) -> dict[str, Any]:
    """The one collection that differs."""
    [found] = before.compare()["collections"]
    return dict(found)


def test_a_copy_of_everything_is_the_same(db: Documents, before: Snapshot) -> None:
    oddities.fill(db)
    before.take()
    assert before.compare()["same"], differences(before.compare())
    # Nothing of the ledger counts, and everything that a restore would leave alone does.
    db["migrations"].delete_many({})
    db["migrations_history"].insert_one({})
    assert before.compare()["same"]
    db["backups"].delete_many({})
    assert differences(before.compare()) == ["backups: 1 document missing (as _id 1)"]
    before.go_back()
    assert before.compare()["same"]
    assert db["backups"].count_documents({}) == 1
    assert db["migrations"].count_documents({}) == 1


def test_every_kind_of_change_is_told(db: Documents, before: Snapshot) -> None:
    oddities.fill(db)
    before.take()
    db["empty"].drop()
    db["made"].insert_one({})
    db["ids"].update_one({"_id": MaxKey()}, {"$set": {"n": Int64(1)}})
    db["ids"].delete_one({"_id": MinKey()})
    db["ids"].insert_one({"_id": Timestamp(2, 2)})
    db["indexed"].drop_index("sparse")
    db["indexed"].create_index("new")
    db.command("collMod", "sessions", index={"name": "kept ones", "expireAfterSeconds": 7200})
    db.command("collMod", "violators", validator={})
    db.command("collMod", "view_of_nothing", viewOn="types", pipeline=[])
    db["large"].update_one({"_id": 2}, {"$set": {"x": {"y": [1]}}})
    told = differences(before.compare())
    expected = [
        "empty: the collection is missing, with 0 documents",
        'ids: 1 document missing (as _id {"$minKey":1})',
        'ids: 1 document that was not there (as _id {"$timestamp":{"t":2,"i":2}})',
        "ids: field n: 1 document had another value",
        'ids:   field n of _id {"$maxKey":1}: was 1, is 1',
        "large: field x: 1 document had none before",
        'large:   field x of _id 2: was absent, is {"y":[1]}',
        "made: a collection that was not there, with 1 document",
    ]
    assert [line for line in told if line.startswith(("empty", "ids", "large", "made"))] == expected
    rest = [line for line in told if line not in expected]
    starts = [
        "indexed: the index sparse is missing (",
        "indexed: an index new_1 that was not there (",
        "sessions: the index kept ones was {",
        'view_of_nothing: the option viewOn was "nowhere", is "types"',
        "view_of_nothing: the option pipeline was [{",
        "violators: the option validator was {",
    ]
    assert len(rest) == len(starts), rest
    for line, start in zip(rest, starts, strict=True):
        assert line.startswith(start)
    before.catch_up()
    assert before.compare()["same"], differences(before.compare())


@pytest.mark.parametrize("collation", [None, {"locale": "de", "strength": 2}])
def test_long_runs_are_joined_whatever_their_order(
    db: Documents, before: Snapshot, collation: Any
) -> None:
    """Gaps of more than a batch, identifiers of several types, texts in the collation's order."""
    db.create_collection("many", collation=collation)
    ids: list[Any] = [*range(6000), *(f"{'ÄaZz'[n % 4]}{n}" for n in range(6000))]
    ids += [ObjectId() for _ in range(1000)]
    db["many"].insert_many([{"_id": id, "n": 1} for id in ids])
    before.take()
    db["many"].delete_many({"_id": {"$lt": 3500}})
    db["many"].delete_many({"_id": {"$in": [f"{'ÄaZz'[n % 4]}{n}" for n in range(3, 6000, 2)]}})
    db["many"].insert_many([{"_id": n, "n": 1} for n in range(10_000, 12_500)])
    db["many"].insert_many([{"_id": Decimal128("0.5")}, {"_id": f"new{5}"}])
    db["many"].update_many({"_id": {"$gte": 5990, "$lt": 6000}}, {"$set": {"n": 2}})
    # One identifier to the server, two to whoever reads bytes.
    db["many"].delete_one({"_id": 5000})
    db["many"].insert_one({"_id": 5000.0, "n": 1})
    found = only(before)["documents"]
    assert (found["missing"], found["added"], found["changed"]) == (3500 + 2999 + 1, 2503, 10)
    assert [(each["field"], each["documents"]) for each in found["fields"]] == [("n", 10)]
    assert (found["before"], found["after"]) == (13_000, 9_003)


def test_another_collation_changes_the_order_only(db: Documents, before: Snapshot) -> None:
    ids = [f"{'bAaB'[n % 4]}{n}" for n in range(3000)]
    db["many"].insert_many([{"_id": id} for id in ids])
    before.take()
    db.drop_collection("many")
    db.create_collection("many", collation={"locale": "en", "strength": 2})
    db["many"].insert_many([{"_id": id} for id in ids if id != "b0"])
    found = only(before)
    assert [each["option"] for each in found["options"]] == ["collation"]
    assert (found["documents"]["missing"], found["documents"]["added"]) == (1, 0)


def test_the_order_of_fields_and_of_a_capped_collection(db: Documents, before: Snapshot) -> None:
    db["plain"].insert_many([{"_id": n, "a": 1, "b": {"x": 1, "y": 2}} for n in range(5)])
    db.create_collection("capped", capped=True, size=100_000)
    db["capped"].insert_many([{"_id": n} for n in range(5)])
    before.take()
    db["plain"].replace_one({"_id": 3}, {"b": {"y": 2, "x": 1}, "a": 1})
    db.drop_collection("capped")
    db.create_collection("capped", capped=True, size=100_000)
    db["capped"].insert_many([{"_id": n} for n in reversed(range(5))])
    found = before.compare()
    assert differences(found) == [
        "capped: the same documents, but in another order than they were inserted in",
        "plain: 1 document with the same fields in another order (as _id 3)",
    ]
    assert remarks(found) == [differences(found)[1]]
    assert not found["same"]
    db.drop_collection("capped")
    before.take()
    db["plain"].replace_one({"_id": 2}, {"b": {"y": 2, "x": 1}, "a": 1})
    found = before.compare()
    assert found["same"]
    assert remarks(found)


def test_measurements_are_compared_not_buckets(db: Documents, before: Snapshot) -> None:
    series = {"timeField": "at", "metaField": "of"}
    rows = [
        {"at": oddities.NOW + timedelta(minutes=n), "of": n % 3, "n": n, "m": 1} for n in range(500)
    ]
    db.create_collection("series", timeseries=series)
    db["series"].insert_many([dict(row) for row in rows])
    stored = list(db["series"].find({}))
    before.take()
    db.drop_collection("series")
    db.create_collection("series", timeseries=series)
    # The same measurements in other buckets, one of them twice and one never.
    db["series"].insert_many([*stored[::-2], *stored[-2::-2]])
    assert before.compare()["same"]
    db["series"].insert_one(stored[7])
    found = only(before)["documents"]
    assert (found["missing"], found["added"]) == (0, 1)


def test_what_stops_it_and_what_it_refuses(
    db: Documents, before: Snapshot, server_uri: str, database_name: str
) -> None:
    db["a"].insert_one({})
    stop = _native.StopToken()
    stop.set()
    engine = _native.Engine(server_uri, database_name)
    with pytest.raises(_native.InterruptedRunError):
        _native.compare_databases(engine, before.name, stop=stop)
    for other in ("admin", "config", ""):
        with pytest.raises(MigrateError):
            _native.compare_databases(engine, other)
    with pytest.raises(MigrateError, match="another name"):
        _native.drop_copy(engine, database_name)
    assert db["a"].count_documents({}) == 1
