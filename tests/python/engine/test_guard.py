"""Writes outside a transaction: each is sent right after a proof of the lease, outwaits a lost
answer, and leaves the same when it is sent twice.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pymongo
import pytest

from conftest import Cli
from edulearn_migrate import Event, LeaseLostError, MigrateError, Migrator, StopToken
from edulearn_migrate.local import LocalServer
from faults.message_proxy import Command, MessageProxy, Strike
from harness import HANGING, Documents, Process, delete, until, update, write_migration

Matches = Callable[[str, bytes], bool]
DROP: dict[str, Any] = {"type": "drop_collection", "collection": "old"}
MIGRATION = "migration_001"


class StrikingProxy(MessageProxy):
    """Strikes at the first command that matches."""

    def __init__(self, port: int, matches: Matches, strike: Strike) -> None:
        self._matches = matches
        self._once: Strike | None = strike
        super().__init__(port)

    def taken(self, name: str, body: bytes) -> tuple[Command | None, Strike | None]:
        command = Command(1, name, body)
        if self._once is None or not self._matches(name, body):
            return command, None
        strike, self._once, self.struck = self._once, None, command
        return command, strike


def a(command: str, *parts: bytes) -> Matches:
    """A command of that name whose bytes hold all the parts."""
    return lambda name, body: name == command and all(part in body for part in parts)


@pytest.fixture(scope="module", params=["replica set", "standalone"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    options: dict[str, Any] = {} if request.param == "replica set" else {"replica_set": None}
    with LocalServer(**options) as server:
        yield server.port


@pytest.fixture
def db(port: int, database_name: str) -> Iterator[Documents]:
    with pymongo.MongoClient[dict[str, Any]](port=port, directConnection=True) as client:
        yield client[database_name]
        client.drop_database(database_name)


@pytest.fixture
def migrator(port: int, db: Documents, tmp_path: Path) -> Migrator:
    """The engine without a proxy."""
    return through(port, db, tmp_path)


def through(port: int, db: Documents, directory: Path) -> Migrator:
    uri = f"mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=500"
    (directory / "migrations").mkdir(exist_ok=True)
    return Migrator(uri, db.name, migrations_dir=directory / "migrations")


@contextmanager
def striking(
    port: int, db: Documents, directory: Path, matches: Matches, strike: Strike
) -> Iterator[Migrator]:
    """The engine behind a proxy that has to strike."""
    proxy = StrikingProxy(port, matches, strike)
    try:
        yield through(proxy.port, db, directory)
        assert proxy.struck is not None, "no command matched"
    finally:
        proxy.close()


@pytest.fixture
def captured(db: Documents, migrator: Migrator, tmp_path: Path) -> None:
    """A migration that has deleted documents and dropped a collection with a TTL index."""
    db["old"].create_index("at", name="ttl", expireAfterSeconds=3600)
    db["old"].insert_many([{"_id": at} for at in range(5)])
    db["documents"].insert_many([{"_id": at} for at in range(10)])
    write_migration(tmp_path, 1, [delete("documents", {"_id": {"$lt": 5}}), DROP])
    migrator.apply()


def aside_of(migrator: Migrator, kind: str) -> str:
    """The name under which `undrop` lists it."""
    (name,) = (each.name for each in migrator.dropped() if each.kind == kind)
    return name


def half_an_exact_rollback(migrator: Migrator) -> None:
    """It stops after its first operation, as Ctrl-C would."""
    stop = StopToken()

    def watch(event: Event) -> None:
        if event.kind == "operation_finished":
            stop.set()

    with pytest.raises(MigrateError, match="Stopped on request"):
        migrator.rollback(MIGRATION, exact=True, progress=watch, stop=stop)


def documents(db: Documents) -> dict[str, list[Any]]:
    """Every document but the lock's and the history's."""
    names = set(db.list_collection_names()) - {"migrations_lock", "migrations_history"}
    return {name: list(db[name].find().sort("_id", 1)) for name in sorted(names)}


@pytest.mark.usefixtures("captured")
def test_a_purge_that_lost_its_lease_frees_nothing_that_another_run_needs(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path
) -> None:
    before: list[Any] = []

    def another_run(_: Command) -> None:
        migrator.unlock(force=True)
        half_an_exact_rollback(migrator)
        before.append(documents(db))

    # It has read what there is to free and is about to begin.
    strike = Strike(0, after=another_run)
    listed = a("listCollections", b"migrations_kept")
    with (
        striking(port, db, tmp_path, listed, strike) as purging,
        pytest.raises(LeaseLostError, match="no longer holds the lock"),
    ):
        purging.purge()
    assert before == [documents(db)]
    migrator.rollback(MIGRATION, exact=True)
    assert db["documents"].count_documents({}) == 10 and db["old"].count_documents({}) == 5


@pytest.mark.parametrize("kind", ["collection", "documents"])
@pytest.mark.usefixtures("captured")
def test_an_undrop_that_lost_its_lease_brings_nothing_back(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path, kind: str
) -> None:
    name = aside_of(migrator, kind)
    before = documents(db)
    # Right before it asks what stands in the place.
    strike = Strike(0, before=lambda _: drop(migrator.unlock(force=True)))
    target = b"old\0" if kind == "collection" else b"documents\0"
    with (
        striking(port, db, tmp_path, a("listCollections", target), strike) as undropping,
        pytest.raises(LeaseLostError),
    ):
        undropping.undrop(name)
    assert documents(db) == before
    migrator.undrop(name)


def drop(_: object) -> None:
    """For a hook, whose value is nobody's."""


@pytest.mark.usefixtures("captured")
def test_a_lost_lease_is_never_a_success(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path
) -> None:
    """All is done but the last note in the history."""
    name = aside_of(migrator, "collection")
    strike = Strike(0, after=lambda _: drop(migrator.unlock(force=True)))
    with (
        striking(port, db, tmp_path, a("collMod"), strike) as undropping,
        pytest.raises(LeaseLostError),
    ):
        undropping.undrop(name)
    assert db["migrations_history"].count_documents({"event": "undropped"}) == 0
    # The same command again finds what was done.
    migrator.undrop(name)
    assert db["migrations_history"].count_documents({"event": "undropped"}) == 1
    assert db["old"].index_information()["ttl"]["expireAfterSeconds"] == 3600


def test_a_run_stopped_before_it_begins_applies_nothing_that_another_has_applied(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path
) -> None:
    db["c"].insert_one({"_id": 1, "n": 0})
    increment = {"type": "update_documents", "collection": "c", "filter": {}}
    write_migration(tmp_path, 1, [{**increment, "update": {"$inc": {"n": 1}}}])

    def another_run(_: Command) -> None:
        migrator.unlock(force=True)
        migrator.apply()

    # Its lease is proven; the record of the migration is about to be written.
    begins = a("update", b"migrations\0", b"applying\0")
    strike = Strike(0, before=another_run)
    with striking(port, db, tmp_path, begins, strike) as applying, pytest.raises(MigrateError):
        applying.apply()
    assert db["c"].find_one() == {"_id": 1, "n": 1}
    assert db["migrations_history"].count_documents({"event": "applied"}) == 1


@pytest.mark.parametrize(
    "lost",
    [
        a("update", b"migrations\0", b"applying\0", b"progress\0"),
        a("update", b"migrations\0", b"duration_ms\0"),
        a("update", b"migrations_history\0"),
        a("commitTransaction"),
    ],
    ids=["begin", "close", "history", "commit"],
)
def test_a_write_of_the_ledger_whose_answer_is_lost_leaves_the_same(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path, lost: Matches
) -> None:
    if "setName" not in db.command("hello") and lost("commitTransaction", b""):
        pytest.skip("no transactions")
    db["c"].insert_many([{"_id": at, "n": 0} for at in range(20)])
    up = {"type": "update_documents", "collection": "c", "filter": {}}
    write_migration(tmp_path, 1, [{**up, "update": {"$inc": {"n": 1}}}])
    with striking(port, db, tmp_path, lost, Strike(0, answer=False)) as applying:
        applying.apply()
    record = db["migrations"].find_one({"_id": MIGRATION}) or {}
    assert record["status"] == "applied" and len(record["captures"]) == 1
    assert [each["event"] for each in db["migrations_history"].find()] == ["applied"]
    assert db["c"].count_documents({"n": 1}) == 20
    [undone] = migrator.rollback(MIGRATION, exact=True).migrations[0].undone
    assert (undone.restored, undone.conflicts) == (20, 0)
    header = db["migrations_undo"].find_one({"_id.op": -1, "direction": "up"}) or {}
    assert header["undone"]


LOST_OF_UNDROP = [a("renameCollection"), a("collMod"), a("update", b"returning\0")]


@pytest.mark.parametrize("lost", LOST_OF_UNDROP, ids=["rename", "collMod", "note"])
@pytest.mark.usefixtures("captured")
def test_an_undrop_outwaits_a_lost_answer(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path, lost: Matches
) -> None:
    name = aside_of(migrator, "collection")
    with striking(port, db, tmp_path, lost, Strike(0, answer=False)) as undropping:
        undropping.undrop(name)
    assert db["old"].index_information()["ttl"]["expireAfterSeconds"] == 3600
    assert db["migrations_history"].count_documents({"event": "undropped"}) == 1
    assert db["old"].count_documents({}) == 5


@pytest.mark.parametrize("lost", [a("drop"), a("update", b"purging\0"), a("delete")])
@pytest.mark.usefixtures("captured")
def test_a_purge_outwaits_a_lost_answer(
    port: int, db: Documents, tmp_path: Path, lost: Matches
) -> None:
    with striking(port, db, tmp_path, lost, Strike(0, answer=False)) as purging:
        [purged] = purging.purge().purged
    assert purged.bytes > 0
    assert [each["bytes"] for each in db["migrations_history"].find({"event": "purged"})] == [
        purged.bytes
    ]
    assert not [name for name in db.list_collection_names() if name.startswith("migrations_kept")]


@pytest.mark.usefixtures("captured")
def test_an_exact_rollback_outwaits_the_lost_answer_of_its_rename(
    port: int, db: Documents, tmp_path: Path
) -> None:
    lost = a("renameCollection")
    with striking(port, db, tmp_path, lost, Strike(0, answer=False)) as undoing:
        undoing.rollback(MIGRATION, exact=True)
    assert db["old"].count_documents({}) == 5
    assert db["old"].index_information()["ttl"]["expireAfterSeconds"] == 3600


def killed(port: int, db: Documents, directory: Path, matches: Matches, *arguments: str) -> None:
    """A command whose process is killed when the server has done what matches."""
    process: Future[Process] = Future()
    strike = Strike(0, after=lambda _: process.result().kill(), answer=False)
    proxy = StrikingProxy(port, matches, strike)
    cli = Cli(directory, f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true", db.name)
    process.set_result(cli.start(*arguments))
    assert process.result().wait(HANGING) == -signal.SIGKILL
    proxy.close()
    cli.close()


@pytest.mark.parametrize("then", ["rollback", "mark", "apply"])
def test_a_drop_stopped_after_it_had_suspended_the_expiry_leaves_it_to_nobody(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path, then: str
) -> None:
    db["old"].create_index("at", name="ttl", expireAfterSeconds=3600)
    write_migration(tmp_path, 1, [DROP], [])
    killed(port, db, tmp_path, a("collMod"), "apply")
    assert db["old"].index_information()["ttl"]["expireAfterSeconds"] == 2**31 - 1
    if then == "rollback":
        migrator.rollback(MIGRATION)
    elif then == "mark":
        migrator.mark(MIGRATION, "pending")
    else:
        migrator.apply()
        migrator.undrop(aside_of(migrator, "collection"))
    assert db["old"].index_information()["ttl"]["expireAfterSeconds"] == 3600


@pytest.mark.usefixtures("captured")
def test_an_undrop_stopped_after_its_rename_is_carried_on(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path
) -> None:
    name = aside_of(migrator, "collection")
    killed(port, db, tmp_path, a("renameCollection"), "undrop", name)
    assert migrator.dropped() and db["old"].count_documents({}) == 5
    migrator.undrop(name)
    assert db["old"].index_information()["ttl"]["expireAfterSeconds"] == 3600
    assert name not in [each.name for each in migrator.dropped()]
    # And once more, as after a kill behind its last write.
    migrator.undrop(name)
    assert db["migrations_history"].count_documents({"event": "undropped"}) == 1


def test_an_undrop_of_a_time_series_collection_is_carried_on(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path
) -> None:
    db.create_collection("old", timeseries={"timeField": "t"})
    write_migration(tmp_path, 1, [DROP])
    now = datetime(2024, 1, 1, tzinfo=timezone.utc)
    db["old"].insert_many([{"t": now, "n": n} for n in range(10)])
    migrator.apply()
    (name,) = (each.name for each in migrator.dropped())
    killed(port, db, tmp_path, a("create", b"timeseries"), "undrop", name)
    assert db["old"].count_documents({}) == 0
    migrator.undrop(name)
    assert db["old"].count_documents({}) == 10


def test_what_somebody_inserts_while_a_made_collection_is_removed_stays(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path
) -> None:
    """One document before it is renamed aside, one after it."""
    write_migration(tmp_path, 1, [{"type": "create_collection", "collection": "made"}])
    migrator.apply()
    strike = Strike(
        0,
        before=lambda _: drop(db["made"].insert_one({"_id": "before"})),
        after=lambda _: drop(db["made"].insert_one({"_id": "after"})),
    )
    with striking(port, db, tmp_path, a("renameCollection"), strike) as undoing:
        [undone] = undoing.rollback(MIGRATION, exact=True).migrations[0].undone
    assert {each["_id"] for each in db["made"].find()} == {"before", "after"}
    assert undone.made_since == 2
    assert not [name for name in db.list_collection_names() if name.startswith("migrations_kept")]


def test_what_cannot_return_to_a_made_collection_is_listed(
    port: int, db: Documents, migrator: Migrator, tmp_path: Path
) -> None:
    """Another document has taken its `_id` meanwhile."""
    write_migration(tmp_path, 1, [{"type": "create_collection", "collection": "made"}])
    migrator.apply()
    strike = Strike(
        0,
        before=lambda _: drop(db["made"].insert_one({"_id": 1, "n": "before"})),
        after=lambda _: drop(db["made"].insert_one({"_id": 1, "n": "after"})),
    )
    with striking(port, db, tmp_path, a("renameCollection"), strike) as undoing:
        undoing.rollback(MIGRATION, exact=True)
    assert db["made"].find_one() == {"_id": 1, "n": "after"}
    [listed] = migrator.dropped()
    migrator.undrop(listed.name, to="found")
    assert db["found"].find_one() == {"_id": 1, "n": "before"}


def test_nothing_that_users_supply_delays_the_renewal(
    port: int, db: Documents, tmp_path: Path
) -> None:
    """Callbacks that block, while an operation takes longer than a renewal may be away."""
    db["c"].insert_one({"_id": 1})
    index = {"type": "create_index", "collection": "c", "index": "n"}
    write_migration(tmp_path, 1, [update("c", {}, {"$inc": {"n": 1}}), index])
    blocks, go_on = threading.Event(), threading.Event()

    def block(_: Event) -> None:
        blocks.set()
        assert go_on.wait(HANGING)

    def renewed() -> datetime:
        lock: dict[str, datetime] = db["migrations_lock"].find_one() or {}
        return lock["renewed_at"]

    def wait_for_a_renewal(_: Command) -> None:
        assert blocks.wait(HANGING)
        before = renewed()
        # Every eight seconds, and nothing else proves the lease meanwhile.
        until(lambda: renewed() > before, "the lease is renewed")
        go_on.set()

    held = Strike(0, after=wait_for_a_renewal)
    with striking(port, db, tmp_path, a("createIndexes", b"n_1"), held) as migrator:
        migrator.apply(progress=block)
    assert go_on.is_set()
    assert "n_1" in db["c"].index_information()


@pytest.mark.parametrize("edit", [{"token": "many"}, {"token": None}, {"retired": 7}])
def test_a_lock_edited_by_hand_is_taken(
    db: Documents, migrator: Migrator, tmp_path: Path, edit: dict[str, Any]
) -> None:
    db["c"].insert_one({"_id": 1})
    write_migration(tmp_path, 1, [delete("c", {})])
    db["migrations_lock"].insert_one({"_id": "lock", "token": 3, **edit})
    migrator.apply()
    assert isinstance((db["migrations_lock"].find_one() or {})["token"], int)
