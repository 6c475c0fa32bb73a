"""Where to put the fingers, and where to put what they hold."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from qwenarm.skills._seeing import HeightMap, Top, footprint, top_at

BELOW_TOP = 0.0225
"""The fingers grasp this far below the top of a thing, m: half of 45 mm."""
PAD = 0.0105
"""The tcp stays at least this high above what the thing stands on, m: finger tips reach 8.6 mm lower."""
FINGER_OUT, FINGER_WIDE = 0.012, 0.016
"""Half the room that one finger takes, along the opening and across, m."""
PAD_DEPTH = 0.008
"""From the pad's face to the middle of the finger, m."""
SOLID = 0.070
"""A top smaller than this in both directions is a thing that can carry another; a larger one is a container, m."""
CONTAINER_AREA = 0.09**2
"""Something connected that covers more than this is a container, m2."""
WALL_AWAY = 0.040
"""What is put into a container goes at least this far from its outline, m."""


def grasp_yaw(heights: HeightMap, top: Top, gap: float) -> float:
    """The direction along which to close, rad: across a flat pair of sides, where the fingers find most room."""
    if top.round:
        candidates = np.radians(np.arange(0, 180, 15))
    else:
        candidates = np.array([top.yaw, top.yaw + np.pi / 2])
        if top.size.min() < gap - 0.008 < top.size.max():
            candidates = candidates[[int(np.argmin(top.size))]]
    costs = [room(heights, top.center, yaw, gap, top.mask) + 1e-3 * abs(np.cos(yaw)) for yaw in candidates]
    return float(candidates[int(np.argmin(costs))])


def room(heights: HeightMap, center: np.ndarray, yaw: float, gap: float, ignore: np.ndarray | None = None) -> float:
    """The greatest height under the two fingers when they are ``gap`` apart, m; ``ignore`` (H, W) is what they go around."""
    axis = np.array([np.cos(yaw), np.sin(yaw)])
    offset = heights.xyz[..., :2] - center
    along, across = np.abs(offset @ axis), np.abs(offset @ np.array([-axis[1], axis[0]]))
    under = (np.abs(along - gap / 2 - PAD_DEPTH) < FINGER_OUT) & (across < FINGER_WIDE)
    return heights.highest(under if ignore is None else under & ~ignore)


def grasp_height(heights: HeightMap, top: Top) -> float:
    """Height of the tcp, m: half way down the thing, but no deeper than the floor beside it allows."""
    ring = ndimage.binary_dilation(top.mask, iterations=8) & ~ndimage.binary_dilation(top.mask, iterations=4)
    floor = float(np.percentile(heights.z[ring], 20)) if ring.any() else 0.0
    return max(top.z - BELOW_TOP, max(floor, 0.0) + PAD)


def resting_place(heights: HeightMap, point: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """Where to let go of a thing of this radius (m) that shall go to a 3-D point: xy (2,), and the height there.

    On a block: the middle of its top. In a container: the emptiest spot near its middle. On the bare table: the point itself.
    """
    ground = footprint(heights, point)
    in_container = ground.sum() * heights.pixel**2 > CONTAINER_AREA
    top = top_at(heights, point)
    if top is not None and top.size.max() < SOLID and not (in_container and point[2] < top.z - 0.03):
        return top.center, top.z
    if in_container:
        return _emptiest(heights, ground, point, radius)
    return point[:2], max(0.0, heights.highest(heights.distance(point[:2]) < radius))


def _emptiest(heights: HeightMap, ground: np.ndarray, point: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """The lowest spot of a container's inside, near its middle where there are several."""
    inner = ndimage.distance_transform_edt(np.pad(ground, 1))[1:-1, 1:-1] * heights.pixel
    spots = np.argwhere((inner >= min(WALL_AWAY, inner.max())) & (heights.distance(point[:2]) < 0.10))
    size = 2 * round(radius / heights.pixel) + 1
    disc = np.hypot(*np.meshgrid(*[np.arange(size) - size // 2] * 2)) <= size / 2
    covered = ndimage.maximum_filter(heights.z, footprint=disc)[tuple(spots.T)]
    xy = heights.xyz[tuple(spots.T)][:, :2]
    away = np.hypot(*(xy - heights.xyz[ground][:, :2].mean(0)).T)
    best = int(np.argmin(covered + 0.15 * away))
    return xy[best], float(covered[best])
