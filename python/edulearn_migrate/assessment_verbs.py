"""The verbs of the assessment model, which `Migrator` and `AsyncMigrator` inherit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from edulearn_migrate import _native
from edulearn_migrate.events import Progress
from edulearn_migrate.reports.assessment import AssessmentReport, AssessmentRollbackReport
from edulearn_migrate.work import Work

_Result = TypeVar("_Result")


class SyncAssessments:
    """The unification of the assessment model, synchronously."""

    _assessments: _native.Assessments

    def _run(
        self,
        verb: Callable[..., Work[_Result]],
        progress: Progress | None,
        stop: _native.StopToken | None,
        *args: object,
        **options: object,
    ) -> _Result:
        raise NotImplementedError  # Migrator's

    def assessment_migrate(
        self,
        *,
        accept_unmapped: bool = False,
        dry_run: bool = False,
        ids: Literal["new", "keep"] | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> AssessmentReport:
        """Bring regular and teacher assessments into one model; the backup goes into `backup_dir`.

        Documents that cannot be mapped, or that the server refuses, are left as they are and
        listed, and everything else is migrated; then the report's `validation.valid` is False,
        unless `accept_unmapped`. With `dry_run` nothing is written. Teacher assessments are copied
        under an `_id` that follows from theirs; `ids="keep"` keeps theirs, for an application that
        reads only `assessments`. A run that is carried on goes by the `ids` it began with. Raises
        `WrongStateError` before anything is written where an index is in the way.
        """
        report = self._run(
            self._assessments.migrate,
            progress,
            stop,
            accept_unmapped=accept_unmapped,
            dry_run=dry_run,
            ids=ids,
            lock_timeout=lock_timeout,
        )
        return AssessmentReport.from_dict(report)

    def assessment_rollback(
        self,
        *,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> AssessmentRollbackReport:
        """Take that back: what was edited since stays, or returns to the teacher assessment."""
        report = self._run(self._assessments.rollback, progress, stop, lock_timeout=lock_timeout)
        return AssessmentRollbackReport.from_dict(report)


class AsyncAssessments:
    """The same for asyncio. Arguments, answers and errors are those of `SyncAssessments`."""

    _assessments: _native.Assessments

    async def _run(
        self,
        verb: Callable[..., Work[_Result]],
        progress: Progress | None,
        *args: object,
        **options: object,
    ) -> _Result:
        raise NotImplementedError  # AsyncMigrator's

    async def assessment_migrate(
        self,
        *,
        accept_unmapped: bool = False,
        dry_run: bool = False,
        ids: Literal["new", "keep"] | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
    ) -> AssessmentReport:
        """Bring regular and teacher assessments into one model."""
        report = await self._run(
            self._assessments.migrate,
            progress,
            accept_unmapped=accept_unmapped,
            dry_run=dry_run,
            ids=ids,
            lock_timeout=lock_timeout,
        )
        return AssessmentReport.from_dict(report)

    async def assessment_rollback(
        self, *, lock_timeout: float = 10.0, progress: Progress | None = None
    ) -> AssessmentRollbackReport:
        """Take that back: what was edited since stays, or returns to the teacher assessment."""
        report = await self._run(self._assessments.rollback, progress, lock_timeout=lock_timeout)
        return AssessmentRollbackReport.from_dict(report)
