"""The answer of `apply` and `rollback`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from edulearn_migrate.plural import counted
from edulearn_migrate.reports.base import Direction, IgnoredFile, Report

RunOutcome = Literal["applied", "already_applied", "rolled_back", "failed", "interrupted"]
OperationOutcome = Literal["done", "standing", "absent", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Undone(Report):
    """What an exact rollback did with documents. Each count is a number of documents.

    - `restored`: they are as before the migration.
    - `restored_with_edits`: so are they in all that the migration changed. Something else was
      edited since, and stays.
    - `gone`: somebody deleted them since. They stay deleted.
    - `made_since`: they are in a collection that the migration made, and not by it. They stay.
    - `conflicts`: something that the migration had changed was changed again since. The newer
      value stays.
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
class Overreach(Report):
    """Documents that a down script reaches although its up script had not touched them.

    `index` is the number of the down script's operation, from 1. `documents` is None if nothing was
    captured that tells how many there are.
    """

    index: int
    collection: str
    documents: int | None


Beyond = Overreach
"""The old name, until 0.2.0."""


@dataclass(frozen=True, slots=True)
class OperationRun(Report):
    """What one operation did.

    `index` counts from 1. `matched`, `modified`, `inserted`, `deleted` and `upserted` are numbers
    of documents. `conflicts` is how often a chunk met a write of the application and was tried
    again. `undone` is None except in an exact rollback that dealt with documents.
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
    """What one migration did.

    `resumed` is True if it carried on where an earlier run had stopped. `exact` is True if what was
    captured was undone, and no down script was run; `undone` then says collection by collection
    what became of the documents. For a rollback by script, `overreach` lists what the down script
    reached that the up script had not touched. `seconds` is the duration of this run.
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
    overreach: tuple[Overreach, ...]
    error: str | None

    _old_keys: ClassVar[Mapping[str, str]] = {"beyond": "overreach"}

    @property
    def beyond(self) -> tuple[Overreach, ...]:
        """The old name of `overreach`, until 0.2.0."""
        return self.overreach

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
        number = counted(len(self.migrations), "migration")
        lines = [f"{self.database}: {number}, {self.direction}"]
        lines += [f"  {line}" for each in self.migrations for line in str(each).splitlines()]
        return "\n".join([*lines, *map(str, self.ignored)])

    def ids(self, *outcomes: RunOutcome) -> list[str]:
        """The ids of the migrations that ended in one of `outcomes`, in the order they ran."""
        return [each.id for each in self.migrations if each.outcome in outcomes]
