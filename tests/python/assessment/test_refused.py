"""Documents that the server refuses: left alone and listed, and everything else is migrated."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from assessment_documents import both
from assessment_model import INDEXES
from assessment_runs import Documents, hashes, migrate, rollback, told
from conftest import Cli
from edulearn_migrate import Event, InterruptedRunError, Migrator, StopToken
from harness import names_in

TEXT = [("title", "text"), ("description", "text"), ("questions.question", "text")]


def listed(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Field and reason of what is listed, by the `_id`."""
    return {str(each["_id"]): (each["field"], each["reason"]) for each in report["unmapped"]}


def check(db: Documents, cli: Cli, expected: dict[str, tuple[str, str]], migrated: int) -> None:
    """Runs it to its end: dry, for good, again, and back. `expected` are fields and reasons."""
    before, contents = both(db), hashes(db)
    dry = migrate(cli, "--dry-run", code=1)
    assert hashes(db) == contents, "a dry run writes nothing"
    done = migrate(cli, code=1)
    again = migrate(cli, code=1)
    for report in (dry, done, again):
        found = listed(report)
        assert found.keys() == expected.keys()
        for key, (field, reason) in expected.items():
            assert found[key][0] == field and reason in found[key][1], found[key]
        assert report["validation"]["valid"] is False
    for report in (dry, done):
        assert report["regular"]["migrated"] + report["teacher"]["migrated"] == migrated
    assert again["regular"]["migrated"] + again["teacher"]["migrated"] == 0
    assert again["backup"] is None and len(names_in(cli.directory / "backups")) == 1
    assert done["validation"]["added_meanwhile"] == 0
    assert migrate(cli, "--accept-unmapped")["validation"]["valid"] is True
    words = cli("assessment-migrate")
    assert f"Cannot be mapped, left as they are: {len(expected)}" in words.stdout, told(words)
    rollback(cli)
    assert both(db) == before


def test_a_unique_index_on_the_title(school: Documents, cli: Cli) -> None:
    """Of two teacher assessments the first is copied, of one that a regular one has none."""
    (taken,) = school["assessments"].find({"_id": ObjectId("65a1b2c3d4e5f60000000001")})
    school["assessments"].create_index("title", unique=True)
    school["teacher_assessments"].insert_many(
        [
            {"_id": "a", "title": "Twice", "topic": "x"},
            {"_id": "b", "title": "Twice", "topic": "y"},
            {"_id": "c", "title": taken["title"], "topic": "z"},
        ]
    )
    check(
        school,
        cli,
        {"b": ("title", "duplicate key"), "c": ("title", "duplicate key")},
        migrated=9,
    )


def test_a_unique_index_that_the_mapping_itself_runs_into(db: Documents, cli: Cli) -> None:
    """Two documents without a title get the same one."""
    db["assessments"].create_index("title", unique=True, sparse=True)
    db["assessments"].insert_many([{"_id": "a"}, {"_id": "b"}, {"_id": "c", "title": "C"}])
    check(db, cli, {"b": ("title", "duplicate key")}, migrated=2)


@pytest.mark.parametrize(
    "options",
    [
        {"partialFilterExpression": {"status": "active"}},
        {"collation": {"locale": "en", "strength": 2}},
    ],
)
def test_unique_by_the_servers_own_rules(db: Documents, cli: Cli, options: Any) -> None:
    db["assessments"].create_index([("title", 1), ("topic", 1)], unique=True, **options)
    db["assessments"].insert_one({"_id": "r", "title": "One", "topic": "x", "status": "active"})
    db["teacher_assessments"].insert_many(
        [
            {"_id": "draft", "title": "One", "topic": "x", "status": "draft"},
            {"_id": "active", "title": "One", "topic": "x", "status": "active"},
            {"_id": "other", "title": "One", "topic": "y", "status": "active"},
            {"_id": "small", "title": "ONE", "topic": "x", "status": "active"},
        ]
    )
    partial = "partialFilterExpression" in options
    refused = {"active"} if partial else {"draft", "active", "small"}
    assert listed(migrate(cli, "--dry-run", code=1)).keys() == refused
    assert listed(migrate(cli, code=1)).keys() == refused
    assert db["assessments"].count_documents({}) == 5 - len(refused)


def test_a_text_index_and_a_language(db: Documents, cli: Cli) -> None:
    db["assessments"].insert_one({"_id": "regular", "title": "r", "language": "en"})
    db["assessments"].create_index(TEXT)
    db["teacher_assessments"].insert_many(
        [
            {"_id": "python", "title": "p", "language": "python"},
            {"_id": "inside", "questions": [{"question": "?", "language": "java"}]},
            {"_id": "number", "title": "n", "language": 5},
            {"_id": "german", "title": "g", "language": "German"},
            {"_id": "elsewhere", "title": "e", "config": {"language": "python"}},
        ]
    )
    check(
        db,
        cli,
        {
            "python": ("language", "language override unsupported: python"),
            "inside": ("questions.language", "language override unsupported: java"),
            "number": ("language", "non-string"),
        },
        migrated=3,
    )


def test_a_validator(school: Documents, cli: Cli) -> None:
    """It refuses copies, and what regular assessments would become."""
    rule = {"$or": [{"status": {"$exists": False}}, {"title": {"$ne": "no"}}]}
    school.command({"collMod": "assessments", "validator": rule})
    school["assessments"].insert_one({"_id": "in place", "title": "no"})
    school["teacher_assessments"].insert_one({"_id": "copy", "title": "no"})
    check(
        school,
        cli,
        {"in place": ("", "failed validation"), "copy": ("", "failed validation")},
        migrated=8,
    )


def test_a_validator_that_warns_refuses_nothing(school: Documents, cli: Cli) -> None:
    rule = {"migration_source": {"$exists": False}}
    command = {"collMod": "assessments", "validator": rule, "validationAction": "warn"}
    school.command(command)
    assert migrate(cli, "--dry-run")["teacher"]["migrated"] == 3
    assert migrate(cli)["validation"]["valid"] is True
    rollback(cli)


def test_many_are_not_tried_one_by_one(db: Documents, cli: Cli) -> None:
    db.create_collection("assessments", validator={"migration_source": {"$exists": False}})
    db["assessments"].insert_many({"_id": at} for at in range(3_000))
    db["teacher_assessments"].insert_many({"_id": at} for at in range(3_000))
    before = both(db)
    report = migrate(cli, code=1)
    assert len(report["unmapped"]) == 6_000 and report["backup"] is None
    # One that passes makes it a run, and the others are passed over.
    db["assessments"].insert_one({"_id": "other", "title": "x"})
    rule = {"$or": [{"migration_source": {"$exists": False}}, {"title": "x"}]}
    db.command({"collMod": "assessments", "validator": rule})
    report = migrate(cli, code=1)
    assert report["regular"]["migrated"] == 1 and len(report["unmapped"]) == 6_000
    rollback(cli)
    db["assessments"].delete_one({"_id": "other"})
    assert both(db) == before


def test_what_only_the_server_knows(school: Documents, cli: Cli) -> None:
    """A place that is none on the globe: found when it is written, and the rest is migrated."""
    school["assessments"].create_index([("place", "2dsphere")])
    wrong = {"type": "Point", "coordinates": [500, 500]}
    right = {"type": "Point", "coordinates": [5, 50]}
    school["teacher_assessments"].insert_many(
        [{"_id": f"t{at:03}", "place": wrong if at % 50 == 7 else right} for at in range(150)]
    )
    before = both(school)
    report = migrate(cli, code=1)
    assert listed(report).keys() == {"t007", "t057", "t107"}
    assert all("the server refuses it" in reason for _, reason in listed(report).values())
    assert report["teacher"]["migrated"] == 150 and report["teacher"]["unmapped"] == 3
    assert report["validation"]["added_meanwhile"] == 0
    history = str(list(school["migrations_history"].find()))
    assert "t057" in history
    rollback(cli)
    assert both(school) == before


def test_what_only_the_server_knew_before_a_run_was_interrupted(
    db: Documents, cli: Cli, migrator: Migrator
) -> None:
    """What was refused is known to nobody any more: it is no success until a run has listed it."""
    db["assessments"].create_index([("place", "2dsphere")])
    wrong = {"type": "Point", "coordinates": [500, 500]}
    db["teacher_assessments"].insert_many([{"_id": 1, "place": wrong}, {"_id": 2}])
    stop = StopToken()

    def watch(event: Event) -> None:
        # The first chunk after the refusal has one document, which it passes over.
        if event.kind == "progress" and event.index == 2:
            stop.set()

    with pytest.raises(InterruptedRunError):
        migrator.assessment_migrate(progress=watch, stop=stop)
    report = migrate(cli, code=1)
    assert report["resumed"] is True
    assert any("run the command again" in each for each in report["validation"]["problems"])
    assert listed(migrate(cli, code=1)).keys() == {"1"}


@pytest.mark.parametrize("options", [{}, {"hidden": True}])
def test_an_index_of_the_same_keys_and_another_name(
    school: Documents, cli: Cli, options: Any
) -> None:
    """MongoDB makes no second one and renames none: the keys are indexed, and that is said."""
    keys = INDEXES["creator_timestamp_idx"]
    school["assessments"].create_index(keys, name="mine", **options)
    dry = migrate(cli, "--dry-run")
    report = migrate(cli)
    assert len(report["indexes"]["created"]) == len(dry["indexes"]["created"]) == 4
    assert report["indexes"]["conflicts"] == []
    assert "creator_timestamp_idx" in report["indexes"]["standing"]
    (note,) = report["indexes"]["notes"]
    assert "creator_timestamp_idx" in note and "mine" in note
    done = cli("assessment-migrate")
    assert done.code == 0 and note in done.stdout, told(done)
    assert "  Indexes dropped: 4" in cli("assessment-rollback").lines
    assert set(school["assessments"].index_information()) == {"_id_", "mine"}


def test_a_unique_one_of_the_same_keys_is_another(db: Documents, cli: Cli) -> None:
    keys = INDEXES["published_timestamp_idx"]
    db["assessments"].create_index(keys, name="mine", unique=True, sparse=True)
    db["assessments"].insert_one({"_id": 1})
    assert len(migrate(cli)["indexes"]["created"]) == 5
