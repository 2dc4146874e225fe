"""What goes into a backup comes back, byte for byte."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

import oddities
from conftest import Cli
from edulearn_migrate import Migrator, SettingsError
from harness import Client, Documents, as_json
from oddities import differing, state


@pytest.fixture
def migrator(server_uri: str, database_name: str, tmp_path: Path) -> Migrator:
    return Migrator(server_uri, database_name, backup_dir=tmp_path / "backups")


def scrambled(db: Documents) -> None:
    """Changes a bit of everything."""
    for entry in list(db.list_collections()):
        if entry["type"] == "view":
            db.drop_collection(entry["name"])
    for name in ("types", "capped", "clustered", "series", "indexed", "empty"):
        db.drop_collection(name)
    db.create_collection("types", viewOn="ids", pipeline=[])
    db["view"].insert_one({"_id": "a collection where a view was"})
    db.create_collection("clustered", timeseries={"timeField": "at"})
    db["ids"].delete_many({"n": {"$gt": 3}})
    db["sessions"].drop_indexes()
    db["new"].insert_one({"_id": 1})
    db.create_collection("new_view", viewOn="new", pipeline=[])
    db["migrations"].update_one({"_id": "migration_1"}, {"$set": {"status": "rolled_back"}})


def test_everything_comes_back_byte_for_byte(db: Documents, migrator: Migrator) -> None:
    oddities.fill(db)
    before = state(db)
    made = migrator.backup()
    assert made.consistency == "snapshot" and made.cluster_time is not None
    assert any("capped" in note for note in made.notes)
    assert migrator.verify_backup(made.name).documents == made.documents
    scrambled(db)
    kept = db["backups"].find_one({})
    done = migrator.restore(made.name)
    assert differing(before, state(db)) == []
    assert sorted(done.dropped) == ["new", "new_view"]
    assert sorted(done.left_alone) == ["assessment_backup", "backups"]
    assert db["backups"].find_one({}) == kept
    # The safety backup brings back what was there between.
    assert done.safety_backup is not None
    between = migrator.restore(done.safety_backup, safety_backup=False)
    assert sorted(between.dropped) == [
        "capped",
        "empty",
        "indexed",
        "series",
        "view_of_nothing",
        "view_of_view",
    ]
    assert db["view"].find_one() == {"_id": "a collection where a view was"}
    assert db["new"].count_documents({}) == 1


def test_nothing_of_ours_remains_beside_the_data(db: Documents, migrator: Migrator) -> None:
    oddities.kinds(db)
    made = migrator.backup()
    migrator.restore(made.name)
    ours = {name for name in db.list_collection_names() if name.startswith("migrations")}
    assert ours == {"migrations_lock", "migrations_history"}
    event = db["migrations_history"].find_one({"event": "restored"})
    assert event is not None and event["backup"] == made.name


def test_into_another_database(db: Documents, migrator: Migrator, client: Client) -> None:
    oddities.fill(db)
    made = migrator.backup()
    other = client[f"{db.name[:50]}_copy"]
    try:
        done = migrator.restore("latest", into=other.name)
        assert done.database == other.name and done.safety_backup is None
        assert done.name == made.name
        # What is never replaced was not there: it is made from the backup.
        one, two = state(db), state(other)
        for each in (one, two):
            del each["hashes"]["system.views"]  # the definitions hold the database's name
        assert differing(one, two) == []
        assert "migrations_lock" not in db.list_collection_names()
    finally:
        client.drop_database(other.name)


def test_a_name_too_long_for_the_database_is_refused_first(
    db: Documents, migrator: Migrator
) -> None:
    longest = "n" * (255 - len(db.name) - 1)
    db[longest].insert_one({"_id": 1})
    before = state(db)
    made = migrator.backup()
    db[longest].drop()
    with pytest.raises(SettingsError, match="longer than 255 bytes"):
        migrator.restore(made.name, into=f"{db.name}_")
    migrator.restore(made.name)
    assert differing(before, state(db)) == []


def test_expired_documents_stay_until_the_end(db: Documents, migrator: Migrator) -> None:
    """TTL is held back while collections are built, and stands as it was in the end."""
    oddities.indexes(db)
    before = state(db)
    made = migrator.backup()
    db["sessions"].drop()
    migrator.restore(made.name)
    assert differing(before, state(db)) == []
    index = db["sessions"].index_information()["kept ones"]
    assert index["expireAfterSeconds"] == 3600


def test_ranges_read_every_document_once(db: Documents, migrator: Migrator) -> None:
    """A collection large enough for several ranges, with `_id`s of every type at the borders."""
    oddities.ids(db)
    padding = "x" * 9_000
    for first in range(0, 16_000, 2_000):
        rows = range(first, first + 2_000)
        texts = [{"_id": f"k{at}" if at % 2 else at, "p": padding + str(at)} for at in rows]
        db["ids"].insert_many(texts, ordered=False)
    before = state(db)
    made = migrator.backup()
    assert made.documents == db["ids"].count_documents({})
    db["ids"].delete_many({})
    migrator.restore(made.name, safety_backup=False)
    assert differing(before, state(db)) == []


def test_other_tools_read_the_files(
    db: Documents, migrator: Migrator, tmp_path: Path, cli: Cli
) -> None:
    """`zstd -d` gives concatenated BSON; metadata is mongodump's JSON."""
    db["a/b"].insert_many([{"_id": at} for at in range(5)])
    db["a/b"].create_index("x", name="x")
    path = Path(migrator.backup().path)
    stored = path / "a%2Fb.bson.zst"
    try:
        plain = subprocess.run(["zstd", "-dc", str(stored)], capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("there is no zstd command here")
    import bson

    assert bson.decode_all(plain) == [{"_id": at} for at in range(5)]
    metadata = as_json((path / "a%2Fb.metadata.json").read_text())
    assert metadata["collectionName"] == "a/b" and metadata["type"] == "collection"
    assert [index["name"] for index in metadata["indexes"]] == ["_id_", "x"]
    # What it left as a directory of mongodump restores as one.
    dump = tmp_path / "dump" / db.name
    dump.mkdir(parents=True)
    (dump / "a%2Fb.bson").write_bytes(plain)
    (dump / "a%2Fb.metadata.json").write_bytes((path / "a%2Fb.metadata.json").read_bytes())
    before = state(db)
    db["a/b"].drop()
    done = cli("restore", "--from-mongodump", str(dump.parent), "--no-safety-backup")
    assert done.code == 0, done.stdout + done.stderr
    assert differing(before, state(db)) == []


def test_permissions(db: Documents, migrator: Migrator) -> None:
    db["a"].insert_one({"_id": 1})
    path = Path(migrator.backup().path)
    assert path.stat().st_mode & 0o777 == 0o700
    modes: set[Any] = {file.stat().st_mode & 0o777 for file in path.iterdir()}
    assert modes == {0o600}
    assert {file.name for file in path.iterdir()} == {
        "a.bson.zst",
        "a.metadata.json",
        "manifest.json",
    }
    assert [file.name for file in path.parent.iterdir()] == [path.name]
