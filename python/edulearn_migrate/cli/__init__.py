"""The command line: `edulearn-migrate`, `python -m migration_cli`, `python migration_cli.py`.

It works on the engine's plain answers and imports only what a command needs, because `status` is
run often and start-up is most of its time.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edulearn_migrate.compat.cli import MigrationCLI

__all__ = ["MigrationCLI", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Never raises for a failed command."""
    import sys

    from edulearn_migrate.cli.command_line import run

    return run(list(sys.argv[1:] if argv is None else argv))


def __getattr__(name: str) -> object:
    if name == "MigrationCLI":
        from edulearn_migrate.compat.cli import MigrationCLI

        return MigrationCLI
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
