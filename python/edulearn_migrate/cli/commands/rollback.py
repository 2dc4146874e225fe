"""`rollback [ID]`: every applied migration in reverse order of application, or that one."""

from __future__ import annotations

from edulearn_migrate.cli.script_runs import Wording, run_scripts

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate.cli.context import Context

_WORDING = Wording(
    verb="rollback",
    done="Rolled back",
    nothing="No applied migrations to rollback",
    outcomes=("rolled_back",),
)


def run(context: Context) -> int:
    """Roll back, and print what was rolled back."""
    args = context.args
    if args.dry_run:
        from edulearn_migrate.cli.commands import plan

        return plan.rollback(context)
    engine = context.writing(args.migration_id)
    return run_scripts(
        context,
        args.migration_id,
        _WORDING,
        engine.rollback(
            args.migration_id,
            from_file=args.from_file,
            exact=args.exact,
            capture=not args.no_capture,
            workers=context.settings.workers,
            lock_timeout=context.lock_timeout,
            observer=context.observe,
        ),
    )
