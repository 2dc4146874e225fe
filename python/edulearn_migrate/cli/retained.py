"""The words for what is retained for undo, which `status`, `purge` and `undrop` share."""

from __future__ import annotations

from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_THOUSAND = 1_000


def size(number: int) -> str:
    """Bytes as people say them, as in `12.3 MB`: a MB is a million bytes."""
    if number < _THOUSAND:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB"):
        value /= _THOUSAND
        if round(value, 1) < _THOUSAND:
            return f"{value:.1f} {unit}"
    return f"{value / _THOUSAND:,.1f} TB"


def by_migration(runs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each migration, as in `migration_003: 12.3 MB in 2 runs`, oldest first."""
    found: dict[str, list[int]] = {}
    for run in runs:
        found.setdefault(run["migration"], []).append(run["bytes"])
    for migration, sizes in found.items():
        yield f"{migration}: {size(sum(sizes))} in {counted(len(sizes), 'run')}"
