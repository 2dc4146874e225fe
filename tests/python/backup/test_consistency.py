"""One state of all collections, whatever is written meanwhile, or a clear word that it is not."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import PyMongoError

from conftest import Cli, login
from edulearn_migrate import Migrator, SnapshotLostError
from edulearn_migrate.local import LocalServer
from harness import Client, Documents, finish, names_in, until
from oddities import hashes
from proxy import Proxy, proxy_to

ACCOUNTS = 200
MONEY = 1_000


@pytest.fixture
def migrator(server_uri: str, database_name: str, tmp_path: Path) -> Migrator:
    return Migrator(server_uri, database_name, backup_dir=tmp_path / "backups")


@contextmanager
def working(work: Callable[[threading.Event], None], threads: int = 1) -> Iterator[None]:
    """Runs `work` in threads until the block ends; what it raises fails the test."""
    stop = threading.Event()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work(stop)
        except BaseException as error:
            raised.append(error)

    started = [threading.Thread(target=run) for _ in range(threads)]
    for each in started:
        each.start()
    try:
        yield
    finally:
        stop.set()
        for each in started:
            each.join()
    assert raised == []


def test_money_is_never_lost_nor_made(db: Documents, client: Client, migrator: Migrator) -> None:
    """Transactions move money between two collections while backups run."""
    padding = os.urandom(20_000)
    for name in ("accounts", "vaults"):
        db[name].insert_many([{"_id": at, "money": MONEY, "p": padding} for at in range(ACCOUNTS)])
    moved = 0

    def move(stop: threading.Event) -> None:
        nonlocal moved
        randomness = random.Random(db.name)
        with client.start_session() as session:
            while not stop.is_set():
                one, other = randomness.sample(["accounts", "vaults"], 2)
                amount = randomness.randrange(1, 50)
                with suppress(PyMongoError), session.start_transaction():  # write conflicts
                    for name, change in ((one, -amount), (other, amount)):
                        of = {"_id": randomness.randrange(ACCOUNTS)}
                        db[name].update_one(of, {"$inc": {"money": change}}, session=session)
                    moved += 1

    def total() -> tuple[int, int]:
        sums = [
            next(db[name].aggregate([{"$group": {"_id": None, "m": {"$sum": "$money"}}}]))["m"]
            for name in ("accounts", "vaults")
        ]
        return sums[0], sums[1]

    made = []
    with working(move, threads=3):
        until(lambda: moved > 50, "money moves")
        for _ in range(8):
            before = moved
            made.append(migrator.backup())
            assert moved > before  # it did move meanwhile
    sums = set()
    for each in made:
        assert each.consistency == "snapshot"
        migrator.restore(each.name, safety_backup=False)
        sums.add(total())
        assert sum(total()) == 2 * ACCOUNTS * MONEY
    assert len(sums) > 1  # they are different states


def test_a_changing_catalog_is_started_over_and_then_refused(
    db: Documents, migrator: Migrator, tmp_path: Path
) -> None:
    rows = [{"_id": at, "x": os.urandom(1_000)} for at in range(8_000)]
    db["large"].insert_many(rows)
    changes = 0

    def change(stop: threading.Event) -> None:
        nonlocal changes
        while not stop.is_set():
            db["other"].insert_one({"_id": changes})
            db["other"].rename("renamed", dropTarget=True)
            changes += 1

    messages: list[str] = []
    with working(change):
        until(lambda: changes > 5, "the catalog changes")
        with pytest.raises(Exception, match="5 times in a row") as caught:
            migrator.backup(progress=lambda event: messages.append(event.message))
    # The last attempt met a change that it saw, or one that no majority had yet.
    assert any(word in str(caught.value) for word in ("renamed", "other", "created or indexed"))
    assert [message for message in messages if message.startswith("Starting the backup over")]
    assert names_in(tmp_path / "backups") == set()
    # Once it is quiet there is one.
    assert migrator.backup().collections >= 2


def test_one_change_is_outlived(db: Documents, migrator: Migrator) -> None:
    """A collection created while the documents are read: the next attempt has it."""
    rows = [{"_id": at, "x": os.urandom(1_000)} for at in range(20_000)]
    db["large"].insert_many(rows)
    created = False

    def create(event: Any) -> None:
        nonlocal created
        if event.kind == "progress" and not created:
            created = True
            db["new"].insert_one({"_id": 1})

    made = migrator.backup(progress=create)
    assert made.collections == 2 and made.documents == 20_001


def test_a_capped_collection_that_is_written_meanwhile(db: Documents, migrator: Migrator) -> None:
    db.create_collection("capped", capped=True, size=3_000_000, max=2_000)
    written = 0

    def write(stop: threading.Event) -> None:
        nonlocal written
        while not stop.is_set():
            db["capped"].insert_many([{"n": written + at, "x": b"x" * 1_000} for at in range(10)])
            written += 10

    with working(write):
        until(lambda: written > 3_000, "it is full")
        made = migrator.backup()
    assert any("'capped'" in note or '"capped"' in note for note in made.notes)
    migrator.restore(made.name, safety_backup=False)
    numbers = [each["n"] for each in db["capped"].find()]
    assert len(numbers) > 1_000
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_standalone_server_says_none(tmp_path: Path) -> None:
    with (
        LocalServer(replica_set=None) as server,
        pymongo.MongoClient[dict[str, Any]](server.uri) as client,
    ):
        db = client["alone"]
        db["a"].insert_many([{"_id": at} for at in range(100)])
        db.create_collection("capped", capped=True, size=10_000)
        db["capped"].insert_one({"_id": 1})
        before = hashes(db)
        migrator = Migrator(server.uri, "alone", backup_dir=tmp_path / "backups")
        made = migrator.backup()
        assert made.consistency == "none" and made.cluster_time is None
        assert any("standalone" in note for note in made.notes)
        db["a"].drop()
        db["b"].insert_one({"_id": 1})
        done = migrator.restore(made.name)
        assert done.dropped == ("b",)
        assert hashes(db) == before


def test_read_rights_are_enough(guarded: LocalServer, tmp_path: Path) -> None:
    with pymongo.MongoClient[dict[str, Any]](login(guarded, "teacher", "s3cr3t!")) as client:
        client["readable"]["a"].insert_one({"_id": 1})
        client["admin"].command(
            "createUser", "backup_reader", pwd="r", roles=[{"role": "read", "db": "readable"}]
        )
    reader = Migrator(login(guarded, "backup_reader", "r"), "readable", backup_dir=tmp_path)
    made = reader.backup()
    assert made.documents == 1
    with pytest.raises(Exception, match="does not allow it"):
        reader.restore(made.name)


@pytest.fixture
def short_window() -> Iterator[LocalServer]:
    """A server that keeps snapshots for two seconds, and forgets what is older."""
    arguments = ["--setParameter", "minSnapshotHistoryWindowInSeconds=2"]
    with LocalServer(extra_args=arguments) as server:
        with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
            rows = [{"_id": at, "x": os.urandom(10_000)} for at in range(8_000)]
            client["slow"]["large"].insert_many(rows)
        yield server


def direct(proxy: Proxy) -> str:
    return f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"


def window_of(server: LocalServer) -> int:
    with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
        reply = client.admin.command({"getParameter": 1, "minSnapshotHistoryWindowInSeconds": 1})
        window: int = reply["minSnapshotHistoryWindowInSeconds"]
        return window


def busy(server: LocalServer) -> Callable[[threading.Event], None]:
    """Writes, so that the server's stable time moves on."""

    def write(stop: threading.Event) -> None:
        with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
            while not stop.wait(0.02):
                client["slow"]["large"].update_one({"_id": 1}, {"$inc": {"n": 1}})

    return write


def test_the_snapshot_window_is_raised_and_put_back(
    short_window: LocalServer, tmp_path: Path
) -> None:
    with proxy_to(short_window.port) as proxy, working(busy(short_window)):
        proxy.rate = 12_000_000
        migrator = Migrator(direct(proxy), "slow", backup_dir=tmp_path)
        seen: list[int] = []
        made = migrator.backup(progress=lambda _: seen.append(window_of(short_window)))
    assert made.seconds > 3 and max(seen) > 2
    assert made.documents == 8_000
    assert window_of(short_window) == 2


def test_a_window_that_a_killed_backup_raised_is_put_back(
    short_window: LocalServer, cli: Cli, db: Documents
) -> None:
    with proxy_to(short_window.port) as proxy, working(busy(short_window)):
        proxy.rate = 12_000_000
        process = cli.start("backup", "--uri", direct(proxy), "--db", "slow")
        until(lambda: window_of(short_window) > 2 or process.poll() is not None, "it is raised")
        process.kill()
        finish(process)
    assert window_of(short_window) > 2
    # Another server's backup leaves it alone.
    db["a"].insert_one({"_id": 1})
    assert cli("backup").code == 0
    assert window_of(short_window) > 2
    done = cli("backup", "--uri", short_window.uri, "--db", "slow", "--collections", "large")
    assert done.code == 0, done.stdout
    assert window_of(short_window) == 2
    left = [name for name in names_in(cli.directory / "backups") if name.startswith(".")]
    assert left == []


@pytest.mark.parametrize("second_is_faster", [False, True])
def test_two_backups_that_both_raise_the_window_put_it_back(
    short_window: LocalServer, cli: Cli, second_is_faster: bool
) -> None:
    with (
        proxy_to(short_window.port) as first,
        proxy_to(short_window.port) as second,
        working(busy(short_window)),
    ):
        first.rate = 8_000_000 if second_is_faster else 14_000_000
        second.rate = 24_000_000 if second_is_faster else 12_000_000
        processes = [cli.start("backup", "--uri", direct(first), "--db", "slow")]
        until(lambda: window_of(short_window) > 2, "the first raises it")
        processes.append(cli.start("backup", "--uri", direct(second), "--db", "slow"))
        notes = cli.directory / "backups"
        until(
            lambda: (
                len(list(notes.glob(".partial-*/snapshot_window.json"))) == 2
                or any(each.poll() is not None for each in processes)
            ),
            "both have raised it",
        )
        assert [each.poll() for each in processes] == [None, None]
        ended = [finish(each) for each in processes]
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert window_of(short_window) == 2


def test_a_lost_snapshot_is_no_backup(tmp_path: Path) -> None:
    """Where the user may not raise the window: no backup, and the option that needs none."""
    arguments = ["--setParameter", "minSnapshotHistoryWindowInSeconds=1"]
    with LocalServer(extra_args=arguments) as server:
        with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
            rows = [{"_id": at, "x": os.urandom(10_000)} for at in range(8_000)]
            client["slow"]["large"].insert_many(rows)
        backups = tmp_path / "backups"
        with proxy_to(server.port) as proxy, working(busy(server)):
            proxy.rate = 12_000_000
            migrator = Migrator(direct(proxy), "slow", backup_dir=backups)
            # Whoever keeps setting it back takes the right to raise it away.
            with working(held_down(server)), pytest.raises(SnapshotLostError) as caught:
                migrator.backup()
            assert "--consistency none" in str(caught.value)
            assert names_in(backups) == set()
            proxy.rate = None
            made = migrator.backup(consistency="none")
            assert made.consistency == "none" and made.documents == 8_000


def held_down(server: LocalServer) -> Callable[[threading.Event], None]:
    def hold(stop: threading.Event) -> None:
        with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
            while not stop.is_set():
                client.admin.command({"setParameter": 1, "minSnapshotHistoryWindowInSeconds": 1})
                time.sleep(0.01)  # as an administrator's script would, again and again

    return hold
