"""A rehearsal of the published examples on the demo's data, the private server's start included."""

from __future__ import annotations

import json
import shutil
import statistics
import sys

from figures import row, verdict
from ground import DATABASE, ROOT, Ground

sys.path.append(str(ROOT / "demo"))
import data

TARGET = 20.0


def rehearsal(ground: Ground, notifications: int, rounds: int) -> None:
    """Whole processes, on a backup. The third example loses something, which must be found."""
    ground.db.client.drop_database(DATABASE)
    total = sum(data.load(ground.db, notifications).values())
    place = ground.directory / "migrations"
    shutil.rmtree(place)
    shutil.copytree(ROOT / "migrations", place)
    ground.ours("backup")
    seconds = []
    for _ in range(rounds):
        done = ground.ours("rehearse", "--json", code=1)
        outcomes = [each["outcome"] for each in json.loads(done.stdout)["migrations"]]
        if outcomes != ["came_back", "came_back", "lost"]:
            raise RuntimeError(f"the rehearsal found {outcomes}")
        seconds.append(done.seconds)
    ground.clear()
    print(f"\nrehearsal of the 3 published examples on {total:,} documents, {rounds} rounds")
    row("edulearn-migrate rehearse", seconds)
    verdict("the median", statistics.median(seconds), " s", TARGET)
