"""Predicts the table after some moves: where objects will stand, and what the hand can still reach."""

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
"""Number of objects that fit in a container. In a bowl, a second one would lean on the first and might tip over."""
CLEARLY_APART_GAP_M = NEXT_TO_GAP_M + 0.03
"""Objects with a wider gap than this, in m, are not next to each other even after a small shift."""
PALM_MARGIN_M, PALM_RADIUS_M = 0.025, 0.11
"""An object's neighbour is in the way of the palm if it is taller by more than the margin and closer than the radius,
in m."""


@dataclass
class PredictedTable:
    """The table after a sequence of moves, predicted without physics."""

    state: WorldState
    relations: dict[str, Relation] = field(default_factory=dict)  # of each object that has been moved
    moved_in_step: dict[str, int] = field(default_factory=dict)  # number of the step that moved it last
    steps: int = 0

    @property
    def solids(self) -> list[str]:
        """Ids of the graspable objects."""
        return [name for name, thing in self.state.objects.items() if thing.spec.graspable]

    @property
    def containers(self) -> list[str]:
        """Ids of the containers."""
        return [name for name, thing in self.state.objects.items() if thing.spec.container]

    def spec(self, name: str) -> ObjectSpec:
        return self.state[name].spec

    def content(self, where: str) -> list[str]:
        """Returns the ids of the objects that were put into a container or onto a block."""
        return [name for name, r in self.relations.items() if r.where == where and not r.beside]

    def room(self, container: str) -> int:
        """Returns how many more objects fit in a container."""
        return CONTAINER_CAPACITY[self.spec(container).shape] - len(self.content(container))

    def on_table(self, name: str) -> bool:
        """Returns whether an object stands on the bare table."""
        return name not in self.relations or self.relations[name].beside

    def outside(self, name: str) -> bool:
        """Returns whether an object is in none of the containers."""
        return name not in self.relations or self.relations[name].where not in self.containers

    def can_take(self, name: str) -> bool:
        """Returns whether an object may be moved next: not if the last step moved it, and not out of a container."""
        waits = self.content(name) or not self.outside(name) or self.moved_in_step.get(name) == self.steps
        return not waits and in_reach(self.state, name)

    def nearly_beside(self, what: str, where: str) -> bool:
        """Returns whether two objects are next to each other, or almost."""
        return self.on_table(what) and footprint_gap(self.state[what], self.state[where]) < CLEARLY_APART_GAP_M

    def has_room(self, relation: Relation) -> bool:
        """Returns whether the hand can put the object there and take it again, and the front camera sees the place."""
        if relation.where in self.containers and not relation.beside:
            return True
        after = state_after(self.state, relation)
        # On a named side the gap is wider, so the place is visible even behind the other object.
        seen = bool(relation.side) or not relation.beside or in_sight(after[relation.what], after[relation.where])
        return seen and in_reach(after, relation.what)

    def move(self, relations: Sequence[Relation]) -> None:
        """Makes the relations true, as one step."""
        self.steps += 1
        for relation in relations:
            self.state = state_after(self.state, relation)
        self.relations.update({r.what: r for r in relations})
        self.moved_in_step.update({r.what: self.steps for r in relations})

    def lasting(self) -> Arrange:
        """Returns all relations that hold now, in the order in which they were made.

        It leaves out objects beside one that has been moved away since.
        """
        since = self.moved_in_step
        kept = [r for r in self.relations.values() if not r.beside or since.get(r.where, 0) < since[r.what]]
        return Arrange(tuple(sorted(kept, key=lambda r: since[r.what])))


def in_reach(state: WorldState, name: str) -> bool:
    """Returns whether the hand has room around an object: beside it for the fingers, and above it for the palm."""
    thing = state[name]
    others = [(footprint_gap(thing, other), other.top) for other in state.objects.values() if other is not thing]
    near = [(gap, top) for gap, top in others if gap < PALM_RADIUS_M - thing.spec.radius]
    blocks_palm = any(top > thing.top + PALM_MARGIN_M for _, top in near)
    return not blocks_palm and not any(
        gap < OBJECT_GAP_M and top > thing.bottom + CONTACT_TOLERANCE_M for gap, top in near
    )


def footprint_gap(a: ObjectState, b: ObjectState) -> float:
    """Returns the distance in m between the circles around two footprints."""
    return math.dist(a.pos[:2], b.pos[:2]) - a.spec.radius - b.spec.radius


def state_after(state: WorldState, relation: Relation) -> WorldState:
    """Returns the state with a relation made true."""
    what, where = state[relation.what], state[relation.where]
    if relation.beside:
        point = point_beside(state, relation.what, relation.where, relation.side)
        x, y, bottom = point.x, point.y, 0.0
    else:
        x, y = where.pos[:2]
        bottom = where.pos[2] if where.spec.container else where.top
    moved = replace(what, pos=np.array([x, y, bottom + what.spec.origin_height]))
    return replace(state, objects={**state.objects, relation.what: moved})


def in_sight(what: ObjectState, where: ObjectState) -> bool:
    """Returns whether the front camera, which looks down at 45 degrees from +x, sees the foot of ``what``."""
    dx, dy = where.pos[0] - what.pos[0], where.pos[1] - what.pos[1]
    return dx < where.top or abs(dy) > where.spec.radius
