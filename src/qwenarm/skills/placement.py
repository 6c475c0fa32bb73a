"""Where to put down what the hand holds, from the heights around a point."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qwenarm.body.clearance import Boxes, measure
from qwenarm.body.simulation import Body
from qwenarm.skills.grasp import ROOM, rectangle
from qwenarm.skills.heightmap import FLOOR, RAISED, Surface, in_square, squared
from qwenarm.skills.motion import nearest_yaw

CONTAINER = 0.09
"""Things that are wider than this both ways are containers, m."""
WALL_ROUND, WALL_SQUARE = 0.014, 0.008
"""From the outer rim of a container to where its floor begins, m; round ones lean outwards."""
NEAR = 0.012
"""A point on the table this near to a thing means the thing, m."""
EVASION = 0.06
"""How far a place on the table may be shifted to be free, m."""
RELEASE = 0.006
"""How far each finger opens to let go, m: no more, because of the walls of containers."""
SPARE = 0.003
"""Room kept around the thing, m."""
CORNERS, SIDES = ((1, 1), (-1, 1), (-1, -1), (1, -1)), ((1, 0), (0, 1), (-1, 0), (0, -1))
TIPPING = 0.05
"""What it costs to stand on something with nothing below, m of height."""
LEVEL = 0.004
"""Heights that differ by less are level, m."""


@dataclass(frozen=True)
class Landing:
    """Where the thing shall come to rest. xy (2,) m; support: height of what it will stand on, m.

    release: the height of its underside when the hand opens, m, so that the hand touches nothing. yaw: in which
    the hand opens, rad.
    """

    xy: np.ndarray
    support: float
    release: float
    yaw: float


@dataclass(frozen=True)
class Spot:
    """A candidate. loss: what speaks against it for itself, in m of height."""

    xy: np.ndarray
    yaws: tuple[float, ...]
    loss: float


@dataclass(frozen=True)
class Spots:
    """All candidates: their middle (2,), how far they are from it, m, and the least height that they stand at, m."""

    spots: list[Spot]
    center: np.ndarray
    radius: float = 0.0
    floor: float = 0.0


def choose_landing(body: Body, surface: Surface, point: np.ndarray, width: float) -> Landing:
    """The best place at a point (3,) for a thing of this width: low, level, with room for the hand."""
    field = _spots(surface, point, width)
    around = surface.around(field.center, field.radius + ROOM)
    hand = measure(body.kinematics)
    parts = hand.palm, hand.fingers(width, width + 2 * RELEASE)
    lowest = width / 2 + min(float(part.under.min()) for part in parts) - SPARE
    high = around[around[:, 2] > lowest]  # what a hand could meet that holds the thing on the table
    best, least = None, math.inf
    for spot in sorted(field.spots, key=lambda spot: spot.loss):
        if spot.loss + _height_cost(field.floor, field.floor) >= least:
            break  # this one and all that follow
        under = around[squared(around, spot.xy) < (0.45 * width) ** 2, 2]
        support = float(under.max(initial=0.0))
        loss = spot.loss
        if support > field.floor + RAISED:  # on other things: where it does not tip over
            loss += TIPPING * float(np.mean(under < support - LEVEL))
        if loss + _height_cost(support, support) >= least:
            continue
        landing = _land(parts, high, spot, support, width)
        cost = loss + _height_cost(support, landing.release)
        if cost < least:
            best, least = landing, cost
    assert best is not None
    return best


def _height_cost(support: float, release: float) -> float:
    return round(support / LEVEL) * LEVEL + release


def _spots(surface: Surface, point: np.ndarray, width: float) -> Spots:
    """Candidates in a container, on a block, or on the table."""
    seed = surface.nearest(point[:2], FLOOR, NEAR)
    if seed is None:
        return Spots(list(_on_table(point)), point[:2], EVASION)
    whole = surface.grow(seed, FLOOR)
    box = rectangle(whole[:, :2])
    if box.sides.min() > CONTAINER:
        inner = float(box.sides.min()) / 2 - (WALL_ROUND if box.round else WALL_SQUARE)
        room = max(0.0, inner - width / 2 - SPARE)
        content = whole[in_square(whole, box.center, inner) & (whole[:, 2] > 0.03)]
        spots = list(_in_container(box.center, box.yaw, room, box.round, content))
        return Spots(spots, box.center, room, floor=float(whole[:, 2].min()))
    top_seed = surface.nearest(point[:2], max(RAISED, point[2] - 0.006), 2 * NEAR)
    top_seed = seed if top_seed is None else top_seed
    top = surface.grow(top_seed, float(surface.points[top_seed, 2]) - 0.004, within=0.05)
    peak = float(np.percentile(top[:, 2], 95))
    face = rectangle(top[top[:, 2] > peak - 0.006][:, :2])
    yaws = (face.yaw, face.yaw + math.pi / 2) if not face.round else (math.pi / 2, 0.0)
    return Spots([Spot(face.center, yaws, 0.0)], face.center)


def _on_table(point: np.ndarray) -> Iterator[Spot]:
    """The point itself, then others around it."""
    for distance in np.arange(0.0, EVASION + 0.001, 0.015):
        for angle in np.linspace(0, 2 * math.pi, max(1, round(distance / 0.0025)), endpoint=False):
            shift = distance * np.array([math.cos(angle), math.sin(angle)])
            yield Spot(point[:2] + shift, (math.pi / 2, math.pi / 4, 3 * math.pi / 4, 0.0), 0.3 * distance)


def _in_container(center: np.ndarray, yaw: float, room: float, is_round: bool, content: np.ndarray) -> Iterator[Spot]:
    """Places along the wall, so that there is room for more; if something is there already, next to it."""
    if is_round:
        angles = np.linspace(0, 2 * math.pi, 12, endpoint=False)
        ring = [np.array([math.cos(a), math.sin(a)]) for a in angles]
    else:
        c, s = math.cos(yaw), math.sin(yaw)
        turn = np.array([[c, -s], [s, c]])
        ring = [turn @ np.array(way) for way in CORNERS + SIDES]
    yaws = tuple(yaw + k * math.pi / (6 if is_round else 2) for k in range(6 if is_round else 2))
    for share in (1.0, 0.5, 0.0):
        for direction in ring if share else ring[:1]:
            xy = center + share * room * direction
            nearness = math.sqrt(squared(content, xy).min()) if len(content) else 0.0
            toward_robot = 0.002 * float(direction[0])
            yield Spot(xy, yaws, 0.02 * (1 - share) + 0.1 * nearness + toward_robot)


def _land(parts: tuple[Boxes, ...], high: np.ndarray, spot: Spot, support: float, width: float) -> Landing:
    """The landing there at the yaw that lets the hand come lowest. high: the points around that it could meet."""
    # The pads hold the thing at mid-height.
    yaws = nearest_yaw(np.array(spot.yaws))
    height = np.maximum(*(part.lowest(high, spot.xy, yaws, support + width / 2) for part in parts))
    best = int(np.argmin(height))
    return Landing(spot.xy, support, float(height[best]) - width / 2, float(yaws[best]))
