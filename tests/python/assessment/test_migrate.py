"""`assessment-migrate` from outside: its lines, exit codes and reports, and what it leaves."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId, json_util

from assessment_documents import both, random_document
from assessment_model import COLLECTIONS, INDEXES, KINDS, Document
from assessment_runs import (
    Documents,
    check_unified,
    fill_migrated_by_old_tool,
    hashes,
    migrate,
    now,
    read,
    rollback,
    told,
    user_collections,
)
from conftest import Cli
from edulearn_migrate import Migrator
from harness import SEED, names_in

TEACHER = ObjectId("65a1b2c3d4e5f60000000065")


def state(db: Documents) -> dict[str, Document]:
    return {name: read(db, name) for name in COLLECTIONS.values()}


def wrong_ones(count: int) -> list[Document]:
    """Documents that cannot be mapped."""
    return [{"_id": f"wrong-{at:03}", "title": at} for at in range(count)]


# -- what is printed


def test_the_lines_that_scripts_look_for(school: Documents, cli: Cli) -> None:
    done = cli("assessment-migrate")
    assert done.code == 0, told(done)
    lines = done.lines
    assert lines.index("Starting assessment model migration...") < lines.index(
        "✓ Assessment migration completed:"
    )
    closing = [
        "✓ Assessment migration completed:",
        "  Regular assessments: 5",
        "  Teacher assessments: 3",
        "  Indexes created: 5",
        "  Validation: ✓",
    ]
    places = [lines.index(each) for each in closing]
    assert places == sorted(places)
    (backup,) = names_in(cli.directory / "backups")
    assert backup in done.stdout, "it says where the backup is"
    assert school.name in done.stdout.split("Starting")[0], "it names the database first"
    assert hashes(school)["assessments"] and len(school["assessments"].distinct("_id")) == 8


@pytest.mark.usefixtures("school")
def test_each_step_is_told_in_its_order(cli: Cli) -> None:
    done = cli("assessment-migrate", "--no-progress")
    both_streams = done.stdout.split("✓ Assessment migration completed:")[0] + done.stderr
    at = 0
    for word in ("back", "regular", "teacher", "index", "valid"):
        found = both_streams.lower().find(word, at)
        assert found >= 0, f"{word} is not told after {both_streams[:at]!r}\n{told(done)}"
        at = found


@pytest.mark.parametrize("options", [(), ("--quiet",), ("--no-progress",)])
def test_what_cannot_be_mapped(school: Documents, cli: Cli, options: tuple[str, ...]) -> None:
    school["assessments"].insert_many(wrong_ones(25))
    before = state(school)
    began = now()
    done = cli("assessment-migrate", *options)
    assert done.code == 1, told(done)
    assert "  Validation: ✗" in done.lines
    assert "  Regular assessments: 5" in done.lines
    listed = [f"wrong-{at:03}" for at in range(25) if f"wrong-{at:03}" in done.stdout]
    assert len(listed) == 20, told(done)
    assert "Traceback" not in done.stderr
    # Everything else is migrated.
    assert len(check_unified(before, school, began)) == 25
    # All of them are in the history.
    history = json_util.dumps(list(school["migrations_history"].find()))
    assert all(f"wrong-{at:03}" in history for at in range(25))
    # And said again, and again not valid, until somebody mends them or accepts it.
    report = migrate(cli, code=1)
    assert len(report["unmapped"]) == report["regular"]["unmapped"] == 25
    assert report["validation"]["valid"] is False
    report = migrate(cli, "--accept-unmapped")
    assert report["validation"]["valid"] is True and len(report["unmapped"]) == 25
    school["assessments"].update_many({"title": {"$type": "int"}}, {"$set": {"title": "mended"}})
    report = migrate(cli)
    assert (report["regular"]["migrated"], report["unmapped"]) == (25, [])
    assert report["validation"]["valid"] is True


def test_each_of_them_is_told_with_field_and_reason(school: Documents, cli: Cli) -> None:
    school["assessments"].insert_one({"_id": 77, "time_limit": "an hour"})
    school["teacher_assessments"].insert_one({"_id": 78, "topic": ["a"]})
    report = migrate(cli, code=1)
    listed = sorted((each["collection"], each["_id"], each["field"]) for each in report["unmapped"])
    assert listed == [("assessments", 77, "time_limit"), ("teacher_assessments", 78, "topic")]
    assert "string" in report["unmapped"][0]["reason"]
    done = cli("assessment-migrate", "--accept-unmapped")
    assert done.code == 0, told(done)
    (line,) = [each for each in done.lines if "time_limit" in each]
    assert "77" in line and report["unmapped"][0]["reason"] in line


def test_json_is_one_document(school: Documents, cli: Cli) -> None:
    report = migrate(cli)
    assert report["database"] == school.name
    assert report["dry_run"] is False
    backup = report["backup"]
    assert backup["documents"] == 8
    assert Path(backup["path"]) == cli.directory / "backups" / backup["name"]
    none = {"already": 0, "unmapped": 0, "dates_converted": 0}
    assert report["regular"].items() >= {"migrated": 5, **none}.items()
    assert report["teacher"].items() >= {"migrated": 3, **none, "clashes": 0}.items()
    assert (report["ids"], report["meant"]) == ("new", None)
    assert report["copies"] == {"kept_ids": 0, "new_ids": 3}
    assert sorted(report["indexes"]["created"]) == sorted(INDEXES)
    assert report["indexes"]["standing"] == []
    assert report["unmapped"] == report["clashes"] == []
    validation = report["validation"]
    assert validation["valid"] is True and validation["problems"] == []
    assert report["seconds"] > 0
    listed = json.loads(cli("backups", "list", "--json").stdout)
    ((kind, name),) = [(each["kind"], each["name"]) for each in listed]
    assert (kind, name) == ("assessment", backup["name"])
    assert cli("backups", "verify", backup["name"]).code == 0


def test_the_indexes(school: Documents, cli: Cli) -> None:
    migrate(cli)
    found = school["assessments"].index_information()
    for name, keys in INDEXES.items():
        assert {**found.pop(name), "v": 2} == {"v": 2, "key": keys}
    assert set(found) == {"_id_"}


# -- dry run


def test_a_dry_run_writes_nothing(school: Documents, cli: Cli) -> None:
    school["assessments"].insert_many(wrong_ones(3))
    school["assessments"].insert_one({"_id": TEACHER, "title": "another"})
    school["teacher_assessment_results"].insert_one({"assessment_id": str(TEACHER)})
    before, names = hashes(school), school.client.list_database_names()
    report = migrate(cli, "--dry-run", "--ids", "keep", code=1)
    assert report["dry_run"] is True
    assert report["backup"] is None
    assert report["regular"]["migrated"] == 6 and report["regular"]["unmapped"] == 3
    assert report["teacher"]["migrated"] == 3 and report["teacher"]["clashes"] == 1
    assert [each["_id"] for each in report["unmapped"]] == [f"wrong-{at:03}" for at in range(3)]
    (clash,) = report["clashes"]
    assert (clash["_id"], clash["references"]) == ({"$oid": str(TEACHER)}, 1)
    assert migrate(cli, "--dry-run", "--accept-unmapped")["clashes"] == []
    assert hashes(school) == before
    assert school.client.list_database_names() == names
    assert names_in(cli.directory) == set()
    assert set(school["assessments"].index_information()) == {"_id_"}
    # What it said is what is done.
    done = migrate(cli, "--accept-unmapped", "--ids", "keep")
    for kind in KINDS:
        assert done[kind] == report[kind]
    after = hashes(school)
    report = migrate(cli, "--dry-run", "--accept-unmapped", "--ids", "keep")
    assert (report["regular"]["migrated"], report["teacher"]["migrated"]) == (0, 0)
    assert hashes(school) == after


def test_a_dry_run_in_words(school: Documents, cli: Cli) -> None:
    school["assessments"].insert_many(wrong_ones(1))
    done = cli("assessment-migrate", "--dry-run", "--accept-unmapped")
    assert done.code == 0, told(done)
    assert "✓ Assessment migration completed:" not in done.lines, "it is not"
    assert "wrong-000" in done.stdout and "title" in done.stdout
    assert "creator_timestamp_idx" in done.stdout or "5" in done.stdout


# -- again, and later


def test_a_second_run_migrates_nothing(school: Documents, cli: Cli) -> None:
    migrate(cli)
    after = both(school)
    report = migrate(cli)
    assert report["backup"] is None
    assert (report["regular"]["migrated"], report["regular"]["already"]) == (0, 5)
    assert (report["teacher"]["migrated"], report["teacher"]["already"]) == (0, 3)
    assert report["indexes"]["created"] == []
    assert sorted(report["indexes"]["standing"]) == sorted(INDEXES)
    assert report["validation"]["valid"] is True
    assert both(school) == after
    assert len(names_in(cli.directory / "backups")) == 1
    done = cli("assessment-migrate")
    assert done.code == 0
    assert {"  Regular assessments: 0", "  Indexes created: 0", "  Validation: ✓"} <= set(
        done.lines
    )


def test_documents_added_later(school: Documents, cli: Cli) -> None:
    dice = random.Random(SEED)
    migrate(cli)
    unified = both(school)["assessments"]
    for kind, name in COLLECTIONS.items():
        school[name].insert_many(
            random_document(dice, kind, ObjectId(), wrong=0) for _ in range(20)
        )
    before = state(school)
    new = {
        key: document
        for key, document in before["assessments"].items()
        if "migration_source" not in document
    }
    report = migrate(cli)
    assert (report["regular"]["migrated"], report["regular"]["already"]) == (20, 5)
    assert (report["teacher"]["migrated"], report["teacher"]["already"]) == (20, 3)
    assert len(new) == 20
    assert len(names_in(cli.directory / "backups")) == 2
    now_stored = both(school)["assessments"]
    assert {key: now_stored[key] for key in unified} == unified
    assert len(now_stored) == 48


def test_a_database_of_the_old_tool(db: Documents, cli: Cli, legacy: Path) -> None:
    fill_migrated_by_old_tool(db, legacy)
    before = both(db)
    report = migrate(cli)
    assert (report["regular"]["migrated"], report["regular"]["already"]) == (0, 5)
    assert (report["teacher"]["migrated"], report["teacher"]["already"]) == (0, 3)
    assert report["backup"] is None and names_in(cli.directory / "backups") == set()
    assert report["validation"]["valid"] is True
    assert sorted(report["indexes"]["standing"]) == sorted(INDEXES)
    # `batches: []` beside a filled assigned_batches: told, and left alone.
    assert "65a1b2c3d4e5f60000000001" in json.dumps(report["reported"])
    assert "65a1b2c3d4e5f60000000002" not in json.dumps(report["reported"])
    assert both(db) == before
    done = cli("assessment-migrate")
    assert "assigned_batches: 1" in done.stdout, "on the screen too"
    db["teacher_assessments"].insert_one({"_id": 1, "topic": "new"})
    assert migrate(cli)["teacher"]["migrated"] == 1
    assert db["assessments"].count_documents({}) == 9


# -- clashes and references


def test_a_clash_of_ids(school: Documents, cli: Cli) -> None:
    school["assessments"].insert_one({"_id": TEACHER, "title": "another"})
    hex_ = str(TEACHER)
    school["teacher_assessment_results"].insert_many({"assessment_id": hex_} for _ in range(2))
    school["assessment_submissions"].insert_many(
        [{"assessment_id": each} for each in (hex_, "65a1b2c3d4e5f60000000066", "f" * 24)]
    )
    report = migrate(cli, "--ids", "keep")
    assert report["teacher"]["clashes"] == 1 and report["teacher"]["migrated"] == 3
    (clash,) = report["clashes"]
    assert clash["_id"] == {"$oid": hex_}
    assert clash["references"] == 3
    new = ObjectId(clash["new_id"]["$oid"])
    copy, other = school["assessments"].find_one(new), school["assessments"].find_one(TEACHER)
    assert copy is not None and other is not None
    assert copy["original_id"] == hex_ and copy["title"] == "Photosynthesis"
    assert copy["migration_source"] == "teacher_assessment"
    assert other["title"] == "another" and other["migration_source"] == "regular_assessment"
    history = json_util.dumps(list(school["migrations_history"].find()))
    assert hex_ in history and str(new) in history
    again = migrate(cli, "--ids", "keep")["teacher"]
    assert (again["migrated"], again["already"]) == (0, 3)
    assert school["assessments"].count_documents({}) == 9
    rollback(cli)
    done = cli("assessment-migrate", "--ids", "keep")
    (line, *_) = [each for each in done.lines if hex_ in each]
    assert "3" in line, "the references are counted on the screen"


@pytest.mark.parametrize("ids", ["new", "keep"])
def test_references_find_what_they_found(school: Documents, cli: Cli, ids: str) -> None:
    named = ["65a1b2c3d4e5f60000000065", "65a1b2c3d4e5f60000000001", "legacy-7", "f" * 24, None, 5]
    for name in ("teacher_assessment_results", "assessment_submissions"):
        school[name].insert_many({"assessment_id": each} for each in named)
    before = hashes(school)
    report = migrate(cli, "--ids", ids)
    assert report["validation"]["valid"] is True
    found = school["assessments"].find_one(TEACHER)
    assert (found is None) is (ids == "new")
    references = report["validation"]["references"]
    kept = ids == "keep"
    assert (references["found"], references["elsewhere"]) == ((6, 0) if kept else (4, 2))
    assert references["lost"] == 0
    after = hashes(school)
    for name in ("teacher_assessment_results", "assessment_submissions", "teacher_assessments"):
        assert after[name] == before[name], "these are only read"


# -- what else stands in the database


def test_it_is_no_migration(school: Documents, cli: Cli, migrator: Migrator) -> None:
    migrate(cli)
    assert migrator.status().total == 0
    assert "  Total migrations: 0" in cli("status").lines
    assert "No pending migrations to apply" in cli("apply").lines
    assert "No applied migrations to rollback" in cli("rollback").lines
    assert len(both(school)["assessments"]) == 8
    assert user_collections(school) == set(COLLECTIONS.values())
    restored = cli("restore", "latest")
    assert restored.code == 1, "an assessment backup is no full one"
    rollback(cli)


def test_the_indexes_of_the_second_published_example(school: Documents, cli: Cli) -> None:
    for name in ("creator_timestamp_idx", "type_status_idx"):
        school["assessments"].create_index(INDEXES[name], name=name)
    report = migrate(cli)
    assert len(report["indexes"]["created"]) == 3
    assert sorted(report["indexes"]["standing"]) == ["creator_timestamp_idx", "type_status_idx"]
    assert "  Indexes dropped: 3" in cli("assessment-rollback").lines
    left = set(school["assessments"].index_information())
    assert left == {"_id_", "creator_timestamp_idx", "type_status_idx"}


@pytest.mark.parametrize("there", [(), ("assessments",), ("teacher_assessments",)])
def test_nothing_to_migrate(db: Documents, cli: Cli, there: tuple[str, ...]) -> None:
    for name in there:
        db.create_collection(name)
    report: dict[str, Any] = migrate(cli)
    assert (report["regular"]["migrated"], report["teacher"]["migrated"]) == (0, 0)
    assert report["backup"] is None and report["validation"]["valid"] is True
    assert user_collections(db) <= {*there, "assessments"}
    rollback(cli)
    for name in there:
        assert name in db.list_collection_names()
    assert db["assessments"].count_documents({}) == 0
    assert set(db["assessments"].index_information()) <= {"_id_"}


@pytest.mark.parametrize("kind", KINDS)
def test_one_collection_alone(db: Documents, cli: Cli, kind: str) -> None:
    name = "assessments" if kind == "regular" else "teacher_assessments"
    db[name].insert_many({"_id": at, "title": str(at)} for at in range(10))
    before = both(db)
    assert migrate(cli)[kind]["migrated"] == 10
    assert db["assessments"].count_documents({"migration_source": f"{kind}_assessment"}) == 10
    rollback(cli)
    assert both(db) == before
