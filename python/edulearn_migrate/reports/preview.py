"""The answers of `plan`, `plan_rollback` and `check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from edulearn_migrate.reports.base import Direction, IgnoredFile, Report
from edulearn_migrate.reports.runs import OperationOutcome, Overreach, Undone

CheckFindingKind = Literal[
    "pending",
    "changed",
    "failed",
    "unfinished",
    "unreadable",
    "held",
    "rolled_back",
    "foreign_ledger",
    "no_files",
]


@dataclass(frozen=True, slots=True)
class Problem(Report):
    """A problem of an operation. If `fails` is false, the operation succeeds and leaves wrong data.

    `code` is the server's, where it has one for it.
    """

    message: str
    code: int | None
    fails: bool


@dataclass(frozen=True, slots=True)
class Dependency(Report):
    """An earlier operation of the plan; `operation` counts from 1."""

    migration: str
    operation: int


@dataclass(frozen=True, slots=True)
class SetsAside(Report):
    """What a drop would take away; `kept` where it can be brought back."""

    documents: int
    bytes: int
    indexes: tuple[str, ...]
    kept: bool


@dataclass(frozen=True, slots=True)
class Duplicates(Report):
    """Keys that a unique index would meet in more than one of `documents`; some in words."""

    keys: int
    documents: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected(Report):
    """Documents that a validator does not admit, and the `_id`s of some as Extended JSON."""

    documents: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckResult(Report):
    """How a check of the migration file came out; `index` counts from 1."""

    index: int
    demand: str
    holds: bool
    found: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class OperationPlan(Report):
    """What one operation would do, by the data as it is now.

    `matched` are the documents it selects, `changes` those it would change, insert or delete. Where
    not `exact`, `changes` is the most there can be. Where earlier operations come first
    (`depends_on`), everything is said of today's data, and `doubts` are what it would fail at on
    those; not `looked_at` when today's data says nothing. `expires` counts the documents that a TTL
    would delete at once. `chunks` and `transactions` are None for operations on the schema.
    `seconds_estimate` comes from the time that reading took just now.
    """

    index: int
    type: str
    collection: str
    outcome: OperationOutcome | None
    matched: int | None
    changes: int | None
    upserted: int | None
    exact: bool
    sets_aside: SetsAside | None
    duplicates: Duplicates | None
    rejected: Rejected | None
    undone: Undone | None
    expires: int | None
    problems: tuple[Problem, ...]
    doubts: tuple[Problem, ...]
    depends_on: tuple[Dependency, ...]
    looked_at: bool
    chunks: bool | None
    transactions: bool | None
    seconds_estimate: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MigrationPlan(Report):
    """What one migration would do. Operations that an earlier run has `done` are not listed.

    `checks` are those before the migration, as they come out now; with `checks_depend` other
    migrations of the plan run first and may change that.
    """

    id: str
    name: str
    direction: Direction
    exact: bool
    out_of_order: bool
    resumed: bool
    done: int
    checks: tuple[CheckResult, ...]
    checks_depend: bool
    operations: tuple[OperationPlan, ...]
    overreach: tuple[Overreach, ...]

    _old_keys: ClassVar[Mapping[str, str]] = {"beyond": "overreach"}

    @property
    def beyond(self) -> tuple[Overreach, ...]:
        """The old name of `overreach`, until 0.2.0."""
        return self.overreach


@dataclass(frozen=True, slots=True)
class Blocked(Report):
    """A migration behind the others of a plan that could not run, and why."""

    id: str
    name: str
    error: str


@dataclass(frozen=True, slots=True)
class MissingRight(Report):
    """A right that the database user lacks: the server's `action`, and what it is done to."""

    action: str
    resource: str
    needed_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanRights(Report):
    """Whether the database `user` may do what a run would do.

    What is missing is no problem of the plan: another user may run it. `user` is None where nobody
    has logged in. `not_known` says why the rights are not known, where
    they are not; then `missing` is empty.
    """

    user: str | None
    not_known: str | None
    missing: tuple[MissingRight, ...]


@dataclass(frozen=True, slots=True)
class PlanReport(Report):
    """What a run would do.

    `problems` is how many things were found that it would fail at or leave wrong, `undecided` how
    many operations nobody can judge before earlier ones have run.
    """

    database: str
    direction: Direction
    exact: bool
    migrations: tuple[MigrationPlan, ...]
    already_applied: str | None
    blocked: Blocked | None
    rights: PlanRights
    problems: int
    undecided: int
    seconds_estimate: float
    passed_over: tuple[str, ...]
    """Rolled back migrations that `apply` without an id would leave as they are."""
    ignored: tuple[IgnoredFile, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found that the run would fail at."""
        return self.problems == 0 and self.blocked is None


@dataclass(frozen=True, slots=True)
class CheckFinding(Report):
    """Something that a pipeline should stop at."""

    kind: CheckFindingKind
    migration: str | None
    name: str | None
    message: str

    def __str__(self) -> str:
        """The sentence."""
        return self.message


@dataclass(frozen=True, slots=True)
class CheckReport(Report):
    """The answer of `check`: everything that a pipeline should stop at."""

    database: str
    findings: tuple[CheckFinding, ...]
    ignored: tuple[IgnoredFile, ...]

    @property
    def ok(self) -> bool:
        """Whether there is nothing that a pipeline should stop at."""
        return not self.findings

    def __str__(self) -> str:
        """A line for each finding."""
        return "\n".join(map(str, self.findings)) or f"{self.database}: nothing found"
