"""Backup directories that others can write, dates in the future, disks without room."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edulearn_migrate import Migrator
from harness import Documents

if TYPE_CHECKING:
    from conftest import Cli

ROOT = os.geteuid() == 0


@pytest.fixture
def backups(cli: Cli) -> Path:
    return cli.directory / "backups"


@pytest.fixture
def migrator(server_uri: str, db: Documents, backups: Path) -> Migrator:
    db["a"].insert_one({"_id": 1})
    return Migrator(server_uri, db.name, backup_dir=backups)


def rewrite(backup: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a manifest and its checksum, as somebody can who can write there."""
    manifest = backup / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    del content["sha256"]
    change(content)
    rest = json.dumps(content, indent=2)[1:] + "\n"
    checksum = hashlib.sha256(rest.encode()).hexdigest()
    manifest.write_text(f'{{\n  "sha256": "{checksum}",{rest}', encoding="utf-8")


def date(backup: Path, moment: str) -> None:
    rewrite(backup, lambda content: content.update(created_at=moment))


def test_a_directory_open_to_all_is_refused(cli: Cli, migrator: Migrator, backups: Path) -> None:
    name = migrator.backup().name
    for place in (backups, backups / name):
        place.chmod(0o777)
        for command in (("restore", "latest"), ("restore", name), ("backups", "verify", name)):
            done = cli(*command)
            assert done.code == 2, done.stdout
            assert f"chmod o-w {place}" in done.stdout
            assert "Nothing was done" in done.stdout
        place.chmod(0o700)
    backups.chmod(0o1777)
    assert cli("restore", name).code == 2
    made = cli("backup")
    assert made.code == 0
    assert "everybody on this host can write" in made.stdout
    assert "everybody on this host can write" in cli("backups", "list").stderr
    backups.chmod(0o700)
    assert cli("restore", name).code == 0


def test_a_group_or_another_owner_is_warned_of(cli: Cli, migrator: Migrator, backups: Path) -> None:
    name = migrator.backup().name
    assert "can write there" not in cli("restore", name).stdout
    backups.chmod(0o770)
    done = cli("restore", name)
    assert done.code == 0
    assert "its members can change backups, which checksums do not show" in done.stdout
    backups.chmod(0o700)
    if ROOT:
        os.chown(backups / name, 12345, -1)
        done = cli("restore", name)
        assert done.code == 0
        assert "belongs to another user (uid 12345)" in done.stdout


def test_the_future_never_wins(cli: Cli, db: Documents, migrator: Migrator, backups: Path) -> None:
    first = migrator.backup().name
    db["a"].insert_one({"_id": 2})
    fake = migrator.backup().name
    date(backups / fake, "9999-12-31T23:59:59Z")
    done = cli("restore", "latest")
    assert done.code == 0
    assert f"✓ Database restored from backup: {first}" in done.lines
    assert f"{fake} says that it was made on 9999-12-31T23:59:59Z" in done.stdout
    assert f"{fake} says" in cli("backups", "list").stderr
    # It neither stays in place of a real one nor goes.
    second = migrator.backup().name
    pruned = cli("backups", "prune", "--keep", "1")
    assert pruned.code == 0
    assert f"✓ Removed backup: {first}" in pruned.lines
    assert f"{fake} says" in pruned.stderr
    assert {first, fake, second} & {each.name for each in backups.iterdir()} == {fake, second}
    # By its name it can be had, with a word.
    assert "in the future" in cli("restore", fake).stdout
    shutil.rmtree(backups / second)
    only = cli("restore", "latest")
    assert (only.code, "no other full backup" in only.stdout) == (2, True)


def test_a_clock_that_is_a_little_fast_is_no_matter(
    cli: Cli, migrator: Migrator, backups: Path
) -> None:
    from datetime import datetime, timedelta, timezone

    name = migrator.backup().name
    soon = datetime.now(timezone.utc) + timedelta(minutes=5)
    date(backups / name, soon.isoformat(timespec="seconds"))
    assert "in the future" not in cli("restore", "latest").stdout


def test_a_collection_that_is_listed_twice_is_refused(
    cli: Cli, migrator: Migrator, backups: Path
) -> None:
    name = migrator.backup().name
    rewrite(backups / name, lambda it: it["collections"].append(it["collections"][0]))
    for command in (("restore", name), ("backups", "verify", name)):
        done = cli(*command)
        assert (done.code, 'it lists "a" twice' in done.stdout) == (1, True)


def test_a_server_without_room_is_told_before_anything_is_read(
    cli: Cli, db: Documents, migrator: Migrator, backups: Path
) -> None:
    name = migrator.backup().name
    rewrite(backups / name, lambda it: it["collections"][0]["data"].update(bytes=10**16))
    done = cli("restore", name)
    assert done.code == 1
    assert "The server's disk has room for" in done.stdout
    assert "--exclude" in done.stdout
    assert db["a"].count_documents({}) == 1


def test_a_directory_that_is_read_only_names_the_ways_out(
    cli: Cli, db: Documents, migrator: Migrator, backups: Path
) -> None:
    name = migrator.backup().name
    # Root may write everywhere unless this right is taken away.
    dropped = ["setpriv", "--bounding-set=-dac_override"] if ROOT else []
    command = (*dropped, *cli.command)
    if ROOT and subprocess.run([*dropped, "true"], check=False).returncode != 0:
        pytest.skip("setpriv takes no rights away here")
    backups.chmod(0o500)
    try:
        done = cli("restore", name, command=command)
        assert done.code == 1, done.stdout
        assert "--backup-dir" in done.stdout and "--no-safety-backup" in done.stdout
        assert "Nothing was written" in done.stdout
        assert db["a"].count_documents({}) == 1
        assert cli("restore", name, "--no-safety-backup", command=command).code == 0
    finally:
        backups.chmod(0o700)
    assert not [each for each in db.list_collection_names() if "restore" in each]
