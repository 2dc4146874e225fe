"""`AsyncMigrator`: the verbs of `Migrator` for asyncio, over the same native functions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from edulearn_migrate._native import MigrateError, StopToken
from edulearn_migrate.events import Event, Progress, observer
from edulearn_migrate.migrator import Migrator
from edulearn_migrate.pending import PendingCall, begin
from edulearn_migrate.verbs.base import BaseMigrator, give_type

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def _awaited(
    verb: Callable[Concatenate[Migrator, _Arguments], _Answer],
) -> Callable[Concatenate[AsyncMigrator, _Arguments], Coroutine[Any, Any, _Answer]]:
    """The verb as a coroutine function.

    A verb only says what to do and leaves the doing to `_do`, which `AsyncMigrator` has as a
    coroutine function: so what the verb returns here is its answer to be awaited.
    """

    @wraps(verb)
    async def awaited(
        self: AsyncMigrator, /, *args: _Arguments.args, **options: _Arguments.kwargs
    ) -> _Answer:
        answer = verb(cast("Migrator", self), *args, **options)
        return await cast("Coroutine[Any, Any, _Answer]", answer)

    awaited.__qualname__ = f"AsyncMigrator.{verb.__name__}"
    awaited.__module__ = __name__
    return awaited


class AsyncMigrator(BaseMigrator):
    """Migrations of one database, for asyncio.

    Each verb of `Migrator` is a coroutine here, with the same arguments, answers and errors.
    `progress` is called in the event loop.

    If the task is cancelled, the run stops at its next safe point. The current chunk is committed,
    the lock is released, and the state can be carried on. Only then is `asyncio.CancelledError`
    raised. Cancelling again does not make it faster.
    """

    status = _awaited(Migrator.status)
    require_current = _awaited(Migrator.require_current)
    records = _awaited(Migrator.records)
    apply = _awaited(Migrator.apply)
    rollback = _awaited(Migrator.rollback)
    mark = _awaited(Migrator.mark)
    unlock = _awaited(Migrator.unlock)
    register = _awaited(Migrator.register)
    plan = _awaited(Migrator.plan)
    plan_rollback = _awaited(Migrator.plan_rollback)
    check = _awaited(Migrator.check)
    rehearse = _awaited(Migrator.rehearse)
    purge = _awaited(Migrator.purge)
    dropped = _awaited(Migrator.dropped)
    undrop = _awaited(Migrator.undrop)
    backup = _awaited(Migrator.backup)
    restore = _awaited(Migrator.restore)
    list_backups = _awaited(Migrator.list_backups)
    verify_backup = _awaited(Migrator.verify_backup)
    prune_backups = _awaited(Migrator.prune_backups)
    assessment_migrate = _awaited(Migrator.assessment_migrate)
    assessment_rollback = _awaited(Migrator.assessment_rollback)

    async def _do(
        self,
        read: Callable[[Any], _Answer],
        call: Callable[..., PendingCall[Any]],
        progress: Progress | None,
        stop: StopToken | None,
    ) -> _Answer:
        # The caller's token may stop other runs, too, which are not cancelled with this task.
        cancelled = StopToken(stop)
        run = begin(call(observer=observer(_in_the_loop(progress)), stop=cancelled))
        try:
            # Shielded, because the run goes on to its next safe point when the task is cancelled.
            return read(await asyncio.shield(run))
        except asyncio.CancelledError:
            cancelled.set()
            await _finished(run)
            raise
        except MigrateError as error:
            give_type(error, read)
            raise
        finally:
            # Also when the coroutine is thrown away with its loop.
            if not run.done():
                cancelled.set()


async def _finished(run: asyncio.Future[Any]) -> None:
    """Wait for the run, whatever its outcome and however often the waiting is cancelled."""
    while not run.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({run})
    if not run.cancelled():
        run.exception()  # retrieved, so that asyncio does not report it as forgotten


def _in_the_loop(progress: Progress | None) -> Progress | None:
    """The callback, moved from the engine's thread into the running event loop."""
    if progress is None:
        return None
    loop = asyncio.get_running_loop()

    def forward(event: Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(progress, event)

    return forward
