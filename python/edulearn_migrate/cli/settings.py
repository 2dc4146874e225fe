"""Where the command works: option, environment, `.env` in the working directory, default.

The first that says something wins; an empty value says nothing. Names are taken in either case.
"""

# pathlib costs a start-up time that shows in every `status`.
# ruff: noqa: PTH112, PTH113, PTH118

from __future__ import annotations

import os

from edulearn_migrate.cli.errors import UsageError
from edulearn_migrate.connection.options import for_the_driver
from edulearn_migrate.connection.uri import RESERVED_DATABASES, UriError, database_in

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edulearn_migrate.connection.table import Note

DEFAULT_URI = "mongodb://localhost:27017"
DEFAULT_DATABASE = "edulearn"
DEFAULT_MIGRATIONS_DIR = "migrations"
DEFAULT_BACKUP_DIR = "backups"
DEFAULT_LEDGER = "migrations"
DEFAULT_WORKERS = 2
MOST_WORKERS = 8

_LEVELS = {
    "TRACE": "DEBUG",
    "NOTSET": "DEBUG",
    "DEBUG": "DEBUG",
    "INFO": "INFO",
    "WARN": "WARNING",
    "WARNING": "WARNING",
    "ERROR": "ERROR",
    "FATAL": "CRITICAL",
    "CRITICAL": "CRITICAL",
}


class Settings:
    """What was found. Directories are as they were given, relative to the working directory."""

    __slots__ = (
        "audit_log",
        "backup_dir",
        "database",
        "database_of_uri",
        "ledger",
        "log_level",
        "migrations_dir",
        "migrations_dir_named",
        "notes",
        "sources",
        "uri",
        "workers",
    )

    uri: str
    database: str
    database_of_uri: bool
    """Whether the connection string alone names it, and another than the default."""
    migrations_dir: str
    migrations_dir_named: bool
    """Whether somebody named the directory; only the default may be absent."""
    backup_dir: str
    ledger: str
    """The collection of records; the names of our other collections begin with it."""
    audit_log: str | None
    """The named audit file; None where the default place is to be tried."""
    log_level: str
    """A name of the logging module."""
    notes: list[Note]
    """What of the connection string is passed over."""
    sources: dict[str, tuple[str, str]]
    """By the setting's name: its value, and where that came from."""

    def __init__(
        self,
        options: Mapping[str, str | None],
        environment: Mapping[str, str],
        dotenv: Mapping[str, str],
    ) -> None:
        self.sources = {}

        def first(option: str, name: str) -> str | None:
            flag = f"--{option.replace('_', '-')}"
            ways = ((flag, options.get(option)), ("environment", environment.get(name)))
            for source, value in (*ways, (".env", dotenv.get(name))):
                if value:
                    self.sources[name] = (value, source)
                    return value
            return None

        uri = first("uri", "MONGO_URI") or DEFAULT_URI
        self.notes = []
        named_database = first("db", "DB_NAME")
        self.database = _database(named_database, uri)
        self.database_of_uri = named_database is None and self.database != DEFAULT_DATABASE
        try:
            self.uri = for_the_driver(uri, self.notes)
        except UriError as error:
            raise UsageError(str(error)) from None
        named = first("migrations_dir", "EDULEARN_MIGRATIONS_DIR")
        self.migrations_dir_named = named is not None
        self.migrations_dir = named or DEFAULT_MIGRATIONS_DIR
        _check_directory(self.migrations_dir, self.migrations_dir_named)
        self.backup_dir = first("backup_dir", "EDULEARN_BACKUP_DIR") or DEFAULT_BACKUP_DIR
        self.ledger = first("ledger", "EDULEARN_LEDGER") or DEFAULT_LEDGER
        self.audit_log = first("audit_log", "EDULEARN_AUDIT_LOG")
        self.workers = _workers(first("workers", "EDULEARN_WORKERS"))
        self.log_level = _level(first("log_level", "LOG_LEVEL"))
        defaults = {
            "MONGO_URI": self.uri,
            "DB_NAME": self.database,
            "EDULEARN_MIGRATIONS_DIR": self.migrations_dir,
            "EDULEARN_BACKUP_DIR": self.backup_dir,
            "EDULEARN_LEDGER": self.ledger,
            "EDULEARN_WORKERS": str(self.workers),
            "LOG_LEVEL": self.log_level,
        }
        for name, value in defaults.items():
            # The database's name may be in the connection string.
            self.sources.setdefault(name, (value, "default"))
        if self.sources["DB_NAME"] == (database_in(uri), "default"):
            self.sources["DB_NAME"] = (self.database, "MONGO_URI")


def resolve(
    options: Mapping[str, str | None],
    environment: Mapping[str, str] | None = None,
    directory: str = ".",
) -> Settings:
    """The settings for these options: `uri`, `db`, `migrations_dir`, `backup_dir` and so on.

    `directory` is where `.env` is looked for; its parents are not searched. Raises `UsageError`.
    """
    environment = os.environ if environment is None else environment
    return Settings(options, _known(environment), _dotenv(directory))


def _known(values: Mapping[str, str | None]) -> dict[str, str]:
    """Values that are not empty, under upper-case names; the upper-case spelling wins."""
    given = {name: value for name, value in values.items() if value}
    folded = {name.upper(): value for name, value in given.items()}
    return {name: given.get(name, value) for name, value in folded.items()}


def _dotenv(directory: str) -> dict[str, str]:
    path = os.path.join(directory, ".env")
    if not os.path.isfile(path):
        return {}
    try:
        from dotenv import dotenv_values
    except ImportError:
        raise UsageError(
            "There is a .env file here, and reading it needs python-dotenv: "
            "run `python -m pip install python-dotenv`."
        ) from None
    try:
        return _known(dotenv_values(path, encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"The .env file here cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError("The .env file here cannot be read: it is not UTF-8.") from None


def _database(named: str | None, uri: str) -> str:
    if named is None:
        # A connection string often names the database of its credentials, not the one to work on.
        in_uri = database_in(uri)
        return in_uri if in_uri and in_uri not in RESERVED_DATABASES else DEFAULT_DATABASE
    if named in RESERVED_DATABASES:
        raise UsageError(f"The database {named} belongs to the server; name another one.")
    return named


def _workers(named: str | None) -> int:
    if named is None:
        return DEFAULT_WORKERS
    if not named.isdecimal() or not 1 <= int(named) <= MOST_WORKERS:
        raise UsageError(
            f"{named} is no number of workers (--workers, EDULEARN_WORKERS): "
            f"a whole number from 1 to {MOST_WORKERS} is."
        )
    return int(named)


def _level(named: str | None) -> str:
    if named is None:
        return "WARNING"
    try:
        return _LEVELS[named.upper()]
    except KeyError:
        raise UsageError(
            f"The log level {named} is unknown; use debug, info, warning, error or critical."
        ) from None


def _check_directory(path: str, named: bool) -> None:
    if os.path.isdir(path):
        return
    if os.path.lexists(path):
        raise UsageError(f"The migrations directory {path} is not a directory.")
    if named:
        raise UsageError(f"The migrations directory {path} does not exist.")
