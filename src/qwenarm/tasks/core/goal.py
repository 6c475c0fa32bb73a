"""When a task is fulfilled, how far along it is, and which calls remain. All judged on the simulator's own state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.scene import Scene
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.tasks.core.planning import (
    NEXT_TO_GAP_M,
    SIDE_DIRECTIONS,
    SIDE_GAP_M,
    Move,
    Side,
    image_u,
    plan_moves,
    point_beside,
)
from qwenarm.types import SkillCall

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body


class Goal(Protocol):
    """What a task wants."""

    def success(self, state: WorldState) -> bool:
        """Does everything hold, with an empty hand and all objects at rest?"""
        ...

    def progress(self, state: WorldState) -> float:
        """0 at the start, 1 when fulfilled. In between it rises with every object that is picked up or put in place."""
        ...

    def solve(self, state: WorldState) -> list[SkillCall]:
        """The calls that remain, with object ids and ``WorldPoint``s as points; "done" is the last."""
        ...


@runtime_checkable
class Measured(Protocol):
    """A goal with numbers of its own beside success and progress."""

    def measures(self, state: WorldState) -> Mapping[str, float]:
        """The numbers by name, for the episode's record."""
        ...


class Event(Protocol):
    """Something that goes on by itself while the arm works: a belt, a wall that rises, words that change.

    It keeps its own state, so every episode gets a new one, and depends on the simulator's state alone, so the same
    calls see the same events.
    """

    def step(self, body: Body) -> str | None:
        """Called after every control period. Returns the new instruction if it changes now."""
        ...


@dataclass(frozen=True)
class Setup:
    """One episode of a task.

    Attributes:
        scene: The objects at the start.
        goal: What counts as success, or None where the instruction could not be read as a goal.
        instruction: What the policy is told at the start.
        max_turns: How often the policy may decide.
        events: What goes on by itself.
        translations: The same instruction in other languages, by code ("es", "zh").
        goal_scene: The objects as they shall be in the end, if the policy is shown a picture of it.
        unjudged: Why there is no goal.
        read_as: What was understood of free words, and when it is judged as fulfilled; "" for a task's own words.
    """

    scene: Scene
    goal: Goal | None
    instruction: str
    max_turns: int
    events: tuple[Event, ...] = ()
    translations: Mapping[str, str] = field(default_factory=dict)
    goal_scene: Scene | None = None
    unjudged: str = ""
    read_as: str = ""


def initial_state(scene: Scene) -> WorldState:
    """The state before anything has moved: every object upright where it was placed, the hand empty."""
    upright = np.array([1.0, 0.0, 0.0, 0.0])
    things = {p.spec.id: ObjectState(p.spec, np.array(p.pos), upright, 0.0) for p in scene.objects}
    return WorldState(things, None, np.zeros(3), 0.0, reach=scene.reach)


def is_calm(state: WorldState) -> bool:
    """Is the hand empty and everything at rest?"""
    return state.holding is None and state.at_rest()


class MoveGoal:
    """A goal that is reached by moving objects. A subclass says which moves remain and how to count them."""

    def remaining(self, state: WorldState) -> Sequence[Move]:
        """The moves that are still to be made, in order. Asked in every control period, so it should be quick."""
        raise NotImplementedError

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        """Every object in its place counts as one step, one in the hand as half a step.

        Returns how many steps are made, and how many there are without the last half step, which is letting go.
        """
        raise NotImplementedError

    def success(self, state: WorldState) -> bool:
        return is_calm(state) and not self.remaining(state)

    def progress(self, state: WorldState) -> float:
        remaining = self.remaining(state)
        if not remaining and self.success(state):
            return 1.0
        made, total = self.steps(state, remaining)
        return max(0.0, made) / (total + 0.5)

    def solve(self, state: WorldState) -> list[SkillCall]:
        return plan_moves(state, self.remaining(state))


@dataclass(frozen=True)
class Relation:
    """An object that shall be in or on another one, or next to it.

    Attributes:
        what: Id of the object.
        where: Id of the container, or of the object that it shall stand on or next to.
        beside: Next to ``where`` instead of in or on it.
        side: With ``beside``, the side on which it shall be, within 45 degrees; "" for any.
    """

    what: str
    where: str
    beside: bool = False
    side: Side = ""

    def holds(self, state: WorldState) -> bool:
        """Is it so now?"""
        if not self.beside:
            return state.on(self.what, self.where)
        a, b = state[self.what], state[self.where]
        offset = a.pos[:2] - b.pos[:2]
        distance = float(np.hypot(*offset))
        along = float(offset @ SIDE_DIRECTIONS[self.side]) if self.side else math.inf
        gap = distance - a.spec.radius - b.spec.radius
        on_side = along > math.sqrt(0.5) * distance
        return state.on_table(self.what) and on_side and gap < (SIDE_GAP_M if self.side else NEXT_TO_GAP_M)


@dataclass(frozen=True)
class Arrange(MoveGoal):
    """All relations hold: a put has one, a tower one for each storey. They are made true in this order."""

    relations: tuple[Relation, ...]

    def remaining(self, state: WorldState) -> list[Move]:
        return [(relation.what, relation.where) for relation in self._open(state)]

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        begun = 0.5 if remaining and state.holding == remaining[0][0] else 0.0
        return len(self.relations) - len(remaining) + begun, len(self.relations)

    def solve(self, state: WorldState) -> list[SkillCall]:
        moves: list[Move] = [
            (r.what, point_beside(state, r.what, r.where, r.side) if r.beside else r.where) for r in self._open(state)
        ]
        return plan_moves(state, moves)

    def _open(self, state: WorldState) -> list[Relation]:
        return [relation for relation in self.relations if not relation.holds(state)]


@dataclass(frozen=True)
class Sort(MoveGoal):
    """Every graspable object whose colour (or shape) is named goes into its place. The others go into none of them.

    Attributes:
        by: "color" or "shape".
        places: (value, id of the container) pairs.
    """

    by: str
    places: tuple[tuple[str, str], ...]

    def remaining(self, state: WorldState) -> list[Move]:
        return [*self._intruders(state), *self._unsorted(state)]

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        total = sum(self.place_of(thing.spec) is not None for thing in state.objects.values())
        unsorted = [what for what, where in remaining if where is not None]
        return total - len(unsorted) + (0.5 if state.holding in unsorted else 0.0), total

    def solve(self, state: WorldState) -> list[SkillCall]:
        """What is in the hand first, then from left to right as the front camera sees it."""
        order = sorted(self._unsorted(state), key=lambda move: (move[0] != state.holding, image_u(state[move[0]])))
        return plan_moves(state, [*self._intruders(state), *order])

    def place_of(self, spec: ObjectSpec) -> str | None:
        """The id of the container where such an object belongs, or None."""
        return dict(self.places).get(getattr(spec, self.by)) if spec.graspable else None

    def _unsorted(self, state: WorldState) -> list[Move]:
        """Objects that belong somewhere and are not there."""
        belongs = {i: place for i, thing in state.objects.items() if (place := self.place_of(thing.spec))}
        return [(i, place) for i, place in belongs.items() if not state.inside(i, place)]

    def _intruders(self, state: WorldState) -> list[Move]:
        """Objects that belong nowhere and lie in one of the places."""
        others = [i for i, thing in state.objects.items() if thing.spec.graspable and not self.place_of(thing.spec)]
        return [(i, None) for i in others if any(state.inside(i, place) for _, place in self.places)]
