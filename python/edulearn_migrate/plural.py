"""Numbers with the word that goes with them."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """As in `1 run`, `1,234 runs` and `2 indexes`."""
    ending = "" if number == 1 else "es" if thing.endswith(("s", "x")) else "s"
    return f"{number:,} {thing}{ending}"
