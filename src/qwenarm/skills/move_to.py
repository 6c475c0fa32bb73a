"""Hold the hand over a point."""

from __future__ import annotations

import math

import numpy as np

from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion
from qwenarm.skills.heightmap import world_point
from qwenarm.skills.motion import either_way_round, go_home, move_joints, reach
from qwenarm.skills.skill import skill
from qwenarm.types import ImagePoint, SkillResult

HOVER_HEIGHT_M = 0.12
"""Height of the tcp above what is at the point, in m."""


def move_to(body: Body, at: ImagePoint) -> Motion:
    """Hold the hand over an image point, 12 cm above what is there.

    at: the point
    """
    point = world_point(body, at)
    above = point + np.array([0, 0, HOVER_HEIGHT_M])
    qpos = either_way_round(lambda turn: reach(body, above, math.pi / 2 + turn))
    yield from go_home(body)
    yield from move_joints(body, qpos)
    return SkillResult(True)


SKILL = skill(move_to)
