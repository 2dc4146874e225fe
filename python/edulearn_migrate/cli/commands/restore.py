"""`restore NAME`: brings the database to the state of a backup."""

from __future__ import annotations

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.output import megabytes
from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context
    from edulearn_migrate.cli.output import Output

_EARLIER = {
    "finished": "✓ An earlier restore was finished",
    "undone": "✓ An earlier restore was undone; it had replaced nothing",
    "abandoned": "✓ An earlier restore was given up in the middle: "
    "the database is neither as it was before nor as in the backup",
    "none": "No unfinished restore",
}


def run(context: Context) -> int:
    """Restore; everything is verified before anything is written."""
    args = context.args
    backups = context.backups(context.writing())
    work = backups.restore(
        args.backup_name,
        from_mongodump=args.from_mongodump,
        collections=args.collections,
        exclude=args.exclude,
        keep_extra=args.keep_extra,
        drop_extra=args.drop_extra,
        no_indexes=args.no_indexes,
        abandon=args.abandon,
        safety_backup=not args.no_safety_backup,
        allow_different_db=args.allow_different_db,
        into=args.into,
        lock_timeout=context.lock_timeout,
        observer=context.observe,
    )
    try:
        report = context.report(work)
    except Exception as error:
        missing(context.output, error)
        raise
    nothing_new = args.finish or args.abandon
    if nothing_new or report["earlier"] != "none":
        context.output.line(_EARLIER[report["earlier"]])
    if nothing_new:
        for note in report["notes"]:
            context.output.line(f"  Note: {note}")
    else:
        _show(context.output, report)
    return exits.DONE


def missing(output: Output, error: BaseException) -> None:
    """The documented line for a backup that is not there. The error says where it was sought."""
    if type(error).__name__ == "BackupNotFoundError":
        output.line(f"✗ Backup not found: {vars(error)['name']}")


def _show(output: Output, report: Mapping[str, Any]) -> None:
    output.line(f"✓ Database restored from backup: {report['name']}")
    output.line(f"  Documents restored: {report['documents']}")
    output.line(f"  Collections restored: {report['collections']}")
    for name in report["dropped"]:
        output.line(f"  Dropped, the backup lacks it: {name}")
    for name in report["left_alone"]:
        output.line(f"  Left as it is: {name}")
    if report["safety_backup"]:
        output.line(f"  Safety backup: {report['safety_backup']}")
    for note in report["notes"]:
        output.line(f"  Note: {note}")
    indexes = counted(report["indexes"], "index")
    output.note(f"  {megabytes(report['bytes'])}, {indexes}, in {report['seconds']:.1f} s")
