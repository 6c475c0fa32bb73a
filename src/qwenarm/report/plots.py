"""The plots of a report, as small inline SVG: no library, no picture file, and the reader's own colours and fonts.

Strips (rates, bars) are placed in percent of their width and so fit any screen; curves have a fixed shape. Every
plot says in words what it shows (``aria-label``), and the numbers stand beside it or in a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLORS = 8
"""Classes c0 to c7 of the style sheet; further series begin again."""
LANE = 12
"""Height in pixels of one series in a strip."""


@dataclass(frozen=True)
class Dot:
    """A value in [0, 1] with its interval, of one series. note: what the reader is told of it."""

    value: float
    low: float
    high: float
    color: int
    note: str
    hollow: bool = False


@dataclass(frozen=True)
class Line:
    """A curve through (x, y, low, high), y and its interval in [0, 1]. bold: with its intervals; else a thin line."""

    name: str
    color: int
    points: tuple[tuple[float, float, float, float], ...]
    bold: bool = True


def rate_strip(dots: Sequence[Dot]) -> str:
    """One lane per dot, with its interval as a whisker, between 0 and 100 %."""
    height = LANE * len(dots) + 4
    lanes = "".join(_dot(dot, LANE * i + LANE / 2 + 2) for i, dot in enumerate(dots))
    grid = "".join(f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="{height}"/>' for x in (0, 25, 50, 75, 100))
    return _svg(f'width="100%" height="{height}"', "; ".join(dot.note for dot in dots), grid + lanes, "strip")


def _dot(dot: Dot, y: float) -> str:
    low, value, high = (f"{100 * v:.2f}%" for v in (dot.low, dot.value, dot.high))
    kind = f"c{dot.color % COLORS}{' hollow' if dot.hollow else ''}"
    return (
        f'<g class="{kind}"><title>{escape(dot.note)}</title>'
        f'<line class="whisker" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/><circle cx="{value}" cy="{y}" r="4"/></g>'
    )


def stacked_bar(parts: Sequence[tuple[str, int, str]]) -> str:
    """Counts beside each other, as wide as their share. parts: (name, count, class of the style sheet)."""
    total = sum(count for _, count, _ in parts)
    x, shapes = 0.0, []
    for name, count, kind in parts:
        width = 100 * count / total if total else 0.0
        label = f'<text x="{x + width / 2:.2f}%" y="16" text-anchor="middle">{count}</text>' if width > 6 else ""
        shapes.append(
            f'<g class="{kind}"><title>{escape(name)}: {count} of {total}</title>'
            f'<rect x="{x:.2f}%" width="{width:.2f}%" y="0" height="22"/>{label}</g>'
        )
        x += width
    words = ", ".join(f"{name} {count} of {total}" for name, count, _ in parts if count)
    return _svg('width="100%" height="22"', words, "".join(shapes), "stack")


WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 330, 190, 40, 36, 10, 12


def curves(lines: Sequence[Line], x_name: str, words: str, whiskers: bool = False, step: float = 1.0) -> str:
    """Curves between 0 and 100 %. whiskers: intervals as whiskers at the points, else as bands. step: least tick."""
    x_top = max((point[0] for line in lines for point in line.points), default=0.0) or 1.0
    inner = "".join(f"{_curve(line, x_top, whiskers)}" for line in lines)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
    return _svg(size, words, _axes(x_top, x_name, step) + inner, "curves")


def _at(x: float, y: float, x_top: float) -> tuple[float, float]:
    return (
        LEFT + (WIDTH - LEFT - RIGHT) * x / x_top,
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * y,
    )


def _axes(x_top: float, x_name: str, step: float) -> str:
    parts = []
    for y in (0, 0.25, 0.5, 0.75, 1):
        left, level = _at(0, y, x_top)
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>')
        if y in (0, 0.5, 1):
            parts.append(f'<text x="{LEFT - 6}" y="{level + 4:.1f}" text-anchor="end">{100 * y:.0f} %</text>')
    for x in ticks(x_top, step):
        place, base = _at(x, 0, x_top)
        parts.append(f'<text x="{place:.1f}" y="{base + 15:.1f}" text-anchor="middle">{x:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    return "".join(parts) + f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_name)}</text>'


def ticks(top: float, least: float) -> list[float]:
    """At most six round numbers from 0 to top, no closer to each other than ``least``."""
    steps = (0.25, 0.5, *(digit * 10.0**power for power in range(9) for digit in (1, 2, 5)))
    size = next(step for step in steps if step >= least and top / step <= 5)
    return [size * i for i in range(int(top / size + 1e-9) + 1)]


def _curve(line: Line, x_top: float, whiskers: bool) -> str:
    path = _path((x, y, x_top) for x, y, _, _ in line.points)
    around = ""
    if whiskers:
        around = "".join(_whisker(*point, x_top) for point in line.points)
    elif line.bold:
        upper = [(x, high, x_top) for x, _, _, high in line.points]
        around = f'<polygon points="{_path([*upper, *((x, low, x_top) for x, _, low, _ in reversed(line.points))])}"/>'
    kind = f"c{line.color % COLORS}{'' if line.bold else ' thin'}"
    return f'<g class="{kind}"><title>{escape(line.name)}</title>{around}<polyline points="{path}"/></g>'


def _path(points: Iterable[tuple[float, float, float]]) -> str:
    return " ".join("{:.1f},{:.1f}".format(*_at(*point)) for point in points)


def _whisker(x: float, y: float, low: float, high: float, x_top: float) -> str:
    (place, middle), (_, bottom), (_, top) = (_at(x, value, x_top) for value in (y, low, high))
    return (
        f'<line class="whisker" x1="{place:.1f}" x2="{place:.1f}" y1="{bottom:.1f}" y2="{top:.1f}"/>'
        f'<circle cx="{place:.1f}" cy="{middle:.1f}" r="4"/>'
    )


def legend(series: Iterable[tuple[str, str]]) -> str:
    """Names beside their colours. series: (name, class of the style sheet)."""
    items = (f'<li><i class="{kind}"></i>{escape(name)}</li>' for name, kind in series)
    return f'<ul class="legend">{"".join(items)}</ul>'


def rows(parts: Mapping[str, tuple[str, str]]) -> str:
    """Labelled strips beneath each other. parts: by label, the strip and the words beside it (HTML)."""
    items = (
        f'<div class="row"><div class="label">{escape(label)}</div><div class="plot">{strip}</div>'
        f'<div class="value">{value}</div></div>'
        for label, (strip, value) in parts.items()
    )
    return f'<div class="rows">{"".join(items)}</div>'


def _svg(size: str, words: str, inner: str, kind: str) -> str:
    return f'<svg class="{kind}" {size} role="img" aria-label="{escape(words)}">{inner}</svg>'
