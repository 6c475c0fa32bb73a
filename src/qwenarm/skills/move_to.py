"""Bring the hand over a point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qwenarm.skills._motion import move_joints, reach, wait
from qwenarm.skills._seeing import world_point
from qwenarm.skills._skill import Motion, skill
from qwenarm.types import ImagePoint, SkillResult

if TYPE_CHECKING:
    from qwenarm.body.body import Body

HEIGHT = 0.12
"""Of the tcp over what is at the point, m."""


def move_to(body: Body, at: ImagePoint) -> Motion:
    """Hold the hand over an image point, 12 cm above what is there.

    at: the point
    """
    goal = world_point(body, at) + np.array([0.0, 0.0, HEIGHT])
    yield from move_joints(body, reach(body, goal, np.pi / 2))
    yield from wait(body, 0.1)
    return SkillResult(True)


SKILL = skill(move_to)
