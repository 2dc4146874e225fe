"""The answer of `rehearse`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from edulearn_migrate.reports.base import IgnoredFile, Report
from edulearn_migrate.reports.comparison import Comparison

RehearsalOutcome = Literal["came_back", "lost", "failed"]
RehearsalStep = Literal["apply", "down script", "exact rollback", "apply again"]


@dataclass(frozen=True, slots=True)
class StepFailure(Report):
    """A step that failed, and what the error said."""

    step: RehearsalStep
    message: str


@dataclass(frozen=True, slots=True)
class RoundTrip(Report):
    """One migration, there and back: by its down script, and exactly.

    `down` is what differs from before once the down script has run, `exact` once the migration has
    been undone exactly; None where it did not come to that. `outcome` is `came_back` when both are
    the `same`, `lost` when one is not, `failed` when a step failed. `documents` is how many `apply`
    changed; the times are in seconds, None of what did not run.
    """

    id: str
    name: str
    outcome: RehearsalOutcome
    documents: int
    apply_seconds: float | None
    down_seconds: float | None
    exact_seconds: float | None
    down: Comparison | None
    exact: Comparison | None
    failures: tuple[StepFailure, ...]

    @property
    def ok(self) -> bool:
        """Whether everything came back."""
        return self.outcome == "came_back"


@dataclass(frozen=True, slots=True)
class RehearsalReport(Report):
    """The answer of `rehearse`: `passed` when everything came back, both ways.

    `backup` is the name of the backup that the private server was filled from, `created_at` when
    that was begun; with `live` it was taken from the live database for this rehearsal.
    `production_version` is the version of the server that the data is of. `not_rehearsed` are the
    pending migrations behind one that could not be applied.
    """

    database: str
    live: bool
    backup: str | None
    created_at: datetime
    documents: int
    production_version: str | None
    private_version: str | None
    passed: bool
    migrations: tuple[RoundTrip, ...]
    not_rehearsed: tuple[str, ...]
    ignored: tuple[IgnoredFile, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether everything came back."""
        return self.passed
