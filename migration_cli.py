#!/usr/bin/env python3
"""EDULEARN's migrations: `python migration_cli.py --help`.

The program is the package `edulearn_migrate`; this file only finds it, and can be copied into a
backend's folder as it stands. From Python:

    from migration_cli import MigrationManager
"""

# Older Pythons must get as far as being told that they are too old.
# ruff: noqa: PTH100, PTH110, PTH112, PTH118, PTH120, UP036

import os
import sys

__all__ = ["AssessmentModelMigration", "MigrationCLI", "MigrationManager", "main"]

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate import AssessmentModelMigration, MigrationManager
    from edulearn_migrate.cli import MigrationCLI


def _what_to_run():
    # type: () -> str
    """One sentence on how to get the package, or the right Python, here."""
    if sys.version_info < (3, 10):
        return "This needs Python 3.10 or newer: run it with another Python, as in `python3.11`."
    folder = os.path.dirname(os.path.abspath(__file__))
    if not os.path.isdir(os.path.join(folder, "python", "edulearn_migrate")):
        return (
            "The package edulearn_migrate is not installed for this Python: "
            "run `python -m pip install` with its wheel, which `make wheel` builds in its "
            "repository, or activate the environment that has it."
        )
    if os.path.exists(os.path.join(folder, ".venv", "bin", "edulearn-migrate")):
        return (
            "The package edulearn_migrate is not installed for this Python: "
            "run `. .venv/bin/activate` first."
        )
    return (
        "The package edulearn_migrate is not built yet: "
        "run `make demo` once, then `. .venv/bin/activate`."
    )


def main(argv=None):
    # type: (list[str] | None) -> int
    """Run the command line and return its exit code."""
    try:
        from edulearn_migrate.cli import main as run
    except (ImportError, SyntaxError):
        # As bytes: the locale may have no such character.
        sys.stdout.buffer.write(("\u2717 Error: " + _what_to_run() + "\n").encode("utf-8"))
        return 1
    return run(argv)


def __getattr__(name):
    # type: (str) -> object
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import edulearn_migrate.cli

        home = edulearn_migrate.cli if name == "MigrationCLI" else edulearn_migrate
        return getattr(home, name)
    except ImportError:
        raise ImportError(_what_to_run()) from None


if __name__ == "__main__":
    sys.exit(main())
