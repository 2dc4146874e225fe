"""What the verbs answer, as frozen dataclasses.

Dates are aware datetimes in UTC, durations are in seconds, counts are documents.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from edulearn_migrate.backup_reports import UnfinishedRestore

Status = Literal["pending", "applied", "rolled_back", "failed", "applying", "rolling_back"]
Direction = Literal["up", "down"]
RunOutcome = Literal["applied", "already_applied", "rolled_back", "failed", "interrupted"]
OperationOutcome = Literal["done", "standing", "absent", "failed", "interrupted"]

_Report = TypeVar("_Report")


def _read(cls: type[_Report], data: Mapping[str, Any], **nested: object) -> _Report:
    """An instance from the engine's dict. Keys a newer engine adds are left out, not an error."""
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    values = {name: value for name, value in data.items() if name in known}
    return cls(**{**values, **nested})


@dataclass(frozen=True, slots=True)
class IgnoredFile:
    """A file in the migrations directory that is no migration, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class LockOwner:
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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> LockOwner | None:
        """None where nobody holds it."""
        return None if data is None else _read(cls, data)


@dataclass(frozen=True, slots=True)
class MigrationState:
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


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The answer of `status`. `transactions` is None where the server did not say."""

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
    unfinished_restore: UnfinishedRestore | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StatusReport:
        """The typed form of the engine's answer."""
        return _read(
            cls,
            data,
            migrations=tuple(_read(MigrationState, each) for each in data["migrations"]),
            ignored=_ignored(data),
            lock=LockOwner.from_dict(data["lock"]),
            unfinished_restore=_unfinished_restore(data),
        )


@dataclass(frozen=True, slots=True)
class OperationRun:
    """What one operation did. Counts are documents; `index` counts from 1."""

    index: int
    type: str
    collection: str
    outcome: OperationOutcome
    matched: int
    modified: int
    inserted: int
    deleted: int
    upserted: int
    chunks: int
    conflicts: int
    seconds: float
    note: str | None


@dataclass(frozen=True, slots=True)
class MigrationRun:
    """What one migration did. `resumed` when it went on from where an earlier run had stopped."""

    id: str
    name: str
    direction: Direction
    outcome: RunOutcome
    resumed: bool
    seconds: float
    operations: tuple[OperationRun, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class RunReport:
    """The answer of `apply` and `rollback`, and the `report` of an exception they raise."""

    database: str
    direction: Direction
    migrations: tuple[MigrationRun, ...]
    ignored: tuple[IgnoredFile, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunReport:
        """The typed form of the engine's answer."""
        return _read(
            cls,
            data,
            migrations=tuple(
                _read(
                    MigrationRun,
                    each,
                    operations=tuple(_read(OperationRun, step) for step in each["operations"]),
                )
                for each in data["migrations"]
            ),
            ignored=_ignored(data),
        )

    def ids(self, *outcomes: RunOutcome) -> list[str]:
        """The ids of the migrations that ended in one of `outcomes`, in the order they ran."""
        return [each.id for each in self.migrations if each.outcome in outcomes]


@dataclass(frozen=True, slots=True)
class MarkReport:
    """The answer of `mark`: the state before and after."""

    id: str
    name: str
    before: Status
    after: Status

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MarkReport:
        """The typed form of the engine's answer."""
        return _read(cls, data)


@dataclass(frozen=True, slots=True)
class UnlockReport:
    """The answer of `unlock`: whether a lock was broken, and whose it was (None: nobody's)."""

    broken: bool
    owner: LockOwner | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> UnlockReport:
        """The typed form of the engine's answer."""
        return _read(cls, data, owner=LockOwner.from_dict(data["owner"]))


@dataclass(frozen=True, slots=True)
class CreatedMigration:
    """A new migration file."""

    id: str
    path: str
    name: str
    description: str

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CreatedMigration:
        """The typed form of the engine's answer."""
        return _read(cls, data)


def _unfinished_restore(data: Mapping[str, Any]) -> UnfinishedRestore | None:
    from edulearn_migrate.backup_reports import UnfinishedRestore

    return UnfinishedRestore.from_dict(data["unfinished_restore"])


def _ignored(data: Mapping[str, Any]) -> tuple[IgnoredFile, ...]:
    return tuple(_read(IgnoredFile, each) for each in data["ignored"])
