"""`MigrationCLI`, for code that drives the old tool's command line: its client and its database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from migration_cli import MigrationCLI

from harness import Client


@pytest.fixture
def here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server_uri: str, database_name: str
) -> None:
    """The settings of the command line: from a `.env` file and from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DB_NAME", raising=False)
    monkeypatch.setenv("MONGO_URI", server_uri)
    (tmp_path / ".env").write_text(f"DB_NAME={database_name}\n")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("driver", "kind"), [("motor", "AsyncIOMotorDatabase"), ("pymongo", "AsyncDatabase")]
)
async def test_connect_and_disconnect(
    driver: str, kind: str, client: Client, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if driver == "pymongo":
        monkeypatch.setitem(sys.modules, "motor.motor_asyncio", None)  # it cannot be imported
    cli = MigrationCLI()
    assert (cli.client, cli.db) == (None, None)
    await cli.disconnect()  # there is nothing to close, and that is no error
    await cli.connect()
    opened: Any = cli.client
    assert type(cli.db).__name__ == kind
    assert (cli.db.name, cli.db.client) == (database_name, opened)
    await cli.db["users"].insert_one({"_id": 1})
    assert client[database_name]["users"].find_one() == {"_id": 1}
    # Motor's wraps PyMongo's.
    inner: Any = vars(opened).get("delegate", opened)
    assert not inner._closed
    await cli.disconnect()
    assert (cli.client, cli.db) == (None, None)
    assert inner._closed
    # And once more with the same object.
    await cli.connect()
    assert cli.client is not opened
    assert await cli.db["users"].count_documents({}) == 1
    await cli.disconnect()


@pytest.mark.usefixtures("here")
async def test_a_command_between_the_two(
    client: Client, database_name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The commands need no client, and leave the one that there is alone."""
    (tmp_path / "migrations").mkdir()
    up = '{"operations": [{"type": "create_collection", "collection": "made"}]}'
    (tmp_path / "migrations" / "migration_1_made.json").write_text(f'{{"name": "m", "up": {up}}}')
    cli = MigrationCLI()
    await cli.connect()
    await cli.apply()
    assert "✓ Applied 1 migrations:" in capsys.readouterr().out.splitlines()
    assert "made" in await cli.db.list_collection_names()
    await cli.disconnect()
    await cli.status()
    assert "  Applied: 1" in capsys.readouterr().out.splitlines()
    assert "made" in client[database_name].list_collection_names()
