"""Control characters of files and databases reach no terminal, JSON document, log or audit log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unicodedata import category

import pytest

from edulearn_migrate.cli.output import as_json, one_line, visible

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.database import Database

    from conftest import Cli, Migrations, Result

    Db = Database[dict[str, Any]]

# ESC, the C1 form of it, a line and a paragraph, a bidi override, an invisible separator.
EVIL = "evil\x1b[31m\x9b2J\n✓ Applied 99 migrations:\r\x85\u2028\u202etxt\u2066\u200b\x7f"


def obeyed(text: str) -> set[str]:
    """What of a text a terminal would obey or hide, but for the ends of lines."""
    return {
        each for each in text if each != "\n" and not each.isprintable() and category(each) != "Zs"
    }


def assert_harmless(result: Result, *others: str) -> None:
    for text in (result.stdout, result.stderr, *others):
        assert obeyed(text) == set()
        assert "✓ Applied 99 migrations:" not in map(str.strip, text.splitlines())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ✓ ü 漢\u3000字", "plain ✓ ü 漢\u3000字"),
        ("\x1b]0;x\x07", "\\u001b]0;x\\u0007"),
        ("\x9b31m", "\\u009b31m"),
        ("a\nb", "a\\u000ab"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("\udcff", "\\udcff"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert obeyed(visible(text)) == set()


def test_a_json_document_means_the_same() -> None:
    data = {EVIL: [EVIL, "\U000e0041", "é"]}
    for indent in (None, 2):
        text = as_json(data, indent=indent)
        assert obeyed(text) == set()
        assert json.loads(text) == data


def test_one_line_keeps_its_indent() -> None:
    assert one_line(f"  {EVIL}").startswith("  evil\\u001b[31m\\u009b2J ✓")


@pytest.fixture
def audit(cli: Cli) -> Path:
    return cli.directory / "audit.log"


def run(cli: Cli, audit: Path, *arguments: str) -> Result:
    """The command twice: at the debug level with the audit log, and as a JSON document."""
    env = {"EDULEARN_AUDIT_LOG": str(audit), "LOG_LEVEL": "debug"}
    plain = cli(*arguments, env=env)
    document = cli(*arguments, "--json", env=env)
    assert_harmless(plain, audit.read_text() if audit.exists() else "")
    assert_harmless(document)
    json.loads(document.stdout)
    return plain


def test_names_of_collections_and_indexes(cli: Cli, db: Db, audit: Path) -> None:
    db[EVIL].insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 1}])
    db[EVIL].create_index("a", name=EVIL)
    name = run(cli, audit, "backup").lines[1].split(": ")[1]
    assert run(cli, audit, "restore", name, "--collections", EVIL).code == 0
    assert db[EVIL].index_information().keys() == {"_id_", EVIL}
    run(cli, audit, "restore", name, "--collections", f"{EVIL}2")
    run(cli, audit, "backups", "list")
    run(cli, audit, "backup", "--collections", EVIL, f"{EVIL}2")


def test_what_the_server_says(cli: Cli, db: Db, migrations: Migrations, audit: Path) -> None:
    db[EVIL].insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 1}])
    unique = {"type": "create_index", "collection": EVIL, "index": [["a", 1]]}
    migrations.write(1, up=[{**unique, "options": {"unique": True, "name": EVIL}}], down=[])
    migrations.write(2, up=[unique], down=[], name="two", description=EVIL)
    for arguments in (("plan",), ("lint",), ("apply",), ("status",), ("check",)):
        run(cli, audit, *arguments)
    [failed, *_] = [
        event for event in map(json.loads, audit.read_text().splitlines())
        if event["event"] == "migration_failed"
    ]  # fmt: skip
    assert "\x1b[31m" in failed["message"]  # the value is as it was
    assert "Traceback" in cli("apply", env={"LOG_LEVEL": "debug"}).stderr


def test_records_and_files(cli: Cli, db: Db, migrations: Migrations, audit: Path) -> None:
    record = {"name": EVIL, "description": EVIL, "status": "failed", "error": EVIL}
    db["migrations"].insert_one({"_id": f"migration_{EVIL}", "up_script": EVIL, **record})
    migrations.raw("migration_1_x.json", json.dumps({"name": EVIL, EVIL: 1}))
    migrations.raw("other\x1b[31m.json", "{}")
    for arguments in (("status",), ("plan",), ("apply",), ("rollback",), ("lint",), ("undrop",)):
        run(cli, audit, *arguments)


def test_settings_and_arguments(cli: Cli, audit: Path) -> None:
    run(cli, audit, "status", "--uri", f"mongodb://{EVIL}/x")
    run(cli, audit, "status", "--uri", "mongodb://ho\x1b[31mst\x9b/?serverSelectionTimeoutMS=1")
    run(cli, audit, "status", "--db", EVIL)
    run(cli, audit, EVIL)
    run(cli, audit, "restore", EVIL)
    run(cli, audit, "rollback", EVIL)
    run(cli, audit, "status", "--migrations-dir", EVIL)
