"""What the reports are made with, and what several of them say."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

Status = Literal["pending", "applied", "rolled_back", "failed", "applying", "rolling_back"]
Direction = Literal["up", "down"]

_Report = TypeVar("_Report")


def read(cls: type[_Report], data: Mapping[str, Any], **nested: object) -> _Report:
    """An instance from the engine's dict. Keys a newer engine adds are left out, not an error."""
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    values = {name: value for name, value in data.items() if name in known}
    return cls(**{**values, **nested})


def read_all(cls: type[_Report], data: Any) -> tuple[_Report, ...]:
    """An instance for each of the engine's dicts."""
    return tuple(read(cls, each) for each in data)


@dataclass(frozen=True, slots=True)
class IgnoredFile:
    """A file in the migrations directory that is no migration, and why."""

    file: str
    reason: str
