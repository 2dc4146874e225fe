"""The verbs that look before anything is done, which `Migrator` and `AsyncMigrator` inherit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from edulearn_migrate import _native
from edulearn_migrate.events import Progress, observer
from edulearn_migrate.reports.preview import CheckReport, PlanReport
from edulearn_migrate.work import Work

_Result = TypeVar("_Result")


class SyncPreview:
    """Looking before doing, synchronously. Needs read rights only; writes nothing."""

    _preview: _native.Preview

    def plan(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> PlanReport:
        """What `apply` with the same arguments would do, by the data as it is now.

        Takes no lock and makes nothing, also not a collection. Raises what `apply` would be refused
        with as a whole, such as `ScriptChangedError`; what single operations would fail at is in
        the report.
        """
        return PlanReport.from_dict(
            self._preview.apply(
                id,
                rolled_back=rolled_back,
                strict_order=strict_order,
                capture=capture,
                observer=observer(progress),
                stop=stop,
            ).run()
        )

    def plan_rollback(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        exact: bool = False,
        capture: bool = True,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> PlanReport:
        """What `rollback` with the same arguments would do, by the data as it is now."""
        return PlanReport.from_dict(
            self._preview.rollback(
                id,
                from_file=from_file,
                exact=exact,
                capture=capture,
                observer=observer(progress),
                stop=stop,
            ).run()
        )

    def check(
        self,
        *,
        allow_rolled_back: bool = False,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> CheckReport:
        """Whether anything is pending, changed, failed, unfinished, rolled back or held."""
        verb = self._preview.check(
            allow_rolled_back=allow_rolled_back, observer=observer(progress), stop=stop
        )
        return CheckReport.from_dict(verb.run())


class AsyncPreview:
    """The same for asyncio. Arguments, answers and errors are those of `SyncPreview`."""

    _preview: _native.Preview

    async def _run(
        self,
        verb: Callable[..., Work[_Result]],
        progress: Progress | None,
        *args: object,
        **options: object,
    ) -> _Result:
        raise NotImplementedError  # AsyncMigrator's

    async def plan(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        progress: Progress | None = None,
    ) -> PlanReport:
        """What `apply` with the same arguments would do, by the data as it is now."""
        report = await self._run(
            self._preview.apply,
            progress,
            id,
            rolled_back=rolled_back,
            strict_order=strict_order,
            capture=capture,
        )
        return PlanReport.from_dict(report)

    async def plan_rollback(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        exact: bool = False,
        capture: bool = True,
        progress: Progress | None = None,
    ) -> PlanReport:
        """What `rollback` with the same arguments would do, by the data as it is now."""
        report = await self._run(
            self._preview.rollback,
            progress,
            id,
            from_file=from_file,
            exact=exact,
            capture=capture,
        )
        return PlanReport.from_dict(report)

    async def check(
        self, *, allow_rolled_back: bool = False, progress: Progress | None = None
    ) -> CheckReport:
        """Whether anything is pending, changed, failed, unfinished, rolled back or held."""
        found = await self._run(self._preview.check, progress, allow_rolled_back=allow_rolled_back)
        return CheckReport.from_dict(found)
