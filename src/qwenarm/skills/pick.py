"""Grasp a thing and lift it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qwenarm.skills._grasp import grasp_height, grasp_yaw
from qwenarm.skills._motion import FAST, GENTLE, go_home, move_joints, move_line, nearest_yaw, reach, set_fingers
from qwenarm.skills._seeing import height_map, top_at, world_point
from qwenarm.skills._skill import Failed, Motion, skill
from qwenarm.types import ImagePoint, SkillResult

if TYPE_CHECKING:
    from qwenarm.body.body import Body

ABOVE = 0.07
"""From this far over a thing the hand comes straight down, m."""


def pick(body: Body, at: ImagePoint) -> Motion:
    """Grasp the object at an image point and lift it.

    at: the middle of the object
    """
    if body.proprio().holding:
        raise Failed("the hand already holds something")
    point = world_point(body, at)
    yield from go_home(body)
    heights = height_map(body)
    top = top_at(heights, point)
    if top is None:
        raise Failed("nothing to grasp at that point")
    gap = body.arm.max_gap
    if top.size.min() > gap - 0.006:
        raise Failed(f"too wide to grasp, {100 * top.size.min():.0f} cm: the fingers open {100 * gap:.0f} cm")
    yaw = nearest_yaw(grasp_yaw(heights, top, gap))
    down = np.array([*top.center, grasp_height(heights, top)])
    above = np.array([*top.center, top.z + ABOVE])
    ready = reach(body, above, yaw)
    reach(body, down, yaw, ready)
    yield from set_fingers(body, gap)
    yield from move_joints(body, ready)
    yield from move_line(body, down, yaw)
    yield from set_fingers(body, 0.0)
    caught = body.proprio().holding
    yield from move_line(body, above, yaw, speed=2 * GENTLE if caught else FAST)
    yield from go_home(body)
    if body.proprio().holding:
        return SkillResult(True)
    yield from set_fingers(body, gap)
    raise Failed("the object slipped out of the hand" if caught else "nothing between the fingers")


SKILL = skill(pick)
