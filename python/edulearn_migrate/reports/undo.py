"""What is retained for undo: what `status` and `dropped` tell, what `purge` and `undrop` did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from edulearn_migrate.reports.base import Direction, Report

DroppedKind = Literal["collection", "time-series collection", "view", "index", "documents"]


@dataclass(frozen=True, slots=True)
class RetainedRun(Report):
    """What one run of a script captured, or one exact rollback. `at` is when it began."""

    migration: str
    name: str
    direction: Direction
    exact: bool
    at: datetime | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Retained(Report):
    """All that was captured and not purged, its runs oldest first.

    `large` says that a purge is worth a thought: `bytes` are 100 MB or more. `data_bytes` is the
    size of the database's other data.
    """

    bytes: int
    data_bytes: int
    large: bool
    runs: tuple[RetainedRun, ...]


@dataclass(frozen=True, slots=True)
class PurgeReport(Report):
    """The answer of `purge`, and the `report` of an exception it raises.

    `kept` is what half applied and half rolled back migrations may need. `left` stays because an
    exact rollback could not bring back all of it and no migration was named. `bytes` were freed.
    """

    purged: tuple[RetainedRun, ...]
    kept: tuple[RetainedRun, ...]
    bytes: int
    left: tuple[RetainedRun, ...] = ()


@dataclass(frozen=True, slots=True)
class DroppedEntry(Report):
    """Something that a migration took away and `undrop(name)` brings back.

    `collection` is what was dropped, or where it was taken from; `index` the name of a dropped
    index. `documents` and `bytes` are None where the kind has none.
    """

    name: str
    migration: str
    direction: Direction
    kind: DroppedKind
    collection: str
    index: str | None
    documents: int | None
    bytes: int | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class UndropReport(Report):
    """The answer of `undrop`: what was brought back, and as which collection or into which.

    Of deleted documents: how many returned, how many were passed over because others stand in their
    place, and how many because a unique index bars them; else all None.
    """

    entry: DroppedEntry
    to: str
    documents: int | None
    standing: int | None
    barred: int | None
