"""Fixtures for pytest: a MongoDB server, a database for each test, round trips of migrations.

Installed with the package and loaded by pytest on its own:

    def test_roles(assert_round_trip):
        assert_round_trip("migrations/migration_003_roles.json", data={"users": [{"_id": 1}]})

A suite that uses none of them pays for the import of this file only.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

    from edulearn_migrate.reports.rehearsal import RoundTrip
    from edulearn_migrate.testing.round_trip import Data, Script

# It has a file of its own, as pytest loads it from here.
pytest_plugins = ["edulearn_migrate.testing.async_database"]

# The longest name of a database has 63 bytes; some are for what tells names apart.
_WORDS = 38


class TestServer:
    """A MongoDB server to test on."""

    __test__ = False  # no test class

    def __init__(self, uri: str) -> None:
        self.uri = uri
        """Its connection string."""
        self._engine: Any = None

    def drop(self, database: str) -> None:
        """Drop a database."""
        from edulearn_migrate import _native

        if self._engine is None:
            # Of a database that nothing is made of: the one to drop has to be another one.
            self._engine = _native.Engine(self.uri, "edulearn_migrate")
        _native.drop_copy(self._engine, database)


class TestDatabase:
    """A database of one test's own."""

    __test__ = False

    def __init__(self, server: TestServer, name: str) -> None:
        self.uri = server.uri
        """The connection string of its server."""
        self.name = name
        self._server = server
        self._client: Any = None

    @property
    def db(self) -> Database[dict[str, Any]]:
        """The database, by PyMongo, which must be installed."""
        if self._client is None:
            from pymongo import MongoClient

            self._client = MongoClient[dict[str, Any]](self.uri, tz_aware=True)
        database: Database[dict[str, Any]] = self._client[self.name]
        return database

    def close(self) -> None:
        """Drop the database."""
        if self._client is not None:
            self._client.close()
        self._server.drop(self.name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that tests every migration of a directory."""
    parser.addoption(
        "--edulearn-migrations",
        metavar="DIR",
        help="test every migration file of DIR: there and back, after those before it",
    )


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Add a test for each migration file."""
    directory = session.config.getoption("--edulearn-migrations")
    if directory is None:
        return
    files = sorted(Path(directory).glob("migration_*.json"), key=_number)
    if not files:
        raise pytest.UsageError(f"--edulearn-migrations: {directory} holds no migration files.")
    items.extend(
        MigrationItem.from_parent(session, name=f"migrations::{path.name}", file=path)
        for path in files
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server of these tests."""
    config.stash.get(_OPEN, ExitStack()).close()


_OPEN = pytest.StashKey[ExitStack]()
_SERVER = pytest.StashKey["TestServer"]()


def _number(path: Path) -> tuple[int, str]:
    digits = path.name.removeprefix("migration_").partition("_")[0]
    return (int(digits) if digits.isdecimal() else 0, path.name)


class MigrationItem(pytest.Item):
    """The test of one migration file."""

    def __init__(self, *, file: Path, **options: Any) -> None:
        super().__init__(**options)
        self._file = file

    def runtest(self) -> None:
        """Apply the ones before it, and take it there and back."""
        from edulearn_migrate.testing import assert_round_trip

        stash = self.config.stash
        if _OPEN not in stash:
            stash[_OPEN] = ExitStack()
            stash[_SERVER] = stash[_OPEN].enter_context(contextmanager(_serve)())
        database = TestDatabase(stash[_SERVER], f"t_migrations_{secrets.token_hex(4)}")
        try:
            assert_round_trip(self._file, uri=database.uri, database=database.name, after="all")
        finally:
            database.close()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What does not come back, and nothing of how it was found out."""
        from edulearn_migrate import MigrateError

        if isinstance(excinfo.value, (AssertionError, MigrateError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The migration file."""
        return self._file, None, self.name


@pytest.fixture(scope="session")
def edulearn_server() -> Iterator[TestServer]:
    """A replica set: the one that EDULEARN_TEST_URI names, else a private one for the session."""
    yield from _serve()


def _serve() -> Iterator[TestServer]:
    named = os.environ.get("EDULEARN_TEST_URI")
    if named:
        yield TestServer(named)
        return
    from edulearn_migrate.local import LocalServer, LocalServerError

    server = LocalServer()
    try:
        server.start()
    except LocalServerError as error:
        pytest.fail(f"No server to test on: {error}", pytrace=False)
    try:
        yield TestServer(server.uri)
    finally:
        server.stop()


@pytest.fixture
def edulearn_database(
    request: pytest.FixtureRequest, edulearn_server: TestServer
) -> Iterator[TestDatabase]:
    """A database that nobody used before; it is dropped after the test."""
    words = re.sub(r"\W+", "_", request.node.name, flags=re.ASCII)[:_WORDS].strip("_")
    database = TestDatabase(edulearn_server, f"t_{words}_{secrets.token_hex(4)}")
    yield database
    database.close()


@pytest.fixture
def assert_round_trip(edulearn_database: TestDatabase) -> Callable[..., RoundTrip]:
    """`edulearn_migrate.testing.assert_round_trip` on the test's own database."""

    def assert_it(
        migration: Script,
        *,
        data: Data | None = None,
        migrations_dir: str | os.PathLike[str] | None = None,
        strict_order: bool = False,
        after: Literal["all"] | None = None,
    ) -> RoundTrip:
        __tracebackhide__ = True
        from edulearn_migrate import testing

        return testing.assert_round_trip(
            migration,
            uri=edulearn_database.uri,
            database=edulearn_database.name,
            data=data,
            migrations_dir=migrations_dir,
            strict_order=strict_order,
            after=after,
        )

    return assert_it
