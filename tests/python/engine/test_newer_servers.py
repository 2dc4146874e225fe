"""Servers that cannot be had for tests: a real one passes for a newer one.

What the disguises do is taken from release notes and from the server's source; see
`docs/reference/operations.md` for what was run and what was simulated.
"""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from pymongo.uri_parser import parse_uri

from conftest import Cli, Migrations
from disguises import Version
from features import require
from harness import Documents, state_of, update
from rewriting import Disguise, Message, Reply, disguised, failure

DOCUMENTS = 3_000
NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)


@pytest.fixture
def port(server_uri: str, db: Documents) -> int:
    """The port of the real server, which must know what the newer ones know."""
    require(db, "clusteredIndex")
    (_, port), *_ = parse_uri(server_uri)["nodelist"]
    return int(port)


def fill(db: Documents) -> None:
    """A collection for each kind of work, one of them a time-series collection."""
    db["users"].insert_many([{"_id": at, "n": 0, "name": f"u{at}"} for at in range(DOCUMENTS)])
    db["places"].insert_one({"_id": 1, "at": {"type": "Point", "coordinates": [1, 2]}})
    db["places"].create_index([("at", "2dsphere")], name="at")
    db["gone"].insert_many([{"_id": at} for at in range(10)])
    for name in ("readings", "old_readings"):
        db.create_collection(name, timeseries={"timeField": "at", "metaField": "of"})
        minute = datetime.timedelta(minutes=1)
        rows = [{"at": NOON + at * minute, "of": at % 3, "v": at} for at in range(200)]
        db[name].insert_many(rows)


def visible(db: Documents) -> dict[str, list[dict[str, Any]]]:
    """The application's documents: of a time-series collection its measurements."""
    return {
        name: sorted(rows, key=str)
        for name, rows in state_of(db).items()
        if not name.startswith(("migrations", "system."))
    }


UP = [
    update("users", {}, {"$inc": {"n": 1}}),
    {"type": "create_index", "collection": "users", "index": "name"},
    {"type": "create_index", "collection": "places", "index": [["at", "2dsphere"]],
     "options": {"name": "at"}},
    {"type": "drop_collection", "collection": "old_readings"},
    {"type": "drop_collection", "collection": "gone"},
]  # fmt: skip


@pytest.fixture(params=[(7, 0), (8, 0), (8, 3), (9, 0)], ids=lambda it: f"{it[0]}.{it[1]}")
def newer(request: pytest.FixtureRequest) -> Version:
    """A newer version."""
    return Version(*request.param)


def test_every_verb_works_on_a_newer_server(
    newer: Version, port: int, db: Documents, cli: Cli, migrations: Migrations
) -> None:
    fill(db)
    before = visible(db)
    buckets = sorted(db["system.buckets.old_readings"].find(), key=lambda it: it["_id"])
    migrations.write(1, UP)
    with disguised(port, newer) as uri:
        for command, code in (
            (["plan"], 3),
            (["backup"], 0),
            (["apply"], 0),
            (["status"], 0),
            (["check"], 0),
        ):
            result = cli(*command, "--uri", uri)
            assert result.code in (0, code), (command, result)
        after = visible(db)
        assert {row["n"] for row in after["users"]} == {1}
        assert not {"gone", "old_readings"} & after.keys()
        result = cli("rollback", "--exact", "--uri", uri)
        assert result.code == 0, result
        assert visible(db) == before
        again = sorted(db["system.buckets.old_readings"].find(), key=lambda it: it["_id"])
        assert again == buckets
        db["users"].delete_many({})
        db["readings"].drop()
        result = cli("restore", "latest", "--uri", uri)
        assert result.code == 0, result
        assert visible(db) == before
    assert (newer.unlimited > 0) == (newer.version >= (8, 0))
    assert (newer.raw > 0) == (newer.version >= (8, 3))


def test_the_copy_of_a_time_series_collection_is_compared_by_its_raw_data(
    port: int, db: Documents, cli: Cli, migrations: Migrations
) -> None:
    class Writing(Version):
        """Somebody writes to the collection after it was copied, each time."""

        copies = 0

        def answer(self, name: str, command: Message, answer: Message) -> Message | None:
            stages = command.get("pipeline") or [{}]
            if name == "aggregate" and "$out" in stages[-1]:
                self.copies += 1
                db["old_readings"].insert_one({"at": NOON, "of": 1, "v": -self.copies})
            return super().answer(name, command, answer)

    fill(db)
    migrations.write(1, UP[3:4])
    disguise = Writing(9, 0)
    with disguised(port, disguise) as uri:
        result = cli("apply", "--uri", uri)
    assert result.code == 1
    assert disguise.copies == 3
    assert "is being written to" in result.stdout + result.stderr
    assert db["old_readings"].count_documents({}) == 203


class Once(Disguise):
    """Answers one command with an error."""

    def __init__(self, name: str, answer: Reply, *, having: str = "") -> None:
        self._name, self._answer, self._having = name, answer, having
        self.left = 1

    def command(self, name: str, command: Message) -> Message | Reply | None:
        if self.left and name == self._name and (not self._having or self._having in command):
            self.left -= 1
            return self._answer
        return None


BUSY = [
    failure(462, "IngressRequestRateLimitExceeded", "too many requests",
            "SystemOverloadedError", "RetryableError"),
    failure(500, "SomethingNew", "try later", "SystemOverloadedError", "RetryableError"),
    failure(469, "TooManyOpenTransactions", "too many open transactions"),
    failure(134, "ReadConcernMajorityNotAvailableYet", "not yet"),
    failure(133, "FailedToSatisfyReadPreference", "no primary for shard one"),
]  # fmt: skip


@pytest.mark.parametrize("answer", BUSY, ids=lambda it: it.answer["codeName"])
@pytest.mark.parametrize(
    ("name", "having"), [("update", "startTransaction"), ("find", ""), ("createIndexes", "")]
)
def test_a_server_that_is_busy_is_waited_for(
    port: int, db: Documents, cli: Cli, migrations: Migrations,
    answer: Reply, name: str, having: str,
) -> None:  # fmt: skip
    db["users"].insert_many([{"_id": at, "n": 0} for at in range(100)])
    migrations.write(1, [update("users", {}, {"$inc": {"n": 1}}), *UP[1:2]])
    disguise = Once(name, answer, having=having)
    with disguised(port, disguise) as uri:
        result = cli("apply", "--uri", uri)
    assert disguise.left == 0, "it was not put to the test"
    assert result.code == 0, result
    assert db["users"].count_documents({"n": 1}) == 100


class KilledPlans(Disguise):
    """The server kills plans although the collection is where it was."""

    def __init__(self, times: int) -> None:
        self.left = times

    def command(self, name: str, command: Message) -> Message | Reply | None:
        if name == "getMore" and self.left and command["collection"] == "users":
            self.left -= 1
            return failure(175, "QueryPlanKilled", "index 'n_1' became multikey")
        return None


def test_a_killed_plan_is_no_dropped_collection(port: int, db: Documents, cli: Cli) -> None:
    pad = "x" * 1_000
    db["users"].insert_many([{"_id": at, "pad": pad + str(at)} for at in range(20_000)])
    before = visible(db)
    disguise = KilledPlans(times=2)
    with disguised(port, disguise) as uri:
        result = cli("backup", "--uri", uri)
        assert result.code == 0, result
        assert disguise.left == 0, "it was not put to the test"
        assert "Starting the backup over" not in result.stdout + result.stderr
        db["users"].drop()
        assert cli("restore", "latest", "--uri", uri).code == 0
    assert visible(db) == before


class OtherDefault(Version):
    """It calls an index that an older version built with other defaults a conflict."""

    def command(self, name: str, command: Message) -> Message | Reply | None:
        if name == "createIndexes" and command[name] == "places":
            return failure(85, "IndexOptionsConflict", "An equivalent index already exists")
        return super().command(name, command)


def test_an_index_of_an_older_default_version_stands(
    port: int, db: Documents, cli: Cli, migrations: Migrations
) -> None:
    fill(db)
    migrations.write(1, UP[2:3])
    with disguised(port, OtherDefault(9, 0)) as uri:
        result = cli("apply", "--uri", uri)
    assert result.code == 0, result
