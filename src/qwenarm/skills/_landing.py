"""Where to put down what the hand holds, from the heights around a point."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qwenarm.body.arms._arm import PAD_TIP
from qwenarm.skills._grasp import FINGER_THICKNESS, blocked_to, rectangle
from qwenarm.skills._surface import RAISED, Surface

FLOOR = 0.003
"""Higher than this above the table begins a container's floor, m."""
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
LEVEL = 0.004
"""Heights that differ by less are level, m."""


@dataclass(frozen=True)
class Landing:
    """Where the thing shall come to rest. xy (2,) m; support: height of what it will stand on, m.

    release: the height of its underside when the hand opens, m, so that the fingers touch nothing. yaw: its, rad.
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


def choose_landing(surface: Surface, point: np.ndarray, width: float) -> Landing:
    """The best place at a point (3,) for a thing of this width: low, level, with room for the fingers."""
    spots, center, radius = _spots(surface, point, width)
    around = surface.around(center, radius + 0.10)
    landings = [(landing, spot.loss) for spot in spots for landing in _landings(around, spot, width)]
    best, _ = min(landings, key=lambda pair: round(pair[0].support / LEVEL) * LEVEL + pair[0].release + pair[1])
    return best


def _spots(surface: Surface, point: np.ndarray, width: float) -> tuple[list[Spot], np.ndarray, float]:
    """Candidates, their middle (2,) and how far they are from it, m: in a container, on a block, or on the table."""
    seed = surface.nearest(point[:2], FLOOR, NEAR)
    if seed is None:
        return list(_on_table(point)), point[:2], EVASION
    whole = surface.grow(seed, FLOOR)
    box = rectangle(whole[:, :2])
    if box.sides.min() > CONTAINER:
        inner = float(box.sides.min()) / 2 - (WALL_ROUND if box.round else WALL_SQUARE)
        room = max(0.0, inner - width / 2 - SPARE)
        content = whole[(np.abs(whole[:, :2] - box.center).max(axis=1) < inner) & (whole[:, 2] > 0.03)]
        return list(_in_container(box.center, box.yaw, room, box.round, content)), box.center, room
    top_seed = surface.nearest(point[:2], max(RAISED, point[2] - 0.006), 2 * NEAR) or seed
    top = surface.grow(top_seed, float(surface.height[top_seed]) - 0.004, within=0.05)
    peak = float(np.percentile(top[:, 2], 95))
    face = rectangle(top[top[:, 2] > peak - 0.006][:, :2])
    yaws = (face.yaw, face.yaw + math.pi / 2) if not face.round else (math.pi / 2, 0.0)
    return [Spot(face.center, yaws, 0.0)], face.center, 0.0


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
            nearness = float(np.linalg.norm(content[:, :2] - xy, axis=1).min()) if len(content) else 0.0
            toward_robot = 0.002 * float(direction[0])
            yield Spot(xy, yaws, 0.02 * (1 - share) + 0.1 * nearness + toward_robot)


def _landings(around: np.ndarray, spot: Spot, width: float) -> Iterator[Landing]:
    away = np.linalg.norm(around[:, :2] - spot.xy, axis=1)
    support = float(np.max(around[:, 2], where=away < 0.45 * width, initial=0.0))
    support = 0.0 if support < FLOOR else support
    for yaw in spot.yaws:
        fingers = blocked_to(around, spot.xy, yaw, width / 2, width / 2 + RELEASE + FINGER_THICKNESS) + SPARE
        # The pads hold the thing at mid-height: their tips end this much above its underside.
        under_tips = width / 2 - PAD_TIP
        yield Landing(spot.xy, support, max(support, fingers - under_tips), yaw)
