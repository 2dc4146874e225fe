"""`rehearse [ID]`: what is pending, there and back on a private server."""

from __future__ import annotations

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.output import columns
from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context
    from edulearn_migrate.cli.output import Output

    Report = Mapping[str, Any]

_HEADS = ["MIGRATION", "APPLY", "DOCUMENTS", "DOWN SCRIPT", "", "EXACT", ""]
# The lines are documented: cut to no terminal's width.
_WIDE = 10_000


def run(context: Context) -> int:
    """Rehearse. Exit 0 only if everything came back, by the down scripts and exactly."""
    from edulearn_migrate.rehearsal import rehearse

    args, settings = context.args, context.settings
    # The database's own server is asked only for the live data.
    live = context.engine() if args.live else None
    context.show_progress()
    try:
        report = rehearse(
            settings.database,
            settings.migrations_dir,
            settings.backup_dir,
            id=args.migration_id,
            backup=args.backup,
            live=live,
            any_version=args.any_version,
            ledger=settings.ledger,
            strict_order=args.strict_order,
            observer=context.observe,
        )
    except Exception as error:
        from edulearn_migrate.cli.commands.restore import missing

        context.finish()
        if args.backup is not None:
            missing(context.output, error)
        raise
    context.finish()
    context.ignored(report["ignored"])
    context.document.update(report)
    _show(context.output, report, context.target())
    return exits.DONE if report["passed"] else exits.FAILED


def _show(output: Output, report: Report, target: str) -> None:
    migrations = report["migrations"]
    if not migrations:
        output.line("No pending migrations to rehearse")
        return
    moment = f"{report['created_at']:%Y-%m-%d %H:%M:%S} UTC"
    data = f"{target} as it is" if report["live"] else f"the backup {report['backup']}"
    documents = counted(report["documents"], "document")
    output.line(f"Rehearsed on {data}: {documents} of {moment}")
    output.line(f"  Data of: MongoDB {report['production_version'] or 'of an unknown version'}")
    output.line(f"  Private server: MongoDB {report['private_version'] or 'of an unknown version'}")
    for line in columns(_HEADS, [_row(each) for each in migrations], _WIDE):
        output.line(f"  {line}")
    for each in migrations:
        _came_back(output, each)
    for later in report["not_rehearsed"]:
        output.line(f"✗ Not rehearsed, after one that could not be applied: {later}")
    output.note(f"  In {report['seconds']:.1f} s; the database itself was not changed")
    if report["passed"]:
        output.line(f"✓ Rehearsal passed: {counted(len(migrations), 'migration')}")
    else:
        bad = [each["id"] for each in migrations if each["outcome"] != "came_back"]
        output.line(f"✗ Rehearsal failed: {', '.join([*bad, *report['not_rehearsed']])}")


def _row(trip: Report) -> list[str]:
    failed = {failure["step"] for failure in trip["failures"]}
    return [
        trip["id"],
        _seconds(trip["apply_seconds"]),
        f"{trip['documents']:,}",
        _seconds(trip["down_seconds"]),
        _verdict(trip["down"], "down script" in failed),
        _seconds(trip["exact_seconds"]),
        _verdict(trip["exact"], "exact rollback" in failed),
    ]


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"


def _verdict(compared: Report | None, failed: bool) -> str:
    if failed:
        return "failed"
    if compared is None:
        return "not run"
    return "all back" if compared["same"] else "not all back"


def _came_back(output: Output, trip: Report) -> None:
    """The verdict on one migration, and what it rests on."""
    from edulearn_migrate.rehearsal import differences, remarks

    ways = (("the down script", trip["down"]), ("the exact rollback", trip["exact"]))
    if trip["outcome"] == "came_back":
        output.line(f"✓ Everything came back: {trip['id']}")
        for way, compared in ways:
            for line in remarks(compared) if compared is not None else ():
                output.note(f"    after {way}: {line}")
        return
    for failure in trip["failures"]:
        output.line(f"✗ Failed to rehearse migration: {trip['id']} ({failure['step']})")
        output.line(f"    {failure['message']}")
    for way, compared in ways:
        if compared is not None and not compared["same"]:
            output.line(f"✗ Not everything came back by {way}: {trip['id']}")
            for line in differences(compared):
                output.line(f"    {line}")
