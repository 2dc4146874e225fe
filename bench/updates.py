"""One update of many documents: by us, captured or not, undone exactly, and by others."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from typing import Any

from figures import Bound, Timing
from ground import ROOT, Ground

FILTER = {"schema_version": 1}
CHANGE = {"$set": {"schema_version": 2, "notifications": "daily"}}
MIGRATION = [
    {"type": "update_documents", "collection": "users", "filter": FILTER, "update": CHANGE}
]
ONE_FIELD = [
    {
        "type": "update_documents",
        "collection": "users",
        "filter": FILTER,
        "update": {"$set": {"schema_version": 2}},
    }
]
# No filter tells a document that has it from one that has not: only exactly once gives 1.
INCREMENT = [
    {
        "type": "update_documents",
        "collection": "users",
        "filter": {},
        "update": {"$inc": {"n": 1}},
    }
]
OLD_BATCH = 1_000
MEMORY = Bound(150)
KILLS = 3


class Runs:
    """What the contenders took."""

    def __init__(self) -> None:
        self.apply: list[Timing] = []
        self.uncaptured: list[Timing] = []
        self.undo: list[Timing] = []
        self.bare: list[Timing] = []
        self.slow: list[Timing] = []
        self.memory: list[float] = []


def updates(ground: Ground, total: int, rounds: int, old: int) -> None:
    """Each as a whole process, one bare `updateMany`, and the old way on a part."""
    average = ground.generate(total)
    runs = Runs()
    for at in range(rounds):
        # In turn, and each first as often as the others.
        contenders = [migrate, uncaptured, update_many]
        for contender in contenders[at % 3 :] + contenders[: at % 3]:
            contender(ground, total, runs)
    for _ in range(min(2, rounds)):
        ground.fresh()
        runs.slow.append(ground.time(lambda: old_way(ground, old)).scaled(total / old))
        ground.check(old)
    figures = ground.figures
    figures.section(
        f"$set on {total:,} documents of {average} bytes on average, {rounds} rounds in turn"
    )
    figures.row("apply, the whole process", runs.apply)
    figures.row("its exact rollback, the whole process", runs.undo)
    figures.row("apply --no-capture, the whole process", runs.uncaptured)
    figures.row("bare updateMany, the command alone", runs.bare)
    figures.row(f"batches of {OLD_BATCH:,}, one update_one each, scaled", runs.slow)
    figures.ratio("apply --no-capture / updateMany", runs.uncaptured, runs.bare, Bound(0.65))
    figures.ratio("apply, captured / updateMany", runs.apply, runs.bare, Bound(1.0))
    figures.ratio("exact rollback / updateMany", runs.undo, runs.bare, Bound(1.1))
    figures.ratio("the old way / apply", runs.slow, runs.apply, Bound(20, at_least=True))
    figures.value("peak memory of apply and rollback", max(runs.memory), " MB", MEMORY)
    captured(ground, total)


def migrate(ground: Ground, total: int, runs: Runs) -> None:
    """Our own contender: chunked, in transactions, journalled, captured; and undone."""
    ground.clear()
    ground.write_migration(1, MIGRATION)
    ground.fresh()
    done = ground.ours("apply", "--json")
    ground.check(total)
    runs.apply.append(done.timing)
    ground.db.client.admin.command("fsync")
    undone = ground.ours("rollback", "--exact", "--json")
    restored = json.loads(undone.stdout)["migrations"][0]["undone"][0]["restored"]
    if restored != total or ground.db["users"].count_documents({"schema_version": 2}):
        raise RuntimeError(f"{restored} of {total} documents have been restored")
    runs.undo.append(undone.timing)
    runs.memory += [done.megabytes, undone.megabytes]


def uncaptured(ground: Ground, total: int, runs: Runs) -> None:
    """The same without capture."""
    ground.clear()
    ground.write_migration(1, MIGRATION)
    ground.fresh()
    done = ground.ours("apply", "--no-capture")
    ground.check(total)
    runs.uncaptured.append(done.timing)


def update_many(ground: Ground, total: int, runs: Runs) -> None:
    """The bar: one command, over a connection that exists."""
    ground.fresh()
    runs.bare.append(ground.time(lambda: ground.db["users"].update_many(FILTER, CHANGE)))
    ground.check(total)


def captured(ground: Ground, total: int) -> None:
    """The size of what is captured of a `$set` of one field."""
    ground.clear()
    ground.write_migration(1, ONE_FIELD)
    ground.fresh()
    ground.ours("apply")
    ground.check(total)
    names = ground.db.list_collection_names(filter={"name": {"$regex": "^migrations_undo"}})
    stats: list[dict[str, Any]] = [ground.db.command("collStats", name) for name in names]
    each = sum(s["size"] for s in stats) / total
    stored = sum(s["storageSize"] for s in stats) / total
    ground.figures.value("captured of each document, one field", each, " bytes", Bound(120))
    ground.figures.value("the same on disk, compressed by the server", stored, " bytes")


def old_way(ground: Ground, total: int) -> None:
    """What the tool did before, with `total` of the documents."""
    users = ground.db["users"]
    for document in users.find(FILTER).limit(total).batch_size(OLD_BATCH):
        users.update_one({"_id": document["_id"]}, CHANGE)


def large(ground: Ground, total: int) -> None:
    """Peak memory must not grow with the collection."""
    ground.db.drop_collection("users")
    ground.generate(total)
    # Renamed, not copied: nothing else is measured on it.
    ground.db["source"].rename("users")
    ground.clear()
    ground.write_migration(1, MIGRATION)
    done = ground.ours("apply")
    ground.check(total)
    undone = ground.ours("rollback", "--exact")
    ground.figures.section(f"$set on {total:,} documents, once")
    ground.figures.row("apply", [done.timing])
    ground.figures.row("its exact rollback", [undone.timing])
    most = max(done.megabytes, undone.megabytes)
    ground.figures.value("peak memory of apply and rollback", most, " MB", MEMORY)


def killed(ground: Ground, few: int, many: int) -> None:
    """`$inc` on small documents, killed on its way: no document is counted twice or left out."""
    chance = random.Random(20261126)
    small = [increment(ground, few, []) for _ in range(3)]
    per_small = sorted(timing.seconds for timing in small)[1] / few
    # Each of the killed runs gets a share of the time that all of it takes.
    share = per_small * many / (KILLS + 1)
    big = increment(ground, many, [share * chance.uniform(0.2, 1.0) for _ in range(KILLS)])
    ground.figures.section(
        f"$inc on {many:,} small documents, killed {KILLS} times, beside {few:,} at once"
    )
    ground.figures.row(f"{few:,} documents", small)
    ground.figures.row(f"{many:,} documents, all runs together", [big])
    ratio = (big.seconds / many) / per_small
    ground.figures.value("time per document, many / few", ratio, "", Bound(1.15))
    ground.db.drop_collection("users")


def increment(ground: Ground, total: int, kills: list[float]) -> Timing:
    """Applies `INCREMENT`, killed after so many seconds each; what all runs took together."""
    ground.clear()
    ground.db.drop_collection("users")
    ground.db["one"].drop()
    ground.db["one"].insert_one({})
    rows = 1_000
    for first in range(0, total, rows * rows):
        last = min(first + rows * rows, total)
        numbers: dict[str, Any] = {"$range": [first, last]}
        stages: list[dict[str, Any]] = [
            {"$project": {"at": numbers}},
            {"$unwind": "$at"},
            {"$project": {"_id": "$at", "n": {"$literal": 0}}},
            {"$merge": {"into": "users", "whenMatched": "fail"}},
        ]
        ground.db["one"].aggregate(stages)
    ground.db.client.admin.command("fsync")
    ground.write_migration(1, INCREMENT)
    server, began = ground.server_cpu(), time.perf_counter()
    for seconds in kills:
        cut(ground, seconds)
    done = ground.ours("apply")
    timing = Timing(time.perf_counter() - began, ground.server_cpu() - server, done.timing.client)
    if ground.db["users"].count_documents({"n": 1}) != total:
        raise RuntimeError("not every document was counted exactly once")
    return timing


def cut(ground: Ground, seconds: float) -> None:
    """Runs it for so long, and kills it."""
    command = [sys.executable, str(ROOT / "migration_cli.py"), "apply"]
    with subprocess.Popen(
        command, cwd=ground.directory, env=ground.environment, stdout=subprocess.DEVNULL
    ) as process:
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
