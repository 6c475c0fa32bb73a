"""The table as it will be after some moves: where objects will stand, and what the hand can then reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.scene import OBJECT_GAP_M
from qwenarm.body.state import CONTACT_TOLERANCE_M, ObjectState, WorldState
from qwenarm.tasks.core.goal import Arrange, Relation
from qwenarm.tasks.core.planning import NEXT_TO_GAP_M, point_beside

CONTAINER_CAPACITY = {"bowl": 1, "tray": 2, "box": 2}
"""How many objects a container takes. In a bowl a second one would lean on the first and might tip over."""
CLEARLY_APART_GAP_M = NEXT_TO_GAP_M + 0.03
"""Objects with a wider gap than this are not next to each other, even if they are shifted a little."""
PALM_MARGIN_M, PALM_RADIUS_M = 0.025, 0.11
"""What is higher than an object by more than the margin is in the palm's way, if it is closer than the radius."""


@dataclass
class PredictedTable:
    """The table after the moves so far, without physics."""

    state: WorldState
    relations: dict[str, Relation] = field(default_factory=dict)  # of each object that has been moved
    moved_in_step: dict[str, int] = field(default_factory=dict)  # number of the step that moved it last
    steps: int = 0

    @property
    def solids(self) -> list[str]:
        """The ids of the graspable objects."""
        return [name for name, thing in self.state.objects.items() if thing.spec.graspable]

    @property
    def containers(self) -> list[str]:
        """The ids of the containers."""
        return [name for name, thing in self.state.objects.items() if thing.spec.container]

    def spec(self, name: str) -> ObjectSpec:
        """The spec of an object."""
        return self.state[name].spec

    def content(self, where: str) -> list[str]:
        """The objects that were put into a container, or onto a block."""
        return [name for name, r in self.relations.items() if r.where == where and not r.beside]

    def room(self, container: str) -> int:
        """How many objects a container still takes."""
        return CONTAINER_CAPACITY[self.spec(container).shape] - len(self.content(container))

    def on_table(self, name: str) -> bool:
        """Does it stand on the bare table?"""
        return name not in self.relations or self.relations[name].beside

    def outside(self, name: str) -> bool:
        """Is it in none of the containers?"""
        return name not in self.relations or self.relations[name].where not in self.containers

    def can_take(self, name: str) -> bool:
        """May it be moved next? What the last step moved rests, and what is in a container stays there."""
        waits = self.content(name) or not self.outside(name) or self.moved_in_step.get(name) == self.steps
        return not waits and in_reach(self.state, name)

    def nearly_beside(self, what: str, where: str) -> bool:
        """Are they next to each other already, or almost?"""
        return self.on_table(what) and footprint_gap(self.state[what], self.state[where]) < CLEARLY_APART_GAP_M

    def has_room(self, relation: Relation) -> bool:
        """Can the hand put the object there and take it again, with the place in sight of the front camera?"""
        if relation.where in self.containers and not relation.beside:
            return True
        after = state_after(self.state, relation)
        # On a named side the gap is wider: such a place is in sight even behind the other object.
        seen = bool(relation.side) or not relation.beside or _in_sight(after[relation.what], after[relation.where])
        return seen and in_reach(after, relation.what)

    def move(self, relations: Sequence[Relation]) -> None:
        """Makes relations true, as one step."""
        self.steps += 1
        for relation in relations:
            self.state = state_after(self.state, relation)
        self.relations.update({r.what: r for r in relations})
        self.moved_in_step.update({r.what: self.steps for r in relations})

    def lasting(self) -> Arrange:
        """All relations that hold now, in the order in which they came about.

        Left out are objects next to another one that has been moved away since.
        """
        since = self.moved_in_step
        kept = [r for r in self.relations.values() if not r.beside or since.get(r.where, 0) < since[r.what]]
        return Arrange(tuple(sorted(kept, key=lambda r: since[r.what])))


def in_reach(state: WorldState, name: str) -> bool:
    """Is there room for the hand around an object: for the fingers beside it, and for the palm above its neighbours?"""
    thing = state[name]
    others = [(footprint_gap(thing, other), other.top) for other in state.objects.values() if other is not thing]
    near = [(gap, top) for gap, top in others if gap < PALM_RADIUS_M - thing.spec.radius]
    blocks_palm = any(top > thing.top + PALM_MARGIN_M for _, top in near)
    return not blocks_palm and not any(
        gap < OBJECT_GAP_M and top > thing.bottom + CONTACT_TOLERANCE_M for gap, top in near
    )


def footprint_gap(a: ObjectState, b: ObjectState) -> float:
    """Distance in metres between the circles around two footprints."""
    return math.dist(a.pos[:2], b.pos[:2]) - a.spec.radius - b.spec.radius


def state_after(state: WorldState, relation: Relation) -> WorldState:
    """The same state with the relation made true."""
    what, where = state[relation.what], state[relation.where]
    if relation.beside:
        point = point_beside(state, relation.what, relation.where, relation.side)
        x, y, bottom = point.x, point.y, 0.0
    else:
        x, y = where.pos[:2]
        bottom = where.pos[2] if where.spec.container else where.top
    moved = replace(what, pos=np.array([x, y, bottom + what.spec.origin_height]))
    return replace(state, objects={**state.objects, relation.what: moved})


def _in_sight(what: ObjectState, where: ObjectState) -> bool:
    """Does ``where`` not hide the foot of ``what`` from the front camera, which looks down at 45 degrees from +x?"""
    dx, dy = where.pos[0] - what.pos[0], where.pos[1] - what.pos[1]
    return dx < where.top or abs(dy) > where.spec.radius
