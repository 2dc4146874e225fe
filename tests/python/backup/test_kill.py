"""SIGKILL at any moment of a backup and of a restore, a full disk, Ctrl-C.

EDULEARN_KILLS says how many kills of each there are at least (20), and EDULEARN_SEED repeats their
moments.
"""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Set
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Cli
from edulearn_migrate import Migrator
from features import supports
from harness import SEED, Documents, Process, as_json, finish, holds, names_in, until
from kills import KILLS
from oddities import hashes, kinds

FULL = "edulearn_backup_"


def fill(db: Documents, generation: int, megabytes: int = 6) -> None:
    """A few large collections and many small ones, of every kind, different each generation."""
    randomness = random.Random(generation)
    for number in range(2):
        rows = [
            {"_id": at, "generation": generation, "x": randomness.randbytes(1_000)}
            for at in range(megabytes * 500)
        ]
        db[f"large_{number}"].insert_many(rows)
        db[f"large_{number}"].create_index("x", name="x")
    for number in range(25):
        db[f"small_{generation * 10 + number}"].insert_one({"_id": generation})
    kinds(db)
    if supports(db, "updates and deletes of measurements"):
        db["series"].delete_many({"of": {"x": generation}})
    db["empty"].create_index("at", expireAfterSeconds=1_000 + generation)


@pytest.fixture
def migrator(server_uri: str, database_name: str, cli: Cli) -> Migrator:
    return Migrator(server_uri, database_name, backup_dir=cli.directory / "backups")


@pytest.fixture
def randomness() -> random.Random:
    print(f"EDULEARN_SEED={SEED}")
    return random.Random(SEED)


def test_a_killed_backup_is_none(
    db: Documents, cli: Cli, migrator: Migrator, randomness: random.Random
) -> None:
    fill(db, 1)
    directory = cli.directory / "backups"
    whole = cli("backup", "--json")
    assert whole.code == 0, whole.stdout
    documents, size = (as_json(whole.stdout)[key] for key in ("documents", "stored_bytes"))
    # Another run's, alive, and somebody's own.
    (directory / "mine").mkdir()
    kills = Counter[str]()
    while kills["while it was written"] < KILLS:
        assert sum(kills.values()) < KILLS * 30, kills
        process = cli.start("backup")
        if randomness.random() < 0.9:
            amount = randomness.randint(1, size)
            until(partial(over_or_written, amount, directory, process), "it is being written")
        process.kill()
        finish(process)
        left = names_in(directory)
        begun = any(name.startswith(".partial") for name in left)
        kills["while it was written" if begun else "before or after"] += 1
        for name in left:
            if name.startswith(FULL):
                assert migrator.verify_backup(name).documents == documents
        listed = {each.name for each in migrator.list_backups().backups}
        assert listed == {name for name in left if name.startswith(FULL)}
    print(f"backup: {dict(kills)}")
    # The next run clears what they left, and nothing else.
    made = cli("backup")
    assert made.code == 0, made.stdout
    assert not [name for name in names_in(directory) if name.startswith(".")]
    assert "mine" in names_in(directory)


def over_or_written(amount: int, directory: Path, process: Process) -> bool:
    """Whether so many bytes of a backup that is being written are in its files."""
    written = 0
    with suppress(FileNotFoundError):  # it got its name meanwhile
        for unfinished in directory.glob(".partial*"):
            written += sum(file.stat().st_size for file in unfinished.rglob("*"))
    return written >= amount or process.poll() is not None


def test_a_killed_restore_is_wholly_old_or_wholly_new(
    db: Documents, cli: Cli, migrator: Migrator, randomness: random.Random
) -> None:
    fill(db, 1)
    states = {"one": hashes(db)}
    backups = {"one": migrator.backup().name}
    db.client.drop_database(db.name)
    fill(db, 2)
    states["two"] = hashes(db)
    backups["two"] = migrator.backup().name
    assert states["one"] != states["two"]
    kills = Counter[str]()
    stands = "two"
    while (
        kills["building"] + kills["swapping"] < KILLS
        or min(kills["building"], kills["swapping"]) < 2
    ):
        assert sum(kills.values()) < KILLS * 30 + 60, kills
        other = "one" if stands == "two" else "two"
        process = cli.start("restore", backups[other], "--no-safety-backup")
        moment = randomness.random()
        if moment < 0.1:
            until(partial(over_or, holds, db, process), "the lease is taken")
        elif moment < 0.5:
            new = states[other].keys() - states[stands].keys()
            swapped = randomness.randint(0, len(new))
            until(partial(over_or, partial(in_swap, new, swapped), db, process), "the swap")
        else:
            built = randomness.randint(0, len(states[other]))
            until(partial(over_or, partial(in_building, built), db, process), "building")
        process.kill()
        finish(process)
        unfinished = migrator.status().unfinished_restore
        kills[unfinished.phase if unfinished else "before or after"] += 1
        if unfinished is not None:
            assert unfinished.backup == backups[other]
            assert f"Unfinished restore of {backups[other]}" in cli("status").stdout
            refused = cli("backup")
            assert refused.code == 1 and "has not ended" in refused.stdout
        done = cli("restore", "--finish", "--json")
        assert done.code == 0, done.stdout
        expected = {"building": stands, "swapping": other}
        stood = hashes(db)
        if unfinished is not None:
            stands = expected[unfinished.phase]
        elif stood == states[other]:
            stands = other
        differing = {
            name
            for name in {*stood, *states[stands]}
            if stood.get(name) != states[stands].get(name)
        }
        assert differing == set(), f"after a kill while {unfinished}"
        temporary = [name for name in db.list_collection_names() if "migrations_restore" in name]
        assert temporary == []
        assert (
            db["empty"].index_information()["at_1"]["expireAfterSeconds"]
            == {"one": 1_001, "two": 1_002}[stands]
        )
    print(f"restore: {dict(kills)}")
    assert migrator.backup().documents > 0


def changed(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def over_or(state: Callable[[Documents, Process], bool], db: Documents, process: Process) -> bool:
    return process.poll() is not None or state(db, process)


def phase(db: Documents) -> Any:
    return (db["migrations_restore"].find_one({"_id": "restore"}) or {}).get("phase")


def in_building(built: int, db: Documents, _: Process | None = None) -> bool:
    """Whether so many collections are there under their temporary names."""
    names = db.list_collection_names() if phase(db) == "building" else []
    return bool(names) and sum(name.startswith("migrations_restore_") for name in names) >= built


def in_swap(new: Set[str], swapped: int, db: Documents, _: Process | None = None) -> bool:
    """Whether so many of the `new` collections are there under their own names."""
    return phase(db) == "swapping" and len(new & {*db.list_collection_names()}) >= swapped


def test_a_killed_restore_is_finished_by_the_next_one(
    db: Documents, cli: Cli, migrator: Migrator
) -> None:
    """Not only by --finish: the documented line does it first."""
    fill(db, 1)
    state, name = hashes(db), migrator.backup().name
    for number in range(25):
        db[f"small_{10 + number}"].delete_many({})
    process = cli.start("restore", name, "--no-safety-backup")
    until(partial(over_or, partial(in_swap, set(), 0), db, process), "the swap")
    process.kill()
    finish(process)
    killed = migrator.status().unfinished_restore
    done = cli("restore", name)
    assert done.code == 0, done.stdout
    assert hashes(db) == state
    if killed is not None:
        assert "✓ An earlier restore was finished" in done.lines


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_signals_leave_nothing(
    db: Documents, cli: Cli, migrator: Migrator, number: int, code: int
) -> None:
    fill(db, 1, megabytes=20)
    process = cli.start("backup")
    directory = cli.directory / "backups"
    until(lambda: names_in(directory), "it is being written")
    process.send_signal(number)
    ended, stdout, _ = finish(process)
    assert ended == code, stdout
    assert "nothing remains of the backup" in stdout
    assert names_in(directory) == set()
    # And a restore leaves the database as it was.
    name = migrator.backup().name
    before = hashes(db)
    process = cli.start("restore", name)
    until(lambda: db["migrations_restore"].find_one({"phase": "building"}), "it builds")
    process.send_signal(number)
    ended, stdout, _ = finish(process)
    assert ended == code, stdout
    assert "as it was before" in stdout
    assert hashes(db) == before
    assert migrator.status().unfinished_restore is None


def limited(size: int) -> Callable[[], None]:
    """For a child: no file may become larger."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_leaves_nothing(db: Documents, cli: Cli) -> None:
    fill(db, 1)
    done = subprocess.run(
        [sys.executable, str(ROOT / "migration_cli.py"), "backup"],
        cwd=cli.directory,
        env=cli.environment(),
        preexec_fn=limited(1_000_000),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "File too large" in done.stdout and "Make room" in done.stdout
    assert names_in(cli.directory / "backups") == set()


def test_no_room_for_the_safety_backup_changes_nothing(
    db: Documents, cli: Cli, migrator: Migrator
) -> None:
    fill(db, 1)
    name = migrator.backup().name
    db["large_0"].delete_one({"_id": 1})
    before = hashes(db)
    done = subprocess.run(
        [sys.executable, str(ROOT / "migration_cli.py"), "restore", name],
        cwd=cli.directory,
        env=cli.environment(),
        preexec_fn=limited(1_000_000),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1 and "File too large" in done.stdout, done.stdout
    assert hashes(db) == before
    assert names_in(cli.directory / "backups") == {name}
    assert migrator.status().unfinished_restore is None
