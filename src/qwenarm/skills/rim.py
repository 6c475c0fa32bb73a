"""Finds the round rim of a bowl or plate in the height map, even where other objects touch it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qwenarm.skills.grasp_shapes import Rectangle
from qwenarm.skills.heightmap import HeightMap

SEARCH_RADIUS_M, START_OFFSET_M = 0.16, 0.04
"""Rims are looked for within this distance of a point, from the point itself and from places so far around it, in m."""
SECTORS, RADIAL_STEP_M, RADIAL_STEPS = 24, 0.006, 16
"""Directions and distances in which the surface around a start is measured."""
MIDDLE_RADIUS_M = 0.015
"""The surface this close to a start, in m, is the floor inside the rim."""
PLATEAU_TOLERANCE_M, MIN_DROP_M = 0.001, 0.003
"""A rim ends where the surface behind it is lower than this, in m; on the way up it may sink by the first."""
FIT_TOLERANCE_M, MIN_SHARE = 0.006, 0.5
"""Maximum distance of a rim's points from the circle, in m, and the minimum share of directions that show one."""
RADII_M = (0.030, 0.095)
"""Smallest and largest radius of a rim, in m."""


@dataclass(frozen=True)
class Rim:
    """A round rim.

    Attributes:
        center: (2,) in m.
        radius: In m.
        top: Its height, in m.
        directions: Number of directions, of SECTORS, that show it.
    """

    center: np.ndarray
    radius: float
    top: float
    directions: int

    @property
    def rectangle(self) -> Rectangle:
        """The rectangle around it."""
        return Rectangle(self.center, 0.0, np.full(2, 2 * self.radius), True)


def find_rim(surface: HeightMap, point: np.ndarray, min_rise: float) -> Rim | None:
    """Returns the rim around a point (3,) that is at least ``min_rise`` m higher than the floor inside, or None."""
    near = surface.around(point[:2], SEARCH_RADIUS_M)
    angles = np.arange(8) * (math.pi / 4)
    around = point[:2] + START_OFFSET_M * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rims = [rim for start in (point[:2], *around) if (rim := _fit(near, start, min_rise))]
    if not rims:
        return None
    best = max(rims, key=lambda rim: rim.directions)
    return _fit(near, best.center, min_rise) or best


def _fit(points: np.ndarray, start: np.ndarray, min_rise: float) -> Rim | None:
    """Returns the circle through the first crest in each direction from a start (2,), if there is one."""
    crests = _crests(points, start, min_rise)
    for _ in range(2):  # the second time without outliers
        if len(crests) < MIN_SHARE * SECTORS:
            return None
        x, y = crests[:, 0], crests[:, 1]
        system = np.stack([2 * x, 2 * y, np.ones(len(x))], axis=1)
        a, b, c = np.linalg.lstsq(system, x * x + y * y, rcond=None)[0]
        center, radius = np.array([a, b]), math.sqrt(max(0.0, c + a * a + b * b))
        away = np.abs(np.hypot(x - a, y - b) - radius)
        level = np.abs(crests[:, 2] - np.median(crests[:, 2])) < 2 * FIT_TOLERANCE_M
        crests = crests[(away < FIT_TOLERANCE_M) & level]
    if len(crests) < MIN_SHARE * SECTORS or not RADII_M[0] < radius < RADII_M[1]:
        return None
    return Rim(center, radius, float(np.median(crests[:, 2])), len(crests))


def _crests(points: np.ndarray, start: np.ndarray, min_rise: float) -> np.ndarray:
    """Returns the points (K, 3) at which the surface, seen from a start (2,), first rises and then drops."""
    offsets = points[:, :2] - start
    step = (np.hypot(*offsets.T) / RADIAL_STEP_M).astype(int)
    sector = (np.arctan2(offsets[:, 1], offsets[:, 0]) / (2 * math.pi) * SECTORS).astype(int) % SECTORS
    heights, inside = np.zeros((SECTORS, RADIAL_STEPS + 1)), step < RADIAL_STEPS
    np.maximum.at(heights, (sector[inside], step[inside]), points[inside, 2])
    middle = points[step < MIDDLE_RADIUS_M / RADIAL_STEP_M, 2]
    least = (float(np.median(middle)) if len(middle) else 0.0) + min_rise
    found = []
    for s, row in enumerate(heights.tolist()):
        k = next((k for k, height in enumerate(row) if height > least), RADIAL_STEPS)
        while k < RADIAL_STEPS and row[k + 1] >= row[k] - PLATEAU_TOLERANCE_M:
            k += 1
        if k < RADIAL_STEPS and row[k + 1] < row[k] - MIN_DROP_M:
            crest = points[(sector == s) & (step == k) & (points[:, 2] > row[k] - PLATEAU_TOLERANCE_M)]
            found.append(crest.mean(axis=0))
    return np.array(found).reshape(-1, 3)
