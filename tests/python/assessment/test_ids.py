"""Under which `_id` teacher assessments are copied: new ones by default, kept ones on demand."""

from __future__ import annotations

from pathlib import Path

import pytest
from bson import ObjectId

from assessment_documents import both
from assessment_model import copy_id
from assessment_runs import (
    Documents,
    migrate,
    one,
    recorded,
    rollback,
    set_,
    told,
)
from conftest import Cli
from edulearn_migrate import Event, InterruptedRunError, Migrator, StopToken
from harness import as_json

PLANTS = ObjectId("65a1b2c3d4e5f60000000065")
COPY = copy_id(PLANTS)


def test_a_copy_has_the_time_of_its_original(school: Documents, cli: Cli) -> None:
    migrate(cli)
    copy = one(school, "assessments", COPY)
    assert copy["original_id"] == str(PLANTS)
    assert COPY.generation_time == PLANTS.generation_time


def test_another_document_under_the_copys_id(school: Documents, cli: Cli) -> None:
    """The next one is taken, and found again: two documents of one fingerprint, or a guess."""
    school["assessments"].insert_one({"_id": COPY, "title": "mine"})
    before = both(school)
    assert migrate(cli)["teacher"] == {
        "migrated": 3,
        "already": 0,
        "unmapped": 0,
        "dates_converted": 0,
        "clashes": 0,
    }
    assert one(school, "assessments", COPY)["title"] == "mine"
    assert school["assessments"].count_documents({"original_id": str(PLANTS)}) == 1
    again = migrate(cli)
    assert (again["teacher"]["migrated"], again["teacher"]["already"]) == (0, 3)
    rollback(cli)
    assert both(school) == before


def test_keeping_them_says_beforehand_what_refers_to_them(school: Documents, cli: Cli) -> None:
    gone, regular = "f" * 24, "65a1b2c3d4e5f60000000001"
    named = [str(PLANTS), str(PLANTS), PLANTS, "65a1b2c3d4e5f60000000066", gone, regular, None]
    school["teacher_assessment_results"].insert_many({"assessment_id": each} for each in named)
    school["assessment_submissions"].insert_one({"assessment_id": str(PLANTS)})
    before = both(school)
    report = migrate(cli, "--ids", "keep", "--dry-run")
    assert report["ids"] == "keep" and report["meant"] == {"results": 4, "submissions": 1}
    assert both(school) == before
    done = cli("assessment-migrate", "--ids", "keep", "--dry-run")
    assert "4 results and 1 submission refer" in done.stdout, told(done)
    done = cli("assessment-migrate", "--ids", "keep")
    assert done.code == 0, told(done)
    before_step_2 = done.stdout.split("Step 2")[0]
    assert "4 results and 1 submission refer to them" in before_step_2, told(done)
    assert one(school, "assessments", PLANTS)["original_id"] == str(PLANTS)
    rollback(cli)
    assert both(school) == before


@pytest.mark.parametrize(("first", "second"), [("keep", "new"), ("new", "keep")])
def test_what_the_other_setting_copied_is_left(
    school: Documents, cli: Cli, first: str, second: str
) -> None:
    before = both(school)
    migrate(cli, "--ids", first)
    after = both(school)
    report = migrate(cli, "--ids", second)
    assert (report["teacher"]["migrated"], report["teacher"]["already"]) == (0, 3)
    kept = 3 if first == "keep" else 0
    assert report["copies"] == {"kept_ids": kept, "new_ids": 3 - kept}
    assert both(school) == after
    done = cli("assessment-migrate", "--ids", second)
    assert "Note: 3 copies have" in done.stdout, told(done)
    # What is added later gets what is asked for then, and one rollback undoes both runs.
    school["teacher_assessments"].insert_one({"_id": "later", "topic": "x"})
    migrate(cli, "--ids", second)
    place = "later" if second == "keep" else copy_id("later")
    assert one(school, "assessments", place)["original_id"] == "later"
    set_(school, "assessments", place, {"subject": "y"})
    rollback(cli)
    assert one(school, "teacher_assessments", "later") == {"_id": "later", "topic": "y"}
    school["teacher_assessments"].delete_one({"_id": "later"})
    assert both(school) == before


def test_a_run_that_is_carried_on_keeps_to_what_it_began_with(
    school: Documents, cli: Cli, migrator: Migrator
) -> None:
    """Also one of an earlier version, which kept the `_id`s and recorded nothing of it."""
    before = both(school)
    stop = StopToken()

    def watch(event: Event) -> None:
        if event.kind == "operation_started" and event.index == 2:
            stop.set()

    with pytest.raises(InterruptedRunError):
        migrator.assessment_migrate(ids="keep", progress=watch, stop=stop)
    assert school["assessments"].count_documents({"migration_source": "teacher_assessment"}) == 0
    status = cli("status")
    assert "`assessment-migrate` carries on" in status.stdout, told(status)
    assert "assessment-migrate" in as_json(cli("status", "--json").stdout)["unfinished_assessments"]
    done = cli("assessment-migrate", "--ids", "new")
    assert done.code == 1 and "--ids keep" in done.stdout, told(done)
    assert school["assessments"].count_documents({"migration_source": "teacher_assessment"}) == 0
    recorded = {"ids": "", "edition": ""}
    school["migrations"].update_one({"_id": "assessment_model"}, {"$unset": recorded})
    report = migrate(cli)
    assert report["resumed"] is True and report["ids"] == "keep"
    nobody = one(school, "assessments", ObjectId("65a1b2c3d4e5f60000000067"))
    assert nobody["time_limit"] == 60, "its table is that of the version that began it"
    rollback(cli)
    assert both(school) == before
    assert as_json(cli("status", "--json").stdout)["unfinished_assessments"] is None


def test_what_an_earlier_version_migrated_is_rolled_back_by_its_table(
    db: Documents, cli: Cli
) -> None:
    """An edit of a default is told from a default, though defaults are others now."""
    db["teacher_assessments"].insert_many([{"_id": "a", "topic": "x"}, {"_id": "b", "topic": "x"}])
    before = both(db)
    migrate(cli, "--ids", "keep")
    # The copies as that version made them: of defaults no fingerprints are kept.
    changed = [
        db[name].update_many({"edition": 2}, {"$unset": {"edition": ""}}).modified_count
        for name in db.list_collection_names()
        if name != "migrations" and name.startswith("migrations")
    ]
    assert sum(changed) == 1
    db["assessments"].update_many({}, {"$set": {"difficulty": "beginner", "time_limit": 60}})
    set_(db, "assessments", "a", {"title": "edited"})
    rollback(cli)
    assert one(db, "teacher_assessments", "a") == {"_id": "a", "topic": "x", "title": "edited"}
    assert both(db)["teacher_assessments"].keys() == before["teacher_assessments"].keys()


def test_wrong_usage(cli: Cli) -> None:
    done = cli("assessment-migrate", "--ids", "other")
    assert done.code == 2, told(done)


def test_the_old_tools_copies_are_recognised(school: Documents, cli: Cli, legacy: Path) -> None:
    copies = [
        each
        for each in recorded(legacy, "after_assessments")
        if each.get("migration_source") == "teacher_assessment"
    ]
    school["assessments"].insert_many(copies)
    report = migrate(cli)
    assert (report["teacher"]["migrated"], report["teacher"]["already"]) == (0, 3)
    assert report["copies"] == {"kept_ids": 0, "new_ids": 3}
