"""Put down what the hand holds."""

from __future__ import annotations

import numpy as np

from qwenarm.body.held_object import HeldObject
from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion, SkillFailure
from qwenarm.skills.grasp import LOWEST_TCP_M
from qwenarm.skills.heightmap import look_down, world_point
from qwenarm.skills.motion import (
    CONTACT_SPEED_M_PER_S,
    above_all,
    either_way_round,
    follow,
    go_home,
    line_down,
    move_joints,
    set_fingers,
    touching,
)
from qwenarm.skills.placement import RELEASE_OPENING_M, choose_place_pose
from qwenarm.skills.skill import skill
from qwenarm.types import ImagePoint, SkillResult

SLOW_APPROACH_M = 0.02
"""Length of the slow last part of the way down, in m."""
PROBED_ABOVE_M, PROBED_BELOW_M = 0.04, 0.03
"""An object of which the hand does not know how far down it reaches may touch its support so much earlier or later than
expected, in m."""
RELEASE_HEIGHT_M = 0.001
"""Height above its support at which the object is released, in m."""


def place(body: Body, at: ImagePoint) -> Motion:
    """Put what the hand holds down at an image point: in a container, on an object, or on the table.

    at: the middle of the place
    """
    if not body.proprio().holding:
        raise SkillFailure("the hand is empty")
    point = world_point(body, at)
    yield from go_home(body)
    surface, width = look_down(body), body.gripper_width
    held = body.held_object or HeldObject(width, width / 2)
    landing = choose_place_pose(body, surface, point, held, width)
    down = np.array([*landing.xy, landing.release + held.below + RELEASE_HEIGHT_M])
    above, slow = above_all(body, surface, down, below=held.below), SLOW_APPROACH_M
    if held.is_estimate:
        down[2] = max(down[2] - PROBED_BELOW_M, LOWEST_TCP_M)
        slow = PROBED_ABOVE_M + PROBED_BELOW_M
    if any(held.offset):  # half a turn would put it elsewhere
        line = line_down(body, above, down, landing.yaw)
    else:
        line = either_way_round(lambda turn: line_down(body, above, down, landing.yaw + turn))
    slow_from = max(0.0, 1 - slow / line.length)
    yield from move_joints(body, line.start)
    yield from follow(body, line, 0.0, slow_from)
    low = yield from follow(body, line, slow_from, 1.0, CONTACT_SPEED_M_PER_S, stop=touching(body))
    if held.is_estimate:  # a wall that leans may have slid deeper between the fingers, and keeps them apart
        width = body.gripper_width
    yield from set_fingers(body, body.arm.gripper.around(width, RELEASE_OPENING_M))
    yield from follow(body, line, low, 0.0)
    body.held_object = None
    yield from move_joints(body, np.array(body.arm.home_qpos))
    yield from set_fingers(body, body.arm.max_gap, patience=4)
    return SkillResult(True)


SKILL = skill(place)
