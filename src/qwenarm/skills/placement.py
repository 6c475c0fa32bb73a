"""Chooses where to put down what the hand holds, from the surface around a point."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qwenarm.body.clearance import Boxes, measure_hand
from qwenarm.body.held_object import HeldObject
from qwenarm.body.simulation import Body
from qwenarm.skills.grasp import HAND_RADIUS_M
from qwenarm.skills.grasp_shapes import rectangle
from qwenarm.skills.heightmap import MIN_OBJECT_HEIGHT_M, MIN_SURFACE_HEIGHT_M, HeightMap, in_square, squared
from qwenarm.skills.motion import nearest_yaw
from qwenarm.skills.rim import Rim, find_rim

MIN_CONTAINER_WIDTH_M = 0.09
"""An object that is wider than this in both directions, in m, is a container."""
ROUND_RIM_M, SQUARE_RIM_M = 0.014, 0.008
"""Distance from the outer rim of a container to the edge of its floor, in m; round containers lean outwards."""
SUPPORT_SNAP_M = 0.012
"""A point on the table that is closer than this to an object, in m, means the object."""
MAX_SHIFT_M = 0.06
"""Maximum distance by which a place on the table is moved to find free space, in m."""
RELEASE_OPENING_M = 0.006
"""Distance that each finger opens to let go, in m; small, because the walls of a container are close."""
OBJECT_CLEARANCE_M = 0.003
"""Free space around the object that is put down, in m."""
CORNER_WAYS, SIDE_WAYS = ((1, 1), (-1, 1), (-1, -1), (1, -1)), ((1, 0), (0, 1), (-1, 0), (0, -1))
TIPPING_COST_M = 0.05
"""Cost of a support that leaves the whole object hanging over, in m of height."""
MIN_RIM_HEIGHT_M = 0.006
"""Minimum height of a plate's rim above its middle, in m."""
FLAT_RADIUS_M, MAX_EDGE_HEIGHT_M = 0.03, 0.04
"""The distance within which a surface is flat or not, and how much higher it may be further out, in m."""
ECCENTRIC_YAWS = 12
"""Number of yaws that are tried for an object that is held by its rim."""
ECCENTRIC_REACH_COST = 0.1
"""Cost of a hand that is further from the robot, in m of height per m."""
LEVEL_TOLERANCE_M = 0.004
"""Heights that differ by less than this, in m, count as level."""


@dataclass(frozen=True)
class PlacePose:
    """Where and how an object is put down.

    Attributes:
        xy: (2,) position of the tcp, in m.
        support: Height of the surface it will stand on, in m.
        release: Height of its underside when the hand opens, in m, at which the hand touches nothing.
        yaw: Direction in which the fingers open, in rad.
    """

    xy: np.ndarray
    support: float
    release: float
    yaw: float


@dataclass(frozen=True)
class Candidate:
    """A possible place.

    Attributes:
        xy: (2,) in m.
        yaws: Directions in which the fingers may open, in rad.
        loss: Cost of the place apart from its height, in m of height.
    """

    xy: np.ndarray
    yaws: tuple[float, ...]
    loss: float


@dataclass(frozen=True)
class Candidates:
    """All possible places, their middle (2,), their maximum distance from it, and the minimum height of their floor, in
    m.
    """

    spots: list[Candidate]
    center: np.ndarray
    radius: float = 0.0
    floor: float = 0.0


def choose_place_pose(body: Body, surface: HeightMap, point: np.ndarray, held: HeldObject, gap: float) -> PlacePose:
    """Returns the best place near a point (3,) for a held object: low, level, and with room for the hand.

    ``gap`` is the distance between the fingers in m.
    """
    width = held.width
    rim = find_rim(surface, point, MIN_RIM_HEIGHT_M) if body.scene.has_any_shape else None
    if rim is None and body.scene.has_any_shape and _is_flat(surface, point):
        field = Candidates(list(_on_table(point)), point[:2], MAX_SHIFT_M)
    else:
        field = _candidates(surface, point, width, rim)
    around = surface.around(field.center, field.radius + HAND_RADIUS_M + math.hypot(*held.offset))
    hand = measure_hand(body.kinematics)
    parts = hand.parts(gap, gap + 2 * RELEASE_OPENING_M)
    lowest = held.below + min(float(part.under.min()) for part in parts) - OBJECT_CLEARANCE_M
    high = around[around[:, 2] > lowest]  # what a hand could touch with the object on the table
    best, least = None, math.inf
    for spot in sorted(field.spots, key=lambda spot: spot.loss):
        if spot.loss + _height_cost(field.floor, field.floor) >= least:
            break  # neither this one nor a later one can be better
        under = around[squared(around, spot.xy) < (0.45 * width) ** 2, 2]
        support = float(under.max(initial=0.0))
        loss = spot.loss
        if support > field.floor + MIN_OBJECT_HEIGHT_M:  # on other objects it must not tip over
            loss += TIPPING_COST_M * float(np.mean(under < support - LEVEL_TOLERANCE_M))
        if loss + _height_cost(support, support) >= least:
            continue
        landing = _place_pose(parts, high, spot, support, held)
        cost = loss + _height_cost(support, landing.release)
        if cost < least:
            best, least = landing, cost
    assert best is not None
    return best


def _height_cost(support: float, release: float) -> float:
    return round(support / LEVEL_TOLERANCE_M) * LEVEL_TOLERANCE_M + release


def _is_flat(surface: HeightMap, point: np.ndarray) -> bool:
    """Returns whether a point (3,) is on top of something wide and flat, such as a stove, and not in a container."""
    around = surface.around(point[:2], FLAT_RADIUS_M)[:, 2]
    seed = surface.nearest(point[:2], MIN_SURFACE_HEIGHT_M, SUPPORT_SNAP_M)
    if seed is None or np.mean(np.abs(around - point[2]) < LEVEL_TOLERANCE_M) < 0.5:
        return False
    connected = surface.grow(seed, MIN_SURFACE_HEIGHT_M, within=MIN_CONTAINER_WIDTH_M)
    return bool(np.percentile(connected[:, 2], 95) < point[2] + MAX_EDGE_HEIGHT_M)


def _candidates(surface: HeightMap, point: np.ndarray, width: float, rim: Rim | None) -> Candidates:
    """Returns possible places in the container, on the block or on the table at the point."""
    seed = surface.nearest(point[:2], MIN_SURFACE_HEIGHT_M, SUPPORT_SNAP_M)
    if seed is None:
        return Candidates(list(_on_table(point)), point[:2], MAX_SHIFT_M)
    whole = surface.grow(seed, MIN_SURFACE_HEIGHT_M)
    box = rectangle(whole[:, :2])
    if rim is not None:
        whole, box = surface.around(rim.center, rim.radius), rim.rectangle
    if box.sides.min() > MIN_CONTAINER_WIDTH_M:
        inner = float(box.sides.min()) / 2 - (ROUND_RIM_M if box.round else SQUARE_RIM_M)
        room = max(0.0, inner - width / 2 - OBJECT_CLEARANCE_M)
        content = whole[in_square(whole, box.center, inner) & (whole[:, 2] > 0.03)]
        spots = list(_in_container(box.center, box.yaw, room, box.round, content))
        return Candidates(spots, box.center, room, floor=float(whole[:, 2].min()))
    top_seed = surface.nearest(point[:2], max(MIN_OBJECT_HEIGHT_M, point[2] - 0.006), 2 * SUPPORT_SNAP_M)
    top_seed = seed if top_seed is None else top_seed
    top = surface.grow(top_seed, float(surface.points[top_seed, 2]) - 0.004, within=0.05)
    peak = float(np.percentile(top[:, 2], 95))
    face = rectangle(top[top[:, 2] > peak - 0.006][:, :2])
    yaws = (face.yaw, face.yaw + math.pi / 2) if not face.round else (math.pi / 2, 0.0)
    return Candidates([Candidate(face.center, yaws, 0.0)], face.center)


def _on_table(point: np.ndarray) -> Iterator[Candidate]:
    """Yields the point itself, then points around it."""
    for distance in np.arange(0.0, MAX_SHIFT_M + 0.001, 0.015):
        for angle in np.linspace(0, 2 * math.pi, max(1, round(distance / 0.0025)), endpoint=False):
            shift = distance * np.array([math.cos(angle), math.sin(angle)])
            yield Candidate(point[:2] + shift, (math.pi / 2, math.pi / 4, 3 * math.pi / 4, 0.0), 0.3 * distance)


def _in_container(
    center: np.ndarray, yaw: float, room: float, is_round: bool, content: np.ndarray
) -> Iterator[Candidate]:
    """Yields places along the wall, which leaves room for more, preferring those next to what is already inside."""
    if is_round:
        angles = np.linspace(0, 2 * math.pi, 12, endpoint=False)
        ring = [np.array([math.cos(a), math.sin(a)]) for a in angles]
    else:
        c, s = math.cos(yaw), math.sin(yaw)
        turn = np.array([[c, -s], [s, c]])
        ring = [turn @ np.array(way) for way in CORNER_WAYS + SIDE_WAYS]
    yaws = tuple(yaw + k * math.pi / (6 if is_round else 2) for k in range(6 if is_round else 2))
    for share in (1.0, 0.5, 0.0):
        for direction in ring if share else ring[:1]:
            xy = center + share * room * direction
            nearness = math.sqrt(squared(content, xy).min()) if len(content) else 0.0
            toward_robot = 0.002 * float(direction[0])
            yield Candidate(xy, yaws, 0.02 * (1 - share) + 0.1 * nearness + toward_robot)


def _place_pose(
    parts: tuple[Boxes, ...], high: np.ndarray, spot: Candidate, support: float, held: HeldObject
) -> PlacePose:
    """Returns the pose at the yaw at which the hand gets lowest. ``high`` (N, 3) are the points that the hand could
    touch.
    """
    if any(held.offset):
        return _eccentric_place_pose(parts, high, spot, support, held)
    yaws = nearest_yaw(np.array(spot.yaws))
    height = np.max([part.lowest(high, spot.xy, yaws, support + held.below) for part in parts], axis=0)
    best = int(np.argmin(height))
    return PlacePose(spot.xy, support, float(height[best]) - held.below, float(yaws[best]))


def _eccentric_place_pose(
    parts: tuple[Boxes, ...], high: np.ndarray, spot: Candidate, support: float, held: HeldObject
) -> PlacePose:
    """Like ``_place_pose``, for an object beside whose middle the hand is: of round ones the yaw does not matter."""
    best, lowest = None, math.inf
    for yaw in nearest_yaw(np.arange(ECCENTRIC_YAWS) * (math.pi / ECCENTRIC_YAWS)):
        cos, sin = math.cos(yaw), math.sin(yaw)
        xy = spot.xy - np.array([[cos, -sin], [sin, cos]]) @ held.offset
        height = max(float(part.lowest(high, xy, np.array([yaw]), support + held.below)[0]) for part in parts)
        cost = height + ECCENTRIC_REACH_COST * float(np.hypot(*xy))
        if cost < lowest:
            best, lowest = PlacePose(xy, support, height - held.below, float(yaw)), cost
    assert best is not None
    return best
