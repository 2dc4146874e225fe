"""Variants of `a.metadata.json`, and what must become of each.

Each is a name, the file's content, and the outcome: `taken` with a word that a note must have
(empty: no note but the one on checksums), or `refused` with a word of the sentence.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["taken", "refused"]
SAID = "no metadata of"


@dataclass(frozen=True)
class Variant:
    """One content of the file."""

    name: str
    content: bytes | None
    outcome: Outcome
    word: str = ""
    indexes: tuple[str, ...] = ()
    """The names of the indexes that the collection has then, but for `_id_`."""


SPHERE: Any = {"2dsphereIndexVersion": 3}
ID = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
A = {"v": 2, "key": {"a": 1}, "name": "a_1"}


def text(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def whole(**more: Any) -> bytes:
    """A file as mongodump writes it."""
    return text({"options": {}, "indexes": [ID], "uuid": "", "collectionName": "a", **more})


def index(label: str, word: str = "", *, outcome: Outcome = "taken", **spec: Any) -> Variant:
    """One index besides that on `_id`."""
    spec = {"v": 2, "key": {"a": 1}, "name": "i", **spec}
    spec = {key: value for key, value in spec.items() if value is not ...}
    indexes = ("i",) if outcome == "taken" and not spec.get("clustered") else ()
    content = whole(indexes=[ID, spec])
    return Variant(f"index {label}", content, outcome, word, indexes)


def options(name: str, given: Any, word: str = "", *, outcome: Outcome = "taken") -> Variant:
    """Options of the collection."""
    return Variant(f"options {name}", whole(options=given), outcome, word, ())


def filtered(name: str, value: Any, word: str = "", *, outcome: Outcome = "taken") -> Variant:
    """A value in a partial index's filter: Extended JSON of either version."""
    given = {"a": {"$eq": value}}
    variant = index(name, word, outcome=outcome, partialFilterExpression=given)
    return Variant(f"value {name}", variant.content, outcome, word, variant.indexes)


def raw(
    name: str,
    content: bytes | None,
    outcome: Outcome,
    word: str = "",
    indexes: tuple[str, ...] = (),
) -> Variant:
    """The bytes of the file."""
    return Variant(f"file {name}", content, outcome, word, indexes)


PLAIN = whole(indexes=[ID, A])

FILES = [
    raw("as mongodump writes it", PLAIN, "taken", "", ("a_1",)),
    raw("absent", None, "taken", SAID),
    raw("empty", b"", "taken", SAID),
    raw("blanks only", b" \r\n\t\n", "taken", SAID),
    raw("newline at the end", PLAIN + b"\n", "taken", "", ("a_1",)),
    raw("windows newlines", PLAIN.replace(b", ", b",\r\n") + b"\r\n", "taken", "", ("a_1",)),
    raw("byte order mark", b"\xef\xbb\xbf" + PLAIN, "refused", "byte order mark"),
    raw("utf-16 little endian", PLAIN.decode().encode("utf-16"), "refused", "UTF-16"),
    raw("utf-16 big endian", b"\xfe\xff" + PLAIN.decode().encode("utf-16-be"), "refused", "UTF-16"),
    raw("utf-32", PLAIN.decode().encode("utf-32"), "refused", "UTF-32"),
    raw("no utf-8", PLAIN.replace(b'"a_1"', b'"a_\xff"'), "refused", "UTF-8"),
    raw("trailing garbage", PLAIN + b"x", "taken", "after the end", ("a_1",)),
    raw("two objects", PLAIN + PLAIN, "taken", "after the end", ("a_1",)),
    raw("NULs at the end", PLAIN + b"\0\0\0", "taken", "after the end", ("a_1",)),
    raw("NULs only", b"\0" * 20, "refused", "no JSON"),
    raw("cut off", PLAIN[:-10], "refused", "cut off"),
    raw("cut off after the brace", b"{", "refused", "cut off"),
    raw("no JSON", b"hello", "refused", "no JSON"),
    raw("single quotes", b"{'options': {}}", "refused", "no JSON"),
    raw("a comment", b"// x\n" + PLAIN, "refused", "no JSON"),
    raw("a trailing comma", b'{"options": {},}', "refused", "no JSON"),
    raw("shell syntax", b'{"options": {"size": NumberLong(5)}}', "refused", "no JSON"),
    raw("an array", b"[]", "refused", "no object"),
    raw("a number", b"5", "refused", "no object"),
    raw("null", b"null", "taken", SAID),
    raw("an empty object", b"{}", "taken"),
    raw(
        "a key twice",
        b'{"options": {}, "indexes": [], "indexes": [' + text(A) + b"]}",
        "refused",
        "twice",
    ),
    raw(
        "an option twice",
        b'{"options": {"capped": false, "capped": true, "size": 4096}}',
        "refused",
        "twice",
    ),
    raw(
        "a field of a validator twice",
        b'{"options": {"validator": {"a": 1, "a": 1}}}',
        "refused",
        "twice",
    ),
    raw("no options", text({"indexes": [ID]}), "taken"),
    raw("options null", text({"options": None, "indexes": [ID]}), "taken"),
    raw("options an array", text({"options": [], "indexes": [ID]}), "refused", "options"),
    raw("options a text", text({"options": "x", "indexes": [ID]}), "refused", "options"),
    raw("no indexes", text({"options": {}}), "taken"),
    raw("indexes null", text({"options": {}, "indexes": None}), "taken"),
    raw("indexes an object", text({"options": {}, "indexes": {"a": 1}}), "refused", "indexes"),
    raw("an index that is a number", text({"indexes": [1]}), "refused", "indexes"),
    raw("an index that is null", text({"indexes": [None]}), "refused", "indexes"),
    raw("no index on _id", text({"options": {}, "indexes": [A]}), "taken", "", ("a_1",)),
    raw("unknown members", whole(version=3, ns="x.a"), "taken"),
    raw("no name", text({"indexes": [ID], "options": {}, "uuid": ""}), "taken"),
    raw("a name that is a number", whole(collectionName=5), "refused", "collectionName"),
    raw("a uuid that is none", whole(uuid="xyz"), "taken"),
    raw("the type of a view without options", whole(type="view"), "taken", "calls it a view"),
    raw("an unknown type", whole(type="graph"), "taken", "calls it a graph"),
]

OPTIONS = [
    options("empty", {}),
    options("capped", {"capped": True, "size": 4096}),
    options(
        "capped in canonical numbers",
        {"capped": True, "size": {"$numberLong": "4096"}, "max": {"$numberInt": "5"}},
    ),
    options("capped in doubles", {"capped": True, "size": {"$numberDouble": "4096.0"}}),
    options("capped as a number", {"capped": 1, "size": 4096}),
    options("capped without a size", {"capped": True}, "size", outcome="refused"),
    options("a size without capped", {"size": 4096}, ""),
    options("create and ns", {"create": "a", "ns": "x.a"}, "create"),
    options("autoIndexId", {"autoIndexId": True}, "autoIndexId"),
    options("flags", {"flags": 1}, "flags"),
    options("recordIdsReplicated", {"recordIdsReplicated": True}, "recordIdsReplicated"),
    options("usePowerOf2Sizes", {"usePowerOf2Sizes": True, "paddingFactor": 1}, "usePowerOf2Sizes"),
    options("an unknown option", {"nonsense": {"x": 1}}, "nonsense"),
    options("a validator", {"validator": {"a": {"$exists": True}}, "validationLevel": "strict"}),
    options("a json schema", {"validator": {"$jsonSchema": {"required": ["a"]}}}),
    options("a validator that is none", {"validator": {"$nonsense": 1}}, "", outcome="refused"),
    options("validationLevel none", {"validationLevel": "nonsense"}, "", outcome="refused"),
    options("a collation", {"collation": {"locale": "de", "strength": 2}}),
    options("a collation of another version", {"collation": {"locale": "de", "version": "57.1"}}),
    options(
        "a collation that is none", {"collation": {"locale": "nonsense"}}, "", outcome="refused"
    ),
    options("null", {"validator": None}),
    options("pre images", {"changeStreamPreAndPostImages": {"enabled": True}}),
    options("a storage engine's", {"storageEngine": {"wiredTiger": {"configString": ""}}}),
    options(
        "a regex of version 2",
        {"validator": {"s": {"$regularExpression": {"pattern": "^a", "options": "i"}}}},
    ),
    options("a regex of version 1", {"validator": {"s": {"$regex": "^a", "$options": "i"}}}),
    options("expireAfterSeconds", {"expireAfterSeconds": 5}, ""),
]

INDEXES = [
    index("plain"),
    index("version 1", v=1),
    index("version 0", "version 0", v=0),
    index("no version", v=...),
    index("a version as a double", v={"$numberDouble": "2.0"}),
    index("descending as a double", key={"a": {"$numberDouble": "-1.0"}}),
    index("a direction as Int64", key={"a": {"$numberLong": "1"}}),
    index("a direction as decimal", key={"a": {"$numberDecimal": "1"}}, word="became 1"),
    index("a direction of 0", "became 1", key={"a": 0}),
    index("a direction of true", "became 1", key={"a": True}),
    index("an empty direction", "became 1", key={"a": ""}),
    index("a direction of null", "became 1", key={"a": None}),
    index("an object as a direction", "became 1", key={"a": {}}),
    index("an unknown type", "", outcome="refused", key={"a": "nonsense"}),
    index("a haystack", "", outcome="refused", key={"a": "geoHaystack", "b": 1}, bucketSize=1),
    index("no key", "key", outcome="refused", key=...),
    index("an empty key", "", outcome="refused", key={}),
    index("a key that is a text", "key", outcome="refused", key="a"),
    index("hashed", key={"a": "hashed"}),
    index(
        "text",
        key={"_fts": "text", "_ftsx": 1},
        weights={"s": 1},
        default_language="english",
        language_override="language",
        textIndexVersion=3,
    ),
    index(
        "text of version 2",
        key={"_fts": "text", "_ftsx": 1},
        weights={"s": 1},
        default_language="english",
        language_override="language",
        textIndexVersion=2,
    ),
    index("2dsphere", key={"p": "2dsphere"}, **SPHERE),
    index("2d", key={"p": "2d"}, min={"$numberDouble": "-180.0"}, max={"$numberDouble": "180.0"}),
    index("wildcard", key={"$**": 1}, wildcardProjection={"a": 1}),
    index("unique", unique=True),
    index("unique as a number", unique=1),
    index("unique as null", unique=None),
    index("sparse and background", sparse=True, background=True),
    index("dropDups and ns", dropDups=True, ns="x.a"),
    index("safe and w", "safe, w", safe=True, w=1),
    index("safe null", safe=None),
    index("hidden", hidden=True),
    index("expiry", expireAfterSeconds={"$numberInt": "86400"}),
    index("expiry as a double", expireAfterSeconds={"$numberDouble": "86400.0"}),
    index("expiry of NaN", "expiry", expireAfterSeconds={"$numberDouble": "NaN"}),
    index("expiry below 0", "expiry", expireAfterSeconds=-5),
    index("expiry too long", "expiry", expireAfterSeconds={"$numberLong": "99999999999"}),
    index("expiry as a text", "expiry", expireAfterSeconds="5"),
    index("a collation", collation={"locale": "de", "strength": 2}),
    Variant(
        "index no name",
        whole(indexes=[ID, {"v": 2, "key": {"a": 1, "b": -1}}]),
        "taken",
        "without a name",
        ("a_1_b_-1",),
    ),
]

VALUES = [
    filtered("int", {"$numberInt": "1"}),
    filtered("long as a number", 5_000_000_000),
    filtered("double", {"$numberDouble": "1.5"}),
    filtered("infinity", {"$numberDouble": "Infinity"}),
    filtered("decimal", {"$numberDecimal": "1.50"}),
    filtered("date of version 2", {"$date": {"$numberLong": "1700000000000"}}),
    filtered("date relaxed", {"$date": "2026-01-01T00:00:00Z"}),
    filtered("date of version 1", {"$date": 1700000000000}),
    filtered(
        "date with an offset",
        {"$date": "2026-01-01T00:00:00.000+0100"},
        "Extended JSON",
        outcome="refused",
    ),
    filtered("date that is none", {"$date": "x"}, "Extended JSON", outcome="refused"),
    filtered("ObjectId", {"$oid": "5f0000000000000000000000"}),
    filtered("ObjectId that is none", {"$oid": "5f"}, "Extended JSON", outcome="refused"),
    filtered("binary of version 2", {"$binary": {"base64": "AAAA", "subType": "00"}}),
    filtered("binary of version 1", {"$binary": "AAAA", "$type": "00"}),
    filtered("uuid", {"$uuid": "00112233-4455-6677-8899-aabbccddeeff"}),
    filtered("timestamp", {"$timestamp": {"t": 1, "i": 2}}),
    filtered("min key", {"$minKey": 1}),
    filtered("undefined", {"$undefined": True}, "", outcome="refused"),
    filtered("symbol", {"$symbol": "x"}),
    filtered("code", {"$code": "x"}),
    filtered("a text that is not ASCII", "é漢\u2028"),
    filtered("a number with many digits", 0.1234567890123456),
]

# Where mongorestore does something else, and why.
_CONVERTED = "it refuses what is passed over or converted here"
_TWICE = "it takes one of the two, and nobody knows which was meant"
DIFFERS = {
    "file blanks only": "it wants an object there",
    "file no utf-8": "it makes an index whose name no driver can read",
    "file a key twice": _TWICE,
    "file a field of a validator twice": _TWICE,
    "options a size without capped": _CONVERTED,
    "options create and ns": _CONVERTED,
    "options usePowerOf2Sizes": _CONVERTED,
    "options an unknown option": _CONVERTED,
    "options a collation": "it repeats the collection's collation without the version",
    "options a collation of another version": "the same",
    "options expireAfterSeconds": _CONVERTED,
    "index a direction of 0": _CONVERTED,
    "index a direction of true": _CONVERTED,
    "index an empty direction": _CONVERTED,
    "index a direction of null": _CONVERTED,
    "index an object as a direction": _CONVERTED,
    "index unique as null": _CONVERTED,
    "index expiry below 0": _CONVERTED,
    "index expiry too long": _CONVERTED,
    "index expiry as a text": _CONVERTED,
    "value date relaxed": "it reads canonical Extended JSON only",
    "value date of version 1": "it reads canonical Extended JSON only",
}

VARIANTS = FILES + OPTIONS + INDEXES + VALUES
