"""Reports as programs use them: types at run time, FastAPI responses, pickles, text, checks."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest
from bson import encode
from bson.raw_bson import RawBSONDocument
from fastapi import FastAPI
from fastapi.testclient import TestClient

import edulearn_migrate
from conftest import Cli, Migrations
from edulearn_migrate import (
    AsyncMigrator,
    CheckReport,
    MigrateError,
    Migrator,
    OperationFailedError,
    PendingMigrationsError,
    PlanReport,
    RunReport,
    StatusReport,
    _native,
)
from edulearn_migrate.reports.base import Report
from harness import Documents, delete, update

NAMES: list[str] = edulearn_migrate.__all__  # type: ignore[attr-defined]
CREATES = {"type": "create_collection", "collection": "made"}


# -- types


@pytest.mark.parametrize("name", NAMES)
def test_every_exported_name_has_types_at_run_time(name: str) -> None:
    value = getattr(edulearn_migrate, name)
    if inspect.isbuiltin(value) or not callable(value) or name == "Progress":
        return
    get_type_hints(value)
    if isinstance(value, type):
        for _, method in inspect.getmembers(value, inspect.isfunction):
            get_type_hints(method)


def report_types() -> Iterator[type[Report]]:
    for name in NAMES:
        value = getattr(edulearn_migrate, name)
        if isinstance(value, type) and issubclass(value, Report):
            yield value


def test_every_dataclass_is_a_report() -> None:
    plain = {edulearn_migrate.Event}
    for name in NAMES:
        value = getattr(edulearn_migrate, name)
        if isinstance(value, type) and is_dataclass(value) and value not in plain:
            assert issubclass(value, Report), name


def test_reports_are_responses(server_uri: str, db: Documents, migrations: Migrations) -> None:
    """As a FastAPI application returns them from its health check."""
    db["users"].insert_many([{"_id": number} for number in range(3)])
    first = migrations.write(1, [update("users", {}, {"$set": {"role": "student"}})])
    app = FastAPI()
    migrator = AsyncMigrator(server_uri, db.name, migrations_dir=migrations.directory)

    async def status() -> StatusReport:
        return await migrator.status()

    async def plan() -> PlanReport:
        return await migrator.plan()

    async def apply() -> RunReport:
        return await migrator.apply()

    async def check() -> CheckReport:
        return await migrator.check()

    for verb in (status, plan, apply, check):
        app.get(f"/{verb.__name__}")(verb)
    for report in report_types():

        def answer() -> None:
            raise NotImplementedError  # only its type is looked at

        app.get(f"/types/{report.__name__}", response_model=report)(answer)
    with TestClient(app) as client:
        assert client.get("/status").json()["pending"] == 1
        assert client.get("/plan").json()["migrations"][0]["operations"][0]["changes"] == 3
        assert client.get("/apply").json()["migrations"][0]["id"] == first
        assert client.get("/check").json()["findings"] == []
        [state] = client.get("/status").json()["migrations"]
        assert datetime.fromisoformat(state["applied_at"].replace("Z", "+00:00")).tzinfo
        assert "StatusReport" in client.get("/openapi.json").json()["components"]["schemas"]


# -- what the engine says and what the classes know


def differences(kind: Any, data: Any, place: str) -> Iterator[str]:
    """Where keys of the engine and fields of a class differ, through everything in it."""
    inner = [each for each in get_args(kind) if each not in (NoneType, ...)]
    if isinstance(kind, type) and issubclass(kind, Report):
        known = {each.metadata.get("key", each.name): each.name for each in fields(kind)}  # type: ignore[arg-type]
        hints = get_type_hints(kind)
        may_be_left_out = {
            key
            for each in fields(kind)  # type: ignore[arg-type]
            if each.default is not MISSING or NoneType in get_args(hints[each.name])
            for key in [each.metadata.get("key", each.name)]
        }
        if (data.keys() ^ known.keys()) - (may_be_left_out - data.keys()):
            yield f"{place} ({kind.__name__}): {sorted(data.keys() ^ known.keys())}"
        for key, name in known.items():
            if data.get(key) is not None:
                yield from differences(hints[name], data[key], f"{place}.{key}")
    elif isinstance(data, list):
        for each in data:
            yield from differences(inner[0], each, f"{place}[]")
    elif len(inner) == 1:  # or None
        yield from differences(inner[0], data, place)


def test_keys_and_fields_are_the_same(
    migrator: Migrator, migrations: Migrations, db: Documents, tmp_path: Path
) -> None:
    db["users"].insert_many([{"_id": number, "email": "x"} for number in range(3)])
    db["old"].insert_one({"_id": 1})
    db["assessments"].insert_one({"_id": 1, "title": 5})
    db["teacher_assessments"].insert_one({"_id": 1, "topic": "x"})
    migrations.raw("notes.txt", "no migration")
    unique = {"type": "create_index", "collection": "users", "index": "email"}
    migrations.write(
        1,
        [update("users", {}, {"$set": {"n": 1}}), delete("users", {"_id": 0})],
        [update("users", {}, {"$unset": {"n": 1}})],
    )
    migrations.write(2, [{"type": "drop_collection", "collection": "old"}])
    migrations.write(3, [{**unique, "options": {"unique": True}}])
    engine = migrator._engine
    backups = _native.Backups(engine, tmp_path / "backups")
    preview, assessments = migrator._preview, migrator._assessments
    wrong: list[str] = []

    def look(kind: Any, answer: Any) -> None:
        wrong.extend(differences(kind, answer, kind.__name__))
        if isinstance(answer, dict):
            report = kind.from_dict(answer)
            assert kind.from_dict(report.to_dict()) == report
            assert str(report) and pickle.loads(pickle.dumps(report)) == report

    look(StatusReport, engine.status().run())
    look(PlanReport, preview.apply().run())
    look(CheckReport, preview.check().run())
    with pytest.raises(OperationFailedError) as failed:
        engine.apply().run()
    look(RunReport, failed.value.report)
    look(StatusReport, engine.status().run())
    for entry in engine.dropped().run():
        look(edulearn_migrate.DroppedEntry, entry)
    look(PlanReport, preview.rollback("migration_1").run())
    look(RunReport, engine.rollback("migration_1", exact=True).run())
    look(edulearn_migrate.MarkReport, engine.mark("migration_3", "rolled_back").run())
    look(edulearn_migrate.UnlockReport, engine.unlock().run())
    look(edulearn_migrate.PurgeReport, engine.purge().run())
    look(edulearn_migrate.AssessmentReport, assessments.migrate(dry_run=True).run())
    look(edulearn_migrate.AssessmentReport, assessments.migrate().run())
    look(edulearn_migrate.AssessmentRollbackReport, assessments.rollback().run())
    made = backups.backup().run()
    look(edulearn_migrate.BackupReport, made)
    look(edulearn_migrate.BackupList, backups.list().run())
    look(edulearn_migrate.VerifyReport, backups.verify(made["name"]).run())
    look(edulearn_migrate.RestoreReport, backups.restore(made["name"]).run())
    look(edulearn_migrate.PruneReport, backups.prune(5).run())
    look(edulearn_migrate.LintReport, _native.lint([migrations.directory]))
    look(
        edulearn_migrate.CreatedMigration,
        _native.create_migration(migrations.directory, "new", "one"),
    )
    assert not wrong, "\n".join(wrong)


# -- text, and whether all is well


def test_text_and_ok(migrator: Migrator, migrations: Migrations, db: Documents) -> None:
    first = migrations.write(1, [CREATES])
    status = migrator.status()
    assert status.ok and not status.current
    assert str(status) == (f"{db.name}: 1 migrations, 1 pending\n  {first} (step_1): pending")
    plan = migrator.plan()
    assert plan.ok and "migration_1" in str(plan)
    check = migrator.check()
    assert not check.ok and str(check) == check.findings[0].message
    report = migrator.apply()
    assert report.ok and str(report).splitlines()[1].startswith(f"  {first} (step_1): applied")
    assert migrator.check().ok and migrator.status().current
    assert migrator.lint().ok is False  # there is no down script


async def test_require_current(server_uri: str, db: Documents, migrations: Migrations) -> None:
    first = migrations.write(1, [CREATES])
    typed = Migrator(server_uri, db.name, migrations_dir=migrations.directory)
    migrator = AsyncMigrator(server_uri, db.name, migrations_dir=migrations.directory)
    with pytest.raises(PendingMigrationsError, match=f"{first} is pending") as raised:
        await migrator.require_current()
    assert isinstance(raised.value, MigrateError)
    report = raised.value.report
    assert isinstance(report, StatusReport) and report.pending == 1
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.report) == (str(raised.value), report)
    with pytest.raises(PendingMigrationsError):
        typed.require_current()
    await migrator.apply()
    assert (await migrator.require_current()).current
    assert typed.require_current().applied == 1
    migrations.write(1, [CREATES, update("made", {}, {"$set": {"x": 1}})])
    with pytest.raises(PendingMigrationsError, match=f"{first} is changed"):
        typed.require_current()


# -- pickles and odd dates


def test_exceptions_travel_with_their_report(
    migrator: Migrator, migrations: Migrations, db: Documents
) -> None:
    """As from a worker process to the one that waits for it."""
    db["users"].insert_many([{"_id": number, "email": "x"} for number in range(2)])
    unique = {"name": "one", "unique": True}
    index = {"type": "create_index", "collection": "users", "index": "email", "options": unique}
    migrations.write(1, [index])
    with pytest.raises(OperationFailedError) as raised:
        migrator.apply()
    again = pickle.loads(pickle.dumps(raised.value))
    assert type(again) is OperationFailedError
    assert vars(again) == vars(raised.value)
    assert isinstance(again.report, RunReport) and again.report.ids("failed") == ["migration_1"]
    assert OperationFailedError.__module__ == "edulearn_migrate"


@pytest.mark.parametrize("milliseconds", [2**62, -(2**62)])
def test_dates_beyond_the_years_of_python(
    cli: Cli, migrator: Migrator, db: Documents, milliseconds: int
) -> None:
    document = encode({"_id": "migration_1", "name": "n", "status": "applied", "applied_at": None})
    # PyMongo cannot make such a date: its eight bytes are put where `None` has none.
    date = b"\x09applied_at\x00" + milliseconds.to_bytes(8, "little", signed=True)
    raw = document[4:].replace(b"\x0aapplied_at\x00", date)
    raw = (len(raw) + 4).to_bytes(4, "little") + raw
    db.client.get_database(db.name)["migrations"].insert_one(RawBSONDocument(raw))
    [state] = migrator.status().migrations
    assert state.applied_at is not None and state.applied_at.tzinfo is timezone.utc
    assert state.applied_at.year == (9999 if milliseconds > 0 else 1)
    for arguments in (("status",), ("status", "--json")):
        done = cli(*arguments)
        assert done.code == 0, done.stdout + done.stderr


def test_where_progress_belongs(server_uri: str) -> None:
    kinds: tuple[Callable[..., Any], ...] = (Migrator, AsyncMigrator)
    for kind in kinds:
        with pytest.raises(TypeError, match=r"migrator\.apply\(progress="):
            kind(server_uri, "x", progress=print)
        with pytest.raises(TypeError, match="unexpected keyword argument 'progres'"):
            kind(server_uri, "x", progres=print)
