"""The verbs of backups."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Literal

from edulearn_migrate.events import Progress
from edulearn_migrate.reports.backups import (
    BackupList,
    BackupReport,
    Consistency,
    PruneReport,
    RestoreReport,
    VerifyReport,
)
from edulearn_migrate.verbs.base import Stop, Verbs


class Backups(Verbs):
    """Backups of the database. Errors are `BackupError`s, one class per kind."""

    def backup(
        self,
        *,
        collections: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        consistency: Consistency = "snapshot",
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> BackupReport:
        """Write a backup into the backup directory; needs read rights only and takes no lock.

        With `exclude` it is of all collections but these; it is not full then, and `latest` does
        not mean it. On a replica set everything is as of one cluster time. Raises
        `SnapshotLostError` where the server gave that up meanwhile, `DiskFullError`, and
        `WrongStateError` while a restore is unfinished; then nothing remains of the backup.
        """
        call = partial(
            self._backups.backup,
            collections=_names(collections),
            exclude=_names(exclude),
            consistency=consistency,
        )
        return self._do(BackupReport.from_dict, call, progress, stop)

    def restore(
        self,
        name: str | None = None,
        *,
        from_mongodump: str | os.PathLike[str] | None = None,
        collections: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        keep_extra: bool = False,
        drop_extra: bool = False,
        no_indexes: bool = False,
        abandon: bool = False,
        safety_backup: bool = True,
        allow_different_db: bool = False,
        into: str | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> RestoreReport:
        """Bring the database to the state of the backup `name`, or of what mongodump wrote.

        `latest` is the newest full backup made by hand. What a dump of mongodump lacks stays,
        unless `drop_extra` says that it goes. Collections in `exclude` stay as they are. Without a
        name and a dump it only takes a restore that was killed to its end, or, with `abandon`,
        gives it up; `earlier` and `notes` of the report say what became of it. Raises
        `BackupNotFoundError`, `BackupCorruptError` and `OtherDatabaseError` before anything is
        written.
        """
        call = partial(
            self._backups.restore,
            name,
            from_mongodump=from_mongodump,
            collections=_names(collections),
            exclude=_names(exclude),
            keep_extra=keep_extra,
            drop_extra=drop_extra,
            no_indexes=no_indexes,
            abandon=abandon,
            safety_backup=safety_backup,
            allow_different_db=allow_different_db,
            into=into,
            lock_timeout=lock_timeout,
        )
        return self._do(RestoreReport.from_dict, call, progress, stop)

    def list_backups(
        self, *, progress: Progress | None = None, stop: Stop | None = None
    ) -> BackupList:
        """Every backup in the directory, and those that the old tool left in the database."""
        return self._do(BackupList.from_dict, self._backups.list, progress, stop)

    def verify_backup(
        self, name: str, *, progress: Progress | None = None, stop: Stop | None = None
    ) -> VerifyReport:
        """Read every byte of a backup and compare it with its manifest.

        Raises `BackupCorruptError`, whose `file` names the one that is not as it was written.
        """
        call = partial(self._backups.verify, name)
        return self._do(VerifyReport.from_dict, call, progress, stop)

    def prune_backups(
        self,
        keep: int,
        *,
        kind: Literal["manual", "safety"] = "manual",
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> PruneReport:
        """Remove all but the `keep` newest backups of this database and kind.

        One that a migration's record or an unfinished restore still needs stays.
        """
        call = partial(self._backups.prune, keep, kind=kind)
        return self._do(PruneReport.from_dict, call, progress, stop)


def _names(names: Sequence[str] | None) -> list[str] | None:
    if isinstance(names, str):
        raise TypeError("collections and exclude are sequences of names, not one name")
    return None if names is None else list(names)
