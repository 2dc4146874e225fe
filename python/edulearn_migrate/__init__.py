"""Migrations for MongoDB that resume exactly where they were killed, and can be undone exactly.

    from edulearn_migrate import Migrator

    report = Migrator("mongodb://localhost:27017", "edulearn", migrations_dir="migrations").apply()

`Migrator` and `AsyncMigrator` are the verbs; `MigrationManager` and `AssessmentModelMigration` keep
the interface of the tool this one replaces. Every exception is a `MigrateError` whose text is a
sentence for the person who must act, and carries the report of what was done so far.

Names are loaded when they are first asked for: the command line and `edulearn_migrate.local` start
without paying for what they do not use, and without the native engine where they do not need it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate._native import (
        BackupCorruptError,
        BackupError,
        BackupNotFoundError,
        DiskFullError,
        InterruptedRunError,
        InvalidMigrationError,
        LeaseLostError,
        LockHeldError,
        MigrateError,
        OperationFailedError,
        OtherDatabaseError,
        OutOfOrderError,
        ScriptChangedError,
        ServerUnavailableError,
        SettingsError,
        SnapshotLostError,
        StopToken,
        UnknownMigrationError,
        WrongStateError,
        __version__,
        describe_target,
        redact,
    )
    from edulearn_migrate.aio import AsyncMigrator
    from edulearn_migrate.assessment import AssessmentModelMigration
    from edulearn_migrate.events import Event
    from edulearn_migrate.manager import MigrationManager
    from edulearn_migrate.migrator import Migrator
    from edulearn_migrate.reports import (
        Beyond,
        CollectionUndone,
        CreatedMigration,
        DroppedEntry,
        IgnoredFile,
        LockOwner,
        MarkReport,
        MigrationRun,
        MigrationState,
        OperationRun,
        PurgeReport,
        Retained,
        RetainedRun,
        RunReport,
        StatusReport,
        Undone,
        UndropReport,
        UnlockReport,
    )
    from edulearn_migrate.reports.assessment import AssessmentReport, AssessmentRollbackReport
    from edulearn_migrate.reports.backups import (
        BackupList,
        BackupReport,
        BackupSummary,
        ClusterTime,
        PruneReport,
        RestoreReport,
        UnfinishedRestore,
        VerifyReport,
    )

__all__ = [
    "AssessmentModelMigration",
    "AssessmentReport",
    "AssessmentRollbackReport",
    "AsyncMigrator",
    "BackupCorruptError",
    "BackupError",
    "BackupList",
    "BackupNotFoundError",
    "BackupReport",
    "BackupSummary",
    "Beyond",
    "ClusterTime",
    "CollectionUndone",
    "CreatedMigration",
    "DiskFullError",
    "DroppedEntry",
    "Event",
    "IgnoredFile",
    "InterruptedRunError",
    "InvalidMigrationError",
    "LeaseLostError",
    "LockHeldError",
    "LockOwner",
    "MarkReport",
    "MigrateError",
    "MigrationManager",
    "MigrationRun",
    "MigrationState",
    "Migrator",
    "OperationFailedError",
    "OperationRun",
    "OtherDatabaseError",
    "OutOfOrderError",
    "PruneReport",
    "PurgeReport",
    "RestoreReport",
    "Retained",
    "RetainedRun",
    "RunReport",
    "ScriptChangedError",
    "ServerUnavailableError",
    "SettingsError",
    "SnapshotLostError",
    "StatusReport",
    "StopToken",
    "Undone",
    "UndropReport",
    "UnfinishedRestore",
    "UnknownMigrationError",
    "UnlockReport",
    "VerifyReport",
    "WrongStateError",
    "__version__",
    "describe_target",
    "redact",
]

_ELSEWHERE = {
    "AssessmentModelMigration": "assessment",
    "AssessmentReport": "reports.assessment",
    "AssessmentRollbackReport": "reports.assessment",
    "AsyncMigrator": "aio",
    "BackupList": "reports.backups",
    "BackupReport": "reports.backups",
    "BackupSummary": "reports.backups",
    "Beyond": "reports",
    "ClusterTime": "reports.backups",
    "CollectionUndone": "reports",
    "CreatedMigration": "reports",
    "DroppedEntry": "reports",
    "Event": "events",
    "IgnoredFile": "reports",
    "LockOwner": "reports",
    "MarkReport": "reports",
    "MigrationManager": "manager",
    "MigrationRun": "reports",
    "MigrationState": "reports",
    "Migrator": "migrator",
    "OperationRun": "reports",
    "PruneReport": "reports.backups",
    "PurgeReport": "reports",
    "RestoreReport": "reports.backups",
    "Retained": "reports",
    "RetainedRun": "reports",
    "RunReport": "reports",
    "StatusReport": "reports",
    "Undone": "reports",
    "UndropReport": "reports",
    "UnfinishedRestore": "reports.backups",
    "UnlockReport": "reports",
    "VerifyReport": "reports.backups",
}


def __getattr__(name: str) -> object:
    """Load a public name at its first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"{__name__}.{_ELSEWHERE.get(name, '_native')}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
