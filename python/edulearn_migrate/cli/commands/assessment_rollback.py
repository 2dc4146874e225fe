"""`assessment-rollback`: undoes the unification of the assessment model without losing work."""

from __future__ import annotations

from edulearn_migrate.cli import exits

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context
    from edulearn_migrate.cli.output import Output

_COUNTS = (
    ("restored_with_edits", "Restored with later edits kept"),
    ("conflicts", "Changed again since, left as they are"),
    ("gone", "Gone since"),
)


def run(context: Context) -> int:
    """Roll back, and print what became of the documents."""
    output = context.output
    engine = context.writing()
    output.line("Starting assessment migration rollback...")
    work = context.assessments(engine).rollback(
        workers=context.settings.workers,
        lock_timeout=context.lock_timeout,
        observer=context.observe,
    )
    report = context.report(work, "nothing_to_roll_back", "carried_back")
    _show(output, report)
    return exits.DONE


def _show(output: Output, report: Mapping[str, Any]) -> None:
    regular, teacher = report["regular"], report["teacher"]
    if report["nothing_to_roll_back"]:
        output.line("There is nothing to roll back: the assessment model is not migrated.")
    output.line("✓ Assessment rollback completed:")
    for name, side in (("regular", regular), ("teacher", teacher)):
        number = side["restored"] + side["restored_with_edits"]
        output.line(f"  Restored {name}: {number}")
    output.line(f"  Indexes dropped: {len(report['indexes_dropped'])}")
    for key, text in _COUNTS:
        if regular[key] + teacher[key]:
            output.note(f"  {text}: {regular[key]:,} regular, {teacher[key]:,} teacher")
    for key, text in (
        ("carried_back", "Teacher assessments that got back edits of their copies"),
        ("kept_copies", "Edited copies that stay, their edits having nowhere to go"),
        ("kept_newer", "Newer than the migration, kept"),
    ):
        if report[key]:
            output.note(f"  {text}: {report[key]:,}")
    if report["from_old_backup"]:
        output.note(f"  From the old tool's backup: {report['from_old_backup']}")
    for text in report["unknown"]:
        output.line(f"  Could not be known: {text}")
    output.note(f"  in {report['seconds']:.1f} s")
