"""A backup that is not as it was written is refused, and nothing is written."""

from __future__ import annotations

import random
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import bson
import pytest

from conftest import Cli
from edulearn_migrate import BackupCorruptError, BackupReport, Migrator
from harness import Documents
from message_rules import check_message
from oddities import hashes


@pytest.fixture
def migrator(server_uri: str, database_name: str, cli: Cli) -> Migrator:
    return Migrator(server_uri, database_name, backup_dir=cli.directory / "backups")


@pytest.fixture
def small(db: Documents, migrator: Migrator) -> BackupReport:
    """A small backup of two collections and a view; the database has changed since."""
    db["a"].insert_many([{"_id": at, "x": "text"} for at in range(20)])
    db["b"].insert_one({"_id": 1})
    db["b"].create_index("y", unique=True)
    db.create_collection("v", viewOn="a", pipeline=[])
    made = migrator.backup()
    db["a"].delete_one({"_id": 0})
    return made


def files(made: BackupReport) -> list[Path]:
    return sorted(Path(made.path).iterdir())


def test_every_flipped_bit_is_seen(small: BackupReport, migrator: Migrator) -> None:
    flipped = 0
    for path in files(small):
        intact = path.read_bytes()
        for bit in range(len(intact) * 8):
            damaged = bytearray(intact)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            with pytest.raises(BackupCorruptError) as caught:
                migrator.verify_backup(small.name)
            assert caught.value.file == str(path) and path.name in check_message(str(caught.value))
            flipped += 1
        path.write_bytes(intact)
    assert flipped > 10_000
    assert migrator.verify_backup(small.name).documents == 21


def test_every_cut_is_seen(small: BackupReport, migrator: Migrator) -> None:
    for path in files(small):
        intact = path.read_bytes()
        for length in range(len(intact)):
            path.write_bytes(intact[:length])
            with pytest.raises(BackupCorruptError):
                migrator.verify_backup(small.name)
        for more in (b"\0", intact):
            path.write_bytes(intact + more)
            with pytest.raises(BackupCorruptError):
                migrator.verify_backup(small.name)
        path.write_bytes(intact)


def damages(made: BackupReport, other: BackupReport) -> Iterator[str]:
    """Damages the backup in one way after the other, and mends it again."""
    directory = Path(made.path)
    saved = directory.with_name("saved")
    shutil.copytree(directory, saved)

    def mend() -> None:
        shutil.rmtree(directory)
        shutil.copytree(saved, directory)

    randomness = random.Random(5)
    for path in files(made):
        damaged = bytearray(path.read_bytes())
        damaged[randomness.randrange(len(damaged))] ^= 1 << randomness.randrange(8)
        path.write_bytes(damaged)
        yield f"a bit of {path.name}"
        mend()
        path.unlink()
        # Without its manifest it is no backup at all.
        yield f"{path.name} missing" if path.name != "manifest.json" else "no backup"
        mend()
    one, two = directory / "a.bson.zst", directory / "b.bson.zst"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    yield "two files swapped"
    mend()
    shutil.copy(Path(other.path) / "manifest.json", directory)
    yield "another backup's manifest"
    mend()
    shutil.copy(Path(other.path) / "a.bson.zst", directory)
    yield "another backup's file"
    mend()
    (directory / "b.bson.zst").unlink()
    (directory / "b.bson.zst").mkdir()
    yield "a directory in a file's place"
    mend()


def test_restore_refuses_before_it_writes(
    db: Documents, small: BackupReport, migrator: Migrator, cli: Cli
) -> None:
    other = migrator.backup()
    shutil.rmtree(cli.directory / "backups" / "kept", ignore_errors=True)
    before, collections = hashes(db), sorted(db.list_collection_names())
    for damage in damages(small, other):
        result = cli("restore", small.name)
        assert result.code == 1, damage
        expected = "Backup not found" if damage == "no backup" else "The backup cannot be trusted"
        assert expected in result.stdout, (damage, result.stdout)
        assert hashes(db) == before, damage
        assert sorted(db.list_collection_names()) == collections, damage
    assert cli("restore", small.name).code == 0
    assert db["a"].count_documents({}) == 20


def test_a_cut_at_a_frame_is_seen(db: Documents, migrator: Migrator) -> None:
    """Every frame of a larger file is whole without the last one, but the file is not."""
    rows = [{"_id": at, "x": random.Random(at).randbytes(900)} for at in range(12_000)]
    db["large"].insert_many(rows)
    made = migrator.backup()
    path = Path(made.path) / "large.bson.zst"
    stored = path.read_bytes()
    magic = b"\x28\xb5\x2f\xfd"
    starts = [at for at in range(len(stored)) if stored.startswith(magic, at)]
    assert len(starts) > 1
    for start in starts:
        path.write_bytes(stored[:start])
        with pytest.raises(BackupCorruptError, match=r"large\.bson\.zst"):
            migrator.verify_backup(made.name)


def test_a_dump_of_mongodump_must_be_whole(db: Documents, cli: Cli, tmp_path: Path) -> None:
    dump = tmp_path / "dump" / db.name
    dump.mkdir(parents=True)
    documents = [bson.encode({"_id": at}) for at in range(3)]
    db["a"].insert_one({"_id": "stands"})
    before = hashes(db)
    whole = b"".join(documents)
    gzipped = zlib.compressobj(wbits=31)
    damaged = {
        "a.bson": [whole[:-1], whole + b"\x05", whole[:2], b"\xff" * 8, bytes(5)],
        "a.bson.gz": [(gzipped.compress(whole) + gzipped.flush())[:-3], b"no gzip"],
        "a.metadata.json": [b"{", b"[]", b'{"indexes": [1]}'],
    }
    for name, contents in damaged.items():
        for content in contents:
            (dump / name).write_bytes(content)
            if name.endswith("json"):
                (dump / "a.bson").write_bytes(whole)
            result = cli("restore", "--from-mongodump", str(dump))
            assert result.code == 1 and "cannot be trusted" in result.stdout, (name, result.stdout)
            assert hashes(db) == before
        for path in dump.iterdir():
            path.unlink()
    (dump / "a.metadata.json").write_bytes(b'{"indexes": [], "options": {}}')
    result = cli("restore", "--from-mongodump", str(dump))
    assert result.code == 1 and "is missing" in result.stdout
    assert hashes(db) == before
