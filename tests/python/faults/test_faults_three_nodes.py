"""A set loses its majority, lags or has its primary stopped, in the middle of each verb.

EDULEARN_OUTAGE says how many seconds an outage lasts (5); one `apply` always bears 95.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from faults.forked import Place, Running, Verbs
from faults.scenarios import MIGRATION, OLD, set_aside
from faults.snapshots import Snapshot, differences, snapshot
from harness import EVERY_COMMAND, OURS, Documents, delete, fail_point, failures, until, update
from harness import write_migration as write
from replica_set import ReplicaSet

OUTAGE = float(os.environ.get("EDULEARN_OUTAGE") or 5)
LONG = 95.0
# So many that every verb takes a while.
TOTAL = 10_000


def fill(db: Documents, place: Place) -> None:
    """Documents, and a migration that changes, inserts and deletes."""
    text = "x" * 300
    for collection in ("people", "gone"):
        rows = [{"_id": at, "n": 0, "text": text} for at in range(TOTAL)]
        db[collection].insert_many(rows, ordered=False)
    up = [
        update("people", {}, {"$inc": {"n": 1}}),
        {
            "type": "insert_documents",
            "collection": "notes",
            "documents": [{"_id": at, "text": text} for at in range(3_000)],
        },
        delete("people", {"_id": {"$lt": TOTAL // 2}}),
        {"type": "drop_collection", "collection": "gone"},
    ]
    down = [update("people", {}, {"$inc": {"n": -1}}), delete("notes", {})]
    write(place.directory, 1, up, down)


def assessments(db: Documents, place: Place) -> None:
    (place.directory / "migrations").mkdir()
    rows = [
        {"title": f"Assessment {at}", "time_limit": 45, "created_at": OLD, "updated_at": OLD}
        for at in range(TOTAL // 2)
    ]
    db["assessments"].insert_many(
        {"_id": ObjectId(f"65a1b2c3d4e5f6{at:010x}"), "created_by": "x", **row}
        for at, row in enumerate(rows)
    )
    db["teacher_assessments"].insert_many(
        {"_id": ObjectId(f"65a1b2c3d4e5f7{at:010x}"), "teacher_id": "x", **row}
        for at, row in enumerate(rows)
    )


@dataclass(frozen=True)
class Case:
    """A verb, and what stands before it."""

    verb: str
    fill: Callable[[Documents, Place], None]
    first: tuple[tuple[str, dict[str, Any]], ...]
    """The verbs that come before it."""
    call: Callable[[Place], tuple[tuple[Any, ...], dict[str, Any]]] = lambda _: ((), {})


def _exactly(_: Place) -> Any:
    return (MIGRATION,), {"exact": True}


def _latest(_: Place) -> Any:
    return ("latest",), {"safety_backup": False}


APPLY: tuple[str, dict[str, Any]] = ("apply", {})
CASES = {
    "apply": Case("apply", fill, ()),
    "rollback": Case("rollback", fill, (APPLY,)),
    "exact_rollback": Case("rollback", fill, (APPLY,), _exactly),
    "undrop": Case("undrop", fill, (APPLY,), set_aside("documents", "people")),
    "purge": Case("purge", fill, (APPLY,)),
    "backup": Case("backup", fill, (APPLY,)),
    "restore": Case("restore", fill, (APPLY, ("backup", {})), _latest),
    "assessment_migrate": Case("assessment_migrate", assessments, ()),
    "assessment_rollback": Case("assessment_rollback", assessments, (("assessment_migrate", {}),)),
}


@dataclass(frozen=True)
class Undisturbed:
    """A run without an outage."""

    commands: int
    snapshot: Snapshot


class Stage:
    """A set on which verbs are run, with and without an outage."""

    def __init__(self, replica_set: ReplicaSet, verbs: Verbs, directory: Path) -> None:
        self.set = replica_set
        self.verbs = verbs
        self.directory = directory
        self.db = replica_set.client["outages"]
        self._undisturbed: dict[str, Undisturbed] = {}

    def start(self, name: str) -> Running:
        """Everything made anew, and the verb in the middle of its work, stopped."""
        half = self.undisturbed(name).commands // 2
        running, _ = self._run(name, {"skip": half}, block=5_000)
        return running

    def undisturbed(self, name: str) -> Undisturbed:
        """The verb without an outage."""
        if name not in self._undisturbed:
            running, commands = self._run(name, "alwaysOn", block=0)
            assert running.end().well
            self._undisturbed[name] = Undisturbed(commands, snapshot(self.db))
        return self._undisturbed[name]

    def _run(self, name: str, mode: Any, block: int) -> tuple[Running, int]:
        """Runs the verb until a command is held up for `block` milliseconds, or to its end.

        Returns how many commands were held up, too.
        """
        case = CASES[name]
        place = self.prepared(case)
        arguments, options = case.call(place)
        client = self.set.client
        before = failures(client)
        held_up = {"failCommands": EVERY_COMMAND, "blockConnection": True, "blockTimeMS": block}
        with fail_point(client, "failCommand", mode, **held_up, **OURS):
            running = self.verbs.start(place, case.verb, *arguments, **options)
            if block:
                until(lambda: failures(client) > before, "it is in the middle of its work")
                running.send(signal.SIGSTOP)
                assert not running.over()
            else:
                running.end()
            return running, failures(client) - before

    def prepared(self, case: Case) -> Place:
        until(self.set.complete, "all are there")
        self.db.client.drop_database(self.db.name)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        place = Place(self.set.uri, self.db.name, self.directory)
        case.fill(self.db, place)
        for verb, options in case.first:
            self.verbs.well(place, verb, **options)
        return place

    def check(self, name: str, running: Running) -> None:
        """It succeeds, and what stands is what stands without an outage."""
        running.send(signal.SIGCONT)
        ended = running.end()
        assert ended.well, str(ended)
        assert differences(self.undisturbed(name).snapshot, snapshot(self.db)) == []


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        replica_set = ReplicaSet(tmp_path_factory.mktemp("replica_set"))
        stack.callback(replica_set.close)
        verbs = Verbs()
        stack.callback(verbs.close)
        yield Stage(replica_set, verbs, tmp_path_factory.mktemp("outages") / "work")


def outage(seconds: float) -> None:
    """Lets an outage last."""
    time.sleep(seconds)  # this is what is tested, not a wait


@pytest.mark.parametrize("name", CASES)
def test_both_secondaries_are_stopped(stage: Stage, name: str) -> None:
    """No commit is confirmed, then there is no primary; the run goes on by itself."""
    running = stage.start(name)
    with stage.set.stopped(*stage.set.secondaries()):
        running.send(signal.SIGCONT)
        outage(OUTAGE)
    stage.check(name, running)


def test_a_minute_and_a_half_without_a_majority(stage: Stage) -> None:
    running = stage.start("apply")
    with stage.set.stopped(*stage.set.secondaries()):
        running.send(signal.SIGCONT)
        outage(LONG)
    stage.check("apply", running)


@pytest.mark.parametrize("name", ["apply", "exact_rollback", "restore"])
def test_the_secondaries_lag(stage: Stage, name: str) -> None:
    """There is a primary all the time, but no commit is confirmed for a while."""
    running = stage.start(name)
    with ExitStack() as stack:
        for number in stage.set.secondaries():
            client = stack.enter_context(stage.set.direct(number))
            stack.enter_context(fail_point(client, "rsSyncApplyStop", "alwaysOn"))
        running.send(signal.SIGCONT)
        outage(OUTAGE)
    stage.check(name, running)


@pytest.mark.parametrize("name", ["apply", "exact_rollback", "restore"])
def test_the_primary_is_stopped(stage: Stage, name: str) -> None:
    """It hangs with its connections open, and another takes its place."""
    running = stage.start(name)
    with stage.set.stopped(stage.set.primary()):
        running.send(signal.SIGCONT)
        outage(OUTAGE)
    stage.check(name, running)
