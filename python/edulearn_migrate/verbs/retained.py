"""The verbs of what is retained for undo."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from edulearn_migrate.events import Progress
from edulearn_migrate.reports.undo import DroppedEntry, PurgeReport, UndropReport
from edulearn_migrate.verbs.base import Stop, Verbs


class Retained(Verbs):
    """What was captured: freeing it, and bringing back single things of it."""

    def purge(
        self,
        id: str | None = None,
        *,
        older_than: timedelta | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> PurgeReport:
        """Free what was captured: all of it, or a part.

        What is freed can no longer be rolled back exactly or brought back by `undrop`. What a half
        applied or half rolled back migration may need is kept.

        Args:
            id: free only the captures of this migration.
            older_than: only what is older than this, by the server's clock.
            lock_timeout: seconds to wait for another run.
        """
        seconds = None if older_than is None else older_than.total_seconds()
        call = partial(self._engine.purge, id, older_than=seconds, lock_timeout=lock_timeout)
        return self._do(PurgeReport.from_dict, call, progress, stop)

    def dropped(
        self, *, progress: Progress | None = None, stop: Stop | None = None
    ) -> list[DroppedEntry]:
        """List what `undrop` can bring back, that of the oldest run first. Reads only."""
        return self._do(_entries, self._engine.dropped, progress, stop)

    def undrop(
        self,
        name: str,
        *,
        to: str | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> UndropReport:
        """Bring back what `dropped` lists under a name.

        It overwrites nothing. A document whose `_id` is taken is passed over and counted.

        Args:
            name: the name in the list.
            to: another name for the collection, or another collection for the documents.
            lock_timeout: seconds to wait for another run.

        Raises:
            WrongStateError: a collection or view of that name exists.
            UnknownMigrationError: the list has no such name.
        """
        call = partial(self._engine.undrop, name, to=to, lock_timeout=lock_timeout)
        return self._do(UndropReport.from_dict, call, progress, stop)


def _entries(dropped: list[dict[str, Any]]) -> list[DroppedEntry]:
    return [DroppedEntry.from_dict(each) for each in dropped]
