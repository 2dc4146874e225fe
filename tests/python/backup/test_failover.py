"""Connections that break and primaries that step down, in every part of a backup and a restore."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from edulearn_migrate import Migrator
from edulearn_migrate.local import LocalServer
from harness import Client, Documents, names_in, until
from oddities import hashes, kinds
from proxy import Proxy, proxy_to
from replica_set import ReplicaSet

DATABASE = "cut"


@pytest.fixture(scope="module")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    replica_set = ReplicaSet(tmp_path_factory.mktemp("replica_set"))
    yield replica_set
    replica_set.close()


def fill(db: Documents, generation: int, documents: int = 12_000) -> None:
    db.client.drop_database(db.name)
    randomness = random.Random(generation)
    for number in range(2):
        rows = [
            {"_id": at if at % 2 else f"k{at}", "x": randomness.randbytes(1_500)}
            for at in range(documents)
        ]
        db[f"large_{number}"].insert_many(rows)
        db[f"large_{number}"].create_index("x")
    for number in range(15):
        db[f"small_{number}"].insert_one({"_id": generation})
    kinds(db)


class Interference(threading.Thread):
    """Does something once `when` is so, while a verb runs."""

    def __init__(self, when: Callable[[], object], what: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._when, self._what = when, what
        self.done = False
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            if self._when():
                self._what()
                self.done = True
                return
            time.sleep(0.001)

    def __enter__(self) -> Interference:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def direct(proxy: Proxy) -> str:
    return f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as server:
        yield server


@pytest.fixture
def behind(server: LocalServer) -> Iterator[tuple[Client, Proxy]]:
    with (
        pymongo.MongoClient[dict[str, Any]](server.uri) as client,
        proxy_to(server.port) as proxy,
    ):
        yield client, proxy


def test_connections_are_cut_again_and_again(behind: tuple[Client, Proxy], tmp_path: Path) -> None:
    client, proxy = behind
    db = client[DATABASE]
    fill(db, 1)
    before = hashes(db)
    proxy.rate = 60_000_000
    cuts = 0

    def cut(bytes_between: int) -> Callable[[], bool]:
        last = proxy.forwarded

        def due() -> bool:
            nonlocal last, cuts
            if proxy.forwarded - last > bytes_between and cuts < 3:
                last = proxy.forwarded
                cuts += 1
                proxy.cut()
            return False

        return due

    migrator = Migrator(direct(proxy), DATABASE, backup_dir=tmp_path)
    with Interference(cut(9_000_000), lambda: None):
        made = migrator.backup()
    assert cuts >= 2
    migrator.verify_backup(made.name)
    assert [name for name in names_in(tmp_path) if name.startswith(".")] == []
    db["large_0"].delete_many({})
    loading = {"name": {"$regex": "^migrations_restore_"}}
    with Interference(lambda: db.list_collection_names(filter=loading), proxy.cut) as interference:
        migrator.restore(made.name, safety_backup=False)
    assert interference.done
    assert hashes(db) == before
    assert not [name for name in db.list_collection_names() if "migrations_restore" in name]


@pytest.mark.parametrize("phase", ["building", "swapping"])
def test_a_primary_steps_down_during_a_restore(
    replica_set: ReplicaSet, tmp_path: Path, phase: str
) -> None:
    db = replica_set.client[f"{DATABASE}_{phase}"]
    fill(db, 1, 6_000)
    before = hashes(db)
    migrator = Migrator(replica_set.uri, db.name, backup_dir=tmp_path)
    made = migrator.backup()
    fill(db, 2, 6_000)

    def there() -> object:
        try:
            return db["migrations_restore"].find_one({"_id": "restore", "phase": phase})
        except pymongo.errors.PyMongoError:
            return None

    with Interference(there, replica_set.step_down) as interference:
        migrator.restore(made.name, safety_backup=False)
    assert interference.done
    until(replica_set.complete, "all are back")
    assert hashes(db) == before
    assert not [name for name in db.list_collection_names() if "migrations_restore" in name]
    replica_set.client.drop_database(db.name)


def test_a_primary_steps_down_during_a_backup(replica_set: ReplicaSet, tmp_path: Path) -> None:
    db = replica_set.client[f"{DATABASE}_backup"]
    fill(db, 1, 12_000)
    before = hashes(db)
    migrator = Migrator(replica_set.uri, db.name, backup_dir=tmp_path)
    began = threading.Event()
    with Interference(began.is_set, replica_set.step_down) as interference:
        made = migrator.backup(
            progress=lambda event: began.set() if event.kind == "progress" else None
        )
        until(lambda: interference.done, "the primary stepped down")
    assert migrator.verify_backup(made.name).documents == made.documents
    until(replica_set.complete, "all are back")
    fill(db, 2, 10)
    migrator.restore(made.name, safety_backup=False)
    assert hashes(db) == before
    replica_set.client.drop_database(db.name)
