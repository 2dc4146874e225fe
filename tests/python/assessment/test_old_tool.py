"""An assessment migration that the old tool did, rolled back from what it left."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from bson import ObjectId

from assessment_documents import both, stored
from assessment_model import as_bytes
from assessment_runs import (
    Documents,
    fill_migrated_by_old_tool,
    fill_recorded,
    hashes,
    migrate,
    one,
    recorded,
    rollback,
    set_,
    told,
)
from conftest import Cli

ALGEBRA = ObjectId("65a1b2c3d4e5f60000000001")
CELLS = ObjectId("65a1b2c3d4e5f60000000003")
PLANTS = ObjectId("65a1b2c3d4e5f60000000065")
COPY_OF_PLANTS = ObjectId("6b02f0e2516742ea7d82df68")
BACKUP = "6b02f0e2516742ea7d82df67"
LATER = datetime(2030, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def before(db: Documents, legacy: Path) -> dict[str, dict[bytes, bytes]]:
    """Both collections as bytes, before the old tool came; then as it left them."""
    fill_recorded(db, legacy)
    found = both(db)
    for name in found:
        db.drop_collection(name)
    fill_migrated_by_old_tool(db, legacy)
    assert both(db) != found
    return found


def test_without_edits_every_byte_returns(
    db: Documents, cli: Cli, before: dict[str, dict[bytes, bytes]]
) -> None:
    kept = hashes(db)["assessment_backup"]
    report = rollback(cli)
    assert both(db) == before
    assert report["from_old_backup"] in (BACKUP, {"$oid": BACKUP})
    assert report["regular"]["restored"] == 5 and report["teacher"]["restored"] == 3
    # It noted no time of its own, so that a later updated_at cannot be told from the tool's.
    assert any("updated_at" in text for text in report["unknown"])
    assert hashes(db)["assessment_backup"] == kept
    # And the second time there is nothing left of it.
    again = rollback(cli)
    assert again["nothing_to_roll_back"] is True
    assert both(db) == before


@pytest.mark.usefixtures("before")
def test_in_words(cli: Cli) -> None:
    done = cli("assessment-rollback")
    assert done.code == 0, told(done)
    assert {"  Restored regular: 5", "  Restored teacher: 3"} <= set(done.lines)
    assert BACKUP in done.stdout and "updated_at" in done.stdout


@pytest.mark.usefixtures("before")
def test_later_edits_stay(db: Documents, cli: Cli, legacy: Path) -> None:
    set_(db, "assessments", ALGEBRA, {"title": "edited", "batches": ["b9"], "own": 1})
    set_(db, "assessments", CELLS, {"settings.allow_review": False, "created_at": LATER})
    db["assessments"].insert_one({"_id": "new", "title": "newer"})
    new = stored(db, "assessments")[as_bytes("new")]
    report = rollback(cli)
    algebra = one(db, "assessments", ALGEBRA)
    originals = {each["_id"]: each for each in recorded(legacy, "before_assessments")}
    edited = {"title": "edited", "batches": ["b9"], "own": 1}
    assert {name: algebra.get(name) for name in edited} == edited
    assert algebra == {**originals[ALGEBRA], **edited}
    cells = one(db, "assessments", CELLS)
    assert cells["settings"] == {"allow_review": False} and cells["created_at"] == LATER
    # The tool noted no time: what else it wrote is gone.
    assert set(cells) - {"updated_at"} == {*originals[CELLS], "settings", "created_at"}
    assert stored(db, "assessments")[as_bytes("new")] == new
    assert report["regular"]["restored"] == 3 and report["regular"]["restored_with_edits"] == 2
    assert report["kept_newer"] >= 1
    assert db["assessments"].count_documents({}) == 6


@pytest.mark.usefixtures("before")
def test_edits_of_its_copies_are_carried_back(db: Documents, cli: Cli) -> None:
    edits = {"title": "edited", "created_by": "somebody", "settings.allow_review": False, "own": 1}
    set_(db, "assessments", COPY_OF_PLANTS, edits)
    report = rollback(cli)
    plants = one(db, "teacher_assessments", PLANTS)
    assert (plants["title"], plants["teacher_id"], plants["own"]) == ("edited", "somebody", 1)
    # The tool took the settings from nowhere.
    assert plants["config"]["allow_review"] is False
    assert plants.get("settings", {}).get("allow_review", False) is False
    assert plants["topic"] == "Photosynthesis"
    assert report["carried_back"] >= 1
    assert report["teacher"]["restored_with_edits"] == 1
    assert db["assessments"].count_documents({}) == 5


def test_documents_gone_and_teachers_edits(
    db: Documents, cli: Cli, before: dict[str, dict[bytes, bytes]]
) -> None:
    db["assessments"].delete_one({"_id": ALGEBRA})
    db["assessments"].delete_one({"_id": COPY_OF_PLANTS})
    set_(db, "teacher_assessments", ObjectId("65a1b2c3d4e5f60000000066"), {"topic": "T"})
    edited = both(db)["teacher_assessments"]
    report = rollback(cli)
    assert report["regular"]["gone"] == report["teacher"]["gone"] == 1
    expected = dict(before["assessments"])
    del expected[as_bytes(ALGEBRA)]
    assert both(db) == {"assessments": expected, "teacher_assessments": edited}


@pytest.mark.usefixtures("before")
def test_what_we_added_to_it_goes_first(db: Documents, cli: Cli) -> None:
    """Our own run over the old tool's: both are undone, ours and then its."""
    db["teacher_assessments"].insert_one({"_id": "later", "topic": "x"})
    db["assessments"].insert_one({"_id": "later", "title": "x"})
    assert migrate(cli)["teacher"]["migrated"] == 1
    while not rollback(cli)["nothing_to_roll_back"]:
        pass
    assert db["assessments"].count_documents({"migration_source": {"$exists": True}}) == 0
    assert db["assessments"].count_documents({}) == 6
    assert one(db, "assessments", "later") == {"_id": "later", "title": "x"}


def test_its_backup_alone_is_nothing_to_roll_back(db: Documents, cli: Cli, legacy: Path) -> None:
    """A backup, and documents that nobody unified: the old tool rolled back, or never began."""
    db["assessment_backup"].insert_many(recorded(legacy, "assessment_backup"))
    fill_recorded(db, legacy)
    found = both(db)
    report = rollback(cli)
    assert both(db) == found
    assert report["regular"]["restored_with_edits"] == 0
