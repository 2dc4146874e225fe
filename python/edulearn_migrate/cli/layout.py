"""How an error is laid out: a long one has what to do on indented lines under it."""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = 200
"""The most characters that an error of several sentences has on one line."""
_INDENT = "    "
_OPENING = {"(": ")", "[": "]", "{": "}"}


def problem(text: str, parts: Sequence[str] = ()) -> list[str]:
    """The lines for an error.

    `text` is all that the first line may say, with the mark or label that it begins with. `parts`
    are the message's parts after the first, where whoever made it knows them. A part is never
    broken within a quotation or a bracket.
    """
    whole = " ".join([text, *parts])
    if len(whole) <= LONG:
        return [whole]
    indent = text[: len(text) - len(text.lstrip(" "))]
    first, *rest = [text.lstrip(" ")] if parts else sentences(text)
    more = [each for part in [*rest, *parts] for each in sentences(part)]
    return [indent + first, *(f"{indent}{_INDENT}{each}" for each in more)]


def sentences(text: str) -> list[str]:
    """The sentences of a message. None ends within a quotation or a bracket."""
    found = []
    begin = 0
    closing: list[str] = []
    for at, character in enumerate(text):
        if closing and character == closing[-1]:
            closing.pop()
        elif character in '"`':
            # An opening one of a pair that the text does not close is a character like others.
            if character in text[at + 1 :] and not (closing and closing[-1] in '"`'):
                closing.append(character)
        elif character in _OPENING and not (closing and closing[-1] in '"`'):
            if _OPENING[character] in text[at + 1 :]:
                closing.append(_OPENING[character])
        elif not closing and character in ".?!" and _begins(text[at + 1 :]):
            found.append(text[begin : at + 1].strip())
            begin = at + 1
    rest = text[begin:].strip()
    return [*found, rest] if rest else found


def _begins(rest: str) -> bool:
    """Whether a sentence may begin here: a space, and then no small letter."""
    return rest.startswith(" ") and bool(rest.strip()) and not rest.lstrip()[0].islower()
