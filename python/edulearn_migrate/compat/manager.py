"""`MigrationManager`: the class the old tool had, over `AsyncMigrator`."""

from __future__ import annotations

import os
from collections.abc import Awaitable
from datetime import datetime, timedelta, timezone
from typing import Any

from edulearn_migrate._native import (
    InvalidMigrationError,
    MigrateError,
    OperationFailedError,
    OutOfOrderError,
    ScriptChangedError,
    UnknownMigrationError,
    WrongStateError,
)
from edulearn_migrate.aio import AsyncMigrator
from edulearn_migrate.events import logger
from edulearn_migrate.reports import RunReport

# What the old methods answered with False or a shorter list. Anything else (no connection, a lock
# held by another run, settings that cannot be honoured) raises: there the answer is not known.
_FAILURES = (
    InvalidMigrationError,
    OperationFailedError,
    OutOfOrderError,
    ScriptChangedError,
    UnknownMigrationError,
    WrongStateError,
)

_EPOCH = datetime.fromtimestamp(0, timezone.utc)


class MigrationManager:
    """Drop-in for the old tool's class: same methods, arguments, attributes and results.

    Sees the database's records only, unless given `migrations_dir`. Methods are coroutines,
    whatever kind of database was passed, and work without `initialize()`. Where a method answers
    False or with a shorter list, the reason is logged to `edulearn_migrate` and kept in
    `last_error`.
    """

    db: Any
    """What was passed: the database object, or the connection string."""
    migrations_collection: Any
    """`db["migrations"]`, or that of `ledger`; None where a connection string was passed."""
    migration_history: list[dict[str, Any]]
    """The records by `applied_at`, as of the last `initialize()`."""
    last_error: MigrateError | None
    """Why the last call of a method answered False or stopped early; None where it did not."""

    def __init__(
        self,
        db: Any,
        name: str | None = None,
        *,
        migrations_dir: str | os.PathLike[str] | None = None,
        ledger: str = "migrations",
    ) -> None:
        """Connects to nothing yet. Takes what `Migrator` takes; raises `SettingsError` alike."""
        self._migrator = AsyncMigrator(db, name, migrations_dir=migrations_dir, ledger=ledger)
        self.db = db
        self.migrations_collection = None if isinstance(db, str) else db[ledger]
        self.migration_history = []
        self.last_error = None

    async def initialize(self) -> None:
        """Load `migration_history`.

        The old tool also created the `migrations` collection; this one creates nothing unasked, and
        the first migration that is recorded makes it.
        """
        self.migration_history = await self._records()

    async def create_migration(
        self, name: str, up_script: str, down_script: str, description: str = ""
    ) -> str:
        """Record a pending migration and return its id, `migration_<unix seconds>`."""
        return await self._migrator.register(name, up_script, down_script, description)

    async def apply_migration(self, migration_id: str) -> bool:
        """Apply one migration: True also where it was applied already, False where it failed."""
        return await self._attempt(self._migrator.apply(migration_id)) is not None

    async def rollback_migration(self, migration_id: str) -> bool:
        """Roll back one migration: False where it was not applied or failed."""
        return await self._attempt(self._migrator.rollback(migration_id)) is not None

    async def apply_all_pending(self) -> list[str]:
        """Apply the pending migrations in order; the ids of those applied before any failure."""
        return _ids(await self._attempt(self._migrator.apply()), self.last_error, "applied")

    async def rollback_all(self) -> list[str]:
        """Roll back the applied migrations, last first; the ids done before any failure."""
        return _ids(await self._attempt(self._migrator.rollback()), self.last_error, "rolled_back")

    async def get_migration_status(self) -> dict[str, Any]:
        """Counts (`total`, `applied`, `pending`, `rolled_back`) and the records by `applied_at`.

        States the old tool did not know count in the total. Dates are naive and in UTC, as PyMongo
        gives them. With `migrations_dir`, a file without a record appears as a pending migration.
        """
        records = await self._records()
        if self._migrator.migrations_dir is not None:
            recorded = {record["_id"] for record in records}
            status = await self._migrator.status()
            records = [
                {
                    "_id": each.id,
                    "name": each.name,
                    "description": each.description,
                    "created_at": None,
                    "applied_at": None,
                    "rolled_back_at": None,
                    "status": each.status,
                }
                for each in status.migrations
                if each.id not in recorded
            ] + records
        states = [record.get("status") for record in records]
        return {
            "total": len(records),
            "applied": states.count("applied"),
            "pending": states.count("pending"),
            "rolled_back": states.count("rolled_back"),
            "migrations": records,
        }

    async def _records(self) -> list[dict[str, Any]]:
        return [
            {key: _naive(value) for key, value in record.items()}
            for record in await self._migrator.records()
        ]

    async def _attempt(self, run: Awaitable[RunReport]) -> RunReport | None:
        """The run's report, or None after a failure, which is logged and kept."""
        self.last_error = None
        try:
            return await run
        except _FAILURES as error:
            self.last_error = error
            logger.error("%s", error)
            return None


def _ids(report: RunReport | None, error: MigrateError | None, outcome: Any) -> list[str]:
    """The migrations with this outcome, from the run's report or from its failure's."""
    found = report or getattr(error, "report", None)
    return found.ids(outcome) if isinstance(found, RunReport) else []


def _naive(value: Any) -> Any:
    """A date as PyMongo gives it by default, also from the Extended JSON used without PyMongo."""
    if isinstance(value, dict) and value.keys() == {"$date"}:
        value = _from_extended_json(value["$date"])
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(timezone.utc).replace(tzinfo=None)
    return value


def _from_extended_json(date: Any) -> Any:
    if isinstance(date, dict):
        date = int(date["$numberLong"])
    if isinstance(date, int):
        return _EPOCH + timedelta(milliseconds=date)
    seconds, _, fraction = str(date).removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{seconds}.{fraction.ljust(6, '0')[:6]}")
