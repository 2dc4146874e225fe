"""Every command with exactly the rights that the documentation lists for it, and with one less.

The rights come from the tables of its section Rights. A user with all of them gets through. Without
one of them the command is refused before it writes anything, if the server tells what the user may
do; where it does not (a failpoint), the server refuses the command on the way. Both messages name
the right and what it is about.

EDULEARN_RIGHTS=all takes every right away in turn, else one of each row is.
"""

from __future__ import annotations

import base64
import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pymongo
import pytest

from conftest import ROOT, Cli, Migrations, Result, login
from edulearn_migrate.local import LocalServer
from harness import TEST_COMMANDS, Client, Documents

PASSWORD = "p"
SERIES = "readings"
# A connection of this name is not told what its user may do.
BLIND = "&appName=blind"
ALL = os.environ.get("EDULEARN_RIGHTS") == "all"
SEED = int(os.environ.get("EDULEARN_SEED", "0"))
INDEX: dict[str, Any] = {"index": [["n", 1]], "options": {"name": "n_1"}}
INSERT = {"type": "insert_documents", "collection": "things", "documents": [{"_id": 99}]}
VALIDATOR = {"validator": {"a": {"$type": "int"}}}


@dataclass(frozen=True)
class Row:
    """A row of the page's tables: what it is about, and the rights that it needs."""

    what: str
    database: tuple[str, ...]
    buckets: tuple[str, ...]

    def without(self, right: tuple[str, str]) -> Row:
        """The same with one right less."""
        where, action = right
        return Row(
            self.what,
            tuple(each for each in self.database if (where, each) != ("database", action)),
            tuple(each for each in self.buckets if (where, each) != ("buckets", action)),
        )

    @property
    def rights(self) -> list[tuple[str, str]]:
        """Each right, and what it is on."""
        return [("database", each) for each in self.database] + [
            ("buckets", each) for each in self.buckets
        ]


def rows() -> dict[str, Row]:
    """The rows by what they are about."""
    pages = (path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    [page] = [page for page in pages if "\n## Rights\n" in page]
    section = page.split("\n## Rights\n")[1].split("\n## ")[0]
    found = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] not in ("command", "operation", "---"):
            names = [tuple(re.findall(r"`(\w+)`", cell)) for cell in cells[1:3]]
            found[cells[0]] = Row(cells[0], *names)
    return found


ROWS = rows()


class World:
    """A database with what a scenario needs, and whoever may do anything there."""

    def __init__(self, db: Documents, cli: Cli, migrations: Migrations, root: str) -> None:
        self.db, self.cli, self.migrations, self.root = db, cli, migrations, root
        db["things"].insert_many({"_id": at, "a": at} for at in range(10))
        db["things"].create_index("a", name="a_1")

    def series(self) -> None:
        """Makes a time-series collection."""
        self.db.create_collection(SERIES, timeseries={"timeField": "t"})
        self.db[SERIES].insert_one({"t": datetime(2026, 1, 1, tzinfo=timezone.utc)})

    def by_root(self, *arguments: str) -> None:
        """Runs a command as a user who may do everything."""
        done = self.cli(*arguments, env={"MONGO_URI": self.root})
        assert done.code == 0, done.stdout + done.stderr


Scenario = Callable[[World], tuple[str, ...]]


def planning(world: World) -> tuple[str, ...]:
    world.migrations.write(1, [{"type": "drop_index", "collection": "things", "index": "a_1"}])
    return ("plan",)


def uncaptured(world: World) -> tuple[str, ...]:
    world.migrations.write(1, [INSERT])
    return ("apply", "--no-capture")


def applying(kind: str, collection: str = "things", **fields: Any) -> Scenario:
    def prepare(world: World) -> tuple[str, ...]:
        if collection == SERIES:
            world.series()
        world.migrations.write(1, [{"type": kind, "collection": collection, **fields}])
        return ("apply",)

    return prepare


def expiring(world: World) -> None:
    world.db["things"].create_index("at", name="at_1", expireAfterSeconds=100_000)


def expiring_drop(world: World) -> tuple[str, ...]:
    expiring(world)
    return applying("drop_collection")(world)


def after_a_drop(*arguments: str) -> Scenario:
    def prepare(world: World) -> tuple[str, ...]:
        world.by_root(*applying("drop_collection")(world))
        return arguments

    return prepare


def pending(*arguments: str) -> Scenario:
    def prepare(world: World) -> tuple[str, ...]:
        world.migrations.write(1, [INSERT], [])
        return arguments

    return prepare


def restoring(make: Callable[[World], object] = lambda _: None) -> Scenario:
    def prepare(world: World) -> tuple[str, ...]:
        make(world)
        world.by_root("backup")
        return ("restore", "latest")

    return prepare


def backing_up(make: Callable[[World], object] = lambda _: None) -> Scenario:
    def prepare(world: World) -> tuple[str, ...]:
        make(world)
        return ("backup",)

    return prepare


SCENARIOS: dict[str, Scenario] = {
    "`status`": after_a_drop("status"),
    "`check`": pending("check", "--allow-rolled-back"),
    "`plan`, `apply --dry-run`, `rollback --dry-run`": planning,
    "`undrop`": after_a_drop("undrop"),
    "`backup`": backing_up(),
    "`backup` of a time-series collection": backing_up(World.series),
    "`mark`": pending("mark", "migration_1", "--as", "applied"),
    "`purge`": after_a_drop("purge"),
    "`restore`": restoring(),
    "`restore` of an index that expires documents": restoring(expiring),
    "`restore` of a time-series collection": restoring(World.series),
    "`insert_documents`": applying("insert_documents", documents=[{"_id": 99}]),
    "`insert_documents` with `--no-capture`": uncaptured,
    "`update_documents`": applying("update_documents", filter={}, update={"$set": {"b": 1}}),
    "`delete_documents`": applying("delete_documents", filter={"a": {"$gt": 3}}),
    "`create_collection`": applying("create_collection", "new", options=VALIDATOR),
    "`create_collection`, capped": applying(
        "create_collection", "new", options={"capped": True, "size": 4096}
    ),
    "`create_collection`, a view": applying(
        "create_collection", "new", options={"viewOn": "things", "pipeline": []}
    ),
    "`modify_collection`": applying("modify_collection", options=VALIDATOR),
    "`rename_collection`": applying("rename_collection", to="others"),
    "`create_index`": applying("create_index", **INDEX),
    "`drop_index`": applying("drop_index", index="a_1"),
    "`drop_collection`": applying("drop_collection"),
    "`drop_collection` with an index that expires documents": expiring_drop,
    "`drop_collection` of a time-series collection": applying("drop_collection", SERIES),
}
"""How to bring it about that the rights of a row are needed."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A replica set that wants a login."""
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_bytes(base64.b64encode(b"k" * 60))
    key.chmod(0o600)
    with LocalServer(extra_args=["--keyFile", str(key), *TEST_COMMANDS]) as server:
        with Client(server.uri) as client:
            # The first user may be made without a login, from this machine. `root` alone may not
            # write to time-series collections' own collections in every way.
            client["admin"].command("createUser", "root", pwd=PASSWORD, roles=["root"])
        yield server


@pytest.fixture(scope="module")
def admin(server: LocalServer) -> Iterator[Documents]:
    """The `admin` database, by `root`; connections called blind are told nothing of rights."""
    uri = login(server, "root", PASSWORD) + "&directConnection=true"
    with pymongo.MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        data = {"failCommands": ["connectionStatus"], "errorCode": 13, "appName": "blind"}
        client["admin"].command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
        yield client["admin"]


@pytest.fixture
def world(
    server: LocalServer, admin: Documents, database_name: str, tmp_path: Path
) -> Iterator[World]:
    root = login(server, "root", PASSWORD)
    work = tmp_path / "work"
    work.mkdir()
    cli = Cli(work, root, database_name)
    db = admin.client[database_name]
    yield World(db, cli, Migrations(work / "migrations"), root)
    cli.close()
    admin.client.drop_database(database_name)


def user_with(row: Row, world: World, server: LocalServer, admin: Documents) -> str:
    """The connection string of a user with exactly these rights."""
    name = f"user_of_{world.db.name}"
    on_database = {"db": world.db.name, "collection": ""}
    # A restore makes one under a name of its own.
    on_buckets = {"db": world.db.name, "system_buckets": ""}
    privileges = [
        {"resource": resource, "actions": list(actions)}
        for resource, actions in ((on_database, row.database), (on_buckets, row.buckets))
        if actions
    ]
    admin.command("createRole", name, privileges=privileges, roles=[])
    admin.command("createUser", name, pwd=PASSWORD, roles=[name])
    return login(server, name, PASSWORD)


def run(row: Row, world: World, server: LocalServer, admin: Documents, blind: bool) -> Result:
    arguments = SCENARIOS[row.what](world)
    uri = user_with(row, world, server, admin) + (BLIND if blind else "")
    return world.cli(*arguments, env={"MONGO_URI": uri})


def state_of(world: World) -> dict[str, Any]:
    """Everything in the database but the lock, which a run takes before it can know."""
    names = {each["name"]: each["options"] for each in world.db.list_collections()}
    return {
        name: (options, list(world.db[name].find().sort("_id")))
        for name, options in names.items()
        if name != "migrations_lock" and not name.startswith("system.")
    }


def test_every_row_is_tried() -> None:
    assert set(ROWS) == set(SCENARIOS)


@pytest.mark.parametrize("blind", [False, True] if ALL else [False])
@pytest.mark.parametrize("what", ROWS)
def test_exactly_these_rights_are_enough(
    what: str, blind: bool, world: World, server: LocalServer, admin: Documents
) -> None:
    done = run(ROWS[what], world, server, admin, blind)
    assert done.code == (3 if "check" in what else 0), done.stdout + done.stderr
    assert "not authorized" not in done.stdout + done.stderr


def taken_away() -> Iterator[tuple[str, tuple[str, str], bool]]:
    """What, which right of it is missing, and whether the user is not told."""
    chooses = random.Random(SEED)
    for what, row in ROWS.items():
        every = [(what, right, blind) for right in row.rights for blind in (False, True)]
        yield from every if ALL else [chooses.choice(every)]


@pytest.mark.parametrize(("what", "right", "blind"), taken_away())
def test_one_right_less_is_named(
    what: str,
    right: tuple[str, str],
    blind: bool,
    world: World,
    server: LocalServer,
    admin: Documents,
) -> None:
    where, action = right
    arguments = SCENARIOS[what](world)
    before = state_of(world)
    uri = user_with(ROWS[what].without(right), world, server, admin) + (BLIND if blind else "")
    done = world.cli(*arguments, env={"MONGO_URI": uri})
    said = done.stdout + done.stderr
    # What only tells less says what it could not ask.
    assert done.code == 1 or "not authorized" in said, said
    assert f"`{action}` on " in said or f"right {action} on " in said, said
    place = "system.buckets." if where == "buckets" else world.db.name
    assert place in said
    assert "then run the" in said or arguments[0] == "plan" or done.code == 0
    assert "readWrite and dbAdmin roles" not in said
    if not blind and arguments[0] in ("apply", "restore", "backup", "rollback"):
        assert state_of(world) == before
        assert re.search("Nothing was|No backup was|does not allow it", said), said


def test_a_plan_names_the_missing_rights_and_operations(
    world: World, server: LocalServer, admin: Documents
) -> None:
    world.migrations.write(1, [{"type": "create_index", "collection": "things", **INDEX}])
    world.migrations.write(2, [{"type": "drop_collection", "collection": "things"}])
    row = Row("reading", ("find", "listCollections", "listIndexes", "insert", "update"), ())
    uri = user_with(row, world, server, admin)
    done = world.cli("plan", env={"MONGO_URI": uri})
    assert done.code == 0, done.stdout
    user, thing = f"user_of_{world.db.name}@admin", f"{world.db.name}.things"
    assert (
        f"! The user {user} lacks the right createIndex on {thing}"
        " (migration_1 operation 1, create_index)"
    ) in done.lines
    assert f"lacks the right renameCollectionSameDB on the database {world.db.name}" in done.stdout
    blind = world.cli("plan", env={"MONGO_URI": uri + BLIND})
    assert "Rights of the database user: not known" in blind.stdout + blind.stderr
    assert blind.code == 0


def test_a_run_that_is_refused_has_not_even_taken_the_lock(
    world: World, server: LocalServer, admin: Documents
) -> None:
    world.migrations.write(1, [INSERT])
    world.migrations.write(2, [{"type": "drop_index", "collection": "things", "index": "a_1"}])
    uri = user_with(ROWS["`insert_documents`"], world, server, admin)
    done = world.cli("apply", env={"MONGO_URI": uri})
    assert done.code == 1
    assert "Nothing was done" in done.stdout
    assert "migration_2 operation 1, drop_index" in done.stdout
    assert world.db.list_collection_names() == ["things"]
