"""What `assessment-migrate` refuses, having written nothing, and what fails with a sentence."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import encode

from assessment_documents import both
from assessment_model import INDEXES, as_bytes
from assessment_runs import Documents, fill_recorded, hashes, migrate, rollback, told
from conftest import ROOT, Cli, Result
from harness import as_json, fail_point, finish, names_in, start_holding, uri_of
from oddities import LARGEST

CREATOR = "creator_timestamp_idx"


def without_ours(db: Documents) -> dict[str, str]:
    """The contents, but for the lock and the history of what was refused."""
    return {
        name: text
        for name, text in hashes(db).items()
        if name not in ("migrations_lock", "migrations_history")
    }


def refused(db: Documents, cli: Cli, *options: str, code: int = 1) -> str:
    """Runs it to a refusal, in words and as JSON; the error. Nothing is written either time."""
    before = without_ours(db), names_in(cli.directory / "backups"), indexes(db)
    done = cli("assessment-migrate", *options)
    check_plain(done, code)
    as_document = cli("assessment-migrate", "--json", *options)
    assert as_document.code == code
    error = as_json(as_document.stdout)["error"]
    assert without_ours(db) == before[0], "nothing is written"
    left = names_in(cli.directory / "backups")
    assert left == before[1], f"no backup is left: {left}"
    assert indexes(db) == before[2]
    text = error["message"] if isinstance(error, dict) else str(error)
    assert text.split(".")[0] in done.stdout + done.stderr
    return text


def check_plain(done: Result, code: int = 1) -> None:
    assert done.code == code, told(done)
    (line,) = [each for each in done.lines if each.startswith("✗ ")]
    assert len(line) > 20
    assert "Traceback" not in done.stdout + done.stderr
    assert "✓ Assessment migration completed:" not in done.stdout


def indexes(db: Documents) -> dict[str, Any]:
    return {
        name: db[name].index_information()
        for name in db.list_collection_names(filter={"type": "collection"})
        if not name.startswith(("migrations", "system."))
    }


# -- indexes


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ([("created_by", 1)], {"name": CREATOR}),
        ([("created_by", 1), ("created_at", 1)], {"name": CREATOR}),
        (INDEXES[CREATOR], {"name": CREATOR, "unique": True}),
        (INDEXES[CREATOR], {"name": CREATOR, "sparse": True}),
        (INDEXES[CREATOR], {"name": CREATOR, "partialFilterExpression": {"x": 1}}),
        (INDEXES[CREATOR], {"name": CREATOR, "collation": {"locale": "de"}}),
    ],
)
def test_an_index_that_differs(school: Documents, cli: Cli, keys: Any, options: Any) -> None:
    school["assessments"].create_index(keys, **options)
    error = refused(school, cli)
    assert CREATOR in error
    # A dry run says it, too.
    done = cli("assessment-migrate", "--dry-run")
    assert done.code == 1, told(done)
    assert CREATOR in done.stdout
    school["assessments"].drop_index(CREATOR)
    assert migrate(cli)["regular"]["migrated"] == 5


def test_an_index_of_the_same_keys_and_another_name(school: Documents, cli: Cli) -> None:
    """It is equal in all but its name: it serves, or it is refused before anything is written."""
    school["assessments"].create_index(INDEXES[CREATOR], name="mine")
    before = indexes(school)
    done = cli("assessment-migrate", "--json")
    if done.code == 0:
        report = as_json(done.stdout)
        assert len(report["indexes"]["created"]) == 4
        rollback(cli)
        assert indexes(school) == before
    else:
        assert "mine" in refused(school, cli)


def test_a_document_that_no_index_can_hold(school: Documents, cli: Cli) -> None:
    """Two arrays in one index (code 171): of a document that cannot be mapped it is told why."""
    school["assessments"].insert_one({"_id": "parallel", "batches": ["a"], "status": ["b"]})
    before = both(school)
    done = cli("assessment-migrate", "--accept-unmapped")
    assert done.code == 1, told(done)
    assert "batch_status_idx" in done.stdout and "parallel" in done.stdout, told(done)
    assert "Traceback" not in done.stderr
    school["assessments"].update_one({"_id": "parallel"}, {"$set": {"status": "draft"}})
    assert migrate(cli)["validation"]["valid"] is True
    assert school["assessments"].count_documents({"original_id": {"$exists": True}}) == 9
    rollback(cli)
    del before["assessments"][as_bytes("parallel")]
    school["assessments"].delete_one({"_id": "parallel"})
    assert both(school) == before


# -- the backup


def test_a_backup_directory_that_cannot_be_written(school: Documents, cli: Cli) -> None:
    (cli.directory / "file").write_text("x")
    for place in ("file", "file/below", "/proc/none"):
        assert place in refused(school, cli, "--backup-dir", place)


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_backup_that_cannot_be_finished(db: Documents, cli: Cli) -> None:
    rows = [{"_id": at, "x": encode({"x": str(at)}).hex() * 40} for at in range(3_000)]
    db["assessments"].insert_many(rows)
    db["teacher_assessments"].insert_many(
        {"_id": -1 - at, "x": [hash((at, n)) for n in range(40)]} for at in range(3_000)
    )
    before = without_ours(db)
    done = run_limited(cli, limited)
    check_plain(done)
    assert "File too large" in done.stdout
    assert {name: text for name, text in without_ours(db).items() if name in before} == before
    assert names_in(cli.directory / "backups") == set()
    assert migrate(cli)["regular"]["migrated"] == 3_000


def run_limited(cli: Cli, before: Callable[[], None]) -> Result:
    done = subprocess.run(
        [sys.executable, str(ROOT / "migration_cli.py"), "assessment-migrate"],
        cwd=cli.directory,
        env=cli.environment(),
        preexec_fn=before,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_no_room_for_the_backup(db: Documents, cli: Cli) -> None:
    """On a file system of one megabyte: refused with both numbers before it is begun."""
    small = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m none small && exec "$@"', "-")
    (cli.directory / "small").mkdir()
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare")
    tried = subprocess.run([*small, "true"], cwd=cli.directory, check=False, capture_output=True)
    if tried.returncode != 0:
        pytest.skip("no file system can be mounted here")
    db["assessments"].insert_many({"_id": at, "x": "y" * 10_000} for at in range(2_000))
    before = without_ours(db)
    done = cli("assessment-migrate", "--backup-dir", "small", command=(*small, *cli.command))
    check_plain(done)
    assert "20" in done.stdout and "MB" in done.stdout, told(done)
    assert "small" in done.stdout
    assert without_ours(db) == before


# -- what stands under these names


@pytest.mark.parametrize("name", ["assessments", "teacher_assessments"])
def test_a_view_under_the_name(db: Documents, cli: Cli, name: str) -> None:
    db["source"].insert_one({"_id": 1, "title": "x"})
    db.create_collection(name, viewOn="source", pipeline=[])
    error = refused(db, cli)
    assert name in error and "view" in error


@pytest.mark.parametrize("name", ["assessments", "teacher_assessments"])
def test_a_time_series_under_the_name(db: Documents, cli: Cli, name: str) -> None:
    db.create_collection(name, timeseries={"timeField": "at"})
    error = refused(db, cli)
    assert name in error and "time-series" in error


def test_a_capped_collection_under_the_name(db: Documents, cli: Cli) -> None:
    db.create_collection("assessments", capped=True, size=100_000)
    db["assessments"].insert_one({"_id": 1})
    error = refused(db, cli)
    assert "assessments" in error and "capped" in error


def test_a_validator_that_refuses_the_model(school: Documents, cli: Cli) -> None:
    school.command(
        {"collMod": "assessments", "validator": {"migration_source": {"$exists": False}}}
    )
    before = both(school)
    done = cli("assessment-migrate")
    assert done.code == 1, told(done)
    assert "Cannot be mapped, left as they are: 8" in done.stdout, told(done)
    assert "assessments" in done.stdout and "validat" in done.stdout.lower(), told(done)
    assert both(school) == before
    school.command({"collMod": "assessments", "validator": {}})
    assert migrate(cli)["regular"]["migrated"] == 5
    rollback(cli)
    assert both(school) == before


@pytest.mark.parametrize("name", ["assessments", "teacher_assessments"])
def test_a_document_that_would_become_too_large(db: Documents, cli: Cli, name: str) -> None:
    """It cannot be mapped, or the run fails with a sentence; it is never cut and never lost."""
    empty = len(encode({"_id": "large", "x": b""}))
    db[name].insert_one({"_id": "large", "x": bytes(LARGEST - empty)})
    db[name].insert_one({"_id": "small"})
    before = both(db)
    done = cli("assessment-migrate")
    assert done.code == 1, told(done)
    assert "Traceback" not in done.stdout + done.stderr
    assert "large" in done.stdout
    assert both(db)[name][encode({"": "large"})] == before[name][encode({"": "large"})]
    rollback(cli)
    assert both(db) == before


# -- runs and servers


def test_while_another_run_holds_the_lock(
    with_failpoints: Any, cli: Cli, database_name: str, legacy: Path
) -> None:
    db: Documents = with_failpoints[database_name]
    fill_recorded(db, legacy)
    options = ("--uri", uri_of(with_failpoints), "--db", database_name)
    held = {"failCommands": ["createIndexes"], "blockConnection": True, "blockTimeMS": 3_000}
    with fail_point(with_failpoints, "failCommand", {"times": 1}, **held):
        process = start_holding(db, lambda: cli.start("assessment-migrate", *options))
        for command in ("assessment-migrate", "assessment-rollback", "apply"):
            if command == "apply":
                (cli.directory / "migrations").mkdir()
                (cli.directory / "migrations" / "migration_1_x.json").write_text(
                    '{"name": "x", "up": {"operations": [{"type": "create_collection",'
                    ' "collection": "c"}]}}'
                )
            done = cli(command, *options, "--lock-timeout", "0.05")
            assert done.code == 4, told(done)
        # It needs no lease to say what it would do.
        assert cli("assessment-migrate", "--dry-run", *options).code in (0, 1)
    code, stdout, stderr = finish(process)
    assert code == 0, stdout + stderr
    with_failpoints.drop_database(database_name)


def test_no_server(cli: Cli) -> None:
    uri = "mongodb://user:s3cr3t@127.0.0.1:1/?serverSelectionTimeoutMS=300"
    for command in ("assessment-migrate", "assessment-rollback"):
        done = cli(command, env={"MONGO_URI": uri})
        check_plain(done)
        assert "127.0.0.1:1" in done.stdout
        assert "s3cr3t" not in done.stdout + done.stderr
    done = cli("assessment-migrate", "--json", env={"MONGO_URI": uri})
    assert done.code == 1 and "error" in as_json(done.stdout)


@pytest.mark.parametrize("command", ["assessment-migrate", "assessment-rollback"])
@pytest.mark.parametrize("options", [("--no-such",), ("extra",), ("--lock-timeout", "soon")])
def test_wrong_usage(cli: Cli, command: str, options: tuple[str, ...]) -> None:
    done = cli(command, *options)
    assert done.code == 2, told(done)
    assert names_in(cli.directory) == set()
