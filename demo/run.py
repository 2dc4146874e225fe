"""The main job on realistic EDULEARN data: `make demo`.

Every command stands as it would be typed, its real output below it. The server is a private one,
and the commands run in a directory of their own, so that nothing in the repository changes. Exits
with 1 where a command or a count is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pymongo
from pymongo.database import Database

import data
from edulearn_migrate.local import LocalServer, LocalServerError

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "edulearn"
# Seconds for what has to become true while a command runs.
PATIENCE = 60

REMINDERS = {
    "up": {
        "operations": [
            {
                "type": "update_documents",
                "collection": "notifications",
                "filter": {"is_read": False},
                "update": {"$inc": {"reminders": 1}},
            },
            {
                "type": "create_index",
                "collection": "notifications",
                "index": [["user_id", 1], ["created_at", -1]],
                "options": {"name": "user_timestamp_idx"},
            },
        ]
    },
    "down": {
        "operations": [
            {"type": "drop_index", "collection": "notifications", "index": "user_timestamp_idx"},
            {
                "type": "update_documents",
                "collection": "notifications",
                "filter": {"is_read": False},
                "update": {"$inc": {"reminders": -1}},
            },
        ]
    },
}


class DemoError(Exception):
    """Something was not as it should be; the text says what."""


class Demo:
    """A directory to work in, a database, and the commands."""

    def __init__(self, directory: Path, uri: str, db: Database[dict[str, Any]]) -> None:
        self.directory = directory
        self.db = db
        ours = ("EDULEARN_", "MONGO_URI", "DB_NAME", "LOG_LEVEL")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            "MONGO_URI": uri,
            "DB_NAME": DATABASE,
        }

    def command(self, *arguments: str) -> str:
        """Shows a command and its output, and returns what it printed on standard output."""
        show_command("python", "migration_cli.py", *arguments)
        process = self._start(arguments, stdout=subprocess.PIPE)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        if process.wait() != 0:
            raise DemoError(f"`{' '.join(arguments)}` exited with {process.returncode}")
        return "".join(lines)

    def killed(self, *arguments: str, when: Callable[[], bool]) -> None:
        """Starts a command and kills it, with SIGKILL, as soon as `when` holds."""
        show_command("python", "migration_cli.py", *arguments, end=" &")
        process = self._start(arguments)
        try:
            deadline = time.monotonic() + PATIENCE
            while not when():
                if process.poll() is not None:
                    raise DemoError(f"it ended (exit {process.returncode}) before it was killed")
                if time.monotonic() > deadline:
                    raise DemoError(f"nothing happened for {PATIENCE} seconds")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        show_command("kill", "-9", str(process.pid))

    def reminders(self) -> dict[tuple[bool, int], int]:
        """How many notifications there are by (is read, reminders)."""
        group = {"_id": {"is_read": "$is_read", "reminders": "$reminders"}, "count": {"$sum": 1}}
        found = self.db.notifications.aggregate([{"$group": group}])
        return {(row["_id"]["is_read"], row["_id"]["reminders"]): row["count"] for row in found}

    def _start(self, arguments: Iterable[str], stdout: int | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "migration_cli.py", *arguments],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            encoding="utf-8",
        )


def show_command(*words: str, end: str = "") -> None:
    print(f"\n$ {shlex.join(words)}{end}", flush=True)


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise DemoError(f"{what}: {found}, but it should be {wanted}")


def published(demo: Demo) -> None:
    """The three migrations that the platform ships: there and back."""
    without_role = demo.db.users.count_documents({"role": {"$exists": False}})
    demo.command("status")
    say(f"{without_role:,} users have no role yet. All pending migrations, in order:")
    demo.command("apply")
    expect("users without a role", demo.db.users.count_documents({"role": None}), 0)
    indexes = demo.db.assessments.index_information()
    say(f"Indexes of assessments: {', '.join(sorted(indexes))}")
    demo.command("status")


def killed_and_resumed(demo: Demo) -> str:
    """A large update that is killed half-way and carried on."""
    say("A migration of our own, written from the template:")
    created = demo.command(
        "create", "remind_of_unread", "--description", "Count a reminder for what is unread"
    )
    line = next(line for line in created.splitlines() if line.startswith("✓ Created migration: "))
    migration = line.removeprefix("✓ Created migration: ")
    path = demo.directory / "migrations" / f"{migration}_remind_of_unread.json"
    script = {**json.loads(path.read_text()), **REMINDERS}
    path.write_text(json.dumps(script, indent=2) + "\n")
    say(f"Into {path.name} goes a $inc, which shows whether a document was changed twice:")
    print(json.dumps(script["up"]["operations"], indent=2))

    before = demo.reminders()
    unread = before[False, 0]
    say(f"{unread:,} notifications are unread. Killed as soon as a part of them has been updated:")
    demo.killed(
        "apply", "--no-progress", when=lambda: demo.reminders().get((False, 1), 0) > unread // 5
    )
    done = demo.reminders()
    say(f"Updated when it was killed: {done[False, 1]:,} of {unread:,}")
    if not 0 < done[False, 1] < unread:
        raise DemoError("it was not killed in the middle")
    demo.command("status")
    say("The next apply carries on where it stopped:")
    demo.command("apply")
    after = demo.reminders()
    for (read, reminders), count in sorted(after.items()):
        state = "read" if read else "unread"
        say(f"{count:,} {state} notifications have {reminders} reminders")
    expect("reminders", after, {(True, 0): before[True, 0], (False, 1): unread})
    say(f"Every one of the {unread:,} was updated exactly once.")
    return migration


def undone(demo: Demo, migration: str) -> None:
    """One migration back, all of them back, and all of them again."""
    say("One migration undone:")
    demo.command("rollback", migration)
    expect("reminders", {reminders for _, reminders in demo.reminders()}, {0})
    say("All the others too, in reverse order:")
    demo.command("rollback")
    expect("collections", "user_preferences" in demo.db.list_collection_names(), False)
    expect("indexes", sorted(demo.db.assessments.index_information()), ["_id_"])
    demo.command("status")
    say("What was rolled back is not pending; it is applied again when asked for:")
    demo.command("apply")
    demo.command("apply", "--rolled-back")
    expect("reminders", {state for state in demo.reminders() if not state[0]}, {(False, 1)})
    demo.command("status")


def main() -> int:
    """Runs the demo; returns 1 where something was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--notifications", type=int, default=200_000, help="how many (default: %(default)s)"
    )
    options = parser.parse_args()
    try:
        with (
            LocalServer() as server,
            tempfile.TemporaryDirectory(prefix="edulearn-demo-") as directory,
            pymongo.MongoClient[dict[str, Any]](server.uri) as client,
        ):
            say("A private MongoDB, a single-node replica set, which is gone when this ends")
            print(f"MONGO_URI={server.uri}\nDB_NAME={DATABASE}")
            shutil.copy(ROOT / "migration_cli.py", directory)
            shutil.copytree(ROOT / "migrations", Path(directory) / "migrations")
            demo = Demo(Path(directory), server.uri, client[DATABASE])
            say("EDULEARN data")
            for name, count in data.load(demo.db, options.notifications).items():
                print(f"  {name:<28}{count:>9,}")
            published(demo)
            migration = killed_and_resumed(demo)
            undone(demo, migration)
    except (DemoError, LocalServerError) as error:
        print(f"\n✗ The demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    say("That was it: the server is stopped, and nothing of it is left.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
