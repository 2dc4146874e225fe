"""`backups list|verify|prune`."""

from __future__ import annotations

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.command_line import LISTING
from edulearn_migrate.cli.output import megabytes
from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate.cli.context import Context


def run(context: Context) -> int:
    """The one of the three that was asked for."""
    return {"list": _list, "verify": _verify, "prune": _prune}[context.args.backups_command](
        context
    )


def _list(context: Context) -> int:
    report = context.backups(context.engine()).list(observer=context.observe).run()
    for problem in report["problems"]:
        context.warn(f"Warning: {problem}")
    found = report["backups"]
    context.document[LISTING] = found
    if not found:
        context.output.line("No backups")
    for each in found:
        moment = each["created_at"].strftime("%Y-%m-%d %H:%M:%S")
        part = "" if each["full"] else ", part"
        documents = counted(each["documents"], "document")
        context.output.line(
            f"{each['name']}  {moment} UTC  {each['kind']}{part}  {each['database']}  "
            f"{documents}  {megabytes(each['bytes'])}  {each['consistency']}"
        )
    return exits.DONE


def _verify(context: Context) -> int:
    from edulearn_migrate.cli.commands.restore import missing

    context.show_progress()
    work = context.backups(context.engine()).verify(
        context.args.backup_name, observer=context.observe
    )
    try:
        report = context.report(work)
    except Exception as error:
        missing(context.output, error)
        raise
    context.output.line(f"✓ Backup verified: {report['name']}")
    context.output.line(f"  Documents: {report['documents']}")
    for note in report["notes"]:
        context.output.line(f"  Note: {note}")
    context.output.note(
        f"  {counted(report['collections'], 'collection')}, {megabytes(report['bytes'])}, "
        f"in {report['seconds']:.1f} s"
    )
    return exits.DONE


def _prune(context: Context) -> int:
    work = context.backups(context.writing()).prune(
        context.args.keep, kind=context.args.kind, observer=context.observe
    )
    report = context.report(work)
    for name in report["removed"]:
        context.output.line(f"✓ Removed backup: {name}")
    for name in report["needed"]:
        context.output.line(f"  Kept, a record needs it: {name}")
    if not report["removed"]:
        context.output.line("No backups to remove")
    context.output.line(f"  Backups kept: {report['kept']}")
    return exits.DONE
