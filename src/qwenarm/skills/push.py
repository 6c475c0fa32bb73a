"""Slide something over the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qwenarm.skills._motion import GENTLE, go_home, move_joints, move_line, nearest_yaw, reach, set_fingers
from qwenarm.skills._seeing import height_map, top_at, world_point
from qwenarm.skills._skill import Failed, Motion, skill
from qwenarm.types import ImagePoint, SkillResult

if TYPE_CHECKING:
    from qwenarm.body.body import Body

LOW = 0.016
"""Height of the tcp while it pushes, m."""
ABOVE = np.array([0.0, 0.0, 0.12])
BEHIND = 0.032
"""The fingers come down this far behind the thing, m; half of a finger is 12 mm."""


def push(body: Body, at: ImagePoint, to: ImagePoint) -> Motion:
    """Push the object at one image point over the table to another.

    at: the middle of the object
    to: where its middle shall be
    """
    if body.proprio().holding:
        raise Failed("the hand already holds something")
    start, goal = world_point(body, at), world_point(body, to)
    yield from go_home(body)
    top = top_at(height_map(body), start)
    if top is None:
        raise Failed("nothing to push at that point")
    way = goal[:2] - top.center
    length = float(np.linalg.norm(way))
    if length < 0.01:
        return SkillResult(True, "it is there already")
    direction = way / length
    half = float(top.size.max()) / 2
    first = np.array([*(top.center - (half + BEHIND) * direction), LOW])
    last = np.array([*(goal[:2] - (half + 0.012) * direction), LOW])
    yaw = nearest_yaw(float(np.arctan2(direction[1], direction[0])) + np.pi / 2)
    ready = reach(body, first + ABOVE, yaw)
    for point in (first, last, last + ABOVE):
        reach(body, point, yaw)
    yield from set_fingers(body, 0.0)
    yield from move_joints(body, ready)
    yield from move_line(body, first, yaw)
    yield from move_line(body, last, yaw, speed=GENTLE)
    yield from move_line(body, last + ABOVE, yaw)
    yield from go_home(body)
    yield from set_fingers(body, body.arm.max_gap)
    return SkillResult(True)


SKILL = skill(push)
