"""`check`, for pipelines: exit 3 where anything is pending, changed, failed, unfinished or held."""

from __future__ import annotations

from edulearn_migrate.cli import exits

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate.cli.context import Context


def run(context: Context) -> int:
    """A line for each finding. Reads only."""
    from edulearn_migrate._native import Preview

    work = Preview(context.engine()).check(
        allow_rolled_back=context.args.allow_rolled_back, observer=context.observe
    )
    report = context.report(work)
    context.ignored(report["ignored"])
    context.output.note(f"Target: {context.target()}")
    for each in report["findings"]:
        who = f"{each['migration']} ({each['name']}): " if each["migration"] else ""
        context.output.problem(f"✗ {each['kind']}: {who}{each['message']}")
    if report["findings"]:
        return exits.FOUND
    context.output.line("✓ Nothing is pending, changed, failed, unfinished or held")
    return exits.DONE
