"""`assessment-rollback` from outside: what goes back, what stays, what is carried back."""

from __future__ import annotations

import random
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from bson import Int64, ObjectId

from assessment_documents import both, odd, random_document, random_id, stored
from assessment_model import COLLECTIONS, INDEXES, KINDS, Document, Unmappable, as_bytes, unify
from assessment_runs import (
    Documents,
    hashes,
    migrate,
    one,
    recorded,
    rollback,
    set_,
    told,
    user_collections,
)
from conftest import Cli
from harness import SEED
from oddities import insert_raw

ALGEBRA = ObjectId("65a1b2c3d4e5f60000000001")
PLANTS = ObjectId("65a1b2c3d4e5f60000000065")
FRACTIONS = ObjectId("65a1b2c3d4e5f60000000066")
LATER = datetime(2030, 1, 1, tzinfo=timezone.utc)


def original(legacy: Path, kind: str, _id: Any) -> Document:
    """A recorded document as it was before."""
    name = "assessments" if kind == "regular" else "teacher_assessments"
    (found,) = [each for each in recorded(legacy, f"before_{name}") if each["_id"] == _id]
    return found


# -- without edits


def test_the_lines_that_scripts_look_for(school: Documents, cli: Cli) -> None:
    before = both(school)
    migrate(cli)
    done = cli("assessment-rollback")
    assert done.code == 0, told(done)
    closing = [
        "Starting assessment migration rollback...",
        "✓ Assessment rollback completed:",
        "  Restored regular: 5",
        "  Restored teacher: 3",
        "  Indexes dropped: 5",
    ]
    places = [done.lines.index(each) for each in closing]
    assert places == sorted(places)
    assert both(school) == before
    assert set(school["assessments"].index_information()) == {"_id_"}
    assert user_collections(school) == set(COLLECTIONS.values())


def test_the_report(school: Documents, cli: Cli) -> None:
    migrate(cli)
    report = rollback(cli)
    none = {"restored_with_edits": 0, "gone": 0, "conflicts": 0}
    assert report["database"] == school.name
    assert report["nothing_to_roll_back"] is False
    assert report["regular"].items() >= {"restored": 5, **none}.items()
    assert report["teacher"].items() >= {"restored": 3, **none}.items()
    assert report["kept_newer"] == report["carried_back"] == 0
    assert sorted(report["indexes_dropped"]) == sorted(INDEXES)
    assert report["from_old_backup"] is None and report["unknown"] == []


def test_twice_there_and_back_every_byte_returns(db: Documents, cli: Cli) -> None:
    print(f"EDULEARN_SEED={SEED}")
    dice = random.Random(SEED)
    for at, kind in enumerate(KINDS):
        db[COLLECTIONS[kind]].insert_many(
            random_document(dice, kind, random_id(dice, 1000 * at + n)) for n in range(200)
        )
        insert_raw(db, COLLECTIONS[kind], [odd(f"odd {kind}"), odd(ObjectId())])
    before = both(db)
    for _ in range(2):
        migrate(cli, "--accept-unmapped")
        assert both(db) != before
        rollback(cli)
        assert both(db) == before


def test_a_second_rollback_has_nothing_to_do(school: Documents, cli: Cli) -> None:
    migrate(cli)
    rollback(cli)
    before = both(school)
    report = rollback(cli)
    assert report["nothing_to_roll_back"] is True
    assert report["regular"]["restored"] == report["teacher"]["restored"] == 0
    done = cli("assessment-rollback")
    assert done.code == 0, told(done)
    assert "othing to roll back" in done.stdout
    assert both(school) == before


def test_a_rollback_of_nothing_creates_nothing(db: Documents, cli: Cli) -> None:
    assert rollback(cli)["nothing_to_roll_back"] is True
    assert user_collections(db) == set()
    db["assessments"].insert_one({"_id": 1})
    before = both(db)
    assert rollback(cli)["nothing_to_roll_back"] is True
    assert both(db) == before


def test_from_any_host(school: Documents, cli: Cli, tmp_path: Path) -> None:
    """What it needs is in the database, not in the backup's directory."""
    before = both(school)
    migrate(cli)
    shutil.rmtree(cli.directory / "backups")
    (tmp_path / "elsewhere").mkdir()
    done = cli("assessment-rollback", cwd=tmp_path / "elsewhere")
    assert done.code == 0, told(done)
    assert both(school) == before


def test_every_run_is_undone(school: Documents, cli: Cli) -> None:
    """Three runs migrated something; rollback undoes them all, and the wrong ones stay."""
    before = both(school)
    migrate(cli)
    later: list[Document] = [{"_id": f"later {at}", "title": "x"} for at in range(5)]
    for name in COLLECTIONS.values():
        school[name].insert_many({**each, "_id": f"{each['_id']} {name}"} for each in later)
        before[name].update(
            (key, value) for key, value in stored(school, name).items() if b"later" in key
        )
        migrate(cli)
    report = rollback(cli)
    assert report["regular"]["restored"] == 10 and report["teacher"]["restored"] == 8
    assert both(school) == before


# -- regular assessments, edited since


@pytest.mark.parametrize(
    ("edit", "stays"),
    [
        ({"subject": "edited"}, {"subject": "edited"}),
        ({"batches": ["b9"]}, {"batches": ["b9"]}),
        ({"updated_at": LATER}, {"updated_at": LATER}),
        ({"total_attempts": 7}, {"total_attempts": 7}),
        ({"total_attempts": Int64(0)}, {"total_attempts": 0}),
        ({"settings.allow_review": False}, {"settings": {"allow_review": False}}),
        ({"settings.own": 1}, {"settings": {"own": 1}}),
        ({"settings": "gone"}, {"settings": "gone"}),
        ({"own": {"a": 1}}, {"own": {"a": 1}}),
        ({"title": "edited", "is_active": True}, {"title": "edited", "is_active": True}),
    ],
)
def test_an_edited_value_stays(
    school: Documents, cli: Cli, legacy: Path, edit: Any, stays: Any
) -> None:
    migrate(cli)
    set_(school, "assessments", ALGEBRA, edit)
    report = rollback(cli)
    # All that the migration wrote and nobody changed is gone.
    expected = {**original(legacy, "regular", ALGEBRA), **stays}
    assert one(school, "assessments", ALGEBRA) == expected
    regular = report["regular"]
    assert regular["restored"] + regular["restored_with_edits"] == 5
    if set(edit) & {"batches", "updated_at", "total_attempts", "settings.allow_review"}:
        assert regular["restored_with_edits"] == 1


def test_settings_go_back_key_by_key(db: Documents, cli: Cli) -> None:
    settings = {"z": 1, "allow_review": None}
    db["assessments"].insert_many({"_id": at, "settings": settings} for at in range(2))
    migrate(cli)
    set_(db, "assessments", 0, {"settings.allow_review": False, "settings.z": 2})
    report = rollback(cli)
    assert one(db, "assessments", 0) == {"_id": 0, "settings": {"z": 2, "allow_review": False}}
    assert one(db, "assessments", 1) == {"_id": 1, "settings": settings}
    assert report["regular"]["restored_with_edits"] == report["regular"]["restored"] == 1


def test_a_field_taken_away_since_stays_away(school: Documents, cli: Cli, legacy: Path) -> None:
    migrate(cli)
    change = {"$unset": {"batches": "", "title": "", "settings.allow_review": ""}}
    school["assessments"].update_one({"_id": ALGEBRA}, change)
    rollback(cli)
    expected = original(legacy, "regular", ALGEBRA)
    del expected["title"]
    assert one(school, "assessments", ALGEBRA) == expected


def test_deleted_and_newer_documents(school: Documents, cli: Cli) -> None:
    migrate(cli)
    school["assessments"].delete_one({"_id": ALGEBRA})
    school["assessments"].insert_many([{"_id": "new", "title": "n"}, {"_id": "new 2"}])
    school["teacher_assessments"].insert_one({"_id": "new t", "topic": "n"})
    new = stored(school, "assessments")[as_bytes("new")]
    report = rollback(cli)
    assert report["regular"]["gone"] == 1 and report["regular"]["restored"] == 4
    assert report["kept_newer"] >= 2
    assert school["assessments"].find_one(ALGEBRA) is None
    assert stored(school, "assessments")[as_bytes("new")] == new
    assert school["assessments"].count_documents({}) == 6
    assert school["teacher_assessments"].count_documents({}) == 4


def test_a_document_that_cannot_be_mapped_is_never_touched(db: Documents, cli: Cli) -> None:
    dice = random.Random(SEED)
    documents = [random_document(dice, "regular", at, wrong=0.2) for at in range(100)]
    wrong = [each["_id"] for each in documents if isinstance(unify(each, "regular"), Unmappable)]
    assert wrong
    db["assessments"].insert_many(documents)
    migrate(cli, "--accept-unmapped")
    set_(db, "assessments", wrong[0], {"title": "edited"})
    edited = stored(db, "assessments")[as_bytes(wrong[0])]
    report = rollback(cli)
    assert report["regular"]["restored"] == 100 - len(wrong)
    assert stored(db, "assessments")[as_bytes(wrong[0])] == edited


# -- what is retained


def test_after_a_purge(school: Documents, cli: Cli) -> None:
    migrate(cli)
    before = hashes(school)["assessments"]
    purged = cli("purge")
    assert purged.code in (0, 1), told(purged)
    done = cli("assessment-rollback")
    if done.code == 0:
        # It was kept, as what an applied migration may need; then it said so.
        assert "assessment" in purged.stdout
        assert "  Restored regular: 5" in done.lines
    else:
        assert done.code == 1, told(done)
        assert "purge" in done.stdout and "backup" in done.stdout
        assert hashes(school)["assessments"] == before
