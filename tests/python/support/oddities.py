"""A database of everything a backup must bring back, and how to compare two states as bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import uuid4

from bson import (
    SON,
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    encode,
)
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from features import supports

Documents = Database[dict[str, Any]]
RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
LARGEST = 16 * 1024 * 1024
# The lock, the history and what only a restore leaves.
OURS = ("migrations_lock", "migrations_history", "migrations_restore")


def element(kind: int, name: bytes, value: bytes | memoryview) -> bytes:
    """One BSON element."""
    return bytes([kind]) + name + b"\0" + value


def raw(*elements: bytes) -> RawBSONDocument:
    """A document of elements."""
    body = b"".join(elements) + b"\0"
    return RawBSONDocument(struct.pack("<i", len(body) + 4) + body)


def text(value: bytes) -> bytes:
    """A BSON string's value."""
    return struct.pack("<i", len(value) + 1) + value + b"\0"


def number(value: int) -> bytes:
    return struct.pack("<i", value)


def insert_raw(db: Documents, name: str, documents: Iterable[RawBSONDocument]) -> None:
    """Inserts bytes as they are."""
    db.get_collection(name, codec_options=RAW).insert_many(list(documents))


def every_type(db: Documents) -> None:
    """Every BSON type, deprecated and odd ones too."""
    db["types"].insert_one(
        SON(
            [
                ("_id", "all"),
                ("double", 1.5),
                ("minus_zero", -0.0),
                ("infinite", float("inf")),
                ("text", "é\0x\U0001f600"),
                ("document", {"b": 1, "a": {"c": []}}),
                ("array", [1, [2, {"x": 3}], None]),
                ("binary", Binary(b"\0\1", 0)),
                ("binary_old", Binary(b"\0\1", 2)),
                ("uuid", Binary.from_uuid(uuid4())),
                ("user_defined", Binary(b"", 128)),
                ("id", ObjectId()),
                ("true", True),
                ("date", NOW),
                ("far_date", DatetimeMS(2**62)),
                ("null", None),
                ("regex", Regex("a.*b", "ix")),
                ("reference", DBRef("c", 1, "d")),
                ("code", Code("function () {}")),
                ("scoped", Code("f", {"x": [1]})),
                ("int", 5),
                ("timestamp", Timestamp(5, 6)),
                ("long", Int64(2**62)),
                ("decimal", Decimal128(Decimal("1.20"))),
                ("not_a_number", Decimal128("sNaN")),
                ("least", MinKey()),
                ("greatest", MaxKey()),
            ]
        )
    )
    identifier = element(0x10, b"_id", number(1))
    insert_raw(
        db,
        "bytes",
        [
            raw(
                identifier,
                element(0x10, b"same", number(1)),
                element(0x02, b"same", text(b"two")),
                element(0x02, b"\xff\xfe", text(b"\xc3\x28 no UTF-8")),
                element(0x10, b"", number(3)),
                element(0x06, b"undefined", b""),
                element(0x0E, b"symbol", text(b"s")),
                element(0x0C, b"pointer", text(b"db.c") + bytes(12)),
                element(0x01, b"nan", struct.pack("<Q", 0xFFF8_0000_DEAD_BEEF)),
                element(0x05, b"old", struct.pack("<iBi", 7, 2, 3) + b"abc"),
                element(0x04, b"odd", raw(element(0x10, b"7", number(1))).raw),
                element(0x10, b"a.b", number(1)),
                element(0x10, b"$dollar", number(1)),
                element(0x03, b"inner", raw(element(0x10, b"$in", number(1))).raw),
            ),
        ],
    )


def empty_timestamps(db: Documents) -> None:
    """What an insert would replace."""
    pairs: list[tuple[dict[str, Any], dict[str, Any]]]
    pairs = [({"_id": 1}, {"t": Timestamp(0, 0)}), ({"_id": "ß"}, {"a": 1, "t": Timestamp(0, 0)})]
    for filter, rest in pairs:
        db["stamps"].insert_one(dict(filter))
        literal = {"$literal": {**filter, **rest, "inner": {"t": Timestamp(0, 0)}}}
        db["stamps"].update_one(filter, [{"$replaceWith": literal}])
        stands = db["stamps"].find_one(filter)
        assert stands is not None and stands["t"] == Timestamp(0, 0)


def ids(db: Documents) -> None:
    """`_id`s of every type that there can be, mixed."""
    values: list[Any] = [MinKey(), MaxKey(), None, 1, 1.5, Int64(7), "a", "A", "", {"a": 1}]
    values += [{"a": {"b": 2}}, Binary(b"x", 3), ObjectId(), True, False, NOW, Timestamp(1, 1)]
    values += [Decimal128("3.25"), Code("x"), DatetimeMS(-1), {}]
    db["ids"].insert_many([{"_id": value, "n": at} for at, value in enumerate(values)])


def kinds(db: Documents) -> None:
    """Every kind of collection that the server knows."""
    db.create_collection("empty")
    db.create_collection("capped", capped=True, size=100_000, max=50)
    db["capped"].insert_many([{"_id": 99 - at, "at": at} for at in range(70)])
    if supports(db, "clusteredIndex"):
        clustered = {"key": {"_id": 1}, "unique": True, "name": "clustered by _id"}
        db.create_collection("clustered", clusteredIndex=clustered, expireAfterSeconds=3600)
    db["clustered"].insert_many([{"_id": f"{at:03}"} for at in range(100)])
    series = {"timeField": "at", "metaField": "of", "granularity": "minutes"}
    db.create_collection("series", timeseries=series, expireAfterSeconds=10**9)
    db["series"].create_index([("of", 1), ("at", -1)])
    minutes = [NOW + timedelta(minutes=at) for at in range(300)]
    rows = ({"at": at, "of": {"x": n % 5}, "n": n} for n, at in enumerate(minutes))
    db["series"].insert_many(list(rows))
    db.create_collection("collated", collation={"locale": "de", "strength": 2})
    db["collated"].insert_many([{"_id": "ä", "n": 1}, {"_id": "b", "n": 2}])
    db["collated"].create_index("n", name="inherits")
    db["collated"].create_index("n", name="simple", collation={"locale": "simple"})
    db["collated"].create_index("n", name="french", collation={"locale": "fr_CA"})
    if supports(db, "changeStreamPreAndPostImages"):
        db.create_collection("images", changeStreamPreAndPostImages={"enabled": True})
    collation = {"locale": "de", "strength": 1}
    matching = [{"$match": {"_id": "ALL"}}]
    db.create_collection("view", viewOn="types", pipeline=matching, collation=collation)
    db.create_collection("view_of_view", viewOn="view", pipeline=[], collation=collation)
    db.create_collection("view_of_nothing", viewOn="nowhere", pipeline=[{"$limit": 1}])


def violators(db: Documents) -> None:
    """Documents that their validator would refuse, and what only bytes can say."""
    db["violators"].insert_many([{"_id": at, "n": at} for at in range(10)])
    # The same name twice, which only bytes can say.
    twice = [element(0x03, b"n", encode({"$lt": 5})), element(0x03, b"n", encode({"$gte": 0}))]
    command = {"validator": raw(*twice), "validationLevel": "moderate", "validationAction": "error"}
    db.command({"collMod": "violators", **command})
    db["system.js"].insert_one({"_id": "twice", "value": Code("function (x) { return 2 * x }")})


def names(db: Documents) -> None:
    """Names of every sort."""
    odd = ["a/b", "a b", "100%", "a\nb", "ünï", "a.b", "x.metadata.json", "manifest.json", "a;,?b"]
    odd += ["n" * 180, "é" * 90, "-", "@&=+$".replace("$", "")]
    for name in odd:
        db[name].insert_one({"_id": 1, "name": name})


def indexes(db: Documents) -> None:
    """Every kind of index and option."""
    found = db["indexed"]
    rows = [{"_id": n, "a": n, "b": {"c": n}, "t": f"word {n}", "at": NOW} for n in range(200)]
    found.insert_many([{**row, "where": [n % 90, 10]} for n, row in enumerate(rows)])
    found.create_index([("a", 1), ("b.c", -1)], unique=True, name="unique, with a comma")
    found.create_index("a", partialFilterExpression={"a": {"$gt": 5}}, name="partial")
    found.create_index("a", sparse=True, name="sparse", hidden=True)
    words = {"t": 3, "u": 1}
    found.create_index(
        [("t", "text"), ("u", "text"), ("a", 1)],
        weights=words,
        default_language="german",
        language_override="idioma",
        name="words",
    )
    found.create_index([("b", "hashed")])
    found.create_index([("where", "2d")], bits=20, min=-200, max=200)
    found.create_index([("place", "2dsphere")])
    found.create_index([("$**", 1)], wildcardProjection={"a": 0}, name="wild")
    found.create_index("b.$**", name="wild below")
    expired = datetime(2001, 1, 1, tzinfo=timezone.utc)
    db["expired"].insert_many([{"_id": n, "at": NOW} for n in range(20)])
    db["expired"].create_index("at", expireAfterSeconds=1_500_000_000, name="later")
    db["sessions"].insert_many([{"_id": n, "at": expired, "kept": True} for n in range(20)])
    db["sessions"].create_index(
        "at", expireAfterSeconds=3600, partialFilterExpression={"kept": False}, name="kept ones"
    )


def largest(db: Documents) -> None:
    """A document of exactly 16 MiB, among small ones."""
    empty = len(encode({"_id": 1, "x": b""}))
    db["large"].insert_one({"_id": 0})
    db["large"].insert_one({"_id": 1, "x": bytes(LARGEST - empty)})
    db["large"].insert_one({"_id": 2})


def ledger(db: Documents) -> None:
    """Records as the tools leave them."""
    db["migrations"].insert_one({"_id": "migration_1", "name": "one", "status": "applied"})
    db["backups"].insert_one({"_id": 1, "anything": "kept"})
    db["assessment_backup"].insert_one({"_id": 1, "assessments": []})


def fill(db: Documents) -> None:
    """All of it."""
    parts = (every_type, empty_timestamps, ids, kinds, violators, names, indexes, largest, ledger)
    for part in parts:
        part(db)


def catalog(db: Documents) -> dict[str, Any]:
    """Collections, options and indexes as bytes, without what makes a copy another collection."""
    found: dict[str, Any] = {}
    for entry in db.list_collections():
        name = entry["name"]
        if name.startswith(OURS):
            continue
        indexes = []
        if entry["type"] != "view":
            command = {"listIndexes": name}
            reply = db.command(command, codec_options=RAW)
            indexes = sorted(bytes(index.raw) for index in reply["cursor"]["firstBatch"])
        found[name] = (entry["type"], encode(entry["options"]), entry.get("idIndex"), indexes)
    return found


def contents(db: Documents) -> dict[str, list[bytes]]:
    """Every document as bytes; of capped collections in their order."""
    found = {}
    for entry in db.list_collections():
        name = entry["name"]
        if entry["type"] != "collection" or name.startswith((*OURS, "system.views")):
            continue
        collection: Any = db.get_collection(name, codec_options=RAW)
        documents = [bytes(each.raw) for each in collection.find()]
        found[name] = documents if entry["options"].get("capped") else sorted(documents)
    return found


def hashes(db: Documents) -> dict[str, str]:
    """What the server itself says of the contents."""
    found: dict[str, str] = db.command("dbHash")["collections"]
    return {name: value for name, value in found.items() if not name.startswith(OURS)}


def state(db: Documents) -> dict[str, Any]:
    """All three, to compare before and after."""
    return {"catalog": catalog(db), "contents": contents(db), "hashes": hashes(db)}


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Where two states differ, in few words."""
    return [
        f"{part} of {name!r}"
        for part in before
        for name in sorted({*before[part], *after[part]})
        if before[part].get(name) != after[part].get(name)
    ]
