"""The table of the unified model: every row, every source, every state, against the oracle."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId, encode

from assessment_documents import (
    DATES,
    both,
    every_state,
    odd,
    random_document,
    random_id,
    stored,
    with_elements,
)
from assessment_model import (
    COLLECTIONS,
    KINDS,
    SOURCE,
    Document,
    Kind,
    Unmappable,
    as_bytes,
    copy_id,
    rfc_3339,
    unify,
)
from assessment_runs import (
    Documents,
    check_unified,
    copies,
    fill_recorded,
    migrate,
    now,
    read,
    recorded,
    rollback,
)
from conftest import Cli
from harness import SEED
from oddities import element, insert_raw, number

RANDOM = 400


def fill(db: Documents, kind: Kind, documents: Iterable[Document]) -> dict[str, Any]:
    """One of the collections filled: both as they are."""
    db[COLLECTIONS[kind]].insert_many(list(documents))
    return {name: read(db, name) for name in COLLECTIONS.values()}


def check_report(report: dict[str, Any], kind: Kind, unmapped: dict[str, list[str]]) -> None:
    """The documents that cannot be mapped are all there, with field and reason."""
    listed: dict[str, set[str]] = {}
    for each in report["unmapped"]:
        assert each["collection"] == COLLECTIONS[kind]
        assert each["reason"], each
        _id = each["_id"]
        key = repr(ObjectId(_id["$oid"]) if isinstance(_id, dict) and "$oid" in _id else _id)
        listed.setdefault(key, set()).add(each["field"])
    assert set(listed) == set(unmapped)
    for key, fields in listed.items():
        assert fields <= set(unmapped[key]), f"{key}: {fields} is not of {unmapped[key]}"
    assert report[kind]["unmapped"] == len(unmapped)


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_in_every_state(db: Documents, cli: Cli, kind: Kind) -> None:
    documents = [document for _, document in every_state(kind)]
    before = fill(db, kind, documents)
    began = now()
    report = migrate(cli, "--accept-unmapped")
    unmapped = check_unified(before, db, began)
    check_report(report, kind, unmapped)
    assert report[kind]["migrated"] == len(documents) - len(unmapped)
    assert report["validation"]["valid"] is True, "but for what was accepted"
    dates = sum(
        len(result.dates)
        for each in documents
        if not isinstance(result := unify(each, kind), Unmappable)
    )
    assert report[kind]["dates_converted"] == dates
    times = {each["updated_at"] for each in db["assessments"].find({"original_id": {"$gt": ""}})}
    assert len(times) == 1, "one run has one time"


@pytest.mark.parametrize("kind", KINDS)
def test_random_documents(db: Documents, cli: Cli, kind: Kind) -> None:
    print(f"EDULEARN_SEED={SEED}")
    dice = random.Random(SEED)
    documents = [random_document(dice, kind, ObjectId()) for _ in range(RANDOM)]
    before = fill(db, kind, documents)
    began = now()
    report = migrate(cli, "--accept-unmapped")
    unmapped = check_unified(before, db, began)
    check_report(report, kind, unmapped)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ids", ["new", "keep"])
def test_ids_of_other_types(db: Documents, cli: Cli, kind: Kind, ids: str) -> None:
    dice = random.Random(SEED)
    # Numbers from 100 on are none of those below.
    documents = [random_id(dice, at) for at in range(100, 160)]
    documents += ["", "é", {}, {"a": {"b": 1}}, True, None, 5, "5", "true"]
    # The same text as another's, and not the same.
    documents += ["65a1b2c3d4e5f60000000999", ObjectId("65a1b2c3d4e5f60000000999")]
    before = fill(db, kind, [{"_id": each, "title": "t"} for each in documents])
    began = now()
    report = migrate(cli, "--ids", ids)
    assert check_unified(before, db, began, ids) == {}
    assert report[kind]["migrated"] == len(documents)
    again = migrate(cli, "--ids", ids)
    assert (again[kind]["migrated"], again[kind]["already"]) == (0, len(documents))


def test_the_recorded_documents(db: Documents, cli: Cli, legacy: Path) -> None:
    fill_recorded(db, legacy)
    before = {name: read(db, name) for name in COLLECTIONS.values()}
    began = now()
    report = migrate(cli)
    assert check_unified(before, db, began) == {}
    assert report["regular"]["migrated"] == 5 and report["teacher"]["migrated"] == 3
    assert report["validation"]["valid"] is True
    after = read(db, "assessments")
    # What the old tool got wrong, by hand.
    algebra = after["ObjectId('65a1b2c3d4e5f60000000001')"]
    assert algebra["batches"] == algebra["assigned_batches"] == ["65abc4560000000000000001"]
    cells = after["ObjectId('65a1b2c3d4e5f60000000003')"]
    assert cells["created_by"] == "65a1b2c3d4e5f60000000386"
    assert cells["settings"]["randomize_questions"] is True
    assert after["'legacy-7'"]["original_id"] == "legacy-7"
    assert after["'legacy-7'"]["tags"] == ["ww1", "ww2"]
    made = copies(db, before["teacher_assessments"])
    plants = made["ObjectId('65a1b2c3d4e5f60000000065')"]
    assert (plants["subject"], plants["topic"]) == ("Photosynthesis", "Photosynthesis")
    assert (plants["max_attempts"], plants["time_limit"], plants["total_questions"]) == (3, 30, 2)
    assert plants["settings"] == {
        "randomize_questions": True,
        "show_correct_answers": False,
        "allow_review": False,
        "time_limit_enforced": True,
    }
    assert plants["config"]["shuffle_options"] is False
    assert plants["question_count"] == 2 and plants["teacher_id"] == plants["created_by"]
    nobody = made["ObjectId('65a1b2c3d4e5f60000000067')"]
    assert nobody["created_by"] == "65a1b2c3d4e5f6000000038a"
    assert nobody["migration_source"] == "teacher_assessment"
    assert {str(each["_id"]) for each in recorded(legacy, "before_teacher_assessments")} <= {
        each["original_id"] for each in after.values()
    }


def test_dates_as_text(db: Documents, cli: Cli) -> None:
    rows = [{"_id": text, "created_at": text, "due_date": text} for text in DATES]
    db["assessments"].insert_many(rows)
    db["teacher_assessments"].insert_many({**row, "_id": f"t {row['_id']}"} for row in rows)
    report = migrate(cli)
    for document in read(db, "assessments").values():
        date = rfc_3339(document["original_id"].removeprefix("t "))
        assert document["created_at"] == document["due_date"] == date
    for kind in KINDS:
        assert report[kind]["dates_converted"] == 2 * len(DATES)


@pytest.mark.parametrize("kind", KINDS)
def test_other_fields_stay_byte_for_byte(db: Documents, cli: Cli, kind: Kind) -> None:
    """Names twice, invalid UTF-8, NaN payloads, deprecated types: never decoded, never changed."""
    name = COLLECTIONS[kind]
    ids = [ObjectId(), "text", 7]
    insert_raw(db, name, [odd(each) for each in ids])
    before = stored(db, name)
    assert migrate(cli)[kind]["migrated"] == 3
    now_stored = stored(db, "assessments")
    for _id in ids:
        old = before[as_bytes(_id)]
        own = _id if kind == "regular" else copy_id(_id)
        new = now_stored[as_bytes(own)]
        # Neither title nor questions change: all of the old document but its `_id` is the
        # beginning of the new.
        at, first = (len(encode({"_id": each})) - 1 for each in (own, _id))
        assert new[at : at + len(old) - 1 - first] == old[first:-1]
    assert db["assessments"].count_documents({"migration_source": SOURCE[kind]}) == 3
    assert db["assessments"].count_documents({"total_questions": 2}) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("second", ["right", "wrong"])
def test_a_field_of_the_model_twice(db: Documents, cli: Cli, kind: Kind, second: str) -> None:
    """The document is listed and stays, or the first one counts, as the server reads it."""
    value = element(0x02, b"title", b"\x04\0\0\0two\0")
    if second == "wrong":
        value = element(0x10, b"title", number(2))
    document = with_elements({"_id": 1, "title": "one"}, value)
    insert_raw(db, COLLECTIONS[kind], [document])
    before = stored(db, COLLECTIONS[kind])
    report = migrate(cli, "--accept-unmapped")
    found = stored(db, "assessments").get(as_bytes(1 if kind == "regular" else copy_id(1)))
    if report[kind]["unmapped"]:
        assert [each["field"] for each in report["unmapped"]] == ["title"]
        assert found == (before[as_bytes(1)] if kind == "regular" else None)
    else:
        assert found is not None and value in found
        assert db["assessments"].count_documents({"title": "one"}) == 1


def test_a_name_twice_beside_a_dollar(db: Documents, cli: Cli) -> None:
    """No update writes such a document back: it is not touched, or rollback finds another way."""
    elements = [element(0x10, name, number(1)) for name in (b"same", b"same", b"$dollar")]
    for kind in KINDS:
        insert_raw(db, COLLECTIONS[kind], [with_elements({"_id": kind}, *elements)])
    before = both(db)
    report = migrate(cli, "--accept-unmapped")
    assert report["regular"]["migrated"] + report["regular"]["unmapped"] == 1
    rollback(cli)
    assert both(db) == before


def test_settings_keep_their_other_keys_and_order(db: Documents, cli: Cli) -> None:
    settings = {"z": 1, "allow_review": False, "a": {"x": [1]}, "randomize_questions": None}
    db["assessments"].insert_one({"_id": 1, "settings": settings, "randomize_questions": True})
    migrate(cli)
    (document,) = db["assessments"].find()
    assert list(document["settings"])[:4] == list(settings)
    assert document["settings"]["randomize_questions"] is True
    assert document["settings"]["allow_review"] is False
    assert document["settings"]["a"] == {"x": [1]}
    assert len(document["settings"]) == 6
