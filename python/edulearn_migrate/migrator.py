"""`Migrator`: the verbs, each carried out where it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edulearn_migrate._native import MigrateError
from edulearn_migrate.events import Progress, observer
from edulearn_migrate.verbs.assessments import Assessments
from edulearn_migrate.verbs.backups import Backups
from edulearn_migrate.verbs.base import Answer, Stop, give_type
from edulearn_migrate.verbs.looking import Looking
from edulearn_migrate.verbs.migrations import Migrations
from edulearn_migrate.verbs.retained import Retained
from edulearn_migrate.work import Work


class Migrator(Migrations, Looking, Retained, Backups, Assessments):
    """Migrations of one database, synchronously.

    Every verb releases the GIL, ends at a safe point on Ctrl-C or when `stop` is set from another
    thread, and raises a `MigrateError`. `progress` gets every event, possibly on another thread;
    what it raises is reported and ignored. `lock_timeout` is in seconds: how long to wait for
    another run before `LockHeldError`.
    """

    def _do(
        self,
        read: Callable[[Any], Answer],
        call: Callable[..., Work[Any]],
        progress: Progress | None,
        stop: Stop | None,
    ) -> Answer:
        try:
            return read(call(observer=observer(progress), stop=stop).run())
        except MigrateError as error:
            give_type(error, read)
            raise
