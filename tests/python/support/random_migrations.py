"""Random databases, migrations over all operations, and edits, from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from bson import CodecOptions, Decimal128, Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.database import Database

from edulearn_migrate import CheckFailedError, OperationFailedError
from features import supports

Documents = Database[dict[str, Any]]
Operation = dict[str, Any]
RAW = CodecOptions(document_class=RawBSONDocument)

# Fields with different tasks, so that filters meet some documents and not others.
FIELDS = ["a", "b", "c", "n", "list", "status"]
FAR = datetime(2100, 1, 1, tzinfo=timezone.utc)


def value(dice: random.Random, depth: int = 0) -> Any:
    """A value of any type that scripts and documents may hold."""
    kind = dice.randrange(11 if depth < 2 else 8)
    simple: list[Any] = [
        dice.randrange(5),
        Int64(dice.randrange(5)),
        dice.choice([0.5, -0.0, 2.0]),
        dice.choice(["", "x", "text " * 20, "é"]),
        dice.random() < 0.5,
        None,
        FAR + timedelta(seconds=dice.randrange(100)),
        Decimal128(str(dice.randrange(3))),
    ]
    if kind < 8:
        return simple[kind]
    if kind == 8:
        return [value(dice, depth + 1) for _ in range(dice.randrange(3))]
    return {name: value(dice, depth + 1) for name in dice.sample("pqrs", dice.randrange(4))}


def document(dice: random.Random, at: int) -> dict[str, Any]:
    """A document with some of the fields in any order."""
    fields = dice.sample(FIELDS, dice.randrange(1, len(FIELDS) + 1))
    made = {name: value(dice) for name in fields}
    if "status" in made:
        made["status"] = dice.choice(["draft", "live", "old"])
    if "n" in made:
        made["n"] = dice.randrange(10)
    if "list" in made:
        made["list"] = [dice.randrange(4) for _ in range(dice.randrange(4))]
    if dice.random() < 0.2:
        made["stamp"] = Timestamp(0, 0)
    kinds: list[Any] = [at, f"id {at}", ObjectId(), {"k": at}, float(at) + 0.5]
    return {"_id": dice.choice(kinds), "key": at, **made}


def fill(db: Documents, dice: random.Random, documents: int) -> None:
    """Collections of several kinds, with indexes, a validator, an expiry and a view."""
    db.create_collection("people", validator={"key": {"$exists": True}}, validationLevel="moderate")
    db.create_collection("letters", collation={"locale": "en", "strength": 2})
    if supports(db, "clusteredIndex"):
        db.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    for name in ("people", "letters", "things", "clustered"):
        rows = [document(dice, at) for at in range(documents)]
        if name == "letters":
            # Under this collation two of these would be one.
            rows = [{**row, "_id": f"id {row['key']}"} for row in rows]
        db[name].insert_many(rows)
    db["people"].create_index("key", unique=True)
    db["things"].create_index([("status", 1), ("n", -1)], name="by_status", sparse=True)
    db["things"].create_index("expires", expireAfterSeconds=3600 * 24)
    db["letters"].create_index("status", collation={"locale": "simple"}, name="simple_status")
    db.create_collection("live", viewOn="people", pipeline=[{"$match": {"status": "live"}}])


class Script:
    """Operations that make sense one after another; it follows which collections stand."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.collections = ["people", "letters", "things", "clustered"]
        self.made = 0

    def operations(self, count: int) -> list[Operation]:
        """So many operations."""
        return [self.operation() for _ in range(count)]

    def operation(self) -> Operation:
        kinds = ["update"] * 6 + ["delete"] * 2 + ["insert"] * 2 + ["index"] * 2
        kinds += ["drop_index", "create", "drop", "rename", "modify", "modify", "view"]
        return getattr(self, self.dice.choice(kinds))()  # type: ignore[no-any-return]

    def pick(self) -> str:
        if not self.collections:
            self.collections.append(self.new_name())
        return self.dice.choice(self.collections)

    def new_name(self) -> str:
        self.made += 1
        return f"made_{self.made}"

    def filter(self) -> dict[str, Any]:
        return self.dice.choice(
            [
                {},
                {"status": "live"},
                {"n": {"$gte": self.dice.randrange(10)}},
                {"key": {"$lt": self.dice.randrange(60)}},
                {"a": {"$exists": True}},
                {"list": self.dice.randrange(4)},
            ]
        )

    def update(self) -> Operation:
        dice = self.dice
        change: Any = dice.choice(
            [
                {"$set": {dice.choice("abc"): value(dice)}},
                {"$set": {"b": value(dice), "added": 1}},
                {"$inc": {"n": dice.randrange(1, 4)}},
                {"$unset": {dice.choice(["a", "b", "status"]): ""}},
                {"$rename": {"a": "renamed"}},
                {"$push": {"list": 7}},
                {"$set": {"nested.deep.value": dice.randrange(3)}},
                {"$currentDate": {"touched": True}},
                [{"$set": {"sum": {"$add": ["$key", 1]}, "b": "$$REMOVE"}}],
                [{"$replaceWith": {"$mergeObjects": [{"first": 1}, "$$ROOT"]}}],
                [{"$unset": ["c", "key2"]}, {"$set": {"c": "again"}}],
            ]
        )
        filter = self.filter()
        # $inc, $push and paths into other types are refused by the server.
        for name, kind in (
            ("$inc", {"n": {"$type": "number"}}),
            ("$push", {"list": {"$type": "array"}}),
        ):
            if name in change:
                filter = {"$and": [filter, {"$or": [kind, {next(iter(kind)): {"$exists": False}}]}]}
        options: dict[str, Any] = {"bypass_document_validation": True}
        one = dice.random()
        if one < 0.15:
            options["multi"] = False
        elif one < 0.25 and isinstance(change, dict) and "$rename" not in change:
            options["upsert"] = True
            filter = {
                "_id": f"upserted {dice.randrange(3)}",
                "key": 1_000_000 + dice.randrange(1_000_000),
            }
        return {
            "type": "update_documents",
            "collection": self.pick(),
            "filter": filter,
            "update": change,
            "options": options,
        }

    def delete(self) -> Operation:
        return {"type": "delete_documents", "collection": self.pick(), "filter": self.filter()}

    def insert(self) -> Operation:
        dice = self.dice
        name = self.pick() if dice.random() < 0.6 else self.new_name()
        if name not in self.collections:
            self.collections.append(name)
        rows = [
            {**document(dice, at), "_id": f"new {at} {dice.random()}"}
            for at in range(2000, 2000 + dice.randrange(1, 20))
        ]
        for row in rows:
            row["key"] = dice.randrange(10**9)
        return {"type": "insert_documents", "collection": name, "documents": rows}

    def index(self) -> Operation:
        name = self.pick() if self.dice.random() < 0.8 else self.new_name()
        if name not in self.collections:
            self.collections.append(name)
        field = self.dice.choice(["a", "b", "added", "list"])
        options = self.dice.choice([{}, {"sparse": True}, {"hidden": True}, {"name": "named"}])
        index = [[field, self.dice.choice([1, -1])]]
        return {"type": "create_index", "collection": name, "index": index, "options": options}

    def drop_index(self) -> Operation:
        which = self.dice.choice(["by_status", "key_1", "simple_status", "expires_1", "a_1"])
        return {"type": "drop_index", "collection": self.pick(), "index": which}

    def create(self) -> Operation:
        name = self.new_name()
        self.collections.append(name)
        options = self.dice.choice(
            [{}, {"validator": {"x": {"$exists": False}}}, {"collation": {"locale": "fr"}}]
        )
        return {"type": "create_collection", "collection": name, "options": options}

    def drop(self) -> Operation:
        name = self.pick()
        self.collections.remove(name)
        return {"type": "drop_collection", "collection": name}

    def rename(self) -> Operation:
        name, to = self.pick(), self.new_name()
        self.collections[self.collections.index(name)] = to
        return {"type": "rename_collection", "collection": name, "to": to}

    def modify(self) -> Operation:
        options: dict[str, Any] = self.dice.choice(
            [
                {"validator": {"a": {"$ne": "forbidden"}}, "validationAction": "warn"},
                {"validationLevel": "off"},
                {"validator": {}},
                {"changeStreamPreAndPostImages": {"enabled": True}},
            ]
        )
        return {"type": "modify_collection", "collection": self.pick(), "options": options}

    def view(self) -> Operation:
        if self.dice.random() < 0.5:
            return {"type": "drop_collection", "collection": "live"}
        options = {"viewOn": "things", "pipeline": [{"$match": {"n": 1}}]}
        return {"type": "create_collection", "collection": "seen", "options": options}


def snapshot(db: Documents) -> dict[str, Any]:
    """All that the user's part of the database holds: documents as bytes, options, indexes."""
    found: dict[str, Any] = {}
    for entry in db.list_collections():
        name = entry["name"]
        if name.startswith(("migrations", "system.")):
            continue
        if entry["type"] == "view":
            found[name] = entry["options"]
            continue
        documents: Any = db.get_collection(name, codec_options=RAW).find()
        found[name] = {
            "options": options(entry["options"]),
            "indexes": sorted(map(repr, db[name].list_indexes())),
            "documents": sorted(bytes(each.raw) for each in documents),
        }
    return found


def options(stored: dict[str, Any]) -> dict[str, Any]:
    """Without what means the same: the server keeps the defaults once collMod has written them."""
    return {
        name: each
        for name, each in stored.items()
        if (name, each) not in (("validationLevel", "strict"), ("validationAction", "error"))
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """Where two snapshots differ, for a message."""
    for name in sorted(set(one) | set(other)):
        a, b = one.get(name), other.get(name)
        if a == b:
            continue
        if a is None or b is None:
            yield f"{name}: {'only after' if a is None else 'only before'}"
            continue
        for part in sorted(set(a) | set(b)):
            if a.get(part) == b.get(part):
                continue
            if part != "documents":
                yield f"{name}.{part}: {a.get(part)} / {b.get(part)}"
                continue
            lost = [RawBSONDocument(raw) for raw in set(a[part]) - set(b[part])]
            extra = [RawBSONDocument(raw) for raw in set(b[part]) - set(a[part])]
            yield f"{name}: {len(lost)} documents differ: {[dict(x) for x in lost[:3]]} / "
            yield f"    {[dict(x) for x in extra[:3]]}"


class Attempts:
    """The runs of random migrations in one file of tests: each may fail, most must not."""

    def __init__(self) -> None:
        self.made = 0
        self.failed = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """One run, which may fail at an operation or a check."""
        self.made += 1
        try:
            yield
        except (OperationFailedError, CheckFailedError):
            self.failed += 1

    def check(self) -> None:
        """Fails where so many failed that the tests show little. A few runs show nothing."""
        told = f"{self.failed} of {self.made} random migrations failed"
        assert self.made < 10 or self.failed <= self.made / 2, told
