"""A server that is too old is refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest

from conftest import ROOT, Cli
from edulearn_migrate.local import LocalServer
from harness import Client, write_migration

# Made by `make servers`.
TOO_OLD = ROOT / ".servers" / "4.4.2" / "mongod"


@pytest.fixture(scope="module")
def too_old() -> Iterator[Client]:
    """A standalone server of MongoDB 4.4, with a database `school`."""
    if not TOO_OLD.exists():
        pytest.skip("`make servers` fetches the server of this test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDULEARN_MONGOD", str(TOO_OLD))
        with LocalServer(replica_set=None) as server:
            client: Client = pymongo.MongoClient(server.uri)
            client["school"]["users"].insert_one({"_id": 1})
            with client:
                yield client


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["apply"],
        ["rollback"],
        ["backup"],
        ["restore", "latest"],
        ["assessment-migrate"],
        ["assessment-rollback"],
        ["unlock"],
    ],
    ids=lambda it: it[0],
)
def test_an_old_server_is_refused(too_old: Client, tmp_path: Path, command: list[str]) -> None:
    host, port = too_old.address or ("", 0)
    cli = Cli(tmp_path, f"mongodb://{host}:{port}/", "school")
    write_migration(tmp_path, 1, [{"type": "create_index", "collection": "users", "index": "name"}])
    result = cli(*command)
    assert result.code == 1
    said = (
        f"✗ Error: The server at {host}:{port}/school is MongoDB 4.4.2, and edulearn_migrate needs"
        " MongoDB 5.0 or newer: nothing was written."
    )
    assert said in result.lines, result
    assert (result.stdout + result.stderr).count("MongoDB 4.4.2") == 1
    assert too_old["school"].list_collection_names() == ["users"]
    assert [it["name"] for it in too_old["school"]["users"].list_indexes()] == ["_id_"]
    assert not (tmp_path / "backups").exists()
