"""`status`: what is applied, pending, rolled back and failed. Reads only."""

from __future__ import annotations

from edulearn_migrate.cli import exits

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context
    from edulearn_migrate.cli.output import Output

_SYMBOLS = {
    "applied": "✓",
    "rolled_back": "✗",
    "pending": "○",
    "failed": "!",
    "applying": "▸",
    "rolling_back": "◂",
}
# The states the old tool did not know, shown where there are any.
_NEW_COUNTS = (("failed", "Failed"), ("applying", "Applying"), ("rolling_back", "Rolling back"))


def run(context: Context) -> int:
    """Print where every migration stands."""
    report = context.report(context.engine().status(observer=context.observe))
    context.ignored(report["ignored"])
    context.output.note(f"Target: {context.target()}")
    show(context.output, report)
    return exits.DONE


def show(output: Output, report: Mapping[str, Any]) -> None:
    """The lines of a status report."""
    output.line("Migration Status:")
    output.line(f"  Total migrations: {report['total']}")
    output.line(f"  Applied: {report['applied']}")
    output.line(f"  Pending: {report['pending']}")
    output.line(f"  Rolled back: {report['rolled_back']}")
    for key, label in _NEW_COUNTS:
        if report[key]:
            output.line(f"  {label}: {report[key]}")
    if report["foreign_ledger"] is not None:
        output.line(f"  {report['foreign_ledger']}")
    output.note("")
    output.line("Migration History:")
    for each in report["migrations"]:
        symbol = _SYMBOLS.get(each["status"], "?")
        output.line(f"  {symbol} {each['name']} - {each['status']}")
        for text in notes(each):
            output.line(f"      {text}")
    if report["retained"]["runs"]:
        output.note("")
        _retained(output, report["retained"])
    if report["lock"] is not None:
        output.note("")
        output.note(_lock(report["lock"]), style="warning")
    if report["unfinished_restore"] is not None:
        output.note("")
        output.line(_restore(report["unfinished_restore"]))
    if report["unfinished_assessments"] is not None:
        output.note("")
        output.line(f"Unfinished: {report['unfinished_assessments']}")
    output.table(
        ["ID", "NAME", "STATE", "APPLIED (UTC)", "ROLLED BACK (UTC)"],
        [
            [
                each["id"],
                each["name"],
                each["status"],
                _moment(each["applied_at"]),
                _moment(each["rolled_back_at"]),
            ]
            for each in report["migrations"]
        ],
    )


def notes(migration: Mapping[str, Any]) -> list[str]:
    """What is to be said about a migration beyond its state."""
    said = [migration["note"]] if migration["note"] else []
    if migration["changed"] and "changed" not in (migration["note"] or ""):
        said.append("changed since it was applied")
    if migration["out_of_order"] and "out of order" not in (migration["note"] or ""):
        said.append("out of order: it sorts before one that is already applied")
    if migration["error"]:
        said.append(f"error: {migration['error']}")
    return said


def _retained(output: Output, retained: Mapping[str, Any]) -> None:
    """What is kept for undo, and a word where that is much."""
    from edulearn_migrate.cli.retained import by_migration, counted, size

    runs = retained["runs"]
    share = _share(retained["bytes"], retained["data_bytes"])
    text = f"Retained for undo: {size(retained['bytes'])} in {counted(len(runs), 'run')}{share}"
    output.note(text)
    for each in by_migration(runs):
        output.note(f"  - {each}")
    if retained["large"]:
        output.note(
            "  That is more than a fifth of the data. `purge --older-than 30d` frees what was "
            "captured more than 30 days ago; what is purged can no longer be undone.",
            style="warning",
        )


def _share(part: int, whole: int) -> str:
    if whole <= 0:
        return ""
    percent = round(100 * part / whole)
    return f" ({percent:,}% of the data)" if percent else " (under 1% of the data)"


def _lock(owner: Mapping[str, Any]) -> str:
    from edulearn_migrate.cli.output import rfc3339

    state = "left behind" if owner["expired"] else "held"
    since = f" since {rfc3339(owner['since'])}" if owner["since"] else ""
    return f"Lock: {state} by process {owner['pid']} on {owner['host']}{since}"


def _restore(unfinished: Mapping[str, Any]) -> str:
    state = {
        "building": "the database is as it was before",
        "swapping": "part of the database is of the backup, part as it was before",
    }.get(unfinished["phase"], unfinished["phase"])
    return (
        f"Unfinished restore of {unfinished['backup']}, begun on {unfinished['host']}: {state}; "
        "`restore` takes it to its end first"
    )


def _moment(value: Any) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S") if value else ""
