"""A copy of the database as it was at one point of the way, to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edulearn_migrate import _native

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    Report = dict[str, Any]
    Observe = Callable[[dict[str, Any]], object]


class Station:
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
        observe: Observe | None = None,
        stop: _native.StopToken | None = None,
    ) -> None:
        """Nothing is copied yet. `name` is that of the copy; backups go to `directory`."""
        self.database = database
        self.name = name
        self._engine = _native.Engine(uri, database)
        self._copy = _native.Engine(uri, name)
        self._directory = directory
        self._observe = observe
        self._stop = stop

    def take(self, collections: list[str] | None = None) -> None:
        """Bring the copy to the database's state: all of it, or these collections."""
        _native.copy_database(
            self._engine,
            self.name,
            self._directory,
            collections=collections,
            observer=self._observe,
            stop=self._stop,
        )

    def compare(self) -> Report:
        """What differs in the database from the copy, this tool's own collections aside."""
        return _native.compare_databases(
            self._engine, self.name, observer=self._observe, stop=self._stop
        )

    def catch_up(self) -> None:
        """Bring the copy to the database's state, by copying only what differs."""
        differing = [each["collection"] for each in self.compare()["collections"]]
        if differing:
            # The ledger too: a way back must lead to the same state of the migrations.
            self.take([*differing, "migrations"])

    def go_back(self) -> None:
        """Bring the database to the copy's state, records of migrations included."""
        _native.copy_database(
            self._copy, self.database, self._directory, observer=self._observe, stop=self._stop
        )

    def drop(self) -> None:
        """Remove the copy."""
        _native.drop_copy(self._engine, self.name)
