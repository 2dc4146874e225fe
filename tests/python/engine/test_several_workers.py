"""Several chunks of one operation under way at once: once each, to the end, and back.

Each worker takes one part of the collection after another; each part has a journal of its own.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

from conftest import Cli, Migrations
from edulearn_migrate import Migrator, OperationFailedError, SettingsError
from harness import (
    Documents,
    as_json,
    chunks_done,
    finish,
    lock_of,
    operations_done,
    parts_of,
    record_of,
    sessions_of,
    start_holding,
    stop_in_chunk,
    update,
    write_migration,
)
from random_migrations import snapshot
from rewriting import Disguise, Message, Reply, disguised, failure
from undoing import check_same

MANY = 12_000
ONCE = update("c", {}, {"$inc": {"times": 1}})


def fill(db: Documents, documents: int = MANY, size: int = 50) -> None:
    text = "x" * size
    db["c"].insert_many({"_id": at, "n": at, "text": text} for at in range(documents))


def times(db: Documents) -> dict[Any, int]:
    """How many documents were changed how often."""
    groups = db["c"].aggregate([{"$group": {"_id": "$times", "count": {"$sum": 1}}}])
    return {group["_id"]: group["count"] for group in groups}


class OnlyDuplicates(Disguise):
    """Draws no `_id` at random from a whole collection, as a server does by chance."""

    def __init__(self) -> None:
        self.refused = 0

    def command(self, name: str, command: Message) -> Message | Reply | None:
        if name != "aggregate" or "$sample" not in command["pipeline"][0]:
            return None
        self.refused += 1
        text = "$sample stage could not find a non-duplicate document after 100"
        return failure(28799, "Location28799", text)


def test_where_the_server_draws_only_duplicates_it_cuts_all_the_same(
    db: Documents, cli: Cli, migrations: Migrations
) -> None:
    fill(db)
    migrations.write("001", [ONCE])
    disguise = OnlyDuplicates()
    assert db.client.address is not None
    with disguised(db.client.address[1], disguise) as uri:
        result = cli("apply", "--uri", uri, "--workers", "2")
    assert result.code == 0, result
    assert disguise.refused == 1
    assert times(db) == {1: MANY}


@pytest.mark.parametrize(("there", "back"), [(1, 2), (2, 1), (3, 8), (8, 3)])
def test_any_number_of_workers_does_it_once_and_undoes_it(
    db: Documents, migrator: Migrator, migrations: Migrations, there: int, back: int
) -> None:
    fill(db)
    before = snapshot(db)
    migrations.write("001", [ONCE])
    most = 0

    def watch(_: object) -> None:
        nonlocal most
        most = max(most, len(parts_of(db, "migration_001")))

    report = migrator.apply(workers=there, progress=watch)
    assert report.migrations[0].operations[0].modified == MANY
    assert times(db) == {1: MANY}
    assert (most > there) == (there > 1), "a part of its own for each worker, and more"
    assert not parts_of(db, "migration_001")
    run = migrator.rollback("migration_001", exact=True, workers=back).migrations[0]
    assert [(each.restored, each.conflicts) for each in run.undone] == [(MANY, 0)]
    check_same(before, db)
    assert not parts_of(db, "migration_001")


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_killed_run_is_carried_on_with_any_number(db: Documents, cli: Cli, workers: int) -> None:
    fill(db, 24_000, 300)
    migration = write_migration(cli.directory, 1, [ONCE])
    process = start_holding(db, lambda: cli.start("apply", "--workers", "3"))
    stop_in_chunk(db, process, migration, after=2)
    process.kill()
    process.wait()
    done = operations_done(db, migration, "modified")
    assert 0 < done < 24_000
    assert len(sessions_of(db)) == 3
    assert f"{times(db)[1]} documents" in cli("status").stdout.replace(",", "")
    result = cli("apply", "--workers", str(workers), "--json")
    assert result.code == 0, result.stderr
    assert times(db) == {1: 24_000}
    [operation] = as_json(result.stdout)["migrations"][0]["operations"]
    assert operation["modified"] == 24_000, "of all runs together"


def test_a_run_that_wakes_up_too_late_writes_nothing(db: Documents, cli: Cli) -> None:
    """The token is raised in every part, and every worker's session is ended."""
    fill(db, 24_000, 300)
    migration = write_migration(cli.directory, 1, [ONCE])
    process = start_holding(db, lambda: cli.start("apply", "--workers", "4"))
    stop_in_chunk(db, process, migration, after=2)
    done = cli("unlock", "--force")
    assert done.code == 0, done.stderr
    result = cli("apply")
    assert result.code == 0, result.stderr
    assert times(db) == {1: 24_000}
    process.send_signal(signal.SIGCONT)
    code, stdout, _ = finish(process)
    assert code == 1
    assert "lock" in stdout
    assert times(db) == {1: 24_000}
    assert record_of(db, migration)["status"] == "applied"


def test_values_move_along_a_unique_index(
    db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    """Side by side a document would meet the one that still has its new value."""
    fill(db)
    db["c"].create_index("n", unique=True)
    before = snapshot(db)
    down_by_one = update("c", {}, {"$inc": {"n": -1}})
    other_field = update("c", {}, {"$set": {"other": 1}})
    migrations.write("001", [down_by_one, other_field])
    most = [0, 0]

    def watch(event: Any) -> None:
        if event.kind == "progress":
            most[event.index - 1] = max(most[event.index - 1], len(parts_of(db, "migration_001")))

    migrator.apply(workers=4, progress=watch)
    assert db["c"].count_documents({"$expr": {"$eq": ["$n", {"$subtract": ["$_id", 1]}]}}) == MANY
    assert most[0] == 0, "one after the other"
    assert most[1] > 4, "what the index is not about goes side by side"
    migrator.rollback("migration_001", exact=True, workers=4)
    check_same(before, db)


def test_a_failure_stops_the_others_and_tells_what_all_of_them_did(
    db: Documents, migrator: Migrator, migrations: Migrations
) -> None:
    fill(db)
    db["c"].update_one({"_id": 9_999}, {"$set": {"text": 7}})
    longer = update("c", {}, [{"$set": {"text": {"$concat": ["$text", "."]}}}])
    migrations.write("001", [longer])
    with pytest.raises(OperationFailedError, match="_id 9999") as failed:
        migrator.apply(workers=3)
    done = db["c"].count_documents({"text": "x" * 50 + "."})
    assert f"{done:,}".replace(",", "") in str(failed.value).replace(",", "")
    assert operations_done(db, "migration_001", "modified") == done
    db["c"].update_one({"_id": 9_999}, {"$set": {"text": "x" * 50}})
    assert migrator.apply(workers=2).migrations[0].operations[0].modified == MANY
    assert db["c"].count_documents({"text": "x" * 50 + "."}) == MANY


def test_a_run_that_is_asked_to_stop_goes_on_later(db: Documents, cli: Cli) -> None:
    fill(db, 24_000, 300)
    migration = write_migration(cli.directory, 1, [ONCE])
    process = start_holding(db, lambda: cli.start("apply", "--workers", "4"))
    stop_in_chunk(db, process, migration, after=2)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    code, _, stderr = finish(process)
    assert code == 130, stderr
    done = times(db)[1]
    assert done < 24_000
    assert operations_done(db, migration, "modified") == done
    assert not lock_of(db).get("owner")
    assert cli("apply").code == 0
    assert times(db) == {1: 24_000}


def test_parts_that_somebody_removed_are_named(db: Documents, cli: Cli) -> None:
    fill(db, 24_000, 300)
    migration = write_migration(cli.directory, 1, [ONCE])
    process = start_holding(db, lambda: cli.start("apply"))
    stop_in_chunk(db, process, migration, after=2)
    process.kill()
    process.wait()
    parts = parts_of(db, migration)
    db["migrations"].delete_one({"_id": parts[-1]["_id"]})
    assert 'kind "part"' in cli("status").stdout
    result = cli("apply")
    assert result.code == 1
    assert "cannot be relied on" in result.stdout
    assert chunks_done(db, migration) > 0, "nothing was begun anew"
    db["migrations"].insert_one(parts[-1])
    assert cli("apply").code == 0
    assert times(db) == {1: 24_000}


@pytest.mark.parametrize(
    ("of_part", "edit"),
    [
        (False, {"$set": {"progress.position": {"kind": "whole"}}}),
        (False, {"$unset": {"progress.position": ""}}),
        (False, {"$set": {"progress.position.count": 1}}),
        (False, {"$set": {"progress.operations": []}}),
        (True, {"$unset": {"progress": ""}}),
        (True, {"$set": {"progress.operations": []}}),
        (True, {"$unset": {"progress.position.upper": ""}}),
        (True, {"$set": {"of": "another"}}),
    ],
    ids=str,
)
def test_parts_edited_by_hand(db: Documents, cli: Cli, of_part: bool, edit: dict[str, Any]) -> None:
    fill(db, 24_000, 300)
    migration = write_migration(cli.directory, 1, [ONCE])
    process = start_holding(db, lambda: cli.start("apply"))
    stop_in_chunk(db, process, migration, after=2)
    # Not killed: its transaction would hold the part until the server ends it.
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    finish(process)
    edited = parts_of(db, migration)[-1]["_id"] if of_part else migration
    assert db["migrations"].update_one({"_id": edited}, edit).modified_count == 1
    before = times(db)
    assert "cannot be relied on" in cli("status").stdout
    result = cli("apply")
    assert result.code == 1
    assert "cannot be relied on" in result.stdout
    assert times(db) == before, "nothing was begun anew"


def test_an_exact_rollback_of_a_half_done_operation_takes_every_part_back(
    db: Documents, cli: Cli
) -> None:
    fill(db, 24_000, 300)
    before = snapshot(db)
    migration = write_migration(cli.directory, 1, [ONCE])
    process = start_holding(db, lambda: cli.start("apply", "--workers", "3"))
    stop_in_chunk(db, process, migration, after=3)
    process.kill()
    process.wait()
    result = cli("rollback", migration, "--exact")
    assert result.code == 0, result.stderr
    assert not parts_of(db, migration)
    check_same(before, db)


@pytest.mark.parametrize("number", ["0", "9", "x", "-1", "1.5"])
def test_a_number_of_workers_that_is_none(cli: Cli, number: str) -> None:
    result = cli("apply", f"--workers={number}")
    assert result.code == 2
    assert f"{number} is no number of workers" in result.stdout
    assert cli("apply", env={"EDULEARN_WORKERS": number}).code == 2


def test_in_python_a_wrong_number_is_refused(migrator: Migrator) -> None:
    with pytest.raises(SettingsError, match="from 1 to 8"):
        migrator.apply(workers=9)
