"""What the reports are made with, and what several of them say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Status = Literal["pending", "applied", "rolled_back", "failed", "applying", "rolling_back"]
Direction = Literal["up", "down"]

_Report = TypeVar("_Report", bound="Report")
_Reader = Callable[[Any], Any]


class Report:
    """What every report and every part of one can do."""

    __slots__ = ()

    _old_keys: ClassVar[Mapping[str, str]] = {}
    """Keys that are said under an old name as well, until 0.2.0: the old one and the new."""

    @classmethod
    def from_dict(cls: type[_Report], data: Mapping[str, Any]) -> _Report:
        """The typed form of the engine's answer. Keys that a newer engine adds are left out."""
        values = {
            name: read(data.get(key))
            for name, key, needed, read in _readers(cls)  # type: ignore[arg-type]
            if needed or key in data
        }
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """All of it as dictionaries and lists, as `from_dict` takes it; dates stay dates."""
        said = {
            _key(each): _plain(getattr(self, each.name))
            for each in fields(self)  # type: ignore[arg-type]
        }
        return said | {old: said[new] for old, new in self._old_keys.items()}

    @property
    def ok(self) -> bool:
        """Whether all is well. A verb whose failure is an exception has only such reports."""
        return True

    def __str__(self) -> str:
        """Readable: what is single on the first line, what there may be many of on further ones."""
        said, lines = [], []
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if isinstance(value, tuple) and any(isinstance(part, Report) for part in value):
                lines += [f"  {line}" for part in value for line in str(part).splitlines()]
            elif isinstance(value, Report):
                lines += [f"  {each.name}: {line}" for line in str(value).splitlines()]
            elif value is not None and value != ():
                text = ", ".join(map(str, value)) if isinstance(value, tuple) else value
                said.append(f"{each.name.replace('_', ' ')} {text}")
        return "\n".join([f"{type(self).__name__}: {', '.join(said)}", *lines])


def _plain(value: Any) -> Any:
    if isinstance(value, Report):
        return value.to_dict()
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _key(field: Any) -> str:
    """What the engine calls it."""
    return str(field.metadata.get("key", field.name))


@cache
def _readers(cls: type[Any]) -> tuple[tuple[str, str, bool, _Reader], ...]:
    """Of each field: its name, the engine's key, whether it must be given, and how it is read."""
    hints = get_type_hints(cls)
    return tuple(
        (
            each.name,
            _key(each),
            each.default is MISSING and each.default_factory is MISSING,
            _reader(hints[each.name]),
        )
        for each in fields(cls)
    )


def _reader(kind: Any) -> _Reader:
    """How a value of this type is made of what the engine says."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        [inner] = [_reader(each) for each in get_args(kind) if each is not NoneType]
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        each_one = _reader(get_args(kind)[0])
        return lambda value: tuple(map(each_one, value))
    if isinstance(kind, type) and issubclass(kind, Report):
        return kind.from_dict
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class IgnoredFile(Report):
    """A file in the migrations directory that is no migration, and why."""

    file: str
    reason: str

    def __str__(self) -> str:
        """As the command prints it."""
        return f"Ignored: {self.file}: {self.reason}"
