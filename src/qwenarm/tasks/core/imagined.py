"""A table imagined some steps ahead: where things will stand, and what the hand can then reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.scene import GAP
from qwenarm.body.state import TOUCH, ObjectState, WorldState
from qwenarm.tasks.core.goal import NEXT_TO, Arrange, Relation, beside

ROOM = {"bowl": 1, "tray": 2, "box": 2}
"""So many things are put into a container: in a bowl the second one would lean on the first, and may tip over."""
APART = NEXT_TO + 0.03
"""Things with a wider gap than this, m, are not next to each other, even if they are shifted a little."""
RISE, PALM = 0.025, 0.11
"""What rises so far over the top of a thing is in the palm's way, unless it is so far from its middle, m."""


@dataclass
class Table:
    """How everything stands after the steps so far, in thought. at: the relation of each thing that has been moved,
    and in ``when`` the number of the step that moved it last.
    """

    state: WorldState
    at: dict[str, Relation] = field(default_factory=dict)
    when: dict[str, int] = field(default_factory=dict)
    steps: int = 0

    @property
    def solids(self) -> list[str]:
        return [name for name, thing in self.state.objects.items() if thing.spec.graspable]

    @property
    def containers(self) -> list[str]:
        return [name for name, thing in self.state.objects.items() if thing.spec.container]

    def spec(self, name: str) -> ObjectSpec:
        return self.state[name].spec

    def content(self, where: str) -> list[str]:
        """What is in a container, or on a block."""
        return [name for name, r in self.at.items() if r.where == where and not r.beside]

    def room(self, where: str) -> int:
        """How many things a container still takes."""
        return ROOM[self.spec(where).shape] - len(self.content(where))

    def on_table(self, name: str) -> bool:
        return name not in self.at or self.at[name].beside

    def outside(self, name: str) -> bool:
        return name not in self.at or self.at[name].where not in self.containers

    def free(self, name: str) -> bool:
        """Can it be taken? What the last step moved rests, and what is in a container stays there."""
        waits = self.content(name) or not self.outside(name) or self.when.get(name) == self.steps
        return not waits and _in_reach(self.state, name)

    def near(self, what: str, where: str) -> bool:
        """Is it next to it already, or nearly so?"""
        return self.on_table(what) and _gap(self.state[what], self.state[where]) < APART

    def has_room(self, relation: Relation) -> bool:
        """Has the hand room to put it there, and to take it again, and is the place in sight?"""
        if relation.where in self.containers and not relation.beside:
            return True
        after = _after(self.state, relation)
        seen = bool(relation.side) or not relation.beside or _in_sight(after[relation.what], after[relation.where])
        return seen and _in_reach(after, relation.what)  # on a side it is farther off: seen even from behind

    def move(self, relations: Sequence[Relation]) -> None:
        self.steps += 1
        for relation in relations:
            self.state = _after(self.state, relation)
        self.at.update({r.what: r for r in relations})
        self.when.update({r.what: self.steps for r in relations})

    def lasting(self) -> Arrange:
        """All that holds now, in the order in which it came about. Whatever was next to a thing that has left is next
        to nothing in particular.
        """
        kept = [r for r in self.at.values() if not r.beside or self.when.get(r.where, 0) < self.when[r.what]]
        return Arrange(tuple(sorted(kept, key=lambda r: self.when[r.what])))


def _in_reach(state: WorldState, name: str) -> bool:
    """Has the hand room around it: the fingers beside it, and the palm over what stands there?"""
    thing = state[name]
    far = PALM - thing.spec.radius
    gaps = [(_gap(thing, other), other) for other in state.objects.values() if other is not thing]
    close = [(gap, other.top) for gap, other in gaps if gap < far]
    return not any(top > thing.top + RISE or (top > thing.bottom + TOUCH and gap < GAP) for gap, top in close)


def _in_sight(what: ObjectState, where: ObjectState) -> bool:
    """Is the table under a thing not behind the one next to it? The front camera (at +x) looks down at 45 degrees."""
    dx, dy = where.pos[0] - what.pos[0], where.pos[1] - what.pos[1]
    return dx < where.top or abs(dy) > where.spec.radius


def _gap(a: ObjectState, b: ObjectState) -> float:
    """Between the circles around two footprints, m."""
    return math.dist(a.pos[:2], b.pos[:2]) - a.spec.radius - b.spec.radius


def _after(state: WorldState, relation: Relation) -> WorldState:
    """The same world with the relation made true."""
    what, where = state[relation.what], state[relation.where]
    spot = beside(state, relation) if relation.beside else None
    x, y = (spot.x, spot.y) if spot else where.pos[:2]
    bottom = 0.0 if spot else where.pos[2] if where.spec.container else where.top
    moved = replace(what, pos=np.array([x, y, bottom + what.spec.origin_height]))
    return replace(state, objects={**state.objects, relation.what: moved})
