"""Encrypted collections, which the server lets only administrators rename."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from pathlib import Path

import bson
import pymongo
import pytest

from conftest import Cli, Migrations
from edulearn_migrate.local import LocalServer
from harness import Client, Documents

FIELDS = {
    "fields": [
        {
            "path": "secret",
            "keyId": bson.Binary(uuid.UUID(int=1).bytes, 4),
            "bsonType": "string",
            "queries": {"queryType": "equality"},
        }
    ]
}


@pytest.fixture(scope="module")
def administrator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An administrator of a server that wants a login, which also has the user `teacher`."""
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_bytes(base64.b64encode(b"k" * 60))
    key.chmod(0o600)
    with LocalServer(extra_args=["--keyFile", str(key)]) as server:
        uri = f"mongodb://root:pass@127.0.0.1:{server.port}/?authSource=admin"
        first: Client = pymongo.MongoClient(server.uri)
        with first:
            first.admin.command("createUser", "root", pwd="pass", roles=["root"])
        client: Client = pymongo.MongoClient(uri)
        roles = [{"role": role, "db": "school"} for role in ("readWrite", "dbAdmin")]
        client.admin.command("createUser", "teacher", pwd="pass", roles=roles)
        if tuple(client.server_info()["versionArray"][:2]) < (6, 0):
            pytest.skip("before 6.0 there are no encrypted collections")
        with client:
            yield client


@pytest.fixture
def db(administrator: Client) -> Iterator[Documents]:
    """A database with an encrypted collection."""
    db = administrator["school"]
    db.command("create", "patients", encryptedFields=FIELDS)
    db["patients"].insert_one({"_id": 1, "name": "Ada"})
    db["plain"].insert_one({"_id": 1})
    yield db
    administrator.drop_database("school")


def cli_of(administrator: Client, directory: Path, user: str) -> Cli:
    host, port = administrator.address or ("", 0)
    return Cli(directory, f"mongodb://{user}:pass@{host}:{port}/?authSource=admin", "school")


@pytest.fixture
def migrations(tmp_path: Path) -> Migrations:
    return Migrations(tmp_path / "migrations")


DROP = {"type": "drop_collection", "collection": "patients"}
RENAME = {"type": "rename_collection", "collection": "patients", "to": "people"}


@pytest.mark.parametrize(("operation", "verb"), [(DROP, "set aside"), (RENAME, "renamed")])
def test_a_user_is_refused_before_anything_is_done(
    administrator: Client, db: Documents, tmp_path: Path, migrations: Migrations,
    operation: dict[str, str], verb: str,
) -> None:  # fmt: skip
    migrations.write(1, [operation])
    cli = cli_of(administrator, tmp_path, "teacher")
    said = f'"patients" cannot be {verb}: it is encrypted (encryptedFields)'
    assert said in cli("plan").stdout
    result = cli("apply")
    assert result.code == 1
    assert said in result.stdout, result
    assert db["patients"].count_documents({}) == 1
    assert cli_of(administrator, tmp_path, "root")("apply").code == 0
    assert "patients" not in db.list_collection_names()


def test_a_restore_is_refused_before_anything_is_written(
    administrator: Client, db: Documents, tmp_path: Path
) -> None:
    cli = cli_of(administrator, tmp_path, "teacher")
    assert cli("backup").code == 0
    db["patients"].insert_one({"_id": 2})
    db["plain"].delete_many({})
    result = cli("restore", "latest")
    assert result.code == 1
    assert '"patients" (it is encrypted' in result.stdout, result
    assert db["patients"].count_documents({}) == 2
    assert db["plain"].count_documents({}) == 0
    assert cli("restore", "latest", "--collections", "plain").code == 0
    assert db["plain"].count_documents({}) == 1
    result = cli_of(administrator, tmp_path, "root")("restore", "latest")
    assert result.code == 0, result
    assert db["patients"].count_documents({}) == 1
    assert db["patients"].options()["encryptedFields"]["fields"][0]["path"] == "secret"
