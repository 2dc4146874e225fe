"""Each verb is written once: what `AsyncMigrator` makes of those of `Migrator`."""

from __future__ import annotations

import asyncio
import inspect
import pydoc
from typing import Any, get_type_hints

import pytest

from conftest import Migrations
from edulearn_migrate import AsyncMigrator, Event, InterruptedRunError, Migrator, StopToken
from harness import Documents, update

# What is the same in both: it needs no server.
PLAIN = {"create", "lint"}
VERBS = sorted(
    name for name, _ in inspect.getmembers(Migrator, inspect.isfunction) if not name.startswith("_")
)


def test_both_classes_have_the_same_verbs() -> None:
    asynchronous = {name for name in dir(AsyncMigrator) if not name.startswith("_")}
    assert asynchronous == set(VERBS)


@pytest.mark.parametrize("name", [name for name in VERBS if name not in PLAIN])
def test_a_verb_looks_the_same_in_both(name: str) -> None:
    verb, awaited = getattr(Migrator, name), getattr(AsyncMigrator, name)
    assert not inspect.iscoroutinefunction(verb) and inspect.iscoroutinefunction(awaited)
    assert inspect.signature(awaited) == inspect.signature(verb)
    assert get_type_hints(awaited) == get_type_hints(verb)
    assert awaited.__doc__ == verb.__doc__ and len(verb.__doc__) > 20
    assert (awaited.__module__, awaited.__qualname__) == (
        "edulearn_migrate.aio",
        f"AsyncMigrator.{name}",
    )
    assert {"progress", "stop"} <= inspect.signature(verb).parameters.keys()


def test_help_shows_them() -> None:
    shown = pydoc.plain(pydoc.render_doc(AsyncMigrator))
    for name in VERBS:
        assert f"{name}(self" in shown
    assert "Apply every pending migration in order" in shown


async def test_a_token_stops_every_run_and_a_cancelled_task_only_its_own(
    server_uri: str, db: Documents, migrations: Migrations
) -> None:
    """Two runs have one token: cancelling the first does not stop the second, the token does."""
    padding = "x" * 200
    users = [{"_id": number, "padding": padding} for number in range(60_000)]
    db["users"].insert_many(users, ordered=False)
    migrations.write(1, [update("users", {}, {"$set": {"role": "student"}})])
    stop = StopToken()
    migrator = AsyncMigrator(server_uri, db.name, migrations_dir=migrations.directory)
    chunk = asyncio.Event()

    def watch(event: Event) -> None:
        if event.kind == "progress":
            chunk.set()

    async def under_way() -> asyncio.Task[Any]:
        chunk.clear()
        run = asyncio.ensure_future(migrator.apply(progress=watch, stop=stop))
        seen = asyncio.ensure_future(chunk.wait())
        await asyncio.wait({run, seen}, return_when=asyncio.FIRST_COMPLETED)
        assert seen.done(), "it ended before its first chunk"
        return run

    first = await under_way()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = await under_way()
    assert db["users"].count_documents({"role": None}) > 0
    stop.set()
    with pytest.raises(InterruptedRunError):
        await second
    report = await migrator.apply()
    assert report.migrations[0].resumed and db["users"].count_documents({"role": None}) == 0
