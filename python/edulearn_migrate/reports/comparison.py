"""What differs between a database as it was and as it is.

Identifiers and values are Extended JSON, shortened where they are long; None where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edulearn_migrate.reports.base import read, read_all

if TYPE_CHECKING:
    from collections.abc import Mapping

Standing = Literal["stands", "missing", "added"]
"""On both sides; there before and not now; there now and not before."""


@dataclass(frozen=True, slots=True)
class FieldExample:
    """A field of one document: its value before and now."""

    id: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field in which documents differ.

    `field` is a path with dots; `[]` stands for the elements of an array. Of the `documents` that
    differ in it, `lost` have it no more and `gained` had it not.
    """

    field: str
    documents: int
    lost: int
    gained: int
    examples: tuple[FieldExample, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FieldDifference:
        """The typed form of what the engine says about a field."""
        return read(cls, data, examples=read_all(FieldExample, data["examples"]))


@dataclass(frozen=True, slots=True)
class DocumentDifferences:
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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DocumentDifferences:
        """The typed form of what the engine says about documents."""
        examples = ("missing_examples", "added_examples", "reordered_examples")
        return read(
            cls,
            data,
            fields=tuple(map(FieldDifference.from_dict, data["fields"])),
            **{name: tuple(data[name]) for name in examples},
        )


@dataclass(frozen=True, slots=True)
class OptionDifference:
    """An option of a collection that differs."""

    option: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class IndexDifference:
    """An index that differs: `stands` means with another specification."""

    index: str
    standing: Standing
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class CollectionDifference:
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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CollectionDifference:
        """The typed form of what the engine says about a collection."""
        return read(
            cls,
            data,
            options=read_all(OptionDifference, data["options"]),
            indexes=read_all(IndexDifference, data["indexes"]),
            documents=DocumentDifferences.from_dict(data["documents"]),
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs, collection by collection.

    `same` when nothing differs but the order of the fields of documents; `collections` lists the
    collections with reordered documents all the same. With `strict_order` their order counts.
    """

    same: bool
    collections: tuple[CollectionDifference, ...]
    seconds: float

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> Comparison | None:
        """None where nothing was compared."""
        if data is None:
            return None
        return read(
            cls, data, collections=tuple(map(CollectionDifference.from_dict, data["collections"]))
        )
