"""Knowing before: a plan of an update and of a unique index, against scans of the collection.

A scan is the server counting the documents that an expression on a field without an index holds
for: it reads every document and sends none. Reading all of them out is printed beside it.
"""

from __future__ import annotations

import json
from typing import Any

from figures import Bound, Timing
from ground import Ground
from updates import MEMORY, MIGRATION

UNIQUE = [
    {
        "type": "create_index",
        "collection": "users",
        "index": [["email", 1]],
        "options": {"unique": True},
    }
]
PIPELINE = [{**MIGRATION[0], "update": [{"$set": {"schema_version": 2}}]}]
SCAN = {"$expr": {"$eq": ["$schema_version", 1]}}


def knowing(ground: Ground, total: int, rounds: int) -> None:
    """Each as a whole process; the scans as commands alone, over a connection that stands."""
    ground.db.drop_collection("users")
    ground.generate(total)
    # Renamed, not copied: plans change nothing, so one collection serves all rounds.
    ground.db["source"].rename("users")
    scans: list[Timing] = []
    reads: list[Timing] = []
    took: dict[str, list[Timing]] = {"update": [], "pipeline": [], "unique index": []}
    operations: dict[str, list[Any]] = {
        "update": MIGRATION,
        "pipeline": PIPELINE,
        "unique index": UNIQUE,
    }
    for _ in range(rounds):
        scans.append(ground.time(lambda: scan(ground, total)))
        reads.append(ground.time(lambda: read(ground, total)))
        for name, script in operations.items():
            took[name].append(plan(ground, script, total))
    figures = ground.figures
    figures.section(f"plan on {total:,} documents, {rounds} rounds in turn")
    figures.row("a scan: the server counts by an expression", scans)
    figures.row("reading every document out, PyMongo", reads)
    for name, timings in took.items():
        figures.row(f"plan of the {name}, the whole process", timings)
    figures.ratio("plan of a $set / scan", took["update"], scans, Bound(2))
    figures.ratio("plan of a unique index / scan", took["unique index"], scans, Bound(10))
    figures.ratio("plan of a pipeline / scan", took["pipeline"], scans, Bound(1.5))
    figures.ratio("plan of a pipeline / reading out", took["pipeline"], reads)


def many_keys(ground: Ground, keys: int) -> None:
    """The peak memory of a plan of a unique index over an array, with `keys` different elements."""
    ground.db.drop_collection("users")
    each = 1_000
    for first in range(0, keys, each * 100):
        documents = range(first, min(first + each * 100, keys), each)
        ground.db["users"].insert_many(
            {"email": [f"{n:08}" for n in range(start, start + each)]} for start in documents
        )
    ground.clear()
    ground.write_migration(1, UNIQUE)
    done = ground.ours("plan", "--json")
    operation = json.loads(done.stdout)["migrations"][0]["operations"][0]
    if operation["duplicates"] != {"keys": 0, "documents": 0, "examples": []}:
        raise RuntimeError(f"the plan does not know that no key occurs twice: {operation}")
    ground.figures.section(f"plan of a unique index over arrays of {keys:,} keys, once")
    ground.figures.row("the whole process", [done.timing])
    ground.figures.value("peak memory of a plan", done.megabytes, " MB", MEMORY)


def plan(ground: Ground, script: list[Any], total: int) -> Timing:
    """A plan, which must have found out what there is to know."""
    ground.clear()
    ground.write_migration(1, script)
    done = ground.ours("plan", "--json")
    operation = json.loads(done.stdout)["migrations"][0]["operations"][0]
    if operation["type"] == "create_index":
        known = operation["duplicates"] == {"keys": 0, "documents": 0, "examples": []}
    else:
        known = operation["exact"] and operation["changes"] == total
    if not known:
        raise RuntimeError(f"the plan does not know what apply would do: {operation}")
    return done.timing


def scan(ground: Ground, total: int) -> None:
    """One scan by the server."""
    found = ground.db.command("count", "users", query=SCAN)["n"]
    if found != total:
        raise RuntimeError(f"the scan met {found} of {total} documents")


def read(ground: Ground, total: int) -> None:
    """Reads everything out, undecoded."""
    size = sum(len(batch) for batch in ground.db["users"].find_raw_batches({}))
    if size < total:
        raise RuntimeError("nothing was read")
