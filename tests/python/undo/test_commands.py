"""Undo as its users meet it: exact rollbacks, `status`, `purge`, `undrop`, and the typed API."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bson import Int64, encode
from pymongo.database import Database

from conftest import Cli, Migrations, Operation, Result
from edulearn_migrate import (
    AsyncMigrator,
    Beyond,
    CollectionUndone,
    DroppedEntry,
    Event,
    InterruptedRunError,
    Migrator,
    Overreach,
    PurgeReport,
    SettingsError,
    StopToken,
    Undone,
    UnknownMigrationError,
    WrongStateError,
)
from edulearn_migrate.cli.parser import parse
from edulearn_migrate.cli.retained import by_migration, size
from edulearn_migrate.plural import counted
from harness import as_json, closed_gate, delete, lock_of, start_holding, update

Db = Database[dict[str, Any]]

THIRD = "migration_003"
# Of the third example: who had the role already, and whom the migration gives it to.
BEFORE, GIVEN = 12, 30


def content(db: Db) -> dict[str, list[bytes]]:
    """The users' collections, byte for byte."""
    theirs = {"name": {"$not": {"$regex": "^(migrations|system.)"}}}
    names = db.list_collection_names(filter=theirs)
    return {name: [encode(each) for each in db[name].find().sort("_id", 1)] for name in names}


def error_of(result: Result) -> str:
    """What went wrong, without its mark."""
    return result.error.removeprefix("✗ Error: ")


def notes(result: Result) -> list[str]:
    """The lines below a migration's."""
    return [line.strip() for line in result.lines if line.startswith("    ")]


def listed(cli: Cli) -> list[dict[str, Any]]:
    """What `undrop --json` lists."""
    result = cli("undrop", "--json")
    assert result.code == 0, result
    dropped: list[dict[str, Any]] = as_json(result.stdout)["dropped"]
    return dropped


def applied(cli: Cli, *options: str) -> None:
    result = cli("apply", *options)
    assert result.code == 0, result


@pytest.fixture
def third(migrations: Migrations, db: Db) -> Db:
    """The third published example, and students: those that have the role are students already."""
    up = update("users", {"role": {"$exists": False}}, {"$set": {"role": "student"}}, multi=True)
    down = update("users", {"role": "student"}, {"$unset": {"role": ""}}, multi=True)
    migrations.write("003", [up], [down], name="update_document_schema")
    db["users"].insert_many(
        [{"_id": n, "role": "student", "name": f"had {n}"} for n in range(BEFORE)]
        + [{"_id": BEFORE + n, "name": f"given {n}"} for n in range(GIVEN)]
    )
    return db


# -- the third published example


def test_a_plain_rollback_warns_of_the_students_that_it_harms(cli: Cli, third: Db) -> None:
    applied(cli)
    result = cli("rollback", THIRD)
    assert result.code == 0, result
    place = "operation 1 of the down script (users)"
    assert (
        f"{THIRD}: {place} reaches {BEFORE} documents that the up script had not" in result.stderr
    )
    assert f"`rollback {THIRD} --exact`" in result.stderr
    at = result.lines.index(f"✓ Rolled back migration: {THIRD}")
    assert result.lines[at + 1] == (
        f"    {place} changed up to {BEFORE} documents that the up script had not touched; "
        f"`rollback {THIRD} --exact` brings them back"
    )
    assert third["users"].count_documents({"role": "student"}) == 0


def test_json_says_whom_the_plain_rollback_harms(cli: Cli, third: Db) -> None:
    applied(cli)
    result = cli("rollback", "--json")
    assert f"reaches {BEFORE} documents" in result.stderr
    [migration] = as_json(result.stdout)["migrations"]
    assert migration["exact"] is False
    assert migration["undone"] == []
    reached = [{"index": 1, "collection": "users", "documents": BEFORE}]
    assert migration["overreach"] == migration["beyond"] == reached
    assert third["users"].count_documents({"role": "student"}) == 0


def test_quiet_leaves_the_warning_on_stderr(cli: Cli, third: Db) -> None:
    del third
    applied(cli)
    result = cli("rollback", "--quiet")
    assert result.lines == ["✓ Rolled back 1 migrations:", f"  - {THIRD}"]
    assert f"reaches {BEFORE} documents" in result.stderr


def test_what_a_down_script_removes(cli: Cli, migrations: Migrations, db: Db) -> None:
    """Also where it fails afterwards: what was removed by then is said, and comes back."""
    one = {"_id": "one"}
    insert = {"type": "insert_documents", "collection": "notes", "documents": [one]}
    drop = {"type": "drop_collection", "collection": "notes"}
    twice = {"type": "insert_documents", "collection": "b", "documents": [one, one]}
    migrations.write(1, [insert], [drop, twice])
    applied(cli)
    db["notes"].insert_one({"_id": "of a user"})
    result = cli("rollback")
    assert result.code == 1
    at = result.lines.index("✗ Failed to rollback migration: migration_1")
    assert result.lines[at + 1] == (
        "    operation 1 of the down script (notes) removed up to 1 document that the up script "
        "had not touched; `rollback migration_1 --exact` brings it back"
    )
    assert "notes" not in content(db)
    assert cli("rollback", "migration_1", "--exact").code == 0
    assert content(db) == {"notes": [encode({"_id": "of a user"})]}


def test_an_exact_rollback_harms_none(cli: Cli, third: Db) -> None:
    before = content(third)
    applied(cli)
    result = cli("rollback", THIRD, "--exact")
    assert result.code == 0, result
    at = result.lines.index(f"✓ Rolled back migration: {THIRD}")
    assert result.lines[at + 1] == f"    users: {GIVEN} restored as they were"
    assert "reaches" not in result.stderr
    assert content(third) == before


def test_an_exact_rollback_undoes_the_plain_one_and_the_migration(cli: Cli, third: Db) -> None:
    before = content(third)
    applied(cli)
    assert cli("rollback", THIRD).code == 0
    assert content(third) != before
    result = cli("rollback", THIRD, "--exact", "--json")
    assert result.code == 0, result
    [migration] = as_json(result.stdout)["migrations"]
    assert (migration["exact"], migration["outcome"]) == (True, "rolled_back")
    assert [each["type"] for each in migration["operations"]] == ["undo update_documents"] * 2
    # The captures are undone one after the other, and each counts the documents it is about.
    counts = {"restored": BEFORE + GIVEN + GIVEN, "restored_with_edits": 0, "gone": 0}
    counts |= {"made_since": 0, "conflicts": 0}
    assert migration["undone"] == [{"collection": "users", **counts}]
    assert content(third) == before


def test_apply_after_an_exact_rollback_starts_afresh(cli: Cli, third: Db) -> None:
    before = content(third)
    for _ in range(2):
        result = cli("apply", THIRD)
        assert f"✓ Applied migration: {THIRD}" in result.lines
        assert third["users"].count_documents({"role": "student"}) == BEFORE + GIVEN
        assert cli("rollback", "--exact").code == 0
        assert content(third) == before
    again = cli("rollback", THIRD, "--exact")
    assert again.code == 1
    assert "is not applied" in error_of(again)


# -- the three-way rule and its words


def test_what_was_done_since_stays_and_is_counted(cli: Cli, migrations: Migrations, db: Db) -> None:
    db["users"].insert_many([{"_id": n, "role": "pupil", "city": "Paris"} for n in range(1010)])
    up: list[Operation] = [
        update("users", {"_id": {"$gte": 3}}, {"$set": {"role": "student", "city": "Lyon"}}),
        {"type": "insert_documents", "collection": "badges", "documents": [{"_id": "a"}]},
    ]
    one = migrations.write(1, up)
    applied(cli)
    db["users"].update_one({"_id": 3}, {"$set": {"phone": "12"}})  # elsewhere
    db["users"].update_many({"_id": {"$in": [4, 5]}}, {"$set": {"city": "Nice"}})  # the same field
    db["users"].delete_one({"_id": 6})
    db["users"].insert_one({"_id": 7000})
    db["badges"].insert_one({"_id": "b"})
    result = cli("rollback", one, "--exact")
    assert result.code == 0, result
    at = result.lines.index(f"✓ Rolled back migration: {one}")
    assert result.lines[at + 1 : at + 3] == [
        "    badges: 1 restored as it was, 1 made since and kept",
        "    users: 1,003 restored as they were, 1 restored with later edits kept, 1 gone since, "
        "2 conflicts (left as they are)",
    ]
    paris = {"role": "pupil", "city": "Paris"}
    assert db["users"].find_one({"_id": 3}) == {"_id": 3, **paris, "phone": "12"}
    assert db["users"].find_one({"_id": 4}) == {"_id": 4, "role": "pupil", "city": "Nice"}
    assert db["users"].find_one({"_id": 6}) is None
    assert db["users"].count_documents(paris) == 1007
    assert list(db["badges"].find()) == [{"_id": "b"}]


def test_every_applied_migration_exactly(cli: Cli, migrations: Migrations, db: Db) -> None:
    db["a"].insert_one({"_id": 1, "n": 1})
    db["a"].create_index("n", name="n_idx")
    db["old"].insert_one({"_id": 1})
    before = content(db)
    migrations.write(1, [update("a", {}, {"$inc": {"n": 1}})])
    migrations.write(2, [{"type": "drop_collection", "collection": "old"}])
    migrations.write(3, [{"type": "drop_index", "collection": "a", "index": "n_idx"}])
    applied(cli)
    result = cli("rollback", "--exact")
    assert result.code == 0, result
    at = result.lines.index("✓ Rolled back 3 migrations:")
    assert result.lines[at + 1 : at + 7] == [
        "  - migration_3",
        "  - migration_2",
        "  - migration_1",
        "    migration_3: a: no documents to restore",
        "    migration_2: old: no documents to restore",
        "    migration_1: a: 1 restored as it was",
    ]
    assert content(db) == before
    assert "n_idx" in db["a"].index_information()


# -- without capture


@pytest.fixture
def increment(migrations: Migrations, db: Db) -> str:
    """A migration that increments `n` of five documents, with a down script."""
    db["numbers"].insert_many([{"_id": n, "n": 0} for n in range(5)])
    up, down = (update("numbers", {}, {"$inc": {"n": by}}) for by in (1, -1))
    return migrations.write(1, [up], [down])


def refused(cli: Cli, db: Db, migration: str, *because: str) -> None:
    """The exact rollback says why it cannot be, and does nothing."""
    everything = {name: list(db[name].find()) for name in db.list_collection_names()}
    result = cli("rollback", migration, "--exact")
    assert result.code == 1, result
    assert f"✗ Failed to rollback migration: {migration}" in result.lines
    message = error_of(result)
    for part in (*because, "cannot be rolled back exactly", "Nothing was done."):
        assert part in message
    assert "Traceback" not in result.stderr
    del everything["migrations_lock"]
    assert {name: list(db[name].find()) for name in everything} == everything


def test_without_capture_there_is_no_exact_rollback(cli: Cli, increment: str, db: Db) -> None:
    applied(cli, "--no-capture")
    assert not [name for name in db.list_collection_names() if name.startswith("migrations_undo")]
    refused(cli, db, increment, "--no-capture")
    result = cli("rollback", increment)
    assert result.code == 0, result
    assert "it is not known whether" in result.stderr
    [note] = [line for line in notes(result) if "operation 1 of the down" in line]
    assert "it is not known whether operation 1" in note
    assert "--exact" not in note
    assert db["numbers"].count_documents({"n": 0}) == 5


def test_json_says_that_it_cannot_be_told(cli: Cli, increment: str) -> None:
    applied(cli, "--no-capture")
    [migration] = as_json(cli("rollback", increment, "--json").stdout)["migrations"]
    assert migration["overreach"] == [{"index": 1, "collection": "numbers", "documents": None}]


def test_a_rollback_without_capture_cannot_be_undone(cli: Cli, third: Db) -> None:
    applied(cli)
    result = cli("rollback", THIRD, "--no-capture")
    assert result.code == 0, result
    [note] = notes(result)
    assert f"changed up to {BEFORE} documents" in note
    # What was not kept cannot be brought back, and nothing promises it.
    assert "--exact" not in note
    refused(cli, third, THIRD, "a run of it captured nothing (--no-capture)")


def test_an_operation_that_is_not_captured(cli: Cli, migrations: Migrations, db: Db) -> None:
    db["a"].insert_one({"_id": 1, "n": 0})
    first = update("a", {}, {"$inc": {"n": 1}})
    one = migrations.write(1, [first, {**first, "capture": False}])
    applied(cli)
    refused(cli, db, one, 'its operation 2 was not captured ("capture": false)')


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_capture_is_true_or_false(
    cli: Cli, migrations: Migrations, database_name: str, db: Db, value: object
) -> None:
    migrations.write(1, [{**delete("a", {}), "capture": value}])
    result = cli("apply")
    assert result.code == 1
    assert "capture" in error_of(result)
    assert "operation 1" in error_of(result)
    assert database_name not in db.client.list_database_names()


def test_a_migration_of_the_old_tool_has_nothing_to_undo(cli: Cli, increment: str, db: Db) -> None:
    assert cli("mark", increment, "--as", "applied").code == 0
    refused(cli, db, increment, "nothing was captured when it was applied")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["rollback", "--exact", "--from-file"], "not allowed with argument"),
        (["undrop", "--to", "new"], "--to needs the NAME"),
        (["purge", "--older-than", "30"], "30 is no age"),
        (["purge", "--older-than", "3y"], "the units are s, m, h, d and w"),
        (["purge", "--older-than", "-1d"], "expected one argument"),
        (["purge", "--older-than", "1.5d"], "1.5d is no age"),
        (["purge", "--older-than", "٣d"], "٣d is no age"),
        (["purge", "--older-than", "d"], "d is no age"),
        (["purge", "--older-than", "9999999999d"], "is no age"),
        (["purge", "--older-than", ""], "is no age"),
        (["purge", "a", "b"], "Unrecognized arguments: b"),
    ],
)
def test_wrong_usage(cli: Cli, database_name: str, db: Db, argv: list[str], says: str) -> None:
    result = cli(*argv)
    assert result.code == 2, result
    assert says in error_of(result)
    as_document = cli(*argv, "--json")
    assert as_document.code == 2
    assert says in as_json(as_document.stdout)["error"]["message"]
    assert database_name not in db.client.list_database_names()


def test_ages() -> None:
    def age(text: str) -> Any:
        return parse(["purge", "--older-than", text]).older_than

    assert [age(text) for text in ("0s", "90s", "2m", "3h", "30d", "2w")] == [
        *(0, 90, 120, 10_800, 2_592_000, 1_209_600)
    ]


def test_sizes_in_words() -> None:
    sizes = [0, 999, 1_000, 12_345_678, 999_949, 999_950, 2_500_000_000, 1_234_000_000_000_000]
    words = ["0 B", "999 B", "1.0 kB", "12.3 MB", "999.9 kB", "1.0 MB", "2.5 GB", "1,234.0 TB"]
    assert [size(each) for each in sizes] == words
    assert [counted(n, "run") for n in (0, 1, 1234)] == ["0 runs", "1 run", "1,234 runs"]
    runs = [{"migration": "b", "bytes": 1}, {"migration": "a", "bytes": 2}]
    assert list(by_migration([*runs, *runs])) == ["b: 2 B in 2 runs", "a: 4 B in 2 runs"]


def test_help_knows_them(cli: Cli) -> None:
    for command in ("apply", "rollback", "purge", "undrop"):
        assert "--lock-timeout" in cli(command, "--help").stdout
    overview = cli("--help").stdout.splitlines()
    for command in ("purge", "undrop"):
        assert any(each.strip().startswith(f"{command} ") for each in overview)


# -- status


def test_status_shows_what_is_retained(cli: Cli, third: Db) -> None:
    applied(cli)
    lines = cli("status").lines
    [total] = [line for line in lines if line.startswith("Retained")]
    retained = as_json(cli("status", "--json").stdout)["retained"]
    share = round(100 * retained["bytes"] / retained["data_bytes"])
    words = size(retained["bytes"])
    said = f"Retained for undo: {words} in 1 run"
    assert total == f"{said} ({share}% of the data); `status --retained` lists it"
    [run] = retained["runs"]
    assert run["bytes"] > 0
    listed = cli("status", "--retained").lines
    assert listed[-2:] == [
        f"{said} ({share}% of the data)",
        f"  - {THIRD}: {size(run['bytes'])} in 1 run",
    ]
    assert {name: run[name] for name in ("migration", "name", "direction", "exact")} == {
        "migration": THIRD,
        "name": "update_document_schema",
        "direction": "up",
        "exact": False,
    }
    assert abs(datetime.fromisoformat(run["at"]) - datetime.now(timezone.utc)) < timedelta(hours=1)
    assert retained["large"] is False
    third["users"].insert_one({"_id": "big", "text": "x" * 20 * retained["bytes"]})
    [total] = [line for line in cli("status").lines if line.startswith(said)]
    # The data is twenty times what is retained, and a little more.
    assert any(f"{said} ({n}% of the data);" in total for n in (4, 5))
    assert not [line for line in cli("status", "--quiet").lines if "Retained" in line]


def test_a_purge_is_suggested_from_100_mb_on(cli: Cli, migrations: Migrations, db: Db) -> None:
    for number, documents in enumerate((6, 1), start=1):
        name = f"large_{number}"
        db[name].insert_many([{"_id": n, "x": bytes(15_000_000)} for n in range(documents)])
        migrations.write(number, [{"type": "drop_collection", "collection": name}], [])
    applied(cli, "migration_1")
    assert as_json(cli("status", "--json").stdout)["retained"]["large"] is False
    assert "`purge" not in cli("status").stdout
    applied(cli, "migration_2")
    assert as_json(cli("status", "--json").stdout)["retained"]["large"] is True
    *_, total, suggestion = cli("status").lines
    assert total.startswith("Retained for undo: 105.0 MB in 2 runs")
    assert suggestion.startswith("  `purge --older-than 30d` frees ")


def test_status_of_a_database_without_captures(cli: Cli, increment: str) -> None:
    del increment
    applied(cli, "--no-capture")
    assert "Retained" not in cli("status").stdout
    assert cli("status", "--retained").lines[-1] == "Retained for undo: nothing"
    retained = as_json(cli("status", "--json").stdout)["retained"]
    assert retained == {"bytes": 0, "data_bytes": 0, "large": False, "runs": []}


# -- purge


def older(db: Db, migration: str, days: int) -> None:
    """Makes a migration's captures so many days older."""
    at = datetime.now(timezone.utc) - timedelta(days=days)
    done = db["migrations_undo"].update_many({"migration": migration}, {"$set": {"at": at}})
    assert done.matched_count > 0


def undo_collections(db: Db) -> list[str]:
    prefixes = "migrations_undo_", "migrations_kept_"
    return [name for name in db.list_collection_names() if name.startswith(prefixes)]


@pytest.fixture
def two(cli: Cli, migrations: Migrations, db: Db) -> tuple[str, str]:
    """Two applied migrations: one that changed documents, one that dropped a collection."""
    db["numbers"].insert_many([{"_id": n, "n": 0} for n in range(100)])
    db["old"].insert_many([{"_id": n} for n in range(3)])
    first = migrations.write(1, [update("numbers", {}, {"$inc": {"n": 1}})], name="first")
    second = migrations.write(2, [{"type": "drop_collection", "collection": "old"}], name="second")
    applied(cli)
    assert db["old"].name not in db.list_collection_names()
    return first, second


def test_purge_frees_everything(cli: Cli, two: tuple[str, str], db: Db) -> None:
    retained = as_json(cli("status", "--json").stdout)["retained"]
    sizes = {run["migration"]: run["bytes"] for run in retained["runs"]}
    assert len(undo_collections(db)) >= 2
    result = cli("purge")
    assert result.code == 0, result
    assert [line for line in result.lines if not line.startswith("Target: ")] == [
        f"✓ Purged 2 captures ({size(sum(sizes.values()))})",
        *(f"  - {each}: {size(sizes[each])} in 1 run" for each in two),
    ]
    assert undo_collections(db) == []
    assert db["migrations_undo"].count_documents({}) == 0
    for migration in two:
        refused(cli, db, migration, "what was captured has been purged")
    logged = list(db["migrations_history"].find({"event": "purged"}))
    assert [each["migration"] for each in logged] == list(two)
    again = cli("purge")
    assert (again.code, again.lines[-1]) == (0, "Nothing to purge")
    assert "Nothing is set aside" in cli("undrop").lines


def test_purge_of_one(cli: Cli, two: tuple[str, str], db: Db) -> None:
    first, second = two
    document = as_json(cli("purge", "first", "--json").stdout)
    assert (document["command"], document["ok"], document["kept"]) == ("purge", True, [])
    [run] = document["purged"]
    assert (run["migration"], run["direction"], run["exact"]) == (first, "up", False)
    assert document["bytes"] == run["bytes"] > 0
    assert cli("rollback", second, "--exact").code == 0
    assert db["old"].count_documents({}) == 3


def test_purge_of_what_is_old(cli: Cli, two: tuple[str, str], db: Db) -> None:
    first, second = two
    older(db, first, days=31)
    older(db, second, days=29)
    nothing = cli("purge", "--older-than", "5w")
    assert (nothing.code, nothing.lines[-1]) == (0, "Nothing to purge")
    nothing = cli("purge", second, "--older-than", "30d")
    assert nothing.lines[-1] == "Nothing to purge"
    result = cli("purge", "--older-than", "30d")
    assert [line.split(":")[0] for line in result.lines[-1:]] == [f"  - {first}"]
    assert [each["migration"] for each in listed(cli)] == [second]


def test_purge_of_an_unknown_migration(cli: Cli, two: tuple[str, str], db: Db) -> None:
    del two
    result = cli("purge", "migration_404")
    assert result.code == 1
    assert "migration_404" in error_of(result)
    assert len(undo_collections(db)) >= 2
    assert as_json(cli("purge", "migration_404", "--json").stdout)["error"]["type"] == (
        "UnknownMigrationError"
    )


def test_purge_keeps_what_an_unfinished_migration_needs(
    cli: Cli, migrations: Migrations, db: Db
) -> None:
    db["numbers"].insert_many([{"_id": n, "n": 0} for n in range(10)])
    before = content(db)
    double = {"_id": 1}
    failing = {"type": "insert_documents", "collection": "b", "documents": [double, double]}
    one = migrations.write(1, [update("numbers", {}, {"$set": {"n": 1}}), failing])
    assert cli("apply").code == 1
    assert content(db) != before
    result = cli("purge")
    assert result.code == 0, result
    assert "Nothing to purge" in result.lines
    [kept] = [line for line in result.lines if line.startswith("  Kept: ")]
    assert kept.startswith(f"  Kept: {one}: ")
    assert "unfinished" in kept
    document = as_json(cli("purge", one, "--json").stdout)
    assert [each["migration"] for each in document["kept"]] == [one]
    assert (document["purged"], document["bytes"]) == ([], 0)
    # And so it can go back.
    assert cli("rollback", one, "--exact").code == 0
    assert content(db) == before
    assert cli("purge").lines[-1].startswith(f"  - {one}: ")


# -- undrop


def test_nothing_is_set_aside(cli: Cli, database_name: str, db: Db) -> None:
    result = cli("undrop")
    assert result.code == 0
    assert result.lines[-1] == "Nothing is set aside"
    assert as_json(cli("undrop", "--json").stdout) == {
        "command": "undrop",
        "ok": True,
        "dropped": [],
    }
    assert database_name not in db.client.list_database_names()


@pytest.fixture
def dropped(cli: Cli, migrations: Migrations, db: Db) -> dict[str, dict[str, Any]]:
    """One of each kind set aside, by kind."""
    db["users"].insert_many([{"_id": n, "email": f"{n}@school.example"} for n in range(15)])
    db["users"].create_index("email", name="email_idx", unique=True)
    db["old"].insert_many([{"_id": n, "at": datetime.now(timezone.utc)} for n in range(3)])
    db["old"].create_index("at", name="at_idx", expireAfterSeconds=3600)
    db.create_collection("readings", timeseries={"timeField": "t", "metaField": "m"})
    db["readings"].insert_many([{"t": datetime(2026, 1, n, tzinfo=timezone.utc)} for n in (1, 2)])
    db.create_collection("adults", viewOn="users", pipeline=[{"$match": {"age": {"$gt": 17}}}])
    up: list[Operation] = [
        {"type": "drop_collection", "collection": "old"},
        {"type": "drop_collection", "collection": "readings"},
        {"type": "drop_collection", "collection": "adults"},
        {"type": "drop_index", "collection": "users", "index": "email_idx"},
        delete("users", {"_id": {"$lt": 12}}),
    ]
    migrations.write("003", up, name="tidy_up")
    applied(cli)
    assert set(content(db)) == {"users"}
    return {each["kind"]: each for each in listed(cli)}


Entries = Mapping[str, Mapping[str, Any]]


def test_the_list(cli: Cli, dropped: Entries, db: Db) -> None:
    lock = lock_of(db)
    result = cli("undrop", "--lock-timeout", "1")
    assert result.code == 0
    at = result.lines.index("Set aside:")
    lines = result.lines[at + 1 :]
    named = [line.split()[1].removesuffix(":") for line in lines]
    assert named == [each["name"] for each in dropped.values()]
    what = ["collection old", "time-series collection readings", "view adults"]
    what += ["index email_idx of users", "about 12 documents of users"]
    for line, name, words in zip(lines, named, what, strict=True):
        assert line.startswith(f"  - {name}: {words}, by {THIRD} (")
    assert "3 documents, " in lines[0]
    assert lock_of(db) == lock, "listing takes no lock"
    assert [list(each) for each in dropped.values()] == [
        [
            *("name", "migration", "direction", "kind", "collection"),
            *("index", "documents", "bytes", "at"),
        ]
    ] * 5
    assert [each["documents"] for each in dropped.values()] == [3, None, None, None, 12]
    assert dropped["index"]["index"] == "email_idx"
    assert all(each["migration"] == THIRD for each in dropped.values())


def test_undrop_a_collection(cli: Cli, dropped: Entries, db: Db) -> None:
    result = cli("undrop", dropped["collection"]["name"])
    assert result.code == 0, result
    assert result.lines[-1] == f"✓ Brought back collection old (set aside by {THIRD})"
    assert db["old"].count_documents({}) == 3
    assert db["old"].index_information()["at_idx"]["expireAfterSeconds"] == 3600
    assert "collection" not in {each["kind"] for each in listed(cli)}
    [logged] = db["migrations_history"].find({"event": "undropped"})
    assert (logged["migration"], logged["collection"]) == (THIRD, "old")


@pytest.mark.parametrize("kind", ["collection", "time-series collection", "view"])
def test_undrop_overwrites_nothing(cli: Cli, dropped: Entries, db: Db, kind: str) -> None:
    entry = dropped[kind]
    name, collection = entry["name"], entry["collection"]
    db[collection].insert_one({"_id": "new"})
    taken = cli("undrop", name)
    assert taken.code == 1
    assert f"`undrop {name} --to NEW_NAME`" in error_of(taken)
    assert list(db[collection].find()) == [{"_id": "new"}]
    document = as_json(cli("undrop", name, "--to", "again", "--json").stdout)
    assert (document["ok"], document["to"], document["documents"]) == (True, "again", None)
    assert document["entry"]["name"] == name
    [standing] = db.list_collections(filter={"name": "again"})
    assert standing["type"] == kind.removesuffix(" collection").replace("-", "")
    assert list(db[collection].find()) == [{"_id": "new"}]
    if kind == "time-series collection":
        assert db["again"].count_documents({}) == 2


def test_undrop_says_under_which_name(cli: Cli, dropped: Entries) -> None:
    result = cli("undrop", dropped["collection"]["name"], "--to", "again")
    assert result.lines[-1] == f"✓ Brought back collection old as again (set aside by {THIRD})"


def test_undrop_an_index(cli: Cli, dropped: Entries, db: Db) -> None:
    result = cli("undrop", dropped["index"]["name"])
    assert result.lines[-1] == f"✓ Brought back index email_idx of users (dropped by {THIRD})"
    assert db["users"].index_information()["email_idx"]["unique"] is True


def test_undrop_documents(cli: Cli, dropped: Entries, db: Db) -> None:
    db["users"].insert_many([{"_id": n, "email": None} for n in range(3)])
    name = dropped["documents"]["name"]
    result = cli("undrop", name)
    assert result.code == 0, result
    assert result.lines[-1] == (
        "✓ Brought back 9 documents into users, 3 were left out: others have the same _id"
    )
    assert db["users"].count_documents({"email": None}) == 3
    assert db["users"].count_documents({}) == 15
    document = as_json(cli("undrop", name, "--to", "copy", "--json").stdout)
    assert (document["to"], document["documents"], document["standing"]) == ("copy", 12, 0)
    assert db["copy"].count_documents({}) == 12


def test_undrop_of_an_unknown_name(cli: Cli, dropped: Entries) -> None:
    del dropped
    result = cli("undrop", "0000-1")
    assert result.code == 1
    assert error_of(result) == (
        'There is nothing to bring back under the name "0000-1". `undrop` lists the names.'
    )


@pytest.mark.parametrize("to", ["migrations_mine", "system.x", "a$b", ""])
def test_undrop_under_a_name_that_cannot_be(cli: Cli, dropped: Entries, to: str) -> None:
    result = cli("undrop", dropped["collection"]["name"], "--to", to)
    assert result.code == 2, result
    assert [each["kind"] for each in listed(cli)] == list(dropped)


def test_an_exact_rollback_after_undrop(cli: Cli, dropped: Entries, db: Db) -> None:
    """What was brought back by hand is met, and stays as it is."""
    assert cli("undrop", dropped["collection"]["name"]).code == 0
    result = cli("rollback", THIRD, "--exact")
    assert result.code == 0, result
    assert db["old"].count_documents({}) == 3
    assert db["users"].count_documents({}) == 15
    assert set(content(db)) == {"users", "old", "readings", "adults"}


# -- the lock and the logs


def test_who_holds_the_lock_is_awaited_by_what_writes_only(
    cli: Cli, migrations: Migrations, dropped: Entries, db: Db
) -> None:
    db["numbers"].insert_many([{"_id": n} for n in range(50_000)])
    migrations.write("004", [update("numbers", {}, {"$inc": {"n": 1}})])
    holder = start_holding(db, lambda: cli.start("apply"))
    holder.send_signal(signal.SIGSTOP)
    for arguments in (["purge"], ["undrop", dropped["view"]["name"]]):
        held = cli(*arguments, "--lock-timeout", "0")
        assert held.code == 4, held
        assert "Another run holds the lock" in error_of(held)
    assert cli("undrop").code == 0
    assert cli("status").code == 0
    holder.send_signal(signal.SIGCONT)
    assert cli.finish(holder).code == 0


def test_the_audit_log_has_them(cli: Cli, dropped: Entries, tmp_path: Path) -> None:
    audit = tmp_path / "audit.log"
    env = {"EDULEARN_AUDIT_LOG": str(audit)}
    assert cli("undrop", env=env).code == 0
    assert not audit.exists(), "listing writes nothing"
    assert cli("undrop", dropped["view"]["name"], env=env).code == 0
    assert cli("purge", env=env).code == 0
    events = [json.loads(line) for line in audit.read_text().splitlines()]
    seen = [(each["command"], each["event"]) for each in events]
    assert ("undrop", "undropped") in seen
    assert ("purge", "purged") in seen
    assert all(each["migration"] == THIRD for each in events if each["event"] == "purged")


# -- from Python

Call = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def call(
    request: pytest.FixtureRequest, server_uri: str, database_name: str, migrations: Migrations
) -> Call:
    """Calls a verb of the typed API, `Migrator`'s or `AsyncMigrator`'s, and answers its result."""
    migrations.directory.mkdir(exist_ok=True)
    kind = Migrator if request.param == "sync" else AsyncMigrator
    migrator = kind(server_uri, database_name, migrations_dir=migrations.directory)

    async def run(verb: str, *arguments: object, **options: object) -> Any:
        answer = getattr(migrator, verb)(*arguments, **options)
        return await answer if request.param == "async" else answer

    return run


async def test_typed_exact_rollback(call: Call, third: Db) -> None:
    before = content(third)
    report = await call("apply")
    assert [(each.exact, each.undone, each.overreach) for each in report.migrations] == [
        (False, (), ())
    ]
    assert report.migrations[0].operations[0].undone is None
    [plain] = (await call("rollback")).migrations
    assert plain.overreach == (Overreach(index=1, collection="users", documents=BEFORE),)
    assert plain.beyond == plain.overreach and Beyond is Overreach
    [exact] = (await call("rollback", THIRD, exact=True)).migrations
    assert exact.exact
    assert [each.undone for each in exact.operations] == [
        Undone(restored=n, restored_with_edits=0, gone=0, made_since=0, conflicts=0)
        for n in (BEFORE + GIVEN, GIVEN)
    ]
    assert exact.undone == (
        CollectionUndone(
            collection="users",
            restored=BEFORE + GIVEN + GIVEN,
            restored_with_edits=0,
            gone=0,
            made_since=0,
            conflicts=0,
        ),
    )
    assert content(third) == before
    retained = (await call("status")).retained
    assert [(each.direction, each.exact) for each in retained.runs] == [
        ("up", False),
        ("down", False),
        ("down", True),
    ]
    assert retained.bytes > sum(each.bytes for each in retained.runs) > 0
    assert not retained.large and retained.data_bytes > 0


async def test_typed_capture_is_off(call: Call, third: Db) -> None:
    await call("apply", capture=False)
    with pytest.raises(WrongStateError, match="--no-capture"):
        await call("rollback", exact=True)
    assert third["users"].count_documents({"role": "student"}) == BEFORE + GIVEN
    [plain] = (await call("rollback", capture=False)).migrations
    assert plain.overreach == (Overreach(index=1, collection="users", documents=None),)
    assert (await call("status")).retained.runs == ()


async def test_typed_purge(call: Call, two: tuple[str, str], db: Db) -> None:
    older(db, two[0], days=2)
    report = await call("purge", older_than=timedelta(days=1))
    assert isinstance(report, PurgeReport)
    assert [each.migration for each in report.purged] == [two[0]]
    assert report.kept == ()
    assert report.bytes == report.purged[0].bytes > 0
    assert isinstance(report.purged[0].at, datetime)
    report = await call("purge", "second")
    assert [each.name for each in report.purged] == ["second"]
    assert await call("purge") == PurgeReport(purged=(), kept=(), bytes=0)
    with pytest.raises(UnknownMigrationError, match="migration_404"):
        await call("purge", "migration_404")
    with pytest.raises(SettingsError, match="older_than"):
        await call("purge", older_than=timedelta(seconds=-1))


async def test_typed_undrop(call: Call, dropped: Entries, db: Db) -> None:
    entries = await call("dropped")
    assert all(isinstance(each, DroppedEntry) for each in entries)
    assert [each.kind for each in entries] == list(dropped)
    assert isinstance(entries[0].at, datetime)
    report = await call("undrop", entries[0].name)
    assert (report.entry, report.to) == (entries[0], "old")
    assert (report.documents, report.standing) == (None, None)
    report = await call("undrop", entries[-1].name, to="copy")
    assert (report.to, report.documents, report.standing) == ("copy", 12, 0)
    assert db["copy"].count_documents({}) == 12
    # Once more, as after a kill: it is back. Under another name nothing is left to bring back.
    assert (await call("undrop", entries[0].name)).to == "old"
    with pytest.raises(UnknownMigrationError, match="undrop"):
        await call("undrop", entries[0].name, to="another")
    db["adults"].insert_one({"_id": 1})
    with pytest.raises(WrongStateError, match="nothing is overwritten"):
        await call("undrop", dropped["view"]["name"])


def test_a_purge_that_is_stopped_tells_what_it_freed(
    migrator: Migrator, migrations: Migrations, two: tuple[str, str], db: Db
) -> None:
    [kept] = [name for name in undo_collections(db) if name.startswith("migrations_kept_")]
    db["older"].insert_one({"_id": 1})
    third = migrations.write(3, [{"type": "drop_collection", "collection": "older"}])
    migrator.apply()
    stop, kinds = StopToken(), []

    def watch(event: Event) -> None:
        kinds.append(event.kind)

    with ThreadPoolExecutor(1) as pool, closed_gate(db, kept) as reached:
        purged = pool.submit(migrator.purge, progress=watch, stop=stop)
        reached()
        stop.set()
    with pytest.raises(InterruptedRunError) as stopped:
        purged.result()
    report = stopped.value.report
    assert isinstance(report, PurgeReport)
    assert tuple(each.migration for each in report.purged) == two
    assert kinds.count("purged") == 2
    assert [each.migration for each in migrator.purge().purged] == [third]
    assert undo_collections(db) == []


def test_an_interrupted_rollback_is_carried_on_and_not_rolled_back(
    migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    db["c"].insert_many([{"_id": n} for n in range(30_000)])
    migrations.write(
        1, [update("c", {}, {"$set": {"a": 1}})], [update("c", {}, {"$unset": {"a": 1}})]
    )
    migrator.apply()
    stop = StopToken()

    def watch(event: Event) -> None:
        if event.kind == "operation_started":
            stop.set()

    with pytest.raises(InterruptedRunError) as stopped:
        migrator.rollback(progress=watch, stop=stop)
    assert str(stopped.value).endswith(" Run the same command again to carry on.")
    migrator.rollback()
    assert db["c"].count_documents({"a": 1}) == 0


def test_events_of_undrop(migrator: Migrator, dropped: Entries) -> None:
    events: list[Event] = []
    migrator.undrop(dropped["view"]["name"], progress=events.append)
    [event] = [each for each in events if each.kind == "undropped"]
    assert event.migration == THIRD
    assert "view of adults" in event.message


def test_what_somebody_wrote_meanwhile_is_not_mistaken(
    migrator: Migrator, migrations: Migrations, db: Db
) -> None:
    """The same number in another type is another value, and stays."""
    db["numbers"].insert_many([{"_id": n, "n": 1} for n in range(2)])
    migrations.write(1, [update("numbers", {}, {"$set": {"n": 2}})])
    migrator.apply()
    db["numbers"].update_one({"_id": 0}, {"$set": {"n": Int64(2)}})
    [run] = migrator.rollback(exact=True).migrations
    [counts] = run.undone
    assert (counts.restored, counts.conflicts) == (1, 1)
    assert [type(each["n"]) for each in db["numbers"].find().sort("_id", 1)] == [Int64, int]
