"""`Migrator`: the verbs, synchronously, one call of the native engine each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edulearn_migrate import _native
from edulearn_migrate.backup_verbs import SyncBackups
from edulearn_migrate.connection import target
from edulearn_migrate.events import Event, observer
from edulearn_migrate.reports import (
    CreatedMigration,
    MarkReport,
    RunReport,
    StatusReport,
    UnlockReport,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    Progress = Callable[[Event], None]

MarkState = Literal["applied", "pending", "rolled_back"]


def give_types(error: _native.MigrateError) -> None:
    """Make the exception's `report` a `RunReport`, where it carries a run's."""
    report: Any = error.report
    if isinstance(report, dict) and "direction" in report:
        error.report = RunReport.from_dict(report)


class BaseMigrator:
    """What `Migrator` and `AsyncMigrator` share: the database, and the directory of migrations."""

    def __init__(
        self,
        database: object,
        name: str | None = None,
        *,
        migrations_dir: str | os.PathLike[str] | None = None,
        backup_dir: str | os.PathLike[str] = "backups",
    ) -> None:
        """Nothing is connected to yet.

        `database` is a database object of PyMongo (sync or async) or Motor, or a connection string,
        with the database's `name` where the string does not say it. Without `migrations_dir` only
        the migrations recorded in the database exist. `backup_dir` is where backups are written and
        looked for; it is made by the first. Raises `SettingsError` for an option of the
        client that cannot be honoured, a database that may not be migrated (`admin`, `local`,
        `config`), and a `migrations_dir` that is not there.
        """
        uri, self.database_name = target(database, name)
        self.migrations_dir = None if migrations_dir is None else str(migrations_dir)
        if self.migrations_dir is not None and not Path(self.migrations_dir).is_dir():
            raise _native.SettingsError(
                f"The migrations directory {self.migrations_dir} does not exist."
            )
        self._engine = _native.Engine(uri, self.database_name, migrations_dir=self.migrations_dir)
        self.backup_dir = str(backup_dir)
        self._backups = _native.Backups(self._engine, self.backup_dir)
        self.target = _native.describe_target(uri, self.database_name)
        """Hosts and database for messages, as in `localhost:27017/edulearn`; never a secret."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r}, migrations_dir={self.migrations_dir!r})"

    def create(self, name: str, description: str = "") -> CreatedMigration:
        """Write a new migration file from the template, numbered by UTC time to the second.

        Touches no database. Raises `SettingsError` without a `migrations_dir`.
        """
        if self.migrations_dir is None:
            raise _native.SettingsError("A new migration file needs migrations_dir=.")
        made = _native.create_migration(self.migrations_dir, name, description)
        return CreatedMigration.from_dict(made)


class Migrator(SyncBackups, BaseMigrator):
    """Migrations of one database, synchronously.

    Every verb releases the GIL, ends at a safe point on Ctrl-C or when `stop` is set from another
    thread, and raises a `MigrateError`. `progress` gets every event, possibly on another thread;
    what it raises is reported and ignored. `lock_timeout` is in seconds: how long to wait for
    another run before `LockHeldError`.
    """

    def status(
        self, *, progress: Progress | None = None, stop: _native.StopToken | None = None
    ) -> StatusReport:
        """Where every migration stands. Reads only."""
        return StatusReport.from_dict(self._engine.status(observer=observer(progress), stop=stop))

    def records(
        self, *, progress: Progress | None = None, stop: _native.StopToken | None = None
    ) -> list[dict[str, Any]]:
        """The documents of the `migrations` collection as they are, by `applied_at`."""
        return self._engine.records(observer=observer(progress), stop=stop)

    def apply(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> RunReport:
        """Apply every pending migration in order, or the one named by id, file stem or name.

        `rolled_back` applies rolled-back ones too; `strict_order` refuses a file that sorts before
        one already applied (`OutOfOrderError`).
        """
        try:
            report = self._engine.apply(
                id,
                rolled_back=rolled_back,
                strict_order=strict_order,
                lock_timeout=lock_timeout,
                observer=observer(progress),
                stop=stop,
            )
        except _native.MigrateError as error:
            give_types(error)
            raise
        return RunReport.from_dict(report)

    def rollback(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> RunReport:
        """Roll back every applied migration in reverse order of application, or the one named.

        Runs the down script as it was recorded when the migration was applied; `from_file` the one
        its file has now.
        """
        try:
            report = self._engine.rollback(
                id,
                from_file=from_file,
                lock_timeout=lock_timeout,
                observer=observer(progress),
                stop=stop,
            )
        except _native.MigrateError as error:
            give_types(error)
            raise
        return RunReport.from_dict(report)

    def mark(
        self,
        id: str,
        state: MarkState,
        *,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> MarkReport:
        """Set a migration's state by hand, running nothing. Recorded in the history."""
        report = self._engine.mark(
            id, state, lock_timeout=lock_timeout, observer=observer(progress), stop=stop
        )
        return MarkReport.from_dict(report)

    def unlock(
        self,
        *,
        force: bool = False,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> UnlockReport:
        """Release the lock of a run that is gone; with `force` of one that may still be alive."""
        report = self._engine.unlock(force=force, observer=observer(progress), stop=stop)
        return UnlockReport.from_dict(report)

    def register(
        self,
        name: str,
        up_script: str,
        down_script: str,
        description: str = "",
        *,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> str:
        """Record a migration in the database only, pending; returns its id.

        The scripts are JSON text, as the `up` and `down` of a migration file. The id is
        `migration_<unix seconds>`, the next free second.
        """
        made = self._engine.register(
            name,
            up_script,
            down_script,
            description,
            observer=observer(progress),
            stop=stop,
        )
        return str(made["id"])
