"""What the skills see: depth images as heights over the table. Depth is disclosed to skills, never to models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qwenarm.body.body import Body
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
FLOOR = 0.003
"""Higher than this above the table begins all that is not the table, a container's floor for one, m."""
SNAP_PIXELS = 3
"""A point this many pixels beside a thing means the thing."""
NEIGHBOURS = np.mgrid[-SNAP_PIXELS : SNAP_PIXELS + 1, -SNAP_PIXELS : SNAP_PIXELS + 1].reshape(2, -1).T
NEIGHBOURS = NEIGHBOURS[np.argsort((NEIGHBOURS**2).sum(axis=1), kind="stable")]
"""(K, 2) rows and columns around a pixel, the nearest first."""


def world_point(body: Body, at: ImagePoint) -> np.ndarray:
    """(3,) m: the surface that is seen at an image point; where that is bare table, a thing a few pixels beside it.

    Raises Failed for points that do not lie on the table.
    """
    view = _View(body, at.camera)
    pixel = (np.minimum(np.array([at.v, at.u]), 1 - 1e-9) * SIZE).astype(int)
    around = pixel + NEIGHBOURS
    points = view.points(*around[((around >= 0) & (around < SIZE)).all(axis=1)].T)  # nearest pixel first
    things = points[(points[:, 2] >= RAISED) & (points[:, 2] < CEILING)]
    point = things[0] if points[0, 2] < RAISED and len(things) else points[0]
    on_table = (point[:2] > LIMITS[0]).all() and (point[:2] < LIMITS[1]).all() and -0.02 < point[2] < CEILING
    if not on_table:
        raise Failed("that point is not on the table")
    return point


@dataclass(frozen=True)
class Surface:
    """All that the overhead depth camera shows above the table. points: (N, 3) m, world; pixels: (N, 2) row, column."""

    points: np.ndarray
    pixels: np.ndarray

    def nearest(self, xy: np.ndarray, above: float, within: float) -> int | None:
        """Index of the point nearest to xy (2,) m of those higher than ``above``; None if not ``within`` m."""
        near = np.flatnonzero(self._within(xy, within) & (self.points[:, 2] > above))
        away = squared(self.points[near], xy)
        found = int(np.argmin(away)) if len(away) else -1
        return int(near[found]) if found >= 0 and away[found] <= within * within else None

    def grow(self, seed: int, above: float, within: float = 0.14) -> np.ndarray:
        """(N, 3) m: the surface higher than ``above`` that is connected to the seed, at most ``within`` m from it."""
        near = self._within(self.points[seed, :2], within)
        allowed = np.flatnonzero((self.points[:, 2] > above) & near)
        return self.points[allowed[_connected(self.pixels[allowed], int(np.searchsorted(allowed, seed)))]]

    def around(self, xy: np.ndarray, radius: float) -> np.ndarray:
        """(N, 3) m: all of the surface within a square of half width ``radius`` around xy."""
        return self.points[np.flatnonzero(self._within(xy, radius))]

    def _within(self, xy: np.ndarray, radius: float) -> np.ndarray:
        """(N,) bool: what lies within that square."""
        x, y = self.points[:, 0], self.points[:, 1]
        return (np.abs(x - xy[0]) < radius) & (np.abs(y - xy[1]) < radius)

    def tallest(self, start: np.ndarray, end: np.ndarray, radius: float, above: float) -> float:
        """Height of the highest thing within ``radius`` of the line from start (2,) to end (2,), m.

        0 if nothing there is higher than ``above``.
        """
        high = self.points[self.points[:, 2] > above]
        way, offset = end - start, high[:, :2] - start
        share = np.clip(offset @ way / max(float(way @ way), 1e-9), 0, 1)
        near = squared(offset - share[:, None] * way, np.zeros(2)) < radius * radius
        return float(high[near, 2].max(initial=0.0))


def look_down(body: Body) -> Surface:
    """The table as the overhead camera sees it now; the arm should be at home."""
    view = _View(body, "overhead")
    rows, columns = view.between(FLOOR, CEILING)
    points = view.points(rows, columns)
    (x, y), (low, high) = points.T[:2], LIMITS
    (inside,) = ((x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])).nonzero()
    return Surface(points[inside], np.stack([rows[inside], columns[inside]], axis=1))


class _View:
    """The depth image of a camera, and where its pixels lie in the world."""

    def __init__(self, body: Body, camera: str) -> None:
        self._depth = body.depth(camera, SIZE)
        self._pos, self._mat, self._fovy = body.camera_pose(camera)
        self._right, self._up = _ahead(self._fovy)

    def points(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(N, 3) m: what is seen at rows (N,) and columns (N,)."""
        depth = np.minimum(self._depth[rows, columns], 1e3)
        ahead = np.empty((len(depth), 3))
        ahead[:, 0], ahead[:, 1], ahead[:, 2] = self._right[columns] * depth, self._up[rows] * depth, -depth
        return self._pos + ahead @ self._mat.T

    def between(self, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows (N,) and columns (N,) of what is seen at heights from low to high, m, by a camera that hangs
        above that: those ``points``, at a tenth of the cost of finding all.
        """
        near, far = _depths(float(self._pos[2]), tuple(self._mat[2].tolist()), self._fovy, low, high)
        return np.divmod(((self._depth > near) & (self._depth < far)).ravel().nonzero()[0], SIZE[1])


@lru_cache(maxsize=8)
def _ahead(fovy_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Where rays meet the plane one metre ahead, to the right by column (W,) and up by row (H,), m: ``cameras.ray``."""
    tall = 2 * math.tan(math.radians(fovy_deg) / 2)
    right = ((np.arange(SIZE[1]) + 0.5) / SIZE[1] - 0.5) * tall * (SIZE[1] / SIZE[0])
    return right, (0.5 - (np.arange(SIZE[0]) + 0.5) / SIZE[0]) * tall


@lru_cache(maxsize=8)
def _depths(
    camera_z: float, up: tuple[float, float, float], fovy_deg: float, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) float32 each, m: the depths at which a pixel's ray is as high as ``high``, then as ``low``.

    camera_z: height of the camera, m; up: the world's third axis in its frame. Kept, because cameras stand still.
    """
    right, ahead = _ahead(fovy_deg)
    rise = (right * up[0] - up[2])[None, :] + (ahead * up[1])[:, None]  # of a ray, in m for each metre of depth
    down = np.minimum(rise, -1e-9)  # what looks up sees nothing down here
    return ((high - camera_z) / down).astype(np.float32), ((low - camera_z) / down).astype(np.float32)


def _connected(pixels: np.ndarray, seed: int) -> np.ndarray:
    """(N,) bool: which pixels (N, 2), in the order of their rows, hang together with the seed by their sides.

    Fills whole runs, along rows and along columns in turn, as long as that reaches more.
    """
    rows, columns = pixels.T
    order = np.lexsort((rows, columns))
    along_columns = np.empty(len(pixels), dtype=int)
    along_columns[order] = _runs(columns[order], rows[order])
    along_rows = _runs(rows, columns)
    reached = np.zeros(len(pixels), dtype=bool)
    reached[seed] = True
    before = 0
    while (count := np.count_nonzero(reached)) > before:
        before = count
        for runs in (along_rows, along_columns):
            filled = np.zeros(len(pixels) + 1, dtype=bool)
            filled[runs[reached]] = True
            reached = filled[runs]
    return reached


def _runs(line: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(N,) number of the unbroken run that each belongs to: same line, next place."""
    begins = np.ones(len(line), dtype=bool)
    begins[1:] = (line[1:] != line[:-1]) | (place[1:] - place[:-1] != 1)
    return np.cumsum(begins)


def squared(points: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(N,) squared distances, along x and y, of points (N, 2 or 3) to xy (2,)."""
    x, y = points[:, 0] - xy[0], points[:, 1] - xy[1]
    return x * x + y * y
