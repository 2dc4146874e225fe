"""Migrations for MongoDB that resume exactly where they were killed, and can be undone exactly.

    from edulearn_migrate import Migrator

    report = Migrator("mongodb://localhost:27017", "edulearn", migrations_dir="migrations").apply()

`Migrator` and `AsyncMigrator` are the verbs; `MigrationManager` and `AssessmentModelMigration` keep
the interface of the tool this one replaces. Every exception is a `MigrateError` whose text is a
sentence for the person who must act, and carries the report of what was done so far.

Names are loaded when the first of them is asked for: the command line and `edulearn_migrate.local`
start without paying for what they do not use.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate._native import __version__ as __version__
    from edulearn_migrate._public import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        """Load the public names at the first use of one (PEP 562)."""
        if name.startswith("_") and name not in ("__all__", "__version__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from edulearn_migrate import _native, _public

        public = {each: value for each, value in vars(_public).items() if each[0].isalpha()}
        public["__version__"] = _native.__version__
        globals().update(public, __all__=sorted(public))
        if name not in globals():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})
