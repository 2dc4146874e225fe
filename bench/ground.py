"""What is measured on: a server, the same data again and again, and processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pymongo
from pymongo.database import Database

from figures import Figures, Timing

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent
DATABASE = "bench"
BATCH = 20_000
SINCE = datetime(2024, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Measured:
    """One process: what it took, peak memory in megabytes, and what it printed."""

    timing: Timing
    megabytes: float
    stdout: str

    @property
    def seconds(self) -> float:
        """Its wall time."""
        return self.timing.seconds


class Ground:
    """A directory to work in, a database, and the figures that are measured on them."""

    def __init__(self, directory: Path, uri: str, db: Database[dict[str, Any]]) -> None:
        self.figures = Figures()
        self.directory = directory
        self.uri = uri
        self.db = db
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("EDULEARN_", "MONGO_URI", "DB_NAME", "LOG_LEVEL"))
        }
        self.environment = {**kept, "MONGO_URI": uri, "DB_NAME": DATABASE}
        (directory / "migrations").mkdir()

    def process(self, *command: str, code: int = 0) -> Measured:
        """Runs a command to its end, which must be of that exit code."""
        before = self.server_cpu()
        with tempfile.TemporaryDirectory() as place:
            result = Path(place) / "result"
            wrapper = [sys.executable, "-I", "-S", str(HERE / "measure.py"), str(result)]
            done = subprocess.run(
                [*wrapper, *command],
                cwd=self.directory,
                env=self.environment,
                capture_output=True,
                encoding="utf-8",
                check=True,
            )
            measured = json.loads(result.read_text())
        if measured["code"] != code:
            raise RuntimeError(f"{' '.join(command)} exited with {measured['code']}: {done.stderr}")
        timing = Timing(measured["seconds"], self.server_cpu() - before, measured["cpu"])
        return Measured(timing, measured["megabytes"], done.stdout)

    def time(self, work: Callable[[], object]) -> Timing:
        """What `work` takes in this process, over a connection that exists."""
        before, own, began = self.server_cpu(), time.process_time(), time.perf_counter()
        work()
        seconds, own = time.perf_counter() - began, time.process_time() - own
        return Timing(seconds, self.server_cpu() - before, own)

    def server_cpu(self) -> float:
        """Seconds of the processor that the server has used so far; 0 where it does not tell."""
        info = self.db.client.admin.command("serverStatus")["extra_info"]
        used: float = info.get("user_time_us", 0) + info.get("system_time_us", 0)
        return used / 1e6

    def ours(self, *arguments: str, code: int = 0) -> Measured:
        """Runs our command line."""
        return self.process(sys.executable, str(ROOT / "migration_cli.py"), *arguments, code=code)

    def write_migration(self, number: int, operations: list[Any]) -> None:
        """Writes a migration file."""
        script = {"name": f"bench_{number}", "up": {"operations": operations}}
        path = self.directory / "migrations" / f"migration_{number:03}_bench_{number}.json"
        path.write_text(json.dumps(script))

    def clear(self) -> None:
        """Takes away the migrations, in files and in the database."""
        for path in (self.directory / "migrations").iterdir():
            path.unlink()
        for name in self.db.list_collection_names(filter={"name": {"$regex": "^migrations"}}):
            self.db.drop_collection(name)

    def generate(self, total: int) -> int:
        """Makes the collection `source` of `total` documents; their average size in bytes."""
        self.db.drop_collection("source")
        for first in range(0, total, BATCH):
            rows = range(first, min(first + BATCH, total))
            self.db["source"].insert_many([user(at) for at in rows], ordered=False)
        size: int = self.db.command("collStats", "source")["avgObjSize"]
        return size

    def fresh(self) -> Database[dict[str, Any]]:
        """The collection `users` as it was at first, and everything written to disk."""
        self.db.drop_collection("users")
        self.db["source"].aggregate([{"$out": "users"}])
        self.db.client.admin.command("fsync")
        return self.db

    def check(self, total: int) -> None:
        """That every document is as the migration leaves it, whoever it was that wrote it."""
        found = self.db["users"].count_documents({"schema_version": 2})
        if found != total:
            raise RuntimeError(f"{found} of {total} documents have been updated")


def user(at: int) -> dict[str, Any]:
    """A user of the platform, of about 350 bytes."""
    return {
        "username": f"student{at:07}",
        "email": f"student{at:07}@example.edu",
        "full_name": f"First{at % 977} Last{at % 1_009}",
        "role": ("student", "student", "student", "teacher")[at % 4],
        "created_at": SINCE + timedelta(seconds=at * 37),
        "is_active": at % 17 != 0,
        "preferences": {"language": ("en", "de", "vi")[at % 3], "theme": "light", "email": True},
        "enrolled_courses": [f"course_{at % 97:03}", f"course_{at % 89:03}"],
        "bio": "Learns a little every day and writes about it." * (1 + at % 2),
        "schema_version": 1,
    }


def connect(uri: str) -> pymongo.MongoClient[dict[str, Any]]:
    """A client as an application has it: writes are acknowledged by a majority."""
    return pymongo.MongoClient[dict[str, Any]](uri, tz_aware=True)
