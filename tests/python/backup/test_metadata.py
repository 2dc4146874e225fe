"""Every variant of a `metadata.json` has the outcome that the table says, by mongorestore, too."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from dumps import Dump
from edulearn_migrate import MigrateError, Migrator
from features import require
from message_rules import check_message
from metadata_table import DIFFERS, VARIANTS, Variant

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Documents

MONGORESTORE = os.environ.get("MONGORESTORE")
DOCUMENT: dict[str, Any] = {"_id": 1, "a": 1, "s": "abc", "p": [1.0, 2.0]}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda each: each.name)
def test_metadata(db: Documents, server_uri: str, tmp_path: Path, variant: Variant) -> None:
    if variant.name == "options pre images":
        require(db, "changeStreamPreAndPostImages")
    dump = Dump(tmp_path / "dump" / db.name)
    dump.add("a", [DOCUMENT], variant.content)
    migrator = Migrator(server_uri, db.name, backup_dir=tmp_path / "backups")
    if variant.outcome == "refused":
        with pytest.raises(MigrateError) as caught:
            migrator.restore(from_mongodump=dump.directory, safety_backup=False)
        said = check_message(str(caught.value))
        assert variant.word in said
        assert "Nothing was written" in said or "as it was before" in said
        assert "a" not in db.list_collection_names()
    else:
        report = migrator.restore(from_mongodump=dump.directory, safety_backup=False)
        notes = [note for note in report.notes if "checksums" not in note]
        assert bool(notes) == bool(variant.word)
        assert variant.word in " ".join(map(check_message, notes))
        assert list(db["a"].find()) == [DOCUMENT]
        assert set(db["a"].index_information()) == {"_id_", *variant.indexes}
    if MONGORESTORE is not None:
        assert (stock(dump, db, server_uri) == variant.outcome) != (variant.name in DIFFERS)


def stock(dump: Dump, db: Documents, uri: str) -> str:
    """What the stock tool does with it in an empty database."""
    db.client.drop_database(db.name)
    place = [f"--uri={uri}", f"--db={db.name}", str(dump.directory)]
    done = subprocess.run([MONGORESTORE or "", *place], check=False, capture_output=True)
    return "taken" if done.returncode == 0 else "refused"


def test_the_table_is_large_enough() -> None:
    names = [variant.name for variant in VARIANTS]
    assert len(names) == len(set(names)) >= 80
    assert set(DIFFERS) <= set(names)
