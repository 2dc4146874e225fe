"""Many messages, each once and in plain words: what people see when something goes wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from conftest import Cli, Migrations, Result, login
from edulearn_migrate.local import LocalServer
from message_rules import check_message

Db = Database[dict[str, Any]]

# Documented lines of the old tool, whose words are fixed.
FIXED = ("✓ Applied ", "✓ Rolled back ", "  Documents restored: ", "  Documents: ")

FILES = {
    "an unknown type": '{"name": "x", "up": {"operations": [{"type": "upd", "collection": "c"}]}}',
    "an unknown field": '{"name": "x", "nmae": 1, "up": {"operations": []}}',
    "no object": "[]",
    "no JSON": "garbage",
    "cut off": '{"name": "x"',
    "nothing": "",
    "zeros": "\0" * 40,
    "no operations": '{"name": "x", "up": {"operations": []}}',
    "a wrong value": '{"name": "x", "up": {"operations": [{"type": "insert_documents", '
    '"collection": "c", "documents": [{"_id": {"$oid": "zz"}}]}]}}',
    "a wrong check": '{"name": "x", "checks": [], "up": {"operations": []}}',
    "a document": '{"name": "x", "up": {"operations": [{"type": "insert_documents", "collection": '
    '"c", "documents": [{"a\\u0000b": 1}]}]}}',
}

USAGE = [
    ["nosuch"],
    ["apply", "--nosuch"],
    ["apply", "--workers", "99"],
    ["apply", "nosuch"],
    ["rollback", "nosuch"],
    ["rollback", "--exact", "--from-file"],
    ["mark", "x"],
    ["mark", "x", "--as", "foo"],
    ["mark", "x", "--as", "applied"],
    ["restore"],
    ["restore", "nosuch"],
    ["restore", "a", "--finish"],
    ["restore", "--from-mongodump", "/nosuch"],
    ["backup", "--collections", "nosuch"],
    ["backups"],
    ["backups", "prune"],
    ["backups", "prune", "--keep", "0"],
    ["backups", "verify", "nosuch"],
    ["purge", "nosuch"],
    ["purge", "--older-than", "3"],
    ["undrop", "x"],
    ["undrop", "--to", "x"],
    ["lint", "nosuch"],
    ["create", ""],
    ["rehearse", "nosuch", "--live"],
    ["status", "--last", "0"],
    ["status", "--uri", "nonsense"],
    ["status", "--uri", "mongodb://a:p%zz@h/x"],
    ["status", "--uri", "mongodb://h/x?connectTimeoutMS=abc"],
    ["status", "--db", "a b"],
    ["status", "--db", "admin"],
    ["status", "--log-level", "loud"],
    ["status", "--ledger", "a$b"],
    ["status", "--migrations-dir", "nosuch"],
]


def check(result: Result) -> Result:
    """Every line keeps the rules, and no text of an error is on stderr as well."""
    for line in (*result.lines, *result.stderr.splitlines()):
        if not line.startswith(FIXED):
            check_message(line)
    for line in result.lines:
        if line.startswith("✗ "):
            text = line.removeprefix("✗ ").removeprefix("Error: ")
            assert text not in result.stderr, "an error is shown once"
    return result


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_files(cli: Cli, migrations: Migrations, text: str) -> None:
    migrations.raw("migration_1_x.json", text)
    for command in ("apply", "lint", "status", "plan", "check"):
        check(cli(command))
    failed = check(cli("apply"))
    assert failed.code == 1
    assert failed.error.startswith("✗ Error: migrations/migration_1_x.json: ")


@pytest.mark.parametrize("line", USAGE, ids=" ".join)
def test_usage(cli: Cli, line: list[str]) -> None:
    result = check(cli(*line))
    assert result.code in (1, 2)
    assert result.error


def test_runs(cli: Cli, migrations: Migrations, db: Db) -> None:
    """A failure, its rollback, and what every command says of one and of thousands."""
    db["users"].insert_many([{"_id": n, "email": str(max(n, 1))} for n in range(3_000)])
    one = {"type": "insert_documents", "collection": "one", "documents": [{"_id": 1}]}
    every = {"type": "update_documents", "collection": "users", "filter": {}}
    every["update"] = {"$set": {"a": 1}}
    index = {"type": "create_index", "collection": "users", "index": "email"}
    migrations.write(1, [one, every], [{**every, "update": {"$unset": {"a": 1}}}])
    migrations.write(2, [{**one, "collection": "two"}, {**index, "options": {"unique": True}}])
    for command, code in (
        (["plan"], 1),
        (["apply"], 1),
        (["apply", "--log-level", "info", "--json"], 1),
        (["status", "--retained"], 0),
        (["check"], 3),
        (["rollback", "migration_2"], 0),
        (["check"], 3),
        (["rollback", "migration_1", "--dry-run"], 0),
        (["rollback", "migration_1", "--exact"], 0),
        (["undrop"], 0),
        (["backup"], 0),
        (["backups", "list"], 0),
        (["backups", "verify", "latest"], 0),
        (["restore", "latest"], 0),
        (["restore", "latest", "--db", "another"], 1),
        (["purge"], 0),
        (["unlock"], 0),
    ):
        result = check(cli(*command))
        assert result.code == code, (command, result)


def test_a_plan_says_the_code_once(cli: Cli, migrations: Migrations, db: Db) -> None:
    """The server's words have its code, and the plan has it beside them."""
    db["users"].insert_one({"_id": 1, "n": 1})
    update = {"type": "update_documents", "collection": "users", "update": {"$set": {"a": 1}}}
    migrations.write(1, [{**update, "filter": {"$expr": {"$divide": ["$n", 0]}}}], [])
    plan = check(cli("plan"))
    assert plan.code == 1
    assert plan.stdout.count("code 2") == 1, plan


def test_damaged_backups(cli: Cli, db: Db) -> None:
    db["users"].insert_many([{"_id": n, "text": "x" * n} for n in range(2_000)])
    assert cli("backup").code == 0
    [backup] = (cli.directory / "backups").iterdir()

    def damage(name: str, data: bytes, at: int | None = None) -> None:
        copy = cli.directory / "damaged" / backup.name
        shutil.rmtree(copy.parent, ignore_errors=True)
        shutil.copytree(backup, copy)
        path = copy / name
        path.write_bytes(data if at is None else path.read_bytes()[:at] + data)

    for name, data, at in (
        ("manifest.json", b"garbage", None),
        ("manifest.json", b"{}", None),
        ("manifest.json", b"", 100),
        ("users.metadata.json", b"{", None),
        ("users.bson.zst", b"x" * 40, 20),
        ("users.bson.zst", b"", 200),
        ("users.bson.zst", b"", None),
    ):
        damage(name, data, at)
        for command in ("backups verify", "restore"):
            result = check(cli(*command.split(), backup.name, "--backup-dir", "damaged"))
            assert result.code == 1, (name, result)
            assert name in result.error


def test_dumps(cli: Cli) -> None:
    dump = cli.directory / "dump" / str(cli.environment()["DB_NAME"])
    dump.mkdir(parents=True)
    contents = (b"hi", b"", b"\x05\0\0\0\1", b"\x10\0\0\0\x01a\0", b"\xff" * 64)
    for content in contents:
        (dump / "a.bson").write_bytes(content)
        check(cli("restore", "--from-mongodump", str(dump), "--no-safety-backup"))
        check(cli("restore", "--from-mongodump", str(dump / "a.bson"), "--no-safety-backup"))
    for metadata in (b"{", b"x", b'{"indexes": 1}', b'{"options": {"capped": "x"}}', b"[]"):
        (dump / "a.metadata.json").write_bytes(metadata)
        check(cli("restore", "--from-mongodump", str(dump), "--no-safety-backup"))
    Path(cli.directory / "archive").write_bytes(b"\x6d\xe2\x99\x81" + b"\x05\0\0\0" * 20)
    result = check(cli("restore", "--from-mongodump", "archive", "--no-safety-backup"))
    assert result.code == 1


def test_servers(cli: Cli, guarded: LocalServer) -> None:
    nowhere = "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=300"
    for uri in (login(guarded, "teacher", "wrong", "x"), f"127.0.0.1:{guarded.port}/x", nowhere):
        address = uri if uri.startswith("mongodb://") else f"mongodb://{uri}"
        for command in ("status", "apply", "rollback", "backup", "check", "plan", "undrop"):
            result = check(cli(command, env={"MONGO_URI": address, "DB_NAME": None}))
            assert result.code == 1, (uri, command, result)
            assert result.error
