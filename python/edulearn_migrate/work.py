"""What calling a verb gives: work that is done blocking or as an awaitable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

_Answer = TypeVar("_Answer")
_Answer_co = TypeVar("_Answer_co", covariant=True)


class Work(Protocol[_Answer_co]):
    """A verb with its arguments, as the engine's verbs return it."""

    def run(self) -> _Answer_co:
        """Do it here and now."""

    def start(self) -> Awaitable[_Answer_co]:
        """Begin with it, and await the answer."""


class InThread(Generic[_Answer]):
    """A blocking verb written in Python, as work like the engine's."""

    def __init__(self, verb: Callable[..., _Answer], *arguments: object, **options: object) -> None:
        self._verb, self._arguments, self._options = verb, arguments, options

    def run(self) -> _Answer:
        """Do it here and now."""
        return self._verb(*self._arguments, **self._options)

    def start(self) -> Awaitable[_Answer]:
        """Begin with it in a thread, and await the answer."""
        return asyncio.to_thread(self.run)
