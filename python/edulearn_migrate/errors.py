"""The exceptions that Python raises itself, beside those of the engine."""

from __future__ import annotations

from edulearn_migrate._native import MigrateError
from edulearn_migrate.reports import StatusReport


class PendingMigrationsError(MigrateError):
    """The database is not as the migrations want it; `report` is its `StatusReport`."""

    def __init__(self, message: str, report: StatusReport | None = None) -> None:
        super().__init__(message)
        self.report = report


def require_current(status: StatusReport) -> StatusReport:
    """The same report. Raises `PendingMigrationsError` unless it is `current`."""
    if status.current:
        return status
    wrong = [each for each in status.migrations if each.status == "pending" or not each.ok]
    said = [f"{each.id} is {'changed' if each.changed else each.status}" for each in wrong]
    if status.unfinished_restore is not None:
        said.insert(0, "a restore has not ended")
    if status.unfinished_assessments is not None:
        said.insert(0, "the assessment migration has not ended")
    raise PendingMigrationsError(
        f"The database {status.database} is not current: {', '.join(said)}. "
        "Apply the migrations before the application uses it.",
        status,
    )
