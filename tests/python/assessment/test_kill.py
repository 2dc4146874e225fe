"""`assessment-migrate` and `assessment-rollback` killed in each of their steps, and interrupted."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bson import ObjectId

from assessment_documents import both, random_document
from assessment_kills import place
from assessment_model import COLLECTIONS, INDEXES, KINDS, Document
from assessment_runs import check_unified, migrate, now, read, rollback
from conftest import Cli
from harness import (
    Client,
    Process,
    fail_point,
    finish,
    holds,
    names_in,
    start_holding,
    until,
    uri_of,
)

EACH = 5_000
STEPS = ("backup", "regular", "teacher", "indexes", "validation")
ROLLBACK_STEPS = ("begun", "teacher", "regular")


class Ground:
    """A filled database on a server with failpoints, a command line to it, and how it was."""

    def __init__(self, client: Client, cli: Cli, name: str) -> None:
        self.client, self.db = client, client[name]
        self.cli = Cli(cli.directory, uri_of(client), name)
        dice = random.Random(name)
        for kind in KINDS:
            rows = [random_document(dice, kind, ObjectId(), wrong=0) for _ in range(EACH)]
            # Long enough to be met in each step.
            self.db[COLLECTIONS[kind]].insert_many({**row, "padding": "x" * 900} for row in rows)
        self.bytes = both(self.db)
        self.began = now()

    def documents(self) -> dict[str, dict[str, Document]]:
        return {name: read(self.db, name) for name in COLLECTIONS.values()}

    def backups(self) -> list[str]:
        """What lies in the directory of backups, whole ones and begun ones."""
        return sorted(names_in(self.cli.directory / "backups"))

    def unified(self, kind: str) -> int:
        return self.db["assessments"].count_documents({"migration_source": f"{kind}_assessment"})

    def indexes(self) -> int:
        return len(set(self.db["assessments"].index_information()) & set(INDEXES))

    def in_step(self, step: str) -> bool:
        """Whether a migrating run is in that step, as far as it shows."""
        conditions: dict[str, Callable[[], bool]] = {
            "backup": lambda: any(name.startswith(".") for name in self.backups()),
            "regular": lambda: 0 < self.unified("regular") < EACH,
            "teacher": lambda: 0 < self.unified("teacher") < EACH,
            "indexes": self.building,
            "validation": lambda: self.indexes() == len(INDEXES),
        }
        return conditions[step]()

    def in_rollback_step(self, step: str) -> bool:
        conditions: dict[str, Callable[[], bool]] = {
            "begun": lambda: True,
            "teacher": lambda: 0 < self.unified("teacher") < EACH,
            "regular": lambda: 0 < self.unified("regular") < EACH,
        }
        return conditions[step]()

    def building(self) -> bool:
        """Whether an index is being built."""
        listed = self.db.command({"listIndexes": "assessments", "includeBuildUUIDs": True})
        return any("buildUUID" in index for index in listed["cursor"]["firstBatch"])

    def kill_in(self, command: str, inside: Callable[[], bool]) -> str:
        """Kills that command where `inside` holds; where it was."""
        process = start_holding(self.db, lambda: self.cli.start(command))
        met = until(lambda: inside() or process.poll() is not None, "the step is met")
        process.kill()
        code, stdout, stderr = finish(process)
        assert met and code == -9, f"it ended too soon: {code}\n{stdout}\n{stderr}"
        assert holds(self.db, process)
        return place(self.db, self.cli.directory / "backups")


@pytest.fixture
def ground(with_failpoints: Client, cli: Cli, database_name: str) -> Iterator[Ground]:
    ground = Ground(with_failpoints, cli, database_name)
    yield ground
    ground.cli.close()
    with_failpoints.drop_database(database_name)


def kill_migration(ground: Ground, step: str) -> None:
    if step == "indexes":
        with fail_point(ground.client, "hangAfterSettingUpIndexBuild", "alwaysOn"):
            where = ground.kill_in("assessment-migrate", lambda: ground.in_step(step))
        until(lambda: not ground.building(), "the build, which outlives its client, is over")
    else:
        where = ground.kill_in("assessment-migrate", lambda: ground.in_step(step))
    print(f"killed {where}")


@pytest.mark.parametrize("step", STEPS)
def test_the_next_run_carries_on(ground: Ground, step: str) -> None:
    before = ground.documents()
    kill_migration(ground, step)
    done = {kind: ground.unified(kind) for kind in KINDS}
    report = migrate(ground.cli)
    assert check_unified(before, ground.db, ground.began) == {}
    assert len(ground.db["assessments"].distinct("updated_at")) == 1, "one run, one time"
    assert ground.indexes() == len(INDEXES)
    (backup,) = ground.backups()
    assert ground.cli("backups", "verify", backup).code == 0
    assert report["validation"]["valid"] is True
    # Whatever the counts are of, they leave nothing out.
    for kind in KINDS:
        told = report[kind]
        assert told["migrated"] + told["already"] >= EACH
        assert told["migrated"] >= EACH - done[kind]
    again = migrate(ground.cli)
    assert again["regular"]["migrated"] == again["teacher"]["migrated"] == 0
    assert ground.backups() == [backup]
    rollback(ground.cli)
    assert both(ground.db) == ground.bytes
    assert ground.indexes() == 0


@pytest.mark.parametrize("step", STEPS)
def test_a_rollback_undoes_what_was_done(ground: Ground, step: str) -> None:
    kill_migration(ground, step)
    rollback(ground.cli)
    assert both(ground.db) == ground.bytes
    assert ground.indexes() == 0


def test_a_rollback_waits_for_the_indexes_that_a_killed_run_left_in_the_making(
    ground: Ground,
) -> None:
    """The server builds on without its client, and stops one build for all its indexes only."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {}},
        {"$match": {"command.createIndexes": "assessments", "command.indexes": {"$size": 1}}},
    ]
    with fail_point(ground.client, "hangAfterSettingUpIndexBuild", "alwaysOn"):
        ground.kill_in("assessment-migrate", ground.building)
        process = start_holding(ground.db, lambda: ground.cli.start("assessment-rollback"))
        until(lambda: list(ground.client.admin.aggregate(stages)), "it waits for the build")
        assert ground.building()
    code, stdout, stderr = finish(process)
    assert code == 0, f"{stdout}\n{stderr}"
    assert not ground.building()
    assert both(ground.db) == ground.bytes
    assert ground.indexes() == 0


def test_an_index_that_comes_in_between_keeps_the_others_ours(ground: Ground) -> None:
    """Four are made one by one before the conflict is met: they stay the migration's own."""
    process = start_holding(ground.db, lambda: ground.cli.start("assessment-migrate"))
    until(lambda: ground.in_step("regular") or process.poll() is not None, "it migrates")
    ground.db["assessments"].create_index("title", name="published_timestamp_idx")
    code, stdout, stderr = finish(process)
    assert code == 1 and "published_timestamp_idx" in stdout, f"{stdout}\n{stderr}"
    assert ground.indexes() == len(INDEXES), "the one in the way, and four"
    ground.db["assessments"].drop_index("published_timestamp_idx")
    report = migrate(ground.cli)
    assert sorted(report["indexes"]["created"]) == sorted(INDEXES)
    rollback(ground.cli)
    assert both(ground.db) == ground.bytes
    assert ground.indexes() == 0


@pytest.mark.parametrize("step", ROLLBACK_STEPS)
def test_a_killed_rollback_carries_on(ground: Ground, step: str) -> None:
    migrate(ground.cli)
    ground.kill_in("assessment-rollback", lambda: ground.in_rollback_step(step))
    report = rollback(ground.cli)
    assert report["nothing_to_roll_back"] is False
    assert both(ground.db) == ground.bytes
    assert ground.indexes() == 0
    assert rollback(ground.cli)["nothing_to_roll_back"] is True


@pytest.mark.parametrize("step", ["regular", "teacher"])
def test_after_a_killed_rollback_it_is_not_migrated_again_unasked(
    ground: Ground, step: str
) -> None:
    """`assessment-migrate` refuses, or it ends the rollback first; in both no byte is lost."""
    before = ground.documents()
    migrate(ground.cli)
    ground.kill_in("assessment-rollback", lambda: ground.in_rollback_step(step))
    done = ground.cli("assessment-migrate")
    if done.code == 0:
        check_unified(before, ground.db, ground.began)
    else:
        assert done.code == 1 and "assessment-rollback" in done.stdout, done.stdout
    rollback(ground.cli)
    assert both(ground.db) == ground.bytes


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
@pytest.mark.parametrize("command", ["assessment-migrate", "assessment-rollback"])
def test_signals(ground: Ground, command: str, number: int, code: int) -> None:
    if command == "assessment-rollback":
        migrate(ground.cli)
    process: Process = start_holding(ground.db, lambda: ground.cli.start(command))
    until(lambda: 0 < ground.unified("regular") < EACH or process.poll() is not None, "it works")
    process.send_signal(number)
    ended, stdout, stderr = finish(process)
    assert ended == code, f"exit {ended}\n{stdout}\n{stderr}"
    assert not holds(ground.db, process), "the lease is released"
    assert "Traceback" not in stdout + stderr
    assert "again to carry on" in stdout, "it says how to carry on"
    report: dict[str, Any] = rollback(ground.cli)
    assert report["nothing_to_roll_back"] is False
    assert both(ground.db) == ground.bytes
