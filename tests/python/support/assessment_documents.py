"""Assessments to migrate: every state of every source, random ones, and odd ones as bytes."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from bson import Binary, Code, Decimal128, Int64, ObjectId, Regex, Timestamp, encode
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from assessment_model import ABSENT, COLLECTIONS, ROWS, Document, Kind, Row, as_bytes
from oddities import RAW, element, number, raw, text

SINCE = datetime(2024, 1, 5, 8, 30, tzinfo=timezone.utc)
# One value of each BSON type that an application may write; which are wrong depends on the row.
OF_EVERY_TYPE: tuple[Any, ...] = (
    "text",
    "",
    5,
    Int64(2**40),
    0.5,
    float("nan"),
    Decimal128("1.50"),
    True,
    False,
    [],
    ["a", {"b": 1}],
    {},
    {"a": 1},
    SINCE,
    ObjectId("65a1b2c3d4e5f60000000abc"),
    Binary(b"x", 0),
    Regex("a", "i"),
    Timestamp(5, 6),
    Code("f"),
    "2024-01-05T08:30:00Z",
)
# Texts that are dates, and texts that are none.
DATES = (
    "2024-01-05T08:30:00Z",
    "2024-01-05t08:30:00z",
    "2024-01-05T10:30:00+02:00",
    "2024-01-04T23:59:59.5-05:30",
    "2024-01-05T08:30:00.123456Z",
    "1969-12-31T23:59:59.999Z",
    "2024-02-29T00:00:00Z",
)
NO_DATES = (
    "",
    "yesterday",
    "2024-01-05",
    "2024-01-05T08:30:00",
    "2024-02-30T08:30:00Z",
    "2024-01-05T25:30:00Z",
    "2024-01-05T08:30:00+2",
    "1704443400000",
    " 2024-01-05T08:30:00Z",
)
# Another good value at each place, so that it shows where a value was taken from.
_GOOD: dict[str, tuple[Any, ...]] = {
    "text": ("first", "second", "third"),
    "identifier": ("65a1b2c3d4e5f60000000384", ObjectId("65a1b2c3d4e5f60000000385")),
    "number": (45, Int64(2**33), 12.5),
    "array": (["one", "two"], [{"b": 2}], [ObjectId("65a1b2c3d4e5f60000000999")]),
    "boolean": (True, False, True),
    "date": (SINCE, SINCE + timedelta(days=1)),
}
_EMPTY: dict[str, Any] = {
    "text": "",
    "identifier": "",
    "number": 0,
    "array": [],
    "boolean": False,
    "date": "1970-01-01T00:00:00Z",
}
_WRONG: dict[str, tuple[Any, ...]] = {
    # No arrays: no index can hold two of a document.
    "text": (7, {"x": 1}, True),
    "identifier": (7, {"$": 1}, SINCE),
    "number": ("45", True, [1]),
    "array": ("one", {"0": "one"}, 3),
    "boolean": ("true", 1, 0.0),
    "date": ("yesterday", 1704443400, {"date": SINCE}),
}
STATES = ("absent", "null", "empty", "good", "wrong")


def state_value(row: Row, place: int, state: str) -> Any:
    """A value in that state for the source at that place."""
    if state in ("good", "wrong"):
        values = (_GOOD if state == "good" else _WRONG)[row.type]
        return values[place % len(values)]
    return {"absent": ABSENT, "null": None, "empty": _EMPTY[row.type]}[state]


def put(document: Document, path: str, value: Any) -> None:
    """Sets a field, or one inside embedded documents; ABSENT sets nothing."""
    if value is ABSENT:
        return
    inner: Any = document
    *outer, last = path.split(".")
    for name in outer:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            return
    inner[last] = value


def every_state(kind: Kind) -> Iterator[tuple[str, Document]]:
    """Every row with its sources in every combination of states, and each alone of every type."""
    for row in ROWS:
        # A source that is asked twice is one field.
        sources = tuple(dict.fromkeys(row.sources(kind)))
        for states in itertools.product(STATES, repeat=len(sources)):
            document: Document = {"_id": ObjectId(), "marker": row.field}
            for place, (path, state) in enumerate(zip(sources, states, strict=True)):
                put(document, path, state_value(row, place, state))
            told = ", ".join(f"{path} {state}" for path, state in zip(sources, states, strict=True))
            yield f"{row.field}: {told}", document
        for path in sources:
            values = OF_EVERY_TYPE + (DATES + NO_DATES if row.type == "date" else ())
            for value in values:
                document = {"_id": ObjectId()}
                put(document, path, value)
                yield f"{row.field}: only {path} = {value!r}", document
    for name in ("config", "settings"):
        for value in (None, *OF_EVERY_TYPE):
            yield f"{name} = {value!r}", {"_id": ObjectId(), name: value}
        # Keys that the model does not know.
        known = {"time_limit_enforced": True, "allow_review": False}
        yield f"{name} with others", {"_id": ObjectId(), name: {"z": 1, **known, "a": {"b": None}}}


def random_document(dice: random.Random, kind: Kind, _id: Any, wrong: float = 0.01) -> Document:
    """A document with any sources in any order and state, and fields that the model lacks."""
    document: Document = {}
    places = [
        (row, place, path)
        for row in ROWS
        for place, path in enumerate(dict.fromkeys(row.sources(kind)))
    ]
    for row, place, path in dice.sample(places, len(places)):
        chance = dice.random()
        if chance < wrong:
            state = "wrong"
        else:
            state = dice.choices(("absent", "null", "empty", "good"), (5, 1, 2, 6))[0]
        value = state_value(row, dice.randrange(3) if state != "good" else place, state)
        if row.type == "date" and state == "good" and dice.random() < 0.3:
            value = dice.choice(DATES)
        put(document, path, value)
    others: list[tuple[str, Any]] = [
        ("question_count", dice.randrange(9)),
        ("tags", ["ww1", "ww2"]),
        ("dotted.name", {"a.b": 1}),
        ("config.time_limit", "no source: a dot in a name"),
        ("$dollar", dice.randrange(9)),
        ("", "empty name"),
        ("stamp", Timestamp(1, 1)),
        ("updated_at", SINCE + timedelta(hours=dice.randrange(99))),
        ("nested", {"deep": {"value": dice.random()}, "list": [1, {"x": None}]}),
        ("n", Decimal128("1.20")),
    ]
    for name, value in dice.sample(others, dice.randrange(len(others))):
        document[name] = value
    for name in ("config", "settings"):
        if isinstance(document.get(name), dict) and dice.random() < 0.4:
            document[name]["own"] = dice.randrange(9)
    if dice.random() < 0.5:
        document["questions"] = [{"question": "?" * dice.randrange(40)}] * dice.randrange(4)
    names = dice.sample(list(document), len(document))
    return {"_id": _id, **{name: document[name] for name in names}}


def random_id(dice: random.Random, at: int) -> Any:
    """Mostly an ObjectId; in old data text, rarely anything else."""
    chance = dice.random()
    if chance < 0.8:
        return ObjectId(f"{at:08x}{dice.randrange(2**64):016x}")
    return f"legacy-{at}" if chance < 0.95 else dice.choice([at, {"k": at}, float(at) + 0.5])


def with_elements(document: Document, *elements: bytes) -> RawBSONDocument:
    """The document with BSON elements after its own."""
    body = encode(document)[4:-1] + b"".join(elements) + b"\0"
    return RawBSONDocument(struct.pack("<i", len(body) + 4) + body)


def odd(_id: Any, title: str = "odd") -> RawBSONDocument:
    """What only bytes can say: names twice, no UTF-8, deprecated types, an empty name."""
    return with_elements(
        {"_id": _id, "title": title, "questions": [1, 2]},
        element(0x10, b"same", number(1)),
        element(0x02, b"same", text(b"two")),
        element(0x02, b"\xff\xfe", text(b"\xc3\x28 no UTF-8")),
        element(0x06, b"undefined", b""),
        element(0x0E, b"symbol", text(b"s")),
        element(0x01, b"nan", struct.pack("<Q", 0xFFF8_0000_DEAD_BEEF)),
        element(0x01, b"zero", struct.pack("<d", -0.0)),
        element(0x05, b"old", struct.pack("<iBi", 7, 2, 3) + b"abc"),
        element(0x04, b"array", raw(element(0x10, b"7", number(1))).raw),
        element(0x03, b"inner", raw(element(0x10, b"$in", number(1))).raw),
        element(0x10, b"", number(3)),
        element(0x10, b"a.b", number(1)),
    )


def stored(db: Database[Document], name: str) -> dict[bytes, bytes]:
    """Every document of a collection as bytes, by its `_id` as bytes."""
    # The documents themselves may be such that nothing in them can be decoded.
    ids = [as_bytes(each["_id"]) for each in db[name].find({}, {"_id": 1}).sort("_id", 1)]
    cursor: Any = db.get_collection(name, codec_options=RAW).find().sort("_id", 1)
    return dict(zip(ids, (bytes(each.raw) for each in cursor), strict=True))


def both(db: Database[Document]) -> dict[str, dict[bytes, bytes]]:
    """Both collections as bytes."""
    return {name: stored(db, name) for name in COLLECTIONS.values()}
