"""The three published examples on EDULEARN's data: applied, rolled back, applied again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId, encode, json_util
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, WriteError

from conftest import ROOT, Cli

Db = Database[dict[str, Any]]
PUBLISHED = ("migration_001", "migration_002", "migration_003")


def catalog(db: Db) -> dict[str, Any]:
    """Collections with their options and indexes, but for the migrations' own."""
    found = {}
    for each in db.list_collections(filter={"name": {"$not": {"$regex": "^migrations"}}}):
        indexes = [dict(index) for index in db[each["name"]].list_indexes()]
        found[each["name"]] = each["options"], sorted(indexes, key=lambda index: index["name"])
    return found


def documents(db: Db) -> dict[str, list[bytes]]:
    """Their documents, byte for byte, in their natural order."""
    return {name: [encode(each) for each in db[name].find()] for name in catalog(db)}


@pytest.fixture
def school(db: Db, legacy: Path) -> Db:
    """Users without a role and with one, assessments, and what stands beside them."""
    users = json_util.loads((legacy / "before_users.json").read_text())
    users += [
        {
            "_id": ObjectId(),
            "username": f"pupil{n}",
            "email": f"pupil{n}@school.example",
            "profile": {"first_name": "Ada", "batches": [f"batch_{n % 7}"]},
            # Some have a role, one has none on purpose.
            **({"role": "teacher"} if n % 10 == 0 else {"role": None} if n == 7 else {}),
        }
        for n in range(3000)
    ]
    db["users"].insert_many(users)
    db["users"].create_index("email", unique=True)
    db["assessments"].insert_many(json_util.loads((legacy / "before_assessments.json").read_text()))
    db["assessments"].create_index([("subject", 1)], name="subject_idx")
    db.create_collection("notifications", capped=True, size=4096)
    return db


@pytest.fixture
def published(cli: Cli) -> Cli:
    shutil.copytree(ROOT / "migrations", cli.directory / "migrations")
    return cli


@pytest.mark.parametrize("number", [1, 2, 3])
def test_they_are_as_published(number: int, legacy: Path) -> None:
    """Word for word, tuples included: the scripts stand in the file as they were published."""
    [shipped] = (ROOT / "migrations").glob(f"migration_00{number}_*.json")
    text = "".join(shipped.read_text().split())
    for direction in ("up", "down"):
        [script] = (legacy / "published").glob(f"{number}_*.{direction}.json")
        assert f'"{direction}":{"".join(script.read_text().split())}' in text
    assert json.dumps(shipped.stem.split("_", 2)[2]) in text


def test_the_round_trip(published: Cli, school: Db) -> None:
    standing, stored = catalog(school), documents(school)
    roles = {each["_id"]: each.get("role", "none") for each in school["users"].find()}
    without = {each["_id"] for each in school["users"].find({"role": {"$exists": False}})}
    assert "none" in roles.values()
    assert "teacher" in roles.values()

    result = published("apply")
    assert result.code == 0, result
    after = catalog(school)
    # 001: the validator and the unique index work as published.
    options, indexes = after["user_preferences"]
    assert options["validator"]["$jsonSchema"]["required"] == ["user_id", "preferences"]
    assert [(each["name"], each.get("unique")) for each in indexes] == [
        ("_id_", None),
        ("user_id_idx", True),
    ]
    with pytest.raises(WriteError, match="failed validation"):
        school["user_preferences"].insert_one({"user_id": 5, "preferences": {}})
    school["user_preferences"].insert_one({"user_id": "5", "preferences": {}})
    with pytest.raises(DuplicateKeyError):
        school["user_preferences"].insert_one({"user_id": "5", "preferences": {}})
    # 002: keys in the published order, beside the index that stood.
    by_name = school["assessments"].index_information()
    assert by_name["creator_timestamp_idx"]["key"] == [("created_by", 1), ("created_at", -1)]
    assert by_name["type_status_idx"]["key"] == [("type", 1), ("status", 1)]
    assert set(by_name) == {"_id_", "subject_idx", "creator_timestamp_idx", "type_status_idx"}
    # 003: every user without a role is a student now, and nobody else has changed.
    for user in school["users"].find():
        expected = "student" if user["_id"] in without else roles[user["_id"]]
        assert user["role"] == expected
    # What they do not name is as it was.
    assert after["notifications"] == standing["notifications"]
    assert after["users"] == standing["users"]
    assert documents(school)["assessments"] == stored["assessments"]

    result = published("rollback")
    assert result.code == 0, result
    assert [line for line in result.lines if line.startswith("  - ")] == [
        f"  - {each}" for each in reversed(PUBLISHED)
    ]
    assert catalog(school) == standing
    assert documents(school) == stored

    again = published("apply", "--rolled-back")
    assert again.code == 0, again
    assert {k: v for k, v in catalog(school).items() if k != "user_preferences"} == {
        k: v for k, v in after.items() if k != "user_preferences"
    }
    assert catalog(school)["user_preferences"] == after["user_preferences"]


@pytest.mark.parametrize("migration", PUBLISHED)
def test_each_by_itself(published: Cli, school: Db, migration: str) -> None:
    standing, stored = catalog(school), documents(school)
    assert f"✓ Applied migration: {migration}" in published("apply", migration).lines
    assert (catalog(school), documents(school)) != (standing, stored)
    assert f"✓ Rolled back migration: {migration}" in published("rollback", migration).lines
    assert (catalog(school), documents(school)) == (standing, stored)


def test_on_an_empty_database(published: Cli, db: Db) -> None:
    assert published("apply").code == 0
    # An index makes its collection; there are no users, and none are made.
    assert set(catalog(db)) == {"user_preferences", "assessments"}
    assert published("rollback").code == 0
    assert set(catalog(db)) == {"assessments"}


def test_on_a_database_where_somebody_did_half_of_it(published: Cli, school: Db) -> None:
    """What stands exactly as asked is noted and passed over, by hand or by an earlier tool."""
    school["assessments"].create_index([("type", 1), ("status", 1)], name="type_status_idx")
    result = published("apply", "migration_002")
    assert result.code == 0
    assert any("type_status_idx" in line and "exists already" in line for line in result.lines)
    school.create_collection("user_preferences")
    refused = published("apply")
    assert refused.code == 1
    assert "✗ Failed to apply migration: migration_001" in refused.lines
    assert "a collection of this name exists already and differs: validator" in refused.stdout
