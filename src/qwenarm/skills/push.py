"""Slide something over the table."""

from __future__ import annotations

import math

import numpy as np

from qwenarm.body.body import Body
from qwenarm.body.kinematics import top_down
from qwenarm.skills._grasp import rectangle
from qwenarm.skills._landing import FLOOR
from qwenarm.skills._motion import GENTLE, go_home, move_joints, move_line, nearest_yaw, reach, set_fingers
from qwenarm.skills._skill import Failed, Motion, skill
from qwenarm.skills._surface import look_down, world_point
from qwenarm.types import ImagePoint, SkillResult

LOW = 0.016
"""Height of the tcp while it pushes, m."""
ABOVE = np.array([0.0, 0.0, 0.12])
"""From there it comes down, and so far it rises afterwards, m."""
FINGERS = 0.012
"""Half the thickness of the closed fingers in the direction of the push, m."""
START = 0.020
"""Free way before the thing is met, m."""
THERE = 0.01
"""Nearer than this, in m, is there already."""
SNAP = 0.025
"""A thing this near to a point is meant by it, m."""


def push(body: Body, at: ImagePoint, to: ImagePoint) -> Motion:
    """Push the object at one image point over the table to another.

    at: the middle of the object
    to: where its middle shall be
    """
    if body.proprio().holding:
        raise Failed("the hand already holds something")
    start, goal = world_point(body, at), world_point(body, to)
    yield from go_home(body)
    surface = look_down(body)
    seed = surface.nearest(start[:2], FLOOR, SNAP)
    if seed is None:
        raise Failed("nothing to push at that point")
    thing = surface.grow(seed, FLOOR)[:, :2]
    middle = rectangle(thing).center
    way = goal[:2] - middle
    if np.linalg.norm(way) < THERE:
        return SkillResult(True, "it is there already")
    direction = way / np.linalg.norm(way)
    behind = float(((thing - middle) @ -direction).max()) + FINGERS
    first = np.array([*(middle - (behind + START) * direction), LOW])
    last = np.array([*(goal[:2] - behind * direction), LOW])
    yaw = nearest_yaw(body, math.atan2(direction[1], direction[0]) + math.pi / 2)
    yield from _sweep(body, first, last, yaw)
    return SkillResult(True)


def _sweep(body: Body, first: np.ndarray, last: np.ndarray, yaw: float) -> Motion:
    """Down at first (3,), along to last (3,), up and home. Raises Failed before it moves if an end is out of reach."""
    reach(body, last, yaw)
    reach(body, first, yaw)
    yield from set_fingers(body, 0.0)
    yield from move_joints(body, reach(body, first + ABOVE, yaw))
    yield from move_line(body, first, top_down(yaw))
    yield from move_line(body, last, top_down(yaw), GENTLE)
    yield from move_line(body, last + ABOVE, top_down(yaw))
    yield from go_home(body)
    yield from set_fingers(body, body.arm.max_gap)
    return SkillResult(True)


SKILL = skill(push)
