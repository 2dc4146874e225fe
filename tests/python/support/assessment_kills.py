"""Killing the assessment commands: where a run was, and again and again until one gets through."""

from __future__ import annotations

import random
import subprocess
from functools import partial
from pathlib import Path

from assessment_model import INDEXES
from assessment_runs import Documents
from conftest import Cli
from harness import finish, holds, names_in, open_transaction, until
from kills import Kills, holding_or_over

# Seconds after the lease is taken. The longer the more kills there were, so that it gets through.
SHORTEST = 0.05
LONGEST = 6.0


def place(db: Documents, backups: Path) -> str:
    """Where the run was that just died, as far as it shows from outside."""
    if any(name.startswith(".") for name in names_in(backups)):
        return "in the backup"
    transaction = ", a transaction open" if open_transaction(db) else ""
    made = len(set(db["assessments"].index_information()) & set(INDEXES))
    sources = set(db["assessments"].distinct("migration_source"))
    if made:
        return f"with {made} of 5 indexes{transaction}"
    if "teacher_assessment" in sources:
        return f"among teacher assessments{transaction}"
    if "regular_assessment" in sources:
        return f"among regular assessments{transaction}"
    return f"with nothing unified{transaction}"


def kill_until_done(
    db: Documents, cli: Cli, arguments: tuple[str, ...], dice: random.Random, kills: Kills
) -> None:
    """Starts the command again and again, kills it each time, until one run gets to its end."""
    tried = 0
    while True:
        process = cli.start(*arguments)
        until(partial(holding_or_over, db, process), "the lease is taken")
        tried += 1
        longest = min(LONGEST, SHORTEST * 1.25**tried)
        try:
            process.wait(dice.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
        code, stdout, stderr = finish(process)
        if code == 0:
            return
        assert code == -9, f"exit {code}\n{stdout}\n{stderr}"
        if holds(db, process):
            kills.counted += 1
            kills.places[place(db, cli.directory / "backups")] += 1
        else:
            kills.uncounted += 1
        assert tried < 200, "it never gets to its end"
