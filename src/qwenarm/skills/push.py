"""Slide something over the table."""

from __future__ import annotations

import math

import numpy as np

from qwenarm.body.clearance import Boxes, measure
from qwenarm.body.kinematics import top_down
from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Failed, Motion
from qwenarm.skills.grasp import rectangle
from qwenarm.skills.heightmap import FLOOR, look_down, world_point
from qwenarm.skills.motion import (
    GENTLE,
    above_all,
    follow,
    go_home,
    line_down,
    line_from,
    move_joints,
    nearest_yaw,
    set_fingers,
)
from qwenarm.skills.skill import skill
from qwenarm.types import ImagePoint, SkillResult

LOW = 0.016
"""Height of the tcp while it pushes, m."""
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
    thing = surface.grow(seed, FLOOR)
    middle = rectangle(thing[:, :2]).center
    way = goal[:2] - middle
    if np.linalg.norm(way) < THERE:
        return SkillResult(True, "it is there already")
    direction = way / np.linalg.norm(way)
    hand = measure(body.kinematics)
    parts = hand.palm, hand.fingers(0.0, 0.0)
    behind = max(_behind(part, thing, middle, direction) for part in parts)
    first = np.array([*(middle - (behind + START) * direction), LOW])
    last = np.array([*(goal[:2] - behind * direction), LOW])
    yaw = float(nearest_yaw(math.atan2(direction[1], direction[0]) + math.pi / 2))
    if any(part.lowest(surface.points, first[:2], np.array([yaw]), LOW)[0] > LOW for part in parts):
        raise Failed("no room for the hand behind it")
    down = line_down(body, above_all(body, surface, first), first, yaw)
    along = line_from(body, down.end, last, top_down(yaw))
    yield from set_fingers(body, 0.0)
    yield from move_joints(body, down.start)
    yield from follow(body, down)
    yield from follow(body, along, speed=GENTLE)
    yield from go_home(body)
    yield from set_fingers(body, body.arm.max_gap)
    return SkillResult(True)


def _behind(part: Boxes, thing: np.ndarray, middle: np.ndarray, direction: np.ndarray) -> float:
    """How far behind the middle (2,) of a thing (N, 3) the tcp is when this part of the hand touches it, m."""
    back = (middle - thing[:, :2]) @ direction
    low_enough = thing[:, 2] > LOW + part.under[:, None]  # (B, N)
    front = np.maximum(part.upper[:, 0], -part.lower[:, 0])
    return float((np.where(low_enough, back, -np.inf).max(axis=1) + front).max())


SKILL = skill(push)
