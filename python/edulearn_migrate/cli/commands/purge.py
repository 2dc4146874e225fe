"""`purge [ID] [--older-than AGE]`: frees what was captured."""

from __future__ import annotations

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.errors import report_of
from edulearn_migrate.cli.retained import by_migration, size
from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context
    from edulearn_migrate.cli.output import Output


def run(context: Context) -> int:
    """Purge, and print what was freed and what was kept, also where it failed midway."""
    args = context.args
    engine = context.writing(args.migration_id)
    work = engine.purge(
        args.migration_id,
        older_than=args.older_than,
        lock_timeout=context.lock_timeout,
        observer=context.observe,
    )
    try:
        report = context.report(work, "purged")
    except BaseException as error:
        found = report_of(error, "purged")
        if found is not None:
            _freed(context.output, found)
        raise
    if not report["purged"]:
        context.output.line("Nothing to purge")
    _freed(context.output, report)
    for each in by_migration(report["kept"]):
        context.output.line(f"  Kept: {each}; it is unfinished and may need them to go back")
    for each in by_migration(report["left"]):
        output = context.output
        output.line(f"  Kept: {each}; a rollback could not bring back all of it (see `undrop`)")
    return exits.DONE


def _freed(output: Output, report: Mapping[str, Any]) -> None:
    purged = report["purged"]
    if purged:
        output.line(f"✓ Purged {counted(len(purged), 'capture')} ({size(report['bytes'])})")
        for each in by_migration(purged):
            output.line(f"  - {each}")
