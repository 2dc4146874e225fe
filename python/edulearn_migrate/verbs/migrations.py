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
    """Migrations: where they stand, applying them, rolling them back."""

    def status(self, *, progress: Progress | None = None, stop: Stop | None = None) -> StatusReport:
        """Where every migration stands, and what is retained for undo. Reads only."""
        return self._do(StatusReport.from_dict, self._engine.status, progress, stop)

    def require_current(
        self, *, progress: Progress | None = None, stop: Stop | None = None
    ) -> StatusReport:
        """For start-up and health checks: raise `PendingMigrationsError` unless all is applied.

        Reads only. A failed, half done or changed migration raises too, and a restore that has not
        ended. Returns the status otherwise.
        """
        return self._do(_current, self._engine.status, progress, stop)

    def records(
        self, *, progress: Progress | None = None, stop: Stop | None = None
    ) -> list[dict[str, Any]]:
        """The documents of the ledger as they are, by `applied_at`."""
        return self._do(list, self._engine.records, progress, stop)

    def apply(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> RunReport:
        """Apply every pending migration in order, or the one named by id, file stem or name.

        `rolled_back` applies rolled-back ones too; `strict_order` refuses a file that sorts before
        one already applied (`OutOfOrderError`). Without `capture` nothing is kept of what the
        scripts overwrite, remove or drop, and no exact rollback is possible.
        """
        call = partial(
            self._engine.apply,
            id,
            rolled_back=rolled_back,
            strict_order=strict_order,
            capture=capture,
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
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> RunReport:
        """Roll back every applied migration in reverse order of application, or the one named.

        Runs the down script as it was recorded when the migration was applied; `from_file` the one
        its file has now. `exact` runs none: what was captured goes back, except what somebody
        changed since; a migration that a script rolled back is taken as well, its rollback undone
        first. Raises `WrongStateError`, having done nothing, where not all was captured or it has
        been purged. Without `capture` nothing is kept of what the rollback itself takes away.
        """
        call = partial(
            self._engine.rollback,
            id,
            from_file=from_file,
            exact=exact,
            capture=capture,
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
        """Set a migration's state by hand, running nothing. Recorded in the history."""
        call = partial(self._engine.mark, id, state, lock_timeout=lock_timeout)
        return self._do(MarkReport.from_dict, call, progress, stop)

    def unlock(
        self,
        *,
        force: bool = False,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> UnlockReport:
        """Release the lock of a run that is gone; with `force` of one that may still be alive."""
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
        """Record a migration in the database only, pending; returns its id.

        The scripts are JSON text, as the `up` and `down` of a migration file. The id is
        `migration_<unix seconds>`, the next free second.
        """
        call = partial(self._engine.register, name, up_script, down_script, description)
        return self._do(_id, call, progress, stop)


def _current(status: dict[str, Any]) -> StatusReport:
    return require_current(StatusReport.from_dict(status))


def _id(made: dict[str, Any]) -> str:
    return str(made["id"])
