"""Where migrations stand, and the answers of the verbs that set it by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edulearn_migrate.reports.backups import UnfinishedRestore
from edulearn_migrate.reports.base import IgnoredFile, Status, read, read_all
from edulearn_migrate.reports.undo import Retained

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


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
        return None if data is None else read(cls, data)


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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StatusReport:
        """The typed form of the engine's answer."""
        return read(
            cls,
            data,
            migrations=read_all(MigrationState, data["migrations"]),
            ignored=read_all(IgnoredFile, data["ignored"]),
            lock=LockOwner.from_dict(data["lock"]),
            retained=Retained.from_dict(data["retained"]),
            unfinished_restore=UnfinishedRestore.from_dict(data["unfinished_restore"]),
        )


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
        return read(cls, data)


@dataclass(frozen=True, slots=True)
class UnlockReport:
    """The answer of `unlock`: whether a lock was broken, and whose it was (None: nobody's)."""

    broken: bool
    owner: LockOwner | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> UnlockReport:
        """The typed form of the engine's answer."""
        return read(cls, data, owner=LockOwner.from_dict(data["owner"]))


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
        return read(cls, data)
