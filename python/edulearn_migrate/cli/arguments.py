"""The commands, and the arguments of each."""

from __future__ import annotations

from edulearn_migrate.cli.general import PROGRAM, command
from edulearn_migrate.cli.values import age, names, positive

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from edulearn_migrate.cli.general import Fill, Parser

_ID = "by id (as in migration_001), file stem or name"
_BACKUP = "the backup's name, as `backups list` shows it"


def _status(parser: Parser) -> None:
    parser.add_argument(
        "--pending",
        action="store_true",
        help="list only what is pending, failed or unfinished",
    )
    parser.add_argument(
        "--last", metavar="N", type=positive, help="list only the last N migrations"
    )
    parser.add_argument(
        "--retained",
        action="store_true",
        help="list what is retained for undo, migration by migration",
    )


def _apply(parser: Parser) -> None:
    _plan(parser)
    _workers(parser)
    _dry_run(parser)


def _dry_run(parser: Parser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="change nothing; print what would be done"
    )


def _plan(parser: Parser) -> None:
    parser.add_argument(
        "migration_id",
        metavar="ID",
        nargs="?",
        help=f"one migration, {_ID}; without it, every pending one",
    )
    parser.add_argument(
        "--rolled-back", action="store_true", help="also apply migrations that were rolled back"
    )
    parser.add_argument(
        "--strict-order",
        action="store_true",
        help="refuse a migration that sorts before one already applied",
    )
    _no_capture(parser, "do not keep what is overwritten; there is no exact rollback then")


def _workers(parser: Parser) -> None:
    parser.add_argument(
        "--workers",
        metavar="N",
        help="run N chunks of an operation at once, 1 to 8 (default 2); 1 loads the server least "
        "and takes longest",
    )


def _rollback(parser: Parser) -> None:
    parser.add_argument(
        "migration_id",
        metavar="ID",
        nargs="?",
        help=f"one migration, {_ID}; without it, every applied one",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--from-file",
        action="store_true",
        help="run the down script that the file has now, not the recorded one",
    )
    which.add_argument(
        "--exact",
        action="store_true",
        help="undo what was captured instead of running the down script; later edits stay",
    )
    _no_capture(parser, "do not keep what the rollback overwrites or removes")
    _workers(parser)
    _dry_run(parser)


def _no_capture(parser: Parser, text: str) -> None:
    parser.add_argument("--no-capture", action="store_true", help=text)


def _create(parser: Parser) -> None:
    parser.add_argument(
        "name", metavar="NAME", help="the migration's name, such as add_user_preferences"
    )
    parser.add_argument(
        "--description", metavar="TEXT", default="", help="what the migration is for"
    )


def _lint(parser: Parser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help="files or directories (default: all migrations)"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")


def _mark(parser: Parser) -> None:
    parser.add_argument("migration_id", metavar="ID", help=f"the migration, {_ID}")
    parser.add_argument(
        "--as",
        dest="state",
        required=True,
        choices=["applied", "pending", "rolled_back"],
        help="the state that it has from now on",
    )


def _unlock(parser: Parser) -> None:
    parser.add_argument(
        "--force", action="store_true", help="break the lock even if its owner may still run"
    )


def _purge(parser: Parser) -> None:
    parser.add_argument(
        "migration_id",
        metavar="ID",
        nargs="?",
        help=f"only this migration, {_ID}; without it, all of them",
    )
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        type=age,
        help="only what is older than this, such as 30d (units: s, m, h, d, w)",
    )


def _undrop(parser: Parser) -> None:
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="what to bring back, by its name in the list; without it, the list is printed",
    )
    parser.add_argument(
        "--to",
        metavar="NEW",
        help="bring a collection back under this name, or documents into this collection",
    )


def _backup(parser: Parser) -> None:
    _collections(parser, "back up these collections only")
    _exclude(parser, "back up all collections but these")
    parser.add_argument(
        "--consistency",
        choices=["snapshot", "none"],
        default="snapshot",
        help="snapshot: everything as of one time (default); none: each as it is when it is read",
    )


def _restore(parser: Parser) -> None:
    parser.add_argument(
        "backup_name",
        metavar="NAME",
        nargs="?",
        help=f"{_BACKUP}; or `latest`, the newest full one made by `backup`",
    )
    parser.add_argument(
        "--from-mongodump",
        metavar="PATH",
        help="restore what mongodump wrote: a directory, an archive or a .bson file",
    )
    parser.add_argument(
        "--finish",
        action="store_true",
        help="restore nothing new; finish a restore that was killed",
    )
    parser.add_argument(
        "--abandon",
        action="store_true",
        help="restore nothing new; give up a restore that was killed or cannot finish",
    )
    _collections(parser, "restore these collections only")
    _exclude(parser, "leave these collections as they are")
    parser.add_argument(
        "--no-indexes", action="store_true", help="build no indexes but those on _id"
    )
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
        "--no-safety-backup", action="store_true", help="take no backup of what is replaced"
    )
    parser.add_argument(
        "--allow-different-db", action="store_true", help="restore another database's backup"
    )


def _collections(parser: Parser, text: str) -> None:
    parser.add_argument("--collections", metavar="A,B", type=names, help=text)


def _exclude(parser: Parser, text: str) -> None:
    parser.add_argument("--exclude", metavar="A,B", type=names, help=text)


def _backups(parser: Parser) -> None:
    what = parser.add_subparsers(
        dest="backups_command",
        metavar="list|verify|prune",
        required=True,
        prog=f"{PROGRAM} backups",
    )
    command(what, "list", "list the backups, newest first", None)
    command(what, "verify", "read a whole backup and compare its checksums", _backup_name)
    command(what, "prune", "remove all but the newest backups of this database", _prune)


def _backup_name(parser: Parser) -> None:
    parser.add_argument("backup_name", metavar="NAME", help=f"{_BACKUP}; or `latest`")


def _prune(parser: Parser) -> None:
    parser.add_argument(
        "--keep",
        metavar="N",
        type=positive,
        required=True,
        help="how many backups of the kind to keep",
    )
    parser.add_argument(
        "--kind",
        choices=["manual", "safety"],
        default="manual",
        help="prune backups made by `backup` (the default), or by `restore`",
    )


def _check(parser: Parser) -> None:
    parser.add_argument(
        "--allow-rolled-back",
        action="store_true",
        help="do not report migrations that were rolled back",
    )


def _rehearse(parser: Parser) -> None:
    parser.add_argument(
        "migration_id",
        metavar="ID",
        nargs="?",
        help=f"one migration, {_ID}; without it, every pending one",
    )
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--backup", metavar="NAME", help="rehearse on this backup (default: the newest full one)"
    )
    data.add_argument(
        "--live", action="store_true", help="rehearse on the live database, which is only read"
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


def _assessment_migrate(parser: Parser) -> None:
    parser.add_argument(
        "--accept-unmapped",
        action="store_true",
        help="succeed even if some documents cannot be mapped",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="change nothing; print what would be done"
    )
    _workers(parser)
    parser.add_argument(
        "--ids",
        choices=("new", "keep"),
        help="give copies of teacher assessments a new _id (default), or keep theirs, for an "
        "application that reads only `assessments`",
    )


COMMANDS: dict[str, tuple[str, Fill | None]] = {
    "status": ("show what is applied, pending, rolled back and failed", _status),
    "apply": ("apply every pending migration, or one", _apply),
    "rollback": ("roll back every applied migration, or one", _rollback),
    "create": ("write a new migration file from a template", _create),
    "mark": ("set a migration's state by hand, without running anything", _mark),
    "unlock": ("release the lock of a run that is gone", _unlock),
    "lint": ("find what is wrong or risky in the files, without a server", _lint),
    "plan": ("show what apply would do, without changing anything", _plan),
    "check": ("for CI: exit 3 if anything is pending or wrong", _check),
    "rehearse": ("apply and roll back on a private server, and compare", _rehearse),
    "backup": ("write a backup of the database", _backup),
    "restore": ("bring the database to the state of a backup", _restore),
    "backups": ("list, verify or prune backups", _backups),
    "purge": ("free what was captured for undo", _purge),
    "undrop": ("list what was dropped or deleted, or bring it back", _undrop),
    "assessment-migrate": ("bring all assessments into one model", _assessment_migrate),
    "assessment-rollback": ("undo assessment-migrate without losing later work", _workers),
}

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
