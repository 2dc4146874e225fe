"""What the parsers of all commands share: how they look, and the options of every command."""

from __future__ import annotations

import argparse

from edulearn_migrate.cli.errors import UsageError
from edulearn_migrate.cli.output import Output
from edulearn_migrate.cli.values import seconds

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, TypeAlias

    Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
    Fill: TypeAlias = "Callable[[Parser], None]"

PROGRAM = "edulearn-migrate"

DEFAULT_LOCK_TIMEOUT = 10.0


class Parser(argparse.ArgumentParser):
    """Raises instead of ending the program, and writes its help as UTF-8 whatever the locale."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise UsageError(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")

    def print_help(self, file: Any = None) -> None:
        """Write the help to standard output."""
        Output(stream=file).text(self.format_help())


def formatter(prog: str) -> argparse.HelpFormatter:
    """Keeps the lines of descriptions, at a fixed width."""
    # argparse makes a formatter for every argument, and would load shutil and ask the terminal each
    # time.
    return argparse.RawDescriptionHelpFormatter(prog, width=96)


def command(
    commands: Commands, name: str, text: str, fill: Fill | None, *, writes: bool = False
) -> None:
    """Add the parser of a command; `fill` adds its arguments, `text` says what it does."""
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[:1].upper()}{text[1:]}.",
        epilog=_general_options(),
        formatter_class=formatter,
        allow_abbrev=False,
    )
    if fill is not None:
        fill(parser)
    if writes:
        add_lock_option(parser)
    add_general_options(parser, explained=False)


def _general_options() -> str:
    """The one line about them in the help of a command."""
    flags = " ".join(flag for _, flag, _, _ in _GENERAL)
    return f"general options, explained by `{PROGRAM} --help`:\n  {flags}"


_GENERAL: tuple[tuple[str, str, str | None, str], ...] = (
    ("where", "--uri", "URI", "connection string (MONGO_URI)"),
    ("where", "--db", "NAME", "database (DB_NAME)"),
    ("where", "--migrations-dir", "DIR", "directory of the migration files (default: migrations)"),
    ("where", "--backup-dir", "DIR", "directory of the backups (default: backups)"),
    (
        "where",
        "--ledger",
        "NAME",
        "collection of records, and prefix of our other collections (default: migrations)",
    ),
    ("where", "--local", None, "start a private server and work on that"),
    (
        "where",
        "--local-dir",
        "DIR",
        "data of that server; implies --local (default: .edulearn-local)",
    ),
    ("output", "--json", None, "print one JSON document on stdout"),
    ("output", "--quiet", None, "print no progress, and only the documented lines"),
    ("output", "--no-progress", None, "print no progress bar"),
    (
        "output",
        "--log-level",
        "LEVEL",
        "lowest level that is logged to stderr (LOG_LEVEL; default: warning)",
    ),
)


def add_general_options(parser: Parser, *, explained: bool) -> None:
    """Add the options of every command.

    Without defaults: a command's default would undo the option given before the command.
    """
    groups: dict[str, Any] = {}
    for group, flag, metavar, text in _GENERAL:
        if explained and group not in groups:
            groups[group] = parser.add_argument_group(group)
        groups.get(group, parser).add_argument(
            flag,
            default=argparse.SUPPRESS,
            help=text if explained else argparse.SUPPRESS,
            **({"action": "store_true"} if metavar is None else {"metavar": metavar}),
        )


def add_lock_option(parser: Parser) -> None:
    """Add the option of the commands that take the lock."""
    parser.add_argument(
        "--lock-timeout",
        metavar="SECONDS",
        type=seconds,
        default=argparse.SUPPRESS,
        help="how long a command that writes waits for another run (default: 10)",
    )
