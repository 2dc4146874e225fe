"""The exact rollback on random databases and migrations: nothing is lost, nothing is invented."""

from __future__ import annotations

import random
import subprocess
from contextlib import suppress
from functools import partial
from typing import Any

import pymongo
import pytest

from conftest import Cli, Migrations
from edulearn_migrate import Migrator
from engine.test_kill import place
from harness import CASES, SEED, Documents, finish, holds, record_of, until, write_migration
from kills import KILLS, Kills, holding_or_over
from random_migrations import Attempts, Script, differences, fill, snapshot

SAFE = {
    "update_documents",
    "delete_documents",
    "insert_documents",
    "create_collection",
    "drop_collection",
    "rename_collection",
}
HALF = max(1, KILLS // 2)


def check_same(before: dict[str, Any], after: dict[str, Any], told: object) -> None:
    __tracebackhide__ = True
    assert before == after, "\n".join([f"{told}", *differences(before, after)])


@pytest.mark.parametrize("case", range(CASES))
def test_without_edits_every_byte_returns(
    attempts: Attempts, db: Documents, migrator: Migrator, migrations: Migrations, case: int
) -> None:
    seed = SEED + case
    dice = random.Random(seed)
    fill(db, dice, 60)
    before = snapshot(db)
    up = Script(dice).operations(dice.randrange(1, 9))
    write_migration(migrations.directory.parent, 1, up)
    # An operation may fail, too: what was done before it is undone like the rest.
    with attempts.one():
        migrator.apply()
    report = migrator.rollback("migration_001", exact=True)
    check_same(before, snapshot(db), f"EDULEARN_SEED={seed} {up}")
    assert all(each.conflicts == each.gone == 0 for each in report.migrations[0].undone)


@pytest.mark.parametrize("case", range(CASES))
def test_a_rollback_by_script_can_be_undone_with_its_migration(
    attempts: Attempts, db: Documents, migrator: Migrator, migrations: Migrations, case: int
) -> None:
    seed = SEED + case
    dice = random.Random(seed)
    fill(db, dice, 40)
    before = snapshot(db)
    script = Script(dice)
    up, down = script.operations(3), script.operations(3)
    write_migration(migrations.directory.parent, 1, up, down)
    with attempts.one():
        migrator.apply()
        migrator.rollback("migration_001")
    migrator.rollback("migration_001", exact=True)
    check_same(before, snapshot(db), f"EDULEARN_SEED={seed} {up} {down}")


def tokens(db: Documents) -> dict[str, tuple[str, Any]]:
    """Where each token that an edit wrote stands: collection and `_id`."""
    found: dict[str, tuple[str, Any]] = {}
    for name in db.list_collection_names(filter={"type": "collection"}):
        if name.startswith(("migrations", "system.")):
            continue
        for document in db[name].find():
            for token in in_value(document):
                found[token] = (name, repr(document["_id"]))
    return found


def in_value(value: Any) -> list[str]:
    if isinstance(value, str) and value.startswith("edit "):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [token for part in parts for token in in_value(part)]


def leaves(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {
            leaf: text
            for name, part in value.items()
            for leaf, text in leaves(part, f"{path}/{name}").items()
        }
    return {path: repr(value)}


def edit(db: Documents, dice: random.Random) -> tuple[set[str], set[str], set[str]]:
    """Edits, removes and makes documents: the tokens written, the keys edited and removed."""
    written, edited, removed = set(), set(), set()
    for name in db.list_collection_names(filter={"type": "collection"}):
        if name.startswith(("migrations", "system.")):
            continue
        for document in list(db[name].find()):
            chance = dice.random()
            key = f"{document.get('key')} {document['_id']!r}"
            if chance < 0.15:
                token = f"edit {dice.random()}"
                field = dice.choice(["a", "b", "added", "own", "nested.deep.value", "sum"])
                with suppress(pymongo.errors.WriteError):  # no path into a number
                    db[name].update_one({"_id": document["_id"]}, {"$set": {field: token}})
                    written.add(token)
                    edited.add(key)
            elif chance < 0.2:
                db[name].delete_one({"_id": document["_id"]})
                removed.add(key)
        if dice.random() < 0.5:
            token = f"edit {dice.random()}"
            with suppress(pymongo.errors.WriteError):
                db[name].insert_one({"_id": token, "key": dice.randrange(10**9)})
                written.add(token)
    return written, edited, removed


@pytest.mark.parametrize("case", range(CASES))
def test_edits_are_kept_and_nothing_is_invented(
    attempts: Attempts, db: Documents, migrator: Migrator, migrations: Migrations, case: int
) -> None:
    seed = SEED + case
    dice = random.Random(seed)
    fill(db, dice, 60)
    names = ("people", "letters", "things", "clustered")
    before = {name: list(db[name].find()) for name in names}
    up = Script(dice).operations(dice.randrange(1, 9))
    write_migration(migrations.directory.parent, 1, up)
    with attempts.one():
        migrator.apply()
    written, edited, removed = edit(db, dice)
    migrator.rollback("migration_001", exact=True)
    told = f"EDULEARN_SEED={seed} {up}"
    lost = written - set(tokens(db))
    assert not lost, f"{told}\nlost edits: {lost}"
    for name in names:
        now = {repr(document["_id"]): document for document in db[name].find()}
        for old in before[name]:
            key = f"{old.get('key')} {old['_id']!r}"
            found = now.get(repr(old["_id"]))
            if found is None:
                # A document that an upsert or an insert made since may bar it by a unique value.
                assert key in removed, f"{told}\n{name}: {old} is missing"
            elif key not in edited:
                assert found == old and list(found) == list(old), f"{told}\n{name}: {old}\n{found}"
            else:
                own, was = leaves(found), leaves(old)
                for path, text in own.items():
                    assert was.get(path) == text or "edit " in text, (
                        f"{told}\n{name}: {path} {text}"
                    )


def kill_until(
    status: str,
    db: Documents,
    cli: Cli,
    arguments: tuple[str, ...],
    migration: str,
    dice: random.Random,
    kills: Kills,
) -> None:
    """Starts the command and kills it, again and again, until the migration is in that status."""
    while record_of(db, migration).get("status") != status:
        process = cli.start(*arguments)
        until(partial(holding_or_over, db, process), "the lease is taken")
        try:
            # The longer, the more kills there were, so that it gets to its end.
            process.wait(dice.uniform(0, 0.05 * 1.3 ** min(kills.counted, 20)))
        except subprocess.TimeoutExpired:
            process.kill()
        code, stdout, stderr = finish(process)
        assert code in (0, -9), f"exit {code}\n{stdout}\n{stderr}"
        if code and holds(db, process):
            kills.counted += 1
            kills.places[place(db, migration)] += 1


def test_killed_at_random_it_still_returns_every_byte(
    db: Documents, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    fill(db, dice, 20_000)
    before = snapshot(db)
    up_kills, undo_kills = Kills(), Kills()
    number = 0
    while min(up_kills.counted, undo_kills.counted) < HALF:
        number += 1
        # Only what cannot fail: what is tested here is the kills.
        up = [each for each in Script(dice).operations(9) if each["type"] in SAFE]
        migration = write_migration(cli.directory, number, up)
        kill_until("applied", db, cli, ("apply", migration), migration, dice, up_kills)
        undo = ("rollback", migration, "--exact")
        kill_until("rolled_back", db, cli, undo, migration, dice, undo_kills)
        check_same(before, snapshot(db), f"EDULEARN_SEED={SEED} {up}")
    with capsys.disabled():
        print(f"\n  EDULEARN_SEED={SEED} apply ({number} migrations): {up_kills}")
        print(f"  EDULEARN_SEED={SEED} exact rollback: {undo_kills}")
