"""`AssessmentModelMigration`: the old class of the assessment unification, over `AsyncMigrator`."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from edulearn_migrate.aio import AsyncMigrator
from edulearn_migrate.reports.assessment import AssessmentReport, AssessmentRollbackReport


class AssessmentModelMigration:
    """Brings regular and teacher assessments into one model.

    Drop-in for the old tool's class: same constructor, methods and results, whose dictionaries have
    more keys now. Methods are coroutines, whatever kind of database was passed. What stops one
    raises a `MigrateError`; documents that cannot be mapped count as `errors`.
    """

    db: Any
    """What was passed: the database object, or the connection string."""
    assessments_collection: Any
    """`db["assessments"]`; None where a connection string was passed."""
    teacher_assessments_collection: Any
    """`db["teacher_assessments"]`; None where a connection string was passed."""
    migration_log: list[str]
    """What the methods did so far, a line each."""

    def __init__(
        self,
        db: Any,
        name: str | None = None,
        *,
        backup_dir: str | os.PathLike[str] = "backups",
        ledger: str = "migrations",
    ) -> None:
        """`db` is a database of PyMongo or Motor, or a connection string with a database `name`.

        The backup of the two collections goes into `backup_dir`. Raises `SettingsError` where the
        database cannot be reached in the same way as by what was passed.
        """
        self._migrator = AsyncMigrator(db, name, backup_dir=backup_dir, ledger=ledger)
        self.db = db
        named = isinstance(db, str)
        self.assessments_collection = None if named else db["assessments"]
        self.teacher_assessments_collection = None if named else db["teacher_assessments"]
        self.migration_log = []

    async def migrate_to_unified_model(self) -> dict[str, Any]:
        """Back up, migrate, create the indexes and validate."""
        report = await self._migrator.assessment_migrate()
        self.migration_log += _migrated(report)
        backup, validation = report.backup, report.validation
        sides = (report.regular, report.teacher)
        return {
            "backup": {
                "regular_count": sides[0].migrated + sides[0].already + sides[0].unmapped,
                "teacher_count": sides[1].migrated + sides[1].already + sides[1].unmapped,
                "backup_id": None if backup is None else backup.name,
                "path": None if backup is None else backup.path,
            },
            "regular_assessments": _side(report, 0),
            "teacher_assessments": _side(report, 1),
            "indexes": {
                "indexes_created": list(report.indexes.created),
                "indexes_standing": list(report.indexes.standing),
            },
            "validation": {
                "total_assessments": validation.total,
                "unified_assessments": validation.unified,
                "missing_fields": validation.missing_fields,
                "is_valid": validation.valid,
                "unmapped": validation.unmapped,
                "problems": list(validation.problems),
            },
            "migration_log": list(self.migration_log),
        }

    async def rollback_migration(self) -> dict[str, Any]:
        """Undo the migration without losing what was edited since."""
        report = await self._migrator.assessment_rollback()
        self.migration_log += _rolled_back(report)
        regular, teacher = report.regular, report.teacher
        return {
            "restore": {
                "restored_regular": regular.restored + regular.restored_with_edits,
                "restored_teacher": teacher.restored + teacher.restored_with_edits,
                "backup_timestamp": _naive(report.migrated_at),
                "conflicts": regular.conflicts + teacher.conflicts,
                "gone": regular.gone + teacher.gone,
                "kept_newer": report.kept_newer,
                "carried_back": report.carried_back,
                "from_old_backup": report.from_old_backup,
                "unknown": list(report.unknown),
            },
            "indexes": {"dropped_indexes": list(report.indexes_dropped)},
            "rollback_log": list(self.migration_log),
        }


def _naive(moment: datetime | None) -> datetime | None:
    """As the old tool had it from PyMongo: in UTC, without saying so."""
    return None if moment is None else moment.astimezone(timezone.utc).replace(tzinfo=None)


def _side(report: AssessmentReport, which: int) -> dict[str, int]:
    side = (report.regular, report.teacher)[which]
    return {"migrated": side.migrated, "errors": side.unmapped, "already": side.already}


def _migrated(report: AssessmentReport) -> list[str]:
    regular, teacher, validation = report.regular, report.teacher, report.validation
    backup = report.backup
    return [
        "No backup: nothing was to migrate"
        if backup is None
        else f"Backup created: {backup.name}, {backup.documents} documents",
        f"Migrated {regular.migrated} regular assessments, {regular.unmapped} errors",
        f"Migrated {teacher.migrated} teacher assessments, {teacher.unmapped} errors",
        f"Created {len(report.indexes.created)} indexes",
        f"Validation: {validation.total} total, {validation.unified} unified, "
        f"{validation.missing_fields} missing fields",
    ]


def _rolled_back(report: AssessmentRollbackReport) -> list[str]:
    if report.nothing_to_roll_back:
        return ["Nothing to roll back"]
    return [
        "Restored from the old tool's backup"
        if report.from_old_backup
        else "Restored from what was captured",
        f"Dropped {len(report.indexes_dropped)} indexes",
    ]
