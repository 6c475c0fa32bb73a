"""Paints letters, signs, bands and cracks on objects. They are visible to all renderers and have no contacts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import mujoco
import numpy as np

PAINT_THICKNESS_M = 0.0005
"""Thickness of a layer of paint, in m; a sign on a card has two layers."""
Rgba = Sequence[float]
MAX_DARK_SIDE_RGB_SUM = 1.4
"""Marks on sides are light if the colour's channels add up to less than this. High, as sides are in the shade."""
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
"""Words for the marks of an object. Several marks are joined by "+", and some have a value: "pins:4+dot:red"."""
SIGN_BITMAPS: dict[str, tuple[str, ...]] = {
    "A": (".###.", "#...#", "#####", "#...#", "#...#"),
    "B": ("####.", "#...#", "####.", "#...#", "####."),
    "C": (".####", "#....", "#....", "#....", ".####"),
    "1": (".#.", "##.", ".#.", ".#.", "###"),
    "9": ("####", "#..#", "####", "...#", "####"),
    "glass": ("#####", "#####", ".###.", "..#..", "..#..", ".###."),
    "crack": ("...##.", "..##..", ".##...", "####..", "..###.", "...##.", "..##..", ".##..."),
}
"""Bitmaps by rows from the top; "#" is ink."""
CARD_SIGNS = ("A", "B", "C", "1", "9", "glass")
"""Signs on a light card; all others are painted on the object itself."""
TOP_FACE_AXES = (np.array([0.0, 1.0, 0.0]), np.array([-1.0, 0.0, 0.0]))
"""Right and up on the top face, as seen by the front camera if the object is not rotated."""
SIDE_FACE_AXES = [(np.array([-s, c, 0.0]), np.array([0.0, 0.0, 1.0])) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
"""Right and up on the four sides, the one facing the front camera first."""


def marking_words(marks: str) -> list[str]:
    """Returns, for example, ["4 pins", "red dot"] for "pins:4+dot:red"."""
    pairs = [mark.partition(":")[::2] for mark in marks.split("+") if mark]
    return [MARKING_WORDS[kind].format(value) for kind, value in pairs]


def rectangles(mask: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Yields rectangles (top, bottom, left, right) that make up a mask (H, W) bool: equal runs of consecutive rows."""
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
    """Adds a shape without contacts, by default a box. ``pos`` (3,) and ``size`` (3,) are those of a geom, in m."""
    body.add_geom(type=kind, pos=pos, size=size, quat=quat, rgba=rgba, contype=0, conaffinity=0, density=0)


def contrast(rgba: Rgba, light_from: float = 0.5) -> list[float]:
    """Returns dark for a light colour, light for a dark one, whose channels add up to less than ``light_from``."""
    return [0.12, 0.12, 0.12, 1.0] if sum(rgba[:3]) > light_from else [0.85, 0.85, 0.85, 1.0]


def mark_top(body: mujoco.MjsBody, sign: str, height: float, width: float, rgba: Rgba) -> None:
    """Paints a sign on a top face of this width, ``height`` above the body's origin, in m; upright from the front."""
    _sign(body, sign, np.array([0.0, 0.0, height]), *TOP_FACE_AXES, 0.94 * width, 0.94 * width, rgba)


def mark_sides(body: mujoco.MjsBody, sign: str, half: Sequence[float], rgba: Rgba) -> None:
    """Paints a sign on all four sides of a box with half sizes ``half`` in m. "stripe" is a band around it."""
    x, y, z = half
    if sign == "stripe":
        paint(
            body,
            [0, 0, 0],
            [x + PAINT_THICKNESS_M, y + PAINT_THICKNESS_M, 0.30 * z],
            contrast(rgba, MAX_DARK_SIDE_RGB_SUM),
        )
        paint(
            body,
            [0, 0, 0],
            [0.30 * x, y + PAINT_THICKNESS_M, z + PAINT_THICKNESS_M / 2],
            contrast(rgba, MAX_DARK_SIDE_RGB_SUM),
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
    """Paints a sign into a rectangle of this width and height, in m, on a face with these unit vectors."""
    mask, out = np.array([[c == "#" for c in row] for row in SIGN_BITMAPS[sign]]), np.cross(right, up)
    on_card = sign in CARD_SIGNS
    ink = FRAGILE_RGBA if sign == "glass" else INK_RGBA if on_card else contrast(rgba, MAX_DARK_SIDE_RGB_SUM)
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
    """Returns the half sizes (3,) of a box along the object's axes."""
    return np.abs(right) * w + np.abs(up) * h + np.abs(out) * d
