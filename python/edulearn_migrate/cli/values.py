"""The values that arguments take. What is refused is a sentence for the user."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

_AGE = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def seconds(text: str) -> float:
    """A duration for `--lock-timeout`."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ArgumentTypeError(f"{text} is not a number of seconds, 0 or more")
    return number


def age(text: str) -> int:
    """An age as in `30d`, in seconds."""
    found = _AGE.fullmatch(text)
    if found is None:
        raise ArgumentTypeError(
            f"{text} is no age: a whole number and a unit are, as in 30d; the units are s, m, h, d "
            "and w for seconds, minutes, hours, days and weeks"
        )
    return int(found[1]) * _SECONDS[found[2]]


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text} is not a whole number, 1 or more")
    return int(text)


def names(text: str) -> list[str]:
    """Names of collections, separated by commas."""
    found = [name for name in text.split(",") if name]
    if not found:
        raise ArgumentTypeError("names no collection")
    return found
