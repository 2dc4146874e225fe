"""Listeners that are slow, stuck or gone: none delays a run, its lease or its end."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from conftest import TIMEOUT, Cli, Migrations
from edulearn_migrate import AsyncMigrator, Event, Migrator
from edulearn_migrate.pending import begin
from harness import GATE, Documents, closed_gate, lock_of, until

MANY = 20_000


@pytest.fixture
def many(migrations: Migrations, db: Documents) -> str:
    """A migration of some chunks."""
    db["numbers"].insert_many([{"_id": number} for number in range(MANY)])
    change = {"filter": {}, "update": {"$set": {"n": 1}}}
    return migrations.write(1, [{"type": "update_documents", "collection": "numbers", **change}])


class Stuck:
    """A callback that does not return before it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.returned = False
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.go.wait(TIMEOUT)
        self.returned = True
        self.events.append(event)


def test_a_stuck_callback_does_not_delay_the_end(migrator: Migrator, many: str) -> None:
    stuck = Stuck()
    assert migrator.apply(progress=stuck).ids("applied") == [many]
    assert not stuck.returned
    stuck.go.set()
    kinds = [event.kind for event in stuck.events]
    # What it was late for comes all the same, and of the progress only the last.
    until(lambda: stuck.events and stuck.events[-1].kind == "lock_released", "the last event")
    kinds = [event.kind for event in stuck.events]
    for kind in ("migration_started", "operation_started", "operation_finished"):
        assert kinds.count(kind) == 1
    assert kinds.count("progress") == 1
    [progress] = [event for event in stuck.events if event.kind == "progress"]
    assert progress.documents == MANY


async def test_nor_does_it_with_asyncio(
    server_uri: str, db: Documents, many: str, migrations: Migrations
) -> None:
    """The thread that would call the callback in the loop is stuck, say in a logger."""
    assert many
    stuck = Stuck()
    migrator = AsyncMigrator(server_uri, db.name, migrations_dir=migrations.directory)
    engine: Any = migrator._engine
    work = engine.apply(observer=stuck)
    await begin(work)
    assert not stuck.returned
    stuck.go.set()
    assert db["numbers"].count_documents({"n": 1}) == MANY


def test_a_stuck_callback_does_not_delay_the_renewal(
    migrator: Migrator, migrations: Migrations, db: Documents
) -> None:
    migrations.write(1, [GATE])
    stuck = Stuck()
    with ThreadPoolExecutor(1) as pool, closed_gate(db) as reached:
        applied = pool.submit(migrator.apply, progress=stuck)
        reached()
        first = lock_of(db)["renewed_at"]
        until(lambda: lock_of(db)["renewed_at"] > first, "the lease is renewed", TIMEOUT)
        assert not stuck.returned
    assert applied.result().ids("applied") == ["migration_1"]
    stuck.go.set()


def test_what_a_callback_does_is_done_when_the_verb_returns(migrator: Migrator, many: str) -> None:
    """A listener that keeps up has heard of everything by then."""
    events: list[Event] = []
    migrator.apply(progress=events.append)
    assert events[-1].kind == "lock_released"
    assert many in {event.migration for event in events}


def test_a_terminal_that_nobody_reads(cli: Cli, db: Documents, many: str) -> None:
    ours, theirs = os.openpty()
    os.set_blocking(theirs, False)
    for size in (1000, 1):
        # The system passes on what it holds a little later, and has room again.
        while select.select([], [theirs], [], 0.3)[1]:
            with suppress(BlockingIOError):
                os.write(theirs, b"x" * size)
    os.set_blocking(theirs, True)
    for level in ("DEBUG", "WARNING"):
        db["migrations"].delete_many({})
        db["numbers"].update_many({}, {"$unset": {"n": 1}})
        process = subprocess.Popen(
            [*cli.command, "apply", "--log-level", level],
            cwd=cli.directory,
            env=cli.environment({"TERM": "xterm"}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            encoding="utf-8",
        )
        try:
            stdout, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
        assert process.returncode == 0, stdout
        assert f"  - {many}" in stdout.splitlines()
        assert db["numbers"].count_documents({"n": 1}) == MANY
        assert not lock_of(db).get("owner")
    os.close(ours)
    os.close(theirs)


def test_a_loop_that_is_closed_meanwhile(
    server_uri: str, db: Documents, migrations: Migrations
) -> None:
    """Once the task is thrown away, the run stops and lets go of the lock."""
    migrations.write(1, [GATE])
    migrations.write(2, [{"type": "create_collection", "collection": "second"}])
    migrator = AsyncMigrator(server_uri, db.name, migrations_dir=migrations.directory)
    with closed_gate(db) as reached:
        loop = asyncio.new_event_loop()
        task: Any = loop.create_task(migrator.apply(progress=lambda _: None))
        loop.run_until_complete(asyncio.sleep(0))
        reached()
        loop.close()
        task._log_destroy_pending = False
        del task
        gc.collect()
    until(lambda: lock_of(db) and not lock_of(db).get("owner"), "the lock is released")
    assert "second" not in db.list_collection_names()
