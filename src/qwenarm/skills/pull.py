"""Pull an object by its knob, which opens or shuts a drawer."""

from __future__ import annotations

import numpy as np

from qwenarm.body.kinematics import top_down
from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion, SkillFailure
from qwenarm.skills.grasp import FINGER_CLEARANCE_M, choose_grasps, reachable
from qwenarm.skills.heightmap import look_down, world_point
from qwenarm.skills.motion import (
    ARRIVED_DISTANCE_M,
    follow,
    go_home,
    held_back,
    line_from,
    move_joints,
    set_fingers,
)
from qwenarm.skills.skill import skill
from qwenarm.types import ImagePoint, SkillResult

PULL_SPEED_M_PER_S = 0.06
"""Speed of the hand while it pulls, slow enough to stop in time when the drawer reaches its end, in m/s."""
MAX_PULL_LAG_M = 0.001
"""The hand stops once it lags this far behind its target, in m: the drawer has reached its end."""


def pull(body: Body, at: ImagePoint, to: ImagePoint) -> Motion:
    """Take hold of a knob or handle at one image point, draw it to another, and let go: opens and shuts a drawer.

    at: the knob
    to: where it should end up
    """
    if body.proprio().holding:
        raise SkillFailure("the hand already holds something")
    if not body.arm.gripper.has_fingers:
        raise SkillFailure("pulling takes fingers, and this hand has none")
    start, goal = world_point(body, at), world_point(body, to)
    yield from go_home(body)
    surface = look_down(body)
    grasp, down = reachable(body, surface, choose_grasps(body, surface, start))
    way = np.append(goal[:2] - grasp.pos[:2], 0.0)
    length = float(np.linalg.norm(way))
    if length < ARRIVED_DISTANCE_M:
        return SkillResult(True, "it is there already")
    along = line_from(body, down.end, grasp.pos + way, top_down(grasp.yaw))
    opened = body.arm.gripper.around(grasp.width, FINGER_CLEARANCE_M)
    yield from set_fingers(body, opened, patience=1)
    yield from move_joints(body, down.start)
    yield from follow(body, down)
    yield from set_fingers(body, 0.0)
    if not body.proprio().holding:
        yield from set_fingers(body, opened)
        raise SkillFailure(body.arm.gripper.empty)
    share = yield from follow(body, along, speed=PULL_SPEED_M_PER_S, stop=held_back(body, way / length, MAX_PULL_LAG_M))
    caught = body.gripper_width > grasp.width / 2
    yield from set_fingers(body, opened)
    yield from go_home(body)
    yield from set_fingers(body, body.arm.max_gap, patience=4)
    if not caught:
        raise SkillFailure("the knob slipped out of the hand")
    return SkillResult(True, "" if share == 1.0 else f"it goes no further: {100 * share * length:.0f} cm")


SKILL = skill(pull)
