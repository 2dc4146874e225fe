"""What `status` prints of a long history, on a terminal and elsewhere."""

from __future__ import annotations

import json
import os
import pty
import subprocess

import pytest

from conftest import TIMEOUT, Cli, Migrations
from edulearn_migrate import Migrator

COUNT = 200
ONE = {"type": "insert_documents", "collection": "d", "documents": [{"_id": 1}]}
TWICE = {**ONE, "documents": [{"_id": 1}, {"_id": 1}]}


@pytest.fixture
def history(cli: Cli, migrations: Migrations, migrator: Migrator) -> None:
    """200 migrations: the file of the third has changed, number 198 failed, 2 are pending."""
    for number in range(1, COUNT - 2):
        migrations.write(number, [], [])
    migrator.apply()
    migrations.write(COUNT - 2, [TWICE])
    assert cli("apply", f"migration_{COUNT - 2}").code == 1
    migrations.write(3, [ONE])
    for number in (COUNT - 1, COUNT):
        migrations.write(number, [], [])


def on_a_terminal(cli: Cli, *arguments: str) -> list[str]:
    """The lines of a command whose standard output is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*cli.command, *arguments],
        cwd=cli.directory,
        env=cli.environment({"NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "40"}),
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=subprocess.PIPE,
    )
    os.close(slave)
    parts = []
    while True:
        try:
            part = os.read(master, 65_536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(master)
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(TIMEOUT) == 0
    return b"".join(parts).decode().splitlines()


def shown(lines: list[str]) -> list[str]:
    """The names of the migrations in the history."""
    return [line.split()[1] for line in lines if line[:2] == "  " and line[2:3] in {*"✓✗○!▸◂"}]


@pytest.mark.usefixtures("history")
def test_a_long_history(cli: Cli) -> None:
    everything = [f"step_{number}" for number in range(1, COUNT + 1)]
    lines = cli("status").lines
    assert shown(lines) == everything
    assert lines[lines.index("  ○ step_200 - pending") + 1] == "      migration_200"
    ids = [line.strip().partition(",")[0] for line in lines if line.startswith("      migration_")]
    assert ids == [f"migration_{number}" for number in range(1, COUNT + 1)]

    lines = on_a_terminal(cli, "status")
    assert lines[2:7] == [
        "  Total migrations: 200",
        "  Applied: 197",
        "  Pending: 2",
        "  Rolled back: 0",
        "  Failed: 1",
    ]
    assert "  … 179 older migrations, applied (`status --last 200` lists all)" in lines
    assert shown(lines) == ["step_3", *everything[-20:]]
    assert len(lines) < 60

    assert shown(on_a_terminal(cli, "status", "--last", "200")) == everything
    for run in (on_a_terminal, lambda cli, *arguments: cli(*arguments).lines):
        lines = run(cli, "status", "--last", "4")
        assert shown(lines) == everything[-4:]
        assert "  Total migrations: 200" in lines
        assert shown(run(cli, "status", "--pending")) == everything[-3:]
        assert shown(run(cli, "status", "--pending", "--last", "2")) == everything[-2:]
    report = json.loads(cli("status", "--pending", "--json").stdout)
    assert [each["name"] for each in report["migrations"]] == everything[-3:]
    assert report["total"] == 200


def test_a_short_history_is_whole_on_a_terminal(cli: Cli, migrations: Migrations) -> None:
    migrations.write(1, [ONE], [])
    assert cli("apply").code == 0
    lines = on_a_terminal(cli, "status")
    assert shown(lines) == ["step_1"]
    assert [line for line in lines if "migration_1" in line] == [
        lines[lines.index("  ✓ step_1 - applied") + 1]
    ]


def test_last_wants_a_number(cli: Cli) -> None:
    for wrong in ("0", "-1", "x"):
        refused = cli("status", f"--last={wrong}")
        assert refused.code == 2
        assert f"{wrong} is not a whole number, 1 or more" in refused.stdout
