"""What it means that a task is fulfilled, how far along it is, and which calls are still to be made.

Goals judge the simulator's own state. A solver's calls are symbolic: their points are object ids or a ``Spot`` on the
table, which ``qwenarm.tasks.oracle_call`` turns into image points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np

from qwenarm.body.cameras import FRONT, project
from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.scene import WORKSPACE_X, WORKSPACE_Y, Scene, in_workspace
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.types import SkillCall

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body

NEXT_TO = 0.05
"""Footprints closer than this, in m, are next to each other."""
Side = Literal["", "left", "right", "front", "behind"]
SIDES: Mapping[Side, tuple[float, float]] = {"left": (0, -1), "right": (0, 1), "front": (1, 0), "behind": (-1, 0)}
"""Where that is, x and y, for who looks through the front camera: its picture's left, right, lower and upper side."""
NEAR_BY = 0.12
"""Footprints closer than this are near enough for one thing to be on a side of the other, m."""
TALL = 0.06
"""What is higher than this, m, hides table behind it: walls, and what stands on something."""


class Goal(Protocol):
    """What a task wants."""

    def success(self, state: WorldState) -> bool:
        """Does everything hold, at rest, with nothing in the hand?"""
        ...

    def progress(self, state: WorldState) -> float:
        """0 at the start, 1 when fulfilled; in between it rises with every object that is picked up or put in place."""
        ...

    def solve(self, state: WorldState) -> list[SkillCall]:
        """The symbolic calls that remain, "done" being the last: {"at": object id or Spot}."""
        ...


@runtime_checkable
class Measured(Protocol):
    """A goal that counts more than success, for an episode's record."""

    def measures(self, state: WorldState) -> Mapping[str, float]:
        """Numbers by name."""
        ...


class Happening(Protocol):
    """Something that goes on by itself while the arm works: a belt, a knock, words that change. Keeps its own state, so
    every episode gets a new one.
    """

    def step(self, body: Body) -> str | None:
        """Called after every control period. Returns the new instruction when the words change."""
        ...


@dataclass(frozen=True)
class Setup:
    """One episode's task. goal: None if the instruction could not be read as one, so that nobody can judge it; unjudged
    says why.

    happenings: what goes on by itself. translations: the same instruction in other languages, by code ("es", "zh").
    goal_scene: the same objects as they shall be, of which the policy is shown a picture, or None.
    """

    scene: Scene
    goal: Goal | None
    instruction: str
    max_turns: int
    happenings: tuple[Happening, ...] = ()
    translations: Mapping[str, str] = field(default_factory=dict)
    goal_scene: Scene | None = None
    unjudged: str = ""


@dataclass(frozen=True)
class Spot:
    """A free place on the table, or a point that is seen above it, m."""

    x: float
    y: float
    label: str = "free place on the table"
    z: float = 0.0


def at_start(scene: Scene) -> WorldState:
    """A scene before anything has moved: all things upright where they were put, the hand empty."""
    upright = np.array([1.0, 0.0, 0.0, 0.0])
    things = {p.spec.id: ObjectState(p.spec, np.array(p.pos), upright, 0.0) for p in scene.objects}
    return WorldState(things, None, np.zeros(3), 0.0)


Move = tuple[str, "str | Spot"]
"""What goes where: object ids, or a place on the table."""


@dataclass(frozen=True)
class Relation:
    """One thing that shall be: what is on (in, for a container) where, or next to it. Object ids.

    side: with ``beside``, the one on which it shall be, within 45 degrees.
    """

    what: str
    where: str
    beside: bool = False
    side: Side = ""

    def holds(self, state: WorldState) -> bool:
        """Does it hold now? Privileged."""
        if not self.beside:
            return state.on(self.what, self.where)
        a, b = state[self.what], state[self.where]
        way = a.pos[:2] - b.pos[:2]
        along = float(way @ SIDES[self.side]) if self.side else math.inf
        gap = float(np.hypot(*way)) - a.spec.radius - b.spec.radius
        aside = along > math.sqrt(0.5) * float(np.hypot(*way))
        return state.on_table(self.what) and aside and gap < (NEAR_BY if self.side else NEXT_TO)


@dataclass(frozen=True)
class Arrange:
    """Relations to be made true in this order: a put has one, a tower one for each storey."""

    relations: tuple[Relation, ...]

    def success(self, state: WorldState) -> bool:
        return state.holding is None and state.at_rest() and not self._open(state)

    def progress(self, state: WorldState) -> float:
        if self.success(state):
            return 1.0
        still_open = self._open(state)
        begun = 0.5 if still_open and state.holding == still_open[0].what else 0.0
        return (len(self.relations) - len(still_open) + begun) / (len(self.relations) + 0.5)

    def solve(self, state: WorldState) -> list[SkillCall]:
        return symbolic_calls(state, [(r.what, beside(state, r) if r.beside else r.where) for r in self._open(state)])

    def _open(self, state: WorldState) -> list[Relation]:
        return [relation for relation in self.relations if not relation.holds(state)]


@dataclass(frozen=True)
class Sort:
    """Every graspable thing whose colour (or shape) is named goes into its place. The others go into none of them.

    by: "color" or "shape". places: (value, id of the container) pairs.
    """

    by: str
    places: tuple[tuple[str, str], ...]

    def success(self, state: WorldState) -> bool:
        calm = state.holding is None and state.at_rest()
        return calm and not self._waiting(state) and not self._strays(state)

    def progress(self, state: WorldState) -> float:
        if self.success(state):
            return 1.0
        total = sum(self.place_of(thing.spec) is not None for thing in state.objects.values())
        waiting = self._waiting(state)
        begun = 0.5 if state.holding in waiting else 0.0
        return (total - len(waiting) + begun) / (total + 0.5)

    def solve(self, state: WorldState) -> list[SkillCall]:
        waiting = sorted(self._waiting(state), key=lambda i: (i != state.holding, image_u(state[i])))
        moves: list[Move] = [(i, free_spot(state)) for i in self._strays(state)]
        return symbolic_calls(state, moves + [(i, self.place_of(state[i].spec) or "") for i in waiting])

    def place_of(self, spec: ObjectSpec) -> str | None:
        """The id of the container where such an object belongs, or None."""
        return dict(self.places).get(getattr(spec, self.by)) if spec.graspable else None

    def _waiting(self, state: WorldState) -> list[str]:
        """What belongs somewhere and is not there."""
        belongs = {i: place for i, thing in state.objects.items() if (place := self.place_of(thing.spec))}
        return [i for i, place in belongs.items() if not state.inside(i, place)]

    def _strays(self, state: WorldState) -> list[str]:
        """What belongs nowhere and lies in one of the places."""
        alien = [i for i, thing in state.objects.items() if thing.spec.graspable and self.place_of(thing.spec) is None]
        return [i for i in alien if any(state.inside(i, place) for _, place in self.places)]


def symbolic_calls(state: WorldState, moves: Sequence[Move]) -> list[SkillCall]:
    """Picks and places that make the moves in order; frees the hand and what is buried first; "done" at the end."""
    calls: list[SkillCall] = []
    held = state.holding
    if held and (not moves or moves[0][0] != held):
        calls.append(SkillCall("place", {"at": free_spot(state)}))
        held = None
    lifted: set[str] = set()
    for what, where in moves:
        for burden in _burdens(state, what, where):
            if burden not in lifted:
                calls += [SkillCall("pick", {"at": burden}), SkillCall("place", {"at": free_spot(state)})]
                lifted.add(burden)
        if held != what:
            calls.append(SkillCall("pick", {"at": what}))
        calls.append(SkillCall("place", {"at": where}))
        held = None
    return [*calls, SkillCall("done")]


def _burdens(state: WorldState, *bases: str | Spot) -> Iterator[str]:
    """What must first be lifted off a thing to be moved, or off a block that shall carry it, from the top down."""
    for base in bases:
        if isinstance(base, str) and not state[base].spec.container:
            for other in state.objects:
                if state.on(other, base):
                    yield from _burdens(state, other)
                    yield other


def image_u(thing: ObjectState) -> float:
    """How far right a thing is in the front camera's picture, 0..1."""
    uv, _ = project(thing.pos, np.array(FRONT.pos), FRONT.axes(), FRONT.fovy_deg, aspect=4 / 3)
    return float(uv[0])


def free_spot(state: WorldState) -> Spot:
    """The place on the table that is furthest from everything."""
    spots = [(x, y) for x in np.arange(*WORKSPACE_X, 0.02) for y in np.arange(*WORKSPACE_Y, 0.02)]
    x, y = max(spots, key=lambda spot: _clearance(state, spot, ()))
    return Spot(float(x), float(y))


def beside(state: WorldState, relation: Relation) -> Spot:
    """The freest place next to a thing, for the relation's own thing."""
    a, b = state[relation.what], state[relation.where]
    apart = NEAR_BY / 2 if relation.side else 0.7 * NEXT_TO
    reach = a.spec.radius + b.spec.radius + apart
    angles = np.linspace(-np.pi, np.pi, 24, endpoint=False)
    if relation.side:
        x, y = SIDES[relation.side]
        angles = math.atan2(y, x) + np.linspace(-0.4, 0.4, 9)
    ring = [(b.pos[0] + reach * np.cos(t), b.pos[1] + reach * np.sin(t)) for t in angles]
    inside = [spot for spot in ring if in_workspace(*spot)]
    x, y = max(inside or ring, key=lambda spot: _clearance(state, spot, (relation.what, relation.where)))
    where = {"": "next to", "left": "left of", "right": "right of", "front": "in front of", "behind": "behind"}
    return Spot(float(x), float(y), f"place {where[relation.side]} the {b.spec.label}")


def _clearance(state: WorldState, spot: tuple[float, float], ignored: Sequence[str]) -> float:
    things: Mapping[str, ObjectState] = {i: t for i, t in state.objects.items() if i not in ignored}
    return min((_gap(t, *spot) for t in things.values()), default=1.0)


def _gap(thing: ObjectState, x: float, y: float) -> float:
    """Free space between a thing and a place on the table, m. The table that a high one hides from the front camera
    (at +x) is none: about as much as it is high.
    """
    dx, dy = x - float(thing.pos[0]), y - float(thing.pos[1])
    if dx < 0 and thing.top > TALL:
        dx = min(0.0, dx + thing.top)
    return math.hypot(dx, dy) - thing.spec.radius
