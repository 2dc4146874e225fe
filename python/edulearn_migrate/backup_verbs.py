"""The verbs of backups, which `Migrator` and `AsyncMigrator` inherit."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from edulearn_migrate import _native
from edulearn_migrate.events import Progress, observer
from edulearn_migrate.reports.backups import (
    BackupList,
    BackupReport,
    Consistency,
    PruneReport,
    RestoreReport,
    VerifyReport,
)
from edulearn_migrate.work import Work

_Result = TypeVar("_Result")


def _names(collections: Sequence[str] | None) -> list[str] | None:
    if isinstance(collections, str):
        raise TypeError("collections is a sequence of names, not one name")
    return None if collections is None else list(collections)


class SyncBackups:
    """Backups of the database, synchronously. Errors are `BackupError`s, one class per kind."""

    _backups: _native.Backups

    def backup(
        self,
        *,
        collections: Sequence[str] | None = None,
        consistency: Consistency = "snapshot",
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> BackupReport:
        """Write a backup into the backup directory; needs read rights only and takes no lock.

        On a replica set everything is as of one cluster time. Raises `SnapshotLostError` where the
        server gave that up meanwhile, `DiskFullError`, and `WrongStateError` while a restore is
        unfinished; then nothing remains of the backup.
        """
        return BackupReport.from_dict(
            self._backups.backup(
                collections=_names(collections),
                consistency=consistency,
                observer=observer(progress),
                stop=stop,
            ).run()
        )

    def restore(
        self,
        name: str | None = None,
        *,
        from_mongodump: str | os.PathLike[str] | None = None,
        collections: Sequence[str] | None = None,
        keep_extra: bool = False,
        drop_extra: bool = False,
        safety_backup: bool = True,
        allow_different_db: bool = False,
        into: str | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> RestoreReport:
        """Bring the database to the state of the backup `name`, or of what mongodump wrote.

        `latest` is the newest full backup made by hand. What a dump of mongodump lacks stays,
        unless `drop_extra` says that it goes. Without a name and a directory it only takes a
        restore that was killed to its end. Raises `BackupNotFoundError`, `BackupCorruptError` and
        `OtherDatabaseError` before anything is written.
        """
        return RestoreReport.from_dict(
            self._backups.restore(
                name,
                from_mongodump=from_mongodump,
                collections=_names(collections),
                keep_extra=keep_extra,
                drop_extra=drop_extra,
                safety_backup=safety_backup,
                allow_different_db=allow_different_db,
                into=into,
                lock_timeout=lock_timeout,
                observer=observer(progress),
                stop=stop,
            ).run()
        )

    def list_backups(
        self, *, progress: Progress | None = None, stop: _native.StopToken | None = None
    ) -> BackupList:
        """Every backup in the directory, and those that the old tool left in the database."""
        return BackupList.from_dict(
            self._backups.list(observer=observer(progress), stop=stop).run()
        )

    def verify_backup(
        self,
        name: str,
        *,
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> VerifyReport:
        """Read every byte of a backup and compare it with its manifest.

        Raises `BackupCorruptError`, whose `file` names the one that is not as it was written.
        """
        return VerifyReport.from_dict(
            self._backups.verify(name, observer=observer(progress), stop=stop).run()
        )

    def prune_backups(
        self,
        keep: int,
        *,
        kind: Literal["manual", "safety"] = "manual",
        progress: Progress | None = None,
        stop: _native.StopToken | None = None,
    ) -> PruneReport:
        """Remove all but the `keep` newest backups of this database and kind.

        One that a migration's record or an unfinished restore still needs stays.
        """
        return PruneReport.from_dict(
            self._backups.prune(keep, kind=kind, observer=observer(progress), stop=stop).run()
        )


class AsyncBackups:
    """The same for asyncio. Arguments, answers and errors are those of `SyncBackups`."""

    _backups: _native.Backups

    async def _run(
        self,
        verb: Callable[..., Work[_Result]],
        progress: Progress | None,
        *args: object,
        **options: object,
    ) -> _Result:
        raise NotImplementedError  # AsyncMigrator's

    async def backup(
        self,
        *,
        collections: Sequence[str] | None = None,
        consistency: Consistency = "snapshot",
        progress: Progress | None = None,
    ) -> BackupReport:
        """Write a backup into the backup directory; needs read rights only and takes no lock."""
        report = await self._run(
            self._backups.backup,
            progress,
            collections=_names(collections),
            consistency=consistency,
        )
        return BackupReport.from_dict(report)

    async def restore(
        self,
        name: str | None = None,
        *,
        from_mongodump: str | os.PathLike[str] | None = None,
        collections: Sequence[str] | None = None,
        keep_extra: bool = False,
        drop_extra: bool = False,
        safety_backup: bool = True,
        allow_different_db: bool = False,
        into: str | None = None,
        lock_timeout: float = 10.0,
        progress: Progress | None = None,
    ) -> RestoreReport:
        """Bring the database to the state of the backup `name`, or of what mongodump wrote."""
        report = await self._run(
            self._backups.restore,
            progress,
            name,
            from_mongodump=from_mongodump,
            collections=_names(collections),
            keep_extra=keep_extra,
            drop_extra=drop_extra,
            safety_backup=safety_backup,
            allow_different_db=allow_different_db,
            into=into,
            lock_timeout=lock_timeout,
        )
        return RestoreReport.from_dict(report)

    async def list_backups(self, *, progress: Progress | None = None) -> BackupList:
        """Every backup in the directory, and those that the old tool left in the database."""
        return BackupList.from_dict(await self._run(self._backups.list, progress))

    async def verify_backup(self, name: str, *, progress: Progress | None = None) -> VerifyReport:
        """Read every byte of a backup and compare it with its manifest."""
        report: dict[str, Any] = await self._run(self._backups.verify, progress, name)
        return VerifyReport.from_dict(report)

    async def prune_backups(
        self,
        keep: int,
        *,
        kind: Literal["manual", "safety"] = "manual",
        progress: Progress | None = None,
    ) -> PruneReport:
        """Remove all but the `keep` newest backups of this database and kind."""
        report = await self._run(self._backups.prune, progress, keep, kind=kind)
        return PruneReport.from_dict(report)
