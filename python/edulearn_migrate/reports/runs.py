"""The answer of `apply` and `rollback`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edulearn_migrate.reports.base import Direction, IgnoredFile, Report

RunOutcome = Literal["applied", "already_applied", "rolled_back", "failed", "interrupted"]
OperationOutcome = Literal["done", "standing", "absent", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Undone(Report):
    """What an exact rollback did with documents.

    `restored` are as they were before the migration; `restored_with_edits` too, but for what
    somebody changed in other fields since. `gone` were deleted since and stay deleted; `made_since`
    stand in a collection that the migration made, and stay. Of `conflicts`, something that the
    migration had changed was changed again since, and that stays.
    """

    restored: int
    restored_with_edits: int
    gone: int
    made_since: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class CollectionUndone(Undone):
    """What an exact rollback did in one collection."""

    collection: str


@dataclass(frozen=True, slots=True)
class Beyond(Report):
    """Documents that a down script was to change although its up script had not touched them.

    `index` is the number of the down script's operation, from 1. `documents` is None where nothing
    was captured that would tell how many there are.
    """

    index: int
    collection: str
    documents: int | None


@dataclass(frozen=True, slots=True)
class OperationRun(Report):
    """What one operation did. Counts are documents; `index` counts from 1.

    `undone` is None except in an exact rollback that dealt with documents.
    """

    index: int
    type: str
    collection: str
    outcome: OperationOutcome
    matched: int
    modified: int
    inserted: int
    deleted: int
    upserted: int
    undone: Undone | None
    chunks: int
    conflicts: int
    seconds: float
    note: str | None


@dataclass(frozen=True, slots=True)
class MigrationRun(Report):
    """What one migration did. `resumed` when it went on from where an earlier run had stopped.

    `exact` when what was captured was undone instead of running the down script; `undone` then says
    collection by collection what became of the documents. Of a rollback by script, `beyond` lists
    what the down script reached that the up script had not touched.
    """

    id: str
    name: str
    direction: Direction
    outcome: RunOutcome
    resumed: bool
    seconds: float
    exact: bool
    operations: tuple[OperationRun, ...]
    undone: tuple[CollectionUndone, ...]
    beyond: tuple[Beyond, ...]
    error: str | None

    @property
    def ok(self) -> bool:
        """Whether it was done, now or before."""
        return self.outcome in ("applied", "already_applied", "rolled_back")

    def __str__(self) -> str:
        """What became of it, and the operations that did not end well."""
        lines = [f"{self.id} ({self.name}): {self.outcome}, {self.seconds:.1f} s"]
        if self.error is not None:
            lines.append(f"  {self.error}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class RunReport(Report):
    """The answer of `apply` and `rollback`, and the `report` of an exception they raise."""

    database: str
    direction: Direction
    migrations: tuple[MigrationRun, ...]
    passed_over: tuple[str, ...]
    """Rolled back migrations that `apply` without an id left as they are."""
    ignored: tuple[IgnoredFile, ...]

    @property
    def ok(self) -> bool:
        """Whether all of them were done."""
        return all(each.ok for each in self.migrations)

    def __str__(self) -> str:
        """A line for each migration."""
        lines = [f"{self.database}: {len(self.migrations)} migrations, {self.direction}"]
        lines += [f"  {line}" for each in self.migrations for line in str(each).splitlines()]
        return "\n".join([*lines, *map(str, self.ignored)])

    def ids(self, *outcomes: RunOutcome) -> list[str]:
        """The ids of the migrations that ended in one of `outcomes`, in the order they ran."""
        return [each.id for each in self.migrations if each.outcome in outcomes]
