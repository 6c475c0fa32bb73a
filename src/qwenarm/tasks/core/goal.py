"""Goals: is a task fulfilled, how far along is it, and which calls remain? Judged on the simulator's state alone."""

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
    left_to_right,
    plan_moves,
    point_beside,
)
from qwenarm.types import SkillCall

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body


class Goal(Protocol):
    """What a task asks for."""

    def success(self, state: WorldState) -> bool:
        """Returns whether everything holds, the hand is empty and all objects are at rest."""
        ...

    def progress(self, state: WorldState) -> float:
        """Returns progress from 0 at the start to 1 when fulfilled. It rises with every object that is picked up or put
        in place.
        """
        ...

    def solve(self, state: WorldState) -> list[SkillCall]:
        """Returns the calls that remain, ending with "done", or with "look" if it depends on what will be seen.

        Their points are object ids and ``WorldPoint``s, their texts strings and ``PlacesNote``s.
        """
        ...


@runtime_checkable
class Measured(Protocol):
    """A goal with measures of its own besides success and progress."""

    def measures(self, state: WorldState) -> Mapping[str, float]:
        """Returns the measures by name, for the episode's record."""
        ...


@runtime_checkable
class Restating(Protocol):
    """A goal whose ``solve`` says again what was said wrongly. What is said only once, like a note, must be right."""

    def misstated(self, call: SkillCall, rng: np.random.Generator) -> SkillCall:
        """Returns a "say" of ``solve`` with something wrong in it."""
        ...


class Event(Protocol):
    """Something that happens by itself while the arm works: a moving belt, a rising wall, a new instruction.

    An event keeps its own state, so every episode needs a new one. It depends on the simulator's state alone, so that
    the same calls meet the same events.
    """

    def step(self, body: Body) -> str | None:
        """Advances by one control period. Returns the new instruction if it changes now."""
        ...


@dataclass(frozen=True)
class Setup:
    """One episode of a task.

    Attributes:
        scene: The objects at the start.
        goal: What counts as success, or None if the instruction could not be read as a goal.
        instruction: What the policy is told at the start.
        max_turns: Maximum number of the policy's turns.
        events: What happens by itself.
        translations: The instruction in other languages, by code ("es", "zh").
        goal_scene: The objects as they should be in the end, if the policy is shown a picture of that.
        unjudged: Why there is no goal.
        read_as: How free words were understood, and when they count as fulfilled; "" for a task's own words.
        max_periods: For a policy of 20 Hz actions: control periods in place of turns. Such an episode also ends as soon
            as the goal is reached.
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
    max_periods: int | None = None


def initial_state(scene: Scene) -> WorldState:
    """Returns the state before anything has moved: every object upright where it was placed, and an empty hand."""
    upright = np.array([1.0, 0.0, 0.0, 0.0])
    things = {p.spec.id: ObjectState(p.spec, np.array(p.pos), upright, 0.0) for p in scene.objects}
    return WorldState(things, None, np.zeros(3), 0.0, reach=scene.reach)


def is_calm(state: WorldState) -> bool:
    """Returns whether the hand is empty and everything is at rest."""
    return state.holding is None and state.at_rest()


class MoveGoal:
    """A goal that is reached by moving objects. Subclasses say which moves remain and how progress is counted."""

    def remaining(self, state: WorldState) -> Sequence[Move]:
        """Returns the moves that are left, in order. It is called in every control period, so it should be fast."""
        raise NotImplementedError

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        """Counts one step for each object in its place, and half a step for one in the hand. A last half step is for
        the end, when the hand is empty and everything rests.

        Returns:
            The steps that are made, and how many there are, both without that last half.
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
    """An object that should be in, on or next to another one.

    Attributes:
        what: Id of the object.
        where: Id of the container, or of the object to stand on or next to.
        beside: Next to ``where`` instead of in or on it.
        side: With ``beside``, the side it should be on, within 45 degrees; "" for any side.
        leaning: In a container is also what leans on its content (see ``WorldState.lies_in``). The families that are in
            frozen suites leave it out, which keeps their scores comparable.
    """

    what: str
    where: str
    beside: bool = False
    side: Side = ""
    leaning: bool = False

    def holds(self, state: WorldState) -> bool:
        """Returns whether the relation holds now."""
        if not self.beside:
            return state.on(self.what, self.where) or (self.leaning and state.lies_in(self.what, self.where))
        a, b = state[self.what], state[self.where]
        offset = a.pos[:2] - b.pos[:2]
        distance = float(np.hypot(*offset))
        along = float(offset @ SIDE_DIRECTIONS[self.side]) if self.side else math.inf
        gap = distance - a.spec.radius - b.spec.radius
        on_side = along > math.sqrt(0.5) * distance
        return state.on_table(self.what) and on_side and gap < (SIDE_GAP_M if self.side else NEXT_TO_GAP_M)


@dataclass(frozen=True)
class Arrange(MoveGoal):
    """Every object is where it should be: in, on or next to another one.

    Attributes:
        relations: What should hold in the end; made true in this order.
    """

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
    """Every graspable object of a named colour (or shape) is in its place, and no other object is in any of the places.

    Attributes:
        by: "color" or "shape".
        places: (value, container id) pairs.
        leaning: As in ``Relation``.
    """

    by: str
    places: tuple[tuple[str, str], ...]
    leaning: bool = False

    def remaining(self, state: WorldState) -> list[Move]:
        return [*self._intruders(state), *self._unsorted(state)]

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        total = sum(self.place_of(thing.spec) is not None for thing in state.objects.values())
        unsorted = [what for what, where in remaining if where is not None]
        return total - len(unsorted) + (0.5 if state.holding in unsorted else 0.0), total

    def solve(self, state: WorldState) -> list[SkillCall]:
        """Moves what is in the hand first, then the others from left to right as the front camera sees them."""
        unsorted = dict(self._unsorted(state))
        order = [(thing, unsorted[thing]) for thing in left_to_right(state, unsorted)]
        return plan_moves(state, [*self._intruders(state), *order])

    def place_of(self, spec: ObjectSpec) -> str | None:
        """Returns the id of the container where such an object belongs, or None."""
        return dict(self.places).get(getattr(spec, self.by)) if spec.graspable else None

    def _unsorted(self, state: WorldState) -> list[Move]:
        """Returns the moves of objects that are not where they belong."""
        belongs = {i: place for i, thing in state.objects.items() if (place := self.place_of(thing.spec))}
        return [(i, place) for i, place in belongs.items() if not self._is_in(state, i, place)]

    def _intruders(self, state: WorldState) -> list[Move]:
        """Returns the moves of objects that belong nowhere but lie in one of the places."""
        others = [i for i, thing in state.objects.items() if thing.spec.graspable and not self.place_of(thing.spec)]
        return [(i, None) for i in others if any(self._is_in(state, i, place) for _, place in self.places)]

    def _is_in(self, state: WorldState, thing: str, place: str) -> bool:
        return state.lies_in(thing, place) if self.leaning else state.inside(thing, place)
