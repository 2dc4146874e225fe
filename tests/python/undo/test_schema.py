"""The exact rollback of collections, indexes, views and options, of half-done migrations, and of
migrations on a standalone server.
"""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson import Int64

from conftest import Cli
from edulearn_migrate import (
    CheckFailedError,
    MigrateError,
    MigrationRun,
    Migrator,
    OperationFailedError,
    WrongStateError,
)
from edulearn_migrate.local import LocalServer
from features import require
from harness import (
    Client,
    Documents,
    chunks_done,
    delete,
    fail_point,
    finish,
    insert,
    record_of,
    until,
    update,
    write_migration,
)
from random_migrations import snapshot
from undoing import check_same

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


Operation = dict[str, Any]
OLD = datetime(2020, 1, 1, tzinfo=timezone.utc)
DROP: Operation = {"type": "drop_collection", "collection": "c"}
COMMAND_FAILS = "failCommand"


def modify(**options: Any) -> Operation:
    return {"type": "modify_collection", "collection": "c", "options": options}


def index(field: str, collection: str = "c", **options: Any) -> Operation:
    return {
        "type": "create_index",
        "collection": collection,
        "index": [[field, 1]],
        "options": options,
    }


def create(collection: str, **options: Any) -> Operation:
    return {"type": "create_collection", "collection": collection, "options": options}


def undo(migrator: Migrator) -> MigrationRun:
    """The exact rollback."""
    return migrator.rollback("migration_001", exact=True).migrations[0]


def conflicts(run: MigrationRun) -> int:
    return sum(each.conflicts for each in run.undone)


def set_aside(db: Documents) -> list[str]:
    """The collections that are kept instead of dropped."""
    return sorted(
        name for name in db.list_collection_names() if name.startswith("migrations_kept_")
    )


def there_and_back(
    db: Documents, migrator: Migrator, directory: Path, *operations: Operation
) -> MigrationRun:
    """Applies the operations, which must change something, undoes them and compares."""
    __tracebackhide__ = True
    before = snapshot(db)
    write_migration(directory, 1, operations)
    migrator.apply()
    assert snapshot(db) != before, "the migration changed nothing"
    run = undo(migrator)
    check_same(before, db)
    assert conflicts(run) == 0
    return run


@pytest.fixture
def failing(with_failpoints: Client, database_name: str) -> Iterator[Documents]:
    """A database of the server whose failpoints can be set."""
    yield with_failpoints[database_name]
    with_failpoints.drop_database(database_name)


def migrator_of(db: Documents, directory: Path) -> Migrator:
    (directory / "migrations").mkdir(exist_ok=True)
    return Migrator(db, migrations_dir=directory / "migrations")


# Dropped collections.


def expiring(db: Documents, kind: str) -> None:
    """A collection whose documents the server would delete, and a document that is due."""
    if kind == "index":
        db["c"].create_index("at", expireAfterSeconds=Int64(3600), name="ttl")
        db["c"].create_index("other", expireAfterSeconds=60.0, partialFilterExpression={"x": 1})
        db["c"].insert_one({"_id": 1, "at": datetime.now(timezone.utc)})
    else:
        require(db, "clusteredIndex")
        db.create_collection(
            "c", clusteredIndex={"key": {"_id": 1}, "unique": True}, expireAfterSeconds=3600
        )
        db["c"].insert_one({"_id": datetime.now(timezone.utc)})


@pytest.mark.parametrize("kind", ["index", "clustered"])
def test_the_expiry_is_suspended_with_the_collection_and_returns_with_it(
    db: Documents, migrator: Migrator, directory: Path, kind: str
) -> None:
    expiring(db, kind)
    before = snapshot(db)
    write_migration(directory, 1, [DROP])
    migrator.apply()
    (aside,) = set_aside(db)
    assert len(aside) < 60
    for each in db[aside].index_information().values():
        assert each.get("expireAfterSeconds", 2**31 - 1) == 2**31 - 1
    assert "expireAfterSeconds" not in db[aside].options()
    undo(migrator)
    check_same(before, db)
    assert not set_aside(db)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("c" * 200, {}),
        ("empty", {}),
        ("capped", {"capped": True, "size": 100_000, "max": 100}),
        ("collated", {"collation": {"locale": "de", "strength": 1}}),
        ("strict", {"validator": {"n": {"$type": "int"}, "d.x": {"$ne": 5}}}),
        ("images", {"changeStreamPreAndPostImages": {"enabled": True}}),
        ("Ünïcode · with spaces", {}),
    ],
)
def test_collections_of_every_kind(
    db: Documents, migrator: Migrator, directory: Path, name: str, options: dict[str, Any]
) -> None:
    require(db, options)
    db.create_collection(name, **options)
    if name != "empty":
        db[name].insert_many([{"_id": at, "n": at} for at in (3, 1, 2)])
        db[name].create_index([("n", -1)], unique=True, name="own")
    uuid = db.command("listCollections", filter={"name": name})["cursor"]["firstBatch"][0]["info"]
    there_and_back(db, migrator, directory, {"type": "drop_collection", "collection": name})
    found = db.command("listCollections", filter={"name": name})["cursor"]["firstBatch"][0]["info"]
    assert found == uuid
    if options.get("capped"):
        assert [each["_id"] for each in db[name].find()] == [3, 1, 2]


def test_a_name_taken_since(db: Documents, migrator: Migrator, directory: Path) -> None:
    db["c"].insert_one({"_id": "old"})
    write_migration(directory, 1, [DROP])
    migrator.apply()
    db["c"].insert_one({"_id": "new"})
    run = undo(migrator)
    assert conflicts(run) == 1
    assert list(db["c"].find()) == [{"_id": "new"}]
    (entry,) = migrator.dropped()
    assert entry.name in (run.operations[0].note or "")
    migrator.undrop(entry.name, to="old")
    assert list(db["old"].find()) == [{"_id": "old"}]


def test_a_collection_of_that_name_dropped_again(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_one({"_id": 1})
    there_and_back(
        db,
        migrator,
        directory,
        DROP,
        insert("c", {"_id": 2}),
        DROP,
        create("c", capped=True, size=4096),
        DROP,
    )
    assert not set_aside(db)


@pytest.mark.parametrize("kind", ["index", "clustered", "plain"])
@pytest.mark.parametrize("code", [91, 64], ids=["passing", "for good"])
def test_a_rename_done_whose_answer_is_an_error_loses_nothing(
    failing: Documents, directory: Path, kind: str, code: int
) -> None:
    """The collection is aside already, whatever the server says of the majority."""
    if kind == "plain":
        failing["c"].insert_one({"_id": 1})
    else:
        expiring(failing, kind)
    before = snapshot(failing)
    migrator = migrator_of(failing, directory)
    write_migration(directory, 1, [DROP])
    with fail_point(
        failing.client,
        COMMAND_FAILS,
        {"times": 1},
        failCommands=["renameCollection"],
        writeConcernError={"code": code, "errmsg": "waiting for replication"},
    ):
        try:
            migrator.apply()
        except MigrateError:
            migrator.apply()
    assert [each.kind for each in migrator.dropped()] == ["collection"]
    undo(migrator)
    check_same(before, failing)


# Time-series collections.


def series(db: Documents) -> None:
    db.create_collection(
        "c",
        timeseries={"timeField": "t", "metaField": "m", "granularity": "minutes"},
        expireAfterSeconds=3600 * 24 * 365 * 20,
    )
    db["c"].create_index([("m", 1), ("t", -1)], name="by_meta")
    db["c"].insert_many([{"t": OLD, "m": at % 5, "value": at, "_id": at} for at in range(500)])


def test_a_time_series_collection_returns(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    series(db)
    there_and_back(db, migrator, directory, DROP)
    assert not set_aside(db)


def test_an_empty_time_series_collection_returns(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db.create_collection("c", timeseries={"timeField": "t"})
    there_and_back(db, migrator, directory, DROP)


def test_deleted_measurements_return(db: Documents, migrator: Migrator, directory: Path) -> None:
    """With the same fields; their order is the server's business, bucket by bucket."""
    require(db, "updates and deletes of measurements")
    series(db)
    before = list(db["c"].find().sort("_id", 1))
    write_migration(directory, 1, [delete("c", {"m": 3})])
    migrator.apply()
    assert db["c"].count_documents({}) == 400
    run = undo(migrator)
    assert list(db["c"].find().sort("_id", 1)) == before
    assert run.undone[0].restored == 100


def test_the_copy_of_a_time_series_collection_survives_who_writes_under_its_name(
    failing: Documents, directory: Path
) -> None:
    """Dropped, not yet recorded, and the application makes a collection of that name."""
    series(failing)
    migrator = migrator_of(failing, directory)
    write_migration(directory, 1, [DROP])

    def application() -> None:
        until(lambda: "c" not in failing.list_collection_names(), "it is dropped")
        failing["c"].insert_one({"t": OLD, "m": "mine"})

    writer = threading.Thread(target=application)
    writer.start()
    with fail_point(
        failing.client,
        COMMAND_FAILS,
        {"times": 1},
        failCommands=["drop"],
        writeConcernError={"code": 91, "errmsg": "shutdown"},
    ):
        try:
            migrator.apply()
        except (OperationFailedError, CheckFailedError):
            # It met the new collection when it dropped again, or when it looked at the end state.
            writer.join()
            failing["c"].rename("mine")
            migrator.apply()
    writer.join()
    if "mine" not in failing.list_collection_names():
        failing["c"].rename("mine")
    undo(migrator)
    assert failing["mine"].count_documents({}) == 1
    assert sorted(each["_id"] for each in failing["c"].find()) == list(range(500))


def test_a_granularity_cannot_go_back_and_bars_nothing(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["other"].insert_one({"_id": 1, "a": 1})
    db.create_collection("c", timeseries={"timeField": "t", "metaField": "m"})
    write_migration(
        directory,
        1,
        [
            update("other", {}, {"$set": {"a": 2}}),
            modify(timeseries={"granularity": "minutes"}),
        ],
    )
    migrator.apply()
    run = undo(migrator)
    assert conflicts(run) == 1
    assert db["other"].find_one() == {"_id": 1, "a": 1}


# Indexes, views, options, names.


def test_indexes_of_every_kind(db: Documents, migrator: Migrator, directory: Path) -> None:
    simple = {"locale": "simple"}
    db.create_collection("c", collation={"locale": "en", "strength": 2})
    db["c"].insert_one({"_id": 1, "t": "text", "at": [1, 2], "n": 1})
    make = db["c"].create_index
    names = [
        make(
            [("t", "text"), ("b", "text")],
            weights={"t": 3},
            default_language="german",
            collation=simple,
        ),
        make([("$**", 1)], wildcardProjection={"x": 0}, name="wild"),
        make([("at", "2dsphere")], collation=simple),
        make([("at", "2d")], min=-10, max=10, bits=20, collation=simple),
        make([("h", "hashed")], collation=simple),
        make("p", partialFilterExpression={"p": {"$gt": 5}, "q.r": {"$exists": True}}),
        make("n", hidden=True, sparse=True, unique=True),
        make("s", collation=simple, name="simple"),
        make("s", name="of the collection"),
        make("e", expireAfterSeconds=3600.0),
        make([("a.b", -1), ("c", 1)], name="by path"),
    ]
    there_and_back(
        db,
        migrator,
        directory,
        *({"type": "drop_index", "collection": "c", "index": name} for name in names),
    )
    assert set(names) < set(db["c"].index_information())


def test_indexes_that_the_migration_made(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_one({"_id": 1})
    db["c"].create_index("stood")
    there_and_back(
        db,
        migrator,
        directory,
        index("stood"),
        index("made", unique=True, hidden=True),
        index("first", collection="implicit"),
    )


def test_an_index_changed_since_stays(db: Documents, migrator: Migrator, directory: Path) -> None:
    db["c"].insert_one({"_id": 1})
    db["c"].create_index("b")
    write_migration(
        directory,
        1,
        [index("a"), {"type": "drop_index", "collection": "c", "index": "b_1"}],
    )
    migrator.apply()
    db.command({"collMod": "c", "index": {"name": "a_1", "hidden": True}})
    db["c"].create_index("b", sparse=True)
    run = undo(migrator)
    assert conflicts(run) == 2
    found = db["c"].index_information()
    assert found["a_1"]["hidden"] is True
    assert found["b_1"]["sparse"] is True


def test_an_index_made_by_hand_after_the_operation_failed_stays(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_many([{"a": 1}, {"a": 1}])
    write_migration(directory, 1, [index("a", unique=True)])
    with pytest.raises(OperationFailedError):
        migrator.apply()
    db["c"].delete_one({"a": 1})
    db["c"].create_index("a", unique=True)
    undo(migrator)
    assert "a_1" in db["c"].index_information()


def test_a_unique_index_that_cannot_be_built_again_says_so_and_can_be_carried_on(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].create_index("a", unique=True)
    db["c"].insert_one({"_id": 1, "a": 1})
    before = snapshot(db)
    write_migration(directory, 1, [{"type": "drop_index", "collection": "c", "index": "a_1"}])
    migrator.apply()
    db["c"].insert_one({"_id": 2, "a": 1})
    with pytest.raises(OperationFailedError, match="a_1"):
        undo(migrator)
    db["c"].delete_one({"_id": 2})
    migrator.rollback("migration_001")
    check_same(before, db)


def test_views(db: Documents, migrator: Migrator, directory: Path) -> None:
    db["c"].insert_one({"_id": 1, "n": 1})
    pipeline = [{"$match": {"a.b": {"$gt": 1}, "n": {"$exists": True}}}, {"$project": {"n": 1}}]
    collation = {"locale": "fr", "strength": 1}
    db.create_collection("v", viewOn="c", pipeline=pipeline, collation=collation)
    db.create_collection("w", viewOn="c", pipeline=[])
    there_and_back(
        db,
        migrator,
        directory,
        {"type": "drop_collection", "collection": "v"},
        {
            "type": "modify_collection",
            "collection": "w",
            "options": {"viewOn": "c", "pipeline": [{"$match": {"n": 2}}]},
        },
        create("x", viewOn="c", pipeline=[{"$limit": 1}]),
    )


def test_a_view_changed_since_stays(db: Documents, migrator: Migrator, directory: Path) -> None:
    db["c"].insert_one({"_id": 1})
    write_migration(directory, 1, [create("v", viewOn="c", pipeline=[])])
    migrator.apply()
    db.command({"collMod": "v", "viewOn": "c", "pipeline": [{"$limit": 5}]})
    assert conflicts(undo(migrator)) == 1
    assert db["v"].options()["pipeline"] == [{"$limit": 5}]


@pytest.mark.parametrize(
    "change",
    [
        {"validator": {"a.b": {"$in": [1, 2]}}, "validationAction": "warn"},
        {"validator": {}},
        {"validationLevel": "off"},
        {"changeStreamPreAndPostImages": {"enabled": True}},
        {"index": {"name": "plain", "hidden": True}},
        {"index": {"keyPattern": {"ttl": 1}, "expireAfterSeconds": 7200}},
        {"index": {"name": "ttl_1", "expireAfterSeconds": 7200, "hidden": True}},
        {"index": {"name": "plain", "expireAfterSeconds": 7200}},
        {"index": {"name": "plain", "prepareUnique": True}},
    ],
    ids=str,
)
def test_options_return(
    db: Documents, migrator: Migrator, directory: Path, change: dict[str, Any]
) -> None:
    require(db, change)
    if change.get("index", {}).get("expireAfterSeconds") and change["index"].get("name") == "plain":
        require(db, "an index that is made to expire")
    db.create_collection("c", validator={"a": {"$exists": True}}, validationLevel="moderate")
    db["c"].create_index("plain", name="plain")
    db["c"].create_index("ttl", expireAfterSeconds=3600)
    there_and_back(db, migrator, directory, modify(**change))


def test_options_of_capped_and_clustered_collections_return(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    require(db, "cappedSize", "clusteredIndex")
    db.create_collection("c", capped=True, size=4096, max=10)
    db.create_collection(
        "d", clusteredIndex={"key": {"_id": 1}, "unique": True}, expireAfterSeconds=3600
    )
    there_and_back(
        db,
        migrator,
        directory,
        modify(cappedSize=8192, cappedMax=20),
        {"type": "modify_collection", "collection": "d", "options": {"expireAfterSeconds": "off"}},
    )


def test_options_are_compared_one_by_one(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db.create_collection("c")
    db["c"].create_index("n", name="n")
    write_migration(
        directory,
        1,
        [
            modify(
                validator={"a": 1},
                validationLevel="moderate",
                index={"name": "n", "hidden": True},
            )
        ],
    )
    migrator.apply()
    db.command({"collMod": "c", "validationLevel": "off"})
    run = undo(migrator)
    assert conflicts(run) == 1
    options = db["c"].options()
    assert options["validationLevel"] == "off"
    assert not options.get("validator")
    assert "hidden" not in db["c"].index_information()["n"]


def test_names_and_what_was_done_under_them(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_many([{"_id": at, "n": 1} for at in range(5)])
    there_and_back(
        db,
        migrator,
        directory,
        update("c", {}, {"$set": {"n": 2}}),
        {"type": "rename_collection", "collection": "c", "to": "d"},
        update("d", {"_id": 1}, {"$set": {"n": 3}}),
        {"type": "drop_collection", "collection": "d"},
        create("c", viewOn="e"),
    )


@pytest.mark.parametrize(
    "first",
    [
        insert("made", {"_id": 1}),
        update("made", {"_id": 1}, {"$set": {"a": 1}}, upsert=True),
        index("a", collection="made"),
        create("made", validator={"x": 1}),
        create("made", capped=True, size=4096),
    ],
    ids=["insert", "upsert", "index", "create", "capped"],
)
@pytest.mark.parametrize("used", [False, True])
def test_collections_that_the_migration_made(
    db: Documents, migrator: Migrator, directory: Path, first: Operation, used: bool
) -> None:
    db["c"].insert_one({"_id": 1})
    before = snapshot(db)
    write_migration(directory, 1, [first])
    migrator.apply()
    if used:
        db.command("insert", "made", documents=[{"_id": "mine"}], bypassDocumentValidation=True)
    run = undo(migrator)
    if not used:
        check_same(before, db)
        return
    assert [each["_id"] for each in db["made"].find()] == ["mine"]
    assert [each.made_since for each in run.undone if each.collection == "made"] == [1]


# A rollback by script: what it counts beforehand.


def test_a_filter_that_only_works_within_its_script_does_not_stop_the_rollback(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    """What the down script reaches is counted before its own index stands."""
    db["c"].insert_one({"_id": 1, "t": "hello"})
    text = {"type": "create_index", "collection": "c", "index": [["t", "text"]]}
    write_migration(
        directory,
        1,
        [update("c", {}, {"$set": {"a": 1}})],
        [text, update("c", {"$text": {"$search": "hello"}}, {"$unset": {"a": 1}})],
    )
    migrator.apply()
    assert migrator.rollback("migration_001").ids("rolled_back") == ["migration_001"]
    assert db["c"].find_one() == {"_id": 1, "t": "hello"}


def test_documents_of_a_renamed_collection_are_those_that_the_up_script_touched(
    db: Documents, migrator: Migrator, directory: Path
) -> None:
    db["c"].insert_many([{"_id": 1}, {"_id": 2}])
    rename = {"type": "rename_collection"}
    write_migration(
        directory,
        1,
        [update("c", {}, {"$set": {"a": 1}}), {**rename, "collection": "c", "to": "d"}],
        [update("d", {}, {"$unset": {"a": 1}}), {**rename, "collection": "d", "to": "c"}],
    )
    migrator.apply()
    assert migrator.rollback("migration_001").migrations[0].overreach == ()


# Half done.


def large(db: Documents, documents: int = 30_000) -> None:
    db["c"].insert_many([{"_id": at, "a": at} for at in range(documents)])


INCREMENT = update("c", {}, {"$inc": {"a": 1}})


def kill_in_chunks(db: Documents, cli: Cli, *command: str) -> None:
    """Starts the command and kills it when chunks of its operation are committed."""
    process = cli.start(*command)
    until(lambda: chunks_done(db, "migration_001") > 1, "chunks are committed")
    process.kill()
    assert finish(process)[0] == -9
    assert record_of(db, "migration_001")["status"] in ("applying", "rolling_back")


def test_a_killed_migration_is_undone_from_another_process_without_its_file(
    db: Documents, cli: Cli
) -> None:
    large(db)
    before = snapshot(db)
    write_migration(cli.directory, 1, [index("a"), INCREMENT, DROP])
    kill_in_chunks(db, cli, "apply")
    for file in (cli.directory / "migrations").iterdir():
        file.unlink()
    done = cli("rollback", "migration_001", "--exact")
    assert done.code == 0, done.stdout + done.stderr
    check_same(before, db)
    assert record_of(db, "migration_001")["status"] == "rolled_back"


def test_a_failed_migration_is_undone(db: Documents, migrator: Migrator, directory: Path) -> None:
    db["c"].insert_many([{"_id": at, "a": at} for at in range(100)])
    before = snapshot(db)
    write_migration(directory, 1, [INCREMENT, insert("c", {"_id": "new"}, {"_id": 1}), DROP])
    with pytest.raises(OperationFailedError):
        migrator.apply()
    run = undo(migrator)
    check_same(before, db)
    assert [each.restored for each in run.undone] == [100]


def test_a_half_rollback_by_script_is_undone_with_its_migration(
    db: Documents, cli: Cli, migrator: Migrator
) -> None:
    large(db)
    before = snapshot(db)
    down = update("c", {}, {"$inc": {"a": -1}, "$set": {"harm": True}})
    write_migration(cli.directory, 1, [INCREMENT], [down])
    migrator.apply()
    kill_in_chunks(db, cli, "rollback", "migration_001")
    run = undo(migrator)
    check_same(before, db)
    assert conflicts(run) == 0


def test_a_half_exact_rollback_is_carried_on_by_plain_rollback_and_not_by_apply(
    db: Documents, cli: Cli, migrator: Migrator
) -> None:
    large(db)
    before = snapshot(db)
    # The down script would do harm: it must not run.
    write_migration(cli.directory, 1, [INCREMENT], [update("c", {}, {"$set": {"harm": True}})])
    migrator.apply()
    kill_in_chunks(db, cli, "rollback", "migration_001", "--exact")
    with pytest.raises(
        WrongStateError, match=r"is half rolled back\. `rollback migration_001 --exact`"
    ):
        migrator.apply()
    done = migrator.rollback("migration_001").migrations[0]
    assert (done.exact, done.resumed) == (True, True)
    check_same(before, db)
    assert done.undone[0].restored == 30_000


def test_a_killed_purge_is_finished_by_the_next(
    failing: Documents, directory: Path, cli: Cli
) -> None:
    failing["c"].insert_many([{"_id": at, "$odd": 1} for at in range(10)])
    write_migration(directory, 1, [delete("c", {"_id": {"$lt": 5}}), DROP])
    migrator = migrator_of(failing, directory)
    migrator.apply()
    hosts = ",".join(f"{host}:{port}" for host, port in failing.client.nodes)
    uri = f"mongodb://{hosts}/?replicaSet=rs0"

    def captures() -> list[str]:
        return [
            n
            for n in failing.list_collection_names()
            if n.startswith(("migrations_undo_", "migrations_kept_"))
        ]

    held = len(captures())
    # Its second drop waits.
    with fail_point(
        failing.client,
        COMMAND_FAILS,
        {"skip": 1},
        failCommands=["drop"],
        blockConnection=True,
        blockTimeMS=2000,
    ):
        process = cli.start("purge", env={"MONGO_URI": uri, "DB_NAME": failing.name})
        until(lambda: len(captures()) < held, "the first collection is dropped")
        assert failing["migrations_undo"].find_one({"purging": True}) is not None
        process.kill()
        finish(process)
    with pytest.raises(WrongStateError, match="purged"):
        undo(migrator)
    assert migrator.dropped() == []
    assert len(migrator.purge().purged) == 1
    left = [n for n in failing.list_collection_names() if n.startswith("migrations_")]
    assert not set_aside(failing)
    assert sorted(left) == ["migrations_history", "migrations_lock", "migrations_undo"]
    assert failing["migrations_undo"].count_documents({}) == 0


# A standalone server.


@pytest.fixture(scope="module")
def standalone() -> Iterator[Client]:
    """A client of a server without transactions."""
    with (
        LocalServer(replica_set=None) as server,
        pymongo.MongoClient[dict[str, Any]](server.uri, tz_aware=True) as client,
    ):
        yield client


def test_on_a_standalone_server_it_returns_and_the_weaker_promise_is_told(
    standalone: Client, database_name: str, directory: Path
) -> None:
    db = standalone[database_name]
    db["c"].insert_many([{"_id": at, "a": at} for at in range(3000)])
    db["c"].create_index("a", unique=True)
    db["d"].insert_one({"_id": 1})
    before = snapshot(db)
    migrator = migrator_of(db, directory)
    write_migration(
        directory,
        1,
        [
            update("c", {"_id": {"$gt": 10}}, {"$inc": {"a": 10_000}}),
            update("c", {"_id": 5}, {"$unset": {"a": ""}}, multi=False),
            delete("c", {"_id": {"$lt": 5}}),
            insert("c", {"_id": "new", "a": -1}),
            update("made", {"_id": 1}, {"$set": {"a": 1}}, upsert=True),
            {"type": "drop_collection", "collection": "d"},
        ],
    )
    told: list[str] = []
    report = migrator.apply(progress=lambda event: told.append(event.message))
    assert any("at-least-once" in message for message in told)
    assert "at-least-once" in (report.migrations[0].operations[0].note or "")
    told.clear()
    run = migrator.rollback(
        "migration_001", exact=True, progress=lambda event: told.append(event.message)
    ).migrations[0]
    assert any("at-least-once" in message for message in told)
    check_same(before, db)
    assert conflicts(run) == 0
    assert [each.restored for each in run.undone if each.collection == "c"] == [2989 + 1 + 5 + 1]
