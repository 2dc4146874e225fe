"""`status`: what is applied, pending, rolled back and failed. Reads only."""

from __future__ import annotations

from edulearn_migrate.cli import exits

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
_TO_DO = ("pending", "failed", "applying", "rolling_back")
"""The states that `--pending` lists."""
_NEWEST = 20
"""How many migrations a terminal shows in any case. Older ones are folded if all is well."""


def run(context: Context) -> int:
    """Print the state of every migration."""
    args = context.args
    report = context.report(context.engine().status(observer=context.observe))
    context.ignored(report["ignored"])
    chosen = _chosen(report["migrations"], pending=args.pending, last=args.last)
    context.document["migrations"] = chosen
    context.output.note(f"Target: {context.target()}")
    cut = args.pending or args.last is not None
    fold = context.output.terminal and not cut
    show(context.output, {**report, "migrations": chosen}, fold=fold, retained=args.retained)
    return exits.DONE


def show(
    output: Output, report: Mapping[str, Any], *, fold: bool = False, retained: bool = False
) -> None:
    """The lines of a status report.

    `fold` leaves out older migrations that need no attention. `retained` lists what is retained.
    """
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
    _history(output, report["migrations"], fold=fold)
    if report["retained"]["runs"] or retained:
        output.note("")
        _retained(output, report["retained"], listed=retained)
    if report["lock"] is not None:
        output.note("")
        output.note(_lock(report["lock"]), style="warning")
    if report["unfinished_restore"] is not None:
        output.note("")
        output.line(_restore(report["unfinished_restore"]))
    if report["unfinished_assessments"] is not None:
        output.note("")
        output.line(f"Unfinished: {report['unfinished_assessments']}")


def _chosen(
    migrations: Sequence[Mapping[str, Any]], *, pending: bool, last: int | None
) -> list[Mapping[str, Any]]:
    """The migrations that `--pending` and `--last` leave."""
    left = [each for each in migrations if not pending or each["status"] in _TO_DO]
    return left if last is None else left[-last:]


def _history(output: Output, migrations: Sequence[Mapping[str, Any]], *, fold: bool) -> None:
    """The documented line of each migration, and under it what else there is to know."""
    older = max(len(migrations) - _NEWEST, 0) if fold else 0
    folded = sum(_settled(each) for each in migrations[:older])
    if folded:
        from edulearn_migrate.plural import counted

        output.note(
            f"  … {counted(folded, 'older migration')}, applied "
            f"(`status --last {len(migrations)}` lists all)",
            style="faint",
        )
    for at, each in enumerate(migrations):
        if at < older and _settled(each):
            continue
        symbol = _SYMBOLS.get(each["status"], "?")
        output.line(f"  {symbol} {each['name']} - {each['status']}")
        output.note(f"      {each['id']}{_moments(each)}", style="faint")
        for text in notes(each):
            output.problem(f"      {text}")


def _settled(migration: Mapping[str, Any]) -> bool:
    """Whether a migration is applied and needs nobody's attention."""
    return migration["status"] == "applied" and not notes(migration)


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


def _moments(migration: Mapping[str, Any]) -> str:
    """When it was applied and rolled back, where that is its state."""
    state = migration["status"]
    keys = {"applied": ("applied_at",), "rolled_back": ("applied_at", "rolled_back_at")}
    labels = {"applied_at": "applied", "rolled_back_at": "rolled back"}
    return "".join(
        f", {labels[key]} {migration[key]:%Y-%m-%d %H:%M:%S} UTC"
        for key in keys.get(state, ())
        if migration[key]
    )


def _retained(output: Output, retained: Mapping[str, Any], *, listed: bool) -> None:
    """What is kept for undo, in one line; migration by migration if `listed`."""
    from edulearn_migrate.cli.retained import by_migration, size
    from edulearn_migrate.plural import counted

    runs = retained["runs"]
    if not runs:
        output.note("Retained for undo: nothing")
        return
    share = _share(retained["bytes"], retained["data_bytes"])
    where = "" if listed else "; `status --retained` lists it"
    output.note(
        f"Retained for undo: {size(retained['bytes'])} in {counted(len(runs), 'run')}{share}{where}"
    )
    if listed:
        for each in by_migration(runs):
            output.note(f"  - {each}")
    if retained["large"]:
        output.note(
            "  `purge --older-than 30d` frees what was captured more than 30 days ago. What is "
            "purged can no longer be undone.",
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
        "building": "the database is as it was before; `restore --finish` undoes it",
        "swapping": "part of the database comes from the backup, the rest is as it was before; "
        "`restore --finish` completes it",
    }.get(unfinished["phase"], unfinished["phase"])
    return f"Unfinished restore of {unfinished['backup']}, begun on {unfinished['host']}: {state}"
