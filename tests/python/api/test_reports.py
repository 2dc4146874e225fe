"""Reports as programs use them: types at run time, FastAPI responses, pickles, text, checks."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from datetime import datetime, timezone
from typing import Any, get_type_hints

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
)
from edulearn_migrate.reports.base import Report
from harness import Documents, update

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
        if isinstance(value, type) and issubclass(value, Report) and value.__name__ == name:
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


# -- text, and whether all is well


def test_text_and_ok(migrator: Migrator, migrations: Migrations, db: Documents) -> None:
    first = migrations.write(1, [CREATES])
    status = migrator.status()
    assert status.ok and not status.current
    assert str(status) == (f"{db.name}: 1 migration, 1 pending\n  {first} (step_1): pending")
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
