"""The engine's keys are the fields of the report classes, class by class and verb by verb.

`from_dict` leaves out a key that it does not know, and reads one that is absent as None. So that
neither side drifts unseen, every verb is called here until every class has been read at least once
and every field of it has been there.
"""

from __future__ import annotations

import inspect
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pymongo
import pytest

from assessment_runs import fill_recorded
from conftest import ROOT, Cli, Migrations, login
from edulearn_migrate import (
    CreatedMigration,
    LintReport,
    Migrator,
    OperationFailedError,
    _native,
)
from edulearn_migrate.local import LocalServer
from edulearn_migrate.reports.base import Report
from harness import GATE, Documents, closed_gate, delete, update

# They answer with no report: documents as they are, an id, files made and looked at.
OTHERWISE = {"create", "lint", "records", "register"}
STRINGS = {"validator": {"email": {"$type": "string"}}}
UNIQUE = {
    "type": "create_index",
    "collection": "users",
    "index": "email",
    "options": {"unique": True},
}


def report_classes(kind: type[Report] = Report) -> Iterator[type[Report]]:
    for each in kind.__subclasses__():
        # `slots=True` makes of each class another one, which takes its name.
        if vars(sys.modules[each.__module__])[each.__name__] is each:
            yield each
        yield from report_classes(each)


class Watched(Migrator):
    """Compares every answer of the engine with the class that it becomes."""

    verbs: set[str]
    seen: dict[type[Report], set[str]]
    wrong: set[str]

    def _do(self, read: Any, call: Any, progress: Any, stop: Any) -> Any:
        self.verbs.add(sys._getframe(1).f_code.co_name)

        def look(answer: Any) -> Any:
            typed = read(answer)
            for report, data in zip(*each_one(typed, answer), strict=True):
                self.compare(type(report), data)
            return typed

        return super()._do(look, call, progress, stop)

    def compare(self, kind: type[Report], data: Any) -> None:
        report = kind.from_dict(data)
        self.differences(kind, data, kind.__name__)
        assert kind.from_dict(report.to_dict()) == report
        assert str(report) and pickle.loads(pickle.dumps(report)) == report

    def differences(self, kind: Any, data: Any, place: str) -> None:
        """Notes where keys and fields differ, through everything in it."""
        inner = [each for each in get_args(kind) if each not in (NoneType, ...)]
        if isinstance(kind, type) and issubclass(kind, Report):
            known = {each.metadata.get("key", each.name): each.name for each in fields(kind)}  # type: ignore[arg-type]
            old = kind._old_keys.keys() & data.keys()
            for key in data.keys() - known.keys() - old:
                self.wrong.add(f"{place}: {kind.__name__} has no field for {key!r}")
            self.seen.setdefault(kind, set()).update(data)
            hints = get_type_hints(kind)
            for key, name in known.items():
                if data.get(key) is not None:
                    self.differences(hints[name], data[key], f"{place}.{key}")
        elif isinstance(data, list):
            for each in data:
                self.differences(inner[0], each, f"{place}[]")
        elif len(inner) == 1:  # or None
            self.differences(inner[0], data, place)


def each_one(typed: Any, answer: Any) -> tuple[list[Any], list[Any]]:
    if isinstance(typed, Report):
        return [typed], [answer]
    if isinstance(typed, list) and any(isinstance(each, Report) for each in typed):
        return typed, answer
    return [], []


@pytest.fixture
def migrator(
    server_uri: str, database_name: str, migrations: Migrations, tmp_path: Path
) -> Watched:
    migrations.directory.mkdir(exist_ok=True)
    Watched.verbs, Watched.seen, Watched.wrong = set(), {}, set()
    return Watched(
        server_uri,
        database_name,
        migrations_dir=migrations.directory,
        backup_dir=tmp_path / "backups",
    )


def test_keys_and_fields_are_the_same(
    migrator: Watched, migrations: Migrations, db: Documents, cli: Cli, guarded: LocalServer
) -> None:
    for part in PARTS:
        db.client.drop_database(db.name)
        for file in migrations.directory.iterdir():
            file.unlink()
        part(migrator, migrations, db, cli)
    rights(guarded, migrations)
    assert not migrator.wrong, "\n".join(sorted(migrator.wrong))
    verbs = {
        name
        for name, _ in inspect.getmembers(Migrator, inspect.isfunction)
        if not name.startswith("_")
    }
    assert verbs - migrator.verbs == OTHERWISE
    for kind in report_classes():
        known = {each.metadata.get("key", each.name) for each in fields(kind)}  # type: ignore[arg-type]
        assert kind in migrator.seen, f"no answer has had a {kind.__name__}"
        assert known <= migrator.seen[kind], (
            f"{kind.__name__}: never said: {sorted(known - migrator.seen[kind])}"
        )


def files(migrator: Watched, migrations: Migrations, _db: Documents, _cli: Cli) -> None:
    made = _native.create_migration(migrations.directory, "new", "one")
    migrator.compare(CreatedMigration, made)
    migrations.raw("notes.txt", "no migration")
    migrator.compare(LintReport, _native.lint([migrations.directory]))


def runs(migrator: Watched, migrations: Migrations, db: Documents, _cli: Cli) -> None:
    """Runs that fail, that are undone, and that reach beyond their own."""
    db["users"].insert_many([{"_id": number, "email": "x"} for number in range(9)])
    db["old"].insert_one({"_id": 1})
    migrations.raw("notes.txt", "no migration")
    up = [update("users", {"_id": {"$lt": 2}}, {"$set": {"n": 1}}), delete("users", {"_id": 0})]
    migrations.write(1, up, [update("users", {}, {"$unset": {"n": 1}})])
    migrations.write(2, [{"type": "drop_collection", "collection": "old"}])
    migrations.write(3, [UNIQUE])
    migrator.check()
    with pytest.raises(OperationFailedError):
        migrator.apply()
    migrator.status()
    migrator.rollback("migration_3", exact=True)
    migrator.mark("migration_3", "rolled_back")
    migrator.plan_rollback("migration_1")
    migrator.rollback("migration_1")
    migrator.rollback("migration_1", exact=True)
    for entry in migrator.dropped():
        migrator.undrop(entry.name)
    migrator.purge()


def plans(migrator: Watched, migrations: Migrations, db: Documents, _cli: Cli) -> None:
    """Operations that would fail, and a rollback that would stop on its way."""
    db["users"].insert_many([{"_id": number, "email": "x"} for number in range(9)])
    rules = {"validator": {"email": {"$type": "int"}}}
    up = [
        UNIQUE,
        {"type": "modify_collection", "collection": "users", "options": rules},
        update("users", {}, {"$set": {"n": 1}}),
        {"type": "drop_collection", "collection": "users"},
    ]
    checks = {"before": [{"type": "count", "collection": "users", "at_least": 10}]}
    document = {"name": "checked", "up": {"operations": up}, "checks": checks}
    migrations.raw("migration_1_checked.json", json.dumps(document))
    migrator.plan()
    migrations.directory.joinpath("migration_1_checked.json").unlink()
    db["other"].insert_one({"_id": 1})
    migrations.write(1, [update("users", {}, {"$set": {"a": 1}})])
    migrations.write(2, [update("other", {}, {"$set": {"a": 1}})])
    migrations.write(3, [{"type": "drop_collection", "collection": "users"}])
    migrator.apply()
    migrator.require_current()
    migrator.mark("migration_3", "rolled_back")
    assert migrator.plan_rollback(exact=True).blocked is not None


def locks(migrator: Watched, migrations: Migrations, db: Documents, cli: Cli) -> None:
    migrations.write(1, [GATE])
    with closed_gate(db) as reached:
        process = cli.start("apply")
        reached()
        process.kill()
        process.wait()
    assert migrator.status().lock is not None
    assert migrator.unlock(force=True).owner is not None


def backups(migrator: Watched, _migrations: Migrations, db: Documents, _cli: Cli) -> None:
    db["users"].insert_one({"_id": 1})
    made = migrator.backup()
    assert made.cluster_time is not None
    migrator.list_backups()
    migrator.verify_backup(made.name)
    migrator.restore(made.name)
    migrator.prune_backups(5)
    # What a restore that was killed leaves.
    head = {"_id": "restore", "backup": made.name, "phase": "building", "host": "h", "user": "u"}
    db["migrations_restore"].insert_one({**head, "since": datetime.now(timezone.utc)})
    assert migrator.status().unfinished_restore is not None


def rights(server: LocalServer, migrations: Migrations) -> None:
    """A plan of somebody who may only read."""
    with pymongo.MongoClient[dict[str, Any]](login(server, "teacher", "s3cr3t!")) as client:
        role = {"role": "read", "db": "school"}
        client["admin"].command("createUser", "guest", pwd="p", roles=[role])
        client["school"]["users"].insert_one({"_id": 1})
    migrations.write(1, [update("users", {}, {"$set": {"n": 1}})])
    guest = Watched(login(server, "guest", "p"), "school", migrations_dir=migrations.directory)
    assert guest.plan().rights.missing


def assessments(migrator: Watched, _migrations: Migrations, db: Documents, _cli: Cli) -> None:
    """A document that cannot be mapped, and one whose `_id` another one has."""
    fill_recorded(db, ROOT / "tests" / "fixtures" / "legacy")
    db["assessments"].insert_one({"_id": 1, "title": 5})
    taken = db["teacher_assessments"].distinct("_id")[0]
    db["assessments"].insert_one({"_id": taken, "title": "another"})
    migrator.assessment_migrate(dry_run=True, ids="keep")
    report = migrator.assessment_migrate(ids="keep")
    assert report.unmapped and report.clashes and report.meant
    migrator.assessment_rollback()


def rehearsals(migrator: Watched, migrations: Migrations, db: Documents, _cli: Cli) -> None:
    """Down scripts that bring nothing back, and one that fails."""
    db["users"].insert_many([{"_id": number, "email": "x"} for number in range(9)])
    migrator.backup()
    up = [
        update("users", {"_id": 1}, {"$set": {"email": "y"}}),
        {"type": "create_index", "collection": "users", "index": "email"},
        {"type": "modify_collection", "collection": "users", "options": STRINGS},
    ]
    migrations.write(1, up, [update("users", {}, {"$set": {"email": "z"}})])
    migrations.write(2, [{"type": "create_collection", "collection": "made"}], [UNIQUE])
    report = migrator.rehearse()
    assert report.migrations[0].down and report.migrations[1].failures


PARTS: list[Callable[[Watched, Migrations, Documents, Cli], None]] = [
    files,
    runs,
    plans,
    locks,
    backups,
    assessments,
    rehearsals,
]
