"""Which of several arms on one table plays a skill."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from qwenarm.body.kinematics import top_down
from qwenarm.body.manipulator import Manipulator
from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Moves, SkillFailure
from qwenarm.skills.heightmap import world_point
from qwenarm.skills.motion import go_home
from qwenarm.types import ImagePoint

HAND_HEIGHT_M = 0.05
"""Height over a point at which an arm has to reach it, in m."""


def select_arm(body: Body, points: Collection[ImagePoint]) -> Moves:
    """Makes the arm active that reaches all points of a call best, once the other is at home.

    An arm that holds something stays active, and so does any if there are no points on the table.
    """
    if len(body.manipulators) == 1 or not points or body.proprio().holding:
        return
    try:
        places = [world_point(body, point) for point in points]
    except SkillFailure:
        return
    best = min(body.manipulators, key=lambda each: max(_effort(each, place) for place in places))
    if best is not body.active:
        yield from go_home(body)
        body.active = best


def _effort(arm: Manipulator, place: np.ndarray) -> float:
    """Returns the distance of a place (3,) from the foot of an arm, in m; infinite where the hand cannot come."""
    above = place + np.array([0.0, 0.0, HAND_HEIGHT_M])
    if not arm.ik(above, top_down(math.pi / 2)).reached:
        return math.inf
    return float(np.hypot(*(place[:2] - arm.data.xpos[arm.root, :2])))
