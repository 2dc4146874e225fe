"""A sharded cluster. A real server behind a proxy stands in for its `mongos`."""

from __future__ import annotations

import datetime

import pytest
from pymongo.uri_parser import parse_uri

from conftest import Cli, Migrations
from disguises import Router
from harness import Documents, state_of, update
from rewriting import Message, Reply, disguised, failure

DOCUMENTS = 20_000
NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)


@pytest.fixture
def port(server_uri: str) -> int:
    """The port of the real server."""
    (_, port), *_ = parse_uri(server_uri)["nodelist"]
    return int(port)


def fill(db: Documents) -> None:
    """Enough documents for several chunks and several answers, and a time-series collection."""
    pad = "x" * 500
    rows = [{"_id": at * 7919 % DOCUMENTS, "n": 0, "pad": pad} for at in range(DOCUMENTS)]
    db["users"].insert_many(rows, ordered=False)
    db["gone"].insert_many([{"_id": at} for at in range(10)])
    db.create_collection("readings", timeseries={"timeField": "at", "metaField": "of"})
    rows = [{"at": NOON, "of": at % 3, "v": at} for at in range(50)]
    db["readings"].insert_many(rows)


def visible(db: Documents) -> dict[str, list[str]]:
    """The application's documents."""
    return {
        name: sorted(map(str, rows))
        for name, rows in state_of(db).items()
        if not name.startswith(("migrations", "system."))
    }


class Losing(Router):
    """A router that loses a cursor in the middle."""

    left = 1

    def command(self, name: str, command: Message) -> Message | Reply | None:
        if name == "getMore" and self.left and command["collection"] == "users":
            self.left -= 1
            return failure(43, "CursorNotFound", "cursor id 1 not found")
        return super().command(name, command)


UP = [
    update("users", {}, {"$inc": {"n": 1}}),
    {"type": "drop_collection", "collection": "gone"},
    {"type": "drop_collection", "collection": "readings"},
]


def test_nothing_is_sharded(port: int, db: Documents, cli: Cli, migrations: Migrations) -> None:
    fill(db)
    before = visible(db)
    migrations.write(1, UP)
    router = Losing()
    with disguised(port, router) as uri:
        for command in (["backup"], ["apply"], ["status"]):
            result = cli(*command, "--uri", uri)
            assert result.code == 0, (command, result)
        assert db["users"].count_documents({"n": 1}) == DOCUMENTS
        result = cli("rollback", "--exact", "--uri", uri)
        assert result.code == 0, result
        assert visible(db) == before
        db["users"].delete_many({"_id": {"$gt": 10}})
        db["readings"].drop()
        result = cli("restore", "latest", "--uri", uri)
        assert result.code == 0, result
    assert visible(db) == before
    assert router.left == 0 and router.shuffled and router.split, "it was not put to the test"


def test_sharded_collections_are_left_alone(
    port: int, db: Documents, cli: Cli, migrations: Migrations
) -> None:
    db["users"].insert_many([{"_id": at, "n": 0} for at in range(100)])
    db["plain"].insert_one({"_id": 1})
    drop = {"type": "drop_collection", "collection": "users"}
    migrations.write(1, [update("users", {}, {"$inc": {"n": 1}})])
    migrations.write(2, [drop])
    with disguised(port, Router(sharded=("users",))) as uri:
        assert cli("backup", "--uri", uri).code == 0
        assert cli("apply", "migration_1", "--uri", uri).code == 0
        assert db["users"].count_documents({"n": 1}) == 100

        result = cli("plan", "--uri", uri)
        assert '"users" cannot be set aside: it is sharded' in result.stdout, result
        result = cli("apply", "--uri", uri)
        assert result.code == 1
        assert '"users" cannot be set aside: it is sharded' in result.stdout, result
        assert '"capture": false' in result.stdout
        assert db["users"].count_documents({"n": 1}) == 100

        result = cli("restore", "latest", "--uri", uri)
        assert result.code == 1
        assert '"users" (it is sharded' in result.stdout, result
        assert "Nothing was written" in result.stdout
        assert db["users"].count_documents({"n": 1}) == 100
        assert not [it for it in db.list_collection_names() if "restore" in it]
        assert cli("restore", "latest", "--collections", "plain", "--uri", uri).code == 0

        migrations.write(2, [{**drop, "capture": False}])
        assert cli("apply", "--uri", uri).code == 0
        assert "users" not in db.list_collection_names()
