"""One update of many documents: by us, captured or not, undone exactly, and by others."""

from __future__ import annotations

import json
import time
from typing import Any

from figures import peak, ratio, row, size
from ground import Ground

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
OLD_BATCH = 1_000


class Runs:
    """What the contenders took, in seconds."""

    def __init__(self) -> None:
        self.apply: list[float] = []
        self.uncaptured: list[float] = []
        self.undo: list[float] = []
        self.bare: list[float] = []
        self.slow: list[float] = []
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
        runs.slow.append(old_way(ground, old) * total / old)
    print(f"\n$set on {total:,} documents of {average} bytes on average, {rounds} rounds in turn")
    row("apply, the whole process", runs.apply)
    row("its exact rollback, the whole process", runs.undo)
    row("apply --no-capture, the whole process", runs.uncaptured)
    row("bare updateMany, the command alone", runs.bare)
    ratio("apply / updateMany", runs.apply, runs.bare, 2.0)
    ratio("exact rollback / updateMany", runs.undo, runs.bare, 2.5)
    ratio("apply --no-capture / updateMany", runs.uncaptured, runs.bare, 1.0)
    captured(ground, total)
    print(f"\nthe old way: batches of {OLD_BATCH:,}, one update_one each, from PyMongo")
    print(
        f"  measured on {old:,} documents, {len(runs.slow)} times, and scaled by {total / old:.0f}"
    )
    row("the old way, scaled", runs.slow)
    ratio("the old way / apply, the whole process", runs.slow, runs.apply, 20, at_least=True)
    peak("peak memory of apply and its exact rollback", total, runs.memory)


def migrate(ground: Ground, total: int, runs: Runs) -> None:
    """Our own contender: chunked, in transactions, journalled, captured; and undone."""
    ground.clear()
    ground.write_migration(1, MIGRATION)
    ground.fresh()
    done = ground.ours("apply", "--json")
    ground.check(total)
    runs.apply.append(done.seconds)
    ground.db.client.admin.command("fsync")
    undone = ground.ours("rollback", "--exact", "--json")
    restored = json.loads(undone.stdout)["migrations"][0]["undone"][0]["restored"]
    if restored != total or ground.db["users"].count_documents({"schema_version": 2}):
        raise RuntimeError(f"{restored} of {total} documents have been restored")
    runs.undo.append(undone.seconds)
    runs.memory += [done.megabytes, undone.megabytes]


def uncaptured(ground: Ground, total: int, runs: Runs) -> None:
    """The same without capture."""
    ground.clear()
    ground.write_migration(1, MIGRATION)
    ground.fresh()
    done = ground.ours("apply", "--no-capture")
    ground.check(total)
    runs.uncaptured.append(done.seconds)


def update_many(ground: Ground, total: int, runs: Runs) -> None:
    """The bar: one command, over a connection that stands."""
    ground.fresh()
    began = time.perf_counter()
    ground.db["users"].update_many(FILTER, CHANGE)
    runs.bare.append(time.perf_counter() - began)
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
    size("captured of each document, $set of one field", sum(s["size"] for s in stats) / total, 120)
    stored = sum(s["storageSize"] for s in stats) / total
    print(f"  {'on disk, as the server compresses it':<62} {stored:6.1f} bytes")


def old_way(ground: Ground, total: int) -> float:
    """What the tool did before: seconds for `total` of the documents."""
    users = ground.db["users"]
    began = time.perf_counter()
    for document in users.find(FILTER).limit(total).batch_size(OLD_BATCH):
        users.update_one({"_id": document["_id"]}, CHANGE)
    seconds = time.perf_counter() - began
    ground.check(total)
    return seconds


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
    peak("peak memory of apply and its exact rollback", total, [done.megabytes, undone.megabytes])
    print(f"  apply took {done.seconds:.1f} s, {total / done.seconds:,.0f} documents a second")
    print(
        f"  rollback took {undone.seconds:.1f} s, {total / undone.seconds:,.0f} documents a second"
    )
