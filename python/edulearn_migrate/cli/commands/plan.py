"""`plan [ID]`, `apply --dry-run`, `rollback --dry-run`: what a run would do. Reads only."""

from __future__ import annotations

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.output import megabytes
from edulearn_migrate.cli.script_runs import passed_over
from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context
    from edulearn_migrate.cli.output import Output
    from edulearn_migrate.pending import PendingCall

    Data = Mapping[str, Any]


def run(context: Context) -> int:
    """What `apply` would do."""
    from edulearn_migrate._native import Preview

    args = context.args
    engine = context.engine()
    context.show_progress()
    work = Preview(engine).apply(
        args.migration_id,
        rolled_back=args.rolled_back,
        strict_order=args.strict_order,
        capture=not args.no_capture,
        observer=context.observe,
    )
    return show(context, work)


def rollback(context: Context) -> int:
    """What `rollback` would do."""
    from edulearn_migrate._native import Preview

    args = context.args
    engine = context.engine()
    context.show_progress()
    work = Preview(engine).rollback(
        args.migration_id,
        from_file=args.from_file,
        exact=args.exact,
        capture=not args.no_capture,
        observer=context.observe,
    )
    return show(context, work)


def show(context: Context, work: PendingCall[dict[str, Any]]) -> int:
    """The lines of a plan, and its exit code: 1 where the run would fail."""
    report = context.report(work)
    context.ignored(report["ignored"])
    output = context.output
    output.note(f"Target: {context.target()}")
    down = report["direction"] == "down"
    for migration in report["migrations"]:
        _migration(output, migration, "Would roll back" if down else "Would apply")
    if report["already_applied"]:
        output.line(f"Applied already: {report['already_applied']}")
    elif not report["migrations"] and report["blocked"] is None:
        output.line(f"No {'applied' if down else 'pending'} migrations: nothing would be done")
    passed_over(output, report)
    if report["blocked"] is not None:
        output.problem(f"✗ Would stop at {report['blocked']['id']}: {report['blocked']['error']}")
    _rights(output, report["rights"])
    if report["problems"]:
        output.line(f"✗ Problems found: {report['problems']}")
        return exits.FAILED
    if report["migrations"]:
        output.line(f"✓ No problems found; nothing was changed{_undecided(report)}")
        if report["seconds_estimate"] >= 1:
            output.note(f"  About {duration(report['seconds_estimate'])} (an estimate)")
    return exits.DONE


def _rights(output: Output, rights: Data) -> None:
    """The rights that the database user lacks, or that nobody knows them."""
    for right in rights["missing"]:
        output.line(
            f"! The user {rights['user']} lacks the right {right['action']} on {right['resource']}"
            f" ({', '.join(right['needed_by'])})"
        )
    if rights["not_known"] is not None:
        output.note(f"Rights of the database user: not known ({rights['not_known']})")


def _undecided(report: Data) -> str:
    """What the verdict does not rest on."""
    undecided = report["undecided"]
    if not undecided:
        return ""
    all_of_them = sum(len(each["operations"]) for each in report["migrations"])
    return (
        f" ({undecided} of {counted(all_of_them, 'operation')} cannot be judged before the run;"
        " try `rehearse`)"
    )


def _migration(output: Output, migration: Data, would: str) -> None:
    marks = [
        text
        for text, holds in (
            ("exactly, by what was captured", migration["exact"]),
            ("out of order", migration["out_of_order"]),
            (f"carrying on, {counted(migration['done'], 'operation')} done", migration["resumed"]),
        )
        if holds
    ]
    suffix = f" ({'; '.join(marks)})" if marks else ""
    output.line(f"{would} {migration['id']} {migration['name']}{suffix}")
    for check in migration["checks"]:
        mark = "✓" if check["holds"] else "✗"
        later = " (earlier migrations of this plan come first)" * migration["checks_depend"]
        reason = f" ({check['reason']})" if check["reason"] and not check["holds"] else ""
        output.line(
            f"  {mark} check {check['index']}: {check['demand']}: {check['found']}{reason}{later}"
        )
    overreach = {each["index"]: each["documents"] for each in migration["overreach"]}
    for step in migration["operations"]:
        output.line(f"  {step['index']}. {step['type']} {step['collection']}: {said(step)}")
        for problem in step["problems"]:
            what = "would fail: " if problem["fails"] else ""
            output.line(f"     ✗ {what}{_with_code(problem)}")
        for doubt in step["doubts"]:
            what = "it would fail: " if doubt["fails"] else ""
            output.line(f"     ! on today's data {what}{_with_code(doubt)}")
        if step["index"] in overreach:
            output.line(f"     ! {_overreach(overreach[step['index']])}")
        for note in step["notes"]:
            output.note(f"     {note}", style="faint")


def _with_code(problem: Data) -> str:
    """The message, with the server's code once."""
    message, code = problem["message"], problem["code"]
    return str(message) if not code or f"code {code}" in message else f"{message} (code {code})"


def said(step: Data) -> str:
    """What an operation would do, in a few words."""
    return ", ".join(_parts(step)) or "to be done"


def _parts(step: Data) -> Iterator[str]:
    if step["depends_on"] and step["looked_at"]:
        yield "on today's data"
    if step["undone"] is not None:
        from edulearn_migrate.cli.script_runs import undone_text

        yield undone_text(step["undone"]) or "no documents to restore"
    elif step["changes"] is not None:
        yield _documents(step)
    if step["upserted"]:
        yield "one document would be made (upsert)"
    if step["sets_aside"] is not None:
        aside = step["sets_aside"]
        verb = "sets aside" if aside["kept"] else "removes for good"
        yield (
            f"{verb} {counted(aside['documents'], 'document')}, {megabytes(aside['bytes'])}, "
            f"{counted(len(aside['indexes']), 'index')}"
        )
    if step["duplicates"] is not None and not step["duplicates"]["keys"]:
        yield "no key occurs twice"
    if step["expires"] is not None:
        yield f"{counted(step['expires'], 'document')} expired at once"
    if step["rejected"] is not None and not step["problems"] and not step["doubts"]:
        yield _rejected(step["rejected"])
    if step["depends_on"]:
        yield f"depends on {_dependencies(step['depends_on'])}"
    if step["outcome"] in ("standing", "absent"):
        yield "nothing to do"
    if step["chunks"] is not None:
        way = "in chunks" if step["chunks"] else "in one go"
        yield way if step["transactions"] else f"{way}, at least once"
    seconds = step["seconds_estimate"]
    if seconds is not None and seconds >= 1:
        yield f"about {duration(seconds)}"


def _documents(step: Data) -> str:
    changes, matched = step["changes"], step["matched"]
    verb = {"insert_documents": "inserted", "delete_documents": "deleted"}.get(
        step["type"], "changed"
    )
    # Of today's data there is more to doubt than the number.
    most = "" if step["exact"] or step["depends_on"] else "at most "
    text = f"{most}{counted(changes, 'document')} {verb}"
    return text if matched in (None, changes) else f"{text} of {matched:,} matched"


def _rejected(rejected: Data) -> str:
    if not rejected["documents"]:
        return "every document meets the validator"
    examples = ", ".join(rejected["examples"])
    number = counted(rejected["documents"], "existing document")
    return f"{number} would not meet the validator (_id {examples})"


def _dependencies(dependencies: list[Data]) -> str:
    return ", ".join(f"{each['migration']} operation {each['operation']}" for each in dependencies)


def _overreach(documents: int | None) -> str:
    if documents is None:
        return (
            "it is not known whether it reaches documents that the up script had not touched: what "
            "that one changed was not captured, or has been purged"
        )
    return f"reaches {counted(documents, 'document')} that the up script had not touched"


def duration(seconds: float) -> str:
    """As people say it: 12 s, 4 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
