"""`Migrator`: the verbs, each carried out where it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edulearn_migrate._native import MigrateError
from edulearn_migrate.events import Progress, observer
from edulearn_migrate.pending import PendingCall
from edulearn_migrate.verbs.assessments import Assessments
from edulearn_migrate.verbs.backups import Backups
from edulearn_migrate.verbs.base import Answer, Stop, give_type
from edulearn_migrate.verbs.looking import Looking
from edulearn_migrate.verbs.migrations import Migrations
from edulearn_migrate.verbs.retained import Retained


class Migrator(Migrations, Looking, Retained, Backups, Assessments):
    """Migrations of one database. Each verb blocks until it is done.

    A verb releases the GIL while it runs. On Ctrl-C, or when `stop` is set from another thread, it
    stops at the next safe point and raises `InterruptedRunError`. Every error is a `MigrateError`.

    These arguments are the same for all verbs:

    - `progress` is called with an `Event` for each thing that happens, possibly on another thread.
      What it raises is reported and ignored.
    - `stop` is a `StopToken`.
    - `lock_timeout` is the number of seconds to wait for another run before `LockHeldError`.
    - `workers` is the number of chunks of one operation that are under way at once, from 1 to 8
      (default 2). Only the verbs that change documents have it.
    """

    def _do(
        self,
        read: Callable[[Any], Answer],
        call: Callable[..., PendingCall[Any]],
        progress: Progress | None,
        stop: Stop | None,
    ) -> Answer:
        try:
            return read(call(observer=observer(progress), stop=stop).run())
        except MigrateError as error:
            give_type(error, read)
            raise
