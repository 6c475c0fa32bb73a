"""Where to take hold of a thing, from the heights around a point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qwenarm.body.arms._arm import PAD_TIP
from qwenarm.body.body import Body
from qwenarm.skills._motion import nearest_yaw
from qwenarm.skills._skill import Failed
from qwenarm.skills._surface import RAISED, Surface

SNAP = 0.025
"""A thing this near to a point is meant by it, m."""
SLICES = (0.020, 0.008)
"""How much of a thing below its top is measured, m: deep for a ball's width, shallow if that runs into a neighbour."""
ROUND = 1.3
"""A shape whose bounding rectangle varies less than this with its direction is round (a square: 2)."""
FINGER_HALF_WIDTH, FINGER_THICKNESS = 0.012, 0.017
"""The room that a finger takes at its tip, across and along the opening, m."""
OPENING = 0.012
"""Free space between each finger and the thing before it is grasped, m."""
OWN = 0.006
"""What is seen this near beside the thing may be the thing itself, m."""
SPARE = 0.006
"""The fingers must open this much wider than the thing, m."""


@dataclass(frozen=True)
class Rectangle:
    """The smallest one around points seen from above. center (2,) m; yaw: of its first side, rad; sides (2,) m."""

    center: np.ndarray
    yaw: float
    sides: np.ndarray
    round: bool


@dataclass(frozen=True)
class Grasp:
    """A hand pointing down. pos (3,) m of the tcp; yaw: in which it opens, rad; width: of the thing, m."""

    pos: np.ndarray
    yaw: float
    width: float


def rectangle(points: np.ndarray) -> Rectangle:
    """The rectangle of least area around points (N, 2), of all directions in steps of one degree."""
    yaws = np.radians(np.arange(0, 90))
    along = points @ np.stack([np.cos(yaws), np.sin(yaws)])  # (N, 90)
    across = points @ np.stack([-np.sin(yaws), np.cos(yaws)])
    sides = np.stack([np.ptp(along, axis=0), np.ptp(across, axis=0)])
    area = sides.prod(axis=0)
    best = int(np.argmin(area))
    middle = [(along[:, best].min() + along[:, best].max()) / 2, (across[:, best].min() + across[:, best].max()) / 2]
    c, s = math.cos(yaws[best]), math.sin(yaws[best])
    center = np.array([c * middle[0] - s * middle[1], s * middle[0] + c * middle[1]])
    return Rectangle(center, float(yaws[best]), sides[:, best], bool(area.max() < ROUND * max(area[best], 1e-9)))


def find_thing(surface: Surface, point: np.ndarray) -> tuple[np.ndarray, float]:
    """The upper surface (N, 3) m and the top's height of what stands at or next to a point (3,). Raises Failed."""
    seed = surface.nearest(point[:2], max(RAISED, point[2] - 0.006), SNAP)
    if seed is None:
        raise Failed("nothing to grasp at that point")
    start = float(surface.height[seed])
    blob = surface.grow(seed, start - 0.004, within=0.05)
    summit = blob[np.argmax(blob[:, 2])]
    top = float(summit[2])
    peak = surface.nearest(summit[:2], top - 1e-4, SNAP)
    assert peak is not None
    for depth in SLICES:
        region = surface.grow(peak, max(top - depth, RAISED / 2))
        if rectangle(region[:, :2]).sides.min() < 0.07:
            break
    return region, top


def choose_grasps(body: Body, surface: Surface, point: np.ndarray) -> list[Grasp]:
    """Grasps of the thing at a point, best first: with room for the fingers, and near to how the hand is at home."""
    region, top = find_thing(surface, point)
    box = rectangle(region[:, :2])
    options: list[tuple[float, float]] = [(box.yaw, float(box.sides[0])), (box.yaw + math.pi / 2, float(box.sides[1]))]
    if box.round:
        options = [(k * math.pi / 12, float(box.sides.mean())) for k in range(12)]
    fitting = [(yaw, width) for yaw, width in options if width < body.arm.max_gap - SPARE]
    if not fitting:
        opens = round(100 * body.arm.max_gap)
        raise Failed(f"too wide to grasp: {100 * box.sides.min():.0f} cm, and the fingers open {opens} cm")
    around = surface.around(box.center, 0.09)
    grasps = []
    for yaw, width in fitting:
        lowest = max(top - width / 2, PAD_TIP + 0.003)
        side = width / 2
        free = blocked_to(around, box.center, yaw, side + OWN, side + OPENING + FINGER_THICKNESS) + PAD_TIP + 0.003
        grasps.append(Grasp(np.array([*box.center, max(lowest, free)]), nearest_yaw(body, yaw), width))
    graspable = [grasp for grasp in grasps if grasp.pos[2] < top - 0.006]
    if not graspable:
        raise Failed("no room for the fingers beside it")
    return sorted(graspable, key=lambda g: (round(g.pos[2], 3), abs(g.yaw - math.pi / 2)))


def blocked_to(around: np.ndarray, center: np.ndarray, yaw: float, start: float, end: float) -> float:
    """Height of the highest thing where the fingers go, m: from start to end m beside the center, on both sides."""
    axes = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    along, across = np.abs((around[:, :2] - center) @ axes).T
    in_finger = (along > start) & (along < end) & (across < FINGER_HALF_WIDTH)
    return float(np.max(around[:, 2], where=in_finger, initial=0.0))
