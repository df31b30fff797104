"""Bars for a table of rates, as SVG: the median's length, a line from lowest to highest."""

from collections.abc import Sequence
from statistics import median
from typing import Final
from xml.sax.saxutils import escape

from modelfloat.bench.harness import Row

OURS: Final = "#3465a4"
PEERS: Final = "#9aa0a6"
LINE: Final = "#202124"
LEFT: Final = 330
WIDTH: Final = 420
RIGHT: Final = 90
STEP: Final = 26
BAR: Final = 16
HEAD: Final = 44


def bars(title: str, rows: Sequence[Row], ours: str) -> str:
    """One bar a row, in MB/s; those whose name begins with `ours` stand out."""
    rates = [sorted(row.size / run.seconds / 1e6 for run in row.runs) for row in rows]
    scale = WIDTH / max(each[-1] for each in rates)
    height = HEAD + STEP * len(rows) + 12
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}">',
        "<style>text { font: 13px sans-serif }</style>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (row, rate) in enumerate(zip(rows, rates, strict=True)):
        fill = OURS if row.what.startswith(ours) else PEERS
        drawn += _bar(row.what, rate, scale, HEAD + STEP * number, fill)
    return "\n".join([*drawn, "</svg>", ""])


def _bar(what: str, rates: Sequence[float], scale: float, top: int, fill: str) -> list[str]:
    middle, text = top + BAR / 2, top + BAR - 3
    lowest, half, highest = rates[0] * scale, median(rates) * scale, rates[-1] * scale
    return [
        f'<text x="{LEFT - 8}" y="{text}" text-anchor="end">{escape(what)}</text>',
        f'<rect x="{LEFT}" y="{top}" width="{half:.1f}" height="{BAR}" fill="{fill}"/>',
        (
            f'<line x1="{LEFT + lowest:.1f}" x2="{LEFT + highest:.1f}" y1="{middle}" y2="{middle}" '
            f'stroke="{LINE}"/>'
        ),
        f'<text x="{LEFT + highest + 6:.1f}" y="{text}">{median(rates):,.0f} MB/s</text>',
    ]
