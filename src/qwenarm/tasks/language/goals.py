"""Goals that only free instructions have: a number of objects, a tower in any order, a swap, a number to be said."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Protocol

import numpy as np

from qwenarm.body.scene import Placement, Scene
from qwenarm.body.state import WorldState
from qwenarm.tasks.core.goal import Relation, initial_state, is_calm
from qwenarm.tasks.core.lookahead import in_reach, in_sight
from qwenarm.tasks.core.planning import Move, WorldPoint, free_point, image_u, plan_moves, point_beside
from qwenarm.tasks.language.read_answer import last_said, numbers
from qwenarm.types import SkillCall

SWAP_TOLERANCE_M = 0.04
"""Maximum distance from where the other thing stood at the start, in m."""

MAX_OFF_LINE_M = 0.04
"""Maximum distance from the line between two things of what stands between them, in m."""
MIN_LIFT_M = 0.05
"""Minimum height above the table of what is picked up, in m."""


class Part(Protocol):
    """One of several conditions that must all hold."""

    def share(self, state: WorldState) -> float:
        """Returns how much of it is fulfilled; 1 if all is."""
        ...

    def moves(self, state: WorldState) -> list[Move]:
        """Returns the moves that remain, in order."""
        ...


@dataclass(frozen=True)
class Together:
    """All parts hold, everything is at rest and the hand is empty. ``kept`` parts hold already and must stay so."""

    parts: tuple[Part, ...]
    kept: tuple[Part, ...] = ()

    def success(self, state: WorldState) -> bool:
        return is_calm(state) and all(part.share(state) >= 1.0 for part in (*self.parts, *self.kept))

    def progress(self, state: WorldState) -> float:
        """Returns the mean of the parts' shares, capped at 0.95 until the goal is reached."""
        if self.success(state):
            return 1.0
        return min(0.95, float(np.mean([part.share(state) for part in self.parts])))

    def solve(self, state: WorldState) -> list[SkillCall]:
        """Where parts choose among the same things, each leaves alone what another one has or has chosen."""
        moves = list[Move]()
        taken = {what for part in self.parts if isinstance(part, Exactly) for what in part.settled(state)}
        for part in (*self.kept, *self.parts):
            more = part.moves(state, taken) if isinstance(part, Exactly) else part.moves(state)
            taken |= {what for what, where in more if where is not None}
            moves += more
        return plan_moves(state, moves)


@dataclass(frozen=True)
class Holds:
    """A relation holds."""

    relation: Relation

    def share(self, state: WorldState) -> float:
        return float(self.relation.holds(state))

    def moves(self, state: WorldState) -> list[Move]:
        return [] if self.relation.holds(state) else [_move(state, self.relation)]


@dataclass(frozen=True)
class Exactly:
    """Exactly ``count`` of these relations hold, no matter which. They all move different things to one place."""

    count: int
    relations: tuple[Relation, ...]

    def share(self, state: WorldState) -> float:
        held = sum(relation.holds(state) for relation in self.relations)
        if held <= self.count:
            return held / self.count if self.count else 1.0
        return 1.0 - (held - self.count) / (len(self.relations) - self.count)

    def moves(self, state: WorldState, taken: Collection[str] = ()) -> list[Move]:
        """``taken`` are things that other parts have or need."""
        held = [relation for relation in self.relations if relation.holds(state)]
        rest = [relation for relation in self.relations if relation not in held and relation.what not in taken]
        rest.sort(key=lambda relation: (relation.what != state.holding, image_u(state[relation.what])))
        away: list[Move] = [(r.what, None) for r in held[self.count :] if r.what not in taken]
        return away + [_move(state, relation) for relation in rest[: max(0, self.count - len(held))]]

    def settled(self, state: WorldState) -> list[str]:
        """Returns the things that are in place, as many as should be."""
        return [relation.what for relation in self.relations if relation.holds(state)][: self.count]


@dataclass(frozen=True)
class OneInEach:
    """The things of every set are in one of the places, and no two sets in the same one."""

    sets: tuple[tuple[str, ...], ...]
    places: tuple[str, ...]

    def share(self, state: WorldState) -> float:
        return float(np.mean([state.lies_in(*pair) for pair in self._pairs(state)]))

    def moves(self, state: WorldState) -> list[Move]:
        moves: list[Move] = [pair for pair in self._pairs(state) if not state.lies_in(*pair)]
        return sorted(moves, key=lambda move: move[0] != state.holding)

    def _pairs(self, state: WorldState) -> list[tuple[str, str]]:
        """Returns each thing with the place of its set, so that as many as possible are there already."""
        choices = (zip(self.sets, places, strict=True) for places in permutations(self.places, len(self.sets)))
        pairs = [[(thing, place) for things, place in choice for thing in things] for choice in choices]
        return max(pairs, key=lambda row: sum(state.lies_in(*pair) for pair in row))


@dataclass(frozen=True)
class InBetween:
    """A thing stands on the table between two others, near the line from one to the other."""

    what: str
    ends: tuple[str, str]

    def share(self, state: WorldState) -> float:
        a, b, at = (state[name].pos[:2] for name in (*self.ends, self.what))
        length, (x, y) = math.dist(a, b), at - a
        toward_x, toward_y = (b - a) / length
        along, aside = x * toward_x + y * toward_y, x * toward_y - y * toward_x
        return float(state.on_table(self.what) and 0 < along < length and abs(aside) < MAX_OFF_LINE_M)

    def moves(self, state: WorldState) -> list[Move]:
        return [] if self.share(state) else [(self.what, self.middle(state))]

    def middle(self, state: WorldState) -> WorldPoint:
        """Returns the point halfway between the footprints."""
        a, b = (state[name] for name in self.ends)
        from_a = 0.5 + (a.spec.radius - b.spec.radius) / (2 * math.dist(a.pos[:2], b.pos[:2]))
        x, y = a.pos[:2] + from_a * (b.pos[:2] - a.pos[:2])
        return WorldPoint(float(x), float(y), f"place between the {a.spec.label} and the {b.spec.label}")

    def has_room(self, state: WorldState) -> bool:
        """Returns whether the hand can put the thing there, and the front camera sees the place."""
        thing, spot = state[self.what], self.middle(state)
        there = replace(thing, pos=np.array([spot.x, spot.y, thing.spec.origin_height]))
        after = replace(state, objects={**state.objects, self.what: there})
        return in_reach(after, self.what) and all(in_sight(there, after[end]) for end in self.ends)


@dataclass(frozen=True)
class AnyTower:
    """The blocks stand on one another, in any order."""

    blocks: tuple[str, ...]

    def share(self, state: WorldState) -> float:
        return (len(self._highest(state)) - 1) / (len(self.blocks) - 1)

    def moves(self, state: WorldState) -> list[Move]:
        tower = self._highest(state)
        rest = sorted((b for b in self.blocks if b not in tower), key=lambda b: (b != state.holding, image_u(state[b])))
        moves = list[Move]()
        for block in rest:
            moves.append((block, tower[-1]))
            tower = [*tower, block]
        return moves

    def _highest(self, state: WorldState) -> list[str]:
        """Returns the highest tower of these blocks, from the base up, without a block that is held."""
        free = [block for block in self.blocks if block != state.holding] or list(self.blocks)
        return max((self._upwards(state, block) for block in free), key=len)

    def _upwards(self, state: WorldState, base: str) -> list[str]:
        tower = [base]
        while above := [block for block in self.blocks if block not in tower and state.on(block, tower[-1])]:
            tower.append(above[0])
        return tower


@dataclass(frozen=True)
class Swapped:
    """Each of two things stands where the other one stood at the start."""

    starts: tuple[Placement, Placement]

    def share(self, state: WorldState) -> float:
        return sum(_near(state, *pair) for pair in self._targets()) / 2

    def moves(self, state: WorldState) -> list[Move]:
        """Moves a thing that blocks the other's place first. If both do, one of them is put aside in the meantime."""
        open_ = [(what, spot) for what, spot in self._targets() if not _near(state, what, spot)]
        open_.sort(key=lambda target: target[0] != state.holding)
        if len(open_) < 2 or not _near(state, open_[1][0], open_[0][1]):
            return list(open_)
        first, other = open_
        waits = first[0] == state.holding or _near(state, first[0], other[1])
        return [*([(first[0], self._aside(state))] if waits else []), other, first]

    def _aside(self, state: WorldState) -> WorldPoint:
        """Returns a free place on the table, away from both starts."""
        starts = {f"start of {name}": thing for name, thing in initial_state(Scene(self.starts)).objects.items()}
        return free_point(replace(state, objects={**state.objects, **starts}))

    def _targets(self) -> list[tuple[str, WorldPoint]]:
        """Returns each thing with the place where the other one stood."""
        one, other = self.starts
        label = "place of the {}"
        return [
            (one.spec.id, WorldPoint(*other.pos[:2], label.format(other.spec.label))),
            (other.spec.id, WorldPoint(*one.pos[:2], label.format(one.spec.label))),
        ]


@dataclass(frozen=True)
class Lifted:
    """The hand holds a thing above the table."""

    what: str

    def success(self, state: WorldState) -> bool:
        return state.holding == self.what and state[self.what].bottom > MIN_LIFT_M

    def progress(self, state: WorldState) -> float:
        return float(self.success(state))

    def solve(self, state: WorldState) -> list[SkillCall]:
        """Picks the thing up, after whatever stands on it and whatever else is held was put away."""
        *before, _place, done = plan_moves(state, [(self.what, None)])
        return [*before, done]


@dataclass(frozen=True)
class Answer:
    """The number was said, and nothing else after it."""

    right: int

    def success(self, state: WorldState) -> bool:
        return state.holding is None and numbers(last_said(state.said)) == {self.right}

    def progress(self, state: WorldState) -> float:
        return float(self.success(state))

    def solve(self, state: WorldState) -> list[SkillCall]:
        return [*([] if self.success(state) else [SkillCall("say", {"text": str(self.right)})]), SkillCall("done")]


def _near(state: WorldState, what: str, spot: WorldPoint) -> bool:
    """Returns whether a thing stands on the table where it should."""
    x, y = state[what].pos[:2]
    return state.on_table(what) and float(np.hypot(x - spot.x, y - spot.y)) < SWAP_TOLERANCE_M


def _move(state: WorldState, relation: Relation) -> Move:
    what, where = relation.what, relation.where
    return what, point_beside(state, what, where, relation.side) if relation.beside else where
