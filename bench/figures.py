"""Figures: printed as they are measured, and kept for the files that `make bench` writes.

Of several rounds the median counts, with the least and the greatest beside it. A ratio is that of
the medians, with the least and the greatest of single rounds. A figure is compared with its bound
here and nowhere else.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """What one contender took: wall time, and CPU time of server and client, in seconds."""

    seconds: float
    server: float
    client: float

    def scaled(self, factor: float) -> Timing:
        """What it would take for so many times the work, of which a part was measured."""
        return Timing(self.seconds * factor, self.server * factor, self.client * factor)


@dataclass(frozen=True)
class Bound:
    """What a figure has to be: at most, or at least, a value."""

    value: float
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        """Whether that figure is within the bound."""
        return value >= self.value if self.at_least else value <= self.value

    def __str__(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {self.value:g}"


class Figures:
    """All figures of one run."""

    def __init__(self) -> None:
        self.sections: list[dict[str, Any]] = []

    def section(self, title: str) -> None:
        """Begins a section; what follows belongs to it."""
        self.sections.append({"title": title, "rows": [], "figures": []})
        print(f"\n{title}")

    def row(self, name: str, timings: Sequence[Timing]) -> None:
        """What a contender took."""
        seconds = [timing.seconds for timing in timings]
        kept = {
            "name": name,
            "seconds": seconds,
            "server_cpu_seconds": statistics.median(timing.server for timing in timings),
            "client_cpu_seconds": statistics.median(timing.client for timing in timings),
        }
        self.sections[-1]["rows"].append(kept)
        spread = f"({min(seconds):.3f} to {max(seconds):.3f})"
        processor = f"{kept['server_cpu_seconds']:.2f} + {kept['client_cpu_seconds']:.2f} s"
        print(
            f"  {name:<42} {statistics.median(seconds):8.3f} s   {spread:<20}"
            f" CPU server + client {processor}"
        )

    def ratio(
        self,
        name: str,
        one: Sequence[Timing],
        other: Sequence[Timing],
        bound: Bound | None = None,
    ) -> None:
        """The wall time of one contender by that of another."""
        value = _median(one) / _median(other)
        pairs = [mine.seconds / theirs.seconds for mine, theirs in zip(one, other, strict=False)]
        self._figure(name, value, "", bound, (min(pairs), max(pairs)))

    def value(self, name: str, value: float, unit: str, bound: Bound | None = None) -> None:
        """A figure that is no ratio of times."""
        self._figure(name, value, unit, bound, None)

    def _figure(
        self,
        name: str,
        value: float,
        unit: str,
        bound: Bound | None,
        spread: tuple[float, float] | None,
    ) -> None:
        kept: dict[str, Any] = {"name": name, "value": value, "unit": unit}
        if spread is not None:
            kept["least"], kept["greatest"] = spread
        verdict = ""
        if bound is not None:
            kept["bound"], kept["at_least"] = bound.value, bound.at_least
            kept["met"] = bound.met_by(value)
            verdict = f"   {bound}{unit}: {'met' if kept['met'] else 'NOT MET'}"
            if spread is not None and spread[0] < bound.value < spread[1]:
                verdict += ", but single rounds fall on both sides"
        self.sections[-1]["figures"].append(kept)
        beside = f"({spread[0]:.2f} to {spread[1]:.2f})" if spread is not None else ""
        print(f"  {name:<58} {value:9.2f}{unit:<6} {beside:<16}{verdict}")


def _median(timings: Sequence[Timing]) -> float:
    return statistics.median(timing.seconds for timing in timings)
