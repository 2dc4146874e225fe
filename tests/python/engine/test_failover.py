"""Primaries that step down and die, connections that break, commits whose answer is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from conftest import Cli
from harness import (
    EVERY_COMMAND,
    OURS,
    Client,
    Documents,
    Process,
    chunks_done,
    delete,
    fail_point,
    failures,
    finish,
    lock_of,
    parts_of,
    record_of,
    start_holding,
    until,
    update,
    uri_of,
    write_migration,
)
from replica_set import ReplicaSet

TOTAL = 120_000


@pytest.fixture(scope="module")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    replica_set = ReplicaSet(tmp_path_factory.mktemp("replica_set"))
    yield replica_set
    replica_set.close()


@pytest.fixture
def there(
    replica_set: ReplicaSet, database_name: str
) -> Iterator[tuple[Documents, tuple[str, ...]]]:
    """A database of that set with documents to change, and the arguments that name it."""
    db = replica_set.client[database_name]
    fill(db)
    yield db, ("--uri", replica_set.uri, "--db", database_name)
    replica_set.client.drop_database(database_name)


def fill(db: Documents, total: int = TOTAL) -> None:
    text = "x" * 200
    rows = ({"_id": at, "n": 0, "text": text} for at in range(total))
    db["documents"].insert_many(rows, ordered=False)


def operations() -> list[Any]:
    return [
        update("documents", {}, {"$inc": {"n": 1}}),
        {
            "type": "create_index",
            "collection": "documents",
            "index": [["text", 1], ["n", 1]],
            # By default a build ends when every voting member has it, one that is rolling back too.
            "options": {"commitQuorum": "majority"},
        },
        {
            "type": "insert_documents",
            "collection": "notes",
            "documents": [{"number": at} for at in range(2_500)],
        },
        {"type": "rename_collection", "collection": "notes", "to": "renamed"},
        delete("documents", {"_id": {"$mod": [4, 0]}}),
    ]


def check(db: Documents, migration: str, result: tuple[int, str, str], total: int = TOTAL) -> None:
    """That everything was done exactly once, by one run and without help."""
    code, stdout, stderr = result
    assert code == 0, stdout + stderr
    groups = db["documents"].aggregate([{"$group": {"_id": "$n", "count": {"$sum": 1}}}])
    assert {group["_id"]: group["count"] for group in groups} == {1: total - total // 4}
    numbers = sorted(note["number"] for note in db["renamed"].find())
    assert numbers == list(range(2_500))
    assert "notes" not in db.list_collection_names()
    assert "text_1_n_1" in db["documents"].index_information()
    assert record_of(db, migration)["status"] == "applied"
    (entry,) = db["migrations_history"].find()
    assert entry["event"] == "applied"
    by_index = {operation["index"]: operation for operation in entry["operations"]}
    assert by_index[1]["modified"] == total
    assert by_index[3]["inserted"] == 2_500
    assert by_index[5]["deleted"] == total // 4
    assert "owner" not in lock_of(db)


def seq_of(db: Documents, migration: str) -> int:
    """Sum of the numbers of all journals' last entries; -1 where there is nobody to ask."""
    try:
        progress = record_of(db, migration).get("progress") or {}
        parts = [part["progress"] for part in parts_of(db, migration)]
    except PyMongoError:
        return -1
    return sum((int(each["seq"]) for each in parts), int(progress.get("seq", -1)))


def reached(db: Documents, migration: str, seq: int, process: Process) -> bool:
    """Whether the journal has got so far, or the run has ended."""
    return seq_of(db, migration) >= seq or process.poll() is not None


def test_a_primary_that_steps_down_again_and_again(
    replica_set: ReplicaSet, there: tuple[Documents, tuple[str, ...]], cli: Cli
) -> None:
    db, arguments = there
    migration = write_migration(cli.directory, 1, operations())
    process = start_holding(db, lambda: cli.start("apply", *arguments))
    steps = 0
    while process.poll() is None and steps < 5:
        goal = seq_of(db, migration) + 3
        until(partial(reached, db, migration, goal, process), "the run goes on")
        if process.poll() is None:
            replica_set.step_down()
            steps += 1
    result = finish(process)
    check(db, migration, result)
    assert steps >= 3, f"only {steps} while it ran"


def test_a_primary_that_steps_down_in_commits(
    replica_set: ReplicaSet, there: tuple[Documents, tuple[str, ...]], cli: Cli
) -> None:
    db, arguments = there
    migration = write_migration(cli.directory, 1, operations())
    process = start_holding(db, lambda: cli.start("apply", *arguments))
    held_up = {"failCommands": ["commitTransaction"], "blockConnection": True, "blockTimeMS": 3_000}
    for _ in range(3):
        goal = seq_of(db, migration) + 1
        until(partial(reached, db, migration, goal, process), "the run goes on")
        assert process.poll() is None
        primary = replica_set.primary()
        with (
            replica_set.direct(primary) as client,
            fail_point(client, "failCommand", "alwaysOn", **held_up, **OURS),
        ):
            until(partial(committing, client), "a commit is under way")
            replica_set.step_down()
        assert replica_set.primary() != primary
    check(db, migration, finish(process))


def committing(client: Client) -> bool:
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True}},
        {"$match": {"command.commitTransaction": 1, "active": True, **OURS}},
    ]
    return bool(list(client.admin.aggregate(stages)))


def test_a_commit_that_its_primary_took_to_the_grave(
    replica_set: ReplicaSet, there: tuple[Documents, tuple[str, ...]], cli: Cli
) -> None:
    """Committed on the primary only, which dies: the new one knows nothing of that chunk."""
    db, arguments = there
    migration = write_migration(cli.directory, 1, operations())
    process = start_holding(db, lambda: cli.start("apply", *arguments))
    until(lambda: chunks_done(db, migration) >= 2, "chunks are committed")
    old = replica_set.primary()
    others = [number for number in range(3) if number != old]
    with ExitStack() as stack:
        clients = [stack.enter_context(replica_set.direct(number)) for number in others]
        with replica_set.direct(old) as primary, ExitStack() as replication:
            for client in clients:
                replication.enter_context(fail_point(client, "stopReplProducer", "alwaysOn"))
            own, copies = primary[db.name], [client[db.name] for client in clients]
            ahead_since: list[float] = []

            def stays_ahead() -> bool:
                # For a moment the primary is always ahead; cut off from its copies, it stays so.
                if seq_of(own, migration) <= max(seq_of(copy, migration) for copy in copies):
                    ahead_since.clear()
                    return False
                ahead_since.append(time.monotonic())
                return ahead_since[-1] - ahead_since[0] > 1

            until(stays_ahead, "a commit has reached the primary only")
            lost = seq_of(own, migration)
            assert process.poll() is None
            replica_set.kill(old)
            survived = max(seq_of(copy, migration) for copy in copies)
    assert 0 < survived < lost
    until(lambda: replica_set.client.primary and replica_set.primary() != old, "a new primary")
    replica_set.restart(old)
    check(db, migration, finish(process))


LOST_ANSWERS: dict[str, dict[str, Any]] = {
    "connection_closed": {"closeConnection": True},
    "no_longer_primary": {"errorCode": 10107},
    "shutting_down": {"errorCode": 91},
    "stepped_down": {"errorCode": 11602},
    "no_such_transaction": {"errorCode": 251, "errorLabels": ["TransientTransactionError"]},
    # Carried out, but that a majority has it is not known.
    "unknown_to_a_majority": {"writeConcernError": {"code": 91, "errmsg": "shutting down"}},
    "majority_timed_out": {"writeConcernError": {"code": 64, "errmsg": "waited in vain"}},
}


@pytest.mark.parametrize("name", LOST_ANSWERS)
def test_commits_that_fail(
    with_failpoints: Client, cli: Cli, database_name: str, name: str
) -> None:
    failing = {"failCommands": ["commitTransaction"], **LOST_ANSWERS[name]}
    db = with_failpoints[database_name]
    fill(db, 20_000)
    migration = write_migration(cli.directory, 1, operations())
    began = failures(with_failpoints)
    # A server that says that it is going away and stays would be asked again after ten seconds.
    uri = f"{uri_of(with_failpoints)}&heartbeatFrequencyMS=500"
    process = start_holding(db, lambda: cli.start("apply", "--uri", uri, "--db", database_name))
    for times in (1, 2, 5):
        struck = failures(with_failpoints)
        goal = seq_of(db, migration) + 1
        until(partial(reached, db, migration, goal, process), "the run goes on")
        with fail_point(with_failpoints, "failCommand", {"times": times}, **failing, **OURS):
            until(partial(struck_or_over, with_failpoints, struck + times, process), "it strikes")
    result = finish(process)
    # Two workers that commit at once may both pass the last one.
    assert began + 8 <= failures(with_failpoints) <= began + 11
    check(db, migration, result, 20_000)
    with_failpoints.drop_database(database_name)


def struck_or_over(client: Client, times: int, process: Process) -> bool:
    return failures(client) >= times or process.poll() is not None


@pytest.mark.parametrize("name", ["connection_closed", "no_longer_primary"])
def test_any_command_fails_now_and_then(
    with_failpoints: Client, cli: Cli, database_name: str, name: str
) -> None:
    failing = {"failCommands": EVERY_COMMAND, **LOST_ANSWERS[name]}
    db = with_failpoints[database_name]
    fill(db, 40_000)
    migration = write_migration(cli.directory, 1, operations())
    before = failures(with_failpoints)
    mode = {"activationProbability": 0.1}
    with fail_point(with_failpoints, "failCommand", mode, **failing, **OURS):
        process = cli.start("apply", "--uri", uri_of(with_failpoints), "--db", database_name)
        result = finish(process)
    assert result[0] == 0, f"after {failures(with_failpoints) - before} failures: {result}"
    assert failures(with_failpoints) >= before + 3, "it was not put to the test"
    # Giving the lease back is tried once only: it ends by itself.
    db["migrations_lock"].update_one({"_id": "lock"}, {"$unset": {"owner": ""}})
    check(db, migration, result, 40_000)
    with_failpoints.drop_database(database_name)


FIRST = [
    "aggregate", "commitTransaction", "count", "createIndexes", "delete", "find", "findAndModify",
    "insert", "listCollections", "listIndexes", "renameCollection", "update",
]  # fmt: skip


@pytest.mark.parametrize("name", ["connection_closed", "no_longer_primary"])
@pytest.mark.parametrize("command", FIRST)
def test_the_first_of_each_command_fails(
    with_failpoints: Client, cli: Cli, database_name: str, command: str, name: str
) -> None:
    db = with_failpoints[database_name]
    fill(db, 100)
    migration = write_migration(cli.directory, 1, operations())
    before = failures(with_failpoints)
    failing = {"failCommands": [command], **LOST_ANSWERS[name], **OURS}
    with fail_point(with_failpoints, "failCommand", {"times": 1}, **failing):
        result = cli("apply", "--uri", uri_of(with_failpoints), "--db", database_name)
    assert failures(with_failpoints) == before + 1, "it was not put to the test"
    check(db, migration, (result.code, result.stdout, result.stderr), 100)
    with_failpoints.drop_database(database_name)
