"""`--help` of every command: each argument is explained, general options are one line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from edulearn_migrate.cli.parser import _parser


def parsers(of: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Those of the commands, and of what they have beneath them."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for parser in action.choices.values():
                yield parser
                yield from parsers(parser)


COMMANDS = {parser.prog.removeprefix("edulearn-migrate "): parser for parser in parsers(_parser())}
GENERAL = {
    option
    for action in _parser()._actions
    for option in action.option_strings
    if option not in ("-h", "--help", "--version", "--lock-timeout")
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_explained(name: str) -> None:
    parser = COMMANDS[name]
    lines = parser.format_help().splitlines()
    for action in parser._actions:
        if GENERAL & {*action.option_strings}:
            continue
        shown = [*action.option_strings, action.metavar or action.dest][0]
        assert isinstance(shown, str)
        if isinstance(action, argparse._SubParsersAction):
            continue
        assert action.help and len(action.help.split()) > 2, f"{name} {shown}"
    [general] = [line for line in lines if "--uri" in line]
    assert {*general.split()} == GENERAL


def test_the_commands_are_all_there() -> None:
    assert {"apply", "rollback", "status", "backups verify", "undrop"} <= COMMANDS.keys()
    assert len(COMMANDS) == 20
