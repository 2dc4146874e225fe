"""What the tests of kills, fencing, failovers and chunks share: scripts, processes, conditions."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pymongo
from bson import json_util
from bson.codec_options import CodecOptions
from pymongo.database import Database

import edulearn_migrate

Client = pymongo.MongoClient[dict[str, Any]]
Documents = Database[dict[str, Any]]
Process = subprocess.Popen[str]
T = TypeVar("T")

# One seed for all random tests, in all processes; EDULEARN_SEED repeats it.
SEED = int(os.environ.get("EDULEARN_SEED") or random.SystemRandom().randrange(2**31))
os.environ["EDULEARN_SEED"] = str(SEED)
# How many random migrations and databases the property tests try.
CASES = int(os.environ.get("EDULEARN_CASES") or 24)

# Seconds after which something hangs. What works takes a tenth of it on the busiest of machines.
HANGING = 600.0

# Of a mongod whose failpoints can be set.
TEST_COMMANDS = ("--setParameter", "enableTestCommands=1")
# Failpoints are for the command's connections, not for the tests' own.
OURS = {"appName": f"edulearn_migrate {edulearn_migrate.__version__}"}
# What a run sends, but for what the driver sends for itself.
EVERY_COMMAND = [
    "abortTransaction", "aggregate", "collMod", "commitTransaction", "count", "create",
    "createIndexes", "delete", "find", "findAndModify", "getMore", "insert", "killSessions",
    "listCollections", "listIndexes", "renameCollection", "update",
]  # fmt: skip


def until(condition: Callable[[], T], what: str, seconds: float = HANGING) -> T:
    """The first true value of `condition`; fails, naming `what`, when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds} seconds"
        time.sleep(0.002)


def uri_of(client: Client) -> str:
    """The connection string of that client's replica set, as a set."""
    if not client.nodes:  # none is known just now; a command looks for them
        client.admin.command("ping")
    hosts = ",".join(sorted(f"{host}:{port}" for host, port in client.nodes))
    return f"mongodb://{hosts}/?replicaSet=rs0"


def write_migration(
    directory: Path,
    number: int,
    up: Sequence[Mapping[str, Any]],
    down: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Writes a migration file into `directory`/migrations and returns its id."""
    folder = directory / "migrations"
    folder.mkdir(exist_ok=True)
    document: dict[str, Any] = {
        "name": f"number_{number}",
        "up": {"operations": up},
        "down": {"operations": down},
    }
    if not up:
        document["empty"] = True
    text = json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS)
    (folder / f"migration_{number:03}_number_{number}.json").write_text(text, encoding="utf-8")
    return f"migration_{number:03}"


def insert(collection: str, *documents: Mapping[str, Any], **options: Any) -> Any:
    """An `insert_documents` operation."""
    return {
        "type": "insert_documents",
        "collection": collection,
        "documents": list(documents),
        "options": options,
    }


def update(collection: str, filter: Mapping[str, Any], change: Any, **options: Any) -> Any:
    """An `update_documents` operation."""
    return {
        "type": "update_documents",
        "collection": collection,
        "filter": filter,
        "update": change,
        "options": options,
    }


def delete(collection: str, filter: Mapping[str, Any]) -> Any:
    """A `delete_documents` operation."""
    return {"type": "delete_documents", "collection": collection, "filter": filter}


def lock_of(db: Documents) -> dict[str, Any]:
    """The lock document; empty where there is none yet."""
    return db["migrations_lock"].find_one({"_id": "lock"}) or {}


def holds(db: Documents, process: Process) -> bool:
    """Whether the lease is that process's and has not been released."""
    owner: dict[str, Any] = lock_of(db).get("owner") or {}
    return owner.get("pid") == process.pid


def record_of(db: Documents, migration: str) -> dict[str, Any]:
    """A migration's record; empty where there is none yet."""
    return db["migrations"].find_one({"_id": migration}) or {}


def parts_of(db: Documents, migration: str) -> list[dict[str, Any]]:
    """The parts of the operation under way that several workers share."""
    return list(db["migrations"].find({"kind": "part", "of": migration}).sort("_id", 1))


def operations_done(db: Documents, migration: str, what: str = "chunks") -> int:
    """How much of something the unfinished migration's operations have committed."""
    records = [record_of(db, migration), *parts_of(db, migration)]
    progress = [record.get("progress") or {} for record in records]
    return sum(operation[what] for one in progress for operation in one.get("operations", ()))


def chunks_done(db: Documents, migration: str) -> int:
    """Chunks that the unfinished migration's operations have committed."""
    return operations_done(db, migration)


def sessions_of(db: Documents) -> list[Any]:
    """The server's sessions of the lock's owner, one for each of its workers."""
    owner = lock_of(db).get("owner") or {}
    named = [owner.get("session"), *owner.get("sessions", ())]
    return [session["id"] for session in named if session]


def open_transaction(db: Documents) -> bool:
    """Whether the lock's owner has a transaction open on the server at this moment."""
    sessions = sessions_of(db)
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleSessions": True}},
        {"$match": {"lsid.id": {"$in": sessions}, "transaction": {"$exists": True}}},
    ]
    # The operation is listed with its command, in which documents under test may be anything.
    lenient: CodecOptions[dict[str, Any]] = CodecOptions(unicode_decode_error_handler="replace")
    return bool(list(db.client.get_database("admin", lenient).aggregate(stages)))


def start_holding(db: Documents, start: Callable[[], Process]) -> Process:
    """A process that holds the lease."""
    process = start()
    until(lambda: holds(db, process) or process.poll() is not None, "the lease is taken")
    assert process.poll() is None, f"it ended too soon: {process.communicate()}"
    return process


# The last operation of a migration that is to wait before it ends, at `closed_gate`.
GATE = {"type": "create_index", "collection": "gate", "index": "x"}


@contextmanager
def closed_gate(db: Documents, collection: str = "gate") -> Iterator[Callable[[], None]]:
    """While entered, `GATE` waits, or what else would lock the whole collection.

    Gives a function that returns once something waits. It waits for a transaction of the test's
    own, which reads the collection.
    """

    def reached() -> None:
        waiting = {"ns": f"{db.name}.{collection}", "waitingForLock": True}
        stages: list[dict[str, Any]] = [{"$currentOp": {"allUsers": True}}, {"$match": waiting}]
        until(lambda: list(db.client.admin.aggregate(stages)), "something waits at the gate")

    if collection == GATE["collection"]:
        db[collection].insert_one({})
    with db.client.start_session() as session, session.start_transaction():
        assert db[collection].find_one(session=session)
        yield reached
        session.abort_transaction()


def stop_in_chunk(
    db: Documents,
    process: Process,
    migration: str,
    after: int = 1,
    also: Callable[[], bool] = lambda: True,
) -> None:
    """Stops the process (SIGSTOP) with a transaction open and at least `after` chunks committed.

    And where `also` holds: a chunk's transaction begins by reading what it captures.
    """
    until(lambda: chunks_done(db, migration) >= after, "chunks are committed")
    for _ in range(2000):
        process.send_signal(signal.SIGSTOP)
        # What it had sent is still being worked on: once that is done, this is where it stays.
        until(lambda: not running(db), "its last command is done")
        if open_transaction(db) and also():
            return
        process.send_signal(signal.SIGCONT)
        assert process.poll() is None, f"it ended too soon: {process.communicate()}"
    raise AssertionError("it was never found within a transaction")


def running(db: Documents) -> bool:
    """Whether the server works on a command of the lock owner's session."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True}},
        {"$match": {"active": True, "lsid.id": {"$in": sessions_of(db)}}},
    ]
    # The operation is listed with its command, in which documents under test may be anything.
    lenient: CodecOptions[dict[str, Any]] = CodecOptions(unicode_decode_error_handler="replace")
    return bool(list(db.client.get_database("admin", lenient).aggregate(stages)))


def finish(process: Process, seconds: float = HANGING) -> tuple[int, str, str]:
    """Waits for a process: its exit code, standard output and standard error."""
    stdout, stderr = process.communicate(timeout=seconds)
    return process.returncode, stdout, stderr


def state_of(db: Documents) -> dict[str, list[dict[str, Any]]]:
    """Every document of the database but the lock's, to compare before and after."""
    names = sorted(set(db.list_collection_names()) - {"migrations_lock"})
    return {name: list(db[name].find().sort("_id", 1)) for name in names}


@contextmanager
def fail_point(client: Client, name: str, mode: Any, **data: Any) -> Iterator[None]:
    """Sets a failpoint of a server that runs with enableTestCommands."""
    client.admin.command({"configureFailPoint": name, "mode": mode, "data": data})
    try:
        yield
    finally:
        with suppress(pymongo.errors.ConnectionFailure):
            client.admin.command({"configureFailPoint": name, "mode": "off"})


def failures(client: Client) -> int:
    """How often the failpoint has struck."""
    reply = client.admin.command({"getParameter": 1, "failpoint.failCommand": 1})
    return int(reply["failpoint.failCommand"]["timesEntered"])


def names_in(directory: Path) -> set[str]:
    """The names in a directory; none where it is not there."""
    return {path.name for path in directory.iterdir()} if directory.exists() else set()


def as_json(text: str) -> dict[str, Any]:
    """The document of a command run with --json."""
    document: dict[str, Any] = json.loads(text)
    return document
