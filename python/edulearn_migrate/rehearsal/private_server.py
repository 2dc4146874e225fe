"""Where a rehearsal takes place: a private server, filled with the data of a backup.

Everything is in the server's temporary directory, which its supervisor removes however the program
ends. The server that the data is of is asked only where the live database is what is rehearsed on,
and then by reads alone: no lock is taken there and nothing is set.
"""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING, Any

from edulearn_migrate import _native
from edulearn_migrate.local import LocalServer, LocalServerError

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from edulearn_migrate.rehearsal.data import Data
    from edulearn_migrate.rehearsal.snapshot import Heard

# A temporary directory may be in memory for data up to this size: it is there several times.
_SMALL = 256 * 1024**2
# What has expired since the backup must not vanish between two comparisons.
_AS_IT_WAS = ("--setParameter", "ttlMonitorEnabled=false")
# How often the data is on disk at most: the backup, two databases, and what is captured.
_COPIES = 4


class PrivateServer:
    """A private server for one rehearsal; a context manager, which leaves nothing behind."""

    def __init__(self, data: Data) -> None:
        """Nothing is started yet. Raises `LocalServerError` where the disk has too little room."""
        small = data.size is not None and data.size <= _SMALL
        if data.size is not None and not small:
            free, needed = shutil.disk_usage(tempfile.gettempdir()).free, data.size * _COPIES
            if free < needed:
                raise LocalServerError(
                    f"A rehearsal on {data.size / 1e9:,.1f} GB of documents needs about"
                    f" {needed / 1e9:,.1f} GB of room, and {tempfile.gettempdir()} has"
                    f" {free / 1e9:,.1f} GB: set TMPDIR to a directory that has more."
                )
        self._server = LocalServer(memory=small, extra_args=_AS_IT_WAS)

    def __enter__(self) -> PrivateServer:
        self._server.start()
        self.directory = self._server.directory / "rehearsal"
        self.directory.mkdir(mode=0o700)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()

    @property
    def uri(self) -> str:
        """The connection string of the private server."""
        return self._server.uri

    def fill(
        self,
        data: Data,
        database: str,
        directory: str | os.PathLike[str],
        live: _native.Engine | None,
        *,
        ledger: str,
        heard: Heard,
    ) -> dict[str, Any]:
        """Restore the data into the private server, and say which backup it is of."""
        name = data.backup
        if live is not None:
            directory = self.directory / "live"
            backups = _native.Backups(live, directory)
            written = backups.backup(only_reading=True, **heard).run()
            name = written["name"]
        assert name is not None
        engine = _native.Engine(self.uri, database, ledger=ledger)
        backups = _native.Backups(engine, directory)
        restored = backups.restore(name, safety_backup=False, **heard).run()
        found = _native.stored_backups(directory)["backups"]
        return next(each for each in found if each["name"] == restored["name"])
