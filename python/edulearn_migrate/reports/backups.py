"""What the verbs of backups answer, as frozen dataclasses.

Dates are aware datetimes in UTC, durations are in seconds, sizes in bytes, counts are documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from edulearn_migrate.reports.base import Report

BackupKind = Literal["manual", "safety", "assessment", "old_tool"]
Consistency = Literal["snapshot", "none"]


@dataclass(frozen=True, slots=True)
class ClusterTime(Report):
    """A time of the replica set: seconds since 1970, and which operation of that second."""

    seconds: int
    increment: int


@dataclass(frozen=True, slots=True)
class BackupReport(Report):
    """The answer of `backup`. `path` is absolute; `cluster_time` is None without a snapshot."""

    name: str
    path: str
    kind: BackupKind
    database: str
    created_at: datetime
    collections: int
    documents: int
    bytes: int
    stored_bytes: int
    consistency: Consistency
    cluster_time: ClusterTime | None
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    """Collections that are this tool's own, but for records and history, or the server's."""
    excluded: tuple[str, ...]
    """Collections that were to be left out."""
    seconds: float


@dataclass(frozen=True, slots=True)
class BackupSummary(Report):
    """One backup of `list_backups`. `full` when it is of the whole database.

    `server_version` is that of the server it is of; None of the old tool's backups.
    """

    name: str
    kind: BackupKind
    database: str
    created_at: datetime
    bytes: int
    stored_bytes: int
    documents: int
    collections: int
    consistency: Consistency
    server_version: str | None
    full: bool
    location: str


@dataclass(frozen=True, slots=True)
class BackupList(Report):
    """The answer of `list_backups`, newest first; `problems` says what could not be read."""

    backups: tuple[BackupSummary, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything in the directory could be read."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class VerifyReport(Report):
    """The answer of `verify_backup`: what was read, all of it as it was written."""

    name: str
    collections: int
    documents: int
    bytes: int
    stored_bytes: int
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class PruneReport(Report):
    """The answer of `prune_backups`: names removed, names kept because a record needs them."""

    removed: tuple[str, ...]
    needed: tuple[str, ...]
    kept: int


@dataclass(frozen=True, slots=True)
class RestoreReport(Report):
    """The answer of `restore`. `earlier` says what became of a restore that had been killed.

    `abandoned`: its swap was given up in the middle, and `notes` say what is in the database now.
    """

    name: str
    database: str
    of_database: str
    collections: int
    documents: int
    bytes: int
    indexes: int
    dropped: tuple[str, ...]
    left_alone: tuple[str, ...]
    safety_backup: str | None
    earlier: Literal["none", "finished", "undone", "abandoned"]
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class UnfinishedRestore(Report):
    """A restore that was begun and has not ended; `restore` takes it to its end first.

    While `building` the database is as it was before; while `swapping` it is part of either.
    """

    backup: str
    phase: Literal["building", "swapping"]
    since: datetime | None
    host: str
    user: str
    safety_backup: str | None
