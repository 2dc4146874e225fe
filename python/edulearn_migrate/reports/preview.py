"""The answers of `plan`, `plan_rollback` and `check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edulearn_migrate.reports.base import Direction, IgnoredFile, read, read_all
from edulearn_migrate.reports.runs import Beyond, OperationOutcome, Undone

if TYPE_CHECKING:
    from collections.abc import Mapping

CheckFindingKind = Literal["pending", "changed", "failed", "unfinished", "unreadable", "held"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What an operation would fail at; without `fails` it succeeds and leaves the data wrong.

    `code` is the server's, where it has one for it.
    """

    message: str
    code: int | None
    fails: bool


@dataclass(frozen=True, slots=True)
class Dependency:
    """An earlier operation of the plan; `operation` counts from 1."""

    migration: str
    operation: int


@dataclass(frozen=True, slots=True)
class SetsAside:
    """What a drop would take away; `kept` where it can be brought back."""

    documents: int
    bytes: int
    indexes: tuple[str, ...]
    kept: bool

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> SetsAside | None:
        """None where nothing is set aside."""
        return None if data is None else read(cls, data, indexes=tuple(data["indexes"]))


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Keys that a unique index would meet in more than one of `documents`; some in words."""

    keys: int
    documents: int
    examples: tuple[str, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> Duplicates | None:
        """None where it was not looked for."""
        return None if data is None else read(cls, data, examples=tuple(data["examples"]))


@dataclass(frozen=True, slots=True)
class Rejected:
    """Documents that a validator does not admit, and the `_id`s of some as Extended JSON."""

    documents: int
    examples: tuple[str, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> Rejected | None:
        """None where it was not looked for."""
        return None if data is None else read(cls, data, examples=tuple(data["examples"]))


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How a check of the migration file came out; `index` counts from 1."""

    index: int
    demand: str
    holds: bool
    found: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class OperationPlan:
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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OperationPlan:
        """The typed form of what the engine says about an operation."""
        undone = data["undone"]
        return read(
            cls,
            data,
            sets_aside=SetsAside.from_dict(data["sets_aside"]),
            duplicates=Duplicates.from_dict(data["duplicates"]),
            rejected=Rejected.from_dict(data["rejected"]),
            undone=None if undone is None else read(Undone, undone),
            problems=read_all(Problem, data["problems"]),
            doubts=read_all(Problem, data["doubts"]),
            depends_on=read_all(Dependency, data["depends_on"]),
            notes=tuple(data["notes"]),
        )


@dataclass(frozen=True, slots=True)
class MigrationPlan:
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
    beyond: tuple[Beyond, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MigrationPlan:
        """The typed form of what the engine says about a migration."""
        return read(
            cls,
            data,
            checks=read_all(CheckResult, data["checks"]),
            operations=tuple(map(OperationPlan.from_dict, data["operations"])),
            beyond=read_all(Beyond, data["beyond"]),
        )


@dataclass(frozen=True, slots=True)
class Blocked:
    """A migration behind the others of a plan that could not run, and why."""

    id: str
    name: str
    error: str


@dataclass(frozen=True, slots=True)
class PlanReport:
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
    problems: int
    undecided: int
    seconds_estimate: float
    ignored: tuple[IgnoredFile, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PlanReport:
        """The typed form of the engine's answer."""
        blocked = data["blocked"]
        return read(
            cls,
            data,
            migrations=tuple(map(MigrationPlan.from_dict, data["migrations"])),
            blocked=None if blocked is None else read(Blocked, blocked),
            ignored=read_all(IgnoredFile, data["ignored"]),
        )


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """Something that a pipeline should stop at."""

    kind: CheckFindingKind
    migration: str | None
    name: str | None
    message: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The answer of `check`: everything that a pipeline should stop at."""

    database: str
    findings: tuple[CheckFinding, ...]
    ignored: tuple[IgnoredFile, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CheckReport:
        """The typed form of the engine's answer."""
        return read(
            cls,
            data,
            findings=read_all(CheckFinding, data["findings"]),
            ignored=read_all(IgnoredFile, data["ignored"]),
        )
