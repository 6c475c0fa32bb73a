"""Grasp a thing and lift it."""

from __future__ import annotations

import numpy as np

from qwenarm.body.body import Body
from qwenarm.body.kinematics import top_down
from qwenarm.skills._grasp import OPENING, Grasp, choose_grasps
from qwenarm.skills._motion import above_all, go_home, move_joints, move_line, reach, set_fingers
from qwenarm.skills._skill import Failed, Motion, skill
from qwenarm.skills._surface import Surface, look_down, world_point
from qwenarm.types import ImagePoint, SkillResult


def pick(body: Body, at: ImagePoint) -> Motion:
    """Grasp the object at an image point and lift it.

    at: the middle of the object
    """
    if body.proprio().holding:
        raise Failed("the hand already holds something")
    point = world_point(body, at)
    yield from go_home(body)
    surface = look_down(body)
    grasp, above, ready = _reachable(body, surface, choose_grasps(body, surface, point))
    yield from set_fingers(body, min(body.arm.max_gap, grasp.width + 2 * OPENING), patience=1)
    yield from move_joints(body, ready)
    yield from move_line(body, grasp.pos, top_down(grasp.yaw))
    yield from set_fingers(body, 0.0)
    caught = body.proprio().holding
    yield from move_line(body, above, top_down(grasp.yaw))
    yield from move_joints(body, np.array(body.arm.home_qpos))
    if body.proprio().holding:
        return SkillResult(True)
    yield from set_fingers(body, body.arm.max_gap)
    raise Failed("the object slipped out of the hand" if caught else "nothing between the fingers")


def _reachable(body: Body, surface: Surface, grasps: list[Grasp]) -> tuple[Grasp, np.ndarray, np.ndarray]:
    """The first grasp within reach, the point above it, and the joint angles there. Raises Failed if there is none."""
    failure = Failed("out of reach")
    for grasp in grasps:
        above = above_all(body, surface, grasp.pos)
        try:
            reach(body, grasp.pos, grasp.yaw)
            return grasp, above, reach(body, above, grasp.yaw)
        except Failed as reason:
            failure = reason
    raise failure


SKILL = skill(pick)
