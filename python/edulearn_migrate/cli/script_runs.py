"""The lines of `apply` and `rollback`, which differ in their wording only."""

from __future__ import annotations

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.errors import report_of
from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context
    from edulearn_migrate.cli.output import Output
    from edulearn_migrate.pending import PendingCall

    Report = Mapping[str, Any]

_UNDONE = (
    ("restored", "restored as it was", "restored as they were"),
    (
        "restored_with_edits",
        "restored with later edits kept",
        "restored with later edits kept",
    ),
    ("gone", "gone since", "gone since"),
    ("made_since", "made since and kept", "made since and kept"),
    ("conflicts", "conflict (left as it is)", "conflicts (left as they are)"),
)


class Wording:
    """What a direction's lines say."""

    def __init__(self, verb: str, done: str, nothing: str, outcomes: tuple[str, ...]) -> None:
        self.verb = verb
        self.done = done
        self.nothing = nothing
        self.outcomes = outcomes
        """The first outcome is what this run did. The others were reached earlier."""


def run_scripts(
    context: Context, asked: str | None, wording: Wording, work: PendingCall[dict[str, Any]]
) -> int:
    """Do `work` and print its lines, also those of what was done before it failed.

    `asked` is the migration the command named. Whatever ended the run is raised again.
    """
    captured = not context.args.no_capture
    keys = ("migrations", "direction")
    try:
        report = context.report(work, *keys)
    except BaseException as error:
        found = report_of(error, *keys)
        if found is not None:
            context.ignored(found["ignored"])
        failed(context.output, wording, asked, found, error, captured=captured)
        raise
    context.ignored(report["ignored"])
    succeeded(context.output, wording, asked, report, captured=captured)
    return exits.DONE


def succeeded(
    output: Output, wording: Wording, asked: str | None, report: Report, *, captured: bool = True
) -> None:
    """The lines of a run that did all it should. `captured` is whether it can be undone."""
    if asked is None:
        _list(output, wording, report, captured=captured)
        if not _those(report, wording.outcomes[:1]):
            output.line(wording.nothing)
        passed_over(output, report)
    else:
        done = _those(report, wording.outcomes)
        for each in done:
            output.line(f"✓ {wording.done} migration: {each['id']}")
            _reach(output, each, captured=captured)
        if not done:
            output.line(f"✓ {wording.done} migration: {asked}")
    _details(output, report)


def failed(
    output: Output,
    wording: Wording,
    asked: str | None,
    report: Report | None,
    error: BaseException,
    *,
    captured: bool = True,
) -> None:
    """The lines of a run that stopped: what was done, and where it stopped."""
    if report is not None and asked is None:
        _list(output, wording, report, captured=captured)
        passed_over(output, report)
    stopped = _those(report, ("failed", "interrupted")) if report is not None else []
    named = stopped[0]["id"] if stopped else getattr(error, "migration_id", None) or asked
    if named is not None:
        output.line(f"✗ Failed to {wording.verb} migration: {named}")
    if stopped:
        _reach(output, stopped[0], captured=captured)
    if report is not None:
        _details(output, report)


def _list(output: Output, wording: Wording, report: Report, *, captured: bool) -> None:
    """What this run did."""
    done = _those(report, wording.outcomes[:1])
    if done:
        output.line(f"✓ {wording.done} {len(done)} migrations:")
        for each in done:
            output.line(f"  - {each['id']}")
        # Not between the lines of the list, which scripts read as one.
        for each in done:
            _reach(output, each, f"{each['id']}: ", captured=captured)


def passed_over(output: Output, report: Report) -> None:
    """Name the rolled-back migrations that an `apply` of everything leaves as they are."""
    for each in report["passed_over"]:
        output.note(
            f"Passed over {each}, which is rolled back: `apply {each}` or `apply --rolled-back` "
            "applies it again",
            style="warning",
        )


def _those(report: Report, outcomes: tuple[str, ...]) -> list[Mapping[str, Any]]:
    return [each for each in report["migrations"] if each["outcome"] in outcomes]


def _reach(
    output: Output, migration: Mapping[str, Any], whose: str = "", *, captured: bool
) -> None:
    """What an exact rollback did with documents, and what a plain one reached beyond its own.

    `whose` begins each line, where the one above does not say which migration it is about.
    """
    if migration["exact"] and not migration["operations"] and not migration["resumed"]:
        output.note(f"    {whose}nothing of it was done, so there was nothing to undo")
    for each in migration["undone"]:
        counts = undone_text(each) or "no documents to restore"
        output.note(f"    {whose}{each['collection']}: {counts}")
    types = {step["index"]: step["type"] for step in migration["operations"]}
    for each in migration["overreach"]:
        updated = types.get(each["index"]) in (None, "update_documents")
        did = "changed" if updated else "removed"
        place = f"operation {each['index']} of the down script ({each['collection']})"
        if each["documents"] is None:
            text = (
                f"it is not known whether {place} {did} documents that the up script had not "
                "touched: what that one changed was not captured, or has been purged"
            )
        else:
            number = counted(each["documents"], "document")
            text = f"{place} {did} up to {number} that the up script had not touched"
            if captured:
                them = "it" if each["documents"] == 1 else "them"
                text += f"; `rollback {migration['id']} --exact` brings {them} back"
        output.note(f"    {whose}{text}", style="warning")


def undone_text(counts: Mapping[str, int]) -> str:
    """As in `1,234 restored as they were, 4 conflicts (left as they are)`; empty for nothing."""
    return ", ".join(
        f"{counts[kind]:,} {one if counts[kind] == 1 else many}"
        for kind, one, many in _UNDONE
        if counts[kind]
    )


def _details(output: Output, report: Report) -> None:
    """For people: what is worth a note, and on a terminal a table of the operations."""
    rows = []
    for migration in report["migrations"]:
        for step in migration["operations"]:
            place = f"{migration['id']} operation {step['index']}"
            if step["note"]:
                output.note(f"    {place} ({step['type']}): {step['note']}", style="faint")
            rows.append(
                [
                    place,
                    step["type"],
                    step["collection"],
                    step["outcome"],
                    f"{step['seconds']:.2f} s",
                    _counts(step),
                ]
            )
    output.table(["OPERATION", "TYPE", "COLLECTION", "OUTCOME", "TIME", "DOCUMENTS"], rows)


def _counts(step: Mapping[str, Any]) -> str:
    if "undone" in step:
        return undone_text(step["undone"])
    kinds = ["matched", "modified", "inserted", "deleted", "upserted"]
    if step["matched"] == step["modified"]:
        kinds.remove("matched")
    return ", ".join(f"{step[kind]:,} {kind}" for kind in kinds if step[kind])
