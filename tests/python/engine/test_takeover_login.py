"""Taking over from a run of another database user: its session is that user's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from conftest import Cli, login
from edulearn_migrate.local import LocalServer
from harness import (
    Client,
    Documents,
    finish,
    lock_of,
    open_transaction,
    start_holding,
    stop_in_chunk,
    update,
    write_migration,
)

TOTAL = 20_000
PASSWORD = "p"
KILLS_ANY_SESSION = {"resource": {"cluster": True}, "actions": ["killAnySession"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A replica set that wants a login. `other` may end the sessions of others, `plain` may not."""
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_bytes(base64.b64encode(b"k" * 60))
    key.chmod(0o600)
    with LocalServer(extra_args=["--keyFile", str(key)]) as server:
        with Client(server.uri) as client:
            # The first user may be made without a login, from this machine.
            client["admin"].command("createUser", "root", pwd=PASSWORD, roles=["root"])
        with Client(login(server, "root", PASSWORD)) as client:
            admin = client["admin"]
            admin.command("createRole", "ends", privileges=[KILLS_ANY_SESSION], roles=[])
            everything = ["readWriteAnyDatabase", "dbAdminAnyDatabase"]
            for user, roles in {"first": [], "plain": [], "other": ["ends"]}.items():
                admin.command("createUser", user, pwd=PASSWORD, roles=[*everything, *roles])
            # What nobody may end ends by itself.
            admin.command("setParameter", 1, transactionLifetimeLimitSeconds=10)
        yield server


@pytest.fixture
def db(server: LocalServer, database_name: str) -> Iterator[Documents]:
    with pymongo.MongoClient[dict[str, Any]](
        login(server, "root", PASSWORD) + "&directConnection=true", tz_aware=True
    ) as client:
        yield client[database_name]
        client.drop_database(database_name)


@pytest.fixture
def cli(server: LocalServer, db: Documents, tmp_path: Path) -> Iterator[Cli]:
    cli = Cli(tmp_path, login(server, "first", PASSWORD), db.name)
    yield cli
    cli.close()


@pytest.mark.parametrize(("user", "may"), [("first", True), ("other", True), ("plain", False)])
def test_the_transaction_of_a_dead_run(
    server: LocalServer, db: Documents, cli: Cli, user: str, may: bool
) -> None:
    db["documents"].insert_many({"_id": at, "n": 0, "x": "x" * 300} for at in range(TOTAL))
    migration = write_migration(cli.directory, 1, [update("documents", {}, {"$inc": {"n": 1}})])
    dead = start_holding(db, lambda: cli.start("apply"))
    stop_in_chunk(db, dead, migration)
    assert lock_of(db)["owner"]["login"] == "first@admin"
    dead.kill()
    finish(dead)
    assert open_transaction(db)
    uri = login(server, user, PASSWORD)
    done = cli("apply", env={"MONGO_URI": uri})
    assert done.code == 0, done.stdout + done.stderr
    assert db["documents"].count_documents({"n": 1}) == TOTAL
    said = "The earlier run worked as another database user" in done.stderr
    assert said is not may
