"""The verbs of migrations."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from edulearn_migrate.errors import require_current
from edulearn_migrate.events import Progress
from edulearn_migrate.reports.runs import RunReport
from edulearn_migrate.reports.states import MarkReport, StatusReport, UnlockReport
from edulearn_migrate.verbs.base import Stop, Verbs

MarkState = Literal["applied", "pending", "rolled_back"]


class Migrations(Verbs):
    """The verbs that show, apply and roll back migrations."""

    def status(self, *, progress: Progress | None = None, stop: Stop | None = None) -> StatusReport:
        """Report the state of every migration, and what is retained for undo. Reads only."""
        return self._do(StatusReport.from_dict, self._engine.status, progress, stop)

    def require_current(
        self, *, progress: Progress | None = None, stop: Stop | None = None
    ) -> StatusReport:
        """Raise `PendingMigrationsError` unless the database is current. Reads only.

        It is meant for start-up and health checks. It also raises if a migration is failed, half
        done or changed, or if a restore has not ended.

        Returns:
            The status, if the database is current.
        """
        return self._do(_current, self._engine.status, progress, stop)

    def records(
        self, *, progress: Progress | None = None, stop: Stop | None = None
    ) -> list[dict[str, Any]]:
        """Return the documents of the ledger as they are, ordered by `applied_at`."""
        return self._do(list, self._engine.records, progress, stop)

    def apply(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        workers: int | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> RunReport:
        """Apply every pending migration in order, or one.

        Args:
            id: the id, file stem or name of one migration. One that is applied already is no error.
            rolled_back: also apply migrations that were rolled back.
            strict_order: refuse a file that sorts before one already applied.
            capture: keep what the scripts overwrite, remove or drop. Without it, no exact rollback
                is possible.
            lock_timeout: seconds to wait for another run.

        Raises:
            OperationFailedError: an operation failed. What was done before it is in `report`.
            CheckFailedError: a check of the migration does not hold.
            InvalidMigrationError: a file cannot be read. Nothing was done.
            ScriptChangedError: a script changed since it was applied or begun.
            OutOfOrderError: `strict_order` refused a file.
            LockHeldError: another run holds the lock.
        """
        call = partial(
            self._engine.apply,
            id,
            rolled_back=rolled_back,
            strict_order=strict_order,
            capture=capture,
            workers=workers,
            lock_timeout=lock_timeout,
        )
        return self._do(RunReport.from_dict, call, progress, stop)

    def rollback(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        exact: bool = False,
        capture: bool = True,
        workers: int | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> RunReport:
        """Roll back every applied migration, the latest first, or one.

        Without `exact` it runs the down script that was recorded when the migration was applied.

        Args:
            id: the id, file stem or name of one migration. Without it, **all** are rolled back.
            from_file: run the down script that the file has now.
            exact: run no script. What was captured is written back, except what somebody has
                changed since. If a script rolled the migration back before, that rollback is
                undone first.
            capture: keep what the rollback itself takes away.
            lock_timeout: seconds to wait for another run.

        Raises:
            WrongStateError: the migration is not applied or has no down script. With `exact`: not
                all was captured, or it has been purged. Nothing was done.
            OperationFailedError: an operation failed. What was done before it is in `report`.
            LockHeldError: another run holds the lock.
        """
        call = partial(
            self._engine.rollback,
            id,
            from_file=from_file,
            exact=exact,
            capture=capture,
            workers=workers,
            lock_timeout=lock_timeout,
        )
        return self._do(RunReport.from_dict, call, progress, stop)

    def mark(
        self,
        id: str,
        state: MarkState,
        *,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> MarkReport:
        """Set the state of a migration by hand. It runs nothing, and is recorded in the history."""
        call = partial(self._engine.mark, id, state, lock_timeout=lock_timeout)
        return self._do(MarkReport.from_dict, call, progress, stop)

    def unlock(
        self,
        *,
        force: bool = False,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> UnlockReport:
        """Release the lock of a run that is gone.

        With `force`, break it even if the run may be alive.
        """
        call = partial(self._engine.unlock, force=force)
        return self._do(UnlockReport.from_dict, call, progress, stop)

    def register(
        self,
        name: str,
        up_script: str,
        down_script: str,
        description: str = "",
        *,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> str:
        """Record a migration in the database only, as pending.

        Args:
            name: the name of the migration.
            up_script: the up script as JSON text, like `up` in a migration file.
            down_script: the down script, likewise.
            description: a text for people.

        Returns:
            The id: `migration_` and the time in seconds since 1970, or the next free second.

        Raises:
            InvalidMigrationError: a script cannot be read.
        """
        call = partial(self._engine.register, name, up_script, down_script, description)
        return self._do(_id, call, progress, stop)


def _current(status: dict[str, Any]) -> StatusReport:
    return require_current(StatusReport.from_dict(status))


def _id(made: dict[str, Any]) -> str:
    return str(made["id"])
