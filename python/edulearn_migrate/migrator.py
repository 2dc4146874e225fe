"""`Migrator`: the verbs, synchronously, one call of the native engine each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from edulearn_migrate import _native
from edulearn_migrate.assessment_verbs import SyncAssessments
from edulearn_migrate.backup_verbs import SyncBackups
from edulearn_migrate.connection import target
from edulearn_migrate.errors import require_current
from edulearn_migrate.events import Progress, observer
from edulearn_migrate.linting import LintReport, lint
from edulearn_migrate.preview_verbs import SyncPreview
from edulearn_migrate.reports import (
    CreatedMigration,
    DroppedEntry,
    MarkReport,
    PurgeReport,
    RunReport,
    StatusReport,
    UndropReport,
    UnlockReport,
)
from edulearn_migrate.reports.assessment import AssessmentReport, AssessmentRollbackReport
from edulearn_migrate.reports.rehearsal import RehearsalReport
from edulearn_migrate.work import InThread, Work

MarkState = Literal["applied", "pending", "rolled_back"]

_Answer = TypeVar("_Answer")


def give_types(error: _native.MigrateError) -> None:
    """Make the exception's `report` a typed one, where it carries a verb's dict."""
    report: Any = error.report
    if isinstance(report, dict):
        if "direction" in report:
            error.report = RunReport.from_dict(report)
        elif "purged" in report:
            error.report = PurgeReport.from_dict(report)
        elif "validation" in report:
            error.report = AssessmentReport.from_dict(report)
        elif "nothing_to_roll_back" in report:
            error.report = AssessmentRollbackReport.from_dict(report)


def elsewhere(kind: str, misplaced: Mapping[str, object]) -> str:
    """Where an argument belongs that a constructor was given."""
    name = next(iter(misplaced))
    if name not in ("progress", "stop", "lock_timeout"):
        return f"{kind}() got an unexpected keyword argument {name!r}"
    return f"{kind}() takes no {name}=: it belongs to a verb, as in migrator.apply({name}=...)."


def in_seconds(age: timedelta | None) -> float | None:
    """As the engine takes it."""
    return None if age is None else age.total_seconds()


def entries(dropped: list[dict[str, Any]]) -> list[DroppedEntry]:
    """The typed form of what `dropped` lists."""
    return [DroppedEntry.from_dict(each) for each in dropped]


class BaseMigrator:
    """What `Migrator` and `AsyncMigrator` share: the database, and the directory of migrations."""

    def __init__(
        self,
        database: object,
        name: str | None = None,
        *,
        migrations_dir: str | os.PathLike[str] | None = None,
        backup_dir: str | os.PathLike[str] = "backups",
        ledger: str = "migrations",
        **misplaced: NoReturn,
    ) -> None:
        """Nothing is connected to yet.

        `database` is a database object of PyMongo (sync or async) or Motor, or a connection string,
        with the database's `name` where the string does not say it. Without `migrations_dir` only
        the migrations recorded in the database exist. `backup_dir` is where backups are written and
        looked for; it is made by the first. `ledger` names the collection of records and begins
        the name of every other collection of ours. Raises `SettingsError` for an option of the
        client that cannot be honoured, a database that may not be migrated (`admin`, `local`,
        `config`), and a `migrations_dir` that is not there.
        """
        if misplaced:
            raise TypeError(elsewhere(type(self).__name__, misplaced))
        uri, self.database_name = target(database, name)
        self.migrations_dir = None if migrations_dir is None else str(migrations_dir)
        if self.migrations_dir is not None and not Path(self.migrations_dir).is_dir():
            raise _native.SettingsError(
                f"The migrations directory {self.migrations_dir} does not exist."
            )
        self.ledger = ledger
        self._engine = _native.Engine(
            uri, self.database_name, migrations_dir=self.migrations_dir, ledger=ledger
        )
        self.backup_dir = str(backup_dir)
        self._backups = _native.Backups(self._engine, self.backup_dir)
        self._preview = _native.Preview(self._engine)
        self._assessments = _native.Assessments(self._engine, self.backup_dir)
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

    def lint(self, paths: Iterable[str | os.PathLike[str]] | None = None) -> LintReport:
        """What is wrong or risky in these files, or in all of the `migrations_dir`.

        Touches no database. Raises `SettingsError` without a `migrations_dir` and `paths`, and for
        a path where nothing is.
        """
        if paths is None and self.migrations_dir is None:
            raise _native.SettingsError(
                "There is nothing to look at: pass paths, or migrations_dir=."
            )
        return lint(paths, migrations_dir=self.migrations_dir or "")

    def _rehearsal(
        self,
        id: str | None,
        *,
        backup: str | None,
        live: bool,
        any_version: bool,
        strict_order: bool,
    ) -> Callable[..., Work[dict[str, Any]]]:
        """A verb like those of the engine, to be called with `observer` and `stop`."""
        from functools import partial

        from edulearn_migrate.rehearsal import rehearse

        if live and backup is not None:
            raise _native.SettingsError("A rehearsal is on a backup or on the live database.")
        return partial(
            InThread,
            rehearse,
            self.database_name,
            self.migrations_dir,
            self.backup_dir,
            id=id,
            backup=backup,
            live=self._engine if live else None,
            any_version=any_version,
            ledger=self.ledger,
            strict_order=strict_order,
        )


class Migrator(SyncBackups, SyncPreview, SyncAssessments, BaseMigrator):
    """Migrations of one database, synchronously.

    Every verb releases the GIL, ends at a safe point on Ctrl-C or when `stop` is set from another
    thread, and raises a `MigrateError`. `progress` gets every event, possibly on another thread;
    what it raises is reported and ignored. `lock_timeout` is in seconds: how long to wait for
    another run before `LockHeldError`.
    """

    def status(
        self, *, progress: Progress | None = None, stop: _native.StopToken | None = None
    ) -> StatusReport:
        """Where every migration stands, and what is retained for undo. Reads only."""
        return StatusReport.from_dict(self._run(self._engine.status, progress, stop))

    def require_current(self) -> StatusReport:
        """For start-up and health checks: raise `PendingMigrationsError` unless all is applied.

        Reads only. A failed, half done or changed migration raises too, and a restore that has not
        ended. Returns the status otherwise.
        """
        return require_current(self.status())

    def records(
        self, *, progress: Progress | None = None, stop: _native.StopToken | None = None
    ) -> list[dict[str, Any]]:
        """The documents of the ledger as they are, by `applied_at`."""
        return self._run(self._engine.records, progress, stop)

    def apply(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> RunReport:
        """Apply every pending migration in order, or the one named by id, file stem or name.

        `rolled_back` applies rolled-back ones too; `strict_order` refuses a file that sorts before
        one already applied (`OutOfOrderError`). Without `capture` nothing is kept of what the
        scripts overwrite, remove or drop, and no exact rollback is possible.
        """
        report = self._run(
            self._engine.apply,
            progress,
            stop,
            id,
            rolled_back=rolled_back,
            strict_order=strict_order,
            capture=capture,
            lock_timeout=lock_timeout,
        )
        return RunReport.from_dict(report)

    def rollback(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        exact: bool = False,
        capture: bool = True,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> RunReport:
        """Roll back every applied migration in reverse order of application, or the one named.

        Runs the down script as it was recorded when the migration was applied; `from_file` the one
        its file has now. `exact` runs none: what was captured goes back, except what somebody
        changed since; a migration that a script rolled back is taken as well, its rollback undone
        first. Raises `WrongStateError`, having done nothing, where not all was captured or it has
        been purged. Without `capture` nothing is kept of what the rollback itself takes away.
        """
        report = self._run(
            self._engine.rollback,
            progress,
            stop,
            id,
            from_file=from_file,
            exact=exact,
            capture=capture,
            lock_timeout=lock_timeout,
        )
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
        report = self._run(self._engine.mark, progress, stop, id, state, lock_timeout=lock_timeout)
        return MarkReport.from_dict(report)

    def purge(
        self,
        id: str | None = None,
        *,
        older_than: timedelta | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> PurgeReport:
        """Free what was captured: all of it, or of one migration, or what is `older_than` this.

        Age is judged by the server's clock. What a half applied or half rolled back migration may
        need is kept. Of what is freed there is no exact rollback and no `undrop` any more.
        """
        report = self._run(
            self._engine.purge,
            progress,
            stop,
            id,
            older_than=in_seconds(older_than),
            lock_timeout=lock_timeout,
        )
        return PurgeReport.from_dict(report)

    def dropped(
        self, *, progress: Progress | None = None, stop: _native.StopToken | None = None
    ) -> list[DroppedEntry]:
        """What `undrop` can bring back, the oldest run's first. Reads only."""
        return entries(self._run(self._engine.dropped, progress, stop))

    def undrop(
        self,
        name: str,
        *,
        to: str | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> UndropReport:
        """Bring back what `dropped` lists as `name`, under its old collection's name or as `to`.

        Overwrites nothing: a collection or view of that name raises `WrongStateError`, and a
        document whose `_id` is taken is passed over. Raises `UnknownMigrationError` where nothing
        is set aside under `name`.
        """
        report = self._run(
            self._engine.undrop, progress, stop, name, to=to, lock_timeout=lock_timeout
        )
        return UndropReport.from_dict(report)

    def unlock(
        self,
        *,
        force: bool = False,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> UnlockReport:
        """Release the lock of a run that is gone; with `force` of one that may still be alive."""
        report = self._run(self._engine.unlock, progress, stop, force=force)
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
        made = self._run(
            self._engine.register, progress, stop, name, up_script, down_script, description
        )
        return str(made["id"])

    def rehearse(
        self,
        id: str | None = None,
        *,
        backup: str | None = None,
        live: bool = False,
        any_version: bool = False,
        strict_order: bool = False,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> RehearsalReport:
        """Try out what is pending, or the one named, there and back on a private server.

        The server is filled from the newest full backup, from `backup`, or with `live` from the
        database, which is only read. `passed` of the answer says whether everything came back, by
        the down scripts and exactly. Raises `BackupNotFoundError`, `LocalServerError` without a
        mongod to run, and `WrongStateError` where the migration named is not pending or the two
        servers' major versions differ (`any_version` allows that). No server is left running.
        A document whose fields come back in another order is a failure only with `strict_order`.
        """
        verb = self._rehearsal(
            id, backup=backup, live=live, any_version=any_version, strict_order=strict_order
        )
        return RehearsalReport.from_dict(self._run(verb, progress, stop))

    def _run(
        self,
        verb: Callable[..., Work[_Answer]],
        progress: Progress | None,
        stop: _native.StopToken | None,
        *args: object,
        **options: object,
    ) -> _Answer:
        try:
            return verb(*args, **options, observer=observer(progress), stop=stop).run()
        except _native.MigrateError as error:
            give_types(error)
            raise
