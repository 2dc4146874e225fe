"""Verbs in processes of their own, which can be stopped and killed.

The processes are forked from one that has imported the package already: starting an interpreter for
each of some thousand runs would take longer than the runs.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

# Seconds after which a run hangs. Nothing that runs takes a tenth of it, on any machine.
HANGING = 600.0


@dataclass(frozen=True)
class Place:
    """Where a verb works."""

    uri: str
    database: str
    directory: Path
    """Has `migrations` and `backups`."""

    def by(self, uri: str) -> Place:
        """The same, reached by another way."""
        return Place(uri, self.database, self.directory)


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    signal: int | None
    """The signal that killed it."""
    error: str | None
    """The name of the exception that it raised, and its words."""
    report: str | None
    """What it returned, in Python's words."""

    @property
    def well(self) -> bool:
        """Whether it did what it was to do."""
        return self.report is not None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by signal {self.signal}"
        return self.error or self.report or "ended without a word"


class Running:
    """A verb under way."""

    def __init__(self, answer: Path) -> None:
        self._answer = answer
        self._changed = threading.Condition()
        self._pid: int | None = None
        self._status: int | None = None

    @property
    def pid(self) -> int:
        """The process; awaited where it has not been started yet."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._pid is not None, HANGING), "no process"
            assert self._pid is not None
            return self._pid

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, if it has not ended."""
        pid = self.pid
        with self._changed:
            if self._status is None:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def over(self) -> bool:
        """Whether it has ended."""
        return self._status is not None

    def end(self) -> Ended:
        """Waits for its end."""
        with self._changed:
            if not self._changed.wait_for(self.over, HANGING):
                os.kill(self._pid or 0, signal.SIGKILL)
                raise AssertionError(f"it did not end within {HANGING} seconds")
            assert self._status is not None
        if os.WIFSIGNALED(self._status):
            return Ended(os.WTERMSIG(self._status), None, None)
        answer = json.loads(self._answer.read_text())
        return Ended(None, answer.get("error"), answer.get("report"))

    def started(self, pid: int) -> None:
        with self._changed:
            self._pid = pid
            self._changed.notify_all()

    def ended(self, status: int) -> None:
        with self._changed:
            self._status = status
            self._changed.notify_all()


class Verbs:
    """Starts verbs. Close it at the end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={name: text for name, text in os.environ.items() if "EDULEARN" not in name},
        )
        self._answers = tempfile.TemporaryDirectory(prefix="edulearn-verbs-")
        self._lock = threading.Lock()
        self._orders = 0
        self._by_order: dict[int, Running] = {}
        self._by_pid: dict[int, Running] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, place: Place, verb: str, *arguments: Any, **options: Any) -> Running:
        """Starts a verb of `Migrator`."""
        with self._lock:
            self._orders += 1
            answer = Path(self._answers.name) / str(self._orders)
            running = self._by_order[self._orders] = Running(answer)
            order = {
                "order": self._orders,
                "uri": place.uri,
                "database": place.database,
                "directory": str(place.directory),
                "verb": verb,
                "arguments": arguments,
                "options": options,
                "answer": str(answer),
            }
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        return running

    def run(self, place: Place, verb: str, *arguments: Any, **options: Any) -> Ended:
        """Runs a verb to its end."""
        return self.start(place, verb, *arguments, **options).end()

    def well(self, place: Place, verb: str, *arguments: Any, **options: Any) -> str:
        """Runs a verb that has to succeed; what it returned."""
        ended = self.run(place, verb, *arguments, **options)
        assert ended.report is not None, f"{verb}: {ended}"
        return ended.report

    def close(self) -> None:
        """Ends the process that the others are forked from."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._answers.cleanup()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            news = json.loads(line)
            if "order" in news:
                running = self._by_order.pop(news["order"])
                self._by_pid[news["pid"]] = running
                running.started(news["pid"])
            else:
                self._by_pid.pop(news["pid"]).ended(news["status"])


def _carry_out(order: dict[str, Any]) -> None:
    """In the forked process."""
    from edulearn_migrate import Migrator

    directory = Path(order["directory"])
    try:
        migrator = Migrator(
            order["uri"],
            order["database"],
            migrations_dir=directory / "migrations",
            backup_dir=directory / "backups",
        )
        report = getattr(migrator, order["verb"])(*order["arguments"], **order["options"])
        answer = {"report": repr(report)}
    except Exception as error:  # whatever it is, the test shall see it
        answer = {"error": f"{type(error).__name__}: {error}"}
    Path(order["answer"]).write_text(json.dumps(answer))


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _carry_out(order)
        code = 0
    finally:
        os._exit(code)


def _nothing(_: int, __: FrameType | None) -> None:
    """A handler, so that the signal is written to the wakeup descriptor."""


def _main() -> None:
    """Forks a process for each line of standard input, and tells of each that began and ended."""
    import edulearn_migrate
    import edulearn_migrate.migrator

    assert edulearn_migrate.migrator is not None
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, _nothing)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    children: set[int] = set()
    rest, open_ = b"", True
    while open_ or children:
        ready, _, _ = select.select([woken, *([0] if open_ else [])], [], [])
        if woken in ready:
            with suppress(BlockingIOError):
                os.read(woken, 4096)
        if 0 in ready:
            data = os.read(0, 65_536)
            open_ = bool(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = _fork(order)
                children.add(pid)
                print(json.dumps({"order": order["order"], "pid": pid}), flush=True)
            if not open_:  # nobody is there any more to wait for them
                for pid in children:
                    os.kill(pid, signal.SIGKILL)
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            children.discard(pid)
            print(json.dumps({"pid": pid, "status": status}), flush=True)


if __name__ == "__main__":
    _main()
