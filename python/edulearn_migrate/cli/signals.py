"""SIGTERM and SIGHUP end a run like Ctrl-C does: by an exception, which the engine waits out.

The first of them is answered at once with a line on stderr, whatever is under way. The engine looks
for signals every 100 ms, ends at its next safe point (the current chunk committed, the lease
released) and then raises what the handler here raised.
"""

from __future__ import annotations

import signal
import sys
from contextlib import suppress

from edulearn_migrate.cli.errors import Terminated
from edulearn_migrate.cli.output import Unbuffered, is_terminal

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from types import FrameType

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Handlers:
    """While entered, the signals that end a program raise. Does nothing outside the main thread."""

    def __init__(self) -> None:
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Handlers:
        global _answered
        _answered = False
        for number, handler in [
            *((number, _terminate) for number in _ENDING),
            (signal.SIGINT, _interrupt),
        ]:
            # What was set to be ignored stays so: nohup does that to SIGHUP.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                try:
                    self._previous[number] = signal.signal(number, handler)
                except ValueError:  # not the main thread
                    break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _answer("Interrupted")
    raise KeyboardInterrupt


def _terminate(number: int, _frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    _answer(f"Ended by {name}")
    raise Terminated(name)


_answered = False


def _answer(what: str) -> None:
    global _answered
    how = (
        "giving up at once"
        if _answered
        else "stopping at the next safe point. A second signal gives up at once"
    )
    _answered = True
    if sys.stderr is None:
        return
    start = "\r\x1b[K" if is_terminal(sys.stderr) else ""  # over the progress bar
    with suppress(OSError, ValueError):
        Unbuffered(sys.stderr).write(f"{start}{what}: {how}.\n")
