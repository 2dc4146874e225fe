"""The commands, a file each. One that is not here yet says so and ends with exit code 1."""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Callable

    from edulearn_migrate.cli.context import Context

_HERE = (
    "apply",
    "assessment-migrate",
    "assessment-rollback",
    "backup",
    "backups",
    "create",
    "mark",
    "purge",
    "restore",
    "rollback",
    "status",
    "undrop",
    "unlock",
)


def find(name: str) -> Callable[[Context], int] | None:
    """The function that runs a command and returns its exit code, or None."""
    if name not in _HERE:
        return None
    from importlib import import_module

    module = name.replace("-", "_")
    function: Callable[[Context], int] = import_module(f"{__name__}.{module}").run
    return function
