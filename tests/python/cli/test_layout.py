"""Long errors become a sentence and indented lines of what to do."""

from __future__ import annotations

import pytest

from conftest import Cli, Migrations
from edulearn_migrate.cli.layout import LONG, problem, sentences
from message_rules import broken_rules

ONE = {"type": "insert_documents", "collection": "d", "documents": [{"_id": 1}]}
TWICE = {**ONE, "documents": [{"_id": 1}, {"_id": 1}]}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("It is gone.", ["It is gone."]),
        ("It is gone. Make it anew.", ["It is gone.", "Make it anew."]),
        ("Is it gone? `apply` says so.", ["Is it gone?", "`apply` says so."]),
        ("a.json: no. 5 of 2.5 s", ["a.json: no.", "5 of 2.5 s"]),
        ("in {a: 1. B} and (see 2. C). Done.", ["in {a: 1. B} and (see 2. C).", "Done."]),
        ('the name "A. B" is taken. Stop.', ['the name "A. B" is taken.', "Stop."]),
        ('an open " quotation. It ends.', ['an open " quotation.', "It ends."]),
        ("an open ( bracket. It ends.", ["an open ( bracket.", "It ends."]),
        ("db.c.find(). Then go on", ["db.c.find().", "Then go on"]),
        ("and so on, e.g. this one", ["and so on, e.g. this one"]),
        ("", []),
    ],
)
def test_sentences(text: str, wanted: list[str]) -> None:
    assert sentences(text) == wanted


def test_problem() -> None:
    short = "✗ Error: It is gone. Make it anew."
    assert problem(short) == [short]
    long = "It is " + "x" * LONG + "."
    assert problem(f"✗ Error: {long} Make it anew. Then go on.") == [
        f"✗ Error: {long}",
        "    Make it anew.",
        "    Then go on.",
    ]
    # The first part is not broken: what a server says may look like sentences.
    said = 'failed: "no. Such. Luck." Really. Not'
    assert problem(f"✗ Error: {said}", [long, "One. Two."]) == [
        f"✗ Error: {said}",
        f"    {long}",
        "    One.",
        "    Two.",
    ]
    assert problem(f"      error: {long} Make it anew.") == [
        f"      error: {long}",
        "          Make it anew.",
    ]


def test_a_long_error(cli: Cli, migrations: Migrations) -> None:
    migrations.write(1, [ONE, {**TWICE, "collection": "a_collection_with_a_long_name" * 4}], [])
    result = cli("apply")
    at = next(at for at, line in enumerate(result.lines) if line.startswith("✗ Error: "))
    first, done, nothing, *todo = result.lines[at:]
    assert first.startswith("✗ Error: migrations/migration_1_step_1.json: operation 2 of 2 (")
    assert first.endswith("(code 11000).")
    assert (done, nothing) == ("    Operation 1 is done.", "    Of operation 2, nothing is done.")
    assert todo and all(line.startswith("    ") for line in todo)
    assert "then run the same command again." in result.stdout
    # The ledger keeps one text, and status and check lay it out.
    for command, mark in (("status", "      error: migrations/"), ("check", "✗ failed: ")):
        lines = cli(command).lines
        at = next(at for at, line in enumerate(lines) if line.startswith(mark))
        indent = " " * (len(mark) - len(mark.lstrip()) + 4)
        assert lines[at + 1] == f"{indent}Operation 1 is done."
        assert lines[at + 2] == f"{indent}Of operation 2, nothing is done."


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        ("It failed..", "two marks"),
        ('did you mean "a"?.', "two marks"),
        ("1 documents were read.", "plural"),
        ("It holds 2544 documents.", "separators"),
        ("It failed (code 5): no (code 5).", "a code twice"),
        ("BSON error. Kind: x.", "parser"),
        ("expected value at line 1 column 2", "parser"),
    ],
)
def test_the_rules_find_what_they_are_for(message: str, rule: str) -> None:
    assert any(rule in each for each in broken_rules(message))


def test_good_messages_keep_the_rules() -> None:
    for message in (
        "1 document, 2,544 documents, 11 documents.",
        "Waiting...",
        "migration_2024 runs (code 5), then fails (code 6).",
    ):
        assert not broken_rules(message)
