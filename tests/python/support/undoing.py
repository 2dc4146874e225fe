"""What the tests of exact rollbacks share."""

from __future__ import annotations

from typing import Any

from edulearn_migrate import MigrationRun, Migrator
from harness import Documents
from random_migrations import differences, snapshot


def undo(migrator: Migrator, migration: str = "migration_001") -> MigrationRun:
    """The exact rollback."""
    return migrator.rollback(migration, exact=True).migrations[0]


def counts(run: MigrationRun) -> tuple[int, int, int, int]:
    """Restored, restored with edits, gone, conflicts; of all collections."""
    return (
        sum(each.restored for each in run.undone),
        sum(each.restored_with_edits for each in run.undone),
        sum(each.gone for each in run.undone),
        sum(each.conflicts for each in run.undone),
    )


def check_same(before: Any, db: Documents) -> None:
    __tracebackhide__ = True
    after = snapshot(db)
    assert before == after, "\n".join(differences(before, after))
