"""Log lines on stderr."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Thread
from typing import IO

from edulearn_migrate.cli.output import Unbuffered, visible

_PATIENCE = 2.0
"""How many seconds a line may wait for a terminal that nobody reads, before the command goes on."""


class Lines(logging.Handler):
    """Writes each record as a line, with the time in UTC.

    A thread of its own writes, so that a terminal that nobody reads (paused, or a full `less`) does
    not stop the command. As long as lines are taken, each is written before the command goes on.
    """

    def __init__(self, stream: IO[str]) -> None:
        super().__init__()
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)
        self._stream = Unbuffered(stream)
        self._lines: SimpleQueue[tuple[str, Event]] = SimpleQueue()
        self._stuck = False
        Thread(target=self._write, name="edulearn_migrate log", daemon=True).start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Write it without the handler's lock, for which the end of the program would wait."""
        kept = bool(self.filter(record))
        if kept:
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, in one piece."""
        written = Event()
        self._lines.put((visible(self.format(record)) + "\n", written))
        if not self._stuck:
            self._stuck = not written.wait(_PATIENCE)

    def _write(self) -> None:
        while True:
            line, written = self._lines.get()
            with suppress(OSError, ValueError):  # the terminal has gone away: the run goes on
                self._stream.write(line)
            written.set()
            self._stuck = False
