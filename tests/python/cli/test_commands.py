"""The command line as its users and their scripts meet it, each command a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.database import Database

from conftest import ROOT, Cli, Migrations, Operation, Result, login
from edulearn_migrate.local import LocalServer
from harness import insert, operations_done, until

Db = Database[dict[str, Any]]

# What a big migration works through: long enough to be met in the middle, also on a fast machine.
MANY = 100_000
INCREMENT: Operation = {
    "type": "update_documents",
    "collection": "numbers",
    "filter": {},
    "update": {"$inc": {"n": 1}},
}


def delete(collection: str) -> Operation:
    return {"type": "delete_documents", "collection": collection, "filter": {}}


def in_order(lines: list[str], *wanted: str) -> None:
    """Each line stands whole on a line of its own, one after the other."""
    at = -1
    for line in wanted:
        assert line in lines[at + 1 :], f"no line {line!r} in its place in {lines}"
        at = lines.index(line, at + 1)


def parsed(result: Result) -> dict[str, Any]:
    """The one JSON document that is all of standard output."""
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


@pytest.fixture
def steps(migrations: Migrations) -> Migrations:
    """Three migrations that insert a document each; 003 has no down script."""
    migrations.write(1, [insert("a", {"_id": 1})], [delete("a")], name="first")
    migrations.write(2, [insert("b", {"_id": 1})], [delete("b")], name="second")
    migrations.write(3, [insert("c", {"_id": 1})], name="third")
    return migrations


# -- the documented command lines


@pytest.fixture
def shell(cli: Cli) -> Callable[[str], Result]:
    """Runs a command line as it is typed, in a directory like the repository's root."""
    shutil.copy(ROOT / "migration_cli.py", cli.directory)
    shutil.copytree(ROOT / "migrations", cli.directory / "migrations")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return lambda line: cli(command=("sh", "-c", line), env={"PATH": path})


def test_the_documented_command_lines(shell: Callable[[str], Result], db: Db) -> None:
    def run(line: str, *wanted: str) -> list[str]:
        result = shell(f"python migration_cli.py {line}")
        assert result.code == 0, result
        in_order(result.lines, *wanted)
        return result.lines

    first, second = "add_user_preferences_collection", "add_performance_indexes"
    third = "update_document_schema"
    counts = "  Total migrations: 3", "  Applied: {}", "  Pending: {}", "  Rolled back: {}"

    def status(applied: int, pending: int, rolled_back: int, *history: str) -> None:
        numbers = (3, applied, pending, rolled_back)
        wanted = [each.format(n) for each, n in zip(counts, numbers, strict=True)]
        run("status", "Migration Status:", *wanted, "Migration History:", *history)

    status(0, 3, 0, f"  ○ {first} - pending", f"  ○ {second} - pending", f"  ○ {third} - pending")
    run("apply migration_001", "✓ Applied migration: migration_001")
    status(1, 2, 0, f"  ✓ {first} - applied", f"  ○ {second} - pending")
    run("apply", "✓ Applied 2 migrations:", "  - migration_002", "  - migration_003")
    run("apply", "No pending migrations to apply")
    run("apply migration_001", "✓ Applied migration: migration_001")
    run("rollback migration_002", "✓ Rolled back migration: migration_002")
    status(2, 0, 1, f"  ✓ {first} - applied", f"  ✗ {second} - rolled_back")
    run("rollback", "✓ Rolled back 2 migrations:", "  - migration_003", "  - migration_001")
    run("rollback", "No applied migrations to rollback")
    assert db.list_collection_names(filter={"name": {"$not": {"$regex": "^migrations"}}}) == [
        "assessments"
    ]

    lines = run(
        'create add_user_preferences --description "Add user preferences collection"',
        "  Name: add_user_preferences",
        "  Description: Add user preferences collection",
    )
    created = re.fullmatch(r"✓ Created migration: (migration_\d{14})", lines[0])
    assert created
    assert lines[3].startswith("  File: /")
    assert lines[3].endswith(f"/migrations/{created[1]}_add_user_preferences.json")
    # As the template is, it would do nothing: somebody writes its operations first.
    refused = shell(f"python migration_cli.py apply {created[1]}")
    assert refused.code == 1 and "no operations yet" in refused.stdout
    file = Path(lines[3].removeprefix("  File: "))
    content = json.loads(file.read_text())
    content["up"]["operations"] = [{"type": "create_collection", "collection": "preferences"}]
    file.write_text(json.dumps(content))
    run(f"apply {created[1]}", f"✓ Applied migration: {created[1]}")


def test_no_command_is_help_and_fails(cli: Cli) -> None:
    result = cli()
    assert result.code == 1
    assert result.stdout.startswith("usage: ")
    assert "examples:" in result.stdout


def test_as_a_module_and_as_a_script(cli: Cli) -> None:
    for command in (
        (sys.executable, "-m", "edulearn_migrate.cli"),
        (str(Path(sys.executable).parent / "edulearn-migrate"),),
    ):
        if not Path(command[0]).exists():
            continue
        result = cli("status", command=command)
        assert result.code == 0
        [said] = result.stderr.splitlines()
        assert said.startswith(f"There is no directory {cli.directory / 'migrations'}")
        in_order(result.lines, "Migration Status:", "  Total migrations: 0", "Migration History:")


# -- lines and exit codes


def test_status_has_a_line_for_every_state(cli: Cli, steps: Migrations, db: Db) -> None:
    steps.write(4, [insert("d", {"_id": 1}), insert("d", {"_id": 1})], name="fourth")
    assert cli("apply", "migration_1").code == 0
    assert cli("apply", "migration_2").code == 0
    assert cli("rollback", "migration_1").code == 0
    assert cli("apply", "migration_4").code == 1
    db["migrations"].insert_one(
        {"_id": "migration_9", "name": "ninth", "status": "applying", "up_script": "{}"}
    )
    lines = cli("status").lines
    in_order(
        lines,
        "Migration Status:",
        "  Total migrations: 5",
        "  Applied: 1",
        "  Pending: 1",
        "  Rolled back: 1",
        "  Failed: 1",
        "  Applying: 1",
        "Migration History:",
        "  ✗ first - rolled_back",
        "  ✓ second - applied",
        "  ○ third - pending",
        "  ! fourth - failed",
        "  ▸ ninth - applying",
    )
    assert any("`apply ID` or `apply --rolled-back` applies it again" in line for line in lines)
    assert any("E11000" in line and "migration_4_fourth.json" in line for line in lines)


def test_an_apply_that_fails_midway(cli: Cli, steps: Migrations, db: Db) -> None:
    # The second document makes the whole of the second operation fail.
    steps.write(2, [insert("b", {"_id": 1}), insert("b", {"_id": 1})], [], name="second")
    result = cli("apply")
    assert result.code == 1
    in_order(
        result.lines,
        "✓ Applied 1 migrations:",
        "  - migration_1",
        "✗ Failed to apply migration: migration_2",
    )
    error = result.error
    assert "migrations/migration_2_second.json: operation 2 of 2 (insert_documents" in error
    assert "code 11000" in error
    assert "Operation 1 is done" in error
    assert [record["status"] for record in db["migrations"].find(sort=[("_id", 1)])] == [
        "applied",
        "failed",
    ]
    assert "c" not in db.list_collection_names()


def test_rollback_of_what_is_not_applied(cli: Cli, steps: Migrations, db: Db) -> None:
    del steps
    for wanted in ("migration_1", "migration_77"):
        result = cli("rollback", wanted)
        assert result.code == 1
        in_order(result.lines, f"✗ Failed to rollback migration: {wanted}")
        assert any(line.startswith("✗ Error: ") for line in result.lines)
    # Nothing was asked of the database that would have to be written.
    assert db.list_collection_names() == []


def test_rollback_without_a_down_script(cli: Cli, steps: Migrations, db: Db) -> None:
    del steps
    assert cli("apply").code == 0
    result = cli("rollback")
    assert result.code == 1
    in_order(result.lines, "✗ Failed to rollback migration: migration_3")
    assert "has no down script" in result.stdout
    assert "--from-file" in result.stdout
    assert db["migrations"].count_documents({"status": "applied"}) == 3


def test_by_id_stem_and_name(cli: Cli, steps: Migrations) -> None:
    assert "✓ Applied migration: migration_1" in cli("apply", "migration_1").lines
    assert "✓ Applied migration: migration_2" in cli("apply", "migration_2_second").lines
    assert "✓ Applied migration: migration_3" in cli("apply", "third").lines
    steps.write(4, [], [], name="third")
    result = cli("apply", "third")
    assert result.code == 1
    in_order(result.lines, "✗ Failed to apply migration: third")
    assert "2 migrations are named" in result.stdout
    assert "migration_3, migration_4" in result.stdout


def test_apply_rolled_back_again(cli: Cli, steps: Migrations, db: Db) -> None:
    del steps
    assert cli("apply", "migration_1").code == 0
    assert cli("rollback", "migration_1").code == 0
    assert "  - migration_1" not in cli("apply").lines
    assert db["a"].count_documents({}) == 0
    in_order(cli("apply", "--rolled-back").lines, "✓ Applied 1 migrations:", "  - migration_1")
    assert db["a"].count_documents({}) == 1


def test_create(cli: Cli, tmp_path: Path) -> None:
    results = [cli("create", "add user/preferences", "--db", "x") for _ in range(3)]
    files = sorted((cli.directory / "migrations").iterdir())
    assert len(files) == 3, "the next free second"
    for result, file in zip(results, files, strict=True):
        assert result.code == 0
        number = re.fullmatch(r"migration_(\d{14})_add_user_preferences\.json", file.name)
        assert number
        assert result.lines == [
            f"✓ Created migration: migration_{number[1]}",
            "  Name: add user/preferences",
            "  Description: Migration add user/preferences",
            f"  File: {file}",
        ]
        assert json.loads(file.read_text()) == {
            "name": "add user/preferences",
            "description": "Migration add user/preferences",
            "up": {"operations": []},
            "down": {"operations": []},
        }
    # Nothing else stays beside them, and as they are they are refused.
    assert cli("apply").code == 1
    for name in ("", "../..", "///"):
        refused = cli("create", name)
        assert refused.code == 2
        assert "no letter or digit" in refused.stdout
    elsewhere = cli("create", "x", "--migrations-dir", str(tmp_path / "absent"))
    assert elsewhere.code == 2
    assert "does not exist" in elsewhere.stdout
    assert not (tmp_path / "absent").exists()


def test_create_needs_no_server(cli: Cli) -> None:
    env = {"MONGO_URI": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100"}
    assert cli("create", "x", env=env).code == 0


def test_mark_and_unlock(cli: Cli, steps: Migrations, db: Db) -> None:
    del steps
    result = cli("mark", "migration_1", "--as", "applied")
    assert result.code == 0
    in_order(result.lines, "✓ Marked migration: migration_1 as applied (it was pending)")
    assert "a" not in db.list_collection_names(), "it ran nothing"
    assert "  ✓ first - applied" in cli("status").lines
    wrong = cli("mark", "migration_1", "--as", "failed")
    assert wrong.code == 2
    assert "rolled_back" in wrong.stdout
    assert cli("mark", "migration_404", "--as", "applied").code == 1
    assert cli("mark", "migration_1").code == 2
    in_order(cli("unlock").lines, "No lock to release")


def test_unlock_of_what_cannot_be_read(cli: Cli, steps: Migrations, db: Db) -> None:
    del steps
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    db["migrations_lock"].insert_one({"_id": "lock", "owner": "me", "expires_at": later})
    held = cli("apply", "--lock-timeout", "0")
    assert held.code == 1
    assert "`unlock --force`" in held.stdout
    in_order(cli("unlock", "--force").lines, "✓ Released a lock whose owner cannot be read")
    in_order(cli("unlock", "--force").lines, "No lock to release")
    assert cli("apply", "--lock-timeout", "0").code == 0


def test_whatever_the_locale_and_width(cli: Cli, steps: Migrations) -> None:
    name = "ein_sehr_langer_Name_" + "x" * 200 + "_für_alle"
    steps.write(4, [insert("d", {"_id": 1}), insert("d", {"_id": 1})], name=name)
    env = {
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "PYTHONUTF8": "0",
        "COLUMNS": "20",
        "FORCE_COLOR": "1",
        "TERM": "xterm-256color",
    }
    failed = cli("apply", env=env)
    assert failed.code == 1
    in_order(failed.lines, "✓ Applied 3 migrations:", "✗ Failed to apply migration: migration_4")
    assert f"  ! {name} - failed" in cli("status", env=env).lines
    assert "\x1b" not in failed.stdout + failed.stderr


def test_quiet_leaves_the_documented_lines(cli: Cli, steps: Migrations) -> None:
    del steps
    result = cli("--quiet", "apply")
    assert result.lines == [
        "✓ Applied 3 migrations:",
        "  - migration_1",
        "  - migration_2",
        "  - migration_3",
    ]
    assert cli("status", "--quiet").lines == [
        "Migration Status:",
        "  Total migrations: 3",
        "  Applied: 3",
        "  Pending: 0",
        "  Rolled back: 0",
        "Migration History:",
        "  ✓ first - applied",
        "  ✓ second - applied",
        "  ✓ third - applied",
    ]


def test_a_writing_command_names_its_target_first(cli: Cli, server_uri: str) -> None:
    host = server_uri.removeprefix("mongodb://").partition("/")[0]
    database = cli.environment()["DB_NAME"]
    for command in (["apply"], ["rollback"], ["mark", "x", "--as", "applied"], ["unlock"]):
        assert cli(*command).lines[0].endswith(f"{host}/{database}"), command


def test_a_failure_is_told_once(cli: Cli, steps: Migrations) -> None:
    steps.write(4, [insert("d", {"_id": 1}), insert("d", {"_id": 1})])
    failed = cli("apply")
    assert failed.code == 1
    assert "E11000" in failed.stdout
    assert "E11000" not in failed.stderr
    assert "Operation 1 is done. Of operation 2, nothing is done." in failed.error
    again = cli("apply", "--log-level", "info")
    assert "E11000" in again.stderr


def test_other_files_are_named_once_on_stderr(cli: Cli, steps: Migrations) -> None:
    steps.raw("README.md", "notes")
    steps.raw("migration_x_y.json", "not even JSON")
    for command in ("status", "apply"):
        result = cli(command)
        assert result.code == 0
        assert result.stderr.count("README.md") == 1
        assert result.stderr.count("migration_x_y.json") == 1
        assert "README" not in result.stdout


# -- settings


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_options_before_and_after_the_command(
    cli: Cli, server_uri: str, tmp_path: Path, before: bool
) -> None:
    elsewhere = Migrations(tmp_path / "elsewhere")
    elsewhere.write(5, [insert("e", {"_id": 1})], name="fifth")
    options = ["--uri", server_uri, "--db", cli.environment()["DB_NAME"], "--json"]
    options += ["--migrations-dir", str(elsewhere.directory), "--log-level", "ERROR"]
    options += ["--lock-timeout", "3", "--no-progress", "--quiet"]
    line = [*options, "apply"] if before else ["apply", *options]
    env = {"MONGO_URI": "mongodb://127.0.0.1:1/", "DB_NAME": "not_this_one"}
    result = cli(*line, env=env)
    assert result.code == 0, result
    [applied] = parsed(result)["migrations"]
    assert (applied["id"], applied["outcome"]) == ("migration_5", "applied")


def test_dotenv(cli: Cli, server_uri: str, database_name: str, steps: Migrations) -> None:
    (cli.directory / ".env").write_text(
        f'# the backend\'s\nexport mongo_uri="{server_uri}"\nDB_NAME={database_name}\nLOG_LEVEL=\n'
    )
    unset = {"MONGO_URI": None, "DB_NAME": None}
    assert "  Total migrations: 3" in cli("status", env=unset).lines
    # The environment wins over it, and an empty variable is none.
    empty = cli("status", "--json", env={"MONGO_URI": "", "DB_NAME": ""})
    assert parsed(empty)["database"] == database_name
    other = cli("status", "--json", env={"MONGO_URI": None, "DB_NAME": "another_one"})
    assert parsed(other)["database"] == "another_one"
    # A parent's is not searched.
    below = cli.directory / "below"
    below.mkdir()
    shutil.copytree(steps.directory, below / "migrations")
    result = cli("status", "--json", env={"MONGO_URI": server_uri, "DB_NAME": None}, cwd=below)
    assert parsed(result)["database"] == "edulearn"


def test_the_database(cli: Cli, server_uri: str) -> None:
    def database(uri: str, *options: str) -> str:
        result = cli("status", "--json", *options, env={"MONGO_URI": uri, "DB_NAME": None})
        assert result.code == 0, result
        return str(parsed(result)["database"])

    for path, expected in (("", "edulearn"), ("school", "school"), ("admin", "edulearn")):
        assert database(server_uri.replace("/?", f"/{path}?")) == expected
    assert database(server_uri.replace("/?", "/school?"), "--db", "chosen") == "chosen"
    for reserved in ("admin", "local", "config"):
        result = cli("apply", "--db", reserved)
        assert result.code == 2
        assert f"The database {reserved} belongs to the server" in result.stdout


def test_the_migrations_directory(cli: Cli, tmp_path: Path) -> None:
    # The default may be absent, a named one may not; nothing is created by looking.
    assert cli("status").code == 0
    assert not (cli.directory / "migrations").exists()
    for named in (
        cli("apply", "--migrations-dir", "absent"),
        cli("status", env={"EDULEARN_MIGRATIONS_DIR": str(tmp_path / "absent")}),
    ):
        assert named.code == 2
        assert "does not exist" in named.stdout
    file = tmp_path / "file"
    file.touch()
    assert "is not a directory" in cli("status", "--migrations-dir", str(file)).stdout


@pytest.mark.parametrize(
    "line",
    [
        ["bogus"],
        ["apply", "one", "two"],
        ["apply", "--nonsense"],
        ["apply", "--lock-timeout", "soon"],
        ["apply", "--lock-timeout", "-1"],
        ["status", "--lock-timeout", "1"],
        ["status", "--log-level", "loud"],
        ["status", "--uri", "not a uri"],
        ["status", "--uri", "mongodb://:pa55word@/"],
        ["status", "--db", "a.b"],
    ],
    ids=" ".join,
)
def test_wrong_usage(cli: Cli, line: list[str]) -> None:
    result = cli(*line)
    assert result.code == 2, result
    error = result.error
    assert error.endswith(".")
    assert "Traceback" not in result.stderr
    assert "pa55word" not in result.stdout + result.stderr
    as_json = cli(*line, "--json")
    assert as_json.code == 2
    assert parsed(as_json)["ok"] is False
    assert parsed(as_json)["error"]["exit_code"] == 2


# -- JSON


def test_json_of_status(cli: Cli, steps: Migrations) -> None:
    assert cli("apply", "migration_2").code == 0
    steps.raw("notes.txt", "")
    document = parsed(cli("status", "--json"))
    assert document["command"] == "status"
    assert document["ok"] is True
    numbers = {key: document[key] for key in ("total", "applied", "pending", "rolled_back")}
    assert numbers == {"total": 3, "applied": 1, "pending": 2, "rolled_back": 0}
    assert document["transactions"] is True
    assert document["lock"] is None
    assert [each["file"] for each in document["ignored"]] == ["migrations/notes.txt"]
    first, second, _ = document["migrations"]
    assert (first["id"], first["status"], first["out_of_order"]) == ("migration_1", "pending", True)
    assert (second["status"], second["changed"], second["error"]) == ("applied", False, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", second["applied_at"])
    assert second["file"] == "migrations/migration_2_second.json"


def test_json_of_runs(cli: Cli, steps: Migrations) -> None:
    steps.write(3, [insert("c", {"_id": 1}), insert("c", {"_id": 1})], name="third")
    document = parsed(failed := cli("apply", "--json"))
    assert failed.code == 1
    assert (document["command"], document["ok"], document["direction"]) == ("apply", False, "up")
    assert [each["outcome"] for each in document["migrations"]] == ["applied", "applied", "failed"]
    operations = document["migrations"][2]["operations"]
    assert [each["outcome"] for each in operations] == ["done", "failed"]
    assert operations[0]["inserted"] == 1
    error = document["error"]
    assert error["type"] == "OperationFailedError"
    assert (error["migration_id"], error["operation"], error["server_code"]) == (
        "migration_3",
        2,
        11000,
    )
    assert error["exit_code"] == 1
    assert "migration_3_third.json" in error["message"]
    back = parsed(cli("--json", "rollback", "migration_2"))
    assert (back["ok"], back["direction"]) == (True, "down")
    assert [each["outcome"] for each in back["migrations"]] == ["rolled_back"]
    again = parsed(cli("--json", "apply", "migration_1"))
    assert [each["outcome"] for each in again["migrations"]] == ["already_applied"]


def test_json_of_the_others(cli: Cli, steps: Migrations) -> None:
    del steps
    assert parsed(cli("mark", "first", "--as", "rolled_back", "--json")) == {
        "command": "mark",
        "ok": True,
        "id": "migration_1",
        "name": "first",
        "before": "pending",
        "after": "rolled_back",
    }
    unlocked = parsed(cli("unlock", "--json"))
    assert (unlocked["ok"], unlocked["broken"], unlocked["owner"]) == (True, False, None)
    created = parsed(cli("create", "x", "--json"))
    assert created["ok"] is True
    assert Path(created["path"]).is_absolute()
    Path(created["path"]).unlink()
    assert parsed(cli("plan", "--json"))["ok"] is True
    pending = cli("check", "--json")
    assert (pending.code, parsed(pending)["ok"]) == (3, False)
    nothing = cli("--json")
    assert (nothing.code, parsed(nothing)["ok"]) == (1, False)


# -- audit


def audit_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_audit_log(cli: Cli, steps: Migrations, tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    env = {"EDULEARN_AUDIT_LOG": str(path)}
    assert cli("status", env=env).code == 0
    assert not path.exists(), "status writes nothing"
    assert cli("apply", env=env).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    lines = audit_lines(path)
    keys = {"time", "run", "user", "host", "migration", "message"}
    assert all(keys <= line.keys() for line in lines)
    assert {line["host"] for line in lines} == {socket.gethostname()}
    assert all(re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", line["time"]) for line in lines)
    applied = [line for line in lines if line["event"] == "migration_applied"]
    assert [line["migration"] for line in applied] == ["migration_1", "migration_2", "migration_3"]
    assert len({line["run"] for line in applied}) == 1
    # A second command appends, and a failure is on record.
    steps.write(4, [insert("d", {"_id": 1}), insert("d", {"_id": 1})])
    assert cli("apply", env=env).code == 1
    assert cli("mark", "migration_4", "--as", "pending", env=env).code == 0
    longer = audit_lines(path)
    assert longer[: len(lines)] == lines
    events = [line["event"] for line in longer[len(lines) :]]
    assert "migration_failed" in events
    assert "marked" in events
    assert any(line["event"] == "command_failed" for line in longer)


def test_an_audit_log_that_cannot_be_written(
    cli: Cli, steps: Migrations, db: Db, tmp_path: Path
) -> None:
    del steps
    for path in (tmp_path / "absent" / "audit.log", tmp_path):
        result = cli("apply", env={"EDULEARN_AUDIT_LOG": str(path)})
        assert result.code in (1, 2)
        assert "✗ Error: The audit log" in result.stdout
        assert "nothing was run" in result.stdout
    assert not (tmp_path / "absent").exists()
    assert db.list_collection_names() == []
    # A command that does not write does not need it.
    assert cli("status", env={"EDULEARN_AUDIT_LOG": str(tmp_path)}).code == 0


# -- servers that are away or refuse


def assert_plain_failure(result: Result, *secrets: str) -> str:
    """Exit 1 with one sentence, no traceback and no secret; returns the sentence."""
    assert result.code == 1, result
    assert "Traceback" not in result.stdout + result.stderr
    for secret in secrets:
        assert secret not in result.stdout + result.stderr
    return result.error


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port where no server answers, and none will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("command", ["status", "apply", "rollback"])
def test_no_server(cli: Cli, steps: Migrations, nobody: int, command: str) -> None:
    del steps
    uri = f"mongodb://teacher:s3cr3t%21@127.0.0.1:{nobody}/?serverSelectionTimeoutMS=300"
    result = cli(command, "--log-level", "info", env={"MONGO_URI": uri})
    error = assert_plain_failure(result, "s3cr3t", "teacher")
    assert f"127.0.0.1:{nobody}" in error
    assert "Check that the server runs" in error
    # A traceback is for who asks for it, and shows no secret either.
    result = cli(command, "--log-level", "debug", env={"MONGO_URI": uri})
    assert "Traceback" in result.stderr
    assert "s3cr3t" not in result.stdout + result.stderr


def test_no_server_is_found_out_soon(cli: Cli, nobody: int) -> None:
    started = time.monotonic()
    assert_plain_failure(cli("status", env={"MONGO_URI": f"mongodb://127.0.0.1:{nobody}"}))
    assert time.monotonic() - started < 29, "the driver's own limit would be 30 s"


def test_a_wrong_password(cli: Cli, steps: Migrations, guarded: LocalServer) -> None:
    del steps
    for command in ("status", "apply"):
        uri = login(guarded, "teacher", "wr0ng%21")
        error = assert_plain_failure(
            cli(command, "--log-level", "info", env={"MONGO_URI": uri}), "wr0ng", "teacher:"
        )
        assert "refuses these credentials" in error
        as_json = cli(command, "--json", env={"MONGO_URI": uri})
        assert as_json.code == 1
        assert "wr0ng" not in as_json.stdout + as_json.stderr
        assert parsed(as_json)["error"]["type"] == "ServerUnavailableError"


def test_no_password_at_all(cli: Cli, steps: Migrations, guarded: LocalServer) -> None:
    del steps
    error = assert_plain_failure(cli("apply", env={"MONGO_URI": guarded.uri}))
    assert "requires authentication" in error
    assert "MONGO_URI" in error, "it says where the user and the password belong"


def test_the_right_password(
    cli: Cli, steps: Migrations, guarded: LocalServer, tmp_path: Path
) -> None:
    del steps
    audit = tmp_path / "audit.log"
    env = {
        "MONGO_URI": login(guarded, "teacher", "s3cr3t%21"),
        "EDULEARN_AUDIT_LOG": str(audit),
    }
    result = cli("apply", "--log-level", "debug", env=env)
    assert result.code == 0, result
    said = result.stdout + result.stderr + audit.read_text()
    assert "s3cr3t" not in said


def test_a_user_who_may_only_read(cli: Cli, steps: Migrations, guarded: LocalServer) -> None:
    del steps
    with pymongo.MongoClient[dict[str, Any]](login(guarded, "teacher", "s3cr3t%21")) as client:
        roles = [{"role": "read", "db": "school"}]
        client["admin"].command("createUser", "reader", pwd="r3ad0nly", roles=roles)
    env = {"MONGO_URI": login(guarded, "reader", "r3ad0nly", "school"), "DB_NAME": None}
    status = cli("status", env=env)
    assert status.code == 0, status
    assert "  Pending: 3" in status.lines
    error = assert_plain_failure(cli("apply", env=env), "r3ad0nly")
    assert "readWrite" in error


# -- stopping in the middle, and two at once


def begun(db: Db, migration: str = "migration_1") -> int:
    """Documents of the unfinished migration's operation that are done and committed."""
    return operations_done(db, migration, "modified")


@pytest.fixture
def many(db: Db, migrations: Migrations) -> str:
    """A migration that increments a number in each of many documents."""
    padding = "x" * 200
    db["numbers"].insert_many(
        ({"_id": n, "n": 0, "padding": padding} for n in range(MANY)), ordered=False
    )
    return migrations.write(
        1, [INCREMENT], [{**INCREMENT, "update": {"$inc": {"n": -1}}}], name="increment"
    )


def each_is(db: Db, n: int) -> bool:
    return db["numbers"].count_documents({"n": n}) == MANY


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "SIGTERM")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_stopped_in_the_middle(
    cli: Cli, many: str, db: Db, number: signal.Signals, code: int, said: str
) -> None:
    process = cli.start("apply")
    until(lambda: begun(db), "the first chunk")
    process.send_signal(number)
    result = cli.finish(process)
    assert result.code == code, result
    assert "Traceback" not in result.stderr
    in_order(result.lines, f"✗ Failed to apply migration: {many}")
    error = result.error
    assert said in error
    assert "Run the same command again to carry on" in error
    done = begun(db)
    assert 0 < done < MANY, "stopped neither before the first chunk nor after the last"
    assert db["numbers"].count_documents({"n": 1}) == done, "what is recorded is what is committed"
    assert (db["migrations_lock"].find_one() or {}).get("owner") is None, "the lock is released"
    assert any("carries on in operation 1: " in line for line in cli("status").lines)
    # The next run carries on at once, and every document is incremented exactly once.
    again = cli("apply", "--lock-timeout", "0")
    in_order(again.lines, "✓ Applied 1 migrations:", f"  - {many}")
    assert each_is(db, 1)
    events = [entry["event"] for entry in db["migrations_history"].find(sort=[("at", 1)])]
    assert events == ["interrupted", "applied"]


def test_stopped_and_rolled_back(cli: Cli, db: Db, many: str, migrations: Migrations) -> None:
    # Down by the documents' own state, since the up script is half done.
    migrations.write(
        1,
        [INCREMENT],
        [{**INCREMENT, "filter": {"n": 1}, "update": {"$set": {"n": 0}}}],
        name="increment",
    )
    process = cli.start("apply", "--json")
    until(lambda: begun(db), "the first chunk")
    process.send_signal(signal.SIGTERM)
    result = cli.finish(process)
    assert result.code == 143
    document = parsed(result)
    assert document["error"]["exit_code"] == 143
    assert [each["outcome"] for each in document["migrations"]] == ["interrupted"]
    back = cli("rollback", many)
    assert back.code == 0, back
    in_order(back.lines, f"✓ Rolled back migration: {many}")
    assert each_is(db, 0)


def test_a_second_process_waits_and_says_for_whom(cli: Cli, many: str, db: Db) -> None:
    first = cli.start("apply")
    until(lambda: begun(db), "the first chunk")
    # Stopped, so that it holds the lock for as long as this test needs.
    first.send_signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        second = cli("apply", "--lock-timeout", "1")
        took = time.monotonic() - started
        assert second.code == 4
        assert 1 <= took < 29, "not until the lease has run out"
        error = second.error
        assert "Another run holds the lock" in error
        assert f"process {first.pid}" in error
        assert f"host {socket.gethostname()}" in error
        assert re.search(r"since \d{4}-\d\d-\d\dT", error)
        as_json = cli("rollback", many, "--lock-timeout", "0", "--json")
        assert as_json.code == 4
        owner = parsed(as_json)["error"]["owner"]
        assert (owner["pid"], owner["command"]) == (first.pid, "apply")
        # Reading needs no lock, and says who holds it.
        status = cli("status")
        assert status.code == 0
        assert any(line.startswith(f"Lock: held by process {first.pid}") for line in status.lines)
        refused = cli("unlock")
        assert refused.code == 4
        assert "unlock --force" in refused.stdout
    finally:
        first.send_signal(signal.SIGCONT)
    assert cli.finish(first).code == 0
    assert each_is(db, 1)


def test_two_processes_at_once(cli: Cli, db: Db, many: str) -> None:
    processes = [cli.start("apply", "--lock-timeout", "60") for _ in range(2)]
    results = [cli.finish(process) for process in processes]
    assert [result.code for result in results] == [0, 0], results
    said = sorted(line for result in results for line in result.lines if "igrations" in line)
    assert said == ["No pending migrations to apply", "✓ Applied 1 migrations:"]
    assert each_is(db, 1)
    assert db["migrations_history"].count_documents({"migration": many, "event": "applied"}) == 1


def test_unlock_by_force_stops_the_run(cli: Cli, many: str, db: Db) -> None:
    first = cli.start("apply")
    until(lambda: begun(db), "the first chunk")
    unlocked = cli("unlock", "--force")
    assert unlocked.code == 0, unlocked
    assert any(
        line.startswith(f"✓ Released the lock of process {first.pid}") for line in unlocked.lines
    )
    result = cli.finish(first)
    assert result.code == 1, result
    assert "no longer holds the lock" in result.stdout
    assert db["migrations_history"].count_documents({"event": "unlocked"}) == 1
    assert f"✓ Applied 1 migrations:\n  - {many}" in cli("apply", "--lock-timeout", "0").stdout
    assert each_is(db, 1)


def test_a_killed_run_is_replaced_at_once(cli: Cli, many: str, db: Db) -> None:
    first = cli.start("apply")
    until(lambda: begun(db), "the first chunk")
    first.kill()
    first.wait()
    # It waits for nobody.
    result = cli("apply", "--lock-timeout", "0")
    assert result.code == 0, result
    assert "process is dead" in result.stderr
    assert many in result.stdout
    assert each_is(db, 1)


def test_it_says_where_the_old_tool_would_have_worked(
    client: pymongo.MongoClient[dict[str, Any]], cli: Cli, server_uri: str, database_name: str
) -> None:
    """Its default was `edulearn`, whatever the connection string names."""
    scheme, _, rest = server_uri.partition("://")
    host, _, options = rest.partition("/?")
    env = {"MONGO_URI": f"{scheme}://{host}/{database_name}?{options}", "DB_NAME": None}
    old = client["edulearn"]["migrations"]
    assert "The old tool" not in cli("status", env=env).stderr
    old.insert_one({"_id": "old", "name": "old", "status": "applied", "up_script": "{}"})
    try:
        for command in ("status", "apply"):
            done = cli(command, env=env)
            (line,) = [each for each in done.stderr.splitlines() if "The old tool" in each]
            assert database_name in line and "edulearn" in line and "DB_NAME" in line
        named = cli("status", env={**env, "DB_NAME": database_name})
        assert "The old tool" not in named.stderr
    finally:
        client.drop_database("edulearn")
