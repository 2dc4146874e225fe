"""SIGKILL at any moment: the next run carries on, and everything is done exactly once.

EDULEARN_KILLS says how many kills of a process that holds the lease there are at least (20), and
EDULEARN_SEED repeats their moments.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from pymongo.errors import ExecutionTimeout, OperationFailure

from conftest import Cli
from harness import (
    SEED,
    Client,
    Documents,
    Process,
    delete,
    fail_point,
    finish,
    holds,
    lock_of,
    open_transaction,
    record_of,
    running,
    start_holding,
    stop_in_chunk,
    until,
    update,
    uri_of,
    write_migration,
)
from kills import KILLS, Kills, holding_or_over

DOCUMENTS = 200_000
DELETED = 20_000
NOTES = 3_000
# Seconds from taking the lease to a kill: one in four comes at once, where the run begins, the
# others within a time that grows with their number, so that the run gets to its end after enough.
LONGEST = max(0.5, 8 / KILLS)
AT_ONCE = 0.03

# The server's code where another transaction has written the document.
WRITE_CONFLICT = 112


def fill(db: Documents) -> None:
    """The documents to change and those to delete."""
    text = "x" * 200
    rows = range(DOCUMENTS + DELETED)
    for first in range(0, len(rows), 20_000):
        db["documents"].insert_many(
            [
                {"_id": at, "n": 0, "gone": at % 11 == 10, "text": text}
                for at in rows[first:][:20_000]
            ],
            ordered=False,
        )


def operations(number: int) -> tuple[list[Any], list[Any]]:
    """A migration of every kind of operation: the scripts up and down."""
    notes = f"notes_{number}"
    up = [
        {
            "type": "create_collection",
            "collection": notes,
            "options": {"validator": {"number": {"$gte": 0}}},
        },
        update("documents", {"gone": False}, {"$inc": {"n": 1}}),
        {
            "type": "create_index",
            "collection": "documents",
            "index": [["text", 1], [f"field_{number}", 1]],
            "options": {"name": f"text_{number}"},
        },
        {
            "type": "insert_documents",
            "collection": notes,
            "documents": [{"number": at} for at in range(NOTES)],
        },
        {
            "type": "create_index",
            "collection": notes,
            "index": "number",
            "options": {"unique": True},
        },
        delete("documents", {"gone": True}),
        {"type": "rename_collection", "collection": notes, "to": f"{notes}_renamed"},
    ]
    down = [
        {"type": "rename_collection", "collection": f"{notes}_renamed", "to": notes},
        update("documents", {"gone": False}, {"$inc": {"n": -1}}),
        {"type": "drop_index", "collection": "documents", "index": f"text_{number}"},
        {"type": "drop_collection", "collection": notes},
    ]
    return up, down


def place(db: Documents, migration: str) -> str:
    """Where the run was that just died."""
    if open_transaction(db):
        return "with a chunk's transaction open"
    progress = record_of(db, migration).get("progress") or {}
    position = progress.get("position")
    if position is None:
        return "between operations"
    if position["kind"] == "whole":
        return "in a schema operation"
    return "between chunks" if "after" in position or position.get("next") else "before a chunk"


def kill_until_done(
    db: Documents,
    cli: Cli,
    arguments: tuple[str, ...],
    migration: str,
    dice: random.Random,
    kills: Kills,
) -> dict[int, dict[str, Any]]:
    """Starts the command again and again, kills it each time, until one run gets to its end.

    Returns what the ledger said of each finished operation, by its number from 0.
    """
    finished: dict[int, dict[str, Any]] = {}
    while True:
        process = cli.start(*arguments)
        # No owner that died on this host is waited for, whatever it was doing.
        until(partial(holding_or_over, db, process), "the lease is taken")
        try:
            longest = LONGEST * 4 ** (kills.counted / KILLS)
            process.wait(dice.uniform(0, AT_ONCE if dice.random() < 0.25 else longest))
        except subprocess.TimeoutExpired:
            process.kill()
        code, stdout, stderr = finish(process)
        if code == 0:
            return finished
        assert code == -9, f"exit {code}\n{stdout}\n{stderr}"
        # Dead, it changes nothing any more: what the lock says now is how it was.
        if holds(db, process):
            kills.counted += 1
            kills.places[place(db, migration)] += 1
        else:
            kills.uncounted += 1
        progress = record_of(db, migration).get("progress") or {}
        for index, operation in enumerate(progress.get("operations", ())):
            if operation["outcome"] is not None:
                assert finished.setdefault(index, operation) == operation
        assert kills.counted + kills.uncounted < 50 * KILLS, "it never gets to its end"


def only_value(db: Documents) -> Any:
    """The one value of `n` that every document has, which is all of them."""
    groups = list(db["documents"].aggregate([{"$group": {"_id": "$n", "count": {"$sum": 1}}}]))
    assert [group["count"] for group in groups] == [DOCUMENTS], f"n by count: {groups}"
    return groups[0]["_id"]


def entries(db: Documents, migration: str, event: str) -> list[dict[str, Any]]:
    return list(db["migrations_history"].find({"migration": migration, "event": event}))


def test_every_document_is_changed_once_however_often_the_run_is_killed(
    db: Documents, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    fill(db)
    up_kills, down_kills = Kills(), Kills()
    done: list[str] = []
    while up_kills.counted < KILLS:
        number = len(done) + 1
        migration = write_migration(cli.directory, number, *operations(number))
        finished = kill_until_done(db, cli, ("apply",), migration, dice, up_kills)
        done.append(migration)
        check_applied(db, migration, number, finished)
    rolled_back = 0
    while down_kills.counted < max(1, KILLS // 4) and rolled_back < len(done):
        migration = done[-1 - rolled_back]
        kill_until_done(db, cli, ("rollback", migration), migration, dice, down_kills)
        rolled_back += 1
        check_rolled_back(db, migration, len(done) - rolled_back)
    with capsys.disabled():
        print(f"\n  EDULEARN_SEED={SEED} apply ({len(done)} migrations): {up_kills}")
        print(f"  EDULEARN_SEED={SEED} rollback ({rolled_back} migrations): {down_kills}")
    assert down_kills.counted > 0


def check_applied(
    db: Documents, migration: str, number: int, finished: dict[int, dict[str, Any]]
) -> None:
    assert only_value(db) == number
    notes = db[f"notes_{number}_renamed"]
    assert sorted(note["number"] for note in notes.find()) == list(range(NOTES))
    assert notes.options()["validator"] == {"number": {"$gte": 0}}
    assert notes.index_information()["number_1"]["unique"]
    assert f"notes_{number}" not in db.list_collection_names()
    assert f"text_{number}" in db["documents"].index_information()
    record = record_of(db, migration)
    assert record["status"] == "applied"
    assert "progress" not in record and "error" not in record
    assert "owner" not in lock_of(db), "the lease is released"
    # One history of one application, and the counts of all runs together.
    (entry,) = entries(db, migration, "applied")
    counts = dict(finished)
    counts.update({operation["index"] - 1: operation for operation in entry["operations"]})
    assert sorted(counts) == list(range(7))
    assert counts[1]["matched"] == counts[1]["modified"] == DOCUMENTS
    assert counts[3]["inserted"] == NOTES
    assert counts[5]["deleted"] == (DELETED if number == 1 else 0)


def check_rolled_back(db: Documents, migration: str, value: int) -> None:
    assert only_value(db) == value
    number = value + 1
    names = db.list_collection_names()
    assert not {f"notes_{number}", f"notes_{number}_renamed"} & set(names)
    assert f"text_{number}" not in db["documents"].index_information()
    record = record_of(db, migration)
    assert record["status"] == "rolled_back"
    assert "progress" not in record
    assert len(entries(db, migration, "rolled_back")) == 1


def test_a_killed_run_s_transaction_blocks_nobody(db: Documents, cli: Cli) -> None:
    db["documents"].insert_many({"_id": at, "n": 0, "text": "x" * 300} for at in range(100_000))
    migration = write_migration(cli.directory, 1, [update("documents", {}, {"$inc": {"n": 1}})])
    process = start_holding(db, lambda: cli.start("apply", "--workers", "1"))

    def next_document() -> int:
        block: int = record_of(db, migration)["progress"]["position"]["after"]["_id"] + 1
        return block

    def holds_it() -> bool:
        """Whether a transaction has written it: asked by another, which is taken back."""
        with db.client.start_session() as session:
            session.start_transaction()
            try:
                touched = {"$set": {"touched": True}}
                db["documents"].update_one({"_id": next_document()}, touched, session=session)
            except OperationFailure as error:
                return error.code == WRITE_CONFLICT
            finally:
                session.abort_transaction()
        return False

    stop_in_chunk(db, process, migration, also=holds_it)
    process.kill()
    finish(process)
    # It is this that would make the next run wait for a minute.
    assert open_transaction(db)
    touch = {"q": {"_id": next_document()}, "u": {"$set": {"touched": True}}}
    with pytest.raises(ExecutionTimeout):
        db.command({"update": "documents", "updates": [touch], "maxTimeMS": 500})
    began = time.monotonic()
    result = cli("apply")
    took = time.monotonic() - began
    assert result.code == 0, result.stderr
    assert took < 50, "the server ends such a transaction after 60 s"
    assert db["documents"].count_documents({"n": 1}) == 100_000


def test_nor_does_one_killed_as_a_migration_begins(
    with_failpoints: Client, cli: Cli, database_name: str
) -> None:
    db = with_failpoints[database_name]
    db["documents"].insert_many({"n": 0} for _ in range(10))
    write_migration(cli.directory, 1, [update("documents", {}, {"$inc": {"n": 1}})])
    arguments = ("apply", "--uri", uri_of(with_failpoints), "--db", database_name)
    # The transaction that begins a migration proves the lease first; the next write is held up.
    held_up = {"failCommands": ["update"], "blockConnection": True, "blockTimeMS": 1_000}
    with fail_point(with_failpoints, "failCommand", {"skip": 1}, **held_up):
        process = start_holding(db, lambda: cli.start(*arguments))
        until(lambda: open_transaction(db), "the transaction is open")
        process.kill()
        finish(process)
    until(lambda: not running(db), "its last command is done")
    assert open_transaction(db)
    began = time.monotonic()
    result = cli(*arguments)
    took = time.monotonic() - began
    with_failpoints.drop_database(database_name)
    assert result.code == 0, result.stderr
    assert took < 50, "the server ends such a transaction after 60 s"


class UniqueIndex:
    """A run killed while the server builds a unique index, whose build hangs until released."""

    def __init__(self, client: Client, cli: Cli, name: str) -> None:
        self.client = client
        self.db = client[name]
        self.cli = cli
        self.arguments = ("apply", "--uri", uri_of(client), "--db", name)
        self.db["users"].insert_many({"_id": at, "email": f"{at}", "n": 0} for at in range(2_000))
        self.migration = write_migration(
            cli.directory,
            1,
            [
                update("users", {}, {"$inc": {"n": 1}}),
                {
                    "type": "create_index",
                    "collection": "users",
                    "index": "email",
                    "options": {"unique": True, "name": "email_unique"},
                },
                update("users", {}, {"$inc": {"n": 10}}),
            ],
        )

    def kill_while_building(self) -> None:
        process = start_holding(self.db, lambda: self.cli.start(*self.arguments))
        until(self.building, "the index is being built")
        process.kill()
        finish(process)
        assert holds(self.db, process)
        assert self.building(), "the build outlives its client"
        # Written while it is built: it is at its end that the build fails.
        self.db["users"].insert_one({"_id": 2_000, "email": "7", "n": 0})

    def building(self) -> bool:
        listed = self.db.command({"listIndexes": "users", "includeBuildUUIDs": True})
        return any("buildUUID" in index for index in listed["cursor"]["firstBatch"])

    def joined(self, process: Process) -> bool:
        """Whether two commands wait for the build: the dead process's and this one's."""
        stages: list[dict[str, Any]] = [
            {"$currentOp": {"allUsers": True}},
            {"$match": {"command.createIndexes": "users", "command.$db": self.db.name}},
        ]
        clients = {row.get("client") for row in self.client.admin.aggregate(stages)}
        return process.poll() is not None or len(clients - {None}) >= 1

    def check_not_done(self, code: int, stdout: str, stderr: str) -> None:
        assert code == 1, stdout + stderr
        assert f"✗ Failed to apply migration: {self.migration}" in stdout.splitlines()
        assert "operation 2 of 3" in stderr + stdout
        assert "E11000" in stderr + stdout and "email" in stderr + stdout
        assert "email_unique" not in self.db["users"].index_information()
        record = record_of(self.db, self.migration)
        assert record["status"] == "failed"
        assert record["error"]["code"] == 11000 and record["error"]["operation"] == 2
        assert [operation["outcome"] for operation in record["progress"]["operations"]][:1] == [
            "done"
        ]
        assert self.db["users"].count_documents({"n": {"$gte": 10}}) == 0, (
            "what follows was not run"
        )

    def check_mended(self) -> None:
        self.db["users"].delete_one({"_id": 2_000})
        result = self.cli(*self.arguments)
        assert result.code == 0, result.stderr
        assert self.db["users"].index_information()["email_unique"]["unique"]
        assert self.db["users"].count_documents({"n": 11}) == 2_000


@pytest.fixture
def unique_index(with_failpoints: Client, cli: Cli, database_name: str) -> Iterator[UniqueIndex]:
    yield UniqueIndex(with_failpoints, cli, database_name)
    with_failpoints.drop_database(database_name)


def test_a_build_that_fails_after_the_kill_is_not_taken_for_done(
    with_failpoints: Client, unique_index: UniqueIndex
) -> None:
    with fail_point(with_failpoints, "hangAfterSettingUpIndexBuild", "alwaysOn"):
        unique_index.kill_while_building()
        # The next run finds the build under way, listed among the indexes, and waits for it.
        process = start_holding(
            unique_index.db, lambda: unique_index.cli.start(*unique_index.arguments)
        )
        until(lambda: unique_index.joined(process), "the next run joins the build")
        assert process.poll() is None, f"it did not wait: {finish(process)}"
    unique_index.check_not_done(*finish(process))
    unique_index.check_mended()


def test_a_build_that_failed_before_the_next_run_is_not_taken_for_done(
    with_failpoints: Client, unique_index: UniqueIndex
) -> None:
    with fail_point(with_failpoints, "hangAfterSettingUpIndexBuild", "alwaysOn"):
        unique_index.kill_while_building()
    until(lambda: not unique_index.building(), "the build is over")
    result = unique_index.cli(*unique_index.arguments)
    unique_index.check_not_done(result.code, result.stdout, result.stderr)
    unique_index.check_mended()
