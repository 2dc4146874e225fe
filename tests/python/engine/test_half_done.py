"""What is failed, half applied, rolled back, without a file, or nobody's work of ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

if TYPE_CHECKING:
    from pymongo.database import Database

    from conftest import Cli, Migrations

    Db = Database[dict[str, Any]]

SET = {
    "type": "update_documents",
    "collection": "users",
    "filter": {},
    "update": {"$set": {"nick": "new"}},
}
UNSET = {
    "type": "update_documents",
    "collection": "users",
    "filter": {},
    "update": {"$unset": {"nick": ""}},
}
ADD = {
    "type": "update_documents",
    "collection": "users",
    "filter": {},
    "update": {"$inc": {"n": 1}},
}
TAKE = {
    "type": "update_documents",
    "collection": "users",
    "filter": {},
    "update": {"$inc": {"n": -1}},
}
FAILS = {
    "type": "update_documents",
    "collection": "users",
    "filter": {},
    "update": {"$inc": {"text": 1}},
}


@pytest.fixture
def users(db: Db) -> list[dict[str, Any]]:
    """Three users that the operations above can work on."""
    users = [{"_id": n, "n": 0, "nick": f"n{n}", "text": "t"} for n in range(3)]
    db["users"].insert_many(users)
    return users


def _all(db: Db) -> list[dict[str, Any]]:
    return list(db["users"].find(sort=[("_id", 1)]))


def test_a_rollback_of_everything_begins_with_the_failed_one(
    cli: Cli, db: Db, migrations: Migrations, users: list[dict[str, Any]]
) -> None:
    first = migrations.write(1, up=[ADD], down=[TAKE])
    second = migrations.write(2, up=[SET, FAILS], down=[UNSET])
    assert cli("apply").code == 1
    for how in ((), ("--exact",)):
        dry = json.loads(cli("rollback", *how, "--dry-run", "--json").stdout)
        assert [each["id"] for each in dry["migrations"]] == [second, first]
    done = cli("rollback")
    assert done.code == 0
    assert done.lines.index(f"  - {second}") < done.lines.index(f"  - {first}")
    assert f"Beginning with {second}" in done.stderr
    assert _all(db) == users


def test_what_was_not_done_is_not_undone(
    cli: Cli, db: Db, migrations: Migrations, users: list[dict[str, Any]]
) -> None:
    migration = migrations.write(1, up=[FAILS, SET], down=[UNSET])
    for options in ((), ("--no-capture",)):
        assert cli("apply", *options).code == 1
        done = cli("rollback", migration)
        assert done.code == 0
        assert f"✓ Rolled back migration: {migration}" in done.lines
        assert "nothing to undo" in done.stdout
        assert _all(db) == users
        assert cli("mark", migration, "--as", "pending").code == 0
    # Of this one something was done, and nothing says what.
    other = migrations.write(2, up=[ADD, FAILS], down=[UNSET])
    assert cli("apply", other, "--no-capture").code == 1
    refused = cli("rollback", other)
    assert refused.code == 1
    assert "--from-file" in refused.stdout and "--as rolled_back" in refused.stdout
    assert [each["nick"] for each in _all(db)] == ["n0", "n1", "n2"]
    assert cli("rollback", other, "--from-file").code == 0


def test_rolled_back_migrations_are_named(
    cli: Cli, migrations: Migrations, users: list[dict[str, Any]]
) -> None:
    assert users
    first = migrations.write(1, up=[FAILS], down=[])
    assert cli("apply").code == 1
    assert cli("rollback", first).code == 0
    migrations.write(1, up=[ADD], down=[TAKE])
    migrations.write(2, up=[ADD], down=[TAKE])
    done = cli("apply")
    assert done.code == 0
    assert f"Passed over {first}" in done.stdout and f"`apply {first}`" in done.stdout
    assert json.loads(cli("apply", "--json").stdout)["passed_over"] == [first]
    found = cli("check")
    assert found.code == 3
    assert any(line.startswith(f"✗ rolled_back: {first}") for line in found.lines)
    assert cli("check", "--allow-rolled-back").code == 0
    assert cli("apply", first).code == 0
    assert cli("check").code == 0


def test_a_failed_migration_without_a_file_has_ways_out(
    cli: Cli, db: Db, migrations: Migrations, users: list[dict[str, Any]]
) -> None:
    migration = migrations.write(1, up=[ADD, FAILS], down=[TAKE])
    assert cli("apply").code == 1
    (migrations.directory / f"{migration}_step_1.json").unlink()
    migrations.write(2, up=[{"type": "create_collection", "collection": "c"}], down=[])
    again = cli("apply")
    assert again.code == 1
    for text in (again.stdout, cli("check").stdout):
        assert f"`rollback {migration}`" in text
        assert f"`mark {migration} --as rolled_back`" in text
    assert cli("rollback", migration).code == 0
    assert _all(db) == users
    assert cli("apply").code == 0
    assert cli("check").code == 0


def test_a_failed_rollback_names_other_ways(
    cli: Cli, db: Db, migrations: Migrations, users: list[dict[str, Any]]
) -> None:
    migration = migrations.write(1, up=[ADD], down=[TAKE, FAILS])
    assert cli("apply").code == 0
    failed = cli("rollback", migration)
    assert failed.code == 1
    assert "apply again" not in failed.stdout
    for text in (failed.stdout, cli("apply").stdout):
        assert f"`rollback {migration} --from-file`" in text
        assert f"`rollback {migration} --exact`" in text
    assert cli("rollback", migration, "--exact").code == 0
    assert _all(db) == users


def test_an_untouched_template_is_refused(cli: Cli, db: Db, migrations: Migrations) -> None:
    made = json.loads(cli("create", "later", "--json").stdout)
    migrations.write(1, up=[{"type": "create_collection", "collection": "c"}], down=[])
    refused = cli("apply")
    assert refused.code == 1
    assert made["path"].rsplit("/", 1)[1] in refused.stdout and '"empty": true' in refused.stdout
    assert db.list_collection_names() == []
    file = migrations.directory / made["path"].rsplit("/", 1)[1]
    file.write_text(json.dumps({**json.loads(file.read_text()), "empty": True}))
    assert cli("apply").code == 0
    assert "  Applied: 2" in cli("status").lines


FOREIGN: dict[str, list[dict[str, Any]]] = {
    "migrate-mongoose": [{"name": "add", "dateCreated": 1, "state": "up", "__v": 0}],
    "laravel": [{"migration": "2024_01_01_x", "batch": 1}],
    "umzug": [{"migrationName": "1.js"}],
    "meteor": [{"_id": "control", "locked": False, "version": 3}],
    "an application": [{"_id": ObjectId(), "species": "stork", "status": "pending"}],
}


@pytest.mark.parametrize("tool", FOREIGN)
def test_another_tools_collection_is_left_alone(
    cli: Cli, db: Db, migrations: Migrations, tool: str
) -> None:
    db["migrations"].insert_many([dict(each) for each in FOREIGN[tool]])
    before = list(db["migrations"].find())
    migration = migrations.write(1, up=[{"type": "create_collection", "collection": "c"}], down=[])
    for command in (
        ("apply",),
        ("apply", migration),
        ("rollback",),
        ("apply", "--dry-run"),
        ("mark", migration, "--as", "applied"),
        ("purge",),
        ("unlock", "--force"),
        ("assessment-migrate",),
        ("assessment-rollback",),
    ):
        refused = cli(*command)
        assert refused.code == 5, command
        assert "--ledger" in refused.stdout, command
    assert cli("backup").code == 0
    assert cli("restore", "latest").code == 5
    assert db.list_collection_names() == ["migrations"]
    assert list(db["migrations"].find()) == before
    status = cli("status")
    assert status.code == 0
    assert "--ledger" in status.stdout and "  Total migrations: 1" in status.lines
    check = cli("check")
    assert check.code == 3
    assert any(line.startswith("✗ foreign_ledger: ") for line in check.lines)
    assert cli("apply", "--ledger", "ours").code == 0
    assert list(db["migrations"].find()) == before


def test_a_wrong_directory_is_named(cli: Cli, db: Db) -> None:
    db["users"].insert_one({"_id": 1})
    for command, code in (("apply", 0), ("status", 0), ("check", 3), ("lint", 1)):
        done = cli(command)
        assert done.code == code, command
        assert str(cli.directory / "migrations") in done.stdout + done.stderr, command
    assert "no_files" in cli("check").stdout
    assert cli("apply").stderr.count("There is no directory") == 1


def test_a_backup_of_nothing_is_a_failure(cli: Cli, db: Db) -> None:
    failed = cli("backup")
    assert failed.code == 1
    assert db.name in failed.stdout
    assert not (cli.directory / "backups").exists()


def test_keeping_no_backup_is_refused(cli: Cli, db: Db) -> None:
    db["users"].insert_one({"_id": 1})
    assert cli("backup").code == 0
    assert cli("backups", "prune", "--keep", "0").code == 2
    assert len(json.loads(cli("backups", "list", "--json").stdout)) == 1


def test_a_rollback_repeated_after_a_kill_is_done(
    cli: Cli, db: Db, migrations: Migrations, users: list[dict[str, Any]]
) -> None:
    migration = migrations.write(1, up=[ADD], down=[TAKE])
    assert cli("apply").code == 0
    assert cli("rollback", migration).code == 0
    assert cli("rollback", migration).code == 1
    assert cli("apply", migration).code == 0
    process = cli.start("rollback", migration)
    assert cli.finish(process).code == 0
    # The lease as it stands when the run is killed before it gives it back.
    run = db["migrations"].find_one({"_id": migration}) or {}
    owner = {"run": run["run"]["run"], "host": "gone", "pid": 1, "command": "rollback"}
    db["migrations_lock"].update_one({}, {"$set": {"owner": owner}})
    again = cli("rollback", migration)
    assert again.code == 0
    assert f"✓ Rolled back migration: {migration}" in again.lines
    assert _all(db) == users
    assert cli("rollback", migration).code == 1


def test_debug_says_where_settings_come_from(cli: Cli, db: Db, migrations: Migrations) -> None:
    migrations.directory.mkdir()
    (cli.directory / ".env").write_text("EDULEARN_BACKUP_DIR=elsewhere\n")
    done = cli("apply", "--ledger", "ours", env={"LOG_LEVEL": "debug"})
    assert done.code == 0
    for text in (
        f"DB_NAME = {db.name} (environment)",
        "EDULEARN_BACKUP_DIR = elsewhere (.env)",
        "EDULEARN_LEDGER = ours (--ledger)",
        "EDULEARN_MIGRATIONS_DIR = migrations (default)",
        "Server: MongoDB ",
        "replica set",
        str(cli.directory),
    ):
        assert text in done.stderr, text
