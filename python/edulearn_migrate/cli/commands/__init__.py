"""The commands, a file each; a `-` of a command's name is a `_` of its file's."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Callable

    from edulearn_migrate.cli.context import Context


def find(name: str) -> Callable[[Context], int]:
    """The function that runs a command and returns its exit code."""
    function: Callable[[Context], int] = import_module(f"{__name__}.{name.replace('-', '_')}").run
    return function
