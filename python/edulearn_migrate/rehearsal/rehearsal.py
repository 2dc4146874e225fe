"""A rehearsal: every pending migration there and back, one after the other."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edulearn_migrate import _native
from edulearn_migrate.rehearsal.data import Data, of_backup, of_live, same_series
from edulearn_migrate.rehearsal.private_server import PrivateServer
from edulearn_migrate.rehearsal.snapshot import Heard, Snapshot
from edulearn_migrate.rehearsal.there_and_back import ThereAndBack

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from edulearn_migrate.rehearsal.snapshot import Observe, Report

# What is between being pending and being applied cannot be begun again on a private server: what
# it captured is in no backup.
_HALFWAY = ("applying", "rolling_back", "failed")


def rehearse(
    database: str,
    migrations_dir: str | os.PathLike[str] | None,
    backup_dir: str | os.PathLike[str],
    *,
    id: str | None = None,
    backup: str | None = None,
    live: _native.Engine | None = None,
    any_version: bool = False,
    ledger: str = "migrations",
    strict_order: bool = False,
    observer: Observe | None = None,
    stop: _native.StopToken | None = None,
) -> Report:
    """Rehearse what is pending, or the migration `id`; the plain form of `RehearsalReport`.

    On the newest full backup in `backup_dir`, on `backup`, or on the database of `live`, which is
    only read. Each migration is applied, rolled back by its down script and compared with what was
    before; applied again, rolled back exactly and compared; then applied for the next one.

    Raises what stands in the way of a rehearsal: `BackupNotFoundError`, `LocalServerError`,
    `WrongStateError` where `id` is not pending or the versions of the servers differ, and what the
    backup and the restore raise. What a migration does wrong is in the report.
    """
    began = time.monotonic()
    data = of_live(live, stop) if live is not None else of_backup(backup_dir, database, backup)
    heard = Heard(observer=observer, stop=stop)
    if id is None:
        found = _before_the_data(data, database, migrations_dir, backup_dir, live, ledger, stop)
        if not found["pending"]:
            return _nothing_pending(data, database, found["ignored"], began)
    with PrivateServer(data) as server:
        engine = _native.Engine(server.uri, database, migrations_dir=migrations_dir, ledger=ledger)
        private = _native.server_version(engine, stop=stop)
        if not any_version:
            _check_versions(data.version, private)
        _tell(observer, "Filling the private server.")
        source = server.fill(data, database, backup_dir, live, ledger=ledger, heard=heard)
        status = engine.status(stop=stop).run()
        copy = "before_the_migration"
        before = Snapshot(
            server.uri,
            database,
            copy if database != copy else f"{copy}_",
            server.directory / "snapshots",
            ledger=ledger,
            heard=heard,
        )
        chosen = _chosen(status["migrations"], id)
        migrations, rest = _one_by_one(engine, chosen, before, strict_order, heard)
    return {
        "database": database,
        "live": data.live,
        "backup": None if data.live else source["name"],
        "created_at": source["created_at"],
        "documents": source["documents"],
        "production_version": data.version,
        "private_version": private,
        "passed": not rest and all(each["outcome"] == "came_back" for each in migrations),
        "migrations": migrations,
        "not_rehearsed": rest,
        "ignored": status["ignored"],
        "seconds": time.monotonic() - began,
    }


def _before_the_data(
    data: Data,
    database: str,
    migrations_dir: str | os.PathLike[str] | None,
    backup_dir: str | os.PathLike[str],
    live: _native.Engine | None,
    ledger: str,
    stop: _native.StopToken | None,
) -> Report:
    """What is pending, by the ledger alone, and the files that are ignored."""
    if live is None:
        assert data.backup is not None
        return _native.pending_in_backup(
            backup_dir, data.backup, database, migrations_dir, ledger=ledger, stop=stop
        )
    status = live.status(stop=stop).run()
    return {"pending": _pending(status["migrations"]), "ignored": status["ignored"]}


def _nothing_pending(data: Data, database: str, ignored: list[Report], began: float) -> Report:
    """The report of a rehearsal that had nothing to do: no server was started."""
    return {
        "database": database,
        "live": data.live,
        "backup": data.backup,
        "created_at": data.created_at,
        "documents": 0,
        "production_version": data.version,
        "private_version": None,
        "passed": True,
        "migrations": [],
        "not_rehearsed": [],
        "ignored": ignored,
        "seconds": time.monotonic() - began,
    }


def _one_by_one(
    engine: _native.Engine,
    chosen: Sequence[Report],
    before: Snapshot,
    strict_order: bool,
    heard: Heard,
) -> tuple[list[Report], list[str]]:
    """Take each there and back; the rest are those behind one that could not be applied."""
    rehearsed: list[Report] = []
    for at, each in enumerate(chosen):
        if at == 0:
            before.take()
        else:
            engine.apply(chosen[at - 1]["id"], **heard).run()
            before.catch_up()
        _tell(heard["observer"], f"Rehearsing {each['id']}.", each["id"])
        trip = ThereAndBack(
            engine,
            each["id"],
            before,
            name=each["name"],
            strict_order=strict_order,
            heard=heard,
        ).run()
        rehearsed.append(trip)
        if any(failure["step"] == "apply" for failure in trip["failures"]):
            return rehearsed, [later["id"] for later in chosen[at + 1 :]]
    return rehearsed, []


def _chosen(migrations: list[Report], asked: str | None) -> list[Report]:
    """The migrations to rehearse, in order."""
    if asked is None:
        chosen = _pending(migrations)
    else:
        chosen = [_find(migrations, asked)]
        if chosen[0]["status"] == "applied":
            raise _error(
                _native.WrongStateError,
                f"{chosen[0]['id']} is applied in the data that it was to be rehearsed on. Rehearse"
                f" it on a backup from before, by --backup NAME.",
            )
    for each in chosen:
        if each["status"] in _HALFWAY:
            raise _error(
                _native.WrongStateError,
                f"{each['id']} is neither pending nor applied in the data that was to be rehearsed"
                f" on (its status is {each['status']}), and what it has captured so far is in no"
                f" backup. Finish it first, by `apply` or `rollback`, and rehearse after that.",
            )
    return chosen


def _pending(migrations: list[Report]) -> list[Report]:
    return [each for each in migrations if each["status"] not in ("applied", "rolled_back")]


def _find(migrations: list[Report], asked: str) -> Report:
    """The migration of that id, file stem or name, as `apply` would find it."""
    exact = [each for each in migrations if asked in (each["id"], _stem(each["file"]))]
    found = exact or [each for each in migrations if each["name"] == asked]
    if len(found) == 1:
        return found[0]
    if not found:
        text = f"There is no migration {asked!r}, neither in the migrations directory nor in the"
        text += " data that was to be rehearsed on."
    else:
        ids = ", ".join(each["id"] for each in found)
        text = f"{len(found)} migrations are named {asked!r}; say which by its id: {ids}."
    raise _error(_native.UnknownMigrationError, text)


def _stem(file: str | None) -> str | None:
    return None if file is None else Path(file).stem


def _check_versions(production: str | None, private: str | None) -> None:
    if production is None or private is None or same_series(production, private):
        return
    raise _error(
        _native.WrongStateError,
        f"The data is of MongoDB {production}, and the private server is MongoDB {private}: another"
        f" major version may do other things. Name a mongod of the same one in EDULEARN_MONGOD, or"
        f" rehearse all the same with --any-version (in Python: any_version=True).",
    )


def _error(kind: type[_native.MigrateError], text: str) -> _native.MigrateError:
    error = kind(text)
    error.report = None
    return error


def _tell(observe: Observe | None, message: str, migration: str | None = None) -> None:
    """An event of the rehearsal itself, beside those of the engine."""
    if observe is None:
        return
    event: dict[str, Any] = dict.fromkeys(
        ("run", "index", "operations", "documents", "total", "bytes", "total_bytes")
    )
    now = datetime.now(timezone.utc)
    observe(
        {
            **event,
            "kind": "rehearsal_step",
            "level": "info",
            "message": message,
            "at": now,
            "migration": migration,
        }
    )
