"""Every operation with every option, on a real server: what it leaves and what it says."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import bson
import pymongo
import pytest
from bson import json_util
from pymongo.database import Database

from conftest import Migrations, login
from edulearn_migrate import Migrator, OperationFailedError, OperationRun
from edulearn_migrate.local import LocalServer
from features import require
from harness import insert
from message_rules import check_message

Db = Database[dict[str, Any]]
Op = dict[str, Any]


class Runner:
    """Applies operations, each list as a migration of its own."""

    def __init__(self, migrator: Migrator, migrations: Migrations) -> None:
        self.migrator = migrator
        self.migrations = migrations
        self.number = 0

    def __call__(self, *operations: Op, down: list[Op] | None = None) -> list[OperationRun]:
        self.number += 1
        text = {"name": "x", "up": {"operations": operations}, "down": {"operations": down or []}}
        self.migrations.raw(
            f"migration_{self.number}_x.json",
            json_util.dumps(text, json_options=json_util.CANONICAL_JSON_OPTIONS),
        )
        return list(self.migrator.apply().migrations[0].operations)

    def one(self, operation: Op) -> OperationRun:
        [done] = self(operation)
        return done

    def refused(self, operation: Op) -> OperationFailedError:
        """Applies an operation that fails, checks what each such error says, and takes it off."""
        with pytest.raises(OperationFailedError) as failed:
            self({"type": "drop_collection", "collection": "no_such"}, operation)
        error, migration = failed.value, f"migration_{self.number}"
        said = check_message(str(error))
        assert f"{self.migrations.directory}/{migration}_x.json: operation 2 of 2" in said
        assert f'({operation["type"]} on "{operation["collection"]}", up script) failed: ' in said
        assert "Operation 1 is done" in said
        assert (error.migration_id, error.operation) == (migration, 2)
        if error.server_code is not None:
            assert f"code {error.server_code}" in said
        assert said.endswith("."), "what to do next is a sentence"
        self.migrator.mark(migration, "rolled_back")
        return error


@pytest.fixture
def run(migrator: Migrator, migrations: Migrations) -> Runner:
    return Runner(migrator, migrations)


def operation(kind: str, collection: str = "c", **fields: Any) -> Op:
    return {"type": kind, "collection": collection, **fields}


def update(filter: Any, change: Any, *, collection: str = "c", **options: Any) -> Op:
    return operation("update_documents", collection, filter=filter, update=change, options=options)


def delete(filter: Any, *, collection: str = "c", **options: Any) -> Op:
    return operation("delete_documents", collection, filter=filter, options=options)


def create(collection: str = "c", **options: Any) -> Op:
    return operation("create_collection", collection, options=options)


def index(keys: Any, *, collection: str = "c", **options: Any) -> Op:
    return operation("create_index", collection, index=keys, options=options)


def options_of(db: Db, collection: str = "c") -> dict[str, Any]:
    [found] = db.list_collections(filter={"name": collection})
    return {"type": found["type"], **found["options"]}


def ids(db: Db, collection: str = "c", **filter: Any) -> list[Any]:
    return [each["_id"] for each in db[collection].find(filter, sort=[("_id", 1)])]


# -- create_collection

SCHEMA = {"$jsonSchema": {"bsonType": "object", "required": ["title"]}}

COLLECTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "validator": {"validator": SCHEMA},
    "lenient validator": {
        "validator": SCHEMA,
        "validationLevel": "moderate",
        "validationAction": "warn",
    },
    "capped": {"capped": True, "size": 5000, "max": 10},
    "time series": {
        "timeseries": {"timeField": "at", "metaField": "who", "granularity": "minutes"},
        "expireAfterSeconds": 3600,
    },
    "time series by default": {"timeseries": {"timeField": "at"}},
    "collation": {"collation": {"locale": "de", "strength": 2, "numericOrdering": True}},
    "view": {"viewOn": "source", "pipeline": [{"$match": {"n": {"$gt": 1}}}]},
    "view of all": {"viewOn": "source"},
    "view with a collation": {"viewOn": "source", "collation": {"locale": "fr_CA"}},
    "clustered": {"clusteredIndex": {"key": {"_id": 1}, "unique": True, "name": "by id"}},
    "clustered by default": {"clusteredIndex": {"key": {"_id": 1}, "unique": True}},
    "pre-images": {"changeStreamPreAndPostImages": {"enabled": True}},
    "storage": {"storageEngine": {"wiredTiger": {"configString": "block_compressor=zlib"}}},
    "comment": {"comment": "asked for by the teachers"},
}


@pytest.mark.parametrize("options", COLLECTIONS.values(), ids=COLLECTIONS)
def test_create_collection(run: Runner, db: Db, options: dict[str, Any]) -> None:
    require(db, options)
    done = run.one(create(**options))
    assert (done.outcome, done.note) == ("done", None)
    made = options_of(db)
    for key, value in options.items():
        if key == "comment":
            continue
        if isinstance(value, dict):
            assert value.items() <= made[key].items()
        else:
            # A capped size is rounded up by the server.
            assert made[key] == (5120 if key == "size" else value)
    again = run.one(create(**options))
    assert (again.outcome, options_of(db)) == ("standing", made)
    assert "exists already, as asked" in (again.note or "")


@pytest.mark.parametrize(
    ("standing", "asked", "shown"),
    [
        ({}, {"validator": SCHEMA}, ["validator", '"required":["title"]', "nothing"]),
        ({"validator": SCHEMA}, {}, ["validator", '"required":["title"]', "nothing"]),
        ({}, {"capped": True, "size": 5000}, ["capped", "true"]),
        (
            {"capped": True, "size": 4096},
            {"capped": True, "size": 9000},
            ["size", "4096", "9216"],
        ),
        ({"collation": {"locale": "de"}}, {"collation": {"locale": "fr"}}, ['"de"', '"fr"']),
        (
            {"viewOn": "source"},
            {"viewOn": "other"},
            ["viewOn", '"source"', '"other"'],
        ),
        ({}, {"viewOn": "source"}, ["viewOn", "nothing"]),
        ({"timeseries": {"timeField": "at"}}, {}, ["timeseries", "nothing"]),
        ({"validator": {}}, {"validator": {"a": 1}}, ["validator"]),
    ],
)
def test_a_collection_that_stands_differently(
    run: Runner, db: Db, standing: dict[str, Any], asked: dict[str, Any], shown: list[str]
) -> None:
    require(db, standing, asked)
    run(create(**standing))
    before = options_of(db)
    error = run.refused(create(**asked))
    assert error.server_code == 48
    for text in ["differs", "asked for", "found", *shown]:
        assert text in str(error)
    assert "modify_collection" in str(error)
    assert options_of(db) == before


def test_a_collection_that_the_server_refuses(run: Runner) -> None:
    assert run.refused(create(capped=True)).server_code == 72
    assert run.refused(create(validator={"$nonsense": 1})).server_code in (2, 5659, 168)
    assert run.refused(create(validationLevel="harsh")).server_code == 2


def test_drop_collection(run: Runner, db: Db) -> None:
    run(create(), create("v", viewOn="c"), create("t", timeseries={"timeField": "at"}))
    for name in ("v", "t", "c"):
        done = run.one(operation("drop_collection", name))
        assert done.outcome == "done"
        absent = run.one(operation("drop_collection", name))
        assert (absent.outcome, absent.note) == ("absent", "there is no such collection")
    assert not {"v", "t", "c"} & set(db.list_collection_names())


# -- indexes

PAIRS = [["user_id", 1], ["created_at", -1]]
INDEXES: dict[str, tuple[Any, dict[str, Any]]] = {
    "pairs": (PAIRS, {}),
    "document": ({"user_id": 1, "created_at": -1}, {"name": "mine"}),
    "one name": ("user_id", {}),
    "unique sparse": ([["email", 1]], {"unique": True, "sparse": True}),
    "partial": ("n", {"partialFilterExpression": {"n": {"$gt": 5}}}),
    "ttl": ("at", {"expireAfterSeconds": 3600}),
    "hidden": ("n", {"hidden": True}),
    "collation": ("name", {"collation": {"locale": "de", "strength": 1}}),
    "text": (
        [["title", "text"], ["body", "text"]],
        {"weights": {"title": 10}, "default_language": "german", "language_override": "lang"},
    ),
    "hashed": ([["user_id", "hashed"]], {}),
    "2d": ([["place", "2d"]], {"bits": 20, "min": -50, "max": 50}),
    "2dsphere": ([["place", "2dsphere"], ["n", 1]], {}),
    "wildcard": ([["$**", 1]], {"wildcardProjection": {"secret": 0}}),
    "of old": ("n", {"background": True, "v": 2}),
    "prepared": ("n", {"prepareUnique": True}),
    "of the command": ("n", {"commitQuorum": "majority", "comment": "for the lists"}),
    "storage": (
        "n",
        {"storageEngine": {"wiredTiger": {"configString": "prefix_compression=true"}}},
    ),
}


@pytest.mark.parametrize(("keys", "options"), INDEXES.values(), ids=INDEXES)
def test_create_index(run: Runner, db: Db, keys: Any, options: dict[str, Any]) -> None:
    require(db, options)
    done = run.one(index(keys, **options))
    assert (done.outcome, done.note) == ("done", None)
    [made] = [each for each in db["c"].list_indexes() if each["name"] != "_id_"]
    for key, value in options.items():
        if key in ("background", "commitQuorum", "comment"):
            continue
        if isinstance(value, dict):
            # Weights and collations are written out with their defaults.
            assert value.items() <= made[key].items()
        else:
            assert made[key] == value
    if "text" not in json.dumps(keys):
        wanted: dict[str, Any] = {keys: 1} if isinstance(keys, str) else dict(keys)
        assert list(made["key"].items()) == list(wanted.items()), "in this order"
        default = "_".join(f"{key}_{direction}" for key, direction in wanted.items())
        assert made["name"] == options.get("name", default)
    again = run.one(index(keys, **options))
    assert again.outcome == "standing"
    assert made["name"] in (again.note or "")
    assert len(list(db["c"].list_indexes())) == 2


@pytest.mark.parametrize(
    ("standing", "asked", "code"),
    [
        (index("a", name="x"), index("b", name="x"), 86),
        (index("a", name="x"), index("a", name="y"), 85),
        (index("a"), index("a", unique=True), 86),
        (index("a", name="x"), index("a", name="x", expireAfterSeconds=5), 85),
        (index("a"), index("a", hidden=True), 85),
        (index("a", hidden=True), index("a"), 85),
        (index("a", sparse=True), index("a", name="a_1"), 86),
        (index("a", name="x"), index("a", name="x", collation={"locale": "de"}), 86),
    ],
)
def test_an_index_that_stands_differently(
    run: Runner, db: Db, standing: Op, asked: Op, code: int
) -> None:
    run(standing)
    before = list(db["c"].list_indexes())
    error = run.refused(asked)
    assert error.server_code == code
    assert "an index exists already and differs: asked for {" in str(error)
    assert ", found {" in str(error)
    assert "drop_index" in str(error)
    assert list(db["c"].list_indexes()) == before


def test_two_indexes_on_the_same_keys_in_two_collations(run: Runner, db: Db) -> None:
    run(index("a"), index("a", name="german", collation={"locale": "de"}))
    assert set(db["c"].index_information()) == {"_id_", "a_1", "german"}


def test_a_unique_index_over_duplicates(run: Runner, db: Db) -> None:
    db["c"].insert_many([{"_id": 1, "email": "a@x"}, {"_id": 2, "email": "a@x"}])
    error = run.refused(index("email", unique=True))
    assert error.server_code == 11000
    assert "a@x" in str(error)
    assert "Make the values unique" in str(error)
    assert set(db["c"].index_information()) == {"_id_"}


def test_an_index_that_cannot_be(run: Runner, db: Db) -> None:
    assert run.refused(index([["a", 1]], expireAfterSeconds=-5)).server_code == 67
    db.create_collection("v", viewOn="c")
    assert run.refused(index("a", collection="v")).server_code == 166


def test_drop_index(run: Runner, db: Db) -> None:
    run(index(PAIRS), index("a", name="named"), index("b"), index([["t", "text"]], name="words"))
    for wanted in ("named", PAIRS, {"b": 1}, "words"):
        done = run.one(operation("drop_index", index=wanted))
        assert done.outcome == "done"
        absent = run.one(operation("drop_index", index=wanted))
        assert (absent.outcome, absent.note) == ("absent", "there is no such index")
    assert set(db["c"].index_information()) == {"_id_"}
    assert run.one(operation("drop_index", "no_such", index="x")).outcome == "absent"
    error = run.refused(operation("drop_index", index="_id_"))
    assert error.server_code == 72


def test_drop_index_by_keys_that_two_have(run: Runner, db: Db) -> None:
    run(index("a"), index("a", name="german", collation={"locale": "de"}))
    error = run.refused(operation("drop_index", index=[["a", 1]]))
    assert "2 indexes have these keys: a_1, german" in str(error)
    assert "Name the one to drop" in str(error)
    assert len(db["c"].index_information()) == 3
    # One name is an index's name, not a key.
    assert run.one(operation("drop_index", index="a")).outcome == "absent"


# -- update_documents


@pytest.fixture
def pupils(db: Db) -> Db:
    db["c"].insert_many(
        [
            {"_id": 1, "name": "Ada", "n": 1, "marks": [1, 5, 9]},
            {"_id": 2, "name": "ada", "n": 2, "marks": [5]},
            {"_id": 3, "name": "Bob", "n": 3, "marks": []},
            {"_id": 4, "name": "Cyd", "n": 3},
        ]
    )
    return db


def counts(done: OperationRun) -> tuple[int, int, int]:
    return done.matched, done.modified, done.upserted


def test_update_all_that_match(run: Runner, pupils: Db) -> None:
    done = run.one(update({"n": {"$gte": 2}}, {"$set": {"n": 3}, "$unset": {"marks": ""}}))
    assert counts(done) == (3, 1 + 1 + 0, 0)
    assert ids(pupils, n=3) == [2, 3, 4]
    assert ids(pupils, marks={"$exists": True}) == [1]


def test_update_one(run: Runner, pupils: Db) -> None:
    done = run.one(update({"n": 3}, {"$set": {"first": True}}, multi=False))
    assert counts(done) == (1, 1, 0)
    assert len(ids(pupils, first=True)) == 1


def test_upsert(run: Runner, pupils: Db) -> None:
    done = run.one(
        update({"_id": 9}, {"$set": {"n": 1}, "$setOnInsert": {"made": True}}, upsert=True)
    )
    assert counts(done) == (0, 0, 1)
    assert pupils["c"].find_one({"_id": 9}) == {"_id": 9, "n": 1, "made": True}
    done = run.one(update({"_id": 9}, {"$set": {"n": 2}}, upsert=True, multi=False))
    assert counts(done) == (1, 1, 0)
    new = run.one(update({"_id": 1}, {"$set": {"n": 2}}, collection="made", upsert=True))
    assert counts(new) == (0, 0, 1)
    assert ids(pupils, "made") == [1]


def test_array_filters(run: Runner, pupils: Db) -> None:
    run(
        update(
            {"marks": {"$exists": True}},
            {"$set": {"marks.$[high]": 0}},
            array_filters=[{"high": {"$gte": 5}}],
        )
    )
    assert [each.get("marks") for each in pupils["c"].find(sort=[("_id", 1)])] == [
        [1, 0, 0],
        [0],
        [],
        None,
    ]


def test_update_by_a_pipeline(run: Runner, pupils: Db) -> None:
    run(
        update(
            {"marks": {"$type": "array"}},
            [{"$set": {"best": {"$max": "$marks"}}}, {"$unset": "marks"}],
        )
    )
    assert pupils["c"].find_one({"_id": 1}) == {"_id": 1, "name": "Ada", "n": 1, "best": 9}


def test_update_with_variables(run: Runner, pupils: Db) -> None:
    done = run.one(
        update(
            {"$expr": {"$gt": ["$n", "$$least"]}},
            [{"$set": {"n": {"$add": ["$n", "$$least"]}}}],
            let={"least": 2},
        )
    )
    assert counts(done) == (2, 2, 0)
    assert [each["n"] for each in pupils["c"].find(sort=[("_id", 1)])] == [1, 2, 5, 5]


def test_update_with_a_collation(run: Runner, pupils: Db) -> None:
    done = run.one(
        update(
            {"name": "ADA"}, {"$set": {"found": True}}, collation={"locale": "en", "strength": 2}
        )
    )
    assert counts(done) == (2, 2, 0)
    assert ids(pupils, found=True) == [1, 2]
    # Without one the collection's own counts.
    pupils.create_collection("d", collation={"locale": "en", "strength": 2})
    pupils["d"].insert_many([{"_id": "a"}, {"_id": "B"}, {"_id": "c"}])
    assert counts(run.one(update({"_id": "b"}, {"$set": {"x": 1}}, collection="d"))) == (1, 1, 0)


def test_update_with_a_hint(run: Runner, pupils: Db) -> None:
    pupils["c"].create_index("n", name="by_n", sparse=True)
    for hint in ("by_n", {"n": 1}):
        assert counts(run.one(update({"n": 3}, {"$inc": {"seen": 1}}, hint=hint)))[0] == 2
    error = run.refused(update({"n": 3}, {"$inc": {"seen": 1}}, hint="no_such_index"))
    assert error.server_code == 2
    assert ids(pupils, seen=2) == [3, 4]


def test_update_and_the_validator(run: Runner, pupils: Db) -> None:
    pupils.command("collMod", "c", validator={"n": {"$lt": 10}})
    error = run.refused(update({}, {"$inc": {"n": 7}}))
    assert error.server_code == 121
    assert "bypass_document_validation" in str(error)
    assert [each["n"] for each in pupils["c"].find(sort=[("_id", 1)])] == [1, 2, 3, 3]
    run(update({}, {"$inc": {"n": 7}}, bypass_document_validation=True, comment="by decree"))
    assert [each["n"] for each in pupils["c"].find(sort=[("_id", 1)])] == [8, 9, 10, 10]


def test_update_that_makes_duplicates(run: Runner, pupils: Db) -> None:
    pupils["c"].create_index("name", unique=True)
    error = run.refused(update({"n": {"$gt": 0}}, {"$set": {"name": "Eve"}}))
    assert error.server_code == 11000
    assert "Eve" in str(error)
    # In one transaction: not even the first of them is changed.
    assert [each["name"] for each in pupils["c"].find(sort=[("_id", 1)])] == [
        "Ada",
        "ada",
        "Bob",
        "Cyd",
    ]


@pytest.mark.parametrize(
    ("filter", "change", "code"),
    [
        ({"n": {"$nonsense": 1}}, {"$set": {"a": 1}}, 2),
        ({}, {"$nonsense": {"a": 1}}, 9),
        ({}, {"$inc": {"name": 1}}, 14),
        ({}, {"$set": {"_id": 5}}, 66),
        ({}, [{"$nonsense": 1}], 40324),
        ({}, {"$set": {"a.b": 1, "a": 1}}, 40),
        ({}, {"$push": {"n": 1}}, 2),
    ],
)
def test_update_that_the_server_refuses(
    run: Runner, pupils: Db, filter: Any, change: Any, code: int
) -> None:
    before = list(pupils["c"].find(sort=[("_id", 1)]))
    assert run.refused(update(filter, change)).server_code == code
    assert list(pupils["c"].find(sort=[("_id", 1)])) == before


def test_update_of_nothing(run: Runner, db: Db) -> None:
    absent = run.one(update({}, {"$set": {"a": 1}}))
    assert (absent.outcome, counts(absent)) == ("done", (0, 0, 0))
    assert absent.note == "there is no such collection, so no document matches"
    db["c"].insert_one({"_id": 1})
    none = run.one(update({"x": 1}, {"$set": {"a": 1}}))
    assert (none.outcome, counts(none), none.note) == ("done", (0, 0, 0), None)


def test_update_by_text_and_by_place(run: Runner, db: Db) -> None:
    db["c"].insert_many(
        {"_id": n, "title": "red" if n % 2 else "blue", "place": [n, n]} for n in range(10)
    )
    db["c"].create_index([("title", "text")])
    db["c"].create_index([("place", "2d")])
    assert counts(run.one(update({"$text": {"$search": "red"}}, {"$inc": {"a": 1}}))) == (5, 5, 0)
    near = {"place": {"$near": [0, 0], "$maxDistance": 3}}
    assert run.one(update(near, {"$inc": {"b": 1}})).matched == 3
    assert run.one(delete({"$text": {"$search": "blue"}})).deleted == 5
    assert ids(db, a=1) == [1, 3, 5, 7, 9]


# -- insert_documents


def test_insert(run: Runner, db: Db) -> None:
    done = run.one(insert("c", {"_id": 1}, {"n": 1}, comment="first"))
    assert (done.outcome, done.inserted) == ("done", 2)
    assert db["c"].count_documents({"n": 1, "_id": {"$type": "objectId"}}) == 1
    assert run.one(insert("c")).inserted == 0


@pytest.mark.parametrize("ordered", [True, False])
def test_insert_of_a_duplicate(run: Runner, db: Db, ordered: bool) -> None:
    db["c"].insert_one({"_id": 2})
    error = run.refused(insert("c", {"_id": 1}, {"_id": 2}, {"_id": 3}, ordered=ordered))
    assert error.server_code == 11000
    assert "documents[1]" in str(error)
    assert "Remove or change the document that has this key" in str(error)
    assert ids(db) == [2], "any write error fails the operation as a whole"


def test_insert_and_the_validator(run: Runner, db: Db) -> None:
    db.create_collection("c", validator=SCHEMA)
    error = run.refused(insert("c", {"_id": 1, "title": "x"}, {"_id": 2}))
    assert error.server_code == 121
    assert "documents[1]" in str(error)
    assert "title" in str(error), "what the validator misses is shown"
    assert ids(db) == []
    assert run.one(insert("c", {"_id": 2}, bypass_document_validation=True)).inserted == 1


def test_insert_of_many(run: Runner, db: Db) -> None:
    done = run.one(insert("c", *({"_id": n, "padding": "x" * 100} for n in range(5000))))
    assert done.inserted == 5000
    assert done.chunks > 1
    assert db["c"].count_documents({}) == 5000


VALUES: dict[str, Any] = {
    "null": None,
    "bool": True,
    "int": 5,
    "long": bson.Int64(2**40),
    "small long": bson.Int64(5),
    "double": 1.5,
    "whole double": 5.0,
    "infinity": float("inf"),
    "decimal": bson.Decimal128("1.10"),
    "text": 'a "quoted" ü \u2028 \0 text',
    "object id": bson.ObjectId("65a1b2c3d4e5f60000000001"),
    "date": datetime(2026, 11, 22, 13, 40, 49, 286000, tzinfo=timezone.utc),
    "old date": datetime(1905, 1, 2, tzinfo=timezone.utc),
    "binary": b"\0\xff",
    "uuid": bson.Binary(bytes(range(16)), 4),
    "regex": bson.Regex("^a", "i"),
    "timestamp": bson.Timestamp(5, 6),
    "code": bson.Code("function() {}"),
    "min": bson.MinKey(),
    "max": bson.MaxKey(),
    "array": [1, [2], {"a": [None]}],
    "document": {"b": 1, "a": {"z": 1, "y": 2}},
    "dollar": {"$ref": "c", "$id": 5},
}


def test_every_type_in_canonical_extended_json(run: Runner, db: Db) -> None:
    run(insert("c", {"_id": 1, **VALUES}))
    stored = db["c"].find_one({"_id": 1})
    assert stored is not None
    # As bytes: equal numbers of other types, or fields in another order, are another document.
    assert {key: bson.encode({"": stored[key]}) for key in VALUES} == {
        key: bson.encode({"": value}) for key, value in VALUES.items()
    }
    assert list(stored) == ["_id", *VALUES]


def test_values_as_people_write_them(migrator: Migrator, migrations: Migrations, db: Db) -> None:
    migrations.raw(
        "migration_1_x.json",
        """{"name": "x", "up": {"operations": [{"type": "insert_documents", "collection": "c",
        "documents": [{"_id": 1, "int": 5, "long": 5000000000, "double": 5.0, "small": 1e-3,
        "date": {"$date": "2026-11-22T13:40:49.286Z"},
        "zone": {"$date": "2026-11-22T14:40:49+01:00"},
        "oid": {"$oid": "65a1b2c3d4e5f60000000001"},
        "pair": ("a", 1), "nested": (("a", 1), ("b", -1)), "tuple in a text": "(1, 2)",
        "regex": {"$regularExpression": {"pattern": "a", "options": ""}}}]}]}}""",
    )
    migrator.apply()
    stored = db["c"].find_one({"_id": 1})
    assert stored is not None
    assert [type(stored[key]) for key in ("int", "long", "double")] == [int, bson.Int64, float]
    assert stored["small"] == 0.001
    assert stored["date"] == datetime(2026, 11, 22, 13, 40, 49, 286000, tzinfo=timezone.utc)
    assert stored["zone"] == datetime(2026, 11, 22, 13, 40, 49, tzinfo=timezone.utc)
    assert stored["oid"] == bson.ObjectId("65a1b2c3d4e5f60000000001")
    assert (stored["pair"], stored["nested"]) == (["a", 1], [["a", 1], ["b", -1]])
    assert stored["tuple in a text"] == "(1, 2)"
    assert stored["regex"] == bson.Regex("a")


# -- delete_documents


def test_delete(run: Runner, pupils: Db) -> None:
    assert run.one(delete({"n": 3})).deleted == 2
    collation = {"locale": "en", "strength": 2}
    assert run.one(delete({"name": "ADA"}, collation=collation, comment="x")).deleted == 2
    assert ids(pupils) == []
    assert run.one(delete({})).deleted == 0
    assert "no such collection" in (run.one(delete({}, collection="none")).note or "")


def test_delete_with_a_hint(run: Runner, pupils: Db) -> None:
    pupils["c"].create_index("n")
    assert run.one(delete({"n": 3}, hint={"n": 1})).deleted == 2
    assert run.refused(delete({"n": 1}, hint="none")).server_code == 2
    assert ids(pupils) == [1, 2]


def test_huge_results_go_in_chunks(run: Runner, db: Db) -> None:
    db["c"].insert_many({"_id": n, "n": 0} for n in range(30_000))
    done = run.one(update({"n": {"$lt": 5}}, {"$inc": {"n": 1}}))
    assert counts(done) == (30_000, 30_000, 0)
    assert done.chunks > 1
    assert db["c"].count_documents({"n": 1}) == 30_000
    sparse = run.one(update({"_id": {"$mod": [1000, 0]}}, {"$set": {"round": True}}))
    assert counts(sparse) == (30, 30, 0)
    assert run.one(delete({"_id": {"$gte": 10}})).deleted == 29_990
    assert db["c"].count_documents({}) == 10


# -- modify_collection


def modify(collection: str = "c", **options: Any) -> Op:
    return operation("modify_collection", collection, options=options)


def test_modify_validators(run: Runner, db: Db) -> None:
    db.create_collection("c")
    asked = modify(validator=SCHEMA, validationLevel="moderate", validationAction="warn")
    assert run.one(asked).outcome == "done"
    assert options_of(db)["validator"] == SCHEMA
    assert options_of(db)["validationAction"] == "warn"
    again = run.one(asked)
    assert (again.outcome, again.note) == ("standing", "the options are as asked already")
    assert run.one(modify(validator={}, comment="none any more")).outcome == "done"
    assert run.one(modify(validator={}, validationLevel="moderate")).outcome == "standing"


def test_modify_indexes(run: Runner, db: Db) -> None:
    db["c"].create_index("at", name="ttl", expireAfterSeconds=60)
    hide = modify(index={"name": "ttl", "hidden": True})
    assert [run.one(hide).outcome for _ in range(2)] == ["done", "standing"]
    longer = modify(index={"keyPattern": {"at": 1}, "expireAfterSeconds": 120})
    assert [run.one(longer).outcome for _ in range(2)] == ["done", "standing"]
    made = db["c"].index_information()["ttl"]
    assert (made["hidden"], made["expireAfterSeconds"]) == (True, 120)
    assert run.one(modify(index={"name": "ttl", "hidden": False})).outcome == "done"
    assert "hidden" not in db["c"].index_information()["ttl"]
    assert run.refused(modify(index={"name": "none", "hidden": True})).server_code == 27
    require(db, "prepareUnique")
    db["c"].create_index("n", name="n")
    assert run.one(modify(index={"name": "n", "prepareUnique": True})).outcome == "done"
    assert run.one(modify(index={"name": "n", "unique": True})).outcome == "done"
    assert db["c"].index_information()["n"]["unique"]


def test_modify_the_others(run: Runner, db: Db) -> None:
    db.create_collection("v", viewOn="c", pipeline=[])
    view = modify("v", viewOn="d", pipeline=[{"$match": {"a": 1}}])
    assert [run.one(view).outcome for _ in range(2)] == ["done", "standing"]
    assert options_of(db, "v")["viewOn"] == "d"
    db.create_collection("t", timeseries={"timeField": "at"}, expireAfterSeconds=60)
    series = modify("t", timeseries={"granularity": "hours"}, expireAfterSeconds=600)
    assert run.one(series).outcome == "done"
    assert options_of(db, "t")["timeseries"]["granularity"] == "hours"
    assert run.one(modify("t", expireAfterSeconds="off")).outcome == "done"
    assert run.one(modify("t", expireAfterSeconds="off")).outcome == "standing"
    require(db, "cappedSize", "changeStreamPreAndPostImages")
    db.create_collection("k", capped=True, size=4096)
    assert run.one(modify("k", cappedSize=8192, cappedMax=50)).outcome == "done"
    assert (options_of(db, "k")["size"], options_of(db, "k")["max"]) == (8192, 50)
    db.create_collection("p")
    images = modify("p", changeStreamPreAndPostImages={"enabled": True})
    assert [run.one(images).outcome for _ in range(2)] == ["done", "standing"]
    missing = run.refused(modify("none", validator={}))
    assert missing.server_code == 26
    assert "create_collection" in str(missing)


# -- rename_collection


def test_rename(run: Runner, db: Db) -> None:
    db["c"].insert_one({"_id": 1})
    db["c"].create_index("n", name="mine", unique=True)
    rename = operation("rename_collection", to="d")
    assert run.one(rename).outcome == "done"
    assert "mine" in db["d"].index_information()
    again = run.one(rename)
    assert again.outcome == "standing"
    assert "renamed already" in (again.note or "")
    db["c"].insert_one({"_id": 2})
    both = run.refused(rename)
    assert both.server_code == 48
    assert 'both "c" and "d" exist' in str(both)
    assert (ids(db), ids(db, "d")) == ([2], [1])
    neither = run.refused(operation("rename_collection", "x", to="y"))
    assert neither.server_code == 26
    assert 'neither "x" nor "y" exists' in str(neither)


# -- collections that take no transactions, and servers that have none

PROMISE = "at-least-once: no transactions here"


def test_capped_collections(run: Runner, db: Db) -> None:
    db.create_collection("c", capped=True, size=100_000)
    done = run.one(insert("c", *({"_id": n, "n": 0} for n in range(5))))
    assert (done.inserted, done.note) == (5, PROMISE)
    changed = run.one(update({"_id": {"$gt": 1}}, {"$inc": {"n": 1}}))
    assert (changed.modified, changed.note) == (3, PROMISE)
    assert ids(db, n=1) == [2, 3, 4]
    require(db, "deletes from capped collections")
    assert run.one(delete({"n": 1})).deleted == 3


def test_time_series_collections(run: Runner, db: Db) -> None:
    run(create(timeseries={"timeField": "at", "metaField": "who"}))
    at = datetime(2026, 11, 22, tzinfo=timezone.utc)
    done = run.one(insert("c", *({"at": at, "who": who, "n": 1} for who in "aabb")))
    assert (done.inserted, done.note) == (4, PROMISE)
    require(db, "updates and deletes of measurements")
    renamed = run.one(update({"who": "a"}, {"$set": {"who": "c"}}))
    assert renamed.note == PROMISE
    assert run.one(delete({"who": "b"})).note == PROMISE
    assert [each["who"] for each in db["c"].find()] == ["c", "c"]
    assert run.refused(update({"n": 1}, {"$set": {"n": 2}})).server_code is not None


def test_clustered_collections(run: Runner, db: Db) -> None:
    require(db, "clusteredIndex")
    run(create(clusteredIndex={"key": {"_id": 1}, "unique": True}))
    run(insert("c", *({"_id": n, "n": 0} for n in range(3000))))
    assert run.one(update({}, {"$inc": {"n": 1}})).modified == 3000
    assert run.one(delete({"_id": {"$lt": 1000}})).deleted == 1000
    assert db["c"].count_documents({"n": 1}) == 2000


def test_views_take_no_writes(run: Runner, db: Db) -> None:
    db["c"].insert_one({"_id": 1})
    db.create_collection("v", viewOn="c")
    for write in (
        insert("v", {"_id": 2}),
        update({}, {"$set": {"a": 1}}, collection="v"),
        delete({}, collection="v"),
    ):
        error = run.refused(write)
        assert error.server_code == 166
        assert "view" in str(error)
    assert list(db["c"].find()) == [{"_id": 1}]


def test_a_standalone_server(
    guarded: LocalServer,
    migrations: Migrations,
    database_name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    uri = login(guarded, "teacher", "s3cr3t%21")
    migrations.directory.mkdir()
    migrator = Migrator(uri, database_name, migrations_dir=migrations.directory)
    assert migrator.status().transactions is False
    run = Runner(migrator, migrations)
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        db = client[database_name]
        done = run(
            create(validator={"n": {"$lt": 5}}),
            index("n"),
            insert("c", *({"_id": n, "n": 0} for n in range(3000))),
            update({}, {"$inc": {"n": 1}}),
            delete({"_id": {"$lt": 1000}}),
            update({"_id": 5}, {"$set": {"n": 2}}, upsert=True),
        )
        assert [each.note for each in done] == [None, None, *[PROMISE] * 4]
        assert "writes are at-least-once: the server is a standalone one" in caplog.text
        assert db["c"].count_documents({"n": 1}) == 2000
        error = run.refused(update({"_id": {"$gte": 2000}}, {"$set": {"n": 9}}))
        assert error.server_code == 121
        assert [each["event"] for each in db["migrations_history"].find()] == [
            "applied",
            "failed",
            "marked",
        ]
        client.drop_database(database_name)
