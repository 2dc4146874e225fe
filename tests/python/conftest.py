"""What every test may use. Server and database come from the package's own pytest plugin."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.database import Database

from edulearn_migrate import Migrator
from edulearn_migrate.local import LocalServer
from edulearn_migrate.pytest_plugin import TestDatabase, TestServer
from harness import HANGING, SEED, TEST_COMMANDS
from message_rules import check_message
from random_migrations import Attempts

# A shell without job control starts its background jobs with Ctrl-C ignored, and `nohup` ignores a
# terminal that closes. Children inherit that: the tests of these signals would wait for nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_report_header() -> str:
    """How to repeat the run's random tests."""
    return f"EDULEARN_SEED={SEED}"


ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = HANGING

# What could change the command's behaviour, but for the mongod that --local is to run.
OURS = re.compile(
    r"EDULEARN_(?!MONGOD$).*|MONGO_URI|DB_NAME|LOG_LEVEL|NO_COLOR|FORCE_COLOR|COLUMNS",
    re.IGNORECASE,
)


@pytest.fixture(scope="session")
def server_uri(edulearn_server: TestServer) -> str:
    """A replica set: the one that EDULEARN_TEST_URI names, else a private one."""
    return edulearn_server.uri


@pytest.fixture(scope="session")
def client(server_uri: str) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    """A PyMongo client of that server."""
    with pymongo.MongoClient[dict[str, Any]](server_uri, tz_aware=True) as client:
        yield client


@pytest.fixture(scope="session")
def with_failpoints() -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    """A client of a replica set of its own whose failpoints can be set."""
    with (
        LocalServer(extra_args=TEST_COMMANDS) as server,
        pymongo.MongoClient[dict[str, Any]](server.uri, tz_aware=True) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def guarded() -> Iterator[LocalServer]:
    """A standalone server that wants a login. Its user `teacher` may do everything."""
    with LocalServer(extra_args=["--auth"], replica_set=None) as server:
        with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
            # The first user may be made without a login, from this machine.
            client["admin"].command("createUser", "teacher", pwd="s3cr3t!", roles=["root"])
        yield server


def login(server: LocalServer, user: str, password: str, database: str = "") -> str:
    """The connection string of a user of the guarded server; the password as a URI has it."""
    return f"mongodb://{user}:{password}@127.0.0.1:{server.port}/{database}?authSource=admin"


@pytest.fixture
def database_name(edulearn_database: TestDatabase) -> str:
    """The name of a database that nobody used before and that is dropped afterwards."""
    return edulearn_database.name


@pytest.fixture
def db(client: pymongo.MongoClient[dict[str, Any]], database_name: str) -> Database[dict[str, Any]]:
    """That database, by PyMongo."""
    return client[database_name]


Operation = dict[str, Any]


class Migrations:
    """A directory of migration files. It is made with the first one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(
        self,
        number: int | str,
        up: list[Operation],
        down: list[Operation] | None = None,
        *,
        name: str | None = None,
        description: str = "",
    ) -> str:
        """Writes the file of a migration, or writes it anew, and returns the migration's id."""
        name = name or f"step_{number}"
        document: dict[str, Any] = {
            "name": name,
            "description": description,
            "up": {"operations": up},
        }
        if not up:
            document["empty"] = True
        if down is not None:
            document["down"] = {"operations": down}
        self.raw(f"migration_{number}_{name}.json", json.dumps(document, ensure_ascii=False))
        return f"migration_{number}"

    def raw(self, file_name: str, text: str | bytes) -> Path:
        """Writes a file with any content."""
        self.directory.mkdir(exist_ok=True)
        path = self.directory / file_name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.stdout.splitlines()

    @property
    def error(self) -> str:
        """The one error, with its mark, as a single text: its indented lines are joined to it."""
        [at] = [at for at, line in enumerate(self.lines) if line.startswith("✗ Error: ")]
        more = itertools.takewhile(lambda line: line.startswith("    "), self.lines[at + 1 :])
        return check_message(" ".join([self.lines[at], *map(str.strip, more)]))


class Cli:
    """Runs ``migration_cli.py`` as a process of its own, in an empty working directory.

    The environment is the caller's without any setting of ours, and with MONGO_URI and DB_NAME
    naming the test's own database. `env` adds to it; a None in it takes a variable away.
    """

    def __init__(self, directory: Path, uri: str, database: str) -> None:
        self.directory = directory
        self.command: tuple[str, ...] = (sys.executable, str(ROOT / "migration_cli.py"))
        self._settings = {"MONGO_URI": uri, "DB_NAME": database}
        self._started: list[subprocess.Popen[str]] = []

    def __call__(
        self,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        command: tuple[str, ...] | None = None,
    ) -> Result:
        """Runs the command to its end."""
        done = subprocess.run(
            [*(command or self.command), *arguments],
            cwd=cwd or self.directory,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(
        self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str | None] | None = None
    ) -> subprocess.Popen[str]:
        """Starts the command and returns its process, which is killed when the test ends."""
        process = subprocess.Popen(
            [*self.command, *arguments],
            cwd=cwd or self.directory,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self._started.append(process)
        return process

    def environment(self, env: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The environment that commands run in."""
        kept: dict[str, str | None] = {
            name: value for name, value in os.environ.items() if not OURS.fullmatch(name)
        }
        kept.update(self._settings)
        kept.update(env or {})
        return {name: value for name, value in kept.items() if value is not None}

    def finish(self, process: subprocess.Popen[str]) -> Result:
        """Waits for a command that `start` started."""
        stdout, stderr = process.communicate(timeout=TIMEOUT)
        return Result(process.returncode, stdout, stderr)

    def close(self) -> None:
        """Kills what still runs."""
        for process in self._started:
            with suppress(ProcessLookupError):
                process.kill()
            process.communicate()


@pytest.fixture
def cli(tmp_path: Path, server_uri: str, database_name: str) -> Iterator[Cli]:
    """The command line, against the test's own database, in an empty directory."""
    directory = tmp_path / "work"
    directory.mkdir()
    cli = Cli(directory, server_uri, database_name)
    yield cli
    cli.close()


@pytest.fixture
def migrations(cli: Cli) -> Migrations:
    """The directory `migrations` where the command line runs."""
    return Migrations(cli.directory / "migrations")


@pytest.fixture
def migrator(server_uri: str, database_name: str, migrations: Migrations) -> Migrator:
    """The engine in this process, on the same database and the same migrations directory."""
    migrations.directory.mkdir(exist_ok=True)
    return Migrator(server_uri, database_name, migrations_dir=migrations.directory)


@pytest.fixture(scope="module")
def attempts() -> Iterator[Attempts]:
    """For random migrations that may fail: that most of a file's did not, is checked at its end."""
    attempts = Attempts()
    yield attempts
    attempts.check()


@pytest.fixture
def legacy() -> Path:
    """What the old tool left behind, recorded as canonical Extended JSON."""
    return ROOT / "tests" / "fixtures" / "legacy"
