"""What the tests of the assessment commands share: runs, recorded data, what stands afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from bson import json_util
from pymongo.database import Database

from assessment_model import (
    AWARE,
    COLLECTIONS,
    INDEXES,
    KINDS,
    Document,
    Unified,
    as_bytes,
    copy_id,
    equal,
    problems,
    unify,
)
from conftest import Cli, Result
from harness import as_json

Documents = Database[Document]
OURS = ("migrations", "system.")


def migrate(cli: Cli, *options: str, code: int = 0) -> dict[str, Any]:
    """Runs `assessment-migrate --json` to that exit code; its report."""
    return _run(cli, "assessment-migrate", options, code)


def rollback(cli: Cli, *options: str, code: int = 0) -> dict[str, Any]:
    """Runs `assessment-rollback --json` to that exit code; its report."""
    return _run(cli, "assessment-rollback", options, code)


def _run(cli: Cli, command: str, options: Iterable[str], code: int) -> dict[str, Any]:
    done = cli(command, "--json", *options)
    assert done.code == code, f"{command} exited with {done.code}\n{done.stdout}\n{done.stderr}"
    return as_json(done.stdout)


def told(done: Result) -> str:
    """All that a command said, for a message."""
    return f"exit {done.code}\n{done.stdout}\n{done.stderr}"


def recorded(legacy: Path, name: str) -> list[Document]:
    """A recording of the old tool's data, decoded as the server gives it."""
    text = (legacy / f"{name}.json").read_text()
    documents: list[Document] = json_util.loads(
        text, json_options=json_util.JSONOptions(tz_aware=True)
    )
    return documents


def fill_recorded(db: Documents, legacy: Path) -> None:
    """Both collections as they were before the old tool came."""
    for name in COLLECTIONS.values():
        db[name].insert_many(recorded(legacy, f"before_{name}"))


def fill_migrated_by_old_tool(db: Documents, legacy: Path) -> None:
    """What the old tool left: both collections, its backup and its indexes."""
    db["assessments"].insert_many(recorded(legacy, "after_assessments"))
    db["teacher_assessments"].insert_many(recorded(legacy, "before_teacher_assessments"))
    db["assessment_backup"].insert_many(recorded(legacy, "assessment_backup"))
    for name, keys in INDEXES.items():
        db["assessments"].create_index(keys, name=name)


def read(db: Documents, name: str) -> dict[str, Document]:
    """A collection's documents by the text of their `_id`, which is unique in these tests."""
    found = list(db.get_collection(name, codec_options=AWARE).find().sort("_id", 1))
    documents = {repr(each["_id"]): each for each in found}
    assert len(documents) == len(found)
    return documents


def one(db: Documents, name: str, _id: Any) -> Document:
    """The document of that `_id`."""
    found = db[name].find_one({"_id": _id})
    assert found is not None
    return found


def copies(db: Documents, originals: Mapping[str, Document]) -> dict[str, Document]:
    """The copies that there are of teacher assessments, by the text of the original's `_id`."""
    found = read(db, "assessments")
    places = {key: repr(copy_id(each["_id"])) for key, each in originals.items()}
    return {key: found[place] for key, place in places.items() if place in found}


def set_(db: Documents, name: str, _id: Any, values: Mapping[str, Any]) -> None:
    """An edit of the application's."""
    assert db[name].update_one({"_id": _id}, {"$set": values}).matched_count == 1


def now() -> datetime:
    """The time, with room for the server's clock being another's in the last millisecond."""
    return datetime.now(timezone.utc)


def check_unified(
    before: Mapping[str, Mapping[str, Document]],
    db: Documents,
    began: datetime,
    ids: str = "new",
) -> dict[str, list[str]]:
    """Every document as the table has it; returns the wrong paths of those that cannot be mapped.

    `before` is both collections as they were; nothing else was inserted and no `_id` clashes.
    `ids` is what the run was asked for.
    """
    ended = now() + timedelta(seconds=1)
    after = read(db, "assessments")
    own = read(db, "teacher_assessments")
    assert as_bytes(own) == as_bytes(before["teacher_assessments"]), "the teachers' own stay"
    unmapped: dict[str, list[str]] = {}
    faults: list[str] = []
    expected_ids: set[str] = set()
    for kind in KINDS:
        for key, document in before[COLLECTIONS[kind]].items():
            result = unify(document, kind)
            place = key if kind == "regular" or ids == "keep" else repr(copy_id(document["_id"]))
            found = after.get(place)
            if not isinstance(result, Unified):
                unmapped[key] = result.wrong
                if kind == "teacher":
                    faults += [f"{key} cannot be mapped and is there: {found}"] * (
                        found is not None
                    )
                else:
                    expected_ids.add(key)
                    if found is None or not equal(found, document):
                        faults.append(f"{key} cannot be mapped ({result.wrong}): now {found}")
                continue
            expected_ids.add(place)
            if found is None:
                faults.append(f"{key} is missing: {document}")
                continue
            result.document["_id"] = found["_id"]
            wrong = list(problems(found, result, began - timedelta(seconds=1), ended))
            if [name for name in found if name in document] != list(document):
                wrong.append(f"order {list(found)} of {list(document)}")
            faults += [f"{kind} {document}: {text}" for text in wrong]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:10])
    assert set(after) == expected_ids, f"extra: {set(after) - expected_ids}"
    return unmapped


def user_collections(db: Documents) -> set[str]:
    """The collections that are not ours."""
    return {name for name in db.list_collection_names() if not name.startswith(OURS)}


def hashes(db: Documents) -> dict[str, str]:
    """What the server says of every collection's contents, ours too."""
    found: dict[str, str] = db.command("dbHash")["collections"]
    return found
