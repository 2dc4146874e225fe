"""The reference lists what there is: commands and options, public names, classes of errors."""

from __future__ import annotations

import argparse
import re

import edulearn_migrate
from conftest import ROOT
from edulearn_migrate.cli import parser as cli_parser

REFERENCE = ROOT / "docs" / "reference"
# Made at the first use of a name.
PUBLIC: list[str] = getattr(edulearn_migrate, "__all__")  # noqa: B009


def parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of every command, with those of `backups` as `backups list` and so on."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                found |= {f"{name} {below}": it for below, it in parsers(each).items()} or {
                    name: each
                }
    return found


def test_every_command_and_option_is_listed() -> None:
    text = (REFERENCE / "commands.md").read_text()
    every = parsers(cli_parser._parser())
    assert "backups prune" in every and "apply" in every
    for name, each in every.items():
        assert re.search(rf"^\| `{name}[ `\[]", text, re.MULTILINE), name
        for action in each._actions:
            for option in action.option_strings:
                if option != "-h":
                    assert re.search(rf"`{option}[ `]", text), (name, option)


def test_every_option_that_is_listed_exists() -> None:
    text = (REFERENCE / "commands.md").read_text()
    known = {
        option
        for each in parsers(cli_parser._parser()).values()
        for action in each._actions
        for option in action.option_strings
    } | {"--version"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - known == set()


def test_every_public_name_is_on_a_page_of_the_api() -> None:
    text = "\n".join(page.read_text() for page in (REFERENCE / "api").glob("*.md"))
    named = set(re.findall(r"^\.\. auto\w+:: (\w+)$", text, re.MULTILINE))
    assert set(PUBLIC) == named


def test_every_error_is_in_the_overview() -> None:
    text = (REFERENCE / "python.md").read_text()
    errors = {name for name in PUBLIC if name.endswith("Error")}
    assert errors - {"MigrateError"} == set(re.findall(r"^\| `(\w+Error)` ", text, re.MULTILINE))


def test_the_lines_of_prose_are_at_most_100_wide() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    too_long = []
    for page in pages:
        block = False
        for number, line in enumerate(page.read_text().splitlines(), 1):
            if line.lstrip().startswith(("```", "<!--", "-->")):
                block = not block
            elif not block and len(line) > 100 and not line.lstrip().startswith("|"):
                too_long.append(f"{page.relative_to(ROOT)}:{number}")
    assert too_long == []
