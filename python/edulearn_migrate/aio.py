"""`AsyncMigrator`: the verbs for asyncio, over the same native functions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from edulearn_migrate import _native
from edulearn_migrate.assessment_verbs import AsyncAssessments
from edulearn_migrate.backup_verbs import AsyncBackups
from edulearn_migrate.errors import require_current
from edulearn_migrate.events import Event, Progress, observer
from edulearn_migrate.migrator import BaseMigrator, MarkState, entries, give_types, in_seconds
from edulearn_migrate.preview_verbs import AsyncPreview
from edulearn_migrate.reports import (
    DroppedEntry,
    MarkReport,
    PurgeReport,
    RunReport,
    StatusReport,
    UndropReport,
    UnlockReport,
)
from edulearn_migrate.reports.rehearsal import RehearsalReport
from edulearn_migrate.work import Work, begin

_Result = TypeVar("_Result")


class AsyncMigrator(BaseMigrator, AsyncBackups, AsyncPreview, AsyncAssessments):
    """Migrations of one database, for asyncio.

    Cancelling the task stops the run at its next safe point: the current chunk is committed, the
    lock released, the state resumable, and only then is `asyncio.CancelledError` raised; cancelling
    again meanwhile does not hurry it. `progress` is called in the event loop. Arguments, answers
    and errors are those of `Migrator`.
    """

    async def status(self, *, progress: Progress | None = None) -> StatusReport:
        """Where every migration stands, and what is retained for undo. Reads only."""
        return StatusReport.from_dict(await self._run(self._engine.status, progress))

    async def require_current(self) -> StatusReport:
        """For start-up and health checks: raise `PendingMigrationsError` unless all is applied."""
        return require_current(await self.status())

    async def records(self, *, progress: Progress | None = None) -> list[dict[str, Any]]:
        """The documents of the ledger as they are, by `applied_at`."""
        return await self._run(self._engine.records, progress)

    async def apply(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
    ) -> RunReport:
        """Apply every pending migration in order, or the one named by id, file stem or name."""
        report = await self._run(
            self._engine.apply,
            progress,
            id,
            rolled_back=rolled_back,
            strict_order=strict_order,
            capture=capture,
            lock_timeout=lock_timeout,
        )
        return RunReport.from_dict(report)

    async def rollback(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        exact: bool = False,
        capture: bool = True,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
    ) -> RunReport:
        """Roll back every applied migration in reverse order of application, or the one named."""
        report = await self._run(
            self._engine.rollback,
            progress,
            id,
            from_file=from_file,
            exact=exact,
            capture=capture,
            lock_timeout=lock_timeout,
        )
        return RunReport.from_dict(report)

    async def mark(
        self,
        id: str,
        state: MarkState,
        *,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
    ) -> MarkReport:
        """Set a migration's state by hand, running nothing. Recorded in the history."""
        report = await self._run(self._engine.mark, progress, id, state, lock_timeout=lock_timeout)
        return MarkReport.from_dict(report)

    async def purge(
        self,
        id: str | None = None,
        *,
        older_than: timedelta | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
    ) -> PurgeReport:
        """Free what was captured: all of it, or of one migration, or what is `older_than` this."""
        report = await self._run(
            self._engine.purge,
            progress,
            id,
            older_than=in_seconds(older_than),
            lock_timeout=lock_timeout,
        )
        return PurgeReport.from_dict(report)

    async def dropped(self, *, progress: Progress | None = None) -> list[DroppedEntry]:
        """What `undrop` can bring back, the oldest run's first. Reads only."""
        return entries(await self._run(self._engine.dropped, progress))

    async def undrop(
        self,
        name: str,
        *,
        to: str | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
    ) -> UndropReport:
        """Bring back what `dropped` lists as `name`, under its old collection's name or as `to`."""
        report = await self._run(
            self._engine.undrop, progress, name, to=to, lock_timeout=lock_timeout
        )
        return UndropReport.from_dict(report)

    async def unlock(
        self, *, force: bool = False, progress: Progress | None = None
    ) -> UnlockReport:
        """Release the lock of a run that is gone; with `force` of one that may still be alive."""
        return UnlockReport.from_dict(await self._run(self._engine.unlock, progress, force=force))

    async def register(
        self,
        name: str,
        up_script: str,
        down_script: str,
        description: str = "",
        *,
        progress: Progress | None = None,
    ) -> str:
        """Record a migration in the database only, pending; returns its id."""
        made = await self._run(
            self._engine.register,
            progress,
            name,
            up_script,
            down_script,
            description,
        )
        return str(made["id"])

    async def rehearse(
        self,
        id: str | None = None,
        *,
        backup: str | None = None,
        live: bool = False,
        any_version: bool = False,
        strict_order: bool = False,
        progress: Progress | None = None,
    ) -> RehearsalReport:
        """Try out what is pending, or the one named, there and back on a private server."""
        verb = self._rehearsal(
            id, backup=backup, live=live, any_version=any_version, strict_order=strict_order
        )
        return RehearsalReport.from_dict(await self._run(verb, progress))

    async def _run(
        self,
        verb: Callable[..., Work[_Result]],
        progress: Progress | None,
        *args: object,
        **options: object,
    ) -> _Result:
        stop = _native.StopToken()
        observe = observer(_in_the_loop(progress))
        run = begin(verb(*args, **options, observer=observe, stop=stop))
        try:
            # Shielded, because the run goes on to its next safe point when the task is cancelled.
            return await asyncio.shield(run)
        except asyncio.CancelledError:
            stop.set()
            await _finished(run)
            raise
        except _native.MigrateError as error:
            give_types(error)
            raise
        finally:
            # Also when the coroutine is thrown away with its loop.
            if not run.done():
                stop.set()


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
