"""`assessment-migrate`: brings regular and teacher assessments into one model."""

from __future__ import annotations

import json

from edulearn_migrate.cli import exits
from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context
    from edulearn_migrate.cli.output import Output

    Report = Mapping[str, Any]

_SHOWN = 20


def run(context: Context) -> int:
    """Migrate, or with --dry-run say what would be done. Fails where the validation does."""
    args, output = context.args, context.output
    if args.dry_run:
        engine = context.engine()
        output.note(f"Target: {context.target()}")
        context.show_progress()
    else:
        engine = context.writing()
    output.line("Starting assessment model migration...")

    def observe(event: dict[str, Any]) -> None:
        context.observe(event)
        if event["kind"] in ("surveyed", "step_started"):
            context.finish()
            output.note(f"  {event['message']}")
            context.show_progress()

    work = context.assessments(engine).migrate(
        accept_unmapped=args.accept_unmapped,
        dry_run=args.dry_run,
        ids=args.ids,
        workers=context.settings.workers,
        lock_timeout=context.lock_timeout,
        observer=observe,
    )
    report = context.report(work, "dry_run", "validation")
    _show(output, report)
    return exits.DONE if report["validation"]["valid"] else exits.FAILED


def _show(output: Output, report: Report) -> None:
    regular, teacher, validation = report["regular"], report["teacher"], report["validation"]
    dry = report["dry_run"]
    if dry:
        output.line("Dry run: nothing was written. It would migrate:")
    else:
        output.line("✓ Assessment migration completed:")
    output.line(f"  Regular assessments: {regular['migrated']}")
    output.line(f"  Teacher assessments: {teacher['migrated']}")
    output.line(f"  Indexes created: {len(report['indexes']['created'])}")
    output.line(f"  Validation: {'✓' if validation['valid'] else '✗'}")
    if report["backup"]:
        output.note(f"  Backup: {report['backup']['path']}")
    already = regular["already"] + teacher["already"]
    if already:
        output.note(f"  Unified before: {already:,}")
    dates = regular["dates_converted"] + teacher["dates_converted"]
    if dates:
        output.note(f"  Dates converted from text: {dates:,}")
    if validation["added_meanwhile"]:
        number = f"{validation['added_meanwhile']:,}"
        output.note(f"  Added while it ran, left to the next run: {number}")
    for text in (*report["indexes"]["notes"], *_copies(report)):
        output.note(f"  Note: {text}")
    reported = report["reported"]
    if reported["empty_batches"]:
        number = f"{reported['empty_batches']:,}"
        output.note(f"  Unified without batches beside filled assigned_batches: {number}")
        for identity in reported["ids"][:_SHOWN]:
            output.note(f"    {_shown(identity)}")
        _more(output, reported["ids"], reported["empty_batches"])
    _listed(output, report)
    for problem in validation["problems"]:
        output.line(f"  Problem: {problem}")
    output.note(f"  in {report['seconds']:.1f} s")


def _copies(report: Report) -> list[str]:
    """What there is to know about the copies' `_id`s."""
    copies, meant = report["copies"], report["meant"]
    said = []
    if report["ids"] == "keep":
        if report["dry_run"] and report["teacher"]["migrated"]:
            said.append(
                "the copies keep the _id of their teacher assessments, to which "
                f"{counted(meant['results'], 'result')} and "
                f"{counted(meant['submissions'], 'submission')} refer"
            )
        if copies["new_ids"]:
            one = copies["new_ids"] == 1
            have = "1 copy has" if one else f"{copies['new_ids']:,} copies have"
            said.append(
                f"{have} a new _id and {'stays' if one else 'stay'}. For the _id of the teacher "
                "assessment, run assessment-rollback, then this command again"
            )
    elif copies["kept_ids"]:
        one = copies["kept_ids"] == 1
        have = "1 copy has" if one else f"{copies['kept_ids']:,} copies have"
        said.append(
            f"{have} the _id of {'its' if one else 'their'} teacher assessment, as earlier "
            "versions and --ids keep make them. An application that looks into assessments first "
            "finds the copies"
        )
    return said


def _listed(output: Output, report: Report) -> None:
    """The first documents that cannot be mapped, and the first clashes."""
    unmapped, clashes = report["unmapped"], report["clashes"]
    if unmapped:
        output.line(f"  Cannot be mapped, left as they are: {report['validation']['unmapped']}")
    for each in unmapped[:_SHOWN]:
        where = f"{each['collection']} {_shown(each['_id'])}"
        said = (each["field"], each["reason"])
        output.line(f"    {where}: {' '.join(filter(None, said))}")
    _more(output, unmapped, report["validation"]["unmapped"])
    if clashes:
        output.line(f"  Teacher assessments whose _id another document has: {report['clashing']}")
    for each in clashes[:_SHOWN]:
        new = "a new one" if each["new_id"] is None else _shown(each["new_id"])
        mean = "means" if each["references"] == 1 else "mean"
        references = f"{counted(each['references'], 'reference')} {mean} the other document"
        output.line(f"    {_shown(each['_id'])} gets {new}; {references}")
    _more(output, clashes, report["clashing"])


def _more(output: Output, listed: list[Any], count: int) -> None:
    if count > _SHOWN:
        listing = "them all" if len(listed) == count else f"the first {len(listed)}"
        output.line(f"    and {count - _SHOWN} more; --json lists {listing}")


def _shown(identity: object) -> str:
    return json.dumps(identity, ensure_ascii=False, default=str)
