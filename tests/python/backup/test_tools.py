"""Ours with mongorestore, mongodump's with ours: where MONGODUMP and MONGORESTORE name them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import oddities
from edulearn_migrate import Migrator
from harness import Client, Documents
from oddities import catalog, contents, differing

MONGODUMP = os.environ.get("MONGODUMP")
MONGORESTORE = os.environ.get("MONGORESTORE")


def fill(db: Documents) -> None:
    """What mongorestore brings back; it loses violators, empty timestamps and names twice."""
    for part in (oddities.every_type, oddities.ids, oddities.names, oddities.indexes):
        part(db)


@pytest.mark.skipif(not MONGORESTORE, reason="MONGORESTORE names no mongorestore")
def test_mongorestore_restores_ours(
    db: Documents, client: Client, server_uri: str, tmp_path: Path
) -> None:
    fill(db)
    db.create_collection("empty")
    before = {"catalog": catalog(db), "contents": contents(db)}
    made = Migrator(server_uri, db.name, backup_dir=tmp_path).backup()
    files = [str(path) for path in Path(made.path).glob("*.zst")]
    subprocess.run(["zstd", "-d", "--rm", "-q", *files], check=True)
    client.drop_database(db.name)
    place = [f"--uri={server_uri}", f"--db={db.name}", made.path]
    subprocess.run([MONGORESTORE or "", *place], check=True, capture_output=True)
    assert differing(before, {"catalog": catalog(db), "contents": contents(db)}) == []


@pytest.mark.skipif(not MONGODUMP, reason="MONGODUMP names no mongodump")
@pytest.mark.parametrize("options", [[], ["--gzip"]])
def test_ours_restores_mongodump(
    db: Documents, server_uri: str, tmp_path: Path, options: list[str]
) -> None:
    fill(db)
    oddities.kinds(db)
    before = {"catalog": catalog(db), "contents": contents(db)}
    place = [f"--uri={server_uri}", f"--db={db.name}", f"--out={tmp_path / 'dump'}", *options]
    subprocess.run([MONGODUMP or "", *place], check=True, capture_output=True)
    db["ids"].drop()
    db["extra"].insert_one({"_id": 1})
    migrator = Migrator(server_uri, db.name, backup_dir=tmp_path / "backups")
    migrator.restore(from_mongodump=tmp_path / "dump", safety_backup=False, drop_extra=True)
    assert differing(before, {"catalog": catalog(db), "contents": contents(db)}) == []
