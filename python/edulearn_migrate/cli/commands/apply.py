"""`apply [ID]`: every pending migration in order, or that one."""

from __future__ import annotations

from edulearn_migrate.cli.script_runs import Wording, run_scripts

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate.cli.context import Context

_WORDING = Wording(
    verb="apply",
    done="Applied",
    nothing="No pending migrations to apply",
    outcomes=("applied", "already_applied"),
)


def run(context: Context) -> int:
    """Apply, and print what was applied."""
    args = context.args
    if args.dry_run:
        from edulearn_migrate.cli.commands import plan

        return plan.run(context)
    engine = context.writing(args.migration_id)
    return run_scripts(
        context,
        args.migration_id,
        _WORDING,
        engine.apply(
            args.migration_id,
            rolled_back=args.rolled_back,
            strict_order=args.strict_order,
            capture=not args.no_capture,
            workers=context.settings.workers,
            lock_timeout=context.lock_timeout,
            observer=context.observe,
        ),
    )
