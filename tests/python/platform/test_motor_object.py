"""The database object of the platform, as it makes it, passed to the drop-in classes."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from assessment_documents import both
from assessment_model import copy_id
from assessment_runs import Documents
from edulearn_migrate import AssessmentModelMigration, MigrationManager
from school_app import CLIENT_OPTIONS
from school_data import REGULAR, TEACHERS, fill

UP = {"operations": [{"type": "create_index", "collection": "users", "index": "batch_id"}]}
DOWN = {"operations": [{"type": "drop_index", "collection": "users", "index": "batch_id_1"}]}


@pytest.fixture
async def database(server_uri: str, db: Documents) -> AsyncIterator[Any]:
    """As the platform opens it, with its data."""
    fill(db)
    assert CLIENT_OPTIONS["socketTimeoutMS"] == 20_000
    client: Any = AsyncIOMotorClient(server_uri, **CLIENT_OPTIONS)
    yield client[db.name]
    client.close()


def indexes(db: Documents) -> set[str]:
    return set(db["users"].index_information())


async def test_migrations(database: Any, db: Documents, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="edulearn_migrate")
    manager = MigrationManager(database)
    await manager.initialize()
    assert manager.db is database
    assert manager.migration_history == []
    # Its limit on requests is for the application's own; that is said, and no more.
    assert "socketTimeoutMS" in caplog.text
    made = await manager.create_migration("batches", json.dumps(UP), json.dumps(DOWN))
    status = await manager.get_migration_status()
    assert (status["total"], status["pending"], status["applied"]) == (1, 1, 0)
    assert await manager.apply_all_pending() == [made]
    assert indexes(db) == {"_id_", "batch_id_1"}
    assert (await manager.get_migration_status())["applied"] == 1
    assert await manager.rollback_migration(made) is True
    assert indexes(db) == {"_id_"}
    assert (await manager.get_migration_status())["rolled_back"] == 1
    # The application goes on with its client.
    assert await database["users"].count_documents({}) == db["users"].count_documents({})


async def test_assessments(database: Any, db: Documents, tmp_path: Any) -> None:
    before = both(db)
    migration = AssessmentModelMigration(database, backup_dir=tmp_path / "backups")
    assert migration.assessments_collection.name == "assessments"
    report = await migration.migrate_to_unified_model()
    assert report["regular_assessments"] == {"migrated": len(REGULAR), "errors": 0, "already": 0}
    assert report["teacher_assessments"] == {"migrated": len(TEACHERS), "errors": 0, "already": 0}
    assert report["validation"]["is_valid"] is True
    copies = {copy_id(each["_id"]) for each in TEACHERS}
    found = await database["assessments"].find({}, {"_id": 1}).to_list(None)
    assert copies <= {each["_id"] for each in found}
    back = await migration.rollback_migration()
    assert back["restore"]["conflicts"] == 0
    assert both(db) == before
    assert await database["teacher_assessments"].count_documents({}) == len(TEACHERS)
