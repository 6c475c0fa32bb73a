"""Draws rows of sub-goals that can be carried out one after the other, with their words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qwenarm.body.objects import ObjectSpec
from qwenarm.body.scene import GAP, Scene
from qwenarm.body.state import TOUCH, ObjectState, WorldState
from qwenarm.errors import BadInput
from qwenarm.tasks._casting import BLOCKS
from qwenarm.tasks._goal import NEXT_TO, Arrange, Relation, at_start, beside
from qwenarm.tasks._phrases import draw_from, prepositions
from qwenarm.tasks._tongues import class_clauses, put_clauses

ROOM = {"bowl": 1, "tray": 2, "box": 2}
"""So many things are put into a container: in a bowl the second one would lean on the first, and may tip over."""
SPARE, TRIES = 3, 100
"""So many things stay outside while there is more to come, and so many rows are begun until one is long enough."""
APART = NEXT_TO + 0.03
"""Things with a wider gap than this, m, are not next to each other, even if they are shifted a little."""
RISE, PALM = 0.025, 0.11
"""What rises so far over the top of a thing is in the palm's way, unless it is so far from its middle, m."""
STEP = {
    "put": (
        "put the {a} {in} the {b}",
        "place the {a} {in} the {b}",
        "move the {a} {into} the {b}",
        "drop the {a} {into} the {b}",
        "set the {a} down {in} the {b}",
        "bring the {a} to the {b}",
        "take the {a} and put it {in} the {b}",
        "pick up the {a} and place it {in} the {b}",
    ),
    "stack": (
        "stack the {a} on the {b}",
        "put the {a} on top of the {b}",
        "place the {a} on the {b}",
        "set the {a} on top of the {b}",
        "move the {a} onto the {b}",
        "lay the {a} on the {b}",
        "take the {a} and put it on the {b}",
        "pick up the {a} and stack it on the {b}",
    ),
    "beside": (
        "put the {a} next to the {b}",
        "place the {a} beside the {b}",
        "move the {a} next to the {b}",
        "set the {a} down beside the {b}",
        "bring the {a} over, next to the {b}",
        "lay the {a} next to the {b}",
        "take the {a} and put it beside the {b}",
        "pick up the {a} and place it next to the {b}",
    ),
    "gather": (
        "put all {a} {in} the {b}",
        "put every one of the {a} {in} the {b}",
        "gather all {a} {in} the {b}",
        "collect the {a} {in} the {b}",
        "move all {a} {into} the {b}",
        "bring all {a} to the {b}",
        "sort all {a} {into} the {b}",
        "place the {a} together {in} the {b}",
    ),
}


@dataclass(frozen=True)
class Step:
    """A sub-goal: the relations that make it true, its words, and their translations."""

    goal: Arrange
    words: str
    clauses: Mapping[str, str]


@dataclass(frozen=True)
class Choice:
    """What may be done next: "put", "stack" or "beside" with one relation, or "gather" all of a class (by, value)."""

    kind: str
    relations: tuple[Relation, ...]
    members: tuple[str, str] = ("", "")


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


def draw_steps(rng: np.random.Generator, scene: Scene, count: int) -> tuple[list[Step], Arrange]:
    """So many sub-goals, and what holds after them. Raises BadInput if there are not so many to be found."""
    for _ in range(TRIES):
        table = Table(at_start(scene))
        steps = list(_draw_steps(rng, table, count))
        if len(steps) == count:
            return steps, table.lasting()
    raise BadInput(f"No {count} sub-goals were found for these objects: allow more combinations.")


def _draw_steps(rng: np.random.Generator, table: Table, count: int) -> Iterator[Step]:
    """Up to so many; fewer when nothing more can be done. Enough stays outside of the containers to go on with."""
    for left in range(count - 1, -1, -1):
        outside = sum(map(table.outside, table.solids)) - min(left, SPARE)
        choices = [c for c in _choices(table) if c.kind in ("stack", "beside") or len(c.relations) <= outside]
        choice = _draw_choice(rng, table, choices)
        if choice is None:
            return
        yield _worded(rng, table, choice)
        table.move(choice.relations)


def _draw_choice(rng: np.random.Generator, table: Table, choices: Sequence[Choice]) -> Choice | None:
    """One of those for which the hand has room, each kind as likely; None if there is none."""
    for kind in rng.permutation(sorted({choice.kind for choice in choices})):
        fitting = [choice for choice in choices if choice.kind == kind]
        for i in rng.permutation(len(fitting)):
            if all(map(table.has_room, fitting[i].relations)):
                return fitting[i]
    return None


def _choices(table: Table) -> Iterator[Choice]:
    """All that can be done now and is not so already, if there is room for it."""
    free = list(filter(table.free, table.solids))
    for what in free:
        for where in table.containers:
            if table.room(where):
                yield Choice("put", (Relation(what, where),))
        for where in table.solids:
            if where == what or not table.on_table(where) or table.content(where):
                continue
            if table.spec(what).shape in BLOCKS and table.spec(where).shape in BLOCKS:
                yield Choice("stack", (Relation(what, where),))
            if not table.near(what, where):
                yield Choice("beside", (Relation(what, where, beside=True),))
    yield from _gatherings(table, free)


def _gatherings(table: Table, free: Sequence[str]) -> Iterator[Choice]:
    """Both of a colour or a shape into an empty container."""
    for by in ("color", "shape"):
        for value in sorted({getattr(table.spec(name), by) for name in table.solids}):
            members = [name for name in table.solids if getattr(table.spec(name), by) == value]
            if len(members) != 2 or not set(members) <= set(free):
                continue
            for where in table.containers:
                if table.room(where) == 2:
                    yield Choice("gather", tuple(Relation(name, where) for name in members), (by, value))


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


def _worded(rng: np.random.Generator, table: Table, choice: Choice) -> Step:
    """The sub-goal with its words."""
    what, where = table.spec(choice.relations[0].what), table.spec(choice.relations[0].where)
    by, value = choice.members
    a = what.label if not by else f"{value} things" if by == "color" else f"{value}s"
    template = draw_from(rng, STEP[choice.kind])
    words = template.format(a=a, b=where.label, **prepositions(rng, where.shape))
    clauses = class_clauses(by, value, where) if by else put_clauses(what, where, choice.kind == "beside")
    return Step(Arrange(choice.relations), words, clauses)
