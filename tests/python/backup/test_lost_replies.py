"""Replies that get lost while collections are read in natural order, and members that change."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pymongo
import pytest

from edulearn_migrate import Migrator
from edulearn_migrate.local import LocalServer
from harness import Documents
from oddities import contents, hashes
from proxy import Proxy, proxy_to
from replica_set import ReplicaSet

DATABASE = "lost"
# Documents of which some replies are full.
COUNT, SIZE = 9_000, 3_000
RESUMES = b"$_resumeAfter"


@pytest.fixture
def behind() -> Iterator[tuple[Documents, Proxy]]:
    with (
        LocalServer() as server,
        pymongo.MongoClient[dict[str, Any]](server.uri) as client,
        proxy_to(server.port) as proxy,
    ):
        yield client[DATABASE], proxy


@pytest.fixture
def standalone() -> Iterator[tuple[Documents, Proxy]]:
    with (
        LocalServer(replica_set=None) as server,
        pymongo.MongoClient[dict[str, Any]](server.uri) as client,
        proxy_to(server.port) as proxy,
    ):
        yield client[DATABASE], proxy


def direct(proxy: Proxy) -> str:
    return f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"


def rows(seed: int) -> list[dict[str, Any]]:
    """Documents whose `_id` says nothing of the order in which they are stored."""
    randomness = random.Random(seed)
    ids: list[Any] = [at if at % 2 else f"k{at}" for at in range(COUNT)]
    randomness.shuffle(ids)
    return [{"_id": each, "x": randomness.randbytes(SIZE)} for each in ids]


def plain(db: Documents) -> None:
    db["a"].insert_many(rows(1))


def holes(db: Documents) -> None:
    plain(db)
    db["a"].delete_many({"_id": {"$mod": [3, 0]}})


def clustered(db: Documents) -> None:
    if db.client.server_info()["versionArray"][:2] < [5, 3]:
        pytest.skip("there are none before MongoDB 5.3")
    db.create_collection("a", clusteredIndex={"key": {"_id": 1}, "unique": True})
    plain(db)


def capped(db: Documents) -> None:
    db.create_collection("a", capped=True, size=2 * COUNT * SIZE)
    plain(db)


def timeseries(db: Documents) -> None:
    db.create_collection("a", timeseries={"timeField": "t", "metaField": "m"})
    began = datetime(2024, 1, 1, tzinfo=timezone.utc)
    randomness = random.Random(2)
    db["a"].insert_many(
        {"t": began + timedelta(hours=2 * at), "m": at, "x": randomness.randbytes(SIZE)}
        for at in range(COUNT)
    )


class Seen:
    """What is sent through a proxy; `on` is called in the middle of it."""

    def __init__(self, proxy: Proxy) -> None:
        self.resumes = 0
        self.walks = 0
        self.on: Callable[[bytes], object] | None = None
        proxy.watch = self.look

    def look(self, data: bytes) -> None:
        self.resumes += RESUMES in data
        self.walks += b"find" in data and b"hint\0\x0e\0\0\0\x10_id" in data
        if self.on is not None:
            self.on(data)


@pytest.mark.parametrize("make", [plain, holes, clustered, capped, timeseries])
def test_a_scan_carries_on_behind_the_last_record(
    behind: tuple[Documents, Proxy], tmp_path: Path, make: Callable[[Documents], None]
) -> None:
    db, proxy = behind
    make(db)
    before, order = hashes(db), contents(db)
    seen = Seen(proxy)
    migrator = Migrator(direct(proxy), DATABASE, backup_dir=tmp_path)
    # The server has moved on, and what the second `getMore` brought never arrives.
    proxy.lose_answer_to(b"getMore", after=b"getMore")
    made = migrator.backup()
    assert proxy.lost == 1
    assert (seen.resumes, seen.walks) == (1, 0)
    migrator.verify_backup(made.name)
    db["a"].drop()
    migrator.restore(made.name, safety_backup=False)
    assert hashes(db) == before
    if make is capped:
        assert contents(db) == order


def test_a_lost_first_reply_begins_again(behind: tuple[Documents, Proxy], tmp_path: Path) -> None:
    db, proxy = behind
    plain(db)
    before = hashes(db)
    seen = Seen(proxy)
    proxy.lose_answer_to(b"$_requestResumeToken")
    migrator = Migrator(direct(proxy), DATABASE, backup_dir=tmp_path)
    made = migrator.backup()
    # The driver asks again by itself.
    assert (proxy.lost, seen.resumes, seen.walks) == (1, 0, 0)
    assert made.documents == COUNT
    db["a"].drop()
    migrator.restore(made.name, safety_backup=False)
    assert hashes(db) == before


def test_a_collection_is_dropped_while_its_scan_is_broken(
    behind: tuple[Documents, Proxy], tmp_path: Path
) -> None:
    """Behind its last record a collection that is gone reads as empty, without an error."""
    db, proxy = behind
    plain(db)
    db["b"].insert_one({"_id": 1})
    db.create_collection("empty")
    seen = Seen(proxy)
    seen.on = lambda data: db["a"].drop() if RESUMES in data else None
    proxy.lose_answer_to(b"getMore", after=b"getMore")
    told: list[str] = []
    migrator = Migrator(direct(proxy), DATABASE, backup_dir=tmp_path)
    made = migrator.backup(progress=lambda event: told.append(event.message))
    assert seen.resumes == 1
    assert any("Starting the backup over" in message for message in told)
    assert (made.collections, made.documents) == (2, 1)
    migrator.verify_backup(made.name)


def test_a_record_that_is_gone_makes_a_scan_begin_anew(
    standalone: tuple[Documents, Proxy], tmp_path: Path
) -> None:
    """The last document read is deleted, and there is no snapshot that still has it."""
    db, proxy = standalone
    db["a"].insert_many([{"_id": at, "x": os.urandom(SIZE)} for at in range(COUNT)])
    last = {"_id": COUNT - 1}
    seen = Seen(proxy)
    emptied = threading.Event()

    def empty(data: bytes) -> None:
        if RESUMES in data and not emptied.is_set():
            db["a"].delete_many({"_id": {"$ne": last["_id"]}})
            emptied.set()

    seen.on = empty
    proxy.lose_answer_to(b"getMore", after=b"getMore")
    told: list[str] = []
    migrator = Migrator(direct(proxy), DATABASE, backup_dir=tmp_path)
    made = migrator.backup(progress=lambda event: told.append(event.message))
    assert emptied.is_set()
    assert any("anew" in message for message in told)
    assert (made.documents, seen.resumes, seen.walks) == (1, 1, 1)
    migrator.verify_backup(made.name)
    db["a"].drop()
    migrator.restore(made.name, safety_backup=False)
    assert [each["_id"] for each in db["a"].find()] == [last["_id"]]


def test_another_member_does_not_know_the_first_ones_records(tmp_path: Path) -> None:
    """The members store the same documents under other record ids: one copied them from another."""
    replica_set = ReplicaSet(tmp_path / "set")
    try:
        db = replica_set.client[DATABASE]
        plain(db)
        # The holes close where a member copies everything.
        db["a"].delete_many({"_id": {"$mod": [3, 0]}})
        for number in replica_set.secondaries():
            replica_set.copy_anew(number)
        before = hashes(db)
        primary = replica_set.primary()
        killed = threading.Event()

        def on_progress(event: Any) -> None:
            if event.kind == "progress" and not killed.is_set():
                replica_set.kill(primary)
                killed.set()

        told: list[str] = []
        migrator = Migrator(replica_set.uri, DATABASE, backup_dir=tmp_path / "backups")

        def progress(event: Any) -> None:
            told.append(event.message)
            on_progress(event)

        made = migrator.backup(progress=progress)
        assert killed.is_set()
        assert any("anew" in message for message in told)
        migrator.verify_backup(made.name)
        db["a"].drop()
        migrator.restore(made.name, safety_backup=False)
        assert hashes(db) == before
    finally:
        replica_set.close()
