"""The blocks of a page of the documentation: what stands between two fences, or in a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"( *)```(\S*) *(.*)")
_HIDDEN = re.compile(r"<!-- (python|sh|file)\b *(.*)")


@dataclass(frozen=True)
class Block:
    """Lines `start` to `end` of a page, without the fences; lines count from 0.

    `title` is what follows the language: the name of the file that the block shows, or `output`.
    """

    page: Path
    language: str
    title: str
    start: int
    end: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The block as it is written into a file."""
        return "\n".join(self.lines) + "\n"

    @property
    def place(self) -> str:
        """Where a reader finds it."""
        return f"{self.page.name}:{self.start}"

    @property
    def first_line(self) -> str:
        """What an exemption names the block by."""
        return self.lines[0] if self.lines else ""


@dataclass(frozen=True)
class Command:
    """A command of a console block, and the lines of the page that show what it prints."""

    text: str
    shown: tuple[str, ...]
    start: int
    end: int


def blocks(page: Path) -> list[Block]:
    """Every block of the page, in order. A comment `<!-- python …` is a block nobody sees."""
    every = _blocks(page, page.read_text(encoding="utf-8").split("\n"))
    return [block for block in every if not block.language.startswith("{")]  # Sphinx's own


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    at = 0
    while at < len(lines):
        fence, hidden = _FENCE.fullmatch(lines[at]), _HIDDEN.fullmatch(lines[at])
        at += 1
        if hidden:
            indent, language, title = "", hidden[1], hidden[2]
        elif fence:
            indent, language, title = fence[1], fence[2], fence[3]
        else:
            continue
        start = at
        closing = "-->" if hidden else f"{indent}```"
        while lines[at] != closing:
            at += 1
        body = tuple(line.removeprefix(indent) for line in lines[start:at])
        yield Block(page, language, title, start, at, body)
        at += 1


def commands(block: Block) -> list[Command]:
    """The commands of a console block: `$ ` begins one, `> ` carries it on."""
    found: list[Command] = []
    at = 0
    while at < len(block.lines):
        assert block.lines[at].startswith("$ "), f"{block.place}: output before a command"
        text = block.lines[at][2:]
        at += 1
        while at < len(block.lines) and block.lines[at].startswith("> "):
            text += "\n" + block.lines[at][2:]
            at += 1
        start = at
        while at < len(block.lines) and not block.lines[at].startswith("$ "):
            at += 1
        shown = block.lines[start:at]
        found.append(Command(text, shown, block.start + start, block.start + at))
    return found
