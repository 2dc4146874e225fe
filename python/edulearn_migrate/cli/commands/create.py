"""`create NAME`: a new migration file from a template."""

# pathlib costs a start-up time that shows in every `status`.
# ruff: noqa: PTH103

from __future__ import annotations

import os

from edulearn_migrate.cli import exits

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate.cli.context import Context


def run(context: Context) -> int:
    """Write the file and print its id and path."""
    from edulearn_migrate._native import create_migration

    audit = context.audited_without_database()
    directory = context.settings.migrations_dir
    if not context.settings.migrations_dir_named:
        os.makedirs(directory, exist_ok=True)
    made = create_migration(directory, context.args.name, context.args.description)
    audit.note("created", f"created the file {made['path']}", migration=made["id"])
    context.document.update(made)
    context.output.line(f"✓ Created migration: {made['id']}")
    context.output.line(f"  Name: {made['name']}")
    context.output.line(f"  Description: {made['description']}")
    context.output.line(f"  File: {made['path']}")
    return exits.DONE
