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
        """Write a backup into `backup_dir`. It needs read rights only and takes no lock.

        On a replica set everything is as of one cluster time. If it fails, nothing remains of it.

        Args:
            collections: only these collections.
            exclude: all collections but these. Such a backup is not full, and `latest` does not
                mean it.
            consistency: `snapshot`, or `none` for each collection as it is when it is read.

        Raises:
            SnapshotLostError: the server gave up the state that was being read.
            DiskFullError: the file system is full.
            WrongStateError: a restore is unfinished.
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
        """Bring the database to the state of a backup, or of a dump of mongodump.

        Without a name and a dump, it takes a restore that was killed to its end.

        Args:
            name: the name of the backup, or `latest`: the newest full one made by hand.
            from_mongodump: a directory, an archive or a `.bson` file of mongodump, in the place of
                a name. Collections that it lacks stay, unless `drop_extra`.
            collections: only these collections.
            exclude: all collections but these, which stay as they are.
            keep_extra: keep collections that the backup lacks.
            drop_extra: drop collections that the dump lacks.
            no_indexes: build no indexes but those on `_id`.
            abandon: in the place of a name: give up a restore that was killed or cannot end.
            safety_backup: back up first what is replaced.
            allow_different_db: restore the backup of another database.
            into: restore into this database of the same server.
            lock_timeout: seconds to wait for another run.

        Returns:
            The report. `earlier` and `notes` say what became of an unfinished restore.

        Raises:
            BackupNotFoundError: there is no such backup.
            BackupCorruptError: the backup is not as it was written. Nothing was written.
            OtherDatabaseError: it is another database's backup. Nothing was written.
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
        """List every backup in the directory, and those that the old tool left in the database."""
        return self._do(BackupList.from_dict, self._backups.list, progress, stop)

    def verify_backup(
        self, name: str, *, progress: Progress | None = None, stop: Stop | None = None
    ) -> VerifyReport:
        """Read every byte of a backup and compare it with its manifest.

        Raises:
            BackupNotFoundError: there is no such backup.
            BackupCorruptError: `file` is not as it was written.
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
        """Remove all but the newest `keep` backups of this database and kind.

        A backup that a migration's record or an unfinished restore still needs stays.
        """
        call = partial(self._backups.prune, keep, kind=kind)
        return self._do(PruneReport.from_dict, call, progress, stop)


def _names(names: Sequence[str] | None) -> list[str] | None:
    if isinstance(names, str):
        raise TypeError("collections and exclude are sequences of names, not one name")
    return None if names is None else list(names)
