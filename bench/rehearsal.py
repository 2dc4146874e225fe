"""A rehearsal of the published examples on the demo's data, the private server's start included."""

from __future__ import annotations

import json
import shutil
import statistics
import sys

from figures import Bound
from ground import DATABASE, ROOT, Ground

sys.path.append(str(ROOT / "demo"))
import data

TARGET = Bound(20)


def rehearsal(ground: Ground, notifications: int, rounds: int) -> None:
    """Whole processes, on a backup. The third example loses something, which must be found."""
    ground.db.client.drop_database(DATABASE)
    total = sum(data.load(ground.db, notifications).values())
    place = ground.directory / "migrations"
    shutil.rmtree(place)
    shutil.copytree(ROOT / "migrations", place)
    ground.ours("backup")
    timings = []
    for _ in range(rounds):
        done = ground.ours("rehearse", "--json", code=1)
        outcomes = [each["outcome"] for each in json.loads(done.stdout)["migrations"]]
        if outcomes != ["came_back", "came_back", "lost"]:
            raise RuntimeError(f"the rehearsal found {outcomes}")
        timings.append(done.timing)
    ground.clear()
    figures = ground.figures
    figures.section(f"rehearsal of the 3 examples on {total:,} documents, {rounds} rounds")
    figures.row("edulearn-migrate rehearse", timings)
    median = statistics.median(timing.seconds for timing in timings)
    figures.value("rehearse, the median", median, " s", TARGET)
