"""How figures are printed: medians with the least and the greatest beside them, and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def row(name: str, seconds: Sequence[float]) -> None:
    middle = statistics.median(seconds)
    print(f"  {name:<42} {middle:8.3f} s   ({min(seconds):.3f} to {max(seconds):.3f})")


def ratio(
    name: str,
    one: Sequence[float],
    other: Sequence[float],
    target: float | None,
    *,
    at_least: bool = False,
) -> None:
    middle = statistics.median(one) / statistics.median(other)
    pairs = [first / second for first, second in zip(one, other, strict=False)]
    verdict = ""
    if target is not None:
        met = middle >= target if at_least else middle <= target
        noisy = min(pairs) < target < max(pairs)
        bound = f"at {'least' if at_least else 'most'} {target:g}"
        verdict = f"   {bound}: {'met' if met else 'NOT MET'}"
        verdict += ", but single rounds fall on both sides" if noisy else ""
    spread = f"({min(pairs):.2f} to {max(pairs):.2f})"
    print(f"  {'ratio of medians, ' + name:<62} {middle:6.2f}   {spread}{verdict}")


def peak(name: str, total: int, megabytes: Sequence[float]) -> None:
    most = max(megabytes)
    print(f"\n{name} on {total:,} documents")
    verdict = "met" if most < 120 else "NOT MET"
    runs = f"the most of {len(megabytes)} run{'s' if len(megabytes) > 1 else ''}"
    print(f"  {runs:<42} {most:8.1f} MB   under 120: {verdict}")


def size(name: str, bytes_each: float, target: float) -> None:
    verdict = "met" if bytes_each < target else "NOT MET"
    print(f"  {name:<62} {bytes_each:6.1f} bytes   under {target:g}: {verdict}")


def verdict(name: str, value: float, unit: str, target: float, *, at_least: bool = False) -> None:
    met = value >= target if at_least else value <= target
    bound = f"at {'least' if at_least else 'most'} {target:g}{unit}"
    print(f"  {name:<42} {value:8.2f}{unit}   {bound}: {'met' if met else 'NOT MET'}")
