"""Cursors that are lost, commits that nobody answers for, counts that are wrong."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
from pymongo.uri_parser import parse_uri

from conftest import Cli
from edulearn_migrate import Migrator
from edulearn_migrate.local import LocalServer
from harness import (
    OURS,
    Client,
    Documents,
    fail_point,
    failures,
    finish,
    record_of,
    start_holding,
    update,
    uri_of,
    write_migration,
)
from proxy import Proxy, proxy_to

SPARSE = 25


@pytest.fixture
def proxy(server_uri: str) -> Iterator[Proxy]:
    """A way to the replica set on which answers can be lost."""
    (_, port), *_ = parse_uri(server_uri)["nodelist"]
    with proxy_to(port) as proxy:
        yield proxy


def through(proxy: Proxy) -> str:
    """The connection string of the server at its other end, which must not say where it is."""
    return f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"


def fill_sparsely(db: Documents, total: int) -> None:
    """Few documents have `x`, and an index leads to them: chunks name their documents."""
    rows = [{"_id": at, "x": 1} if at % SPARSE == 0 else {"_id": at} for at in range(total)]
    db["c"].insert_many(rows, ordered=False)
    db["c"].create_index("x")


def test_the_lost_answer_of_a_cursor_skips_no_document(
    proxy: Proxy, db: Documents, cli: Cli
) -> None:
    fill_sparsely(db, 10_000)
    write_migration(cli.directory, 1, [update("c", {"x": 1}, {"$inc": {"n": 1}})])
    proxy.lose_answer_to(b"getMore", b"\x02collection\x00\x02\x00\x00\x00c\x00")
    result = cli("apply", "--uri", through(proxy))
    assert result.code == 0, result.stderr
    assert proxy.lost == 1, "it was not put to the test"
    assert db["c"].count_documents({"n": 1}) == 10_000 // SPARSE
    assert db["c"].count_documents({"n": {"$exists": True}}) == 10_000 // SPARSE


@pytest.mark.parametrize("code", [43, 175, 237])
def test_a_cursor_that_the_server_forgot_is_begun_anew(
    with_failpoints: Client, database_name: str, cli: Cli, code: int
) -> None:
    db = with_failpoints[database_name]
    fill_sparsely(db, 10_000)
    write_migration(cli.directory, 1, [update("c", {"x": 1}, {"$inc": {"n": 1}})])
    before = failures(with_failpoints)
    failing = {"failCommands": ["getMore"], "errorCode": code, **OURS}
    with fail_point(with_failpoints, "failCommand", {"times": 2}, **failing):
        result = cli("apply", "--uri", uri_of(with_failpoints), "--db", database_name)
    assert result.code == 0, result.stderr
    assert failures(with_failpoints) == before + 2, "it was not put to the test"
    assert db["c"].count_documents({"n": 1}) == 10_000 // SPARSE
    with_failpoints.drop_database(database_name)


def test_nothing_is_tried_again_before_the_record_has_answered(
    proxy: Proxy, db: Documents, cli: Cli
) -> None:
    """The commit happened, its answer is lost, and for a while there is nobody to ask."""
    insert = {
        "type": "insert_documents",
        "collection": "c",
        "documents": [{"_id": 1}, {"_id": 2}],
        "capture": False,
    }
    migration = write_migration(cli.directory, 1, [insert])
    proxy.refuse_after_loss = True
    proxy.lose_answer_to(b"commitTransaction", after=b"\x02insert\x00\x02\x00\x00\x00c\x00")
    uri = f"{through(proxy)}&serverSelectionTimeoutMS=1000"
    process = start_holding(db, lambda: cli.start("apply", "--uri", uri))
    # Until the server is back, it asks for the commit and then for the record.
    assert process.stderr is not None
    said = ""
    while "trying again" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    proxy.refuse_after_loss = proxy.refusing = False
    assert proxy.lost == 1
    code, stdout, stderr = finish(process)
    assert code == 0, stdout + said + stderr
    assert [each["_id"] for each in db["c"].find().sort("_id")] == [1, 2]
    assert record_of(db, migration)["status"] == "applied"


def test_a_run_that_is_told_to_stop_does_not_wait_for_a_server_that_is_away(
    proxy: Proxy, db: Documents, cli: Cli
) -> None:
    fill_sparsely(db, 10_000)
    write_migration(cli.directory, 1, [update("c", {"x": 1}, {"$inc": {"n": 1}})])
    proxy.refuse_after_loss = True
    proxy.lose_answer_to(b"getMore", b"\x02collection\x00\x02\x00\x00\x00c\x00")
    uri = f"{through(proxy)}&serverSelectionTimeoutMS=1000"
    process = start_holding(db, lambda: cli.start("apply", "--uri", uri))
    assert process.stderr is not None
    said = ""
    while "trying again" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, stdout, stderr = finish(process)
    assert code == 130, stdout + said + stderr
    # Without a stop it would try for two minutes to write that into the history.
    assert time.monotonic() - asked < 100


def test_a_registration_whose_answer_is_lost_is_one(proxy: Proxy, db: Documents) -> None:
    script = json.dumps({"operations": []})
    proxy.lose_answer_to(b"insert", b"up_script")
    made = Migrator(through(proxy), db.name).register("one", script, script)
    assert proxy.lost == 1
    assert [each["_id"] for each in db["migrations"].find()] == [made]


def test_a_count_that_a_crash_has_lost_decides_nothing(tmp_path: Path, cli: Cli) -> None:
    # Without checkpoints the journal brings back the documents, and not their number.
    arguments = ["--syncdelay", "3600"]
    directory = tmp_path / "data"
    with LocalServer(directory, replica_set=None, extra_args=arguments) as server:
        with pymongo.MongoClient[dict[str, object]](server.uri, journal=True) as client:
            client["shop"]["c"].insert_one({"_id": "first"})
            client.admin.command("fsync")
            rows: list[dict[str, object]] = [{"_id": at} for at in range(5_000)]
            client["shop"]["c"].insert_many(rows)
            client["shop"]["c"].delete_one({"_id": "first"})
        os.kill(server.pid, signal.SIGKILL)
    with (
        LocalServer(directory, replica_set=None, extra_args=arguments) as server,
        pymongo.MongoClient[dict[str, object]](server.uri) as client,
    ):
        collection = client["shop"]["c"]
        assert collection.estimated_document_count() < 5_000, "it was not put to the test"
        write_migration(cli.directory, 1, [update("c", {}, {"$set": {"n": 1}})])
        result = cli("apply", "--uri", server.uri, "--db", "shop")
        assert result.code == 0, result.stderr
        assert collection.count_documents({"n": 1}) == 5_000
