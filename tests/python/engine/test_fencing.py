"""One writer at a time: two runs at once, a run that was stopped, and locks of dead owners."""

from __future__ import annotations

import signal
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from conftest import Cli
from harness import (
    Documents,
    Process,
    chunks_done,
    delete,
    finish,
    holds,
    lock_of,
    record_of,
    start_holding,
    state_of,
    stop_in_chunk,
    until,
    update,
    write_migration,
)

LEASE = 30  # seconds
LOST = "This run no longer holds the lock"
TOTAL = 150_000


def fill(db: Documents) -> None:
    text = "x" * 300
    rows = ({"_id": at, "n": 0, "text": text} for at in range(TOTAL))
    db["documents"].insert_many(rows, ordered=False)


def counts(db: Documents) -> dict[Any, int]:
    groups = db["documents"].aggregate([{"$group": {"_id": "$n", "count": {"$sum": 1}}}])
    return {group["_id"]: group["count"] for group in groups}


def server_time(db: Documents) -> datetime:
    now: datetime = db.command("hello")["localTime"]
    return now.replace(tzinfo=timezone.utc)


def in_words(result: tuple[int, str, str]) -> str:
    return f"exit {result[0]}\n{result[1]}\n{result[2]}"


def test_of_two_runs_at_once_each_operation_runs_once(db: Documents, cli: Cli) -> None:
    """Started together, many times: whoever comes second finds nothing left to do."""
    db["documents"].insert_many({"_id": at, "n": 0} for at in range(500))
    rounds = 10
    for number in range(1, rounds + 1):
        write_migration(
            cli.directory,
            number,
            [
                update("documents", {}, {"$inc": {"n": 1}}),
                {"type": "insert_documents", "collection": "made", "documents": [{"by": number}]},
                {"type": "create_collection", "collection": f"made_{number}", "options": {}},
                # Undone and not only present: whoever ran it twice would not find it.
                {"type": "rename_collection", "collection": f"made_{number}", "to": f"x_{number}"},
            ],
        )
        runs = [cli.start("apply", "--lock-timeout", "30") for _ in range(2)]
        results = [finish(run) for run in runs]
        assert [code for code, _, _ in results] == [0] * len(runs), results
        did = [f"  - migration_{number:03}" in stdout.splitlines() for _, stdout, _ in results]
        assert sum(did) == 1, results
        assert counts(db) == {number: 500}
        assert db["made"].count_documents({"by": number}) == 1
    assert db["migrations_history"].count_documents({"event": "applied"}) == rounds
    assert "owner" not in lock_of(db)
    assert lock_of(db)["token"] >= rounds


def test_a_second_run_waits_no_longer_than_asked(db: Documents, cli: Cli) -> None:
    fill(db)
    migration = write_migration(cli.directory, 1, [update("documents", {}, {"$inc": {"n": 1}})])
    first = start_holding(db, lambda: cli.start("apply"))
    stop_in_chunk(db, first, migration)
    began = time.monotonic()
    second = cli("apply", "--lock-timeout", "1")
    took = time.monotonic() - began
    assert second.code == 4
    assert 1 <= took < LEASE
    owner = lock_of(db)["owner"]
    for said in (
        owner["host"],
        str(first.pid),
        "apply",
        f"{lock_of(db)['acquired_at']:%Y-%m-%dT%H:%M}",
    ):
        assert said in second.stdout + second.stderr
    first.send_signal(signal.SIGCONT)
    result = finish(first)
    assert result[0] == 0, in_words(result)
    assert counts(db) == {1: TOTAL}


def test_a_stopped_run_that_lost_its_lease_writes_nothing_more(db: Documents, cli: Cli) -> None:
    fill(db)
    migration = write_migration(
        cli.directory,
        1,
        [
            update("documents", {}, {"$inc": {"n": 1}}),
            delete("documents", {"_id": {"$mod": [10, 3]}}),
        ],
    )
    stopped = start_holding(db, lambda: cli.start("apply"))
    stop_in_chunk(db, stopped, migration, after=2)
    done = chunks_done(db, migration)
    assert 0 < counts(db)[1] < TOTAL
    expires = lock_of(db)["expires_at"]
    second = cli.start("apply", "--lock-timeout", "60")
    # Alive, as far as anybody can tell: nobody takes its lease before it has run out.
    until(lambda: holds(db, second), "the second run takes over")
    assert server_time(db) >= expires
    result = finish(second)
    assert result[0] == 0, in_words(result)
    assert record_of(db, migration)["status"] == "applied"
    assert done > 0 and counts(db) == {1: TOTAL - TOTAL // 10}
    before = state_of(db)
    lock = lock_of(db)
    stopped.send_signal(signal.SIGCONT)
    result = finish(stopped)
    assert result[0] == 1, in_words(result)
    assert LOST in result[1] + result[2], in_words(result)
    assert "✗ Failed to apply migration: migration_001" in result[1].splitlines()
    assert state_of(db) == before
    assert lock_of(db) == lock


def test_a_run_whose_lock_is_broken_stops(db: Documents, cli: Cli) -> None:
    fill(db)
    migration = write_migration(cli.directory, 1, [update("documents", {}, {"$inc": {"n": 1}})])
    run = start_holding(db, lambda: cli.start("apply"))
    stop_in_chunk(db, run, migration)
    refused = cli("unlock")
    assert refused.code == 4, refused.stdout + refused.stderr
    assert holds(db, run)
    broken = cli("unlock", "--force")
    assert broken.code == 0, broken.stdout + broken.stderr
    assert "owner" not in lock_of(db)
    before = state_of(db)
    run.send_signal(signal.SIGCONT)
    result = finish(run)
    assert result[0] == 1, in_words(result)
    assert LOST in result[1] + result[2], in_words(result)
    assert state_of(db) == before
    # What it had committed is not done again.
    again = cli("apply")
    assert again.code == 0, again.stdout + again.stderr
    assert counts(db) == {1: TOTAL}
    assert [entry["event"] for entry in db["migrations_history"].find()] == ["unlocked", "applied"]


def test_a_run_whose_lock_is_broken_while_it_works_stops(db: Documents, cli: Cli) -> None:
    """Not stopped by anybody: it finds out by its own writes."""
    fill(db)
    migration = write_migration(cli.directory, 1, [update("documents", {}, {"$inc": {"n": 1}})])
    run = start_holding(db, lambda: cli.start("apply"))
    until(lambda: chunks_done(db, migration) > 0, "chunks are committed")
    broken = cli("unlock", "--force")
    assert broken.code == 0, broken.stdout + broken.stderr
    before = state_of(db)
    result = finish(run)
    assert result[0] == 1, in_words(result)
    assert LOST in result[1] + result[2], in_words(result)
    assert state_of(db) == before
    assert cli("apply").code == 0
    assert counts(db) == {1: TOTAL}


def test_a_dead_owner_of_this_host_is_replaced_at_once(db: Documents, cli: Cli) -> None:
    fill(db)
    migration = write_migration(cli.directory, 1, [update("documents", {}, {"$inc": {"n": 1}})])
    dead = start_holding(db, lambda: cli.start("apply"))
    until(lambda: chunks_done(db, migration) > 0, "chunks are committed")
    dead.kill()
    finish(dead)
    assert holds(db, dead) and lock_of(db)["expires_at"] > server_time(db)
    # It waits for nobody, and so not for the lease to run out.
    result = finish(cli.start("apply", "--lock-timeout", "0"))
    assert result[0] == 0, in_words(result)
    assert f"(process {dead.pid})" in result[2] and "dead" in result[2]
    assert counts(db) == {1: TOTAL}


@pytest.mark.parametrize("elsewhere", ["host", "boot"])
def test_an_owner_elsewhere_is_waited_for(db: Documents, cli: Cli, elsewhere: str) -> None:
    """Nothing is known of a process of another host or of another start of this one."""
    db["documents"].insert_many({"_id": at, "n": 0} for at in range(10))
    migration = write_migration(cli.directory, 1, [update("documents", {}, {"$inc": {"n": 1}})])
    dead = run_to_its_death(db, cli, migration)
    # Expires in a few seconds instead of thirty; the time is the server's.
    expires = server_time(db) + timedelta(seconds=6)
    change = {f"owner.{elsewhere}": "elsewhere", "expires_at": expires}
    db["migrations_lock"].update_one({"_id": "lock"}, {"$set": change})
    result = cli("apply", "--lock-timeout", "1")
    assert result.code == 4, result.stdout + result.stderr
    assert holds(db, dead)
    assert counts(db) == {0: 10}
    if elsewhere == "host":
        assert "on host elsewhere" in result.stdout + result.stderr
    result = cli("apply", "--lock-timeout", "30")
    assert result.code == 0, result.stdout + result.stderr
    assert server_time(db) >= expires
    (entry,) = db["migrations_history"].find({"event": "applied"})
    assert entry["at"] >= expires - timedelta(milliseconds=50)
    assert counts(db) == {1: 10}


def run_to_its_death(db: Documents, cli: Cli, migration: str) -> Process:
    """A run that was killed while it held the lease, before it had changed a document."""
    with db.client.start_session() as session:
        session.start_transaction()
        db["documents"].update_many({}, {"$set": {"m": 1}}, session=session)
        process = start_holding(db, lambda: cli.start("apply"))
        until(lambda: "position" in record_of(db, migration).get("progress", {}), "it has begun")
        process.kill()
        finish(process)
        session.abort_transaction()
    assert holds(db, process)
    return process
