"""`mark ID --as STATE`: sets a migration's state by hand, running nothing."""

from __future__ import annotations

from edulearn_migrate.cli import exits

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate.cli.context import Context


def run(context: Context) -> int:
    """Set the state and print it with the one before."""
    args = context.args
    work = context.writing(args.migration_id).mark(
        args.migration_id,
        args.state,
        lock_timeout=context.lock_timeout,
        observer=context.observe,
    )
    report = context.report(work)
    context.output.line(
        f"✓ Marked migration: {report['id']} as {report['after']} (it was {report['before']})"
    )
    return exits.DONE
