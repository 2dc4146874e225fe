"""The exact rollback of documents: byte for byte, by the three-way rule, among other writers."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import bson
import pymongo
import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.raw_bson import RawBSONDocument

from edulearn_migrate import MigrationRun, Migrator, OperationFailedError, Undone, WrongStateError
from edulearn_migrate.local import LocalServer
from features import require
from harness import Client, Documents, delete, fail_point, insert, until, update, write_migration
from random_migrations import differences, snapshot
from undoing import undo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Cli

FULL = 16 * 1024 * 1024
INT32, STRING, DOCUMENT, ARRAY = 0x10, 0x02, 0x03, 0x04
OLD = datetime(2026, 1, 1, tzinfo=timezone.utc)


def element(kind: int, name: bytes, value: bytes) -> bytes:
    """One element of a document, as bytes that no encoder would write."""
    return bytes([kind]) + name + b"\0" + value


def number(name: bytes, value: int) -> bytes:
    return element(INT32, name, value.to_bytes(4, "little"))


def text(name: bytes, value: bytes) -> bytes:
    return element(STRING, name, (len(value) + 1).to_bytes(4, "little") + value + b"\0")


def document(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def nested(name: bytes, *elements: bytes) -> bytes:
    return element(DOCUMENT, name, document(*elements))


def store(db: Documents, *documents: bytes) -> None:
    """Inserts them as they are."""
    db.command({"insert": "c", "documents": [RawBSONDocument(each) for each in documents]})


def counts(run: MigrationRun, collection: str = "c") -> tuple[int, int, int, int, int]:
    """Restored, restored with edits, gone, made since, conflicts."""
    found: list[Undone] = [each for each in run.undone if each.collection == collection]
    assert len(found) == 1, run.undone
    return (
        found[0].restored,
        found[0].restored_with_edits,
        found[0].gone,
        found[0].made_since,
        found[0].conflicts,
    )


def there_and_back(
    db: Documents, migrator: Migrator, directory: Path, *operations: dict[str, Any]
) -> MigrationRun:
    """Applies the operations, which must change something, undoes them and compares every byte."""
    __tracebackhide__ = True
    before = snapshot(db)
    write_migration(directory, 1, operations)
    migrator.apply()
    assert snapshot(db) != before, "the migration changed nothing"
    run = undo(migrator)
    after = snapshot(db)
    assert before == after, "\n".join(differences(before, after))
    return run


# Byte for byte.

INNER = document(number(b"x", 1), number(b"x", 2))
ODD = {
    "names twice": document(number(b"_id", 1), number(b"a", 1), text(b"b", b"x"), number(b"a", 2)),
    "names twice inside": document(number(b"_id", 2), number(b"a", 1), element(3, b"d", INNER)),
    "names twice inside an array": document(
        number(b"_id", 3), element(ARRAY, b"l", document(element(DOCUMENT, b"0", INNER)))
    ),
    "dollars": document(number(b"_id", 4), number(b"$a", 1), number(b"$set", 2), number(b"a", 3)),
    "dollars inside": document(number(b"_id", 5), nested(b"d", number(b"$inc", 1))),
    "dots": document(number(b"_id", 6), number(b"a.b", 1), number(b"a", 2), number(b".", 3)),
    "dots inside": document(number(b"_id", 7), nested(b"d", number(b"x.y", 1)), number(b"a", 1)),
    "no name": document(number(b"_id", 8), number(b"", 1), number(b"a", 2)),
    "no name inside": document(number(b"_id", 9), nested(b"d", number(b"", 1)), number(b"a", 2)),
    "no UTF-8": document(number(b"_id", 10), text(b"a", b"\xff\xfe"), number(b"k\xff", 5)),
    "no UTF-8 inside": document(number(b"_id", 11), nested(b"d", text(b"\xc3", b"\x80"))),
    "odd array keys": document(
        number(b"_id", 12), element(ARRAY, b"l", document(number(b"7", 1), number(b"7", 2)))
    ),
    "half a reference": document(number(b"_id", 13), nested(b"a", text(b"$ref", b"u"))),
    "a field in the middle": bson.encode(
        {"_id": 14, "z": 1, "a": {"q": 1, "p": 2}, "b": 2, "y": 0}
    ),
    "not a number": bson.encode({"_id": 15, "a": float("nan"), "b": -0.0, "d": {}, "l": []}),
    "every type": bson.encode(
        {
            "_id": 16,
            "a": [
                Int64(1),
                Decimal128("1.0"),
                Binary(b"x", 2),
                Regex("a", "i"),
                Code("f", {"z": 1}),
            ],
            "d": {"min": MinKey(), "max": MaxKey(), "r": DBRef("u", 1), "t": Timestamp(0, 0)},
            "b": OLD,
        }
    ),
}
CHANGES: dict[str, list[dict[str, Any]]] = {
    "$set": [update("c", {}, {"$set": {"a": "new", "added": {"x": [1]}}})],
    "$unset": [update("c", {}, {"$unset": {"a": "", "d": "", "l": ""}})],
    "$unset, then $set": [
        update("c", {}, {"$unset": {"a": ""}}),
        update("c", {}, {"$set": {"a": "last"}}),
    ],
    "$rename": [update("c", {}, {"$rename": {"a": "renamed", "d": "moved"}})],
    "a field inside": [update("c", {"d": {"$type": "object"}}, {"$set": {"d.added": 1}})],
    "a pipeline": [update("c", {}, [{"$set": {"d": {"$literal": {"n": 1}}, "b": "$$REMOVE"}}])],
    "another order": [
        update("c", {"_id": 14}, [{"$replaceWith": {"$mergeObjects": [{"y": 9}, "$$ROOT"]}}])
    ],
    "deleted": [delete("c", {})],
    "changed, then deleted": [
        update("c", {}, {"$set": {"a": 5}}),
        delete("c", {"_id": {"$gt": 3}}),
    ],
    "dropped": [
        update("c", {}, {"$set": {"a": 5}}),
        {"type": "drop_collection", "collection": "c"},
    ],
}
# The server ends itself when a pipeline meets one name twice.
FATAL = {"names twice", "names twice inside", "names twice inside an array", "odd array keys"}


@pytest.mark.parametrize("change", CHANGES)
def test_odd_documents_return_byte_for_byte(
    db: Documents, migrator: Migrator, directory: Path, change: str
) -> None:
    pipeline = change in ("a pipeline", "another order")
    store(db, *(each for name, each in ODD.items() if not (pipeline and name in FATAL)))
    run = there_and_back(db, migrator, directory, *CHANGES[change])
    assert counts(run)[1:] == (0, 0, 0, 0)


IDS: list[Any] = [
    None,
    True,
    5,
    5.5,
    Int64(2**40),
    Decimal128("7.25"),
    float("nan"),
    "",
    "text",
    ObjectId("64b000000000000000000001"),
    OLD,
    Timestamp(0, 0),
    Timestamp(5, 6),
    Binary(b"", 0),
    Binary(b"x" * 16, 4),
    Code("f"),
    Code("f", {"a": 1}),
    DBRef("c", 1),
    {},
    {"b": 1, "a": {"x.y": 1}},
    {"a": 1, "b": 1},
    MinKey(),
    MaxKey(),
]


@pytest.mark.parametrize("operation", ["update", "delete", "one by one"])
def test_every_type_of_id(
    db: Documents, migrator: Migrator, directory: Path, operation: str
) -> None:
    db["c"].insert_many([{"_id": each, "n": at} for at, each in enumerate(IDS)])
    store(
        db,
        document(text(b"_id", b"\xff"), number(b"n", 100)),
        document(element(DOCUMENT, b"_id", INNER), number(b"n", 101)),
    )
    up = {
        "update": [update("c", {}, {"$inc": {"n": 1000}})],
        "delete": [delete("c", {})],
        # The values are the others' on the way.
        "one by one": [update("c", {}, {"$set": {"n": 1}}), update("c", {}, {"$unset": {"n": ""}})],
    }[operation]
    run = there_and_back(db, migrator, directory, *up)
    assert counts(run)[1:] == (0, 0, 0, 0)


def with_zero_timestamp(db: Documents, fields: bytes) -> None:
    """Stores a document with a zero timestamp, which an insert would replace by the time."""
    stamp = element(0x11, b"stamp", (7).to_bytes(8, "little"))
    store(db, document(number(b"_id", 1), stamp, fields))
    db["c"].update_one({"_id": 1}, {"$set": {"stamp": Timestamp(0, 0)}})


@pytest.mark.parametrize(
    "fields",
    [number(b"a", 1), number(b"a", 1) + number(b"$b", 2) + number(b"c.d", 3)],
    ids=["plain", "odd names"],
)
@pytest.mark.parametrize(
    "up",
    [
        [delete("c", {})],
        [update("c", {}, {"$unset": {"a": ""}})],
        [update("c", {}, {"$set": {"a": 2}})],
        [update("c", {}, {"$set": {"stamp": 5}})],
        [update("c", {}, {"$unset": {"stamp": ""}}), delete("c", {})],
        [{"type": "drop_collection", "collection": "c"}],
    ],
    ids=["delete", "$unset", "$set", "the stamp", "the stamp, then delete", "drop"],
)
def test_a_zero_timestamp_returns(
    db: Documents, migrator: Migrator, directory: Path, up: list[dict[str, Any]], fields: bytes
) -> None:
    with_zero_timestamp(db, fields)
    there_and_back(db, migrator, directory, *up)


def test_a_zero_timestamp_beside_a_name_twice_does_not_end_the_server(cli: Cli) -> None:
    """Through a pipeline such a document would end MongoDB 6.0, whatever field has it."""
    odd = element(ARRAY, b"l", document(element(DOCUMENT, b"0", INNER)))
    up = update("c", {}, {"$set": {"l": [{"x": 3}]}, "$unset": {"a": ""}})
    write_migration(cli.directory, 1, [up])
    with LocalServer() as server, pymongo.MongoClient[dict[str, Any]](server.uri) as client:
        with_zero_timestamp(client["edulearn"], odd + number(b"a", 1))
        where = {"MONGO_URI": server.uri, "DB_NAME": "edulearn"}
        assert cli("apply", env=where).code == 0
        undoing = cli.start("rollback", "migration_001", "--exact", env=where)
        with pymongo.timeout(20):
            # Without a server it would wait for another primary.
            until(lambda: client.admin.command("ping") and undoing.poll() is not None, "it ends")
        assert undoing.returncode == 0


def full(id: int, **fields: Any) -> bytes:
    """A document of exactly 16 MiB."""
    rest = FULL - len(bson.encode({"_id": id, **fields, "big": ""}))
    return bson.encode({"_id": id, **fields, "big": "x" * rest})


def test_documents_of_16_mib(db: Documents, migrator: Migrator, directory: Path) -> None:
    for each in (full(1, a=1), full(2, a=1), full(3), full(4, **{"$a": 1, "b": 1})):
        store(db, each)
    run = there_and_back(
        db,
        migrator,
        directory,
        update("c", {"_id": 1}, {"$set": {"a": 2}}),
        update("c", {"_id": 1}, {"$unset": {"a": ""}}),
        update("c", {"_id": 2}, {"$set": {"big": "small"}}),
        update("c", {"_id": 4}, {"$set": {"b": 2}}),
        delete("c", {"_id": 3}),
    )
    assert counts(run) == (5, 0, 0, 0, 0)


def test_more_than_one_command_can_hold(db: Documents, migrator: Migrator, directory: Path) -> None:
    """Commands have 48 MB at most, transactions of ours less."""
    for at in range(24):
        store(db, bson.encode({"_id": at, "big": "x" * 3_000_000}))
    run = there_and_back(
        db,
        migrator,
        directory,
        update("c", {"_id": {"$lt": 12}}, {"$set": {"big": 1}}),
        delete("c", {"_id": {"$gte": 12}}),
    )
    assert counts(run) == (24, 0, 0, 0, 0)


def test_documents_that_have_grown_since(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    """What was small enough for one transaction need not be so any more."""
    db["c"].insert_many([{"_id": at, "a": 1} for at in range(100)])
    write_migration(directory, 1, [update("c", {}, {"$set": {"a": 2}})])
    migrator.apply()
    db["c"].update_many({}, {"$set": {"big": "x" * 700_000}})
    assert counts(undo(migrator)) == (0, 100, 0, 0, 0)
    assert db["c"].count_documents({"a": 1}) == 100


# Every kind of update.


@pytest.mark.parametrize(
    "operation",
    [
        update("c", {"n": {"$gte": 0}}, {"$push": {"l": {"$each": [9], "$position": 0}}}),
        update("c", {}, {"$pull": {"l": {"$gte": 2}}}),
        update("c", {}, {"$set": {"l.$[e]": 0}}, array_filters=[{"e": {"$gt": 1}}]),
        update("c", {"l": 2}, {"$set": {"l.$": "two"}}),
        update("c", {"l": 2}, {"$set": {"l.$": "two"}}, multi=False),
        update("c", {"n": {"$gt": 1}}, {"$inc": {"n": -1}}, multi=False),
        update("c", {"$expr": {"$gt": ["$n", "$$low"]}}, {"$inc": {"n": 5}}, let={"low": 2}),
        update("c", {}, [{"$set": {"n": {"$add": ["$n", "$$by"]}}}], let={"by": 3}),
        update("c", {"s": "É"}, {"$set": {"s": 1}}, collation={"locale": "fr", "strength": 1}),
        update("c", {"$text": {"$search": "hello"}}, {"$set": {"found": True}}),
        update("c", {"n": 99}, {"$set": {"a": 1}}, upsert=True),
        update("c", {"_id": "made"}, {"$inc": {"a": 1}}, upsert=True, multi=False),
        update("c", {"n": 3}, {"$set": {"a": 1}}, upsert=True, multi=False),
        update("c", {"at": {"$near": [0, 0]}}, {"$set": {"near": 1}}, multi=False),
        update("c", {"at": {"$geoWithin": {"$center": [[0, 0], 3]}}}, {"$set": {"near": 1}}),
        update("c", {}, {"$currentDate": {"now": True, "stamp": {"$type": "timestamp"}}}),
        update("c", {}, {"$bit": {"n": {"xor": 3}}}),
        update("c", {"n": {"$lt": 4}}, {"$mul": {"n": 1.5}}, hint="n_1"),
        update("c", {"$where": "this.n > 2"}, {"$unset": {"n": ""}}),
        update("c", {}, [{"$project": {"n": 1}}]),
    ],
    ids=lambda operation: " ".join(map(str, list(operation.values())[2:]))[:70],
)
def test_updates_of_every_kind(
    db: Documents, migrator: Migrator, directory: Path, operation: dict[str, Any]
) -> None:
    db["c"].insert_many(
        [
            {"_id": at, "n": at, "l": [1, 2, 3], "s": s, "t": "hello", "at": [at, at]}
            for at, s in enumerate(["e", "E", "é", "É", "f"])
        ]
    )
    db["c"].create_index([("t", "text")])
    db["c"].create_index([("at", "2d")])
    db["c"].create_index("n")
    run = there_and_back(db, migrator, directory, operation)
    assert counts(run)[1:] == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"$push": {"l": {"$each": [9], "$slice": 2}}},
        {"$push": {"l": {"$each": [], "$sort": 1}}},
        {"$push": {"l": {"$each": []}}},
    ],
)
@pytest.mark.parametrize("multi", [True, False])
def test_what_the_server_counts_as_modified_and_leaves_as_it_was(
    db: Documents, migrator: Migrator, directory: Path, change: Any, multi: bool
) -> None:
    """`$push` says `nModified: 1` also where the array comes out as it was."""
    db["c"].insert_many([{"_id": 1, "l": [1, 2]}, {"_id": 2, "l": [2, 1]}])
    before = snapshot(db)
    write_migration(directory, 1, [update("c", {"_id": {"$lt": 5}}, change, multi=multi)])
    assert migrator.apply().ids("applied") == ["migration_001"]
    undo(migrator)
    assert snapshot(db) == before


def test_ids_and_texts_under_a_collation(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db.create_collection("c", collation={"locale": "en", "strength": 2})
    db["c"].insert_many([{"_id": f"{letter}1", "n": "X"} for letter in "aBcDé"])
    write_migration(
        directory, 1, [update("c", {"n": "x"}, {"$set": {"n": 1}}), delete("c", {"_id": "b1"})]
    )
    before = snapshot(db)
    migrator.apply()
    # Under this collation they are the old ones' _ids, and no others than the old ones.
    db["c"].insert_one({"_id": "b1", "mine": True})
    db["c"].delete_one({"_id": "a1"})
    db["c"].insert_one({"_id": "A1", "n": 1})
    run = undo(migrator)
    # Of "a1" and of "B1" nothing stands any more but what took their place.
    assert counts(run) == (3, 0, 2, 0, 1)
    assert db["c"].find_one({"_id": "B1"}) == {"_id": "b1", "mine": True}
    assert db["c"].find_one({"_id": "a1"}) == {"_id": "A1", "n": 1}
    assert len(before["c"]["documents"]) == db["c"].count_documents({})


def test_inserted_documents_of_every_kind(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_one({"_id": "old"})
    run = there_and_back(
        db,
        migrator,
        directory,
        insert(
            "c", {"a": 1}, {"a": 1, "_id": 5}, {"_id": {"b": 1}}, {"_id": 6, "t": Timestamp(0, 0)}
        ),
        update("c", {"_id": 5}, {"$set": {"a": {"b": 1}}}),
        delete("c", {"_id": 6}),
    )
    assert counts(run)[1:] == (0, 0, 0, 0)


# A unique index on the way back.


@pytest.mark.parametrize("by", [1, -1])
def test_values_that_move_along_a_unique_index(
    db: Documents, migrator: Migrator, directory: Path, by: int
) -> None:
    db["c"].insert_many([{"_id": at, "n": -by * at} for at in range(250)])
    db["c"].create_index("n", unique=True)
    run = there_and_back(db, migrator, directory, update("c", {}, {"$inc": {"n": by}}))
    assert counts(run) == (250, 0, 0, 0, 0)


def test_values_that_somebody_has_taken_since(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_many([{"_id": at, "n": at} for at in range(1, 8)])
    db["c"].create_index("n", unique=True)
    write_migration(
        directory,
        1,
        [update("c", {"_id": {"$lt": 5}}, {"$inc": {"n": 100}}), delete("c", {"_id": 6})],
    )
    migrator.apply()
    db["c"].insert_many([{"_id": "mine", "n": 2}, {"_id": "mine too", "n": 6}])
    run = undo(migrator)
    assert counts(run) == (3, 0, 0, 0, 2)
    assert {each["_id"]: each["n"] for each in db["c"].find()} == {
        1: 1, 2: 102, 3: 3, 4: 4, 5: 5, 7: 7, "mine": 2, "mine too": 6,
    }  # fmt: skip


def test_many_values_taken_take_no_time_each(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    """A barred value is no contention: nobody is waited for."""
    db["c"].insert_many([{"_id": at, "n": at} for at in range(1000)])
    db["c"].create_index("n", unique=True)
    write_migration(directory, 1, [update("c", {}, {"$inc": {"n": 10_000}})])
    migrator.apply()
    db["c"].insert_many([{"_id": -at, "n": at} for at in range(1, 1000, 5)])
    run = undo(migrator)
    assert counts(run) == (800, 0, 0, 0, 200)
    assert run.operations[0].conflicts == 0
    assert run.seconds < 6


def test_a_validator_that_the_old_values_violate(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_many([{"_id": 1, "a": "old"}, {"_id": 2, "a": "old"}])
    write_migration(
        directory,
        1,
        [
            update("c", {"_id": 1}, {"$set": {"a": 1}}),
            update("c", {"_id": 1}, {"$unset": {"b": ""}}),
            delete("c", {"_id": 2}),
        ],
    )
    before = snapshot(db)["c"]["documents"]
    migrator.apply()
    db.command({"collMod": "c", "validator": {"a": {"$type": "int"}}})
    assert counts(undo(migrator)) == (2, 0, 0, 0, 0)
    assert snapshot(db)["c"]["documents"] == before


# The three-way rule.


def test_later_edits_field_by_field_and_key_by_key(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    first = {"a": 1, "d": {"x": 1, "y": {"p": 1, "q": 1}}, "l": [1, 2], "own": 0}
    db["c"].insert_many([{"_id": at, **first} for at in range(8)])
    change = {"$set": {"a": 2, "d.x": 2, "d.y.p": 2, "d.new": 2, "l": [3]}, "$unset": {"d.y.q": ""}}
    write_migration(directory, 1, [update("c", {}, change)])
    migrator.apply()
    edits: list[Any] = [
        {"$set": {"own": 9, "more": 9}},
        {"$set": {"a": 9}},
        {"$set": {"d.x": 9}},
        {"$set": {"d.y.p": 9, "d.y.r": 9}},
        {"$set": {"d.y.q": 9}},
        {"$unset": {"d.new": ""}},
        {"$set": {"d": "no document any more"}},
        {"$push": {"l": 9}},
    ]
    for at, each in enumerate(edits):
        db["c"].update_one({"_id": at}, each)
    assert counts(undo(migrator)) == (0, 2, 0, 0, 6)
    assert list(db["c"].find({}, {"_id": 0})) == [
        {**first, "own": 9, "more": 9},
        {**first, "a": 9},
        {**first, "d": {"x": 9, "y": {"p": 1, "q": 1}}},
        {**first, "d": {"x": 1, "y": {"p": 9, "q": 1, "r": 9}}},
        {**first, "d": {"x": 1, "y": {"p": 1, "q": 9}}},
        first,
        {**first, "d": "no document any more"},
        {**first, "l": [3, 9]},
    ]


def test_what_was_deleted_and_made_since(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_many([{"_id": at, "a": 1} for at in range(6)])
    up = [
        update("c", {"_id": {"$lt": 3}}, {"$set": {"a": 2}}),
        delete("c", {"_id": {"$gte": 4}}),
        insert("c", {"_id": 10}, {"_id": 11}, {"_id": 12}),
    ]
    write_migration(directory, 1, up)
    migrator.apply()
    db["c"].delete_many({"_id": {"$in": [0, 10]}})
    db["c"].insert_many([{"_id": 4, "mine": 1}, {"_id": 20}])
    db["c"].update_one({"_id": 11}, {"$set": {"mine": 1}})
    # Made anew by somebody with the very same bytes: nothing tells it from the migration's.
    db["c"].delete_one({"_id": 1})
    run = undo(migrator)
    assert counts(run) == (3, 0, 3, 0, 2)
    assert {each.pop("_id"): each for each in db["c"].find()} == {
        2: {"a": 1}, 3: {"a": 1}, 4: {"mine": 1}, 5: {"a": 1}, 11: {"mine": 1}, 20: {},
    }  # fmt: skip


def test_an_edit_to_a_value_that_the_migration_wrote_on_its_way_stays(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    """Two operations wrote the field; what counts as written is what the last one left."""
    db["c"].insert_many([{"_id": 1, "s": "new"}, {"_id": 2, "s": "new"}])
    write_migration(
        directory,
        1,
        [update("c", {}, {"$set": {"s": "draft"}}), update("c", {}, {"$set": {"s": "live"}})],
    )
    migrator.apply()
    db["c"].update_one({"_id": 1}, {"$set": {"s": "draft"}})
    run = undo(migrator)
    assert list(db["c"].find()) == [{"_id": 1, "s": "draft"}, {"_id": 2, "s": "new"}]
    assert counts(run)[4] > 0


def test_an_inserted_document_put_back_to_what_it_was_at_first_stays(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    write_migration(
        directory, 1, [insert("c", {"_id": 1, "s": 1}), update("c", {}, {"$set": {"s": 2}})]
    )
    db["c"].insert_one({"_id": 0, "s": 0})
    migrator.apply()
    db["c"].update_one({"_id": 1}, {"$set": {"s": 1}})
    undo(migrator)
    assert db["c"].find_one({"_id": 1}) == {"_id": 1, "s": 1}


def test_a_repair_after_a_rollback_by_script_stays(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    """The script took a value away, somebody gave it back, and then the exact rollback comes."""
    db["c"].insert_many([{"_id": 1, "role": "student"}, {"_id": 2}, {"_id": 3}])
    write_migration(
        directory,
        1,
        [update("c", {"role": {"$exists": False}}, {"$set": {"role": "student"}})],
        [update("c", {}, {"$unset": {"role": ""}})],
    )
    migrator.apply()
    migrator.rollback("migration_001")
    db["c"].update_one({"_id": 2}, {"$set": {"role": "student"}})
    undo(migrator)
    assert list(db["c"].find()) == [
        {"_id": 1, "role": "student"},
        {"_id": 2, "role": "student"},
        {"_id": 3},
    ]


@pytest.mark.parametrize("way", ["dropped", "renamed"])
def test_a_collection_made_since_under_the_old_name_is_not_the_migrations(
    db: Documents, migrator: Migrator, directory: Path, way: str
) -> None:
    db["c"].insert_many([{"_id": 1, "v": 1}, {"_id": 2, "v": 1, "gone": True}])
    last: dict[str, Any] = {"type": "drop_collection", "collection": "c"}
    if way == "renamed":
        last = {"type": "rename_collection", "collection": "c", "to": "d"}
    up = [
        update("c", {}, {"$set": {"v": 2}}),
        delete("c", {"gone": True}),
        insert("c", {"_id": 3, "v": 3}),
        last,
    ]
    write_migration(directory, 1, up)
    migrator.apply()
    mine = [{"_id": 1, "v": 2, "mine": True}, {"_id": 3, "v": 3}]
    db["c"].insert_many(mine)
    run = undo(migrator)
    assert list(db["c"].find()) == mine
    assert counts(run)[4] > 0


def test_documents_of_a_collection_that_the_migration_made(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    write_migration(directory, 1, [insert("c", {"_id": 1}, {"_id": 2}, {"_id": 3})])
    migrator.apply()
    db["c"].update_one({"_id": 1}, {"$set": {"mine": 1}})
    db["c"].insert_many([{"_id": 8}, {"_id": 9}])
    run = undo(migrator)
    assert [each["_id"] for each in db["c"].find().sort("_id", 1)] == [1, 8, 9]
    # The edited one is a conflict; made since are the other two.
    assert counts(run) == (2, 0, 0, 2, 1)


def test_a_view_in_the_place_of_the_collection(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 1}])
    write_migration(
        directory, 1, [update("c", {"_id": 1}, {"$set": {"a": 2}}), delete("c", {"_id": 2})]
    )
    migrator.apply()
    db["c"].rename("elsewhere")
    db.create_collection("c", viewOn="elsewhere")
    run = undo(migrator)
    assert run.outcome == "rolled_back"
    # What the migration worked on has another name now, and is followed.
    assert list(db["elsewhere"].find().sort("_id", 1)) == [{"_id": 1, "a": 1}, {"_id": 2, "a": 1}]


# Operations that were not captured, or not begun.


def test_an_operation_mended_not_to_be_captured_is_refused(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 1}])
    first = update("c", {}, {"$set": {"z": 1}})
    write_migration(directory, 1, [first, insert("c", {"_id": 1})])
    with pytest.raises(OperationFailedError):
        migrator.apply()
    write_migration(
        directory, 1, [first, {**update("c", {}, {"$set": {"a": 7}}), "capture": False}]
    )
    migrator.apply()
    with pytest.raises(WrongStateError, match="its operation 2 was not captured"):
        undo(migrator)


def test_an_operation_without_capture_that_never_began_bars_nothing(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 1}])
    before = snapshot(db)
    write_migration(
        directory,
        1,
        [
            update("c", {}, {"$set": {"z": 1}}),
            insert("c", {"_id": 1}),
            {**update("c", {}, {"$set": {"a": 7}}), "capture": False},
        ],
    )
    with pytest.raises(OperationFailedError):
        migrator.apply()
    undo(migrator)
    assert snapshot(db) == before


# Where there are no transactions.


@contextmanager
def lost(client: Client, command: str, skip: int, **where: str) -> Iterator[None]:
    """After `skip` of them such commands fail for a moment, as when the primary is busy."""
    # ExceededTimeLimit: tried again, and no reason for the driver to look for another primary.
    failing: dict[str, Any] = {"failCommands": [command], "errorCode": 262, **where}
    with fail_point(client, "failCommand", {"skip": skip}, **failing):
        # A failpoint counts those to skip or those to fail, and not both.
        off = {"configureFailPoint": "failCommand", "mode": "off"}
        timer = threading.Timer(0.3, client.admin.command, (off,))
        timer.start()
        try:
            yield
        finally:
            timer.join()


@pytest.fixture
def capped(with_failpoints: Client, database_name: str) -> Iterator[Documents]:
    """A database of the server with failpoints, with a capped collection."""
    db = with_failpoints[database_name]
    db.create_collection("c", capped=True, size=1_000_000)
    yield db
    with_failpoints.drop_database(database_name)


def test_what_was_inserted_before_the_capture_failed_is_captured(
    capped: Documents, directory: Path
) -> None:
    require(capped, "deletes from capped collections")
    (directory / "migrations").mkdir(exist_ok=True)
    migrator = Migrator(capped, migrations_dir=directory / "migrations")
    capped["c"].insert_one({"_id": 0})
    write_migration(directory, 1, [insert("c", {"_id": 1}, {"_id": 2})])
    # The first is the operation's, the second the capture's.
    with lost(capped.client, "insert", 1):
        migrator.apply()
    undo(migrator)
    assert [each["_id"] for each in capped["c"].find()] == [0]


def test_what_was_written_and_not_recorded_is_not_written_twice(
    capped: Documents, directory: Path
) -> None:
    """What was captured beforehand tells that it was written."""
    require(capped, "deletes from capped collections")
    (directory / "migrations").mkdir(exist_ok=True)
    migrator = Migrator(capped, migrations_dir=directory / "migrations")
    for skip in range(1, 13):
        number = skip + 1
        capped["c"].delete_many({})
        capped["c"].insert_one({"_id": 0, "n": 1})
        migration = write_migration(directory, number, [update("c", {}, {"$inc": {"n": 1}})])
        with lost(capped.client, "update", skip, namespace=f"{capped.name}.migrations"):
            migrator.apply(migration)
        assert capped["c"].find_one({"_id": 0}) == {"_id": 0, "n": 2}, skip
        undo(migrator, migration)
        assert capped["c"].find_one({"_id": 0}) == {"_id": 0, "n": 1}, skip


# Writers at the same time.


@contextmanager
def writers(db: Documents, documents: int) -> Iterator[list[int]]:
    """Two threads that count up a field of every document; yields how often, by document."""
    done = [0] * documents
    stop = threading.Event()

    def work(start: int) -> None:
        at = start
        while not stop.is_set():
            at = (at + 7919) % documents
            if at % 2 == start % 2:
                db["c"].update_one({"_id": at}, {"$inc": {"seen": 1}})
                done[at] += 1

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_writers_of_the_same_documents_lose_nothing(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    documents = 4001
    db["c"].insert_many([{"_id": at, "a": at, "seen": 0} for at in range(documents)])
    write_migration(
        directory,
        1,
        [
            update("c", {}, {"$inc": {"a": 1_000_000}}),
            update("c", {}, {"$unset": {"a": ""}}),
        ],
    )
    with writers(db, documents) as done:
        migrator.apply()
        run = undo(migrator)
    assert counts(run)[2:] == (0, 0, 0)
    assert sum(done) > 0
    wrong = [
        each
        for each in db["c"].find()
        if each != {"_id": each["_id"], "a": each["_id"], "seen": done[each["_id"]]}
    ]
    assert not wrong, wrong[:5]


# Again and again.


def test_apply_after_an_exact_rollback_and_back_again(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_many([{"_id": at, "a": at} for at in range(300)])
    before = snapshot(db)
    up = [
        update("c", {"_id": {"$lt": 200}}, {"$inc": {"a": 1000}}),
        delete("c", {"_id": {"$gte": 250}}),
        insert("c", {"_id": "new"}),
    ]
    write_migration(directory, 1, up)
    migrator.apply()
    applied = snapshot(db)
    for _ in range(2):
        assert counts(undo(migrator)) == (251, 0, 0, 0, 0)
        assert snapshot(db) == before
        migrator.apply("migration_001")
        assert snapshot(db) == applied
    db["c"].update_one({"_id": 5}, {"$set": {"a": "mine"}})
    assert counts(undo(migrator)) == (250, 0, 0, 0, 1)
