"""The arguments. Options may stand before or after the command."""

from __future__ import annotations

import argparse

from edulearn_migrate.cli.errors import UsageError
from edulearn_migrate.cli.output import Output
from edulearn_migrate.cli.values import age, names, positive, seconds

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, TypeAlias

    _Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"
    _Fill: TypeAlias = "Callable[[_Parser], None]"

WRITING = {
    "apply",
    "assessment-migrate",
    "assessment-rollback",
    "mark",
    "purge",
    "restore",
    "rollback",
    "undrop",
}
"""The commands that take the lock, and so `--lock-timeout`."""

DEFAULT_LOCK_TIMEOUT = 10.0

_PROGRAM = "edulearn-migrate"

_ID = "as in migration_001; the file's stem or the name will do, too"

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

settings, where an option does not say it (environment, or .env in the working directory):
  MONGO_URI  DB_NAME  LOG_LEVEL  EDULEARN_MIGRATIONS_DIR  EDULEARN_BACKUP_DIR  EDULEARN_LEDGER
  EDULEARN_AUDIT_LOG

exit codes:
  0 done, 1 failed, 2 wrong usage, 3 `check` found something, 4 another run holds the lock,
  5 refused, 130 interrupted, 143 terminated
"""


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the program, and writes its help as UTF-8 whatever the locale."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")

    def print_help(self, file: Any = None) -> None:
        Output(stream=file).text(self.format_help())


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments, with `command` None where none was given.

    Raises `UsageError`, or `SystemExit` once `--help` or `--version` has been printed.
    """
    # Only a command that is named can be meant, and making the parsers of the others takes longer
    # than all the rest of parsing.
    named = [name for name in _COMMANDS if name in argv]
    if not named or "-h" in argv or "--help" in argv:
        args = _parser().parse_args(argv)
    else:
        try:
            args = _parser(named).parse_args(argv)
        except UsageError:
            args = _parser().parse_args(argv)  # the same error, in view of every command
    if args.command is not None and args.command not in WRITING and "lock_timeout" in args:
        raise UsageError(f"The command {args.command} takes no lock, and so no --lock-timeout.")
    if getattr(args, "dry_run", False) and "lock_timeout" in args:
        raise UsageError("A dry run takes no lock, and so no --lock-timeout.")
    if args.command == "restore":
        ways = (args.backup_name is not None, args.from_mongodump is not None, args.finish)
        if sum(ways) != 1:
            raise UsageError("Name one backup to restore, or use --from-mongodump, or --finish.")
        if args.drop_extra and args.from_mongodump is None:
            raise UsageError("--drop-extra goes with --from-mongodump; a backup drops by itself.")
        if args.drop_extra and (args.keep_extra or args.collections):
            raise UsageError("--drop-extra excludes --keep-extra and --collections.")
    if getattr(args, "local_dir", None) is not None:
        args.local = True
    if getattr(args, "local", False) and "uri" in args:
        raise UsageError("The options --uri and --local exclude each other.")
    return args


def help_text() -> str:
    """What `--help` prints."""
    return _parser().format_help()


def _parser(names: list[str] | None = None) -> _Parser:
    """The parser for the commands of these names, or for all."""
    common, lock = _common(), _lock()
    parser = _Parser(
        prog=_PROGRAM,
        description="Migrations for EDULEARN's MongoDB. A run that was killed goes on where it "
        "stopped, by the same command.",
        epilog=_EXAMPLES,
        formatter_class=_formatter,
        parents=[common, lock],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", prog=_PROGRAM
    )
    for name in names or _COMMANDS:
        text, fill = _COMMANDS[name]
        parents = [common, lock] if name in WRITING else [common]
        _command(commands, name, text, fill, parents)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    # A fixed width: argparse makes a formatter for every argument, and would load shutil and ask
    # the terminal each time.
    return argparse.RawDescriptionHelpFormatter(prog, width=96)


def _command(
    commands: _Commands, name: str, text: str, fill: _Fill | None, parents: list[_Parser]
) -> None:
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[:1].upper()}{text[1:]}.",
        formatter_class=_formatter,
        parents=parents,
        allow_abbrev=False,
    )
    if fill is not None:
        fill(parser)


def _common() -> _Parser:
    """The options of every command.

    Without defaults: a command's default would undo the option given before the command.
    """
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS, formatter_class=_formatter)
    where = common.add_argument_group("where")
    where.add_argument("--uri", metavar="URI", help="connection string (MONGO_URI)")
    where.add_argument("--db", metavar="NAME", help="database (DB_NAME)")
    where.add_argument("--migrations-dir", metavar="DIR", help="default: migrations")
    where.add_argument("--backup-dir", metavar="DIR", help="default: backups")
    where.add_argument(
        "--ledger",
        metavar="NAME",
        help="collection of records; begins the names of all ours (default: migrations)",
    )
    where.add_argument(
        "--local", action="store_true", help="start a private server and work on that"
    )
    where.add_argument(
        "--local-dir", metavar="DIR", help="its data; implies --local (default: .edulearn-local)"
    )
    shown = common.add_argument_group("output")
    shown.add_argument("--json", action="store_true", help="one JSON document on stdout")
    shown.add_argument(
        "--quiet", action="store_true", help="no progress, and no lines but the documented ones"
    )
    shown.add_argument("--no-progress", action="store_true", help="no progress bar")
    shown.add_argument(
        "--log-level", metavar="LEVEL", help="of the log on stderr (LOG_LEVEL; default: warning)"
    )
    return common


def _lock() -> _Parser:
    lock = _Parser(add_help=False, argument_default=argparse.SUPPRESS, formatter_class=_formatter)
    lock.add_argument(
        "--lock-timeout",
        metavar="SECONDS",
        type=seconds,
        help="how long a command that writes waits for another run (default: 10)",
    )
    return lock


def _apply(parser: _Parser) -> None:
    _plan(parser)
    _dry_run(parser)


def _dry_run(parser: _Parser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="change nothing; say what would be done"
    )


def _plan(parser: _Parser) -> None:
    parser.add_argument("migration_id", metavar="ID", nargs="?", help=_ID)
    parser.add_argument(
        "--rolled-back", action="store_true", help="apply rolled-back migrations again, too"
    )
    parser.add_argument(
        "--strict-order",
        action="store_true",
        help="refuse a migration that sorts before one already applied",
    )
    _no_capture(parser, "keep nothing of what is overwritten: there is no exact rollback then")


def _rollback(parser: _Parser) -> None:
    parser.add_argument("migration_id", metavar="ID", nargs="?", help=_ID)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--from-file",
        action="store_true",
        help="run the down script the file has now, not the recorded one",
    )
    which.add_argument(
        "--exact",
        action="store_true",
        help="run no script: undo what was captured, but for what was changed since",
    )
    _no_capture(parser, "keep nothing of what the rollback takes away")
    _dry_run(parser)


def _no_capture(parser: _Parser, text: str) -> None:
    parser.add_argument("--no-capture", action="store_true", help=text)


def _create(parser: _Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="what it does, as in add_user_preferences")
    parser.add_argument("--description", metavar="TEXT", default="", help="what it is for")


def _lint(parser: _Parser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help="files or directories (default: all migrations)"
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 for warnings, too")


def _mark(parser: _Parser) -> None:
    parser.add_argument("migration_id", metavar="ID", help=_ID)
    parser.add_argument(
        "--as",
        dest="state",
        required=True,
        choices=["applied", "pending", "rolled_back"],
        help="what it is from now on",
    )


def _unlock(parser: _Parser) -> None:
    parser.add_argument(
        "--force", action="store_true", help="break the lock even if its owner may still run"
    )


def _purge(parser: _Parser) -> None:
    parser.add_argument("migration_id", metavar="ID", nargs="?", help=_ID)
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        type=age,
        help="only what is older, as in 30d (units: s, m, h, d, w)",
    )


def _undrop(parser: _Parser) -> None:
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="as listed; without it, list what is set aside"
    )
    parser.add_argument("--to", metavar="NEW", help="bring it back as this collection, or into it")


def _backup(parser: _Parser) -> None:
    _collections(parser, "back up these collections only")
    parser.add_argument(
        "--consistency",
        choices=["snapshot", "none"],
        default="snapshot",
        help="everything as of one time (the default), or as it is when it is read",
    )


def _restore(parser: _Parser) -> None:
    parser.add_argument(
        "backup_name", metavar="NAME", nargs="?", help="or `latest`: the newest full manual backup"
    )
    parser.add_argument(
        "--from-mongodump",
        metavar="PATH",
        help="restore what mongodump wrote: a directory, an archive or a .bson file",
    )
    parser.add_argument(
        "--finish",
        action="store_true",
        help="restore nothing new; only take a restore that was killed to its end",
    )
    _collections(parser, "restore these collections only")
    parser.add_argument(
        "--into", metavar="DB", help="restore into this database of the same server"
    )
    parser.add_argument(
        "--keep-extra", action="store_true", help="keep collections that the backup lacks"
    )
    parser.add_argument(
        "--drop-extra",
        action="store_true",
        help="with --from-mongodump: drop collections that the dump lacks",
    )
    parser.add_argument(
        "--no-safety-backup", action="store_true", help="do not save what is replaced first"
    )
    parser.add_argument(
        "--allow-different-db", action="store_true", help="restore another database's backup"
    )


def _collections(parser: _Parser, text: str) -> None:
    parser.add_argument("--collections", metavar="A,B", type=names, help=text)


def _backups(parser: _Parser) -> None:
    what = parser.add_subparsers(
        dest="backups_command",
        metavar="list|verify|prune",
        required=True,
        prog=f"{_PROGRAM} backups",
    )
    common = _common()
    _command(what, "list", "list the backups, newest first", None, [common])
    text = "read a whole backup and compare its checksums"
    _command(what, "verify", text, _backup_name, [common])
    _command(what, "prune", "remove all but the newest backups of this database", _prune, [common])


def _backup_name(parser: _Parser) -> None:
    parser.add_argument("backup_name", metavar="NAME", help="or `latest`")


def _prune(parser: _Parser) -> None:
    parser.add_argument(
        "--keep", metavar="N", type=positive, required=True, help="how many to keep of the kind"
    )
    parser.add_argument(
        "--kind",
        choices=["manual", "safety"],
        default="manual",
        help="those made by `backup` (the default), or by `restore`",
    )


def _check(parser: _Parser) -> None:
    parser.add_argument(
        "--allow-rolled-back",
        action="store_true",
        help="migrations that are rolled back are no finding",
    )


def _rehearse(parser: _Parser) -> None:
    parser.add_argument("migration_id", metavar="ID", nargs="?", help=_ID)
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--backup", metavar="NAME", help="on this backup (default: the newest full one)"
    )
    data.add_argument(
        "--live", action="store_true", help="on the live database, which is only read"
    )
    parser.add_argument(
        "--any-version",
        action="store_true",
        help="allow a private server whose major version differs from the data's",
    )
    parser.add_argument(
        "--strict-order",
        action="store_true",
        help="fail if the fields of a document come back in another order",
    )


def _assessment_migrate(parser: _Parser) -> None:
    parser.add_argument(
        "--accept-unmapped",
        action="store_true",
        help="documents that cannot be mapped are no failure",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="write nothing; say what would be done"
    )
    parser.add_argument(
        "--ids",
        choices=("new", "keep"),
        help="copy teacher assessments under a new _id (default), or keep theirs, for an "
        "application that reads only `assessments`",
    )


_COMMANDS: dict[str, tuple[str, _Fill | None]] = {
    "status": ("show what is applied, pending, rolled back and failed", None),
    "apply": ("apply every pending migration, or one", _apply),
    "rollback": ("roll back every applied migration, or one", _rollback),
    "create": ("write a new migration file from a template", _create),
    "mark": ("set a migration's state by hand, running nothing", _mark),
    "unlock": ("release the lock of a run that is gone", _unlock),
    "lint": ("find what is wrong or risky in the files, without a server", _lint),
    "plan": ("show what apply would do, changing nothing", _plan),
    "check": ("for CI: exit 3 if anything is pending or wrong", _check),
    "rehearse": ("apply and roll back on a private server, and compare", _rehearse),
    "backup": ("write a backup of the database", _backup),
    "restore": ("bring the database to the state of a backup", _restore),
    "backups": ("list, verify or prune backups", _backups),
    "purge": ("free what was captured for undo", _purge),
    "undrop": ("list what was dropped or deleted, or bring it back", _undrop),
    "assessment-migrate": ("bring all assessments into one model", _assessment_migrate),
    "assessment-rollback": ("undo assessment-migrate without losing later work", None),
}


class _Version(argparse.Action):
    """Prints the version; the engine that knows it is loaded only then."""

    def __call__(self, *_: object) -> NoReturn:
        from edulearn_migrate._native import __version__

        Output().text(f"edulearn-migrate {__version__}")
        raise SystemExit(0)
