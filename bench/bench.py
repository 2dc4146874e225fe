"""The figures, measured side by side in one run: `make bench`.

    python bench/bench.py [--quick] [--documents N] [--rounds N]

Contenders take turns, each on the same data made afresh, so that what disturbs the machine disturbs
both. Medians, with the least and the greatest beside them, and the ratio of the medians; nothing is
left out. Figures, no tests: it exits with 0 whatever they are, with 1 where the work was not done.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import pymongo

import edulearn_migrate
from assessment import assessments, large_assessments
from backup import backups, large_backup
from edulearn_migrate.local import LocalServer, LocalServerError
from figures import ratio, row
from ground import DATABASE, HERE, Ground, connect
from knowing import knowing, many_keys
from network import network
from rehearsal import rehearsal
from updates import large, updates

LEDGER = 30  # migrations that `status` tells of


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
            network(ground, options.documents)
            knowing(ground, options.planned, options.rounds)
            many_keys(ground, options.planned * 10)
            rehearsal(ground, options.notifications, options.backup_rounds)
            backups(ground, options.backed_up, options.backup_rounds)
            large_backup(ground, options.backed_up * 10)
            ground.db.client.drop_database(DATABASE)
            regular, teacher = options.regular, options.regular // 2
            assessments(ground, regular, teacher, options.backup_rounds, options.part)
            large_assessments(ground, regular * 10, teacher * 10)
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
    options.planned = 100_000 if options.quick else 1_000_000
    options.backed_up = 42_500 if options.quick else 425_000
    options.notifications = 20_000 if options.quick else 200_000
    options.backup_rounds = min(3, options.rounds)
    options.regular = 6_000 if options.quick else 60_000
    options.part = 10 if options.quick else 30
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


if __name__ == "__main__":
    sys.exit(main())
