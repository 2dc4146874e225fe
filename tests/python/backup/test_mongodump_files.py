"""Archives and single files of mongodump: all of it comes back, and no damage passes."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bson
import pytest

import oddities
from dumps import MAGIC, TERMINATOR, archive, header
from edulearn_migrate import BackupCorruptError, Migrator
from features import require
from oddities import catalog, contents, differing

if TYPE_CHECKING:
    from conftest import Cli
    from harness import Documents

FIXTURES = Path(__file__).parents[2] / "fixtures" / "mongodump"
MONGODUMP = os.environ.get("MONGODUMP")
MONGORESTORE = os.environ.get("MONGORESTORE")


def assert_school(db: Documents) -> None:
    """What the recorded archives hold."""
    require(db, "buckets that are compressed")
    assert db["users"].count_documents({}) == 200
    assert db["users"].find_one({"_id": 7}) == {"_id": 7, "name": "u7", "tags": ["a", "b"]}
    indexes = db["users"].index_information()
    assert indexes["name_1"]["unique"] is True
    assert indexes["tags_partial"]["partialFilterExpression"] == {"name": {"$gt": "u1"}}
    assert [each["_id"] for each in db["log"].find()] == list(range(20))
    assert db["log"].options() == {"capped": True, "size": 65536, "max": 50}
    assert db["weather"].count_documents({}) == 120
    assert db["we/ird % name"].find_one() == {"_id": 1}
    assert db["adults"].count_documents({}) == 54
    assert set(db.list_collection_names()) >= {"empty", "weather", "adults"}


@pytest.mark.parametrize("name", ["school.archive", "school.archive.gz", "with_users.archive"])
def test_a_recorded_archive(cli: Cli, db: Documents, name: str) -> None:
    db["users"].insert_one({"_id": "old"})
    db["other"].insert_one({"_id": "mine"})
    path = str(FIXTURES / name)
    # It is another database's.
    assert cli("restore", "--from-mongodump", path).code == 5
    done = cli("restore", "--from-mongodump", path, "--allow-different-db")
    assert done.code == 0, done.stdout
    assert_school(db)
    assert db["other"].find_one() == {"_id": "mine"}
    assert ("users and roles" in done.stdout) == ("users" in name)
    assert "no checksums" not in done.stdout
    assert [
        path.name for path in (cli.directory / "backups").iterdir() if path.name[0] == "."
    ] == []


def test_an_archive_of_several_databases(cli: Cli, db: Documents) -> None:
    path = str(FIXTURES / "all.archive.gz")
    refused = cli("restore", "--from-mongodump", path)
    assert refused.code == 2
    assert "name one of other, school with --db" in refused.stdout
    done = cli("restore", "--from-mongodump", path, "--db", "school", "--into", db.name)
    assert done.code == 0, done.stdout
    assert "the oplog is not replayed" in done.stdout
    assert_school(db)


@pytest.fixture
def backups(server_uri: str, db: Documents, tmp_path: Path) -> Migrator:
    """In this process, for tests that try many files."""
    db["a"].insert_one({"_id": "old"})
    return Migrator(server_uri, db.name, backup_dir=tmp_path / "backups")


def listed(db: Documents, *names: str) -> list[dict[str, Any]]:
    options = {"collectionName": "", "indexes": []}
    return [{"db": db.name, "collection": name, "metadata": json.dumps(options)} for name in names]


@pytest.mark.parametrize("zipped", [False, True])
def test_blocks_that_alternate(
    backups: Migrator, db: Documents, tmp_path: Path, zipped: bool
) -> None:
    blocks = []
    expected: dict[str, list[dict[str, Any]]] = {"a": [], "b": [], "c": []}
    random_ = random.Random(5)
    for number in range(60):
        name = "abc"[number % 3 if number < 50 else 0]
        size = random_.choice([0, 10, 200_000])
        documents = [{"_id": number * 10 + k, "x": random_.randbytes(size)} for k in range(3)]
        expected[name] += documents
        blocks.append(((db.name, name), documents))
    path = tmp_path / "archive"
    archive(path, listed(db, "a", "b", "c", "none"), blocks, zipped=zipped)
    report = backups.restore(from_mongodump=path, safety_backup=False)
    assert report.documents == 180
    for name, documents in expected.items():
        assert list(db[name].find().sort("_id", 1)) == documents
    assert "none" in db.list_collection_names()


def refused(backups: Migrator, path: Path) -> str:
    with pytest.raises(BackupCorruptError) as caught:
        backups.restore(from_mongodump=path, safety_backup=False)
    return str(caught.value)


def test_an_archive_that_is_cut_off_is_refused(
    backups: Migrator, db: Documents, tmp_path: Path
) -> None:
    path = tmp_path / "archive"
    whole = (FIXTURES / "school.archive").read_bytes()
    zipped = (FIXTURES / "school.archive.gz").read_bytes()
    ends = {end for end in range(len(whole)) if whole[end - 4 : end] == TERMINATOR}
    ends |= {4, *random.Random(1).sample(range(4, len(whole)), 30)}
    for end in sorted(ends):
        path.write_bytes(whole[:end])
        assert "Nothing was written" in refused(backups, path)
    for end in random.Random(2).sample(range(40, len(zipped)), 15):
        path.write_bytes(zipped[:end])
        refused(backups, path)
    for more in (b"x", TERMINATOR, whole[:30]):
        path.write_bytes(whole + more)
        refused(backups, path)
    assert list(db["a"].find()) == [{"_id": "old"}]


def test_no_bit_of_the_documents_can_change(
    backups: Migrator, db: Documents, tmp_path: Path
) -> None:
    path = tmp_path / "archive"
    whole = (FIXTURES / "school.archive").read_bytes()
    # The list of collections before the first terminator has no checksum.
    start = whole.index(TERMINATOR) + 4
    for bit in random.Random(3).sample(range(start * 8, len(whole) * 8), 120):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert refused(backups, path), bit
    zipped = (FIXTURES / "school.archive.gz").read_bytes()
    for bit in random.Random(4).sample(range(10 * 8, len(zipped) * 8), 40):
        damaged = bytearray(zipped)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        refused(backups, path)
    assert list(db["a"].find()) == [{"_id": "old"}]


FIRST = bson.encode({"version": "0.1"})
LISTED = bson.encode({"db": "x", "collection": "a", "metadata": "", "type": ""})
END = header(("x", "a"), end=True) + TERMINATOR


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (MAGIC, "cut off"),
        (MAGIC + b"\0" * 20, "no document at byte 4"),
        (MAGIC + bson.encode({"version": "0.2"}), "another version"),
        (MAGIC + FIRST + LISTED + TERMINATOR, 'cut off: "x.a"'),
        (MAGIC + FIRST + LISTED + TERMINATOR + END + END, "follow after its end"),
        (MAGIC + FIRST + LISTED + TERMINATOR + TERMINATOR, "without a header"),
        (MAGIC + FIRST + LISTED + TERMINATOR + FIRST + TERMINATOR, "whose header is none"),
        (MAGIC + FIRST + LISTED + TERMINATOR + END + header(("x", "b"), end=True) + TERMINATOR,
         "not in its list"),
        (MAGIC + FIRST + bson.encode({"db": 1}) + TERMINATOR, "list of collections is damaged"),
    ],
)  # fmt: skip
def test_what_is_no_archive_is_refused(
    backups: Migrator, tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(content)
    assert words in refused(backups, path)


def test_a_collection_that_is_listed_twice_is_refused(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    metadata = json.dumps({"type": "view", "options": {"viewOn": "users", "pipeline": []}})
    views = [{"db": "x", "collection": "v", "type": "view", "metadata": metadata}] * 2
    archive(path, views, [])
    done = cli("restore", "--from-mongodump", str(path))
    assert done.code == 2
    assert 'holds the collection "v" twice' in done.stdout


@pytest.mark.parametrize("zipped", [False, True])
def test_a_single_file(cli: Cli, db: Documents, tmp_path: Path, zipped: bool) -> None:
    db["users"].insert_one({"_id": "old"})
    db["other"].insert_one({"_id": "mine"})
    data = bson.encode({"_id": 1}) + bson.encode({"_id": 2})
    metadata = json.dumps({"indexes": [{"key": {"a": 1}, "name": "a_1", "v": 2}], "options": {}})
    end = ".gz" if zipped else ""
    path = tmp_path / f"users.bson{end}"
    beside = tmp_path / f"users.metadata.json{end}"
    path.write_bytes(gzip.compress(data) if zipped else data)
    done = cli("restore", "--from-mongodump", str(path))
    assert done.code == 0, done.stdout
    assert 'no metadata of "users"' in done.stdout
    assert list(db["users"].find()) == [{"_id": 1}, {"_id": 2}]
    assert db["other"].find_one() == {"_id": "mine"}
    beside.write_bytes(gzip.compress(metadata.encode()) if zipped else metadata.encode())
    assert cli("restore", "--from-mongodump", str(path)).code == 0
    assert set(db["users"].index_information()) == {"_id_", "a_1"}
    # A link to it is followed: somebody named it.
    (tmp_path / "linked.bson").symlink_to(path)
    assert cli("restore", "--from-mongodump", str(tmp_path / "linked.bson")).code == 0
    assert db["linked"].count_documents({}) == 2


def test_a_name_with_a_space_or_a_plus(cli: Cli, db: Documents, tmp_path: Path) -> None:
    for name in ("a+b", "c%2Bd"):
        (tmp_path / f"{name}.bson").write_bytes(bson.encode({"_id": 1}))
        assert cli("restore", "--from-mongodump", str(tmp_path / f"{name}.bson")).code == 0
    assert {"a b", "c+d"} <= set(db.list_collection_names())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("users.metadata.json", "name the .bson file beside it"),
        ("oplog.bson", "no collection of a database"),
        ("system.indexes.bson", "no collection of a database"),
        ("$admin.system.users.bson", "no collection of a database"),
        ("readme.txt", "neither an archive"),
        ("x.gz", "neither an archive"),
        ("missing.bson", "no such file"),
    ],
)
def test_what_is_no_file_of_mongodump_is_refused(
    cli: Cli, tmp_path: Path, name: str, words: str
) -> None:
    if name != "missing.bson":
        data = bson.encode({"_id": 1})
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    done = cli("restore", "--from-mongodump", str(tmp_path / name))
    assert done.code == 2
    assert words in done.stdout


def test_a_file_that_is_damaged_is_refused(backups: Migrator, tmp_path: Path) -> None:
    data = bson.encode({"_id": 1}) * 3
    for name, content in (
        ("a.bson", data[:-1]),
        ("b.bson", data + b"\0"),
        ("c.bson.gz", gzip.compress(data)[:-5]),
    ):
        (tmp_path / name).write_bytes(content)
        refused(backups, tmp_path / name)


@pytest.mark.skipif(not MONGODUMP, reason="MONGODUMP names no mongodump")
@pytest.mark.parametrize("options", [[], ["--gzip"], ["--numParallelCollections=1"]])
def test_archives_of_the_real_mongodump(
    db: Documents, server_uri: str, tmp_path: Path, options: list[str]
) -> None:
    for part in (oddities.every_type, oddities.ids, oddities.names, oddities.indexes):
        part(db)
    oddities.kinds(db)
    for name in ("large", "larger"):
        db[name].insert_many([{"_id": k, "x": "x" * 20_000} for k in range(1500)])
    before = {"catalog": catalog(db), "contents": contents(db)}
    path = tmp_path / "archive"
    place = [f"--uri={server_uri}", f"--db={db.name}", f"--archive={path}", *options]
    subprocess.run([MONGODUMP or "", *place], check=True, capture_output=True)
    db["ids"].drop()
    migrator = Migrator(server_uri, db.name, backup_dir=tmp_path / "backups")
    migrator.restore(from_mongodump=path, safety_backup=False)
    assert differing(before, {"catalog": catalog(db), "contents": contents(db)}) == []


@pytest.mark.skipif(not MONGORESTORE, reason="MONGORESTORE names no mongorestore")
def test_the_real_mongorestore_takes_what_is_written_here(
    db: Documents, server_uri: str, tmp_path: Path
) -> None:
    path = tmp_path / "archive"
    archive(path, listed(db, "a"), [((db.name, "a"), [{"_id": 1}])])
    place = [f"--uri={server_uri}", f"--archive={path}"]
    subprocess.run([MONGORESTORE or "", *place], check=True, capture_output=True)
    assert list(db["a"].find()) == [{"_id": 1}]
