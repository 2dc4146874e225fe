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
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

    from edulearn_migrate.reports.rehearsal import RoundTrip
    from edulearn_migrate.testing import Data, Script

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


@pytest.fixture(scope="session")
def edulearn_server() -> Iterator[TestServer]:
    """A replica set: the one that EDULEARN_TEST_URI names, else a private one for the session."""
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
    yield TestServer(server.uri)
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
        )

    return assert_it
