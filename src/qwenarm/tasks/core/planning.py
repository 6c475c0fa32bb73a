"""Plans moves as symbolic calls: picks and places that refer to object ids or ``WorldPoint``s instead of pixels.

``qwenarm.tasks.oracle_call`` turns these into image points.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qwenarm.body.cameras import FRONT, project
from qwenarm.body.scene import WORKSPACE_X, WORKSPACE_Y, in_workspace
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.types import SkillCall

NEXT_TO_GAP_M = 0.05
"""Maximum distance between the footprints of objects that are next to each other, in m."""
SIDE_GAP_M = 0.12
"""Maximum distance between the footprints of an object and one to its left or right, in front or behind, in m."""
OCCLUDING_HEIGHT_M = 0.06
"""Anything higher than this, in m, hides the table behind it from the front camera: walls and stacked objects."""
GRID_STEP_M = 0.02
"""Spacing of the candidates for a free place on the table, in m."""
Side = Literal["", "left", "right", "front", "behind"]
SIDE_DIRECTIONS: Mapping[Side, tuple[float, float]] = {
    "left": (0, -1), "right": (0, 1), "front": (1, 0), "behind": (-1, 0),
}  # fmt: skip
"""Directions (x, y) in the world frame, named as they appear to the front camera, which faces the robot."""
SIDE_WORDS: Mapping[Side, str] = {
    "": "next to", "left": "left of", "right": "right of", "front": "in front of", "behind": "behind",
}  # fmt: skip


@dataclass(frozen=True)
class WorldPoint:
    """A point on or above the table, in m, world frame. ``label`` is its name in a call."""

    x: float
    y: float
    label: str = "free place on the table"
    z: float = 0.0


class CalledObject(str):
    """The id of an object that a call names otherwise than the scene does.

    Attributes:
        label: Its name in the call.
    """

    __slots__ = ("label",)

    def __new__(cls, object_id: str, label: str) -> CalledObject:
        called = super().__new__(cls, object_id)
        called.label = label
        return called

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.label


@dataclass(frozen=True)
class PlacesNote:
    """A text that says where objects are in the first camera's image: "blue ball at 445 660; red cube at 512 430".

    Attributes:
        objects: Their ids.
    """

    objects: tuple[str, ...]


Move = tuple[str, str | WorldPoint | None]
"""The id of an object and its target: in or on another object, at a point, or (None) at any free place."""


def plan_moves(state: WorldState, moves: Sequence[Move]) -> list[SkillCall]:
    """Returns the picks and places that make these moves in order, then "done".

    First it puts aside a held object that is not to be moved next. It also clears whatever stands on an object to be
    moved or built upon.
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
    """Yields the objects that stand on these, from the top down. The content of a container stays where it is."""
    for base in bases:
        if isinstance(base, str) and not state[base].spec.container:
            for other in state.objects:
                if state.on(other, base):
                    yield from _loads(state, other)
                    yield other


def image_u(thing: ObjectState) -> float:
    """Returns the horizontal position of an object in the front camera's image, from 0 (left) to 1 (right)."""
    uv, _ = project(thing.pos, np.array(FRONT.pos), FRONT.axes(), FRONT.fovy_deg, aspect=4 / 3)
    return float(uv[0])


def left_to_right(state: WorldState, things: Iterable[str]) -> list[str]:
    """Returns ids of objects, the held one first, then as the front camera sees them: an order that a picture tells."""
    return sorted(things, key=lambda thing: (thing != state.holding, image_u(state[thing])))


def free_point(state: WorldState) -> WorldPoint:
    """Returns the point on the table that is furthest from all objects."""
    grid = [(x, y) for x in np.arange(*WORKSPACE_X, GRID_STEP_M) for y in np.arange(*WORKSPACE_Y, GRID_STEP_M)]
    if state.reach is not None:
        grid = [point for point in grid if point in state.reach] or grid
    x, y = max(grid, key=lambda point: _clearance(state, point))
    return WorldPoint(float(x), float(y))


def point_beside(state: WorldState, what: str, where: str, side: Side = "") -> WorldPoint:
    """Returns the point next to an object that leaves the most room around it.

    Args:
        state: The current state.
        what: Id of the object to be put there.
        where: Id of the object to be next to.
        side: The side of ``where``, or "" for any.
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
    """Returns the distance in m from a point on the table to the nearest footprint.

    The part of the table that a tall object hides from the front camera (at +x), about as long as the object is high,
    counts as its footprint.
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
