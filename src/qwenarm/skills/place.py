"""Put down what the hand holds."""

from __future__ import annotations

import numpy as np

from qwenarm.body.body import Body
from qwenarm.body.kinematics import top_down
from qwenarm.skills._landing import RELEASE, choose_landing
from qwenarm.skills._motion import (
    GENTLE,
    above_all,
    go_home,
    move_joints,
    move_line,
    nearest_yaw,
    reach,
    set_fingers,
    touching,
)
from qwenarm.skills._skill import Failed, Motion, skill
from qwenarm.skills._surface import look_down, world_point
from qwenarm.types import ImagePoint, SkillResult

APPROACH = 0.02
"""The last part of the way down is gentle, m."""
HOVER = 0.001
"""The thing is let go this much above what carries it, m."""


def place(body: Body, at: ImagePoint) -> Motion:
    """Put what the hand holds down at an image point: in a container, on an object, or on the table.

    at: the middle of the place
    """
    if not body.proprio().holding:
        raise Failed("the hand is empty")
    point = world_point(body, at)
    yield from go_home(body)
    surface, width = look_down(body), body.gripper_width
    landing = choose_landing(surface, point, width)
    yaw = nearest_yaw(body, landing.yaw)
    down = np.array([*landing.xy, landing.release + width / 2 + HOVER])
    reach(body, down, yaw)
    above = above_all(body, surface, down, below=width / 2)
    yield from move_joints(body, reach(body, above, yaw))
    yield from move_line(body, down + np.array([0, 0, APPROACH]), top_down(yaw))
    yield from move_line(body, down, top_down(yaw), GENTLE, stop=touching(body))
    yield from set_fingers(body, min(body.arm.max_gap, width + 2 * RELEASE))
    yield from move_line(body, above, top_down(yaw))
    yield from move_joints(body, np.array(body.arm.home_qpos))
    yield from set_fingers(body, body.arm.max_gap, patience=4)
    return SkillResult(True)


SKILL = skill(place)
