"""What the thread runs that hands a run's events to a listener.

A listener has a thread of its own, a daemon: one that never returns delays neither the run nor the
end of the process. While it runs, only Python is on that thread's stack, so that the interpreter
can end without it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edulearn_migrate._native import Events


def listen(events: Events, listener: Callable[[dict[str, Any]], object]) -> None:
    """Call the listener with every event until the last one."""
    for event in events:
        try:
            listener(event)
        except Exception as error:  # noqa: PERF203 - the next event is for it all the same
            events.raised(error, listener)
