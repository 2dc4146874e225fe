"""`lint [FILE...]`: what is wrong or risky in migration files. Connects to nothing."""

# pathlib costs a start-up time that shows in every `status`.
# ruff: noqa: PTH112

from __future__ import annotations

import os

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.errors import CommandError

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context

_STYLES = {"error": "bad", "warning": "warning", "advice": "faint"}


def run(context: Context) -> int:
    """Print a line for each finding; exit 1 where `apply` would refuse a file."""
    from edulearn_migrate._native import lint
    from edulearn_migrate.cli.command_line import LISTING

    directory = context.settings.migrations_dir
    paths = context.args.files or ([directory] if os.path.isdir(directory) else [])
    report = lint(paths)
    if report["files"] == 0:
        where = ", ".join(map(os.path.abspath, context.args.files or [directory]))
        raise CommandError(f"There is no migration file in {where}, so nothing was checked.")
    context.ignored(report["ignored"])
    context.document[LISTING] = report["findings"]
    for each in report["findings"]:
        context.output.line(_line(each))
        context.output.note(f"    {each['remedy']}", style=_STYLES[each["level"]])
    context.output.note(_summary(report))
    failed = report["errors"] or (context.args.strict and report["warnings"])
    return exits.FAILED if failed else exits.DONE


def _line(finding: Mapping[str, Any]) -> str:
    place = f"{finding['file']}:{finding['line']}:{finding['column']}"
    operation = f"{finding['operation']}: " if finding["operation"] else ""
    what = f"{finding['level']} {finding['code']} {finding['name']}"
    return f"{place}: {what}: {operation}{finding['message']}"


def _summary(report: Mapping[str, Any]) -> str:
    from edulearn_migrate.plural import counted

    errors, warnings = counted(report["errors"], "error"), counted(report["warnings"], "warning")
    advice = counted(report["advice"], "piece")
    return f"{counted(report['files'], 'file')}: {errors}, {warnings}, {advice} of advice"
