"""The figures that have a bound, as one bar chart: an SVG for light and dark pages."""

from __future__ import annotations

from html import escape
from typing import Any

WIDTH, LABEL, BAR, GAP = 860, 290, 14, 10
# The bound is at the same place in every row, so that one look tells which bars cross it.
AT = 200
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #222 } .note { fill: #666 }
.met { fill: #2a7d4f } .missed { fill: #c2410c } .bound { stroke: #222; stroke-width: 1.5 }
.back { fill: #fff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e6e6 } .note { fill: #a3a3a3 } .met { fill: #4ade80 } .missed { fill: #fb923c }
  .bound { stroke: #e6e6e6 } .back { fill: #1c1c1c }
}
"""


def draw(document: dict[str, Any]) -> str:
    """The chart of what `Figures` kept."""
    figures = [
        (section["title"], figure)
        for section in document["sections"]
        for figure in section["figures"]
        if "bound" in figure
    ]
    height = 56 + len(figures) * (BAR + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="Measured figures, each beside its bound">',
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}"/>',
        f'<text class="note" x="{LABEL}" y="18">The line is the bound of each figure.</text>',
    ]
    for at, (title, figure) in enumerate(figures):
        lines += _bar(title, figure, 34 + at * (BAR + GAP))
    lines.append(
        f'<text class="note" x="8" y="{height - 8}">{escape(document["where"])}</text></svg>'
    )
    return "\n".join(lines) + "\n"


def _bar(title: str, figure: dict[str, Any], top: int) -> list[str]:
    share = figure["value"] / figure["bound"] if figure["bound"] else 0.0
    length = min(share * AT, WIDTH - LABEL - 200)
    kind = "met" if figure["met"] else "missed"
    unit = figure["unit"]
    words = "at least" if figure["at_least"] else "at most"
    value = f"{figure['value']:,.0f}" if figure["value"] >= 100 else f"{figure['value']:.2f}"
    told = f"{value}{unit}, {words} {figure['bound']:g}{unit}"
    base = top + BAR - 3
    return [
        f"<g><title>{escape(title)}</title>",
        f'<text x="{LABEL - 8}" y="{base}" text-anchor="end">{escape(figure["name"])}</text>',
        f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{length:.1f}" height="{BAR}"/>',
        f'<line class="bound" x1="{LABEL + AT}" x2="{LABEL + AT}"'
        f' y1="{top - 3}" y2="{top + BAR + 3}"/>',
        f'<text x="{LABEL + max(length, AT) + 8:.1f}" y="{base}">{escape(told)}</text></g>',
    ]
