"""`unlock [--force]`: releases the lock of a run that is gone."""

from __future__ import annotations

from edulearn_migrate.cli import exits

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate.cli.context import Context


def run(context: Context) -> int:
    """Release the lock and say whose it was. The engine refuses where that run may be alive."""
    work = context.writing().unlock(force=context.args.force, observer=context.observe)
    report = context.report(work)
    owner = report["owner"]
    if not report["broken"]:
        context.output.line("No lock to release")
    elif owner is None:  # somebody has edited the lock by hand
        context.output.line("✓ Released a lock whose owner cannot be read")
    else:
        context.output.line(f"✓ Released the lock of process {owner['pid']} on {owner['host']}")
    return exits.DONE
