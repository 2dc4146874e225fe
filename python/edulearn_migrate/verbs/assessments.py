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
        workers: int | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> AssessmentReport:
        """Bring regular and teacher assessments into one model, after a backup into `backup_dir`.

        Documents that cannot be mapped, or that the server refuses, are left as they are and
        listed. Everything else is migrated.

        Args:
            accept_unmapped: such documents do not make `validation.valid` of the report False.
            dry_run: write nothing.
            ids: `new` copies a teacher assessment under an `_id` that follows from its own. `keep`
                keeps its `_id`, for an application that reads only `assessments`. A run that is
                carried on goes by the value that it began with.
            lock_timeout: seconds to wait for another run.

        Raises:
            WrongStateError: an index is in the way. Nothing was written.
        """
        call = partial(
            self._assessments.migrate,
            accept_unmapped=accept_unmapped,
            dry_run=dry_run,
            ids=ids,
            workers=workers,
            lock_timeout=lock_timeout,
        )
        return self._do(AssessmentReport.from_dict, call, progress, stop)

    def assessment_rollback(
        self,
        *,
        workers: int | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> AssessmentRollbackReport:
        """Take `assessment_migrate` back.

        What was edited since stays, or returns to the teacher assessment that it came from.
        """
        call = partial(self._assessments.rollback, workers=workers, lock_timeout=lock_timeout)
        return self._do(AssessmentRollbackReport.from_dict, call, progress, stop)
