"""What every message must keep to, whatever it is about."""

from __future__ import annotations

import re

_TWO_STOPS = re.compile(r"[?!]\.(?=\s|$)|(?<!\.)\.\.(?=\s|$)")
_ONE = re.compile(
    r"(?<![\w.,/-])1 (?:documents|indexes|collections|migrations|operations|keys|runs|files|"
    r"backups|results|references|bytes|errors|warnings)\b"
)
# A count of four digits and more. A year, a port or an id is not followed by such a word.
_UNGROUPED = re.compile(
    r"(?<![\w.,:/-])[0-9]{4,} (?:documents?|indexes|collections|migrations|operations|keys|runs|"
    r"files|backups|bytes)\b"
)
_CODE = re.compile(r"\bcode (-?[0-9]+)")
# What parsers and drivers say to programmers.
_FOREIGN = re.compile(
    r"BSON error|\bKind: |expected value at line|missing field `|invalid type: |EOF while"
    r"|SCRAM failure|error occurred|\bErr\(|\bSome\(|Traceback"
)


def broken_rules(message: str) -> list[str]:
    """What a message breaks; empty for a good one. The documented lines are not for it."""
    found = [
        f"{what}: {match.group()!r}"
        for what, pattern in (
            ("two marks end a sentence", _TWO_STOPS),
            ("one is plural", _ONE),
            ("a number without separators", _UNGROUPED),
            ("a parser's own words", _FOREIGN),
        )
        if (match := pattern.search(message))
    ]
    codes = _CODE.findall(message)
    if len(codes) != len(set(codes)):
        found.append(f"a code twice: {codes}")
    return found


def check_message(message: str) -> str:
    """Fails for a message that breaks a rule, and returns it."""
    assert not broken_rules(message), (broken_rules(message), message)
    return message
