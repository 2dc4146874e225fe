"""The figures, measured side by side in one run: `make bench`.

    python bench/bench.py [--quick] [--documents N] [--rounds N] [--only PART…] [--out DIRECTORY]

Contenders take turns, each on the same data made afresh, so that what disturbs the machine disturbs
both. Figures, no tests: it exits with 0 whatever they are, with 1 where the work was not done. The
directory gets them as `figures.json` and as a chart, `figures.svg`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymongo

import edulearn_migrate
from assessment import assessments, large_assessments
from backup import backups, large_backup
from chart import draw
from edulearn_migrate.local import LocalServer, LocalServerError
from figures import Bound, Timing
from ground import DATABASE, HERE, Ground, connect
from knowing import knowing, many_keys
from network import network
from rehearsal import rehearsal
from updates import killed, large, updates

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
            where = say_where(client)
            for name in options.only or PARTS:
                PARTS[name](ground, options)
                ground.db.client.drop_database(DATABASE)
        write(Path(options.out), {"where": where, "sections": ground.figures.sections})
    except (LocalServerError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def write(directory: Path, document: dict[str, Any]) -> None:
    """The files of the figures."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "figures.json").write_text(json.dumps(document, indent=1) + "\n")
    (directory / "figures.svg").write_text(draw(document))
    print(f"\nwritten: {directory / 'figures.json'} and {directory / 'figures.svg'}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The figures, side by side in one run.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, fewer rounds")
    parser.add_argument("--documents", type=int, help="documents to update (300000)")
    parser.add_argument("--rounds", type=int, help="rounds of each contender (3)")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts only")
    parser.add_argument("--out", default="bench/results", help="where the files go")
    options = parser.parse_args()
    options.documents = options.documents or (30_000 if options.quick else 300_000)
    options.rounds = options.rounds or 3
    options.small = options.documents * (10 if options.quick else 100) // 3
    options.planned = 100_000 if options.quick else 1_000_000
    options.backed_up = 42_500 if options.quick else 425_000
    options.notifications = 20_000 if options.quick else 200_000
    options.regular = 6_000 if options.quick else 60_000
    options.part = 10 if options.quick else 30
    options.status_rounds = 7 if options.quick else 21
    # The old way is too slow to do all of it.
    options.old = options.documents // (30 if options.quick else 10)
    return options


def say_where(client: pymongo.MongoClient[dict[str, Any]]) -> str:
    server = client.server_info()["version"]
    where = (
        f"edulearn_migrate {edulearn_migrate.__version__}, release build; "
        f"PyMongo {pymongo.version}; Python {platform.python_version()}; mongod {server}; "
        f"{os.cpu_count()} processors, which the server runs on too"
    )
    print(f"{where}; load {os.getloadavg()[0]:.1f} before")
    return where


def status(ground: Ground, rounds: int) -> None:
    """Whole processes that read the same ledger."""
    ground.clear()
    for number in range(1, LEDGER + 1):
        command = {"type": "create_collection", "collection": f"made_{number}", "options": {}}
        ground.write_migration(number, [command])
    ground.ours("apply")
    ours: list[Timing] = []
    theirs: list[Timing] = []
    script = (sys.executable, str(HERE / "status_pymongo.py"), ground.uri, DATABASE)
    for _ in range(rounds):
        mine, other = ground.ours("status"), ground.process(*script)
        ours.append(mine.timing)
        theirs.append(other.timing)
        if f"  Applied: {LEDGER}" not in mine.stdout or f"  Applied: {LEDGER}" not in other.stdout:
            raise RuntimeError("status does not tell what stands")
    figures = ground.figures
    figures.section(f"status of {LEDGER} migrations, whole processes, {rounds} rounds in turn")
    figures.row("edulearn-migrate status", ours)
    figures.row("PyMongo script", theirs)
    figures.ratio("status / PyMongo script", ours, theirs, Bound(0.3))


def plans(ground: Ground, options: argparse.Namespace) -> None:
    knowing(ground, options.planned, options.rounds)
    many_keys(ground, options.planned * 10)


# Those that are called large are ten times as large, once: for the memory.
PARTS: dict[str, Callable[[Ground, argparse.Namespace], None]] = {
    "status": lambda ground, it: status(ground, it.status_rounds),
    "updates": lambda ground, it: updates(ground, it.documents, it.rounds, it.old),
    "plans": plans,
    "backups": lambda ground, it: backups(ground, it.backed_up, it.rounds),
    "assessments": lambda ground, it: assessments(
        ground, it.regular, it.regular // 2, it.rounds, it.part
    ),
    "kills": lambda ground, it: killed(ground, it.documents, it.small),
    "rehearsal": lambda ground, it: rehearsal(ground, it.notifications, it.rounds),
    "network": lambda ground, it: network(ground, it.documents),
    "large-updates": lambda ground, it: large(ground, it.documents * 10),
    "large-assessments": lambda ground, it: large_assessments(
        ground, it.regular * 10, it.regular * 5
    ),
    "large-backup": lambda ground, it: large_backup(ground, it.backed_up * 10),
}


if __name__ == "__main__":
    sys.exit(main())
