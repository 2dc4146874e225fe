"""One migration there and back: by its down script, then exactly, compared each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edulearn_migrate import _native
from edulearn_migrate.rehearsal.snapshot import Heard

if TYPE_CHECKING:
    from collections.abc import Callable

    from edulearn_migrate.pending import PendingCall
    from edulearn_migrate.rehearsal.snapshot import Report, Snapshot

# What ends a rehearsal instead of being one of its results.
_ENDING = (
    _native.InterruptedRunError,
    _native.LeaseLostError,
    _native.LockHeldError,
    _native.ServerUnavailableError,
    _native.DiskFullError,
)


class ThereAndBack:
    """One migration on its way there and back; `before` is the database before it."""

    def __init__(
        self,
        engine: _native.Engine,
        migration: str,
        before: Snapshot,
        *,
        name: str = "",
        strict_order: bool = False,
        heard: Heard | None = None,
    ) -> None:
        """A document whose fields come back in another order counts as come back.

        Unless `strict_order`.
        """
        self._engine = engine
        self._before = before
        self._strict_order = strict_order
        self._migration = migration
        self._heard = heard or Heard()
        self._report: Report = {
            "id": migration,
            "name": name,
            "outcome": "failed",
            "documents": 0,
            "apply_seconds": None,
            "down_seconds": None,
            "exact_seconds": None,
            "down": None,
            "exact": None,
            "failures": [],
        }

    def run(self) -> Report:
        """Take it there and back, and say what did not come back.

        Afterwards the database is as it was before, by the copy where the rollback did not get
        there. The answer is the plain form of `reports.rehearsal.RoundTrip`.
        """
        self._there_and_back()
        report = self._report
        compared = [each for each in (report["down"], report["exact"]) if each is not None]
        if report["failures"]:
            report["outcome"] = "failed"
        else:
            came_back = all(each["same"] for each in compared)
            report["outcome"] = "came_back" if came_back else "lost"
        return report

    def _there_and_back(self) -> None:
        report = self._report
        run = self._step("apply", "apply_seconds", self._engine.apply)
        if run is None:
            # What was done before it failed has to be undone all the same, if anything was.
            self._undo(maybe=True)
            return
        report["documents"] = sum(map(_changed, run["operations"]))
        if self._step("down script", "down_seconds", self._engine.rollback) is not None:
            report["down"] = self._compare()
        # Where the order of fields differs, too: the exact rollback is compared with what was.
        if report["down"] is None or report["down"]["collections"]:
            # The rollback is undone, and the migration: what follows begins where this did.
            self._undo()
            if report["failures"] or not report["exact"]["same"]:
                return
        if self._step("apply again", None, self._engine.apply) is None:
            self._undo()
            return
        self._undo()

    def _undo(self, *, maybe: bool = False) -> None:
        """Roll back exactly and compare; where that does not lead back, the copy does.

        With `maybe` there may be nothing to roll back, and its failure is none then.
        """
        undone = self._step("exact rollback", "exact_seconds", self._engine.rollback, exact=True)
        compared = self._compare()
        if undone is not None:
            self._report["exact"] = compared
        elif maybe and compared["same"]:
            self._report["failures"].pop()
        if compared["collections"]:
            self._before.go_back()

    def _compare(self) -> Report:
        found = self._before.compare()
        if self._strict_order:
            found["same"] = not found["collections"]
        return found

    def _step(
        self,
        step: str,
        timed: str | None,
        verb: Callable[..., PendingCall[Report]],
        **options: object,
    ) -> Report | None:
        """What the verb did with the migration, or None where it failed."""
        try:
            answer = verb(self._migration, **options, **self._heard).run()
        except _ENDING:
            raise
        except _native.MigrateError as error:
            self._report["failures"].append({"step": step, "message": str(error)})
            return None
        run: Report = answer["migrations"][0]
        if timed is not None:
            self._report[timed] = run["seconds"]
        return run


def _changed(operation: Report) -> int:
    kinds = ("modified", "inserted", "deleted", "upserted")
    return sum(int(operation[kind]) for kind in kinds)
