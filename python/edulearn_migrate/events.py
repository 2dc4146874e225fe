"""What a run tells while it goes on: typed events, and their way into Python's logging."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

logger = logging.getLogger("edulearn_migrate")
"""The only place the library logs to. It stays silent until the application adds a handler."""
logger.addHandler(logging.NullHandler())

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a run.

    `kind` is one of lock_waiting, lock_taken, lock_taken_over, lock_released, migration_started,
    surveyed, step_started, operation_started, progress, operation_finished, migration_applied,
    migration_rolled_back, migration_failed, migration_interrupted, marked, unlocked, registered,
    purged, undropped, backup_started, backup_finished, restore_started, restore_finished,
    backup_removed, retrying, waiting, rehearsal_step, warning. A later version may add kinds. `at`
    is in UTC.

    A `progress` event says how many `documents` of `total` (None while that is unknown) the
    operation `index` (from 1) of `operations` has done. That of a backup or a restore has `bytes`
    of `total_bytes` in the place of an operation.
    """

    kind: str
    level: str
    message: str
    at: datetime
    run: str | None = None
    migration: str | None = None
    index: int | None = None
    operations: int | None = None
    documents: int | None = None
    total: int | None = None
    bytes: int | None = None
    total_bytes: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else the engine said about this kind of event."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Event:
        """The typed form of what the engine hands to an observer."""
        known = {f.name for f in fields(cls)} - {"details"}
        return cls(
            **{name: data[name] for name in known if name in data},
            details={name: value for name, value in data.items() if name not in known},
        )


Progress = Callable[[Event], None]
"""What `progress=` takes."""


def log_event(data: Mapping[str, Any]) -> None:
    """Put an event into the `edulearn_migrate` logger, with `run` and `migration` on the record."""
    level = _LEVELS.get(data["level"], logging.INFO)
    if logger.isEnabledFor(level):
        extra = {"kind": data["kind"], "run": data["run"], "migration": data["migration"]}
        logger.log(level, "%s", data["message"], extra=extra)


def observer(
    progress: Progress | None,
) -> Callable[[dict[str, Any]], None]:
    """The observer given to the engine: every event is logged, then handed to `progress`."""

    def observe(data: dict[str, Any]) -> None:
        log_event(data)
        if progress is not None:
            progress(Event.from_dict(data))

    return observe
