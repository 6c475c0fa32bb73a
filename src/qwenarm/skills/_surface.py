"""What the skills see: depth images as heights over the table. Depth is disclosed to skills, never to models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwenarm.body.body import Body
from qwenarm.body.cameras import pixel_grid, unproject
from qwenarm.skills._skill import Failed
from qwenarm.types import ImagePoint

SIZE = (240, 320)
"""(H, W) of the depth images; the aspect ratio of the frames that models see."""
LIMITS = np.array([[0.20, -0.45], [0.85, 0.45]])
"""The part of the table that is looked at, x and y, m: no robot base, no floor."""
CEILING = 0.35
"""Higher than this is the arm, m."""
RAISED = 0.008
"""Higher than this above the table is a thing, m; lower may be a container's floor."""
SNAP_PIXELS = 3
"""A point this many pixels beside a thing means the thing."""


def world_point(body: Body, at: ImagePoint) -> np.ndarray:
    """(3,) m: the surface that is seen at an image point; where that is bare table, a thing a few pixels beside it.

    Raises Failed for points that do not lie on the table.
    """
    points = _points(body, at.camera)
    row, column = int(min(at.v, 1 - 1e-9) * SIZE[0]), int(min(at.u, 1 - 1e-9) * SIZE[1])
    if points[row, column, 2] < RAISED:
        rows, columns = _window(row, SNAP_PIXELS, SIZE[0]), _window(column, SNAP_PIXELS, SIZE[1])
        near = [(r, c) for r in rows for c in columns if RAISED <= points[r, c, 2] < CEILING]
        row, column = min(near, key=lambda p: (p[0] - row) ** 2 + (p[1] - column) ** 2, default=(row, column))
    point = points[row, column]
    on_table = (point[:2] > LIMITS[0]).all() and (point[:2] < LIMITS[1]).all() and -0.02 < point[2] < CEILING
    if not on_table:
        raise Failed("that point is not on the table")
    return point


@dataclass(frozen=True)
class Surface:
    """What the overhead depth camera shows. points: (H, W, 3) m, world; NaN off the table and where the arm is."""

    points: np.ndarray

    @property
    def height(self) -> np.ndarray:
        """(H, W) m above the table."""
        return self.points[..., 2]

    def nearest(self, xy: np.ndarray, above: float, within: float) -> tuple[int, int] | None:
        """Row and column of the pixel nearest to xy (2,) m of those higher than ``above``; None if not ``within`` m."""
        away = np.hypot(*np.moveaxis(self.points[..., :2] - xy, -1, 0))
        away = np.where(self.height > above, away, np.inf)
        row, column = np.unravel_index(np.nanargmin(away), away.shape)
        return (int(row), int(column)) if away[row, column] <= within else None

    def grow(self, seed: tuple[int, int], above: float, within: float = 0.14) -> np.ndarray:
        """(N, 3) m: the surface higher than ``above`` that is connected to the seed, at most ``within`` m from it."""
        spread = np.abs(self.points[..., :2] - self.points[seed][:2]).max(axis=-1)
        allowed = (self.height > above) & (spread < within)
        rows, columns = np.nonzero(allowed)
        window = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        open_, grown = allowed[window], np.zeros_like(allowed[window])
        grown[seed[0] - window[0].start, seed[1] - window[1].start] = True
        while True:
            wider = grown.copy()
            wider[1:] |= grown[:-1]
            wider[:-1] |= grown[1:]
            wider[:, 1:] |= grown[:, :-1]
            wider[:, :-1] |= grown[:, 1:]
            wider &= open_
            if wider.sum() == grown.sum():
                return self.points[window][grown]
            grown = wider

    def around(self, xy: np.ndarray, radius: float) -> np.ndarray:
        """(N, 3) m: all of the surface within a square of half width ``radius`` around xy."""
        near = np.abs(self.points[..., :2] - xy).max(axis=-1) < radius
        return self.points[near]

    def tallest(self, start: np.ndarray, end: np.ndarray, radius: float) -> float:
        """Height of the highest thing within ``radius`` of the line from start (2,) to end (2,), m."""
        way = end - start
        offset = self.points[..., :2] - start
        share = np.clip(offset @ way / max(float(way @ way), 1e-9), 0, 1)
        away = np.linalg.norm(offset - share[..., None] * way, axis=-1)
        return float(np.max(self.height, where=away < radius, initial=0.0))


def look_down(body: Body) -> Surface:
    """The table as the overhead camera sees it now; the arm should be at home."""
    points = _points(body, "overhead")
    inside = (points[..., :2] > LIMITS[0]).all(-1) & (points[..., :2] < LIMITS[1]).all(-1) & (points[..., 2] < CEILING)
    return Surface(np.where(inside[..., None], points, np.nan))


def _points(body: Body, camera: str) -> np.ndarray:
    """(H, W, 3) m: where each pixel of a camera's depth image lies in the world."""
    depth = body.frame(camera, SIZE, depth=True).depth_m
    assert depth is not None
    pos, mat, fovy = body.camera_pose(camera)
    return unproject(pixel_grid(*SIZE), np.minimum(depth, 1e3), pos, mat, fovy, SIZE[1] / SIZE[0])


def _window(middle: int, half: int, size: int) -> range:
    return range(max(0, middle - half), min(size, middle + half + 1))
