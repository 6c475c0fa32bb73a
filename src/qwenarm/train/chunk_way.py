"""Where the hand goes in a demonstration of 20 Hz motions: the oracle's way, at a pace that can be learned.

The skills stop at waypoints in mid-air and return to a place in between. Neither pictures nor joint angles tell whether
the hand is about to stop or has just stopped, nor whether it is on its way up or down, so a learner of their timing
hovers. Here the pace depends on the place alone, and well above things the hand goes straight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from qwenarm.body.simulation import Body
from qwenarm.skills.motion import line_from
from qwenarm.types import Control

MAX_PACE_M, MIN_PACE_M, PACE_RISE = 0.015, 0.005, 0.15
"""How far the hand moves in a control period: at most; beside the place where the fingers close or open, or the way
ends; and how much more for each metre from there."""
CLEARANCE_M = 0.1
"""How far above both ends of its way the hand goes straight."""
ABOVE_M = 0.025
"""The hand is right above a place if it is no farther from it sideways."""
TURN_M_PER_RAD = 0.1
"""Turning by a radian counts as so many metres."""
FINGER_PERIODS = 8
"""The hand waits so long at most for its fingers."""
CLOSED_GAP_M, STILL_RAD = 1e-3, 1e-3
"""Fingers that are sent closer together close; joints that move less stand still."""


def finger_changes(way: Sequence[Control]) -> np.ndarray:
    """Returns the indices of the control periods before those in which the fingers begin to close or open."""
    closed = np.array([control.gripper < CLOSED_GAP_M for control in way])
    return np.flatnonzero(closed[1:] != closed[:-1])


def at_steady_pace(body: Body, way: Sequence[Control]) -> list[Control]:
    """Goes the way without its stops and detours, except where the fingers close or open.

    Args:
        body: For the arm's kinematics.
        way: A target for each control period.

    Returns:
        Targets on this way. How far apart they are depends on how near the next and the last place are at which
        the fingers close or open, or the way begins or ends.

    Raises:
        SkillFailure: The hand cannot go straight where it should.
    """
    paced, first, end = [way[0]], 0, len(way) - 1
    for last in [*finger_changes(way).tolist(), end]:
        begin = first + _waits(way, first)
        stretch = way[begin : last + 1]
        paced += way[first + 1 : begin + 1]
        paced += _paced(body, stretch if last == end else _without_detour(body, stretch, touches=first > 0))
        first = last
    return paced


def _without_detour(body: Body, way: Sequence[Control], touches: bool) -> list[Control]:
    """Goes straight where the hand is well above the end of its way, and if it ``touches`` something first, above its
    beginning, too: the skills return to a place in between. From right above the end it goes straight down.
    """
    poses = [body.kinematics.fk(control.qpos) for control in way]
    if not touches and np.linalg.norm((poses[0][0] - poses[-1][0])[:2]) < ABOVE_M:
        return [way[0], *_straight(body, way[0], *poses[-1])]
    heights = np.array([pos[2] for pos, _ in poses])
    low = max(heights[0], heights[-1]) if touches else heights[-1]
    high = np.flatnonzero(heights >= low + CLEARANCE_M)
    if len(high) < 2:
        return list(way)
    first, last = int(high[0]), int(high[-1])
    return [*way[: first + 1], *_straight(body, way[first], *poses[last]), *way[last + 1 :]]


def _straight(body: Body, start: Control, goal: np.ndarray, goal_quat: np.ndarray) -> list[Control]:
    """The straight way of the tcp from ``start`` (left out) to a pose, with still fingers. Raises SkillFailure."""
    line = line_from(body, start.qpos, goal, goal_quat)
    count = max(2, math.ceil(line.length / MAX_PACE_M))
    return [Control(qpos, start.gripper) for qpos in line.at(np.linspace(0, 1, count + 1)[1:])]


def with_miss(body: Body, way: Sequence[Control], shift: np.ndarray) -> list[Control]:
    """The same way, but the fingers first close beside the first thing that they should take.

    Args:
        body: For the arm's kinematics.
        way: A target for each control period; the fingers close at least once.
        shift: (3,) m, from where they should close to where they close first.

    Returns:
        Targets that miss, open the fingers, and go on from above both places.

    Raises:
        SkillFailure: The hand cannot go straight to the shifted place.
    """
    closing = int(finger_changes(way)[0])
    poses = [body.kinematics.fk(control.qpos) for control in way[: closing + 1]]
    place, quat = poses[-1]
    above = next(k for k in range(closing, -1, -1) if poses[k][0][2] > place[2] + CLEARANCE_M or not k)
    there = _straight(body, way[above], place + shift, quat)
    missed = [Control(there[-1].qpos, way[closing + 1].gripper)] * FINGER_PERIODS
    opened = [there[-1]] * FINGER_PERIODS
    up = _straight(body, there[-1], place + shift + [0, 0, 1.2 * CLEARANCE_M], quat)
    back = _straight(body, up[-1], *poses[above])
    return [*way[: above + 1], *there, *missed, *opened, *up, *back, *way[above + 1 :]]


def _waits(way: Sequence[Control], start: int) -> int:
    """Returns for how many control periods after ``start`` the arm stays where it is, while its fingers move."""
    moved = (k for k in range(start + 1, len(way)) if np.abs(way[k].qpos - way[start].qpos).max() > STILL_RAD)
    return min(next(moved, len(way)) - 1 - start, FINGER_PERIODS) if start else 0


def _paced(body: Body, way: Sequence[Control]) -> list[Control]:
    """One stretch of ``at_steady_pace``, without its first target."""
    places, turns = zip(*(body.kinematics.fk(control.qpos) for control in way), strict=True)
    turns = Rotation.from_quat(np.array(turns), scalar_first=True)
    shifts = np.linalg.norm(np.diff(np.array(places), axis=0), axis=1)
    lengths = np.maximum(shifts, TURN_M_PER_RAD * (turns[1:] * turns[:-1].inv()).magnitude())
    gone = np.concatenate([[0.0], lengths.cumsum()])
    qpos = np.array([control.qpos for control in way])
    found, here = list[Control](), 0.0
    while here < gone[-1]:
        here += min(MAX_PACE_M, MIN_PACE_M + PACE_RISE * min(here, gone[-1] - here))
        index = min(int(np.searchsorted(gone, here)), len(way) - 1)
        between = [np.interp(here, gone, qpos[:, joint]) for joint in range(qpos.shape[1])]
        found.append(Control(np.array(between), way[index].gripper))
    return found
