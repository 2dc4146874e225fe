"""Operations on a standalone server: captured beforehand, recognised when they are repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson import Timestamp

from edulearn_migrate import Migrator, OperationFailedError
from edulearn_migrate.local import LocalServer
from faults.message_proxy import at_command
from harness import Documents, delete, insert, update, write_migration
from random_migrations import snapshot
from undoing import check_same, counts, undo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server without transactions."""
    with LocalServer(replica_set=None) as server:
        yield server


@pytest.fixture
def db(server: LocalServer, database_name: str) -> Iterator[Documents]:
    """A database of it."""
    with pymongo.MongoClient[dict[str, Any]](server.uri, tz_aware=True) as client:
        yield client[database_name]
        client.drop_database(database_name)


@pytest.fixture
def migrator_at(directory: Path, database_name: str) -> Callable[[int], Migrator]:
    """The engine, through a port."""

    def at(port: int) -> Migrator:
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        return Migrator(uri, database_name, migrations_dir=directory / "migrations")

    return at


@pytest.fixture
def migrator(server: LocalServer, migrator_at: Callable[[int], Migrator]) -> Migrator:
    """The engine, straight to the server."""
    return migrator_at(server.port)


def test_more_than_a_chunk_may_hold_is_written_once(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_many([{"_id": at, "v": 0, "pad": "x" * 400_000} for at in range(120)])
    before = snapshot(db)
    write_migration(directory, 1, [update("c", {}, {"$set": {"pad": "gone"}, "$inc": {"v": 1}})])
    migrator.apply()
    assert db["c"].distinct("v") == [1]
    assert counts(undo(migrator)) == (120, 0, 0, 0)
    check_same(before, db)


MANY = [{"_id": at, "n": 0, "list": [{"k": at % 3}, {"k": 1}], "s": "É"} for at in range(200)]
UPDATES: dict[str, dict[str, Any]] = {
    "operators": update("c", {"_id": {"$lt": 50}}, {"$inc": {"n": 1}, "$set": {"a.b": 1}}),
    "a pipeline": update("c", {}, [{"$set": {"m": {"$add": ["$n", "$_id"]}}}, {"$unset": "n"}]),
    "a positional one": update("c", {"list.k": 2}, {"$set": {"list.$.k": "two"}}),
    "array filters": update(
        "c", {}, {"$inc": {"list.$[one].k": 5}}, array_filters=[{"one.k": {"$gte": 1}}]
    ),
    "another collation": update(
        "c", {"s": "e"}, {"$pull": {"list": {"k": 1}}}, collation={"locale": "en", "strength": 1}
    ),
    "one of several": update("c", {"n": 0}, {"$set": {"n": 7}}, multi=False),
    "variables": update("c", {}, [{"$set": {"n": "$$more"}}], let={"more": 3}),
    "the time": update("c", {}, {"$currentDate": {"at": True}, "$inc": {"n": 1}}),
    "the time in a pipeline": update("c", {}, [{"$set": {"at": "$$NOW"}}]),
}


@pytest.mark.parametrize("which", UPDATES)
@pytest.mark.parametrize("collation", [None, {"locale": "en", "strength": 1}])
def test_an_update_does_what_the_server_does_and_goes_back(
    db: Documents,
    directory: Path,
    migrator: Migrator,
    which: str,
    collation: dict[str, Any] | None,
) -> None:
    for name in ("c", "like"):
        options: dict[str, Any] = {"collation": collation} if collation else {}
        db.command({"create": name, **options})
        db[name].insert_many(MANY)
    before = snapshot(db)
    operation = UPDATES[which]
    write_migration(directory, 1, [operation])
    migrator.apply()
    options = dict(operation["options"])
    statement: dict[str, Any] = {
        "q": operation["filter"],
        "u": operation["update"],
        "multi": options.pop("multi", True),
    }
    if "array_filters" in options:
        statement["arrayFilters"] = options.pop("array_filters")
    if "collation" in options:
        statement["collation"] = options.pop("collation")
    db.command({"update": "like", "updates": [statement], **options})

    def shown(name: str) -> list[dict[str, Any]]:
        return list(db[name].find({}, {"at": 0}).sort("_id", 1))

    assert shown("c") == shown("like")
    assert shown("c") != MANY or "at" in (db["c"].find_one() or {})
    run = undo(migrator)
    assert counts(run)[1:] == (0, 0, 0)
    db["like"].delete_many({})
    db["like"].insert_many(MANY)
    check_same(before, db)


# Edits in between.


def test_what_is_inserted_between_the_capture_and_the_delete_stays(
    db: Documents,
    directory: Path,
    server: LocalServer,
    migrator: Migrator,
    migrator_at: Callable[[int], Migrator],
) -> None:
    db["c"].insert_many([{"_id": at, "old": True} for at in (1, 3, 5)])
    write_migration(directory, 1, [delete("c", {"old": True})])

    def application() -> None:
        db["c"].insert_one({"_id": 2, "old": True})
        db["c"].update_one({"_id": 3}, {"$set": {"old": False}})

    with at_command(server.port, "delete", "c", "forward", application) as proxy:
        migrator_at(proxy.port).apply()
        assert proxy.struck
    assert list(db["c"].find().sort("_id", 1)) == [
        {"_id": 2, "old": True},
        {"_id": 3, "old": False},
    ]
    undo(migrator)
    assert [each["_id"] for each in db["c"].find().sort("_id", 1)] == [1, 2, 3, 5]
    assert db["c"].find_one({"_id": 3}) == {"_id": 3, "old": False}


@pytest.mark.parametrize("change", [{"$inc": {"n": 1}}, {"$currentDate": {"at": True}}])
def test_an_edit_between_the_capture_and_the_update_is_the_applications(
    db: Documents,
    directory: Path,
    server: LocalServer,
    migrator: Migrator,
    migrator_at: Callable[[int], Migrator],
    change: dict[str, Any],
) -> None:
    db["c"].insert_many([{"_id": at, "n": 0, "note": "old"} for at in range(5)])
    write_migration(directory, 1, [update("c", {}, change)])

    def application() -> None:
        db["c"].update_one({"_id": 2}, {"$set": {"note": "mine"}})
        db["c"].insert_one({"_id": 2.5, "n": 0})

    with at_command(server.port, "update", "c", "forward", application) as proxy:
        migrator_at(proxy.port).apply()
        assert proxy.struck
    assert db["c"].find_one({"_id": 2.5}) == {"_id": 2.5, "n": 0}
    undo(migrator)
    expected = {at: {"_id": at, "n": 0, "note": "old"} for at in range(5)}
    expected[2]["note"] = "mine"
    assert {each["_id"]: each for each in db["c"].find({"_id": {"$ne": 2.5}})} == expected


def test_a_document_edited_between_two_attempts_is_kept_as_it_was_deleted(
    db: Documents,
    directory: Path,
    server: LocalServer,
    migrator: Migrator,
    migrator_at: Callable[[int], Migrator],
) -> None:
    db["c"].insert_many([{"_id": at, "v": 1} for at in range(3)])

    def application() -> None:
        db["c"].update_one({"_id": 1}, {"$set": {"v": 2}})

    write_migration(directory, 1, [delete("c", {})])
    with at_command(server.port, "delete", "c", "cut", application) as proxy:
        migrator_at(proxy.port).apply()
        assert proxy.struck
    assert db["c"].count_documents({}) == 0
    undo(migrator)
    assert [each["v"] for each in db["c"].find().sort("_id", 1)] == [1, 2, 1]


# Refused half-way.


def test_an_update_that_a_unique_index_refuses_says_what_it_did_and_goes_back(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_many([{"_id": at, "a": at} for at in range(5)])
    db["c"].create_index("a", unique=True)
    before = snapshot(db)
    write_migration(directory, 1, [update("c", {}, {"$set": {"a": 100}})])
    with pytest.raises(OperationFailedError, match="Of operation 1, 1 document is done"):
        migrator.apply()
    assert db["c"].count_documents({"a": 100}) == 1
    assert counts(undo(migrator)) == (1, 0, 0, 0)
    check_same(before, db)


def test_an_update_that_one_document_refuses_does_nothing(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_many([{"_id": at, "n": at if at != 3 else "three"} for at in range(5)])
    before = snapshot(db)
    write_migration(directory, 1, [update("c", {}, {"$inc": {"n": 1}})])
    with pytest.raises(OperationFailedError, match=r"\$inc.*Of operation 1, nothing is done"):
        migrator.apply()
    check_same(before, db)


def test_an_insert_that_is_refused_half_way_says_what_it_did_and_goes_back(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db.create_collection("c", validator={"n": {"$lt": 3}})
    before = snapshot(db)
    write_migration(directory, 1, [insert("c", *({"n": n} for n in range(5)))])
    with pytest.raises(OperationFailedError, match="Of operation 1, 3 documents are done"):
        migrator.apply()
    with pytest.raises(OperationFailedError, match="nothing is done"):
        migrator.apply()
    assert [each["n"] for each in db["c"].find()] == [0, 1, 2]
    assert counts(undo(migrator)) == (3, 0, 0, 0)
    check_same(before, db)


def test_a_document_that_stood_before_is_never_taken_for_an_inserted_one(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    db["c"].insert_one({"_id": 2, "mine": True})
    before = snapshot(db)
    write_migration(directory, 1, [insert("c", {"_id": 1}, {"_id": 2}, {"_id": 3})])
    for _ in range(2):
        with pytest.raises(OperationFailedError, match=r"E11000.*documents\[1\]"):
            migrator.apply()
    check_same(before, db)


def test_an_inserted_document_with_an_empty_timestamp_goes_back(
    db: Documents, directory: Path, migrator: Migrator
) -> None:
    """The server puts the time into it."""
    before = snapshot(db)
    write_migration(directory, 1, [insert("c", {"t": Timestamp(0, 0), "_id": 1}, {"v": 1})])
    migrator.apply()
    assert db["c"].count_documents({"t": {"$gt": Timestamp(1, 1)}}) == 1
    assert counts(undo(migrator)) == (2, 0, 0, 0)
    check_same(before, db)


# Lost answers. An edit in between is the application's.


def everything(db: Documents) -> None:
    db["c"].insert_many([{"_id": at, "n": at, "old": at % 4 == 0} for at in range(40)])


COUNT = {"$ifNull": ["$v", 0]}
EVERYTHING = [
    update("c", {"_id": {"$gte": 10}}, {"$inc": {"n": 1}}),
    update("c", {}, {"$inc": {"n": 1}, "$set": {"z": 1}}),
    delete("c", {"old": True}),
    insert("c", {"_id": "x"}, {"_id": "y"}),
    insert("c", {"v": 1}, {"v": 2}),
    update("c", {"key": "u"}, {"$inc": {"v": 1}}, upsert=True),
    update(
        "c", {"key": "w"}, [{"$set": {"v": {"$add": [{"$ifNull": ["$v", 0]}, 1]}}}], upsert=True
    ),
]


def comparable(db: Documents) -> list[dict[str, Any]]:
    """The collection without what the server or the engine chose."""
    generated = [
        {key: value for key, value in each.items() if key != "_id"}
        for each in db["c"].find({"_id": {"$type": "objectId"}}).sort([("v", 1), ("key", 1)])
    ]
    return [*db["c"].find({"_id": {"$not": {"$type": "objectId"}}}), *generated]


@pytest.mark.parametrize("needle", [("update", "c"), ("insert", "c"), ("delete", "c")])
@pytest.mark.parametrize("what", ["lose", "cut"])
def test_a_write_whose_answer_is_lost_is_made_once(
    db: Documents,
    directory: Path,
    server: LocalServer,
    migrator: Migrator,
    migrator_at: Callable[[int], Migrator],
    needle: tuple[str, str],
    what: Any,
) -> None:
    everything(db)
    before = snapshot(db)
    write_migration(directory, 1, EVERYTHING)
    migrator.apply()
    right = comparable(db)
    assert counts(undo(migrator)) == (30 + 40 + 10 + 4 + 2, 0, 0, 0)
    check_same(before, db)
    for skip in range(20):
        with at_command(server.port, *needle, what, skip=skip) as proxy:
            migrator_at(proxy.port).apply("migration_001")
        assert comparable(db) == right, skip
        assert counts(undo(migrator)) == (30 + 40 + 10 + 4 + 2, 0, 0, 0), skip
        check_same(before, db)
        if not proxy.struck:
            assert skip > 0
            return
    raise AssertionError("there were more")


def test_a_journal_entry_whose_answer_is_lost_is_made_once(
    db: Documents,
    directory: Path,
    server: LocalServer,
    migrator_at: Callable[[int], Migrator],
) -> None:
    db["c"].insert_one({"_id": 1, "n": 1})
    operation = {**update("c", {}, {"$inc": {"n": 1}}), "capture": False}
    for skip in range(20):
        db["c"].update_one({"_id": 1}, {"$set": {"n": 1}})
        migration = write_migration(directory, skip + 1, [operation])
        with at_command(server.port, "update", "migrations", "lose", skip=skip) as proxy:
            migrator_at(proxy.port).apply(migration)
        assert db["c"].find_one() == {"_id": 1, "n": 2}, skip
        if not proxy.struck:
            assert skip > 2
            return
    raise AssertionError("there were more")


@pytest.mark.parametrize("needle", [("update", "c"), ("insert", "c"), ("delete", "c")])
@pytest.mark.parametrize("what", ["lose", "cut"])
def test_an_exact_rollback_whose_answers_are_lost_restores_everything(
    db: Documents,
    directory: Path,
    server: LocalServer,
    migrator: Migrator,
    migrator_at: Callable[[int], Migrator],
    needle: tuple[str, str],
    what: Any,
) -> None:
    everything(db)
    before = snapshot(db)
    write_migration(directory, 1, EVERYTHING)
    for skip in range(20):
        migrator.apply("migration_001")
        with at_command(server.port, *needle, what, skip=skip) as proxy:
            run = undo(migrator_at(proxy.port))
        check_same(before, db)
        assert counts(run) == (30 + 40 + 10 + 4 + 2, 0, 0, 0), skip
        if not proxy.struck:
            assert skip > 0
            return
    raise AssertionError("there were more")


def test_an_inserted_document_that_was_edited_before_the_entry_is_passed_over(
    db: Documents,
    directory: Path,
    server: LocalServer,
    migrator: Migrator,
    migrator_at: Callable[[int], Migrator],
) -> None:
    write_migration(directory, 1, [insert("c", {"_id": 1, "v": 1}, {"_id": 2, "v": 1}, {"v": 1})])

    def application() -> None:
        db["c"].update_many({"_id": {"$ne": 2}}, {"$set": {"v": 2}})

    with at_command(server.port, "insert", "c", "lose", application) as proxy:
        migrator_at(proxy.port).apply()
        assert proxy.struck
    assert sorted(each["v"] for each in db["c"].find()) == [1, 2, 2]
    assert counts(undo(migrator)) == (1, 0, 0, 2)
    assert [each["v"] for each in db["c"].find()] == [2, 2]
