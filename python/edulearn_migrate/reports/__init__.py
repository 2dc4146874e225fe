"""What the verbs answer, as frozen dataclasses.

Dates are aware datetimes in UTC, durations are in seconds, sizes are in bytes before the server's
compression, counts are documents.
"""

from __future__ import annotations

from edulearn_migrate.reports.base import Direction, IgnoredFile, Status
from edulearn_migrate.reports.runs import (
    Beyond,
    CollectionUndone,
    MigrationRun,
    OperationOutcome,
    OperationRun,
    Overreach,
    RunOutcome,
    RunReport,
    Undone,
)
from edulearn_migrate.reports.states import (
    CreatedMigration,
    LockOwner,
    MarkReport,
    MigrationState,
    StatusReport,
    UnlockReport,
)
from edulearn_migrate.reports.undo import (
    DroppedEntry,
    DroppedKind,
    PurgeReport,
    Retained,
    RetainedRun,
    UndropReport,
)

__all__ = [
    "Beyond",
    "CollectionUndone",
    "CreatedMigration",
    "Direction",
    "DroppedEntry",
    "DroppedKind",
    "IgnoredFile",
    "LockOwner",
    "MarkReport",
    "MigrationRun",
    "MigrationState",
    "OperationOutcome",
    "OperationRun",
    "Overreach",
    "PurgeReport",
    "Retained",
    "RetainedRun",
    "RunOutcome",
    "RunReport",
    "Status",
    "StatusReport",
    "Undone",
    "UndropReport",
    "UnlockReport",
]
