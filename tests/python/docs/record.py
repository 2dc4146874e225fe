"""Writes what commands print now into the pages: `make docs-output`. Read the difference after it.

A text that agrees but for what varies stays as it is.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "support")]


def record(page: Path, name: str) -> int:
    """Runs a page and rewrites the outputs that differ; returns how many did."""
    from doc_allowed import BLOCKS
    from doc_blocks import blocks
    from doc_project import Project
    from edulearn_migrate.local import LocalServer

    with LocalServer() as server, tempfile.TemporaryDirectory() as directory:
        project = Project(Path(directory, "edulearn"), server, record=True)
        try:
            shown = blocks(page)
            project.run_page(b for b in shown if (name, b.first_line) not in BLOCKS)
        finally:
            project.close()
            lines = page.read_text(encoding="utf-8").split("\n")
            for _, command, printed in reversed(project.changes):
                lines[command.start : command.end] = printed
            page.write_text("\n".join(lines), encoding="utf-8")
    return len(project.changes)


def main() -> int:
    """Takes pages, or all of them."""
    from conftest import ROOT

    pages = [Path(each).resolve() for each in sys.argv[1:]]
    for page in pages or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        name = page.relative_to(ROOT).as_posix()
        print(f"{name}: {record(page, name)} outputs rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
