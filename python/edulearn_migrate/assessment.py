"""`AssessmentModelMigration`: the old class of the assessment unification."""

from __future__ import annotations

from typing import Any, NoReturn

from edulearn_migrate._native import MigrateError
from edulearn_migrate.connection import target


class AssessmentModelMigration:
    """Brings regular and teacher assessments into one model. Not available in this version."""

    def __init__(self, db: Any, name: str | None = None) -> None:
        """`db` is a database of PyMongo or Motor, or a connection string with a database `name`.

        Raises `SettingsError` where it is neither, or cannot be reached in the same way.
        """
        target(db, name)
        self.db = db

    async def migrate_to_unified_model(self) -> NoReturn:
        """Raises `MigrateError`: this version cannot do it yet. Nothing is read or changed."""
        raise _not_yet("migrate the assessment model")

    async def rollback_migration(self) -> NoReturn:
        """Raises `MigrateError`: this version cannot do it yet. Nothing is read or changed."""
        raise _not_yet("roll back the assessment model")


def _not_yet(what: str) -> MigrateError:
    return MigrateError(f"This version of edulearn_migrate cannot {what} yet; nothing was changed.")
