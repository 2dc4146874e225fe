"""`backup`: writes a backup and prints its name and where it is."""

from __future__ import annotations

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.output import megabytes
from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context


def run(context: Context) -> int:
    """Write it. On failure nothing that looks like a backup remains."""
    args = context.args
    backups = context.backups(context.writing())
    work = backups.backup(
        collections=args.collections,
        exclude=args.exclude,
        consistency=args.consistency,
        observer=context.observe,
    )
    report = context.report(work)
    output = context.output
    output.line(f"✓ Database backup created: {report['name']}")
    output.line(f"  Collections backed up: {report['collections']}")
    output.line(f"  Path: {report['path']}")
    output.line(f"  Consistency: {report['consistency']}{_time(report)}")
    for note in report["notes"]:
        output.line(f"  Note: {note}")
    if report["excluded"]:
        output.line(f"  Excluded: {', '.join(report['excluded'])}")
    if report["left_out"]:
        output.note(f"  Left out: {', '.join(report['left_out'])}")
    sizes = f"{megabytes(report['bytes'])} in {megabytes(report['stored_bytes'])} of files"
    output.note(
        f"  {counted(report['documents'], 'document')}, {sizes}, in {report['seconds']:.1f} s"
    )
    return exits.DONE


def _time(report: Mapping[str, Any]) -> str:
    time = report["cluster_time"]
    return "" if time is None else f" (all of cluster time {time['seconds']}, {time['increment']})"
