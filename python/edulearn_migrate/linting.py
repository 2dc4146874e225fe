"""`lint`: what is wrong or risky in migration files, without a server."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edulearn_migrate import _native
from edulearn_migrate.plural import counted
from edulearn_migrate.reports.base import IgnoredFile, Report

Level = Literal["error", "warning", "advice"]


@dataclass(frozen=True, slots=True)
class Finding(Report):
    """Something about a file that its author should know.

    `line` and `column` count from 1, columns in characters. `operation` is as in `up 2`. Every
    `code` is explained in docs/reference/lint.md.
    """

    file: str
    migration: str | None
    operation: str | None
    line: int
    column: int
    code: str
    name: str
    level: Level
    message: str
    remedy: str

    def __str__(self) -> str:
        """As the command prints it: `path:line:column: level CODE name: message`."""
        operation = f"{self.operation}: " if self.operation else ""
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.level} {self.code} {self.name}: {operation}{self.message}"


@dataclass(frozen=True, slots=True)
class LintReport(Report):
    """The answer of `lint`. An error is what `apply` would refuse."""

    files: int
    errors: int
    warnings: int
    advice: int
    findings: tuple[Finding, ...]
    ignored: tuple[IgnoredFile, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error and no warning."""
        return self.errors + self.warnings == 0

    def __str__(self) -> str:
        """A line for each finding, as the command prints them."""
        return "\n".join(map(str, self.findings)) or f"{counted(self.files, 'file')}: nothing found"


def lint(
    paths: Iterable[str | os.PathLike[str]] | None = None,
    *,
    migrations_dir: str | os.PathLike[str] = "migrations",
) -> LintReport:
    """Look at these files and directories, or at all of `migrations_dir`, together.

    Connects to nothing. What is wrong with a file is a finding; a path where nothing is raises
    `SettingsError`, a directory that cannot be listed `InvalidMigrationError`.
    """
    if paths is None:
        if not Path(migrations_dir).is_dir():
            raise _native.SettingsError(
                f"The migrations directory {migrations_dir!s} does not exist."
            )
        paths = [migrations_dir]
    elif isinstance(paths, str):
        # An iterable of one-letter paths, to Python.
        paths = [paths]
    return LintReport.from_dict(_native.lint(list(paths)))
