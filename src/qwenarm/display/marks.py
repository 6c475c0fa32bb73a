"""The points of calls, drawn as rings with labels on the pictures of a page: where everything stands in its picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qwenarm.display.labels import Box, place_labels
from qwenarm.display.text import wrap
from qwenarm.types import Frame, ImagePoint, SkillCall

POINT_COLOR_CLASSES = 6
"""Classes mark0 to mark5 of the style sheet colour a turn's points; further points begin again."""
POINT_CANVAS_WIDTH = 320
"""Width of a picture in the units in which points are drawn on it; all other lengths here are in these units."""
MARK_REACH = 13
"""How far a label stands from the middle of its point."""
MARK_FONT_SIZE, MARK_BASELINE = 15, 15
"""Size of the labels' font, and how far below the top of its box a label's baseline is."""
BROWSER_FONT_WIDTH = 1.26
"""A label in a browser is at most so much wider than in the font of ``text.py``: measured with DejaVu Sans Bold, the
widest of the usual fonts.
"""


@dataclass(frozen=True)
class Mark:
    """A point of a call, drawn on a picture, with a label.

    x, y: the point, and label_dx, label_dy: from there to the label, in 1/POINT_CANVAS_WIDTH of the picture's width.
    label: the number of the call and what is meant.
    anchor: which end of the label is meant by label_dx: "start", "middle" or "end".
    tone: its class in the style sheet.
    """

    x: float
    y: float
    label: str
    anchor: str
    label_dx: float
    label_dy: float
    tone: str


def marks(frame: Frame, calls: Iterable[SkillCall]) -> list[Mark]:
    """The points that calls mean in a frame. Those of the first call have the number 1."""
    height = canvas_height(frame)
    meant = [
        (number, value)
        for number, call in enumerate(calls, 1)
        for value in call.args.values()
        if isinstance(value, ImagePoint) and value.camera == frame.camera
    ]
    named = [(p.u * POINT_CANVAS_WIDTH, p.v * height, _fitting(f"{number} {p.label}")) for number, p in meant]
    boxes = place_labels(named, (height, POINT_CANVAS_WIDTH), MARK_REACH, MARK_FONT_SIZE, BROWSER_FONT_WIDTH)
    return [_mark(number, *each, box) for (number, _), each, box in zip(meant, named, boxes, strict=True)]


def canvas_height(frame: Frame) -> float:
    """Height of a picture in the units of its marks."""
    height, width = frame.rgb.shape[:2]
    return POINT_CANVAS_WIDTH * height / width


def _fitting(label: str) -> str:
    """The beginning of a label, as much of it as fits into a picture."""
    return wrap(label, MARK_FONT_SIZE, int(POINT_CANVAS_WIDTH / BROWSER_FONT_WIDTH), 1)[0]


def _mark(number: int, x: float, y: float, label: str, box: Box) -> Mark:
    """The end of the label that is next to the point is fixed: the browser's own font may be narrower than the box."""
    left, top, right, _ = box
    anchor, at = ("start", left) if left > x else ("end", right) if right < x else ("middle", (left + right) / 2)
    dx, dy = round(at - x, 1), round(top + MARK_BASELINE - y, 1)
    return Mark(round(x, 1), round(y, 1), label, anchor, dx, dy, f"mark{(number - 1) % POINT_COLOR_CLASSES}")
