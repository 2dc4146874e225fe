"""A copy of the database as it was at one point of the way, to compare with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from edulearn_migrate import _native

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    Report = dict[str, Any]
    Observe = Callable[[dict[str, Any]], object]


class Heard(TypedDict, total=False):
    """Who hears of every step of a rehearsal, and what stops it: for each call of the engine."""

    observer: Observe | None
    stop: _native.StopToken | None


class Snapshot:
    """The database as it was at one point of the way: a copy of it on the same server.

    The copy is made by a backup and a restore, which bring everything along, byte for byte.
    """

    def __init__(
        self,
        uri: str,
        database: str,
        name: str,
        directory: str | os.PathLike[str],
        *,
        ledger: str = "migrations",
        heard: Heard | None = None,
    ) -> None:
        """Nothing is copied yet. `name` is that of the copy; backups go to `directory`."""
        self.database = database
        self.name = name
        self._ledger = ledger
        self._engine = _native.Engine(uri, database, ledger=ledger)
        self._of_copy = _native.Engine(uri, name, ledger=ledger)
        self._directory = directory
        self._hashes: dict[str, str] | None = None  # of the copy, once it has been compared
        self._heard = heard or Heard()

    def take(self, collections: list[str] | None = None) -> None:
        """Bring the copy to the database's state: all of it, or these collections."""
        self._hashes = None
        self._copy(self._engine, self.name, collections)

    def compare(self) -> Report:
        """What differs in the database from the copy, this tool's own collections aside."""
        found = _native.compare_databases(
            self._engine, self.name, known=self._hashes, **self._heard
        )
        self._hashes = found.pop("hashes")
        return found

    def catch_up(self) -> None:
        """Bring the copy to the database's state, by copying only what differs."""
        differing = [each["collection"] for each in self.compare()["collections"]]
        if differing:
            # The ledger too: a way back must lead to the same state of the migrations.
            self.take([*differing, self._ledger])

    def go_back(self) -> None:
        """Bring the database to the copy's state, records of migrations included."""
        self._copy(self._of_copy, self.database, None)

    def drop(self) -> None:
        """Remove the copy."""
        _native.drop_copy(self._engine, self.name)

    def _copy(self, engine: _native.Engine, into: str, collections: list[str] | None) -> None:
        Path(self._directory).mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._directory) as place:
            _native.copy_database(engine, into, place, collections=collections, **self._heard)
