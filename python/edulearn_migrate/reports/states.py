"""Where migrations stand, and the answers of the verbs that set it by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edulearn_migrate.plural import counted
from edulearn_migrate.reports.backups import UnfinishedRestore
from edulearn_migrate.reports.base import IgnoredFile, Report, Status
from edulearn_migrate.reports.undo import Retained


@dataclass(frozen=True, slots=True)
class LockOwner(Report):
    """Who holds the lock. `expires_at` is judged by the server's clock."""

    host: str
    pid: int
    user: str | None
    run: str | None
    since: datetime | None
    renewed_at: datetime | None
    expires_at: datetime | None
    expired: bool
    command: str | None


@dataclass(frozen=True, slots=True)
class MigrationState(Report):
    """Where one migration stands. `file` is None for one that exists in the database only."""

    id: str
    name: str
    description: str
    status: Status
    file: str | None
    created_at: datetime | None
    applied_at: datetime | None
    rolled_back_at: datetime | None
    out_of_order: bool
    changed: bool
    note: str | None
    error: str | None

    @property
    def ok(self) -> bool:
        """Whether it has not failed, is not half done, and its file is as it was applied."""
        return self.status in ("applied", "pending", "rolled_back") and not self.changed

    def __str__(self) -> str:
        """Its state, and what is wrong with it."""
        said = [self.status, *(["changed since"] if self.changed else []), self.note, self.error]
        return f"{self.id} ({self.name}): {', '.join(each for each in said if each)}"


@dataclass(frozen=True, slots=True)
class StatusReport(Report):
    """The answer of `status`. `transactions` is None where the server did not say.

    `unfinished_assessments` says which command carries on, where a run of the assessment migration
    or its rollback was killed.
    """

    database: str
    transactions: bool | None
    total: int
    applied: int
    pending: int
    rolled_back: int
    failed: int
    applying: int
    rolling_back: int
    migrations: tuple[MigrationState, ...]
    ignored: tuple[IgnoredFile, ...]
    lock: LockOwner | None
    retained: Retained
    unfinished_restore: UnfinishedRestore | None
    unfinished_assessments: str | None
    foreign_ledger: str | None
    """What the ledger's collection holds, where it is somebody else's."""

    @property
    def ok(self) -> bool:
        """Whether nothing failed, is half done or changed. Pending migrations are no fault."""
        unfinished = self.unfinished_restore is not None or self.unfinished_assessments is not None
        return not unfinished and all(each.ok for each in self.migrations)

    @property
    def current(self) -> bool:
        """Whether all is well and no migration is pending."""
        return self.ok and not self.pending

    def __str__(self) -> str:
        """The counts, and a line for each migration."""
        counts = {
            "applied": self.applied,
            "pending": self.pending,
            "rolled back": self.rolled_back,
            "failed": self.failed,
            "applying": self.applying,
            "rolling back": self.rolling_back,
        }
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        number = counted(self.total, "migration")
        head = f"{self.database}: {number}" + (f", {said}" if said else "")
        return "\n".join([head, *(f"  {each}" for each in self.migrations)])


@dataclass(frozen=True, slots=True)
class MarkReport(Report):
    """The answer of `mark`: the state before and after."""

    id: str
    name: str
    before: Status
    after: Status


@dataclass(frozen=True, slots=True)
class UnlockReport(Report):
    """The answer of `unlock`: whether a lock was broken, and whose it was (None: nobody's)."""

    broken: bool
    owner: LockOwner | None


@dataclass(frozen=True, slots=True)
class CreatedMigration(Report):
    """A new migration file."""

    id: str
    path: str
    name: str
    description: str
