"""The asynchronous database of a test; a part of the pytest plugin.

A client belongs to the event loop that it is used in, and must be closed there. So the fixture is
set up by whoever runs the test's loop: pytest-asyncio or anyio. Neither has to be installed.
"""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edulearn_migrate.pytest_plugin import TestDatabase

_asyncio: Any
try:
    import pytest_asyncio as _asyncio
except ImportError:
    _asyncio = None

# What pytest-asyncio calls the lives of a loop.
_LOOPS = ("function", "class", "module", "package", "session")


@pytest.fixture
def edulearn_async_database(request: pytest.FixtureRequest, edulearn_database: TestDatabase) -> Any:
    """The database of `edulearn_database` by PyMongo's asynchronous client, else by Motor's."""
    del edulearn_database  # it is dropped after the client is closed
    return request.getfixturevalue(_runner(request))


def _runner(request: pytest.FixtureRequest) -> str:
    """The fixture that opens the database in the loop of this test."""
    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend")
        if (backend if isinstance(backend, str) else backend[0]) != "asyncio":
            _refuse("PyMongo needs asyncio: have your fixture anyio_backend return 'asyncio'.")
        return "_edulearn_by_anyio"
    if not (_has_loops() and request.config.pluginmanager.has_plugin("asyncio")):
        _refuse("install pytest-asyncio 0.24 or newer, or mark the test with pytest.mark.anyio.")
    marker = request.node.get_closest_marker("asyncio")
    options = {} if marker is None else marker.kwargs
    named = options.get("loop_scope") or options.get("scope")
    return f"_edulearn_in_loop_of_{named or _default_loop(request.config)}"


def _default_loop(config: pytest.Config) -> str:
    try:
        return str(config.getini("asyncio_default_test_loop_scope"))
    except (KeyError, ValueError):  # older ones have no such setting
        return "function"


def _refuse(why: str) -> None:
    pytest.fail(f"edulearn_async_database cannot be opened: {why}", pytrace=False)


@asynccontextmanager
async def _opened(database: TestDatabase) -> AsyncIterator[Any]:
    make: Any
    try:
        from pymongo import AsyncMongoClient as make  # noqa: N813
    except ImportError:
        try:
            from motor.motor_asyncio import AsyncIOMotorClient as make  # noqa: N813
        except ImportError:
            _refuse("install PyMongo 4.9 or newer, or Motor.")
    client = make(database.uri, tz_aware=True)
    try:
        yield client[database.name]
    finally:
        closed = client.close()
        if inspect.isawaitable(closed):
            await closed


@pytest.fixture
async def _edulearn_by_anyio(edulearn_database: TestDatabase) -> AsyncIterator[Any]:
    async with _opened(edulearn_database) as database:
        yield database


def _has_loops() -> bool:
    """Whether pytest-asyncio is there, and can be told which loop a fixture belongs to."""
    return _asyncio is not None and "loop_scope" in inspect.signature(_asyncio.fixture).parameters


def _in_loop_of(scope: Any) -> Any:
    async def opened(edulearn_database: TestDatabase) -> AsyncIterator[Any]:
        async with _opened(edulearn_database) as database:
            yield database

    return _asyncio.fixture(opened, loop_scope=scope, name=f"_edulearn_in_loop_of_{scope}")


if _has_loops():
    # pytest finds fixtures among the names of a module.
    globals().update({f"_in_loop_of_{_each}": _in_loop_of(_each) for _each in _LOOPS})
