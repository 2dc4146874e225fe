"""The lines of `apply` and `rollback`, which differ in their words only."""

from __future__ import annotations

from edulearn_migrate.cli import exits

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context
    from edulearn_migrate.cli.output import Output

    Report = Mapping[str, Any]


class Words:
    """What a direction's lines say."""

    def __init__(self, verb: str, done: str, nothing: str, outcomes: tuple[str, ...]) -> None:
        self.verb = verb
        self.done = done
        self.nothing = nothing
        self.outcomes = outcomes
        """The first is what this run did; the others stood so before."""


def carry_out(context: Context, asked: str | None, words: Words, verb: Callable[[], Any]) -> int:
    """Run `verb` and print its lines, also those of what was done before it failed.

    `asked` is the migration the command named. Whatever ended the run is raised again.
    """
    try:
        report = verb()
    except BaseException as error:  # also what a signal handler raised
        context.finish()
        found = _report_of(error)
        if found is not None:
            context.ignored(found["ignored"])
            context.document.update(found)
        failed(context.output, words, asked, found, error)
        raise
    context.finish()
    context.ignored(report["ignored"])
    context.document.update(report)
    succeeded(context.output, words, asked, report)
    return exits.DONE


def succeeded(output: Output, words: Words, asked: str | None, report: Report) -> None:
    """The lines of a run that did all it should."""
    if asked is None:
        ids = _ids(report, words.outcomes[:1])
        _list(output, words, ids)
        if not ids:
            output.line(words.nothing)
    else:
        for each in _ids(report, words.outcomes) or [asked]:
            output.line(f"✓ {words.done} migration: {each}")
    _details(output, report)


def failed(
    output: Output, words: Words, asked: str | None, report: Report | None, error: BaseException
) -> None:
    """The lines of a run that stopped: what was done, and where it stopped."""
    if report is not None and asked is None:
        _list(output, words, _ids(report, words.outcomes[:1]))
    stopped = _ids(report, ("failed", "interrupted")) if report is not None else []
    stopped = stopped or [getattr(error, "migration_id", None) or asked]
    if stopped[0] is not None:
        output.line(f"✗ Failed to {words.verb} migration: {stopped[0]}")
    if report is not None:
        _details(output, report)


def _list(output: Output, words: Words, ids: list[str]) -> None:
    if ids:
        output.line(f"✓ {words.done} {len(ids)} migrations:")
        for each in ids:
            output.line(f"  - {each}")


def _ids(report: Report, outcomes: tuple[str, ...]) -> list[Any]:
    return [each["id"] for each in report["migrations"] if each["outcome"] in outcomes]


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
    kinds = ["matched", "modified", "inserted", "deleted", "upserted"]
    if step["matched"] == step["modified"]:
        kinds.remove("matched")
    return ", ".join(f"{step[kind]:,} {kind}" for kind in kinds if step[kind])


def _report_of(error: BaseException) -> Report | None:
    """The run so far: of the failure, or of what the engine gives as a signal's cause."""
    for each in (error, error.__cause__):
        report: Report | None = getattr(each, "report", None)
        if report is not None and "migrations" in report and "direction" in report:
            return report
    return None
