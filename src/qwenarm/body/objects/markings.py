"""What is painted on things: letters, signs, bands and cracks. Seen by every renderer, felt by nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import mujoco
import numpy as np

PAINT_THICKNESS_M = 0.0005
"""Thickness of a coat of paint, m; a sign on a card is two coats."""
Rgba = Sequence[float]
SIDE_CONTRAST_SUM = 1.4
"""Sides lie in the shade: on colours with a smaller sum of channels than this, marks on them are light."""
INK_RGBA, CARD_RGBA, FRAGILE_RGBA = (0.05, 0.05, 0.07, 1.0), (0.94, 0.94, 0.90, 1.0), (0.85, 0.05, 0.08, 1.0)

COLOR_RGB: dict[str, tuple[float, float, float]] = {
    "red": (0.82, 0.10, 0.10),
    "orange": (0.95, 0.48, 0.05),
    "yellow": (0.95, 0.85, 0.12),
    "green": (0.12, 0.60, 0.18),
    "blue": (0.10, 0.25, 0.85),
    "purple": (0.48, 0.14, 0.66),
    "white": (0.95, 0.95, 0.95),
    "black": (0.07, 0.07, 0.07),
}
MARKING_WORDS = {
    "A": "labelled A", "B": "labelled B", "C": "labelled C", "1": "1 kg", "9": "9 kg", "glass": "fragile",
    "stripe": "striped", "crack": "cracked",
    "pins": "{} pins", "dots": "{} dots", "dot": "{} dot", "cap": "{} cap",
}  # fmt: skip
"""What may be on a thing, and the words for it. Several are joined by "+", and some have a value: "pins:4+dot:red"."""
SIGN_BITMAPS: dict[str, tuple[str, ...]] = {
    "A": (".###.", "#...#", "#####", "#...#", "#...#"),
    "B": ("####.", "#...#", "####.", "#...#", "####."),
    "C": (".####", "#....", "#....", "#....", ".####"),
    "1": (".#.", "##.", ".#.", ".#.", "###"),
    "9": ("####", "#..#", "####", "...#", "####"),
    "glass": ("#####", "#####", ".###.", "..#..", "..#..", ".###."),
    "crack": ("...##.", "..##..", ".##...", "####..", "..###.", "...##.", "..##..", ".##..."),
}
"""Row by row from the top, # where there is ink."""
CARD_SIGNS = ("A", "B", "C", "1", "9", "glass")
"""Signs that are printed on a light card; the others stand on the thing itself."""
TOP_FACE_AXES = (np.array([0.0, 1.0, 0.0]), np.array([-1.0, 0.0, 0.0]))
"""To the right and up on a thing's upper face, as the front camera sees it when it is not turned."""
SIDE_FACE_AXES = [(np.array([-s, c, 0.0]), np.array([0.0, 0.0, 1.0])) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
"""To the right and up on its four sides, the one towards the front camera first."""


def marking_words(marks: str) -> list[str]:
    """ "pins:4+dot:red" as "4 pins" and "red dot"."""
    pairs = [mark.partition(":")[::2] for mark in marks.split("+") if mark]
    return [MARKING_WORDS[kind].format(value) for kind, value in pairs]


def rectangles(mask: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Rectangles (top, bottom, left, right) that together are a mask (H, W) bool: runs along rows, same ones joined."""
    open_runs: dict[tuple[int, int], int] = {}
    for row in range(len(mask) + 1):
        runs = _runs(mask[row]) if row < len(mask) else []
        for run in [run for run in open_runs if run not in runs]:
            yield open_runs.pop(run), row, *run
        open_runs |= {run: row for run in runs if run not in open_runs}


def _runs(row: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def paint(
    body: mujoco.MjsBody,
    pos: Sequence[float] | np.ndarray,
    size: Sequence[float] | np.ndarray,
    rgba: Rgba,
    kind: mujoco.mjtGeom = mujoco.mjtGeom.mjGEOM_BOX,
    quat: Sequence[float] = (1.0, 0.0, 0.0, 0.0),
) -> None:
    """Adds what is seen and not felt: by default a box. pos (3,) of its middle and size (3,) as for a geom, m."""
    body.add_geom(type=kind, pos=pos, size=size, quat=quat, rgba=rgba, contype=0, conaffinity=0, density=0)


def contrast(rgba: Rgba, light_from: float = 0.5) -> list[float]:
    """Dark on a light colour, light on a dark one: the sum of whose channels is less than ``light_from``."""
    return [0.12, 0.12, 0.12, 1.0] if sum(rgba[:3]) > light_from else [0.85, 0.85, 0.85, 1.0]


def mark_top(body: mujoco.MjsBody, sign: str, height: float, width: float, rgba: Rgba) -> None:
    """A sign, upright for the front camera, on a face of this width at a height over the body's origin, m."""
    _sign(body, sign, np.array([0.0, 0.0, height]), *TOP_FACE_AXES, 0.94 * width, 0.94 * width, rgba)


def mark_sides(body: mujoco.MjsBody, sign: str, half: Sequence[float], rgba: Rgba) -> None:
    """A sign on all four sides of a box, or a "stripe": a band around it. half: the box's half sizes, m."""
    x, y, z = half
    if sign == "stripe":
        paint(
            body, [0, 0, 0], [x + PAINT_THICKNESS_M, y + PAINT_THICKNESS_M, 0.30 * z], contrast(rgba, SIDE_CONTRAST_SUM)
        )
        paint(
            body,
            [0, 0, 0],
            [0.30 * x, y + PAINT_THICKNESS_M, z + PAINT_THICKNESS_M / 2],
            contrast(rgba, SIDE_CONTRAST_SUM),
        )
        return
    for right, up in SIDE_FACE_AXES:
        _sign(body, sign, np.cross(right, up) * half, right, up, 1.5 * x, 2.0 * z, rgba)


def _sign(
    body: mujoco.MjsBody,
    sign: str,
    middle: np.ndarray,
    right: np.ndarray,
    up: np.ndarray,
    width: float,
    height: float,
    rgba: Rgba,
) -> None:
    """Within a rectangle of this width and height, m, on a face of the thing with these unit vectors."""
    mask, out = np.array([[c == "#" for c in row] for row in SIGN_BITMAPS[sign]]), np.cross(right, up)
    on_card = sign in CARD_SIGNS
    ink = FRAGILE_RGBA if sign == "glass" else INK_RGBA if on_card else contrast(rgba, SIDE_CONTRAST_SUM)
    if on_card:
        paint(body, middle, _box(right, up, out, width / 2, height / 2, PAINT_THICKNESS_M), CARD_RGBA)
        width, height = 0.88 * width, 0.88 * height
    cell = np.array([width / mask.shape[1], height / mask.shape[0]])
    for top, bottom, left, stop in rectangles(mask):
        across = (left + stop - mask.shape[1]) / 2 * cell[0]
        rise = (mask.shape[0] - top - bottom) / 2 * cell[1]
        size = _box(right, up, out, (stop - left) / 2 * cell[0], (bottom - top) / 2 * cell[1], 2 * PAINT_THICKNESS_M)
        paint(body, middle + across * right + rise * up, size, ink)


def _box(right: np.ndarray, up: np.ndarray, out: np.ndarray, w: float, h: float, d: float) -> np.ndarray:
    """(3,) half sizes of a box along the thing's axes."""
    return np.abs(right) * w + np.abs(up) * h + np.abs(out) * d
