"""Dumps as people have them: what mongorestore takes comes back, and every loss is said.

Written here as mongodump writes them: BSON files and Extended JSON beside them.
"""

from __future__ import annotations

import gzip
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bson
import pytest

from dumps import Dump

if TYPE_CHECKING:
    from conftest import Cli
    from harness import Documents


@pytest.fixture
def dump(tmp_path: Path, database_name: str) -> Dump:
    return Dump(tmp_path / "dump" / database_name)


def made(cli: Cli) -> str:
    """The name of a new backup."""
    start = "✓ Database backup created: "
    return next(line for line in cli("backup").lines if line.startswith(start)).removeprefix(start)


def restore(cli: Cli, dump: Dump, *options: str, code: int = 0) -> str:
    done = cli("restore", "--from-mongodump", str(dump.directory), *options)
    assert done.code == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_users_and_roles_are_left_out_and_lock_nothing(cli: Cli, db: Documents, dump: Dump) -> None:
    db["a"].insert_one({"_id": "old"})
    dump.add("a", [{"_id": 1}])
    for each in ("$admin.system.users", "$admin.system.roles", "$admin.system.version"):
        dump.add(each, [{"_id": "x"}], {"indexes": [], "collectionName": each})
    said = restore(cli, dump)
    assert "users and roles ($admin.*) are not restored" in said
    assert list(db["a"].find()) == [{"_id": 1}]
    assert cli("backup").code == 0


@pytest.mark.parametrize("name", ["a$b", ".a", "a.", "%00a", ""])
def test_an_impossible_name_is_refused_before_anything_is_written(
    cli: Cli, db: Documents, dump: Dump, name: str
) -> None:
    db["a"].insert_one({"_id": "old"})
    dump.add("a", [{"_id": 1}])
    (dump.directory / f"{name}.bson").write_bytes(bson.encode({"_id": 1}))
    said = restore(cli, dump, code=2)
    assert "cannot be restored" in said
    assert "Nothing was written" in said
    assert list(db["a"].find()) == [{"_id": "old"}]
    # With the others named, they come back.
    restore(cli, dump, "--collections", "a")
    assert list(db["a"].find()) == [{"_id": 1}]


def test_what_a_dump_lacks_stays_unless_it_is_to_go(cli: Cli, db: Documents, dump: Dump) -> None:
    db["other"].insert_one({"_id": "mine"})
    dump.add("users", [{"_id": 1}])
    restore(cli, dump)
    assert list(db["other"].find()) == [{"_id": "mine"}]
    said = restore(cli, dump, "--drop-extra")
    assert "Dropped, the backup lacks it: other" in said
    assert "other" not in db.list_collection_names()


def test_a_dump_that_holds_nothing_is_refused(cli: Cli, db: Documents, dump: Dump) -> None:
    db["other"].insert_one({"_id": "mine"})
    dump.add("system.users", [{"_id": 1}])
    said = restore(cli, dump, "--drop-extra", code=2)
    assert "holds nothing that can be restored" in said
    assert list(db["other"].find()) == [{"_id": "mine"}]


def test_temporary_collections_are_no_part_of_it(cli: Cli, db: Documents, dump: Dump) -> None:
    dump.add("a", [{"_id": 1}])
    dump.add(
        "tmp.agg_out.5",
        [{"_id": 1}],
        {"options": {"temp": True}, "collectionName": "tmp.agg_out.5"},
    )
    said = restore(cli, dump)
    assert "a temporary collection of a running $out" in said
    assert "tmp.agg_out.5" not in db.list_collection_names()


def test_a_live_temporary_collection_is_in_no_backup(cli: Cli, db: Documents) -> None:
    db["a"].insert_one({"_id": 1})
    create = {"create": "tmp.agg_out.7", "temp": True}
    db.client.admin.command(
        {
            "applyOps": [
                {
                    "op": "c",
                    "ns": f"{db.name}.$cmd",
                    "ui": bson.Binary.from_uuid(uuid.uuid4()),
                    "o": create,
                }
            ]
        }
    )
    assert "tmp.agg_out.7" in db.list_collection_names()
    name = made(cli)
    assert cli("restore", name, "--no-safety-backup").code == 0
    listed = cli("backups", "list", "--json")
    assert listed.code == 0
    # It is neither restored nor dropped: it is a running $out's.
    assert "tmp.agg_out.7" in db.list_collection_names()


OLD_INDEXES = [
    ({"key": {"a": 1}, "name": "a_1", "safe": None}, {"a": 1}, ""),
    ({"key": {"a": 1}, "name": "a_1", "safe": True, "w": 1}, {"a": 1}, "no longer know: safe, w"),
    ({"v": 0, "key": {"a": 1}, "name": "a_1"}, {"a": 1}, "version 0"),
    ({"key": {"a": True, "b": ""}, "name": "a_b"}, {"a": 1, "b": 1}, "became 1"),
    ({"key": {"a": {"$numberDouble": "1.0"}}, "name": "a_1", "background": True}, {"a": 1.0}, ""),
    ({"key": {"a": 1}, "name": "a_1", "ns": "x.a", "dropDups": True}, {"a": 1}, ""),
    ({"key": {"a": 1}, "name": "a_1", "unique": 1}, {"a": 1}, ""),
]


@pytest.mark.parametrize(("index", "keys", "said"), OLD_INDEXES)
def test_old_indexes_come_back(
    cli: Cli, db: Documents, dump: Dump, index: dict[str, Any], keys: dict[str, Any], said: str
) -> None:
    dump.add("a", [{"_id": 1, "a": 1}], {"indexes": [index], "options": {}})
    assert said in restore(cli, dump)
    found = [dict(each["key"]) for each in db["a"].list_indexes() if each["name"] != "_id_"]
    assert found == [keys]


@pytest.mark.parametrize(
    "options",
    [
        {"create": "a", "size": 0},
        {"autoIndexId": True, "ns": "x.a"},
        {"recordIdsReplicated": True},
        {"capped": False, "size": 4096},
        {"validator": None},
    ],
)
def test_old_options_come_back(
    cli: Cli, db: Documents, dump: Dump, options: dict[str, Any]
) -> None:
    dump.add("a", [{"_id": 1}], {"indexes": [], "options": options})
    restore(cli, dump)
    assert list(db["a"].find()) == [{"_id": 1}]


@pytest.mark.parametrize("metadata", [None, "", "  \n"])
def test_absent_metadata_is_said(cli: Cli, db: Documents, dump: Dump, metadata: str | None) -> None:
    dump.add("a", [{"_id": 1}], metadata)
    assert 'no metadata of "a"' in restore(cli, dump)
    assert list(db["a"].find()) == [{"_id": 1}]


@pytest.mark.parametrize(
    "metadata", ["{", "[]", '{"indexes": [1]}', '{"options": {"a": {"$date": "x"}}}']
)
def test_metadata_that_is_none_is_refused_in_our_words(
    cli: Cli, db: Documents, dump: Dump, metadata: str
) -> None:
    db["a"].insert_one({"_id": "old"})
    dump.add("a", [{"_id": 1}], metadata)
    done = cli("restore", "--from-mongodump", str(dump.directory))
    assert done.code == 1
    assert "a.metadata.json" in done.stdout
    assert "expected" not in done.stdout + done.stderr
    assert list(db["a"].find()) == [{"_id": "old"}]


def test_indexes_of_old_servers_are_read_from_their_collection(
    cli: Cli, db: Documents, dump: Dump
) -> None:
    dump.add("a", [{"_id": 1, "x": 1}])
    dump.add(
        "system.indexes",
        [
            {"v": 1, "key": {"_id": 1}, "ns": "old.a", "name": "_id_"},
            {"v": 1, "key": {"x": 1}, "ns": "old.a", "name": "x_1", "unique": True},
            {"v": 1, "key": {"y": 1}, "ns": "old.b", "name": "y_1"},
        ],
    )
    said = restore(cli, dump)
    assert "no metadata" not in said
    assert set(db["a"].index_information()) == {"_id_", "x_1"}
    assert "system.indexes" not in db.list_collection_names()


def test_buckets_without_their_metadata_are_refused(cli: Cli, db: Documents, dump: Dump) -> None:
    dump.add("system.buckets.t", [{"_id": bson.ObjectId()}])
    done = cli("restore", "--from-mongodump", str(dump.directory))
    assert done.code == 1
    assert "time-series" in done.stdout + done.stderr
    assert "t" not in db.list_collection_names()


def test_a_file_that_is_there_twice_is_refused(cli: Cli, dump: Dump) -> None:
    dump.add("a", [{"_id": 1}])
    (dump.directory / "a.bson.gz").write_bytes(gzip.compress(bson.encode({"_id": 2})))
    assert "is there twice" in restore(cli, dump, code=2)


def test_an_oplog_is_said_not_to_be_replayed(cli: Cli, dump: Dump) -> None:
    dump.add("a", [{"_id": 1}])
    (dump.directory.parent / "oplog.bson").write_bytes(bson.encode({"ts": 1}))
    assert "the oplog is not replayed" in restore(cli, dump)


def test_pipes_links_and_devices_are_no_files_of_a_backup(
    cli: Cli, db: Documents, tmp_path: Path
) -> None:
    db["a"].insert_one({"_id": 1})
    name = made(cli)
    backups = cli.directory / "backups"
    manifest, data = backups / name / "manifest.json", backups / name / "a.bson.zst"
    kept = {path: path.read_bytes() for path in (manifest, data)}
    for path in (manifest, data):
        for kind in ("pipe", "link", "device"):
            path.unlink()
            if kind == "pipe":
                os.mkfifo(path)
            elif kind == "link":
                (tmp_path / "elsewhere").write_bytes(kept[path])
                path.symlink_to(tmp_path / "elsewhere")
            else:
                path.symlink_to("/dev/zero")
            for command in (("backups", "verify", name), ("restore", name)):
                done = cli(*command)
                assert done.code == 1
                assert path.name in done.stdout
        path.unlink()
        path.write_bytes(kept[path])
    assert cli("backups", "verify", name).code == 0


def test_a_pipe_or_a_file_under_our_names_blocks_no_backup(cli: Cli, db: Documents) -> None:
    db["a"].insert_one({"_id": 1})
    backups = cli.directory / "backups"
    backups.mkdir(mode=0o700)
    (backups / ".removed-x").write_text("mine")
    os.mkfifo(backups / ".partial-x.lock")
    assert cli("backup").code == 0
    assert (backups / ".removed-x").read_text() == "mine"
