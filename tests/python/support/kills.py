"""Killing runs: how many kills there were, and where they met the lease's holder."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

from harness import Documents, Process, holds

# How many kills of a process that holds the lease there are at least.
KILLS = int(os.environ.get("EDULEARN_KILLS") or 20)


@dataclass
class Kills:
    """The kills of one test: how many met the lease's holder, and where they did."""

    counted: int = 0
    uncounted: int = 0
    places: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        places = ", ".join(f"{count} {place}" for place, count in self.places.most_common())
        return f"{self.counted} kills of the lease's holder ({places}); {self.uncounted} others"


def holding_or_over(db: Documents, process: Process) -> bool:
    """Whether the lease is the process's, or it has ended."""
    return holds(db, process) or process.poll() is not None
