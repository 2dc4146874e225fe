"""What calling a verb gives: work that is done blocking or as an awaitable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from edulearn_migrate import _native

_Answer = TypeVar("_Answer")
_Answer_co = TypeVar("_Answer_co", covariant=True)


class PendingCall(Protocol[_Answer_co]):
    """A verb with its arguments, as the engine's verbs return it."""

    def run(self) -> _Answer_co:
        """Do it here and now."""


class InThread(Generic[_Answer]):
    """A blocking verb written in Python, as work like the engine's."""

    def __init__(self, verb: Callable[..., _Answer], *arguments: object, **options: object) -> None:
        self._verb, self._arguments, self._options = verb, arguments, options

    def run(self) -> _Answer:
        """Do it here and now."""
        return self._verb(*self._arguments, **self._options)


def begin(work: PendingCall[_Answer]) -> asyncio.Future[_Answer]:
    """Begin with it; the future is settled by the running event loop."""
    if not isinstance(work, _native.PendingCall):
        return asyncio.ensure_future(asyncio.to_thread(work.run))
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Answer] = loop.create_future()
    ended = work.begin()

    def settle() -> None:
        loop.remove_reader(ended)
        if future.done():
            return
        try:
            future.set_result(work.outcome())
        except Exception as error:
            future.set_exception(error)

    # A file descriptor, because then no thread of the engine has to touch the loop, which may be
    # closed by the time the work has ended.
    loop.add_reader(ended, settle)
    return future
