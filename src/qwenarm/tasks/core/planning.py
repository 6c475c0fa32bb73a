"""Turns moves into symbolic calls: picks and places that point at object ids or ``WorldPoint``s, not yet at pixels.

``qwenarm.tasks.oracle_call`` makes image points of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qwenarm.body.cameras import FRONT, project
from qwenarm.body.scene import WORKSPACE_X, WORKSPACE_Y, in_workspace
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.types import SkillCall

NEXT_TO_GAP_M = 0.05
"""Maximum distance between the footprints of objects that are next to each other."""
SIDE_GAP_M = 0.12
"""Maximum distance between the footprints of an object and one to its left, to its right, in front of it or behind."""
OCCLUDING_HEIGHT_M = 0.06
"""Anything higher hides the table behind it from the front camera: walls, and whatever stands on something."""
GRID_STEP_M = 0.02
"""Distance between the candidates for a free place on the table."""
Side = Literal["", "left", "right", "front", "behind"]
SIDE_DIRECTIONS: Mapping[Side, tuple[float, float]] = {
    "left": (0, -1), "right": (0, 1), "front": (1, 0), "behind": (-1, 0),
}  # fmt: skip
"""Directions (x, y) in the world frame, named as seen in the front camera's picture, which looks towards the robot."""
SIDE_WORDS: Mapping[Side, str] = {
    "": "next to", "left": "left of", "right": "right of", "front": "in front of", "behind": "behind",
}  # fmt: skip


@dataclass(frozen=True)
class WorldPoint:
    """A place on the table, or a point above it, in metres in the world frame. ``label`` is what a call says of it."""

    x: float
    y: float
    label: str = "free place on the table"
    z: float = 0.0


Move = tuple[str, str | WorldPoint | None]
"""The id of an object, and where it goes: in or on another object, to a point, or (None) to any free place."""


def plan_moves(state: WorldState, moves: Sequence[Move]) -> list[SkillCall]:
    """The picks and places that make these moves in order, and "done" at the end.

    What is in the hand and not wanted is put aside first; so is whatever lies on an object to be moved or built upon.
    """
    calls: list[SkillCall] = []
    held = state.holding
    if held and (not moves or moves[0][0] != held):
        calls.append(SkillCall("place", {"at": free_point(state)}))
        held = None
    cleared: set[str] = set()
    for what, where in moves:
        for load in _loads(state, what, where):
            if load not in cleared:
                calls += [SkillCall("pick", {"at": load}), SkillCall("place", {"at": free_point(state)})]
                cleared.add(load)
        if held != what:
            calls.append(SkillCall("pick", {"at": what}))
        calls.append(SkillCall("place", {"at": free_point(state) if where is None else where}))
        held = None
    return [*calls, SkillCall("done")]


def _loads(state: WorldState, *bases: str | WorldPoint | None) -> Iterator[str]:
    """The objects that stand on these, from the top down. The content of a container may stay where it is."""
    for base in bases:
        if isinstance(base, str) and not state[base].spec.container:
            for other in state.objects:
                if state.on(other, base):
                    yield from _loads(state, other)
                    yield other


def image_u(thing: ObjectState) -> float:
    """How far right an object is in the front camera's picture, 0 to 1."""
    uv, _ = project(thing.pos, np.array(FRONT.pos), FRONT.axes(), FRONT.fovy_deg, aspect=4 / 3)
    return float(uv[0])


def free_point(state: WorldState) -> WorldPoint:
    """The point on the table that is furthest from all objects."""
    grid = [(x, y) for x in np.arange(*WORKSPACE_X, GRID_STEP_M) for y in np.arange(*WORKSPACE_Y, GRID_STEP_M)]
    if state.reach is not None:
        grid = [point for point in grid if point in state.reach] or grid
    x, y = max(grid, key=lambda point: _clearance(state, point))
    return WorldPoint(float(x), float(y))


def point_beside(state: WorldState, what: str, where: str, side: Side = "") -> WorldPoint:
    """The point next to ``where``, or on one side of it, that leaves the object ``what`` the most room.

    Args:
        state: The world now.
        what: Id of the object to be put there.
        where: Id of the object that it is put next to.
        side: The side, or "" for any.
    """
    a, b = state[what].spec, state[where]
    reach = a.radius + b.spec.radius + (SIDE_GAP_M / 2 if side else 0.7 * NEXT_TO_GAP_M)
    angles = np.linspace(-np.pi, np.pi, 24, endpoint=False)
    if side:
        x, y = SIDE_DIRECTIONS[side]
        angles = math.atan2(y, x) + np.linspace(-0.4, 0.4, 9)
    ring = [(b.pos[0] + reach * np.cos(angle), b.pos[1] + reach * np.sin(angle)) for angle in angles]
    inside = [point for point in ring if in_workspace(*point) and (state.reach is None or point in state.reach)]
    x, y = max(inside or ring, key=lambda point: _clearance(state, point, (what, where)))
    return WorldPoint(float(x), float(y), f"place {SIDE_WORDS[side]} the {b.spec.label}")


def _clearance(state: WorldState, point: tuple[float, float], ignored: Collection[str] = ()) -> float:
    """Distance in metres from a point on the table to the nearest footprint.

    Table that a high object hides from the front camera (at +x) is not free. It reaches about as far as that is high.
    """
    nearest = math.inf
    for name, thing in state.objects.items():
        if name in ignored:
            continue
        dx, dy = point[0] - float(thing.pos[0]), point[1] - float(thing.pos[1])
        if dx < 0 and thing.top > OCCLUDING_HEIGHT_M:
            dx = min(0.0, dx + thing.top)
        nearest = min(nearest, math.hypot(dx, dy) - thing.spec.radius)
    return nearest
