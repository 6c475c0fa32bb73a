"""Chooses how to grasp an object, from the surface around a point."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from qwenarm.body.arms.parts import TIP_BEYOND_TCP_M
from qwenarm.body.clearance import UNDERSIDE_CLEARANCE_M, Hand, measure_hand
from qwenarm.body.grippers import SuctionCup
from qwenarm.body.held_object import HeldObject
from qwenarm.body.simulation import Body
from qwenarm.skills.cup_grasp import MAX_SAG_M, cup_contact
from qwenarm.skills.failure import SkillFailure
from qwenarm.skills.grasp_shapes import Rectangle, rectangle
from qwenarm.skills.heightmap import MIN_OBJECT_HEIGHT_M, HeightMap
from qwenarm.skills.motion import TcpLine, above_all, either_way_round, line_down, nearest_yaw
from qwenarm.skills.rim import Rim, find_rim

SNAP_DISTANCE_M = 0.025
"""Maximum distance between a point and the object that is meant by it, in m."""
LOWEST_TCP_M = TIP_BEYOND_TCP_M + UNDERSIDE_CLEARANCE_M
"""Height of the tcp above the table, in m, at which the fingers almost touch it."""
SLICE_DEPTHS_M = (0.020, 0.008)
"""Depths below its top, in m, to which an object is measured: deep enough for the full width of a ball, or else shallow
enough to leave out a neighbour that touches it."""
FINGER_CLEARANCE_M = 0.012
"""Free space between each finger and the object before it is grasped, in m."""
CONTOUR_TOLERANCE_M = 0.006
"""Points this close to the object's outline, in m, may belong to the object itself and are not obstacles."""
MIN_SPARE_OPENING_M = 0.006
"""Minimum difference between the widest opening of the fingers and the width of the object, in m."""
MIN_GRASP_DEPTH_M = 0.006
"""Minimum depth of the tcp below the top of an object, in m, so that the pads do not slip off."""
RIM_DEPTH_M, MIN_WALL_HEIGHT_M = 0.015, 0.015
"""Depth of the tcp below the rim of a hollow object that is held by its wall, and the wall's minimum height, in m."""
RIM_INSET_M = 0.004
"""Distance from the crest of a rim inwards to the middle of the wall between the pads, in m: walls lean outwards."""
WALL_OPENING_M, WALL_SLACK_M = 0.016, 0.010
"""Width for which the fingers open around a wall, and what belongs to the wall on each side of its middle, in m."""
RIM_DIRECTIONS = 24
"""Number of directions in which a rim is tried."""
ECCENTRIC_SHARES = (0.3, -0.3, 0.55, -0.55)
"""Shares of an object's half length by which a grasp is shifted where the hand has no room at its middle."""
BASE_RING_M, BASE_SECTORS = (0.004, 0.025), 16
"""What an object stands on is looked for at these distances from its outline, in m, in so many directions."""
MAX_HEIGHT_RATIO = 1.25
"""Maximum ratio of an object's height to its width."""
HAND_RADIUS_M = 0.13
"""Maximum horizontal distance from the tcp at which the hand may touch something, in m."""


@dataclass(frozen=True)
class Grasp:
    """A pose in which the hand, pointing down, can grasp an object.

    Attributes:
        pos: (3,) position of the tcp in m.
        yaw: Direction in which the fingers open, in rad.
        width: Width of the object between the fingers, in m.
        thing: The rectangle around the object, of which the fingers may hold a wall only.
    """

    pos: np.ndarray
    yaw: float
    width: float
    thing: Rectangle


def find_thing(surface: HeightMap, point: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the upper surface (N, 3) of the object at or next to a point (3,), and the height of its top, in m."""
    seed = surface.nearest(point[:2], max(MIN_OBJECT_HEIGHT_M, point[2] - 0.006), SNAP_DISTANCE_M)
    if seed is None:
        raise SkillFailure("nothing to grasp at that point")
    start = float(surface.points[seed, 2])
    blob = surface.grow(seed, start - 0.004, within=0.05)
    summit = blob[np.argmax(blob[:, 2])]
    top = float(summit[2])
    peak = surface.nearest(summit[:2], top - 1e-4, SNAP_DISTANCE_M)
    assert peak is not None
    for depth in SLICE_DEPTHS_M:
        region = surface.grow(peak, max(top - depth, MIN_OBJECT_HEIGHT_M / 2))
        if rectangle(region[:, :2]).sides.min() < 0.07:
            break
    return region, top


def choose_grasps(body: Body, surface: HeightMap, point: np.ndarray) -> list[Grasp]:
    """Returns the grasps of the object at a point (3,), best first: with room for the hand, and close to the yaw at
    home.
    """
    region, top = find_thing(surface, point)
    box = rectangle(region[:, :2])
    if isinstance(body.arm.gripper, SuctionCup):
        summit = rectangle(region[region[:, 2] > top - MAX_SAG_M, :2])  # without the side that the camera sees
        return _cup_grasps(body, body.arm.gripper, surface, replace(box, center=summit.center), top)
    options = [
        (box.yaw + np.array([0.0]), float(box.sides[0])),
        (box.yaw + np.array([math.pi / 2]), float(box.sides[1])),
    ]
    if box.round:
        options = [(np.arange(12) * math.pi / 12, float(box.sides.mean()))]
    fitting = [(yaws, width) for yaws, width in options if width < body.arm.max_gap - MIN_SPARE_OPENING_M]
    rim = find_rim(surface, point, MIN_WALL_HEIGHT_M) if not fitting and body.scene.has_any_shape else None
    if rim is not None and (grasps := _rim_grasps(body, surface, rim)):
        return grasps
    if not fitting:
        opens = round(100 * body.arm.max_gap)
        raise SkillFailure(f"too wide to grasp: {100 * box.sides.min():.0f} cm, and the fingers open {opens} cm")
    hand, around = measure_hand(body.kinematics), surface.around(box.center, HAND_RADIUS_M)
    try:
        return _with_room(hand, around, box.center, top, fitting, box)
    except SkillFailure:
        if not body.scene.has_any_shape or not (beside := _eccentric_grasps(hand, around, top, fitting, box)):
            raise
        return beside


def _cup_grasps(body: Body, cup: SuctionCup, surface: HeightMap, box: Rectangle, top: float) -> list[Grasp]:
    """Returns the grasps of an object by the middle of its top, along its sides, best first."""
    around = surface.around(box.center, HAND_RADIUS_M)
    height = cup_contact(around, box.center, cup.lip_radius)
    taller = around[around[:, 2] > top + UNDERSIDE_CLEARANCE_M]
    yaws = nearest_yaw(box.yaw + np.arange(2) * math.pi / 2)
    lowest = measure_hand(body.kinematics).palm.lowest(taller, box.center, yaws, height)
    pos, width = np.array([*box.center, height]), float(box.sides.max())
    grasps = [Grasp(pos, float(yaw), width, box) for yaw, low in zip(yaws, lowest, strict=True) if low <= height]
    if not grasps:
        raise SkillFailure("no room for the hand: something taller stands beside it")
    return sorted(grasps, key=lambda g: abs(g.yaw - math.pi / 2))


def _eccentric_grasps(
    hand: Hand, around: np.ndarray, top: float, options: list[tuple[np.ndarray, float]], box: Rectangle
) -> list[Grasp]:
    """Returns the grasps beside the middle of an object that has no room for the hand at its middle, nearest first."""
    grasps = []
    for share in ECCENTRIC_SHARES:
        for yaws, width in options:
            length = float(box.sides[0] + box.sides[1]) - width
            across = np.array([-math.sin(yaws[0]), math.cos(yaws[0])])
            with suppress(SkillFailure):
                grasps += _with_room(hand, around, box.center + share / 2 * length * across, top, [(yaws, width)], box)
    return grasps


def _rim_grasps(body: Body, surface: HeightMap, rim: Rim) -> list[Grasp]:
    """Returns the grasps of the wall of an object that is too wide, with one finger inside it, best first."""
    hand, grasps = measure_hand(body.kinematics), []
    parts = hand.palm, hand.fingers(2 * WALL_SLACK_M, WALL_OPENING_M + 2 * FINGER_CLEARANCE_M)
    around = surface.around(rim.center, HAND_RADIUS_M + rim.radius)
    lowest = max(rim.top - RIM_DEPTH_M, LOWEST_TCP_M)
    for angle in np.arange(RIM_DIRECTIONS) * (2 * math.pi / RIM_DIRECTIONS):
        at = rim.center + (rim.radius - RIM_INSET_M) * np.array([math.cos(angle), math.sin(angle)])
        yaw = float(nearest_yaw(angle))
        height = max(float(part.lowest(around, at, np.array([yaw]), lowest)[0]) for part in parts)
        if height < rim.top - MIN_GRASP_DEPTH_M:
            grasps.append(Grasp(np.array([*at, height]), yaw, WALL_OPENING_M, rim.rectangle))
    return sorted(grasps, key=lambda g: (round(g.pos[2], 3), abs(g.yaw - math.pi / 2)))


def measure_held_object(body: Body, surface: HeightMap, grasp: Grasp) -> HeldObject | None:
    """Returns how the hand will hold an object after a grasp, from the surface before it.

    Returns None where the width between the fingers says enough, because objects are about as high as wide.
    """
    if not body.scene.has_any_shape:
        return None if body.arm.gripper.has_fingers else _measure_under_cup(grasp)
    offset = grasp.thing.center - grasp.pos[:2]
    cos, sin = math.cos(grasp.yaw), math.sin(grasp.yaw)
    by_wall = math.hypot(*offset) > grasp.width
    width = float(grasp.thing.sides.max()) if by_wall else grasp.width
    below = max(float(grasp.pos[2]) - _base_height(surface, grasp.thing), TIP_BEYOND_TCP_M)
    return HeldObject(width, below, (float(offset @ (cos, sin)), float(offset @ (-sin, cos))), is_estimate=True)


def _measure_under_cup(grasp: Grasp) -> HeldObject:
    """Returns how a cup holds an object that is about as high as wide: what is much higher stands on something."""
    height = float(grasp.pos[2])
    return HeldObject(grasp.width, height if height < MAX_HEIGHT_RATIO * grasp.width else grasp.width)


def _base_height(surface: HeightMap, thing: Rectangle) -> float:
    """Returns the height in m of what an object stands on: the median in all directions of what is beside it."""
    points = surface.around(thing.center, float(thing.sides.max()) / 2 + BASE_RING_M[1])
    offsets = points[:, :2] - thing.center
    beyond = np.hypot(*offsets.T) - thing.sides.max() / 2
    ring = (beyond > BASE_RING_M[0]) & (beyond < BASE_RING_M[1])
    sectors = (np.arctan2(offsets[ring, 1], offsets[ring, 0]) / (2 * math.pi) * BASE_SECTORS).astype(int) % BASE_SECTORS
    heights = np.zeros(BASE_SECTORS)
    np.maximum.at(heights, sectors, points[ring, 2])
    return float(np.median(heights))


def _with_room(
    hand: Hand,
    around: np.ndarray,
    center: np.ndarray,
    top: float,
    options: list[tuple[np.ndarray, float]],
    thing: Rectangle,
) -> list[Grasp]:
    """Returns the grasps at which the open hand gets low enough, best first, from (yaws (K,), object width) options.

    A yaw is turned by half a turn only if that gives more room: the back of the hand differs a little from its front.
    """
    grasps, reason = [], "no room for the fingers beside it"
    for yaws, width in options:
        near = nearest_yaw(yaws)
        both = np.stack([near, near - np.copysign(math.pi, near - math.pi / 2)])  # (2, K)
        lowest = max(top - width / 2, LOWEST_TCP_M)
        by_fingers = hand.fingers(width + 2 * CONTOUR_TOLERANCE_M, width + 2 * FINGER_CLEARANCE_M).lowest(
            around, center, both.ravel(), lowest
        )
        by_palm = hand.palm.lowest(around, center, both.ravel(), lowest)
        heights = np.maximum(by_fingers, by_palm).reshape(both.shape)
        turned = (heights[1] < heights[0] - UNDERSIDE_CLEARANCE_M).astype(int)
        for k, way in enumerate(turned):
            if heights[way, k] < top - MIN_GRASP_DEPTH_M:
                grasps.append(Grasp(np.array([*center, heights[way, k]]), float(both[way, k]), width, thing))
        if by_fingers.min() < top - MIN_GRASP_DEPTH_M:
            reason = "no room for the hand: something taller stands beside it"
    if not grasps:
        raise SkillFailure(reason)
    return sorted(grasps, key=lambda g: (round(g.pos[2], 3), abs(g.yaw - math.pi / 2)))


def reachable(body: Body, surface: HeightMap, grasps: list[Grasp]) -> tuple[Grasp, TcpLine]:
    """Returns the first grasp within reach and the line on which the hand descends to it, turned if it must be.

    Raises SkillFailure if none is.
    """
    return either_way_round(lambda turn: _reachable(body, surface, [replace(g, yaw=g.yaw + turn) for g in grasps]))


def _reachable(body: Body, surface: HeightMap, grasps: list[Grasp]) -> tuple[Grasp, TcpLine]:
    failure = SkillFailure("out of reach")
    for grasp in grasps:
        try:
            return grasp, line_down(body, above_all(body, surface, grasp.pos), grasp.pos, grasp.yaw)
        except SkillFailure as reason:
            failure = reason
    raise failure
