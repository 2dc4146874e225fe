"""Short programs that end in every way a program can end: what `test_exits.py` runs many times.

python short_programs.py KIND URI DATABASE DIRECTORY SEED
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import threading
import time
from typing import Any

from edulearn_migrate import AsyncMigrator, MigrationManager, Migrator

_, KIND, URI, DATABASE, DIRECTORY, SEED = sys.argv
chance = random.Random(SEED)


def moment() -> float:
    """From before the connection stands to after the run has ended."""
    return chance.uniform(0, 0.06)


async def status() -> None:
    await AsyncMigrator(URI, DATABASE).status()


async def apply() -> None:
    await AsyncMigrator(URI, DATABASE, migrations_dir=DIRECTORY).apply(lock_timeout=60)


async def followed() -> None:
    """With a callback, some of whose calls are still to come when the loop ends."""
    migrator = AsyncMigrator(URI, DATABASE, migrations_dir=DIRECTORY)
    await migrator.apply(lock_timeout=60, progress=lambda _: time.sleep(0.001))


async def drop_in() -> None:
    manager = MigrationManager(URI, DATABASE, migrations_dir=DIRECTORY)
    await manager.initialize()
    await manager.apply_all_pending()
    await manager.get_migration_status()


async def cancelled() -> None:
    task = asyncio.ensure_future(apply())
    await asyncio.sleep(moment())
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def timed_out() -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(apply(), moment())


async def left_to_the_loop() -> None:
    """The task is cancelled by the end of `asyncio.run`."""
    main.kept = asyncio.ensure_future(apply())  # type: ignore[attr-defined]
    await asyncio.sleep(moment())


def thrown_away() -> None:
    """The loop is closed with the run still going on, and nobody waits for it."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(apply())
    loop.run_until_complete(asyncio.sleep(moment()))
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def stuck() -> None:
    """A callback never returns."""
    migrator = Migrator(URI, DATABASE, migrations_dir=DIRECTORY)
    migrator.apply(lock_timeout=60, progress=lambda _: time.sleep(3600))


def in_a_daemon() -> None:
    """The program ends while another thread waits for a run."""

    def work() -> None:
        with contextlib.suppress(Exception):
            Migrator(URI, DATABASE, migrations_dir=DIRECTORY).apply(lock_timeout=60)

    threading.Thread(target=work, daemon=True).start()
    time.sleep(moment())


def main() -> None:
    kind: Any = globals()[KIND]
    if asyncio.iscoroutinefunction(kind):
        asyncio.run(kind())
    else:
        kind()


main()
