"""Rectangles around points that are seen from above."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ROUND_AREA_RATIO = 1.3
"""An object is round if the areas of its bounding rectangles in all directions differ by less than this factor (2 for a
square)."""
ANGLES_RAD = np.radians(np.arange(180))
UNIT_DIRECTIONS = np.stack([np.cos(ANGLES_RAD), np.sin(ANGLES_RAD)], axis=1).astype(np.float32)
"""(180, 2) unit vectors, one per degree."""
OCTAGON_DIRECTIONS = np.stack([np.cos(np.arange(8) * math.pi / 4), np.sin(np.arange(8) * math.pi / 4)], axis=1).astype(
    np.float32
)
"""(8, 2) unit vectors, anticlockwise."""


@dataclass(frozen=True)
class Rectangle:
    """The smallest rectangle around a set of points seen from above.

    Attributes:
        center: (2,) in m.
        yaw: Direction of the first side, in rad.
        sides: (2,) lengths in m.
        round: Whether the points fill a circle rather than a rectangle.
    """

    center: np.ndarray
    yaw: float
    sides: np.ndarray
    round: bool


def rectangle(points: np.ndarray) -> Rectangle:
    """Returns the rectangle of least area around points (N, 2), trying directions in steps of one degree."""
    along = UNIT_DIRECTIONS @ outermost(points).T  # (180, N)
    low, high = along.min(axis=1).astype(float), along.max(axis=1).astype(float)
    sides = (high - low).reshape(2, 90)  # the second row across the first
    area = sides.prod(axis=0)
    best = int(np.argmin(area))
    first, second = best, best + 90
    center = (UNIT_DIRECTIONS[[first, second]] * (low + high)[[first, second], None] / 2).sum(axis=0)
    is_round = bool(area.max() < ROUND_AREA_RATIO * max(area[best], 1e-9))
    return Rectangle(center, math.radians(best), sides[:, best], is_round)


def outermost(points: np.ndarray) -> np.ndarray:
    """Returns those of the points (N, 2) that may be corners of their convex hull, as float32.

    Points inside the octagon that the outermost points in eight directions span are left out (Akl and Toussaint,
    Information Processing Letters 7(5), 1978).
    """
    points = points.astype(np.float32)
    columns = points.T.copy()
    corners = points[(OCTAGON_DIRECTIONS @ columns).argmax(axis=1)]
    edges = np.roll(corners, -1, axis=0) - corners
    outward = np.stack([edges[:, 1], -edges[:, 0]], axis=1)[edges.any(axis=1)]
    if not len(outward):  # a single point
        return points
    beyond = outward @ columns - (outward @ corners.T).max(axis=1)[:, None]
    return points[beyond.max(axis=0) > -1e-6 * np.abs(edges).max()]
