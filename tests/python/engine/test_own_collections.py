"""Collections of ours that cannot hold what we write: refused before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Cli, Migrations
    from harness import Documents

KINDS: dict[str, dict[str, Any]] = {
    "is a view": {"viewOn": "x", "pipeline": []},
    "is capped": {"capped": True, "size": 4096},
    "is a timeseries": {"timeseries": {"timeField": "at"}},
    "has a validator": {"validator": {"x": {"$exists": True}}},
}


@pytest.mark.parametrize("name", ["history", "undo", "lock", "restore"])
@pytest.mark.parametrize("kind", KINDS)
def test_such_a_collection_is_refused(
    cli: Cli, db: Documents, migrations: Migrations, name: str, kind: str
) -> None:
    db["a"].insert_one({"_id": 1, "n": 0})
    operation = {"type": "update_documents", "collection": "a", "filter": {}}
    migrations.write(1, up=[{**operation, "update": {"$inc": {"n": 1}}}], down=[])
    db.create_collection(f"migrations_{name}", **KINDS[kind])
    done = cli("apply")
    assert done.code == 1
    assert f'"migrations_{name}" of {db.name} {kind}' in done.stdout
    assert "--ledger" in done.stdout
    assert db["a"].find_one() == {"_id": 1, "n": 0}
    # Under other names it runs.
    assert cli("apply", "--ledger", "ours").code == 0


def test_a_validator_that_asks_nothing_is_no_matter(
    cli: Cli, db: Documents, migrations: Migrations
) -> None:
    db.create_collection("migrations_history", validator={"x": 1}, validationLevel="off")
    migrations.write(1, up=[{"type": "create_collection", "collection": "a"}], down=[])
    assert cli("apply").code == 0
    assert "a" in db.list_collection_names()
