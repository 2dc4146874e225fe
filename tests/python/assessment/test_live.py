"""The assessment commands while the application writes, on a standalone server, and restored."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pymongo
import pytest
from bson import ObjectId

from assessment_documents import both, random_document
from assessment_model import COLLECTIONS, KINDS, Document, Unified, problems, unify
from assessment_runs import (
    Documents,
    check_unified,
    fill_recorded,
    migrate,
    now,
    read,
    rollback,
)
from conftest import Cli, login
from edulearn_migrate.local import LocalServer
from harness import finish, start_holding

EACH = 12_000


def fill(db: Documents, dice: random.Random, each: int) -> None:
    for kind in KINDS:
        rows = [random_document(dice, kind, ObjectId(), wrong=0) for _ in range(each)]
        db[COLLECTIONS[kind]].insert_many({**row, "hits": 0, "padding": "x" * 800} for row in rows)


@contextmanager
def application(write: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Calls `write` again and again in another thread; what it raised."""
    over, raised = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            while not over.is_set():
                write()
        except Exception as error:  # told by the test
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield raised
    finally:
        over.set()
        thread.join()


class Application:
    """Counts hits, edits titles and makes documents, in both collections."""

    def __init__(self, db: Documents, dice: random.Random) -> None:
        self.db, self.dice = db, dice
        self.ids: dict[str, list[Any]] = {
            name: db[name].distinct("_id") for name in COLLECTIONS.values()
        }
        self.hits: dict[tuple[str, Any], int] = {}
        self.titles: dict[tuple[str, Any], str] = {}
        self.made: dict[str, list[Any]] = {name: [] for name in COLLECTIONS.values()}

    def write(self) -> None:
        name = self.dice.choice(list(COLLECTIONS.values()))
        _id = self.dice.choice(self.ids[name])
        key = (name, _id)
        if self.dice.random() < 0.1:
            new = ObjectId()
            self.db[name].insert_one({"_id": new, "title": "new", "hits": 0})
            self.made[name].append(new)
        elif self.dice.random() < 0.3:
            title = f"edited {self.dice.random()}"
            self.db[name].update_one({"_id": _id}, {"$set": {"title": title}})
            self.titles[key] = title
        else:
            self.db[name].update_one({"_id": _id}, {"$inc": {"hits": 1}})
            self.hits[key] = self.hits.get(key, 0) + 1

    def check(self) -> None:
        """Every write stands, whatever ran meanwhile."""
        for name in COLLECTIONS.values():
            found = {each["_id"]: each for each in self.db[name].find({}, {"hits": 1, "title": 1})}
            for (where, _id), hits in self.hits.items():
                assert where != name or found[_id]["hits"] == hits
            for (where, _id), title in self.titles.items():
                assert where != name or found[_id]["title"] == title
            assert set(self.made[name]) <= set(found)


def test_while_the_application_writes(db: Documents, cli: Cli) -> None:
    dice = random.Random(db.name)
    fill(db, dice, EACH)
    live = Application(db, dice)
    with application(live.write) as raised:
        first = migrate(cli)
    assert raised == []
    live.check()
    assert live.hits and live.titles and all(live.made.values())
    # What was made meanwhile is no fault; whatever this run left is the next one's.
    assert first["validation"]["valid"] is True
    second = migrate(cli)
    total = sum(map(len, live.made.values())) + 2 * EACH
    assert sum(each[kind]["migrated"] for each in (first, second) for kind in KINDS) == total
    assert db["assessments"].count_documents({}) == total
    assert db["assessments"].count_documents({"migration_source": {"$exists": False}}) == 0
    live.check()
    with application(live.write) as raised:
        rollback(cli)
    assert raised == []
    live.check()
    assert db["assessments"].count_documents({"migration_source": {"$exists": True}}) == 0


def test_an_edit_between_backup_and_chunk_is_what_rollback_restores(
    db: Documents, cli: Cli
) -> None:
    """Edited while the run is under way, every document goes back to the edited value."""
    dice = random.Random(db.name)
    fill(db, dice, 4_000)
    rounds = 0

    def edit_all() -> None:
        nonlocal rounds
        rounds += 1
        # Of documents that are still to be migrated, so that each edit is older than its chunk.
        db["assessments"].update_many(
            {"migration_source": {"$exists": False}, "_id": {"$in": dice.sample(ids, 50)}},
            {"$inc": {"hits": 1}, "$set": {"subject": "edited", "max_attempts": 7}},
        )

    ids = db["assessments"].distinct("_id")
    with application(edit_all) as raised:
        migrate(cli)
    assert raised == [] and rounds > 3
    edited = {each["_id"]: each for each in db["assessments"].find({"hits": {"$gt": 0}})}
    assert edited
    rollback(cli)
    for _id, each in edited.items():
        found = db["assessments"].find_one(_id)
        assert found is not None
        assert (found["subject"], found["max_attempts"]) == ("edited", 7)
        assert found["hits"] == each["hits"]
        assert "migration_source" not in found


def test_inserts_behind_the_run_are_the_next_one_s(db: Documents, cli: Cli) -> None:
    """An `_id` above all others, made while it runs: not this run's, and not held against it."""
    fill(db, random.Random(1), 2_000)
    process = start_holding(db, lambda: cli.start("assessment-migrate", "--json"))
    for name in COLLECTIONS.values():
        db[name].insert_many({"_id": ObjectId(), "title": "later"} for _ in range(50))
    code, stdout, stderr = finish(process)
    assert code == 0, stdout + stderr
    migrate(cli)
    assert db["assessments"].count_documents({"migration_source": {"$exists": False}}) == 0
    assert db["assessments"].count_documents({}) == 4_100


@pytest.fixture(scope="module")
def standalone() -> Iterator[LocalServer]:
    with LocalServer(replica_set=None) as server:
        yield server


def test_on_a_standalone_server(standalone: LocalServer, cli: Cli, database_name: str) -> None:
    with pymongo.MongoClient[Document](standalone.uri, tz_aware=True) as client:
        db = client[database_name]
        fill(db, random.Random(2), 500)
        bytes_before = both(db)
        before = {name: read(db, name) for name in COLLECTIONS.values()}
        began = now()
        options = ("--uri", standalone.uri)
        done = cli("assessment-migrate", "--dry-run", *options)
        assert done.code == 0, done.stdout
        report = migrate(cli, *options)
        assert check_unified(before, db, began) == {}
        assert report["validation"]["valid"] is True
        again = migrate(cli, *options)
        assert again["regular"]["migrated"] == again["teacher"]["migrated"] == 0
        rollback(cli, *options)
        assert both(db) == bytes_before


def test_it_says_what_a_standalone_server_cannot(
    standalone: LocalServer, cli: Cli, database_name: str
) -> None:
    with pymongo.MongoClient[Document](standalone.uri) as client:
        client[database_name]["assessments"].insert_one({"_id": 1})
        done = cli("assessment-migrate", "--uri", standalone.uri)
        assert done.code == 0, done.stdout + done.stderr
        assert "replica set" in done.stdout + done.stderr or "standalone" in (
            done.stdout + done.stderr
        )


def test_read_rights_are_enough_for_a_dry_run(guarded: LocalServer, cli: Cli) -> None:
    with pymongo.MongoClient[Document](login(guarded, "teacher", "s3cr3t!")) as client:
        client["looked_at"]["assessments"].insert_one({"_id": 1, "title": "x"})
        roles = [{"role": "read", "db": "looked_at"}]
        client["admin"].command("createUser", "assessment_reader", pwd="r", roles=roles)
    options = ("--uri", login(guarded, "assessment_reader", "r"), "--db", "looked_at")
    assert migrate(cli, "--dry-run", *options)["regular"]["migrated"] == 1
    done = cli("assessment-migrate", *options)
    assert done.code == 1 and "does not allow it" in done.stdout, done.stdout


def test_a_full_restore_brings_the_state_back_with_the_data(
    db: Documents, cli: Cli, legacy: Any
) -> None:
    """Restored to before it, nothing is migrated; restored to after it, all of it is."""
    fill_recorded(db, legacy)
    before = both(db)
    first = cli("backup", "--json")
    assert first.code == 0
    migrate(cli)
    after = both(db)
    second = cli("backup", "--json")
    assert second.code == 0
    names = [each["name"] for each in _listed(cli)]
    full = [each["name"] for each in _listed(cli) if each["kind"] == "manual"]
    assert len(names) == 3 and len(full) == 2
    assert cli("restore", full[1]).code == 0
    assert both(db) == before
    report = migrate(cli)
    assert (report["regular"]["migrated"], report["teacher"]["migrated"]) == (5, 3)
    assert cli("restore", full[0]).code == 0
    assert both(db) == after
    report = migrate(cli)
    assert (report["regular"]["migrated"], report["teacher"]["migrated"]) == (0, 0)


def _listed(cli: Cli) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cli("backups", "list", "--json").stdout)
    return found


def test_a_document_edited_meanwhile_is_mapped_as_it_stands(db: Documents, cli: Cli) -> None:
    """Of a document that is edited all the time, some state of it is what was mapped."""
    db["assessments"].insert_many({"_id": at, "n": 0, "time_limit": 0} for at in range(300))

    def edit() -> None:
        db["assessments"].update_many({}, {"$inc": {"n": 1, "time_limit": 1}})

    began = now()
    with application(edit) as raised:
        migrate(cli)
    assert raised == []
    ended = now() + timedelta(seconds=1)
    for each in db["assessments"].find():
        assert each["n"] == each["time_limit"], "no edit is lost or done twice"
        old = {"_id": each["_id"], "n": each["n"], "time_limit": each["time_limit"]}
        expected = unify(old, "regular")
        assert isinstance(expected, Unified)
        assert list(problems(each, expected, began - timedelta(seconds=1), ended)) == []
    rollback(cli)
    for each in db["assessments"].find():
        assert set(each) == {"_id", "n", "time_limit"}
