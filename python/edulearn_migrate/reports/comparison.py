"""What differs between a database as it was and as it is.

Identifiers and values are Extended JSON, shortened where they are long; None where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edulearn_migrate.reports.base import Report

Standing = Literal["stands", "missing", "added"]
"""On both sides; there before and not now; there now and not before."""


@dataclass(frozen=True, slots=True)
class FieldExample(Report):
    """A field of one document: its value before and now."""

    id: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class FieldDifference(Report):
    """A field in which documents differ.

    `field` is a path with dots; `[]` stands for the elements of an array. Of the `documents` that
    differ in it, `lost` have it no more and `gained` had it not.
    """

    field: str
    documents: int
    lost: int
    gained: int
    examples: tuple[FieldExample, ...]


@dataclass(frozen=True, slots=True)
class DocumentDifferences(Report):
    """The documents of one collection that differ.

    `before` and `after` are how many there were and are, where they had to be read. `reordered`
    have the same content in another order of fields. `fields` says in what the `changed` differ;
    `elsewhere` of them differ in fields beyond those.
    """

    before: int
    after: int
    missing: int
    added: int
    changed: int
    reordered: int
    missing_examples: tuple[str, ...]
    added_examples: tuple[str, ...]
    reordered_examples: tuple[str, ...]
    fields: tuple[FieldDifference, ...]
    elsewhere: int


@dataclass(frozen=True, slots=True)
class OptionDifference(Report):
    """An option of a collection that differs."""

    option: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class IndexDifference(Report):
    """An index that differs: `stands` means with another specification."""

    index: str
    standing: Standing
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class CollectionDifference(Report):
    """A collection, view or time-series collection that differs.

    `reordered` when a capped collection has the same documents in another order.
    """

    collection: str
    kind: Literal["collection", "view", "timeseries"]
    standing: Standing
    options: tuple[OptionDifference, ...]
    indexes: tuple[IndexDifference, ...]
    documents: DocumentDifferences
    reordered: bool


@dataclass(frozen=True, slots=True)
class Comparison(Report):
    """What differs between the databases `before` and `after`, collection by collection.

    `same` when nothing differs but the order of the fields of documents; `collections` lists the
    collections with reordered documents all the same. With `strict_order` their order counts.
    """

    before: str
    after: str
    same: bool
    collections: tuple[CollectionDifference, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return self.same
