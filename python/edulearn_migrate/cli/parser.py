"""The arguments of a command line. Options may stand before or after the command."""

from __future__ import annotations

import argparse

from edulearn_migrate.cli.arguments import COMMANDS, WRITING
from edulearn_migrate.cli.errors import UsageError
from edulearn_migrate.cli.general import (
    PROGRAM,
    Parser,
    add_general_options,
    add_lock_option,
    command,
    formatter,
)
from edulearn_migrate.cli.output import Output

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from typing import NoReturn

_EXAMPLES = """\
examples:
  edulearn-migrate status
  edulearn-migrate apply                      every pending migration, in order
  edulearn-migrate plan                       what apply would do; changes nothing
  edulearn-migrate apply migration_002        one, by id, file stem or name
  edulearn-migrate rollback migration_002
  edulearn-migrate rollback migration_002 --exact      exactly what it did, and no more
  edulearn-migrate create add_user_preferences --description "Add user preferences"
  edulearn-migrate backup
  edulearn-migrate rehearse                   try out what is pending, on the newest backup
  edulearn-migrate restore latest             or a name that `backups list` shows
  edulearn-migrate --uri mongodb://db.example.org:27017 --db edulearn status --json
  edulearn-migrate --local apply              on a private server of its own, to try things out

settings that are taken from the environment, or from .env in the working directory:
  MONGO_URI  DB_NAME  LOG_LEVEL  EDULEARN_MIGRATIONS_DIR  EDULEARN_BACKUP_DIR  EDULEARN_LEDGER
  EDULEARN_WORKERS  EDULEARN_AUDIT_LOG

exit codes:
  0 done, 1 failed, 2 wrong usage, 3 `check` found something, 4 another run holds the lock,
  5 refused, 130 interrupted, 143 terminated
"""


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments, with `command` None where none was given.

    Raises `UsageError`, or `SystemExit` once `--help` or `--version` has been printed.
    """
    # Only a command that is named can be meant, and making the parsers of the others takes longer
    # than all the rest of parsing.
    named = [name for name in COMMANDS if name in argv]
    if not named or "-h" in argv or "--help" in argv:
        args = _parser().parse_args(argv)
    else:
        try:
            args = _parser(named).parse_args(argv)
        except UsageError:
            args = _parser().parse_args(argv)  # the same error, in view of every command
    _check(args)
    return args


def _check(args: argparse.Namespace) -> None:
    """Raise `UsageError` for arguments that do not go together; `--local-dir` implies `--local`."""
    if args.command is not None and args.command not in WRITING and "lock_timeout" in args:
        raise UsageError(f"The command {args.command} takes no lock, and so no --lock-timeout.")
    if getattr(args, "dry_run", False) and "lock_timeout" in args:
        raise UsageError("A dry run takes no lock, and so no --lock-timeout.")
    if args.command == "restore":
        named = (args.backup_name is not None, args.from_mongodump is not None)
        ways = (*named, args.finish, args.abandon)
        if sum(ways) != 1:
            raise UsageError(
                "Name one backup to restore, or use --from-mongodump, --finish or --abandon."
            )
        if args.drop_extra and args.from_mongodump is None:
            raise UsageError("--drop-extra goes with --from-mongodump; a backup drops by itself.")
        if args.drop_extra and (args.keep_extra or args.collections):
            raise UsageError("--drop-extra excludes --keep-extra and --collections.")
    if getattr(args, "exclude", None) and args.collections:
        raise UsageError("The options --collections and --exclude exclude each other.")
    if getattr(args, "local_dir", None) is not None:
        args.local = True
    if getattr(args, "local", False) and "uri" in args:
        raise UsageError("The options --uri and --local exclude each other.")


def help_text() -> str:
    """What `--help` prints."""
    return _parser().format_help()


def _parser(names: list[str] | None = None) -> Parser:
    """The parser for the commands of these names, or for all."""
    parser = Parser(
        prog=PROGRAM,
        description="Migrations for EDULEARN's MongoDB. If a run is killed, the same command "
        "carries on where it stopped.",
        epilog=_EXAMPLES,
        formatter_class=formatter,
        allow_abbrev=False,
    )
    add_general_options(parser, explained=True)
    add_lock_option(parser)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", prog=PROGRAM
    )
    for name in names or COMMANDS:
        text, fill = COMMANDS[name]
        command(commands, name, text, fill, writes=name in WRITING)
    return parser


class _Version(argparse.Action):
    """Prints the version; the engine that knows it is loaded only then."""

    def __call__(self, *_: object) -> NoReturn:
        from edulearn_migrate._native import __version__

        Output().text(f"edulearn-migrate {__version__}")
        raise SystemExit(0)
