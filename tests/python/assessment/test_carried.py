"""`assessment-rollback` of teacher assessments: the edits of their copies are carried back."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from bson import ObjectId

from assessment_documents import both, stored
from assessment_model import Document, as_bytes, at_path, copy_id
from assessment_runs import Documents, migrate, one, rollback, set_
from conftest import Cli
from edulearn_migrate import Migrator

PLANTS = ObjectId("65a1b2c3d4e5f60000000065")
FRACTIONS = ObjectId("65a1b2c3d4e5f60000000066")
COPY = copy_id(PLANTS)
LATER = datetime(2030, 1, 1, tzinfo=timezone.utc)


TEACHER: Document = {
    "_id": PLANTS,
    "title": "Plants",
    "topic": "Biology",
    "teacher_id": ObjectId("65a1b2c3d4e5f60000000388"),
    "created_at": "2024-01-05T10:30:00+02:00",
    "assigned_batches": ["b1"],
    "batches": [],
    "show_correct_answers": False,
    "config": {"shuffle_questions": True, "shuffle_options": False, "max_attempts": 3},
    "settings": {"allow_review": False, "own": 1},
    "own": {"a": 1, "b": {"c": 2}},
}


@pytest.mark.parametrize(
    ("edit", "carried"),
    [
        ({"title": "T"}, {"title": "T"}),
        ({"subject": "S"}, {"topic": "S"}),
        ({"created_by": "c"}, {"teacher_id": "c"}),
        ({"created_at": LATER}, {"created_at": LATER}),
        ({"batches": ["b2"]}, {"assigned_batches": ["b2"]}),
        ({"max_attempts": 9}, {"config.max_attempts": 9}),
        ({"settings.randomize_questions": False}, {"config.shuffle_questions": False}),
        ({"settings.show_correct_answers": True}, {"show_correct_answers": True}),
        ({"settings.allow_review": True}, {"settings.allow_review": True}),
        ({"settings.time_limit_enforced": False}, {"settings.time_limit_enforced": False}),
        ({"settings.own": 2}, {"settings.own": 2}),
        ({"settings.new": 2}, {"settings.new": 2}),
        ({"questions": [{"question": "?"}]}, {"questions": [{"question": "?"}]}),
        ({"description": "D"}, {"description": "D"}),
        ({"updated_at": LATER}, {"updated_at": LATER}),
        ({"topic": "X"}, {"topic": "X"}),
        ({"config.shuffle_options": True}, {"config.shuffle_options": True}),
        ({"own.b.c": 3}, {"own.b.c": 3}),
        ({"new": {"x": [1]}}, {"new": {"x": [1]}}),
        ({"title": "T", "subject": "S"}, {"title": "T", "topic": "S"}),
    ],
)
def test_an_edit_of_the_copy_is_carried_back(
    db: Documents, cli: Cli, edit: Any, carried: Any
) -> None:
    db["teacher_assessments"].insert_many([TEACHER, {**TEACHER, "_id": FRACTIONS}])
    before = both(db)
    migrate(cli)
    set_(db, "assessments", COPY, edit)
    report = rollback(cli)
    assert db["assessments"].count_documents({}) == 0
    # What the server makes of the same edit, made to the teacher's own document.
    db["teacher_assessments"].insert_one({**TEACHER, "_id": "expected"})
    set_(db, "teacher_assessments", "expected", carried)
    expected = {**one(db, "teacher_assessments", "expected"), "_id": PLANTS}
    assert one(db, "teacher_assessments", PLANTS) == expected
    untouched = as_bytes(FRACTIONS)
    assert stored(db, "teacher_assessments")[untouched] == before["teacher_assessments"][untouched]
    assert report["carried_back"] >= 1
    assert report["teacher"]["restored"] == report["teacher"]["restored_with_edits"] == 1
    assert report["teacher"]["conflicts"] == 0


@pytest.mark.parametrize(
    ("edited", "source"),
    [
        ("created_by", "teacher_id"),
        ("subject", "topic"),
        ("settings.randomize_questions", "config.shuffle_questions"),
    ],
)
def test_an_edit_to_a_document_goes_where_any_edit_goes(
    db: Documents, cli: Cli, edited: str, source: str
) -> None:
    db["teacher_assessments"].insert_one(TEACHER)
    migrate(cli)
    set_(db, "assessments", COPY, {edited: {"a": {"b": 1}}})
    rollback(cli)
    found = one(db, "teacher_assessments", PLANTS)
    assert at_path(found, source) == {"a": {"b": 1}}
    assert set(found) == set(TEACHER)


def test_what_the_model_does_not_take_is_not_removed(db: Documents, cli: Cli) -> None:
    """A document under a name that the model has, where another source won: it stays."""
    own = {**TEACHER, "created_by": {"x": 1}}
    db["teacher_assessments"].insert_one(own)
    migrate(cli)
    set_(db, "assessments", COPY, {"title": "edited"})
    rollback(cli)
    assert one(db, "teacher_assessments", PLANTS) == {**own, "title": "edited"}


def test_a_field_taken_away_on_the_copy(db: Documents, cli: Cli) -> None:
    db["teacher_assessments"].insert_one(TEACHER)
    migrate(cli)
    gone = {"subject": "", "own.b": "", "settings.randomize_questions": "", "description": ""}
    db["assessments"].update_one({"_id": COPY}, {"$unset": gone})
    rollback(cli)
    found = one(db, "teacher_assessments", PLANTS)
    assert "topic" not in found and found["own"] == {"a": 1}
    assert found["config"] == {"shuffle_options": False, "max_attempts": 3}
    assert "description" not in found


@pytest.mark.parametrize("ids", ["new", "keep"])
def test_where_both_were_edited_the_teachers_own_stays(
    db: Documents, cli: Cli, migrator: Migrator, ids: str
) -> None:
    db["teacher_assessments"].insert_one(TEACHER)
    migrate(cli, "--ids", ids)
    copied = COPY if ids == "new" else PLANTS
    copy = {"subject": "C", "title": "C", "settings.randomize_questions": False, "own.a": 5}
    copy["time_limit"] = 7
    set_(db, "assessments", copied, copy)
    own = {"topic": "T", "config.shuffle_questions": "T", "config.max_attempts": 9, "new": 6}
    set_(db, "teacher_assessments", PLANTS, own)
    report = rollback(cli)
    found = one(db, "teacher_assessments", PLANTS)
    assert (found["topic"], found["title"]) == ("T", "C")
    assert found["config"]["shuffle_questions"] == "T" and found["config"]["max_attempts"] == 9
    assert found["own"] == {"a": 5, "b": {"c": 2}} and found["new"] == 6
    assert found["time_limit"] == 7
    assert report["teacher"]["conflicts"] == 1, "documents are counted"
    assert db["assessments"].count_documents({}) == 0
    # The copy's values are set aside, not lost.
    (dropped,) = [each for each in migrator.dropped() if each.kind == "documents"]
    migrator.undrop(dropped.name, to="brought_back")
    assert one(db, "brought_back", copied)["subject"] == "C"


def test_an_edit_of_the_teachers_own_stays(school: Documents, cli: Cli) -> None:
    migrate(cli)
    set_(school, "teacher_assessments", PLANTS, {"topic": "T", "subject": "S", "new": 1})
    edited = both(school)["teacher_assessments"]
    report = rollback(cli)
    assert both(school)["teacher_assessments"] == edited
    assert report["teacher"]["conflicts"] == report["carried_back"] == 0
    assert school["assessments"].count_documents({}) == 5


def test_a_copy_deleted_since(school: Documents, cli: Cli) -> None:
    before = both(school)
    migrate(cli)
    school["assessments"].delete_one({"_id": COPY})
    report = rollback(cli)
    assert report["teacher"]["gone"] == 1 and report["teacher"]["restored"] == 2
    # That document was never the migration's.
    assert both(school) == before


@pytest.mark.parametrize("edit", [{}, {"title": "edited since"}])
def test_a_teachers_document_deleted_since(
    school: Documents, cli: Cli, migrator: Migrator, edit: Document
) -> None:
    migrate(cli)
    if edit:
        set_(school, "assessments", COPY, edit)
    copy = one(school, "assessments", COPY)
    school["teacher_assessments"].delete_one({"_id": PLANTS})
    report = rollback(cli)
    assert report["teacher"]["gone"] == 1 and report["teacher"]["restored"] == 2
    assert school["teacher_assessments"].find_one(PLANTS) is None, "it stays deleted"
    if school["assessments"].find_one(COPY) is None:
        for each in migrator.dropped():
            if each.kind == "documents":
                migrator.undrop(each.name, to="brought_back")
        assert one(school, "brought_back", COPY) == copy


def test_the_copy_of_a_clash_goes_the_other_stays(school: Documents, cli: Cli) -> None:
    school["assessments"].insert_one({"_id": PLANTS, "title": "another"})
    before = both(school)
    report = migrate(cli, "--ids", "keep")
    new = ObjectId(report["clashes"][0]["new_id"]["$oid"])
    set_(school, "assessments", new, {"subject": "edited"})
    rollback(cli)
    after = both(school)
    assert after["assessments"] == before["assessments"]
    assert one(school, "teacher_assessments", PLANTS)["topic"] == "edited"
