"""What the skills see: the table's surface, computed from depth images. Models never get depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qwenarm.body.simulation import Body
from qwenarm.skills.failure import SkillFailure
from qwenarm.types import ImagePoint

OVERHEAD_CAMERA = "overhead"
DEPTH_IMAGE_SIZE = (240, 320)
"""(H, W) of the depth images, with the aspect ratio of the frames that models see."""
VISIBLE_TABLE_M = np.array([[0.20, -0.45], [0.85, 0.45]])
"""Lower and upper x and y of the part of the table that is used, in m; it excludes the robot's base and the floor."""
MAX_OBJECT_TOP_M = 0.35
"""Anything higher than this above the table, in m, belongs to the arm."""
MIN_OBJECT_HEIGHT_M = 0.008
"""Anything higher than this above the table, in m, is an object; anything lower may be a container's floor."""
MIN_SURFACE_HEIGHT_M = 0.003
"""Anything lower than this, in m, is the bare table. A container's floor is higher."""
HELD_DEPTH_M = 0.045
"""What the hand holds reaches at most this far from the tcp, down or sideways, in m."""
OWN_SURFACE_TOLERANCE_M = 0.012
"""A point at most this far from the boxes around the arm's shapes, in m, belongs to the arm."""
SNAP_PIXELS = 3
"""A point at most this many pixels beside an object means the object."""
NEIGHBOUR_OFFSETS = np.mgrid[-SNAP_PIXELS : SNAP_PIXELS + 1, -SNAP_PIXELS : SNAP_PIXELS + 1].reshape(2, -1).T
NEIGHBOUR_OFFSETS = NEIGHBOUR_OFFSETS[np.argsort((NEIGHBOUR_OFFSETS**2).sum(axis=1), kind="stable")]
"""(K, 2) offsets (rows, columns) around a pixel, nearest first."""


def world_point(body: Body, at: ImagePoint) -> np.ndarray:
    """Returns the surface point (3,) in m, world frame, that is seen at an image point.

    On bare table, an object a few pixels away is preferred. Raises SkillFailure for a point that is not on the table.
    """
    view = _DepthView(body, at.camera)
    pixel = (np.minimum(np.array([at.v, at.u]), 1 - 1e-9) * DEPTH_IMAGE_SIZE).astype(int)
    around = pixel + NEIGHBOUR_OFFSETS
    rows, columns = around[((around >= 0) & (around < DEPTH_IMAGE_SIZE)).all(axis=1)].T
    points = view.points(rows * DEPTH_IMAGE_SIZE[1] + columns)  # nearest pixel first
    things = points[(points[:, 2] >= MIN_OBJECT_HEIGHT_M) & (points[:, 2] < MAX_OBJECT_TOP_M)]
    point = things[0] if points[0, 2] < MIN_OBJECT_HEIGHT_M and len(things) else points[0]
    on_table = (
        (point[:2] > VISIBLE_TABLE_M[0]).all()
        and (point[:2] < VISIBLE_TABLE_M[1]).all()
        and -0.02 < point[2] < MAX_OBJECT_TOP_M
    )
    if not on_table:
        raise SkillFailure("that point is not on the table")
    return point


@dataclass(frozen=True)
class HeightMap:
    """Everything that the overhead depth camera sees above the table.

    Attributes:
        points: (N, 3) in m, world frame.
        pixels: (N,) indices of the points in the flattened image, ascending.
    """

    points: np.ndarray
    pixels: np.ndarray

    def nearest(self, xy: np.ndarray, above: float, within: float) -> int | None:
        """Returns the index of the point nearest to ``xy`` (2,) that is higher than ``above``, or None if none is
        ``within`` m.
        """
        near = np.flatnonzero(in_square(self.points, xy, within) & (self.points[:, 2] > above))
        away = squared(self.points[near], xy)
        found = int(np.argmin(away)) if len(away) else -1
        return int(near[found]) if found >= 0 and away[found] <= within * within else None

    def grow(self, seed: int, above: float, within: float = 0.14) -> np.ndarray:
        """Returns the points (N, 3) higher than ``above`` that are connected to the seed and ``within`` m of it in x
        and y.
        """
        near = in_square(self.points, self.points[seed], within)
        allowed = np.flatnonzero((self.points[:, 2] > above) & near)
        return self.points[allowed[_connected(self.pixels[allowed], int(np.searchsorted(allowed, seed)))]]

    def around(self, xy: np.ndarray, radius: float) -> np.ndarray:
        """Returns the points (N, 3) inside a square around ``xy`` (2,) whose half side is ``radius`` m."""
        return self.points[np.flatnonzero(in_square(self.points, xy, radius))]

    def tallest(self, start: np.ndarray, end: np.ndarray, radius: float, above: float) -> float:
        """Returns the height in m of the highest point within ``radius`` of the line from ``start`` (2,) to ``end``
        (2,).

        The result is 0 if nothing there is higher than ``above``.
        """
        high = self.points[self.points[:, 2] > above]
        way, offset = end - start, high[:, :2] - start
        share = np.clip(offset @ way / max(float(way @ way), 1e-9), 0, 1)
        near = squared(offset - share[:, None] * way, np.zeros(2)) < radius * radius
        return float(high[near, 2].max(initial=0.0))


def look_down(body: Body) -> HeightMap:
    """Returns what the overhead camera sees now. The arm should be at home."""
    view = _DepthView(body, OVERHEAD_CAMERA)
    pixels = view.between(MIN_SURFACE_HEIGHT_M, MAX_OBJECT_TOP_M)
    points = view.points(pixels)
    (x, y), (low, high) = points.T[:2], VISIBLE_TABLE_M
    (inside,) = ((x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])).nonzero()
    inside = inside[~_on_arm(body, points[inside])]
    return HeightMap(points[inside], pixels[inside])


def _on_arm(body: Body, points: np.ndarray) -> np.ndarray:
    """(N,) bool: which points (N, 3) lie on the arm or in its hand. A small arm is in the picture even at home."""
    model, data, tcp = body.model, body.data, body.tcp_pos
    held = (points[:, 2] > tcp[2] - HELD_DEPTH_M) & in_square(points, tcp, HELD_DEPTH_M)
    radii = model.geom_rbound[body.arm_geoms]
    pos = data.geom_xpos[body.arm_geoms]
    low_enough = (pos[:, 2] - radii < MAX_OBJECT_TOP_M) & (pos[:, 0] + radii > VISIBLE_TABLE_M[0, 0])
    for geom in body.arm_geoms[low_enough]:
        local = (points - data.geom_xpos[geom]) @ data.geom_xmat[geom].reshape(3, 3)
        center, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:] + OWN_SURFACE_TOLERANCE_M
        held |= (np.abs(local - center) < half).all(axis=1)
    return held


class _DepthView:
    """The depth image of a camera, with the positions of its pixels in the world."""

    def __init__(self, body: Body, camera: str) -> None:
        self._depth = body.depth(camera, DEPTH_IMAGE_SIZE).ravel()
        self._pos, self._mat, self._fovy = body.camera_pose(camera)
        self._right, self._up = _ahead(self._fovy)

    def points(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the points (N, 3) in m that are seen at pixels (N,) of the flattened image."""
        rows, columns = np.divmod(pixels, DEPTH_IMAGE_SIZE[1])
        depth = np.minimum(self._depth[pixels], 1e3)
        ahead = np.stack([self._right[columns] * depth, self._up[rows] * depth, -depth])
        found = self._mat @ ahead
        found += self._pos[:, None]
        return found.T  # each coordinate is contiguous in memory, as callers read them

    def between(self, low: float, high: float) -> np.ndarray:
        """Returns the pixels (N,), ascending, of what lies between the heights ``low`` and ``high`` in m.

        The camera must be above. This costs a tenth of computing all ``points``.
        """
        near, far = _depths(float(self._pos[2]), tuple(self._mat[2].tolist()), self._fovy, low, high)
        return ((self._depth > near) & (self._depth < far)).nonzero()[0]


@lru_cache(maxsize=8)
def _ahead(fovy_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns where rays meet the plane one metre ahead, in m: right by column (W,), up by row (H,). See
    ``cameras.ray``.
    """
    tall, (height, width) = 2 * math.tan(math.radians(fovy_deg) / 2), DEPTH_IMAGE_SIZE
    right = ((np.arange(width) + 0.5) / width - 0.5) * tall * (width / height)
    return right, (0.5 - (np.arange(height) + 0.5) / height) * tall


@lru_cache(maxsize=8)
def _depths(
    camera_z: float, up: tuple[float, float, float], fovy_deg: float, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the depths at which each pixel's ray is at the heights ``high`` and ``low``, as (H * W,) float32 in m.

    ``camera_z`` is the height of the camera in m, ``up`` the world's z axis in its frame. Cached: cameras do not move.
    """
    right, ahead = _ahead(fovy_deg)
    rise = (right * up[0] - up[2])[None, :] + (ahead * up[1])[:, None]  # of a ray, in m per metre of depth
    down = np.minimum(rise, -1e-9).ravel()  # rays that point up never come down to the table
    return ((high - camera_z) / down).astype(np.float32), ((low - camera_z) / down).astype(np.float32)


def _connected(pixels: np.ndarray, seed: int, size: tuple[int, int] = DEPTH_IMAGE_SIZE) -> np.ndarray:
    """Returns a mask (N,) of the pixels (N,), ascending, that are connected to the seed by their sides.

    Fills whole runs of adjacent pixels, along rows and columns in turn, until nothing is added.
    """
    height, width = size
    rows, columns = np.divmod(pixels, width)
    order = columns.astype(np.uint16).argsort(kind="stable")  # column by column
    along_columns = np.empty(len(pixels), dtype=int)
    along_columns[order] = _runs((columns * (height + 1) + rows)[order])  # + 1: no run continues in the next column
    along_rows = _runs(pixels + rows)
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


def _runs(places: np.ndarray) -> np.ndarray:
    """Returns for each of the ascending numbers (N,) the index of the run of consecutive numbers it belongs to."""
    begins = np.ones(len(places), dtype=bool)
    begins[1:] = places[1:] - places[:-1] != 1
    return np.cumsum(begins)


def in_square(points: np.ndarray, xy: np.ndarray, radius: float) -> np.ndarray:
    """Returns a mask (N,) of the points (N, 3) inside a square, along x and y, around ``xy`` with half side ``radius``
    in m.
    """
    return (np.abs(points[:, 0] - xy[0]) < radius) & (np.abs(points[:, 1] - xy[1]) < radius)


def squared(points: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Returns the squared distances (N,) in x and y of points (N, 2 or 3) from ``xy`` (2,)."""
    x, y = points[:, 0] - xy[0], points[:, 1] - xy[1]
    return x * x + y * y
