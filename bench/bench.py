"""The figures, measured side by side in one run: `make bench`.

    python bench/bench.py [--quick] [--documents N] [--rounds N]

Contenders take turns, each on the same data made afresh, so that what disturbs the machine disturbs
both. Medians, with the least and the greatest beside them, and the ratio of the medians; nothing is
left out. Figures, no tests: it exits with 0 whatever they are, with 1 where the work was not done.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pymongo

import edulearn_migrate
from backup import backups, large_backup
from edulearn_migrate.local import LocalServer, LocalServerError
from figures import ratio, row
from ground import DATABASE, HERE, Ground, connect

FILTER = {"schema_version": 1}
CHANGE = {"$set": {"schema_version": 2, "notifications": "daily"}}
MIGRATION = [
    {"type": "update_documents", "collection": "users", "filter": FILTER, "update": CHANGE}
]
LEDGER = 30  # migrations that `status` tells of
OLD_BATCH = 1_000


def main() -> int:
    """Measures everything and prints it."""
    options = parse()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="edulearn-bench-") as directory,
            LocalServer() as server,
            connect(server.uri) as client,
        ):
            ground = Ground(Path(directory), server.uri, client[DATABASE])
            say_where(client)
            status(ground, options.status_rounds)
            updates(ground, options.documents, options.rounds, options.old)
            large(ground, options.documents * 10)
            backups(ground, options.backed_up, options.backup_rounds)
            large_backup(ground, options.backed_up * 10)
    except (LocalServerError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The figures, side by side in one run.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, fewer rounds")
    parser.add_argument("--documents", type=int, help="documents to update (300000)")
    parser.add_argument("--rounds", type=int, help="rounds of each contender (5)")
    options = parser.parse_args()
    options.documents = options.documents or (30_000 if options.quick else 300_000)
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.backed_up = 42_500 if options.quick else 425_000
    options.backup_rounds = min(3, options.rounds)
    options.status_rounds = 7 if options.quick else 21
    # The old way is too slow to do all of it.
    options.old = options.documents // (30 if options.quick else 10)
    return options


def say_where(client: pymongo.MongoClient[dict[str, Any]]) -> None:
    version = client.server_info()["version"]
    print(f"edulearn_migrate {edulearn_migrate.__version__} in {Path(sys.prefix).name}", end="; ")
    print(f"PyMongo {pymongo.version}; Python {platform.python_version()}; mongod {version}")
    load = f"load {os.getloadavg()[0]:.1f} before"
    print(f"{os.cpu_count()} processors, which the server runs on too; {load}")


def status(ground: Ground, rounds: int) -> None:
    """Whole processes that read the same ledger."""
    ground.clear()
    for number in range(1, LEDGER + 1):
        command = {"type": "create_collection", "collection": f"made_{number}", "options": {}}
        ground.write_migration(number, [command])
    ground.ours("apply")
    ours: list[float] = []
    theirs: list[float] = []
    script = (sys.executable, str(HERE / "status_pymongo.py"), ground.uri, DATABASE)
    for _ in range(rounds):
        mine, other = ground.ours("status"), ground.process(*script)
        ours.append(mine.seconds)
        theirs.append(other.seconds)
        if f"  Applied: {LEDGER}" not in mine.stdout or f"  Applied: {LEDGER}" not in other.stdout:
            raise RuntimeError("status does not tell what stands")
    print(f"\nstatus of {LEDGER} migrations, whole processes, {rounds} rounds in turn")
    row("edulearn-migrate status", ours)
    row("PyMongo script", theirs)
    ratio("status / PyMongo script", ours, theirs, 0.3)


def updates(ground: Ground, total: int, rounds: int, old: int) -> None:
    """The migration as a whole process, one bare `updateMany`, and the old way on a part."""
    size = ground.generate(total)
    ours: list[float] = []
    engine: list[float] = []
    bare: list[float] = []
    slow: list[float] = []
    memory: list[float] = []
    for at in range(rounds):
        # In turn, and each first as often as the other.
        for contender in (migrate, update_many) if at % 2 == 0 else (update_many, migrate):
            contender(ground, total, *((ours, engine, memory) if contender is migrate else (bare,)))
    for _ in range(min(2, rounds)):
        ground.fresh()
        slow.append(old_way(ground, old) * total / old)
    print(f"\n$set on {total:,} documents of {size} bytes on average, {rounds} rounds in turn")
    row("apply, the whole process", ours)
    row("apply, as it reports itself", engine)
    row("bare updateMany, the command alone", bare)
    ratio("apply, the whole process / updateMany", ours, bare, 1.0)
    ratio("apply, as it reports itself / updateMany", engine, bare, None)
    print(f"\nthe old way: batches of {OLD_BATCH:,}, one update_one each, from PyMongo")
    print(f"  measured on {old:,} documents, {len(slow)} times, and scaled by {total / old:.0f}")
    row("the old way, scaled", slow)
    ratio("the old way / apply, the whole process", slow, ours, 20, at_least=True)
    peak("peak memory of apply", total, memory)


def migrate(
    ground: Ground, total: int, ours: list[float], engine: list[float], memory: list[float]
) -> None:
    """Our own contender: chunked, in transactions, journalled."""
    ground.clear()
    ground.write_migration(1, MIGRATION)
    ground.fresh()
    done = ground.ours("apply", "--json")
    ground.check(total)
    report = report_of(done.stdout)
    ours.append(done.seconds)
    engine.append(report["seconds"])
    memory.append(done.megabytes)


def report_of(text: str) -> dict[str, Any]:
    """The one migration's report in the output of `apply --json`."""
    report: dict[str, Any] = json.loads(text)["migrations"][0]
    return report


def update_many(ground: Ground, total: int, bare: list[float]) -> None:
    """The bar: one command, over a connection that stands."""
    ground.fresh()
    began = time.perf_counter()
    ground.db["users"].update_many(FILTER, CHANGE)
    bare.append(time.perf_counter() - began)
    ground.check(total)


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
    peak("peak memory of apply", total, [done.megabytes])
    print(f"  it took {done.seconds:.1f} s, {total / done.seconds:,.0f} documents a second")


def peak(name: str, total: int, megabytes: list[float]) -> None:
    most = max(megabytes)
    print(f"\n{name} on {total:,} documents")
    verdict = "met" if most < 120 else "NOT MET"
    runs = f"the most of {len(megabytes)} run{'s' if len(megabytes) > 1 else ''}"
    print(f"  {runs:<42} {most:8.1f} MB   under 120: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
