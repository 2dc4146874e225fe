"""The engine, compiled from Rust. Its users are this package's modules; yours is the package.

A verb returns `PendingCall`, which is carried out blocking or as an awaitable. Reports are
dictionaries with aware UTC datetimes, which `edulearn_migrate.reports` has as typed classes. Times
are in seconds.
"""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Generic, Literal, TypeVar, final

__all__ = [
    "Assessments",
    "BackupCorruptError",
    "BackupError",
    "BackupNotFoundError",
    "Backups",
    "CheckFailedError",
    "DiskFullError",
    "Engine",
    "Events",
    "ForeignLedgerError",
    "InterruptedRunError",
    "InvalidMigrationError",
    "LeaseLostError",
    "LockHeldError",
    "MigrateError",
    "OperationFailedError",
    "OtherDatabaseError",
    "OutOfOrderError",
    "PendingCall",
    "Preview",
    "ScriptChangedError",
    "ServerUnavailableError",
    "SettingsError",
    "SnapshotLostError",
    "StopToken",
    "UnknownMigrationError",
    "WrongStateError",
    "__version__",
    "compare_databases",
    "copy_database",
    "create_migration",
    "describe_server",
    "describe_target",
    "drop_copy",
    "end_runs",
    "lint",
    "local_command",
    "pending_in_backup",
    "redact",
    "server_version",
    "stored_backups",
]

__version__: str

_T = TypeVar("_T")
_Report = dict[str, Any]
_Names = list[str] | None
_Observer = Callable[[dict[str, Any]], object]

class MigrateError(Exception):
    """Base of every error of this package; `str()` of it is the whole sentence for the user."""

    report: Any
    """What the verb had done so far: a dictionary, or the typed report; None without one."""

class SettingsError(MigrateError):
    """A setting or argument that cannot be used."""

class InvalidMigrationError(MigrateError):
    """A migration file or script that cannot be read."""

    file: str | None

class UnknownMigrationError(MigrateError):
    """No migration answers to the id, or several do."""

class WrongStateError(MigrateError):
    """The migration is not in a state that allows it."""

class ScriptChangedError(MigrateError):
    """A script changed after it was applied or begun."""

class ForeignLedgerError(MigrateError):
    """The ledger's collection is somebody else's."""

class OutOfOrderError(MigrateError):
    """strict_order refused a migration."""

class LockHeldError(MigrateError):
    """Another run holds the lock."""

    owner: dict[str, Any]

class LeaseLostError(MigrateError):
    """This run lost its lease and has stopped."""

class ServerUnavailableError(MigrateError):
    """No server answers, or it refuses us."""

class OperationFailedError(MigrateError):
    """An operation of a migration failed."""

    migration_id: str
    operation: int
    """Its number, from 1."""
    server_code: int | None

class CheckFailedError(MigrateError):
    """A check of a migration, or the end state that its operations ask for, does not hold."""

    migration_id: str
    when: str
    """`before`, `after` or `end_state`. Before, nothing was done."""
    failed: list[str]

class InterruptedRunError(MigrateError):
    """The run stopped on request, at a safe point; it can be carried on."""

class BackupError(MigrateError):
    """A backup could not be made, read or restored."""

class BackupNotFoundError(BackupError):
    """No backup has this name."""

    name: str
    looked_in: list[str]
    newest: list[str]
    """The newest names there are."""

class BackupCorruptError(BackupError):
    """A backup is not as it was written."""

    file: str

class OtherDatabaseError(BackupError):
    """The backup is another database's."""

class SnapshotLostError(BackupError):
    """The server gave up the state that was being read."""

class DiskFullError(BackupError):
    """A file system is full, or a limit on files is reached."""

@final
class StopToken:
    """Asks runs to stop at their next safe point.

    A token made `of` another is set by itself, and with the other.
    """

    def __new__(cls, of: StopToken | None = None) -> StopToken: ...
    def set(self) -> None: ...

@final
class PendingCall(Generic[_T]):
    """A verb with its arguments, carried out once."""

    def run(self) -> _T:
        """Blocks with Python's lock released, and sees signals every 100 ms."""

    def begin(self) -> int:
        """Starts it; returns a file descriptor that can be read from once it has ended."""

    def outcome(self) -> _T:
        """What a work that was begun and has ended returns or raises."""

@final
class Events:
    """The events of a run, for its listener; waits for the next with Python's lock released."""

    def __iter__(self) -> Events: ...
    def __next__(self) -> dict[str, Any]: ...
    def raised(self, error: object, listener: object) -> None:
        """Reports what a listener raised, which breaks no run."""

@final
class Engine:
    """One database and one migrations directory. Connects at first use.

    Without `migrations_dir` it knows the database's records only.
    """

    def __new__(
        cls,
        uri: str,
        database: str,
        *,
        migrations_dir: str | PathLike[str] | None = None,
        ledger: str = "migrations",
    ) -> Engine: ...
    def status(
        self, *, observer: _Observer | None = None, stop: StopToken | None = None
    ) -> PendingCall[_Report]: ...
    def records(
        self, *, observer: _Observer | None = None, stop: StopToken | None = None
    ) -> PendingCall[list[dict[str, Any]]]: ...
    def has_ledger(
        self, database: str, *, observer: _Observer | None = None, stop: StopToken | None = None
    ) -> PendingCall[bool]: ...
    def apply(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        workers: int | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def rollback(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        exact: bool = False,
        capture: bool = True,
        workers: int | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def mark(
        self,
        id: str,
        state: str,
        *,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def purge(
        self,
        id: str | None = None,
        *,
        older_than: float | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def dropped(
        self, *, observer: _Observer | None = None, stop: StopToken | None = None
    ) -> PendingCall[list[_Report]]: ...
    def undrop(
        self,
        name: str,
        *,
        to: str | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def unlock(
        self,
        *,
        force: bool = False,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def register(
        self,
        name: str,
        up_script: str,
        down_script: str,
        description: str = "",
        *,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...

@final
class Backups:
    """The backups of an engine's database in one directory, which the first backup makes."""

    def __new__(cls, engine: Engine, directory: str | PathLike[str]) -> Backups: ...
    def backup(
        self,
        *,
        collections: _Names = None,
        exclude: _Names = None,
        consistency: str | None = None,
        only_reading: bool = False,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def restore(
        self,
        name: str | None = None,
        *,
        from_mongodump: str | PathLike[str] | None = None,
        collections: _Names = None,
        exclude: _Names = None,
        keep_extra: bool = False,
        drop_extra: bool = False,
        no_indexes: bool = False,
        abandon: bool = False,
        safety_backup: bool = True,
        allow_different_db: bool = False,
        into: str | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def list(
        self,
        *,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def verify(
        self,
        name: str,
        *,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def prune(
        self,
        keep: int,
        *,
        kind: str = "manual",
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...

@final
class Preview:
    """What runs on an engine's database would do, and whether there is anything to stop at."""

    def __new__(cls, engine: Engine) -> Preview: ...
    def apply(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def rollback(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        exact: bool = False,
        capture: bool = True,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def check(
        self,
        *,
        allow_rolled_back: bool = False,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...

@final
class Assessments:
    """The assessment model of an engine's database; backups of it go into one directory."""

    def __new__(cls, engine: Engine, directory: str | PathLike[str]) -> Assessments: ...
    def migrate(
        self,
        *,
        accept_unmapped: bool = False,
        dry_run: bool = False,
        ids: Literal["new", "keep"] | None = None,
        workers: int | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...
    def rollback(
        self,
        *,
        workers: int | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> PendingCall[_Report]: ...

def create_migration(directory: str | PathLike[str], name: str, description: str = "") -> _Report:
    """Writes a new migration file from the template; no database is needed."""

def describe_target(uri: str, database: str) -> str:
    """Hosts and database of a connection string, without credentials and options."""

def end_runs() -> None:
    """Ends what is going on, when the interpreter ends: called by `atexit`."""

def lint(paths: Sequence[str | PathLike[str]]) -> _Report:
    """What is wrong or risky in the files, and the migrations of the directories."""

def local_command(port: int, command: str) -> dict[str, Any]:
    """Runs a command, given as JSON, in `admin` of the server on a port of 127.0.0.1.

    Returns the reply; of a refusal `ok`, `code` and `errmsg`. Raises `ServerUnavailableError` where
    nothing answers. A process that has called nothing else may fork.
    """

def redact(text: str) -> str:
    """The text with the credentials of every connection string in it replaced."""

# What rehearsals and the testing of migrations need besides the verbs; they block only.

def compare_databases(
    engine: Engine,
    before: str,
    *,
    known: dict[str, str] | None = None,
    observer: _Observer | None = None,
    stop: StopToken | None = None,
) -> _Report:
    """What differs between `before`, a database of the same server, and the engine's.

    `known` are the `hashes` that an earlier comparison told, where `before` stands as it did.
    """

def copy_database(
    engine: Engine,
    into: str,
    directory: str | PathLike[str],
    *,
    collections: _Names = None,
    observer: _Observer | None = None,
    stop: StopToken | None = None,
) -> None:
    """Brings another database of the same server to the state of the engine's.

    By a backup, which is left in `directory`.
    """

def drop_copy(
    engine: Engine,
    database: str,
    *,
    observer: _Observer | None = None,
    stop: StopToken | None = None,
) -> None:
    """Drops another database of the same server."""

def stored_backups(
    directory: str | PathLike[str],
    *,
    observer: _Observer | None = None,
    stop: StopToken | None = None,
) -> _Report:
    """The backups in a directory, newest first. No server is asked."""

def pending_in_backup(
    directory: str | PathLike[str],
    name: str,
    database: str,
    migrations_dir: str | PathLike[str] | None,
    *,
    ledger: str,
    observer: _Observer | None = None,
    stop: StopToken | None = None,
) -> _Report:
    """The ids that are pending by the ledger in a backup, and the files that are ignored.

    The keys are `pending` and `ignored`. No server is asked, and nothing but the ledger is read.
    """

def describe_server(
    engine: Engine, *, observer: _Observer | None = None, stop: StopToken | None = None
) -> str:
    """The version and the kind of deployment of the engine's server, for people."""

def server_version(
    engine: Engine, *, observer: _Observer | None = None, stop: StopToken | None = None
) -> str | None:
    """The version of the engine's server, where it tells."""
