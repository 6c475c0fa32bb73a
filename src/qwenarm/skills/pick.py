"""Grasp an object and lift it."""

from __future__ import annotations

import numpy as np

from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion, SkillFailure
from qwenarm.skills.grasp import FINGER_CLEARANCE_M, choose_grasps, measure_held_object, reachable
from qwenarm.skills.heightmap import look_down, world_point
from qwenarm.skills.motion import follow, go_home, move_joints, set_fingers
from qwenarm.skills.skill import skill
from qwenarm.types import ImagePoint, SkillResult


def pick(body: Body, at: ImagePoint) -> Motion:
    """Grasp the object at an image point and lift it.

    at: the middle of the object
    """
    if body.proprio().holding:
        raise SkillFailure("the hand already holds something")
    point = world_point(body, at)
    yield from go_home(body)
    surface = look_down(body)
    grasp, down = reachable(body, surface, choose_grasps(body, surface, point))
    yield from set_fingers(body, body.arm.gripper.around(grasp.width, FINGER_CLEARANCE_M), patience=1)
    yield from move_joints(body, down.start)
    yield from follow(body, down)
    yield from set_fingers(body, 0.0)
    caught = body.proprio().holding
    yield from follow(body, down, 1.0, 0.0)
    yield from move_joints(body, np.array(body.arm.home_qpos))
    if body.proprio().holding:
        body.held_object = measure_held_object(body, surface, grasp)
        return SkillResult(True)
    yield from set_fingers(body, body.arm.max_gap)
    raise SkillFailure("the object slipped out of the hand" if caught else body.arm.gripper.empty)


SKILL = skill(pick)
