"""Put down what the hand holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qwenarm.skills._grasp import resting_place, room
from qwenarm.skills._motion import GENTLE, go_home, move_joints, move_line, nearest_yaw, reach, set_fingers, wait
from qwenarm.skills._seeing import height_map, world_point
from qwenarm.skills._skill import Failed, Motion, skill
from qwenarm.types import ImagePoint, SkillResult

if TYPE_CHECKING:
    from qwenarm.body.body import Body

HANGS = (0.016, 0.032)
"""A held thing reaches this far below the tcp, m: at least, at most."""
ABOVE = 0.07
"""From this far over the place the hand comes straight down, m."""
OPENING = 0.022
"""The hand opens this much wider than what it held, m: free of it, but not into what stands beside."""
YAWS = np.radians([90, 60, 120, 30, 150, 0])
"""Directions of the opening to choose from, the easiest first."""


def place(body: Body, at: ImagePoint) -> Motion:
    """Put what the hand holds down at an image point: into a container, onto an object, or on the table.

    at: the middle of the place
    """
    if not body.proprio().holding:
        raise Failed("the hand is empty")
    point = world_point(body, at)
    yield from go_home(body)
    heights = height_map(body)
    width = body.gripper_width
    spot, surface = resting_place(heights, point, 0.7 * width)
    rooms = [room(heights, spot, yaw, width + OPENING) + 0.002 * i for i, yaw in enumerate(YAWS)]
    yaw = nearest_yaw(float(YAWS[int(np.argmin(rooms))]))
    above, near, down = (np.array([*spot, surface + h]) for h in (HANGS[1] + ABOVE, HANGS[1] + 0.004, HANGS[0]))
    ready = reach(body, above, yaw)
    reach(body, down, yaw, ready)
    yield from move_joints(body, ready)
    yield from move_line(body, near, yaw)
    yield from move_line(body, down, yaw, speed=GENTLE, guarded=True)
    yield from wait(body, 0.1)
    yield from set_fingers(body, min(body.arm.max_gap, width + OPENING))
    yield from move_line(body, above, yaw)
    yield from go_home(body)
    yield from set_fingers(body, body.arm.max_gap)
    if body.proprio().holding:
        raise Failed("it did not come off the hand")
    return SkillResult(True)


SKILL = skill(place)
