"""Bad files: each is named with its reason, and nothing is run where any file is bad."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

import pytest
from pymongo.database import Database

from conftest import TIMEOUT, Cli, Migrations, Operation
from edulearn_migrate import (
    InvalidMigrationError,
    MigrateError,
    Migrator,
    OperationFailedError,
)
from harness import insert
from message_rules import check_message

Db = Database[dict[str, Any]]

GOOD: Operation = {"type": "create_collection", "collection": "good"}


@pytest.fixture
def good(migrations: Migrations) -> Migrations:
    """A directory with one good migration, which sorts first."""
    migrations.write(1, [GOOD], [])
    return migrations


def refused(cli: Cli, db: Db, *wanted: str, file: str = "migration_2_bad.json") -> str:
    """Every command that reads files refuses with one sentence, and nothing is written."""
    for command in (["apply"], ["apply", "migration_1"], ["status"], ["rollback"]):
        result = cli(*command)
        assert result.code == 1, (command, result)
        assert "Traceback" not in result.stderr
        assert "panicked" not in result.stderr
        error = result.error
        for text in (file, *wanted):
            assert text in error
    assert db.list_collection_names() == []
    as_json = cli("apply", "--json")
    document = json.loads(as_json.stdout)
    assert document["error"]["type"] == "InvalidMigrationError"
    assert document["error"]["file"].endswith(file)
    return error


JSON: dict[str, tuple[str, list[str]]] = {
    "empty": ("", ["line 1, column"]),
    "cut off": ('{"name": "x",\n "up": {"operations": [', ["line 2, column"]),
    "a comma too many": ('{"name": "x",\n\n  "up": {"operations": [],}}', ["line 3, column"]),
    "no quotes": ("{name: 1}", ["line 1, column 2"]),
    "single quotes": ("{'name': 1}", ["line 1, column 2"]),
    "python names": (
        '{"name": "x", "up": {"operations": []}, "description": None}',
        ["line 1, column"],
    ),
    "python code": ("import os\nos.system('true')\n", [", column "]),
    "two documents": ('{"name": "x"} {"name": "y"}', ["line 1, column 15"]),
    "a bare tuple": ('("name", "x")', ["one object"]),
    "an unclosed text": ('{"name": "x', ["line 1, column"]),
    "a control character": ('{"name": "a\nb"}', [", column ", "control character"]),
    "half a surrogate": ('{"name": "\\ud800"}', ["line 1, column"]),
    "a number too big": ('{"name": "x", "up": {"operations": []}, "n": 1e999}', []),
    "NaN": ('{"name": NaN}', ["line 1, column"]),
    "a comment": ('{"name": "x", // why\n"up": {"operations": []}}', ["line 1, column 15"]),
    "a name twice": ('{"name": "x", "name": "y", "up": {"operations": []}}', ["name"]),
    "deep": ('{"name": ' + "[" * 100_000, ["line 1, column"]),
    "deep tuples": ('{"name": ' + "(" * 100_000 + ")" * 100_000 + "}", ["line 1, column"]),
}


@pytest.mark.parametrize(("text", "wanted"), JSON.values(), ids=JSON)
def test_no_json(cli: Cli, good: Migrations, db: Db, text: str, wanted: list[str]) -> None:
    good.raw("migration_2_bad.json", text)
    refused(cli, db, *wanted)


FILES: dict[str, tuple[Any, list[str]]] = {
    "an array": ([], ["one object"]),
    "a text": ("x", ["one object"]),
    "null": (None, ["one object"]),
    "no name": ({"up": {"operations": []}}, ['"name" is missing']),
    "no up": ({"name": "x"}, ['"up" is missing']),
    "an empty name": ({"name": " ", "up": {"operations": []}}, ['"name" is empty']),
    "a name that is none": ({"name": 5, "up": {"operations": []}}, ['"name" must be a text']),
    "a description that is none": (
        {"name": "x", "description": [], "up": {"operations": []}},
        ['"description" must be a text'],
    ),
    "an unknown field": (
        {"name": "x", "up": {"operations": []}, "upp": 1},
        ['unknown field "upp"'],
    ),
    "up as a list": ({"name": "x", "up": []}, ["up: ", "object"]),
    "up as text": ({"name": "x", "up": "print()"}, ["up: "]),
    "no operations": ({"name": "x", "up": {}}, ["up: ", '"operations"']),
    "operations as an object": (
        {"name": "x", "up": {"operations": {}}},
        ['up: "operations" must be an array'],
    ),
    "a field beside operations": (
        {"name": "x", "up": {"operations": [], "then": 1}},
        ['"then"'],
    ),
    "a bad down script": (
        {"name": "x", "up": {"operations": []}, "down": {"operations": [5]}},
        ["down: operation 1", "must be an object, not a number"],
    ),
}


@pytest.mark.parametrize(("document", "wanted"), FILES.values(), ids=FILES)
def test_no_migration(cli: Cli, good: Migrations, db: Db, document: Any, wanted: list[str]) -> None:
    good.raw("migration_2_bad.json", json.dumps(document))
    refused(cli, db, *wanted)


def of(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "collection": "c", **fields}


OPERATIONS: dict[str, tuple[Any, list[str]]] = {
    "a text": ("drop", ["must be an object, not a text"]),
    "null": (None, ["must be an object, not null"]),
    "no type": ({"collection": "c"}, ['"type" is missing']),
    "an unknown type": (of("drop_table"), ["(drop_table)", "unknown type", "drop_collection"]),
    "a type that is none": (of(5), ['"type" must be a text']),  # type: ignore[arg-type]
    "no collection": ({"type": "drop_collection"}, ['"collection" is missing']),
    "an empty name": (of("drop_collection", collection=""), ["is empty"]),
    "a dollar": (of("drop_collection", collection="a$b"), ["holds a $"]),
    "a null character": (of("drop_collection", collection="a\0b"), ["c"]),
    "our own": (of("drop_collection", collection="migrations_history"), ["migration tool"]),
    "ours by renaming": (of("rename_collection", to="migrations_x"), ["migration tool"]),
    "a system collection": (of("drop_collection", collection="system.views"), ["system"]),
    "an unknown field": (of("drop_collection", options={}), ['unknown field "options"']),
    "a misspelt field": (
        of("update_documents", fliter={}, update={}),
        ['unknown field "fliter"'],
    ),
    "a missing field": (of("update_documents", update={"$set": {"a": 1}}), ['"filter" is missing']),
    "a wrong type": (
        of("update_documents", filter=[], update={"$set": {"a": 1}}),
        ['"filter" must be an object, not an array'],
    ),
    "a replacement": (of("update_documents", filter={}, update={"a": 1}), ["no update operator"]),
    "an empty update": (of("update_documents", filter={}, update={}), ["the update is empty"]),
    "an unknown option": (
        of("update_documents", filter={}, update={"$set": {"a": 1}}, options={"arrayFilters": []}),
        ['did you mean "array_filters"'],
    ),
    "an option of the wrong type": (
        of("update_documents", filter={}, update={"$set": {"a": 1}}, options={"multi": "yes"}),
        ['the option "multi" must be true or false, not a text'],
    ),
    "create with nonsense": (
        of("create_collection", options={"kapped": True}),
        ['unknown option "kapped"'],
    ),
    "modify with nonsense": (of("modify_collection", options={"size": 5}), ['"size"']),
    "modify nothing": (of("modify_collection"), ['"options" is missing']),
    "an index without keys": (of("create_index", index=[]), ["has no keys"]),
    "an index of numbers": (of("create_index", index=5), ["index"]),
    "a bad direction": (of("create_index", index=[["a", 2]]), ['direction of "a" is 2']),
    "a key twice": (of("create_index", index=[["a", 1], ["a", 1]]), ["twice"]),
    "every index": (of("drop_index", index="*"), ["every index"]),
    "documents that are none": (
        of("insert_documents", documents=[{}, 5]),
        ["documents[1] must be an object, not a number"],
    ),
    "a bad ObjectId": (
        of("insert_documents", documents=[{"_id": {"$oid": "zz"}}]),
        ["Extended JSON"],
    ),
    "a bad date": (of("insert_documents", documents=[{"a": {"$date": "soon"}}]), ["Extended"]),
    "renamed to itself": (of("rename_collection", to="c"), ["own name"]),
}


@pytest.mark.parametrize(("operation", "wanted"), OPERATIONS.values(), ids=OPERATIONS)
def test_a_bad_operation(
    migrator: Migrator, good: Migrations, db: Db, operation: Any, wanted: list[str]
) -> None:
    text = {"name": "x", "up": {"operations": [GOOD, operation]}}
    good.raw("migration_2_bad.json", json.dumps(text))
    with pytest.raises(InvalidMigrationError) as bad:
        migrator.apply()
    said = str(bad.value)
    assert said.startswith(f"{good.directory}/migration_2_bad.json: up: operation 2")
    assert check_message(said).endswith((".", "?"))
    for each in wanted:
        assert each in said
    assert (bad.value.file or "").endswith("migration_2_bad.json")
    assert db.list_collection_names() == []


def test_two_files_with_one_number(cli: Cli, good: Migrations, db: Db) -> None:
    good.write("001", [GOOD], name="again")
    error = refused(cli, db, "migration_001_again.json", file="migration_1_step_1.json")
    assert "has the number of" in error


def test_not_utf_8(cli: Cli, good: Migrations, db: Db) -> None:
    good.raw("migration_2_bad.json", '{"name": "für"}'.encode("latin-1"))
    refused(cli, db, "is not UTF-8 (byte 11)")


def test_a_byte_order_mark(cli: Cli, good: Migrations) -> None:
    """Editors on Windows write one; python-dotenv and PyMongo's users are used to them."""
    text = json.dumps({"name": "x", "up": {"operations": [GOOD]}})
    good.raw("migration_2_bom.json", "\ufeff" + text)
    result = cli("apply")
    if result.code:
        error = result.error
        assert "migration_2_bom.json" in error
        assert "line 1, column 1" in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(cli: Cli, good: Migrations, db: Db) -> None:
    good.raw("migration_2_bad.json", "{}").chmod(0)
    refused(cli, db, "cannot be read", "ermission denied")


def test_a_link_to_nowhere(cli: Cli, good: Migrations, db: Db) -> None:
    (good.directory / "migration_2_bad.json").symlink_to("absent.json")
    refused(cli, db, "cannot be read")


def test_what_is_no_file(cli: Cli, good: Migrations) -> None:
    """A directory named like a migration is none, nor is a socket: neither stops a run for ever."""
    (good.directory / "migration_2_directory.json").mkdir()
    (good.directory / "archive").mkdir()
    (good.directory / ".hidden.json").touch()
    result = cli("status")
    assert result.code == 0
    assert "  Total migrations: 1" in result.lines


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_pipe_or_socket_named_like_a_migration(cli: Cli, good: Migrations, kind: str) -> None:
    path = good.directory / "migration_2_special.json"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        # A socket's path is short: it is bound from within the directory.
        here = os.open(".", os.O_RDONLY)
        os.chdir(good.directory)
        try:
            with socket.socket(socket.AF_UNIX) as special:
                special.bind(path.name)
        finally:
            os.fchdir(here)
            os.close(here)
    # A pipe that nobody writes to must not be waited for.
    process = cli.start("status")
    try:
        stdout, stderr = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert "Traceback" not in stderr
    assert "migration_2_special.json" in stdout + stderr


def test_a_directory_that_is_none(cli: Cli, migrations: Migrations, db: Db) -> None:
    migrations.directory.touch()
    result = cli("apply")
    assert result.code == 2
    assert "is not a directory" in result.stdout
    assert db.list_collection_names() == []


# -- names and sizes that only the server refuses


@pytest.mark.parametrize(
    "operation",
    [
        {"type": "create_collection", "collection": "c" * 256},
        {"type": "create_collection", "collection": "ü" * 128},
        {"type": "create_index", "collection": "c" * 256, "index": "a"},
        insert("c", {"_id": [1]}),
        insert("c", {"_id": {"$regularExpression": {"pattern": "a", "options": ""}}}),
        {"type": "create_index", "collection": "c", "index": [["a..b", 1]]},
    ],
    ids=["long", "long in bytes", "long by an index", "array _id", "regex _id", "empty path"],
)
def test_what_the_server_refuses(
    migrator: Migrator, good: Migrations, db: Db, operation: Operation
) -> None:
    good.write(2, [operation])
    with pytest.raises(MigrateError) as failed:
        migrator.apply()
    said = str(failed.value)
    assert "migration_2_step_2.json" in said
    assert "operation 1" in said
    if isinstance(failed.value, OperationFailedError):
        assert failed.value.server_code is not None
        assert "Remove the cause" in said or "in the file" in said
        assert {each["_id"]: each["status"] for each in db["migrations"].find()} == {
            "migration_1": "applied",
            "migration_2": "failed",
        }


@pytest.mark.parametrize("megabytes", [5, 11])
def test_scripts_of_many_megabytes(
    migrator: Migrator, migrations: Migrations, db: Db, megabytes: int
) -> None:
    padding = "x" * 10_000
    documents = ({"_id": n, "padding": padding} for n in range(megabytes * 100))
    one = migrations.write(
        1, [insert("c", *documents)], [{"type": "drop_collection", "collection": "c"}]
    )
    assert migrator.apply().ids("applied") == [one]
    assert migrator.status().applied == 1
    assert db["c"].count_documents({"padding": padding}) == megabytes * 100
    assert migrator.rollback().ids("rolled_back") == [one]


def test_scripts_that_the_ledger_cannot_keep(cli: Cli, good: Migrations, db: Db) -> None:
    documents = ({"_id": n, "padding": "x" * 10_000} for n in range(1500))
    good.write(2, [insert("c", *documents)], name="bad")
    error = refused(cli, db, "15 MB long")
    assert "split the migration" in error
    assert len(error) < 1000


def test_one_document_that_is_too_large(migrator: Migrator, migrations: Migrations, db: Db) -> None:
    migrations.write(1, [insert("c", {"_id": 1})])
    migrator.apply()
    db["c"].update_one({"_id": 1}, {"$set": {"a": "x" * 10_000_000}})
    grow = {"$set": {"b": "$a"}}
    migrations.write(
        2, [{"type": "update_documents", "collection": "c", "filter": {}, "update": [grow]}]
    )
    with pytest.raises(OperationFailedError) as failed:
        migrator.apply()
    assert failed.value.server_code in (17419, 10334, 17420, 10003)
    assert len(str(failed.value)) < 2000


def test_very_many_operations(migrator: Migrator, migrations: Migrations, db: Db) -> None:
    steps: list[Operation] = [insert("c", {"_id": n}) for n in range(500)]
    one = migrations.write(1, steps)
    report = migrator.apply()
    assert report.ids("applied") == [one]
    assert len(report.migrations[0].operations) == 500
    assert db["c"].count_documents({}) == 500


def test_names_that_try_things(cli: Cli, migrations: Migrations, db: Db) -> None:
    """Names come from files: none breaks a line in two or sends the terminal anything."""
    name = "evil\n✓ Applied 99 migrations:\x1b[31m\r\u2028\u202e"
    migrations.raw(
        "migration_1_evil.json",
        json.dumps(
            {"name": name, "up": {"operations": [insert("c", {"_id": 1}), insert("c", {"_id": 1})]}}
        ),
    )
    for command in ("apply", "status"):
        result = cli(command)
        said = result.stdout + result.stderr
        assert "\x1b" not in said
        assert "\u202e" not in said
        assert "✓ Applied 99 migrations:" not in [line.strip() for line in result.lines]
    found = db["migrations"].find_one()
    assert found is not None
    assert found["name"] == name
