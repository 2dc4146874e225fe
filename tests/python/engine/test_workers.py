"""Several processes and loops that begin at once: none crashes, and none migrates twice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

from conftest import TIMEOUT, Migrations
from edulearn_migrate import AsyncMigrator
from harness import Documents, until, update

APPLICATION = """
import json, os
from contextlib import asynccontextmanager

from edulearn_migrate import AsyncMigrator, MigrationManager, Migrator
from fastapi import FastAPI

URI, DATABASE, DIRECTORY = json.loads(os.environ["TARGET"])
# The object is made before the fork where the application is loaded beforehand.
migrator = AsyncMigrator(URI, DATABASE, migrations_dir=DIRECTORY)


@asynccontextmanager
async def lifespan(app):
    await migrator.apply(lock_timeout=60)
    await MigrationManager(URI, DATABASE).initialize()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def current() -> int:
    await migrator.require_current()
    return os.getpid()


def wsgi(environment, start):
    Migrator(URI, DATABASE, migrations_dir=DIRECTORY).apply(lock_timeout=60)
    start("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.fixture
def counted(migrations: Migrations, db: Documents) -> str:
    """A migration that shows how often it ran."""
    db["numbers"].insert_many([{"_id": number} for number in range(5_000)])
    return migrations.write(1, [update("numbers", {}, {"$inc": {"n": 1}})])


def free_port() -> int:
    with create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def ask(port: int) -> str | None:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        text: str = answer.read().decode()
        return text
    return None


@pytest.mark.parametrize(
    "command",
    [
        ("uvicorn", "application:app", "--workers", "3", "--port"),
        ("gunicorn", "application:wsgi", "--workers", "3", "--bind"),
        ("gunicorn", "application:wsgi", "--workers", "3", "--preload", "--bind"),
    ],
    ids=["uvicorn", "gunicorn", "gunicorn preloaded"],
)
def test_workers(
    command: tuple[str, ...], server_uri: str, db: Documents, migrations: Migrations, counted: str
) -> None:
    folder = migrations.directory.parent
    (folder / "application.py").write_text(APPLICATION)
    port = free_port()
    address = f"127.0.0.1:{port}" if command[0] == "gunicorn" else str(port)
    target = json.dumps([server_uri, db.name, str(migrations.directory)])
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, address],
            cwd=folder,
            env={"PATH": str(Path(sys.executable).parent), "TARGET": target},
            stdout=output,
            stderr=output,
        )
    try:
        answers = {until(lambda: ask(port), "a worker answers", TIMEOUT) for _ in range(30)}
        assert answers
    finally:
        server.terminate()
        code = server.wait(TIMEOUT)
    said = log.read_text()
    assert code in (0, -15), said
    assert "Traceback" not in said and "signal" not in said.lower().replace("handling signal", "")
    assert db["numbers"].distinct("n") == [1]
    assert db["migrations"].distinct("_id") == [counted]


async def test_a_loop_that_runs_already(
    server_uri: str, db: Documents, migrations: Migrations, counted: str
) -> None:
    """As in a notebook: `await` at the top, and the synchronous class in a cell."""
    migrator = AsyncMigrator(server_uri, db.name, migrations_dir=migrations.directory)
    reports = await asyncio.gather(*(migrator.apply(lock_timeout=60) for _ in range(5)))
    assert sum(counted in report.ids("applied") for report in reports) == 1
    assert db["numbers"].distinct("n") == [1]


def test_one_loop_after_the_other(
    server_uri: str, db: Documents, migrations: Migrations, counted: str
) -> None:
    """The object outlives the loop that it was first used in, and that was closed meanwhile."""
    migrator = AsyncMigrator(server_uri, db.name, migrations_dir=migrations.directory)

    async def timed_out() -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(migrator.apply(), 0.01)

    asyncio.run(timed_out())
    for _ in range(3):
        report: Any = asyncio.run(migrator.apply(lock_timeout=60))
    assert report.ok
    assert db["numbers"].distinct("n") == [1]
    assert db["migrations"].distinct("_id") == [counted]
