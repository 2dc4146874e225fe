"""A progress bar on stderr for work that takes longer than a second.

Drawn by a thread of its own from numbers that events leave here, so events cost nothing and nothing
is drawn, and rich not even loaded, for the many runs that are over at once.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from edulearn_migrate.cli.output import Unbuffered, one_line

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, Any

_DELAY = 1.0  # seconds of work before anything is shown
_INTERVAL = 0.1  # seconds between drawings
_LEAVING = 2.0  # seconds that a drawing may take when the bar is to go


class Progress:
    """Shows the operation that runs now: done, total, documents per second, time remaining."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = Unbuffered(stream)
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self.state = State()

    def event(self, event: Mapping[str, Any]) -> None:
        """Take note of an event. Called from any thread."""
        self.state.event(event)
        if self._thread is None and not self._closed.is_set():
            self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Take the bar away and wait until it is gone, but not for a terminal that nobody reads."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(_LEAVING)

    def _draw(self) -> None:
        if self._closed.wait(_DELAY):
            return
        bar = _bar(self._stream)
        while True:
            bar.show(self.state)
            if self._closed.wait(_INTERVAL):
                break
        bar.remove()


class State:
    """Where the run is."""

    def __init__(self) -> None:
        self.label = ""
        self.documents = 0
        self.total: int | None = None
        self.about = ""
        self.remark: str | None = None
        self.bytes: int | None = None
        self.total_bytes: int | None = None
        self._began = time.monotonic()
        self._first: int | None = None

    def event(self, event: Mapping[str, Any]) -> None:
        """Update from an event of the engine."""
        migration = event.get("migration") or ""
        kind = event["kind"]
        if kind in ("migration_started", "operation_started"):
            self._restart(migration if kind == "migration_started" else event["message"])
        elif kind == "lock_waiting":
            self._restart(event["message"])
        elif kind == "progress":
            if event.get("bytes") is not None:
                label = event["message"]  # of a backup or a restore
            else:
                label = f"{migration} operation {event['index']}/{event['operations']}"
            if label != self.label:
                self._restart(label)
            if self._first is None:
                # A resumed operation does not start at zero, and its rate is not that high.
                self._first, self._began = event["documents"], time.monotonic()
            self.documents, self.total = event["documents"], event["total"]
            self.about = "about " if event.get("total_is_estimate") else ""
            self.remark = event.get("remark")
            self.bytes, self.total_bytes = event.get("bytes"), event.get("total_bytes")

    def _restart(self, label: str) -> None:
        self.label, self.documents, self.total = label, 0, None
        self.about, self.remark = "", None
        self.bytes = self.total_bytes = None
        self._began, self._first = time.monotonic(), None

    @property
    def elapsed(self) -> float:
        """Seconds since this operation began."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> float | None:
        """Documents per second of this run, None while unknown."""
        done = self.documents - (self._first or 0)
        return done / self.elapsed if done > 0 and self.elapsed > 0 else None

    @property
    def remaining(self) -> float | None:
        """Seconds to go at this rate, None while unknown."""
        if self.bytes and self.total_bytes is not None and self.elapsed > 0:
            # Documents differ in size, and it is bytes that take the time.
            return (self.total_bytes - self.bytes) / (self.bytes / self.elapsed)
        rate = self.rate
        return None if rate is None or self.total is None else (self.total - self.documents) / rate

    def text(self) -> str:
        """All of it, as in `migration_3 operation 1/2  12,000 of 60,000  15,000/s  0:03 left`."""
        parts = [self.label]
        if self.total is not None:
            parts.append(f"{self.documents:,} of {self.about}{self.total:,}")
        elif self.documents:
            parts.append(f"{self.documents:,}")
        if self.bytes is not None:
            from edulearn_migrate.cli.output import megabytes

            parts.append(megabytes(self.bytes))
            if self.elapsed > 0:
                parts.append(f"{megabytes(int(self.bytes / self.elapsed))}/s")
        rate, remaining = self.rate, self.remaining
        if rate is not None:
            parts.append(f"{rate:,.0f}/s")
        parts.append(f"{clock(self.elapsed)}" if remaining is None else f"{clock(remaining)} left")
        if self.remark is not None:
            parts.append(f"({self.remark})")
        return one_line("  ".join(parts))


def clock(seconds: float) -> str:
    """A duration as `0:07` or `1:02:07`."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Plain:
    """One line, rewritten in place."""

    def __init__(self, stream: Unbuffered) -> None:
        self._stream = stream

    def show(self, state: State) -> None:
        from shutil import get_terminal_size

        width = get_terminal_size().columns - 1
        self._write("\r" + state.text()[:width].ljust(width))

    def remove(self) -> None:
        self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # the terminal has gone away: the run goes on
            self._stream.write(text)
            self._stream.flush()


class _Rich:
    """The same with a bar, where rich is installed."""

    def __init__(self, stream: Unbuffered) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            console=Console(file=stream),  # type: ignore[arg-type]
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def show(self, state: State) -> None:
        with suppress(OSError, ValueError):
            self._bar.update(
                self._task,
                description=state.text(),
                completed=state.documents,
                total=state.total,
                refresh=True,
            )

    def remove(self) -> None:
        with suppress(OSError, ValueError):
            self._bar.stop()


def _bar(stream: Unbuffered) -> _Plain | _Rich:
    try:
        return _Rich(stream)
    except ImportError:
        return _Plain(stream)
