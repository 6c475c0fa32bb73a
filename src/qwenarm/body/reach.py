"""Where on the table the hand of an arm reaches: scenes of an arm that does not reach everything are made there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.kinematics import Kinematics, top_down
from qwenarm.body.table_clearance import MIN_GEOM_HEIGHT_M, lowest_points, touching_geoms

STEP_M = 0.04
"""Distance between the points that are tried."""
GRID_X_M = tuple(float(x) for x in np.arange(0.34, 0.73, STEP_M).round(2))
GRID_Y_M = tuple(float(y) for y in np.arange(-0.32, 0.33, STEP_M).round(2))
"""A little more than the workspace."""
HEIGHTS_M = (0.012, 0.15)
"""Heights of the tcp: where it grasps what is flat, and where it arrives above what is tall."""
YAWS_RAD = tuple(np.arange(4) * np.pi / 4)
"""Directions in which the hand, pointing down, must be able to open: a grasp of any object is near to one of them."""
IK_RESTARTS = 2
"""Restarts of the search for joint angles. Each point's search begins where that of the one before ended, so that more
restarts find hardly anything."""


@dataclass(frozen=True)
class Reach:
    """The reached points of the grid, as (index in GRID_X_M, index in GRID_Y_M)."""

    points: frozenset[tuple[int, int]]

    def __contains__(self, place: tuple[float, float]) -> bool:
        """Whether all four grid points around a place (x, y), m, are reached."""
        i = int((place[0] - GRID_X_M[0]) // STEP_M)
        j = int((place[1] - GRID_Y_M[0]) // STEP_M)
        return all(corner in self.points for corner in ((i, j), (i + 1, j), (i, j + 1), (i + 1, j + 1)))


@cache
def reach_of(arm: Arm) -> Reach | None:
    """Where the arm reaches, measured once; None if it declares that it reaches all of the workspace."""
    return None if arm.reaches_workspace else measure_reach(arm)


@cache
def measure_reach(arm: Arm) -> Reach:
    """Tries every grid point at all heights and yaws: about a second. Of partners, all have to reach a point."""
    spec = mujoco.MjSpec()
    arm.build(spec)
    model = spec.compile()
    arms = [Kinematics(model, each) for each in (arm, *arm.partners)]
    places = [(i, j) for i in range(len(GRID_X_M)) for j in range(len(GRID_Y_M))]
    return Reach(
        frozenset((i, j) for i, j in places if all(hand_reaches(each, GRID_X_M[i], GRID_Y_M[j]) for each in arms))
    )


def hand_reaches(arm: Kinematics, x: float, y: float) -> bool:
    """Whether the hand comes to a place on the table, m, at all heights and yaws, with no part of the arm in the table.

    The fingers are alike: half a turn makes no difference.
    """
    geoms = touching_geoms(arm)
    q: np.ndarray | None = None
    for height in HEIGHTS_M:
        for yaw in YAWS_RAD:
            tries = (
                arm.ik(np.array([x, y, height]), top_down(turned), q, restarts=IK_RESTARTS)
                for turned in (yaw, yaw - np.pi)
            )
            found = next((each for each in tries if each.reached and _is_above_table(arm, geoms, each.qpos)), None)
            if found is None:
                return False
            q = found.qpos
    return True


def _is_above_table(arm: Kinematics, geoms: np.ndarray, qpos: np.ndarray) -> bool:
    """Whether the safety layer lets the arm stand at joint angles qpos (n,), rad, as far as the table goes."""
    arm.set(qpos)
    return bool(lowest_points(arm, geoms).min(initial=np.inf) >= MIN_GEOM_HEIGHT_M)
