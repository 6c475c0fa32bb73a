"""What the skills see for themselves: the depth image at the point that they are given, and the table's heights from overhead.

No colours, no names, no privileged state: this is the disclosed geometry that any depth camera would give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from qwenarm.body.cameras import pixel_grid, unproject
from qwenarm.skills._skill import Failed
from qwenarm.types import ImagePoint

if TYPE_CHECKING:
    from qwenarm.body.body import Body

SIZE = (240, 320)
"""(H, W) of the depth images."""
RAISED = 0.008
"""Higher than this above the table is an object, m."""
FLOOR = 0.003
"""Higher than this is at least the floor of a container, m."""
LIMITS = np.array([[0.20, -0.50, -0.02], [0.90, 0.50, 0.35]])
"""The part of the world in which things can be pointed at, lower and upper corner, m."""
SNAP = 0.03
"""How far beside a thing a point may lie and still mean it, m."""
TOP = 0.012
"""What is at most this much lower than a thing's top belongs to its top, m."""


def world_point(body: Body, at: ImagePoint) -> np.ndarray:
    """The 3-D point (3,) m under an image point, from the depth image of its camera. Raises Failed where that is not the table."""
    depth = body.frame(at.camera, SIZE, depth=True).depth_m
    assert depth is not None
    row = min(int(at.v * SIZE[0]), SIZE[0] - 1)
    column = min(int(at.u * SIZE[1]), SIZE[1] - 1)
    patch = depth[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    pos, mat, fovy = body.camera_pose(at.camera)
    metres = min(float(np.median(patch)), 1e3)
    point = unproject(np.array([at.u, at.v]), np.array(metres), pos, mat, fovy, SIZE[1] / SIZE[0])
    if not (LIMITS[0] < point).all() or not (point < LIMITS[1]).all():
        raise Failed("that point is not on the table")
    return point


@dataclass(frozen=True)
class HeightMap:
    """The table from overhead. xyz: (H, W, 3) world points, m."""

    xyz: np.ndarray

    @property
    def z(self) -> np.ndarray:
        return self.xyz[..., 2]

    @property
    def pixel(self) -> float:
        """Width of a pixel on the table, m."""
        return float(np.linalg.norm(self.xyz[0, 1, :2] - self.xyz[0, 0, :2]))

    def distance(self, xy: np.ndarray) -> np.ndarray:
        """(H, W) horizontal distances to xy (2,), m."""
        return np.hypot(self.xyz[..., 0] - xy[0], self.xyz[..., 1] - xy[1])

    def highest(self, mask: np.ndarray) -> float:
        """The greatest height in a mask, m; 0 if it is empty."""
        return float(self.z[mask].max()) if mask.any() else 0.0


def height_map(body: Body) -> HeightMap:
    """Looks down from overhead."""
    depth = body.frame("overhead", SIZE, depth=True).depth_m
    assert depth is not None
    pos, mat, fovy = body.camera_pose("overhead")
    finite = np.where(np.isfinite(depth), depth, 10.0)
    return HeightMap(unproject(pixel_grid(*SIZE), finite, pos, mat, fovy, SIZE[1] / SIZE[0]))


@dataclass(frozen=True)
class Top:
    """The upper face of a thing. center: (2,) m; z: m; size: (2,) extents along yaw and across it, m; round: no preferred yaw."""

    center: np.ndarray
    z: float
    yaw: float
    size: np.ndarray
    round: bool
    mask: np.ndarray


def top_at(heights: HeightMap, point: np.ndarray) -> Top | None:
    """The upper face of the raised thing at, or next to, a 3-D point; None if there is none within SNAP."""
    near = heights.distance(point[:2])
    candidates = (heights.z > max(RAISED, point[2] - 0.006)) & (near < SNAP)
    if not candidates.any():
        return None
    seed = np.unravel_index(np.argmin(np.where(candidates, near, np.inf)), near.shape)
    for _ in range(3):  # climb: a seed on a slope or a step leads to its top
        mask = _component(heights.z > heights.z[seed] - TOP, seed)
        mask &= heights.distance(heights.xyz[seed][:2]) < 0.12
        seed_top = np.unravel_index(np.argmax(np.where(mask, heights.z, -1)), mask.shape)
        if heights.z[seed_top] - heights.z[seed] < TOP / 2:
            break
        seed = seed_top
    z = float(np.percentile(heights.z[mask], 95))
    mask = _component(heights.z > z - TOP, seed)
    return _measure(heights, mask, z)


def _component(mask: np.ndarray, seed: tuple[np.intp, ...]) -> np.ndarray:
    labels, _ = ndimage.label(mask)
    return labels == labels[seed]


def _measure(heights: HeightMap, mask: np.ndarray, z: float) -> Top:
    """The smallest rectangle around the face."""
    points = heights.xyz[mask][:, :2]
    best: tuple[float, float, np.ndarray, np.ndarray] | None = None
    for yaw in np.radians(np.arange(0, 90, 3)):
        axes = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
        along = points @ axes.T
        low, high = along.min(0), along.max(0)
        size = high - low + heights.pixel
        area = float(size.prod())
        if best is None or area < best[0]:
            best = (area, float(yaw), size, (low + high) / 2 @ axes)
    assert best is not None
    area, yaw, size, center = best
    filled = len(points) * heights.pixel**2 / area
    return Top(center, z, yaw, size, filled < 0.87 and bool(size.max() < 1.15 * size.min()), mask)


def footprint(heights: HeightMap, point: np.ndarray) -> np.ndarray:
    """(H, W) mask of everything connected on the table around a point, container floors included; empty on the bare table."""
    near = np.where(heights.z > FLOOR, heights.distance(point[:2]), np.inf)
    if near.min() > 0.012:
        return np.zeros(near.shape, bool)
    return _component(heights.z > FLOOR, np.unravel_index(np.argmin(near), near.shape))
