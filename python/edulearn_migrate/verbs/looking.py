"""The verbs that look before anything is done."""

from __future__ import annotations

from functools import partial

from edulearn_migrate import _native
from edulearn_migrate.events import Progress
from edulearn_migrate.reports.preview import CheckReport, PlanReport
from edulearn_migrate.reports.rehearsal import RehearsalReport
from edulearn_migrate.verbs.base import Stop, Verbs
from edulearn_migrate.work import InThread


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
        """What `apply` with the same arguments would do, by the data as it is now.

        Takes no lock and makes nothing, also not a collection. Raises what `apply` would be refused
        with as a whole, such as `ScriptChangedError`; what single operations would fail at is in
        the report.
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
        """What `rollback` with the same arguments would do, by the data as it is now."""
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
        """Whether anything is pending, changed, failed, unfinished, rolled back or held."""
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
        """Try out what is pending, or the one named, there and back on a private server.

        The server is filled from the newest full backup, from `backup`, or with `live` from the
        database, which is only read. `passed` of the answer says whether everything came back, by
        the down scripts and exactly. Raises `BackupNotFoundError`, `LocalServerError` without a
        mongod to run, and `WrongStateError` where the migration named is not pending or the two
        servers' major versions differ (`any_version` allows that). No server is left running.
        A document whose fields come back in another order is a failure only with `strict_order`.
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
