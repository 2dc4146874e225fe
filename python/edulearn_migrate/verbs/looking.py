"""The verbs that look before anything is done."""

from __future__ import annotations

from functools import partial

from edulearn_migrate import _native
from edulearn_migrate.events import Progress
from edulearn_migrate.pending import InThread
from edulearn_migrate.reports.preview import CheckReport, PlanReport
from edulearn_migrate.reports.rehearsal import RehearsalReport
from edulearn_migrate.verbs.base import Stop, Verbs


class Looking(Verbs):
    """Looking before doing. Needs read rights only; writes nothing to the database."""

    def plan(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> PlanReport:
        """Report what `apply` with the same arguments would do to the data as it is now.

        It takes no lock and writes nothing. What an operation would fail at is in the report.

        Raises:
            ScriptChangedError: `apply` would be refused as a whole. So do the other errors that
                `apply` raises before it begins.
        """
        call = partial(
            self._preview.apply,
            id,
            rolled_back=rolled_back,
            strict_order=strict_order,
            capture=capture,
        )
        return self._do(PlanReport.from_dict, call, progress, stop)

    def plan_rollback(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        exact: bool = False,
        capture: bool = True,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> PlanReport:
        """Report what `rollback` with the same arguments would do to the data as it is now."""
        call = partial(
            self._preview.rollback, id, from_file=from_file, exact=exact, capture=capture
        )
        return self._do(PlanReport.from_dict, call, progress, stop)

    def check(
        self,
        *,
        allow_rolled_back: bool = False,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> CheckReport:
        """Report whether anything is pending, changed, failed, unfinished, rolled back or held.

        `allow_rolled_back` leaves out the migrations that are rolled back.
        """
        call = partial(self._preview.check, allow_rolled_back=allow_rolled_back)
        return self._do(CheckReport.from_dict, call, progress, stop)

    def rehearse(
        self,
        id: str | None = None,
        *,
        backup: str | None = None,
        live: bool = False,
        any_version: bool = False,
        strict_order: bool = False,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> RehearsalReport:
        """Apply and roll back what is pending, or one migration, on a private server, and compare.

        Args:
            id: the id, file stem or name of one pending migration.
            backup: the name of the backup to fill the server from. The default is the newest full
                one.
            live: fill it from the live database, which is only read.
            any_version: allow a private server whose major version differs from the data's.
            strict_order: fail if the fields of a document come back in another order.

        Returns:
            The report. Its `passed` says whether everything came back, by the down scripts and
            exactly. No server is left running.

        Raises:
            BackupNotFoundError: there is no such backup.
            LocalServerError: there is no mongod to run.
            WrongStateError: the migration is not pending, or the major versions differ.
        """
        from edulearn_migrate.rehearsal import rehearse

        if live and backup is not None:
            raise _native.SettingsError("A rehearsal is on a backup or on the live database.")
        call = partial(
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
        return self._do(RehearsalReport.from_dict, call, progress, stop)
