"""Every command and every program of README.md and docs/ runs and prints what the page shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from doc_allowed import BLOCKS, COMMANDS
from doc_blocks import blocks, commands
from doc_project import PageError, Project
from edulearn_migrate.local import LocalServer

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server whose database `edulearn` is nobody's: the pages work on that name."""
    with LocalServer() as server:
        yield server


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_shows_what_happens(page: Path, server: LocalServer, tmp_path: Path) -> None:
    project = Project(tmp_path / "edulearn", server)
    try:
        shown = blocks(page)
        project.run_page(b for b in shown if (name_of(page), b.first_line) not in BLOCKS)
    finally:
        project.close()


def test_every_exemption_is_of_something_shown() -> None:
    shown = [block for page in PAGES for block in blocks(page)]
    firsts = {(name_of(block.page), block.first_line) for block in shown}
    assert set(BLOCKS) - firsts == set()
    consoles = [block for block in shown if block.language == "console"]
    texts = {command.text for block in consoles for command in commands(block)}
    texts |= {line for block in shown if block.language == "sh" for line in block.lines}
    assert set(COMMANDS) - texts == set()
    assert all([*BLOCKS.values(), *COMMANDS.values()]), "every exemption has a reason"


def test_every_program_of_a_page_is_run() -> None:
    """A Python file that a page shows is named by a later block of that page, or pytest runs it."""
    for page in PAGES:
        every = blocks(page)
        for n, block in enumerate(every):
            if block.language != "python" or not block.title:
                continue
            later = "\n".join(each.text for each in every[n + 1 :])
            stem = Path(block.title).stem
            runs = "pytest" in later if stem.startswith("test_") else stem in later
            assert runs or stem == "conftest", f"{block.place}: {block.title} is not run"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```console\n$ echo one\ntwo\n```\n", "prints something else"),
        ("```console\n$ false\n$ true\n```\n", "ended with 1"),
        ("```sh\nfalse\ntrue\n```\n", "ended with 1"),
        ("```python\nraise SystemExit(1)\n```\n", "the program fails"),
        ("```python\nprint(1)\n```\n\n```text output\n2\n```\n", "prints something else"),
        ("```console\n$ false\n```\n", "ended with 1"),
    ],
)
def test_a_page_that_is_wrong_fails(
    text: str, complaint: str, server: LocalServer, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    project = Project(tmp_path / "edulearn", server)
    try:
        with pytest.raises(PageError, match=complaint):
            project.run_page(blocks(page))
    finally:
        project.close()
