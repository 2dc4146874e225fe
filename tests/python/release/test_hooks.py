"""What runs before a commit and on GitHub is what `make lint` and `make test` run."""

from __future__ import annotations

import re

from conftest import ROOT


def test_the_hooks_are_the_parts_of_make_lint() -> None:
    [parts] = re.findall(r"^lint: (.*?) ##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    entries = re.findall(r"^ +entry: (.*)$", hooks, re.MULTILINE)
    assert entries == [f"make {part}" for part in parts.split()]
    assert re.findall(r"repo: (.*)", hooks) == ["local"]


def test_the_workflow_runs_both_targets_on_every_supported_python() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert set(re.findall(r"run: make (\w+)", workflow)) == {"lint", "test"}
    [versions] = re.findall(r"^ +python: \[(.*)\]$", workflow, re.MULTILINE)
    minors = [int(each) for each in re.findall(r'"3\.(\d+)"', versions)]
    [oldest] = re.findall(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert minors == list(range(int(oldest), 15))
