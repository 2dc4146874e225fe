"""The verbs of the assessment model."""

from __future__ import annotations

from functools import partial
from typing import Literal

from edulearn_migrate.events import Progress
from edulearn_migrate.reports.assessment import AssessmentReport, AssessmentRollbackReport
from edulearn_migrate.verbs.base import Stop, Verbs


class Assessments(Verbs):
    """The unification of the assessment model."""

    def assessment_migrate(
        self,
        *,
        accept_unmapped: bool = False,
        dry_run: bool = False,
        ids: Literal["new", "keep"] | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> AssessmentReport:
        """Bring regular and teacher assessments into one model; the backup goes into `backup_dir`.

        Documents that cannot be mapped, or that the server refuses, are left as they are and
        listed, and everything else is migrated; then the report's `validation.valid` is False,
        unless `accept_unmapped`. With `dry_run` nothing is written. Teacher assessments are copied
        under an `_id` that follows from theirs; `ids="keep"` keeps theirs, for an application that
        reads only `assessments`. A run that is carried on goes by the `ids` it began with. Raises
        `WrongStateError` before anything is written where an index is in the way.
        """
        call = partial(
            self._assessments.migrate,
            accept_unmapped=accept_unmapped,
            dry_run=dry_run,
            ids=ids,
            lock_timeout=lock_timeout,
        )
        return self._do(AssessmentReport.from_dict, call, progress, stop)

    def assessment_rollback(
        self,
        *,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> AssessmentRollbackReport:
        """Take that back: what was edited since stays, or returns to the teacher assessment."""
        call = partial(self._assessments.rollback, lock_timeout=lock_timeout)
        return self._do(AssessmentRollbackReport.from_dict, call, progress, stop)
