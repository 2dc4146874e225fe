"""Log lines on stderr."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import IO

from edulearn_migrate.cli.output import Unbuffered


class Lines(logging.Handler):
    """Writes each record as a line, with the time in UTC."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__()
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)
        self._stream = Unbuffered(stream)

    def handle(self, record: logging.LogRecord) -> bool:
        """Write it without the handler's lock, for which the end of the program would wait."""
        kept = bool(self.filter(record))
        if kept:
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, in one piece."""
        with suppress(OSError, ValueError):  # the terminal has gone away: the run goes on
            self._stream.write(self.format(record) + "\n")
