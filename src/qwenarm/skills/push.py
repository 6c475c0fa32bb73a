"""Slide an object over the table."""

from __future__ import annotations

import math

import numpy as np

from qwenarm.body.clearance import Boxes, measure_hand
from qwenarm.body.kinematics import top_down
from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion, SkillFailure
from qwenarm.skills.grasp import SNAP_DISTANCE_M
from qwenarm.skills.grasp_shapes import rectangle
from qwenarm.skills.heightmap import MIN_SURFACE_HEIGHT_M, look_down, world_point
from qwenarm.skills.motion import (
    ARRIVED_DISTANCE_M,
    CONTACT_SPEED_M_PER_S,
    TcpLine,
    above_all,
    either_way_round,
    follow,
    go_home,
    line_down,
    line_from,
    move_joints,
    nearest_yaw,
    set_fingers,
)
from qwenarm.skills.skill import skill
from qwenarm.types import ImagePoint, SkillResult

PUSH_HEIGHT_M = 0.016
"""Height of the tcp while it pushes, in m."""
FREE_RUN_M = 0.020
"""Distance from which the hand approaches the object, in m."""


def push(body: Body, at: ImagePoint, to: ImagePoint) -> Motion:
    """Push the object at one image point over the table to another.

    at: the middle of the object
    to: where its middle should end up
    """
    if body.proprio().holding:
        raise SkillFailure("the hand already holds something")
    start, goal = world_point(body, at), world_point(body, to)
    yield from go_home(body)
    surface = look_down(body)
    seed = surface.nearest(start[:2], MIN_SURFACE_HEIGHT_M, SNAP_DISTANCE_M)
    if seed is None:
        raise SkillFailure("nothing to push at that point")
    thing = surface.grow(seed, MIN_SURFACE_HEIGHT_M)
    middle = rectangle(thing[:, :2]).center
    way = goal[:2] - middle
    if np.linalg.norm(way) < ARRIVED_DISTANCE_M:
        return SkillResult(True, "it is there already")
    direction = way / np.linalg.norm(way)
    hand = measure_hand(body.kinematics)
    slim = body.arm.gripper.slimmest
    parts = hand.parts(slim, slim)
    behind = max(_behind(part, thing, middle, direction) for part in parts)
    first = np.array([*(middle - (behind + FREE_RUN_M) * direction), PUSH_HEIGHT_M])
    last = np.array([*(goal[:2] - behind * direction), PUSH_HEIGHT_M])
    yaw = float(nearest_yaw(math.atan2(direction[1], direction[0]) + math.pi / 2))
    if any(part.lowest(surface.points, first[:2], np.array([yaw]), PUSH_HEIGHT_M)[0] > PUSH_HEIGHT_M for part in parts):
        raise SkillFailure("no room for the hand behind it")
    above = above_all(body, surface, first)

    def lines(turn: float) -> tuple[TcpLine, TcpLine]:
        down = line_down(body, above, first, yaw + turn)
        return down, line_from(body, down.end, last, top_down(yaw + turn))

    down, along = either_way_round(lines)
    yield from set_fingers(body, slim)
    yield from move_joints(body, down.start)
    yield from follow(body, down)
    yield from follow(body, along, speed=CONTACT_SPEED_M_PER_S)
    yield from go_home(body)
    yield from set_fingers(body, body.arm.max_gap)
    return SkillResult(True)


def _behind(part: Boxes, thing: np.ndarray, middle: np.ndarray, direction: np.ndarray) -> float:
    """Returns how far behind the middle (2,) of an object (N, 3) the tcp is when this part of the hand touches it, in
    m.
    """
    back = (middle - thing[:, :2]) @ direction
    low_enough = thing[:, 2] > PUSH_HEIGHT_M + part.under[:, None]  # (B, N)
    front = np.maximum(part.upper[:, 0], -part.lower[:, 0])
    return float((np.where(low_enough, back, -np.inf).max(axis=1) + front).max())


SKILL = skill(push)
