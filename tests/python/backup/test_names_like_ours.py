"""Collections of a user whose names are like ours: backed up, restored, never dropped unasked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pymongo.database import Database

    from conftest import Cli, Migrations

    Db = Database[dict[str, Any]]

RUN = "0123456789abcdef01234567"
THEIRS = (
    "migrations_restore_x",
    f"migrations_restore_{RUN}_1_1",
    "migrations_kept_mine",
    "migrations_undo_2024",
    f"migrations_undo_{RUN}",
)
DROP = {"type": "drop_collection", "collection": "old"}


@pytest.fixture
def theirs(db: Db) -> None:
    """The user's collections."""
    for name in (*THEIRS, "users", "old"):
        db[name].insert_one({"_id": 1, "of": name})


@pytest.mark.usefixtures("theirs")
def test_a_restore_never_drops_them(cli: Cli, db: Db, migrations: Migrations) -> None:
    migrations.write(1, up=[DROP], down=[])
    assert cli("apply").code == 0
    backup = cli("backup")
    assert backup.code == 0
    for name in THEIRS:
        assert f'"{name}" has a name like' in backup.stdout, name
    [left_out] = [line for line in backup.lines if line.startswith("  Left out: ")]
    ours = [name for name in db.list_collection_names() if name.startswith("migrations_")]
    kept = set(ours) - set(THEIRS) - {"migrations_history"}
    assert set(left_out.removeprefix("  Left out: ").split(", ")) == kept
    assert any(name.startswith("migrations_kept_") for name in kept)
    assert cli("restore", "latest", "--collections", "users").code == 0
    for name in THEIRS:
        assert db[name].find_one() == {"_id": 1, "of": name}
    db["migrations_restore_x"].update_one({}, {"$set": {"of": "later"}})
    db["migrations_kept_later"].insert_one({"_id": 1})
    restored = json.loads(cli("restore", "latest", "--json").stdout)
    assert "migrations_kept_later" in restored["left_alone"]
    assert db["migrations_kept_later"].find_one() == {"_id": 1}
    for name in set(THEIRS) - {f"migrations_restore_{RUN}_1_1", f"migrations_undo_{RUN}"}:
        assert db[name].find_one() == {"_id": 1, "of": name}
    # Ours are as they were: what was dropped can still be brought back.
    assert cli("rollback", "--exact").code == 0
    assert db["old"].find_one() == {"_id": 1, "of": "old"}


@pytest.mark.usefixtures("theirs")
def test_a_purge_frees_only_what_is_ours(cli: Cli, db: Db, migrations: Migrations) -> None:
    migrations.write(1, up=[DROP], down=[])
    assert cli("apply").code == 0
    before = json.loads(cli("status", "--json").stdout)["retained"]
    assert cli("purge").code == 0
    assert before["bytes"] > 0
    assert json.loads(cli("status", "--json").stdout)["retained"]["bytes"] < before["bytes"]
    for name in THEIRS:
        assert db[name].find_one() == {"_id": 1, "of": name}
