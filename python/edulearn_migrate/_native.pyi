"""The engine, compiled from Rust. Its users are this package's modules; yours is the package.

Every verb exists twice: one blocks with Python's lock released and sees signals every 100 ms, its
`_async` twin returns an awaitable. Reports are dictionaries with aware UTC datetimes, which
`edulearn_migrate.reports` has as typed classes. Times are in seconds.
"""

from collections.abc import Awaitable, Callable
from os import PathLike
from typing import Any, final

__all__ = [
    "Engine",
    "InterruptedRunError",
    "InvalidMigrationError",
    "LeaseLostError",
    "LockHeldError",
    "MigrateError",
    "OperationFailedError",
    "OutOfOrderError",
    "ScriptChangedError",
    "ServerUnavailableError",
    "SettingsError",
    "StopToken",
    "UnknownMigrationError",
    "WrongStateError",
    "__version__",
    "create_migration",
    "describe_target",
    "redact",
]

__version__: str

_Report = dict[str, Any]
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

class InterruptedRunError(MigrateError):
    """The run stopped on request, at a safe point; it can be carried on."""

@final
class StopToken:
    """Asks runs to stop at their next safe point."""

    def __new__(cls) -> StopToken: ...
    def set(self) -> None: ...

@final
class Engine:
    """One database and one migrations directory. Connects at first use.

    Without `migrations_dir` it knows the database's records only.
    """

    def __new__(
        cls, uri: str, database: str, *, migrations_dir: str | PathLike[str] | None = None
    ) -> Engine: ...
    def status(
        self, *, observer: _Observer | None = None, stop: StopToken | None = None
    ) -> _Report: ...
    def status_async(
        self, *, observer: _Observer | None = None, stop: StopToken | None = None
    ) -> Awaitable[_Report]: ...
    def records(
        self, *, observer: _Observer | None = None, stop: StopToken | None = None
    ) -> list[dict[str, Any]]: ...
    def records_async(
        self, *, observer: _Observer | None = None, stop: StopToken | None = None
    ) -> Awaitable[list[dict[str, Any]]]: ...
    def apply(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> _Report: ...
    def apply_async(
        self,
        id: str | None = None,
        *,
        rolled_back: bool = False,
        strict_order: bool = False,
        capture: bool = True,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> Awaitable[_Report]: ...
    def rollback(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        exact: bool = False,
        capture: bool = True,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> _Report: ...
    def rollback_async(
        self,
        id: str | None = None,
        *,
        from_file: bool = False,
        exact: bool = False,
        capture: bool = True,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> Awaitable[_Report]: ...
    def mark(
        self,
        id: str,
        state: str,
        *,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> _Report: ...
    def mark_async(
        self,
        id: str,
        state: str,
        *,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> Awaitable[_Report]: ...
    def purge(
        self,
        id: str | None = None,
        *,
        older_than: float | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> _Report: ...
    def purge_async(
        self,
        id: str | None = None,
        *,
        older_than: float | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> Awaitable[_Report]: ...
    def dropped(
        self, *, observer: _Observer | None = None, stop: StopToken | None = None
    ) -> list[_Report]: ...
    def dropped_async(
        self, *, observer: _Observer | None = None, stop: StopToken | None = None
    ) -> Awaitable[list[_Report]]: ...
    def undrop(
        self,
        name: str,
        *,
        to: str | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> _Report: ...
    def undrop_async(
        self,
        name: str,
        *,
        to: str | None = None,
        lock_timeout: float = 10.0,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> Awaitable[_Report]: ...
    def unlock(
        self,
        *,
        force: bool = False,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> _Report: ...
    def unlock_async(
        self,
        *,
        force: bool = False,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> Awaitable[_Report]: ...
    def register(
        self,
        name: str,
        up_script: str,
        down_script: str,
        description: str = "",
        *,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> _Report: ...
    def register_async(
        self,
        name: str,
        up_script: str,
        down_script: str,
        description: str = "",
        *,
        observer: _Observer | None = None,
        stop: StopToken | None = None,
    ) -> Awaitable[_Report]: ...

def create_migration(directory: str | PathLike[str], name: str, description: str = "") -> _Report:
    """Writes a new migration file from the template; no database is needed."""

def describe_target(uri: str, database: str) -> str:
    """Hosts and database of a connection string, without credentials and options."""

def redact(text: str) -> str:
    """The text with the credentials of every connection string in it replaced."""
