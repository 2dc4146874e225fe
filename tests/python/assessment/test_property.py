"""Random assessments, random edits, kills at random: nothing is lost, nothing is invented.

EDULEARN_CASES says how many databases each test has, EDULEARN_KILLS how many kills of a run that
holds the lease there are at least, and EDULEARN_SEED repeats them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId

from assessment_documents import both, odd, random_document, random_id, stored
from assessment_kills import kill_until_done
from assessment_model import (
    ABSENT,
    COLLECTIONS,
    INDEXES,
    KINDS,
    MODEL,
    ROW,
    ROWS,
    Document,
    Unified,
    equal,
    unify,
)
from assessment_runs import Documents, check_unified, copies, migrate, now, read, rollback
from assessment_undo import carry_back, edits, undo
from conftest import Cli
from harness import CASES, SEED
from kills import KILLS, Kills
from oddities import insert_raw

FEW = CASES // 4 or 1


def fill(db: Documents, dice: random.Random, each: int, wrong: float = 0.01) -> None:
    for at, kind in enumerate(KINDS):
        ids = (random_id(dice, at * 1_000_000 + n) for n in range(each))
        rows = [random_document(dice, kind, _id, wrong) for _id in ids]
        for first in range(0, each, 5_000):
            db[COLLECTIONS[kind]].insert_many(rows[first : first + 5_000])
        insert_raw(db, COLLECTIONS[kind], [odd(ObjectId())])


def state(db: Documents) -> dict[str, dict[str, Document]]:
    return {name: read(db, name) for name in COLLECTIONS.values()}


# -- edits

OWN = ("own", "own_2", "nested.deep.value", "settings.own", "config.own")
INDEXED = {name for keys in INDEXES.values() for name, _ in keys}


def edit_one(dice: random.Random, document: Document) -> tuple[dict[str, Any], dict[str, str]]:
    """What the application sets on a document, and what it takes away."""
    inner = [row.field for row in ROWS if "." in row.field]
    names = [*sorted(MODEL - {"settings", "original_id", "migration_source"}), *inner]
    names += ["topic", "teacher_id", "config.allow_review", *OWN]
    chosen = dice.sample(names, dice.randrange(1, 4))
    if len({each.partition(".")[0] for each in chosen}) < len(chosen):
        chosen = chosen[:1]
    # The server sets no path into what is no document.
    chosen = [
        each
        for each in chosen
        if "." not in each
        or (
            isinstance(document.get(each.partition(".")[0], {}), dict)
            and (each != "nested.deep.value" or "nested" in document)
        )
    ]
    sets: dict[str, Any] = {}
    unsets: dict[str, str] = {}
    for each in chosen:
        if dice.random() < 0.15:
            unsets[each] = ""
        else:
            token = f"edit {dice.randrange(10**12)}"
            # No index holds two arrays of a document: only batches may become one.
            arrays = each == "batches" or each not in INDEXED
            sets[each] = dice.choice([token, {"text": token}, [token] if arrays else token])
    return sets, unsets


def edit(db: Documents, dice: random.Random, name: str) -> set[str]:
    """Edits, removes and makes documents of a collection; the `_id`s edited, as text."""
    edited: set[str] = set()
    for document in list(db[name].find({"title": {"$ne": "odd"}})):
        chance = dice.random()
        if chance < 0.4:
            sets, unsets = edit_one(dice, document)
            change = {"$set": sets} if sets else {}
            if unsets:
                change["$unset"] = unsets
            if change:
                db[name].update_one({"_id": document["_id"]}, change)
                edited.add(repr(document["_id"]))
        elif chance < 0.45:
            db[name].delete_one({"_id": document["_id"]})
    for at in range(3):
        db[name].insert_one({"_id": f"new {name} {at}", "title": f"edit {dice.random()}"})
    return edited


def tokens(value: Any) -> Iterator[str]:
    """What edits wrote, wherever it stands in a value."""
    if isinstance(value, str):
        if value.startswith("edit "):
            yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from tokens(each)
    elif isinstance(value, list):
        for each in value:
            yield from tokens(each)


def same(one: Document, other: Document) -> bool:
    """Whether two documents have the same fields, whatever their order."""
    names = {**one, **other}
    return all(alike(one.get(name, ABSENT), other.get(name, ABSENT)) for name in names)


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same but for the order of embedded documents' keys."""
    if isinstance(one, dict) and isinstance(other, dict):
        return same(one, other)
    return equal(one, other)


# -- the tests


@pytest.mark.parametrize("case", range(FEW))
def test_without_edits_every_byte_returns(db: Documents, cli: Cli, case: int) -> None:
    print(f"EDULEARN_SEED={SEED}")
    dice = random.Random(SEED + case)
    fill(db, dice, 150)
    before = both(db)
    migrate(cli, "--accept-unmapped")
    rollback(cli)
    assert both(db) == before


@pytest.mark.parametrize("case", range(FEW))
def test_edits_of_regular_assessments(db: Documents, cli: Cli, case: int) -> None:
    print(f"EDULEARN_SEED={SEED}")
    dice = random.Random(SEED + case)
    fill(db, dice, 150)
    db["teacher_assessments"].delete_many({})
    before = read(db, "assessments")
    migrate(cli, "--accept-unmapped")
    migrated = read(db, "assessments")
    edited = edit(db, dice, "assessments")
    current = read(db, "assessments")
    raw = stored(db, "assessments")
    report = rollback(cli)
    after = read(db, "assessments")
    assert set(after) == set(current), "deleted ones stay deleted, new ones stay"
    restored = 0
    for key, document in after.items():
        if key not in before:
            assert equal(document, current[key]), "a newer document stays as it is"
            continue
        expected: Document = undo(before[key], migrated[key], current[key])
        assert same(document, expected), (
            f"{key}\n{before[key]}\n{migrated[key]}\n{current[key]}\n{expected}\n{document}"
        )
        assert set(tokens(document)) == set(tokens(current[key])), "no edit is lost or invented"
        if key not in edited:
            assert list(document) == list(before[key])
        restored += not equal(before[key], migrated[key])
    told = report["regular"]
    assert told["restored"] + told["restored_with_edits"] == restored
    gone = [key for key in before if key not in after]
    # Deleted before it could be seen that they had been migrated: only those are counted.
    assert told["gone"] == sum(not equal(before[key], migrated[key]) for key in gone)
    assert len(raw) == len(after)


@pytest.mark.parametrize("case", range(FEW))
def test_edits_of_teacher_assessments_and_their_copies(db: Documents, cli: Cli, case: int) -> None:
    print(f"EDULEARN_SEED={SEED}")
    dice = random.Random(SEED + case)
    fill(db, dice, 150)
    db["assessments"].delete_many({})
    before = read(db, "teacher_assessments")
    migrate(cli, "--accept-unmapped")
    made = copies(db, before)
    edit(db, dice, "assessments")
    edited = copies(db, before)
    if case % 2:
        edit(db, dice, "teacher_assessments")
    current = read(db, "teacher_assessments")
    report = rollback(cli)
    after = read(db, "teacher_assessments")
    assert set(after) == set(current), "none is made, none is deleted"
    conflicts = 0
    for key, document in after.items():
        if key not in made or key not in edited:
            assert equal(document, current[key])
            continue
        unified = unify(before[key], "teacher")
        assert isinstance(unified, Unified)
        expected, outdone = carry_back(
            before[key], made[key], current[key], edited[key], unified.sources
        )
        copied, own = edits(made[key], edited[key]), set(tokens(current[key]))
        written = set(tokens(edited[key]))
        assert own <= set(tokens(document)) <= own | written, f"{key}: {document}"
        contested = any(
            source != field and source in copied
            for field, source in unified.sources.items()
            if field in copied
        )
        if not outdone and not contested:
            assert written <= set(tokens(document)), f"{key}: lost of {written}: {document}"
        # A field that came from nowhere may go to any of its sources.
        open_ = any(
            unified.sources[field] is None and len(set(ROW[field].teacher)) > 1
            for field in copied
            if field in ROW
        )
        if not contested and not open_:
            conflicts += bool(outdone)
            assert same(document, expected), (
                f"{key}\n{before[key]}\n{current[key]}\n{edited[key]}"
                f"\nexpected {expected}\nfound    {document}"
            )
    # Not how many: of an edit that is split into keys, the two may count differently.
    assert (report["teacher"]["conflicts"] > 0) or not conflicts
    left = read(db, "assessments")
    # What stays is new, or the copy of a document that is no more.
    orphans = {repr(made[key]["_id"]) for key in set(made) - set(current)}
    assert {key for key in left if "new assessments" not in key} <= orphans


def test_killed_at_random_it_is_done_exactly_once(
    db: Documents, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    fill(db, dice, 6_000, wrong=0)
    before_documents, before = state(db), both(db)
    up, down = Kills(), Kills()
    rounds = 0
    while min(up.counted, down.counted) < KILLS:
        rounds += 1
        began = now()
        kill_until_done(db, cli, ("assessment-migrate",), dice, up)
        assert check_unified(before_documents, db, began) == {}
        times = db["assessments"].distinct("updated_at")
        assert len(times) == 1, f"one migration has one time, however often it is killed: {times}"
        kill_until_done(db, cli, ("assessment-rollback",), dice, down)
        assert both(db) == before, f"EDULEARN_SEED={SEED}"
        assert set(db["assessments"].index_information()) == {"_id_"}
    with capsys.disabled():
        print(f"\n  EDULEARN_SEED={SEED} assessment-migrate ({rounds} rounds): {up}")
        print(f"  EDULEARN_SEED={SEED} assessment-rollback: {down}")
