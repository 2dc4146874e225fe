"""Where a rehearsal takes place: a private server, filled with the data of a backup.

Everything is in the server's temporary directory, which its supervisor removes however the program
ends. The server that the data is of is asked only where the live database is what is rehearsed on,
and then by reads alone: no lock is taken there and nothing is set.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edulearn_migrate import _native
from edulearn_migrate.local import LocalServer, LocalServerError

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from edulearn_migrate.rehearsal.station import Observe

LATEST = ("latest", "latest_backup_name")
# A temporary directory may be in memory for data up to this size: it is there several times.
_SMALL = 256 * 1024**2
# What has expired since the backup must not vanish between two comparisons.
_AS_IT_WAS = ("--setParameter", "ttlMonitorEnabled=false")
# How often the data is on disk at most: the backup, two databases, and what is captured.
_COPIES = 4


@dataclass(frozen=True)
class Data:
    """Where the private server's data comes from: the backup of a name, or `live`."""

    live: bool
    backup: str | None
    size: int | None
    version: str | None


def of_backup(directory: str | os.PathLike[str], database: str, name: str | None) -> Data:
    """The backup of that name, else the newest full one. No server is asked.

    Raises `BackupNotFoundError`.
    """
    stored = _native.stored_backups(directory)
    found = stored["backups"]
    if name is None or name in LATEST:
        full = [
            each
            for each in found
            if each["full"] and each["kind"] == "manual" and each["database"] == database
        ]
        if not full:
            raise _missing(
                f"There is no full backup of {database} in {Path(directory).absolute()} to rehearse"
                f" on. Make one with `backup`, name another directory with --backup-dir, or"
                f" rehearse on the live database with --live (in Python: live=True)."
                f"{''.join(f' {problem}' for problem in stored['problems'])}",
                "latest",
                directory,
                found,
            )
        # Said again when it is restored: a newer one that is damaged must not be passed over.
        chosen, name = full[0], LATEST[0]
    else:
        named = [each for each in found if each["name"] == name]
        if not named:
            raise _missing(
                f"There is no backup {name!r} in {Path(directory).absolute()}."
                f" A rehearsal needs one that `backup` wrote: `backups list` shows them.",
                name,
                directory,
                found,
            )
        chosen = named[0]
    return Data(False, name, chosen["bytes"], chosen["server_version"])


def of_live(engine: _native.Engine, stop: _native.StopToken | None) -> Data:
    """The live database of that engine."""
    size = int(engine.status(stop=stop).run()["retained"]["data_bytes"])
    return Data(True, None, size, _native.server_version(engine, stop=stop))


def _missing(
    text: str, name: str, directory: str | os.PathLike[str], found: list[dict[str, Any]]
) -> _native.BackupNotFoundError:
    error = _native.BackupNotFoundError(text)
    error.report = None
    error.name = name
    error.looked_in = [str(Path(directory).absolute())]
    error.newest = [each["name"] for each in found[:5]]
    return error


class Stage:
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

    def __enter__(self) -> Stage:
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
        observe: Observe | None,
        stop: _native.StopToken | None,
    ) -> dict[str, Any]:
        """Restore the data into the private server, and say which backup it is of."""
        name = data.backup
        if live is not None:
            directory = self.directory / "live"
            backups = _native.Backups(live, directory)
            written = backups.backup(only_reading=True, observer=observe, stop=stop).run()
            name = written["name"]
        assert name is not None
        engine = _native.Engine(self.uri, database, ledger=ledger)
        backups = _native.Backups(engine, directory)
        restored = backups.restore(name, safety_backup=False, observer=observe, stop=stop).run()
        found = _native.stored_backups(directory)["backups"]
        return next(each for each in found if each["name"] == restored["name"])


def same_series(one: str, other: str) -> bool:
    """Whether two versions of MongoDB are of one major version.

    The first number since 5.0; before, the first two, as in 4.4.
    """
    return _series(one) == _series(other)


def _series(version: str) -> tuple[str, ...]:
    parts = version.split(".")
    before_five = parts[0].isdigit() and int(parts[0]) < 5
    return tuple(parts[: 2 if before_five else 1])
