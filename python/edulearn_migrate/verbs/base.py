"""What every verb needs: the database, and a way to carry out a call of the engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from edulearn_migrate import _native
from edulearn_migrate.connection.target import target
from edulearn_migrate.events import Progress
from edulearn_migrate.linting import LintReport, lint
from edulearn_migrate.pending import PendingCall
from edulearn_migrate.reports.base import Report
from edulearn_migrate.reports.states import CreatedMigration

Answer = TypeVar("Answer")

Stop = _native.StopToken
"""What `stop=` takes."""


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
        """Check the arguments. The first verb connects.

        Args:
            database: a database object of PyMongo (sync or async) or Motor, or a connection string.
            name: the name of the database, if `database` is a string that does not name it.
            migrations_dir: the directory of migration files. Without it, only the migrations that
                are recorded in the database exist.
            backup_dir: the directory of backups. The first backup makes it.
            ledger: the name of the collection of records. The names of all other collections of
                this package begin with it.

        Raises:
            SettingsError: an option of the client cannot be honoured, the database may not be
                migrated (`admin`, `local`, `config`), or `migrations_dir` does not exist.
        """
        if misplaced:
            raise TypeError(_elsewhere(type(self).__name__, misplaced))
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
        """Write a new migration file from the template, numbered by the UTC time to the second.

        It uses no database.

        Raises:
            SettingsError: there is no `migrations_dir`.
        """
        if self.migrations_dir is None:
            raise _native.SettingsError("A new migration file needs migrations_dir=.")
        made = _native.create_migration(self.migrations_dir, name, description)
        return CreatedMigration.from_dict(made)

    def lint(self, paths: Iterable[str | os.PathLike[str]] | None = None) -> LintReport:
        """Find what is wrong or risky in these files, or in all files of `migrations_dir`.

        It uses no database.

        Raises:
            SettingsError: there are neither `paths` nor a `migrations_dir`, or a path does not
                exist.
        """
        if paths is None and self.migrations_dir is None:
            raise _native.SettingsError(
                "There is nothing to look at: pass paths, or migrations_dir=."
            )
        return lint(paths, migrations_dir=self.migrations_dir or "")


class Verbs(BaseMigrator):
    """A class whose methods are verbs."""

    def _do(
        self,
        read: Callable[[Any], Answer],
        call: Callable[..., PendingCall[Any]],
        progress: Progress | None,
        stop: Stop | None,
    ) -> Answer:
        """Carry out a call of the engine; `read` makes the verb's answer of the engine's."""
        raise NotImplementedError


def give_type(error: _native.MigrateError, read: Callable[[Any], object]) -> None:
    """Make the exception's `report` a typed one, where it carries what the verb had done so far."""
    if isinstance(error.report, dict):
        report = read(error.report)
        if isinstance(report, Report):
            error.report = report


def _elsewhere(kind: str, misplaced: Mapping[str, object]) -> str:
    """Where an argument belongs that a constructor was given."""
    name = next(iter(misplaced))
    if name not in ("progress", "stop", "lock_timeout", "workers"):
        return f"{kind}() got an unexpected keyword argument {name!r}"
    return f"{kind}() takes no {name}=: it belongs to a verb, as in migrator.apply({name}=...)."
