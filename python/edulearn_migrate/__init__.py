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
        CheckFailedError,
        DiskFullError,
        ForeignLedgerError,
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
    from edulearn_migrate.errors import PendingMigrationsError
    from edulearn_migrate.events import Event, Progress
    from edulearn_migrate.linting import Finding, LintReport, lint
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
    from edulearn_migrate.reports.comparison import (
        CollectionDifference,
        Comparison,
        DocumentDifferences,
        FieldDifference,
        FieldExample,
        IndexDifference,
        OptionDifference,
    )
    from edulearn_migrate.reports.preview import (
        CheckFinding,
        CheckReport,
        CheckResult,
        Dependency,
        Duplicates,
        MigrationPlan,
        OperationPlan,
        PlanReport,
        Problem,
        Rejected,
        SetsAside,
    )
    from edulearn_migrate.reports.rehearsal import RehearsalReport, RoundTrip, StepFailure

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
    "CheckFailedError",
    "CheckFinding",
    "CheckReport",
    "CheckResult",
    "ClusterTime",
    "CollectionDifference",
    "CollectionUndone",
    "Comparison",
    "CreatedMigration",
    "Dependency",
    "DiskFullError",
    "DocumentDifferences",
    "DroppedEntry",
    "Duplicates",
    "Event",
    "FieldDifference",
    "FieldExample",
    "Finding",
    "ForeignLedgerError",
    "IgnoredFile",
    "IndexDifference",
    "InterruptedRunError",
    "InvalidMigrationError",
    "LeaseLostError",
    "LintReport",
    "LockHeldError",
    "LockOwner",
    "MarkReport",
    "MigrateError",
    "MigrationManager",
    "MigrationPlan",
    "MigrationRun",
    "MigrationState",
    "Migrator",
    "OperationFailedError",
    "OperationPlan",
    "OperationRun",
    "OptionDifference",
    "OtherDatabaseError",
    "OutOfOrderError",
    "PendingMigrationsError",
    "PlanReport",
    "Problem",
    "Progress",
    "PruneReport",
    "PurgeReport",
    "RehearsalReport",
    "Rejected",
    "RestoreReport",
    "Retained",
    "RetainedRun",
    "RoundTrip",
    "RunReport",
    "ScriptChangedError",
    "ServerUnavailableError",
    "SetsAside",
    "SettingsError",
    "SnapshotLostError",
    "StatusReport",
    "StepFailure",
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
    "lint",
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
    "CheckFinding": "reports.preview",
    "CheckReport": "reports.preview",
    "CheckResult": "reports.preview",
    "ClusterTime": "reports.backups",
    "CollectionDifference": "reports.comparison",
    "CollectionUndone": "reports",
    "Comparison": "reports.comparison",
    "CreatedMigration": "reports",
    "Dependency": "reports.preview",
    "DocumentDifferences": "reports.comparison",
    "DroppedEntry": "reports",
    "Duplicates": "reports.preview",
    "Event": "events",
    "FieldDifference": "reports.comparison",
    "FieldExample": "reports.comparison",
    "Finding": "linting",
    "IgnoredFile": "reports",
    "IndexDifference": "reports.comparison",
    "LintReport": "linting",
    "LockOwner": "reports",
    "MarkReport": "reports",
    "MigrationManager": "manager",
    "MigrationPlan": "reports.preview",
    "MigrationRun": "reports",
    "MigrationState": "reports",
    "Migrator": "migrator",
    "OperationPlan": "reports.preview",
    "OperationRun": "reports",
    "OptionDifference": "reports.comparison",
    "PendingMigrationsError": "errors",
    "PlanReport": "reports.preview",
    "Problem": "reports.preview",
    "Progress": "events",
    "PruneReport": "reports.backups",
    "PurgeReport": "reports",
    "RehearsalReport": "reports.rehearsal",
    "Rejected": "reports.preview",
    "RestoreReport": "reports.backups",
    "Retained": "reports",
    "RetainedRun": "reports",
    "RoundTrip": "reports.rehearsal",
    "RunReport": "reports",
    "SetsAside": "reports.preview",
    "StatusReport": "reports",
    "StepFailure": "reports.rehearsal",
    "Undone": "reports",
    "UndropReport": "reports",
    "UnfinishedRestore": "reports.backups",
    "UnlockReport": "reports",
    "VerifyReport": "reports.backups",
    "lint": "linting",
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
