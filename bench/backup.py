"""Backup, verification and restore, beside mongodump and mongorestore where they can be run.

`MONGODUMP` and `MONGORESTORE` name the binaries, else the `PATH` is searched. Without them their
rows are left out, and so are the ratios to them.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
from collections import defaultdict
from datetime import timedelta
from typing import Any

from figures import Bound, Timing
from ground import DATABASE, SINCE, Ground

BATCH = 5_000
# As the platform's collections are: many submissions, fewer assessments.
SHARES = {"users": 0.35, "submissions": 0.45, "notifications": 0.15, "assessments": 0.05}
INDEXES = {
    "users": ["username", "email", "created_at"],
    "submissions": ["user", "assessment", "created_at"],
    "notifications": ["user"],
    "assessments": ["created_at"],
}
WORDS = (
    "the student answers question about algebra photosynthesis history grammar function variable",
    "cell energy river empire verb noun triangle proof matrix atom molecule reaction essay",
    "because therefore although result shows that each second third correct wrong",
)
VOCABULARY = " ".join(WORDS).split()
MEMORY = Bound(200)
GZIP_LEVEL = 6  # mongodump's


def generate(ground: Ground, total: int) -> int:
    """Fills the database; the size of the documents in bytes."""
    ground.db.client.drop_database(DATABASE)
    randomness = random.Random(20261122)
    for name, share in SHARES.items():
        count = round(total * share)
        for first in range(0, count, BATCH):
            rows = range(first, min(first + BATCH, count))
            made = [document(name, at, randomness) for at in rows]
            ground.db[name].insert_many(made, ordered=False)
        for field in INDEXES[name]:
            ground.db[name].create_index(field)
    ground.db.client.admin.command("fsync")
    return sum(int(ground.db.command("collStats", name)["size"]) for name in SHARES)


def document(name: str, at: int, randomness: random.Random) -> dict[str, Any]:
    """A document of about 1.8 kB: text, identifiers, numbers and dates."""
    answers = [
        {
            "question": f"{randomness.randrange(16**24):024x}",
            "choice": randomness.randrange(5),
            "seconds": round(randomness.expovariate(0.05), 3),
            "correct": randomness.random() < 0.7,
            "text": " ".join(randomness.choices(VOCABULARY, k=8)),
        }
        for _ in range(7)
    ]
    return {
        "username": f"student{at:07}",
        "email": f"student{at:07}@example.edu",
        "user": randomness.randrange(50_000),
        "assessment": f"{randomness.randrange(16**24):024x}",
        "kind": name,
        "created_at": SINCE + timedelta(seconds=at * 37),
        "score": randomness.random() * 100,
        "text": " ".join(randomness.choices(VOCABULARY, k=60)),
        "answers": answers,
    }


class Contest:
    """One round after the other, each contender once a round."""

    def __init__(self, ground: Ground, total: int) -> None:
        self.ground = ground
        self.total = total
        self.timings: dict[str, list[Timing]] = defaultdict(list)
        self.megabytes: dict[str, float] = defaultdict(float)
        self.verified: list[float] = []
        self.stored = 0
        self.gzipped = 0
        self._dump, self._restore = tool("mongodump"), tool("mongorestore")
        self._dumped = ground.directory / "dump"

    def round(self) -> None:
        """Everybody once."""
        shutil.rmtree(self.ground.directory / "backups", ignore_errors=True)
        made = self._ours("backup", "backup")
        self.stored = made["stored_bytes"]
        verified = self._ours("backups verify", "backups", "verify", made["name"])
        self.verified.append(verified["seconds"])
        if self._dump is not None:
            self._theirs("mongodump --gzip", self._dump, "--gzip", f"--db={DATABASE}")
            self.gzipped = sum(file.stat().st_size for file in self._dumped.rglob("*.gz"))
            shutil.rmtree(self._dumped)
            self._theirs("mongodump", self._dump, f"--db={DATABASE}")
        done = self._ours("restore", "restore", "latest", "--no-safety-backup")
        # The history, in which restores are noted, is backed up and stays as it is.
        if done["documents"] != self.total:
            raise RuntimeError(f"{done['documents']} of {self.total} documents were restored")
        if self._dump is not None and self._restore is not None:
            self._theirs("mongorestore --drop", self._restore, "--drop")
            shutil.rmtree(self._dumped)

    def _ours(self, name: str, *arguments: str) -> dict[str, Any]:
        measured = self.ground.ours(*arguments, "--json")
        self.timings[name].append(measured.timing)
        self.megabytes[name] = max(self.megabytes[name], measured.megabytes)
        report: dict[str, Any] = json.loads(measured.stdout)
        return report

    def _theirs(self, name: str, program: str, *arguments: str) -> None:
        place = str(self._dumped) if name == "mongorestore --drop" else f"--out={self._dumped}"
        common = ("--quiet", f"--uri={self.ground.uri}")
        self.timings[name].append(self.ground.process(program, *common, *arguments, place).timing)


def tool(name: str) -> str | None:
    """A binary of the MongoDB tools."""
    return os.environ.get(name.upper()) or shutil.which(name)


def backups(ground: Ground, total: int, rounds: int) -> None:
    """Backup, verification and restore, contenders in turn."""
    size = generate(ground, total)
    contest = Contest(ground, total)
    for _ in range(rounds):
        contest.round()
    figures, timings = ground.figures, contest.timings
    figures.section(
        f"backup of {total:,} documents, {size / 1e6:,.0f} MB of BSON, {rounds} rounds in turn"
    )
    for name, taken in timings.items():
        figures.row(name, taken)
    for one, other, bound in (
        ("backup", "mongodump", Bound(1.1)),
        ("mongodump --gzip", "backup", Bound(3, at_least=True)),
        ("restore", "mongorestore --drop", Bound(0.7)),
    ):
        if one in timings and other in timings:
            figures.ratio(f"{one} / {other}", timings[one], timings[other], bound)
        else:
            print(f"  {one} / {other} is not measured: MONGODUMP, MONGORESTORE or PATH name none")
    if contest.gzipped or shutil.which("zstd"):
        zipped = contest.gzipped or gzipped(ground)
        figures.value("size / the same BSON by gzip", contest.stored / zipped, "", Bound(1.3))
    else:
        print("  size: neither mongodump nor zstd is here, not compared with gzip")
    cores = min(os.cpu_count() or 1, len(SHARES))
    speed = size / 1e6 / min(contest.verified) / cores
    figures.value("verified BSON a core and second", speed, " MB", Bound(500, at_least=True))
    for name, most in contest.megabytes.items():
        figures.value(f"peak memory of {name}", most, " MB", MEMORY)


def gzipped(ground: Ground) -> int:
    """The size of what gzip makes of the same BSON, collection by collection."""
    size = 0
    for path in (ground.directory / "backups").rglob("*.zst"):
        place = ground.directory / "zipped.gz"
        with (
            subprocess.Popen(["zstd", "-dc", str(path)], stdout=subprocess.PIPE) as plain,
            gzip.open(place, "wb", compresslevel=GZIP_LEVEL) as zipped,
        ):
            assert plain.stdout is not None
            shutil.copyfileobj(plain.stdout, zipped, 1 << 20)
        size += place.stat().st_size
    return size


def large_backup(ground: Ground, total: int) -> None:
    """Peak memory must not grow with the database."""
    size = generate(ground, total)
    shutil.rmtree(ground.directory / "backups", ignore_errors=True)
    figures = ground.figures
    figures.section(f"backup of {total:,} documents, {size / 1e6:,.0f} MB of BSON, once")
    for name, arguments in (
        ("backup", ["backup"]),
        ("restore", ["restore", "latest", "--no-safety-backup"]),
    ):
        done = ground.ours(*arguments)
        figures.row(name, [done.timing])
        figures.value(f"peak memory of {name}", done.megabytes, " MB", MEMORY)
