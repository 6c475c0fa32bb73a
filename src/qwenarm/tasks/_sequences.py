"""Draws rows of sub-goals that can be carried out one after the other, with their words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from qwenarm.body.objects import ObjectSpec
from qwenarm.body.scene import Placement, Scene
from qwenarm.errors import BadInput
from qwenarm.tasks._casting import BLOCKS
from qwenarm.tasks._goal import NEXT_TO, Arrange, Relation
from qwenarm.tasks._phrases import draw_from, prepositions
from qwenarm.tasks._tongues import class_clauses, put_clauses

ROOM = 2
"""So many things are put into a container."""
SPARE, TRIES = 3, 100
"""So many things stay outside while there is more to come, and so many rows are begun until one is long enough."""
APART = NEXT_TO + 0.03
"""Things with a wider gap than this, m, are not next to each other, even if they are shifted a little."""
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
    """Where everything is after the steps so far, in thought. at: the relation of each thing that has been moved, and
    in ``when`` the number of the step that moved it last.
    """

    placements: Mapping[str, Placement]
    at: dict[str, Relation] = field(default_factory=dict)
    when: dict[str, int] = field(default_factory=dict)
    steps: int = 0

    @property
    def solids(self) -> list[str]:
        return [name for name, placement in self.placements.items() if placement.spec.graspable]

    @property
    def containers(self) -> list[str]:
        return [name for name, placement in self.placements.items() if placement.spec.container]

    def spec(self, name: str) -> ObjectSpec:
        return self.placements[name].spec

    def content(self, where: str) -> list[str]:
        """What is in a container, or on a block."""
        return [name for name, r in self.at.items() if r.where == where and not r.beside]

    def on_table(self, name: str) -> bool:
        return name not in self.at or self.at[name].beside

    def outside(self, name: str) -> bool:
        return name not in self.at or self.at[name].where not in self.containers

    def free(self, name: str) -> bool:
        """Can it be taken? What the last step moved rests, and what is in a container stays there: the hand needs room
        beside a thing.
        """
        return not self.content(name) and self.outside(name) and self.when.get(name) != self.steps

    def near(self, what: str, where: str) -> bool:
        """May it be next to it already? Where things stand that were put next to others, nobody knows exactly."""
        if not self.on_table(what):
            return False
        if what in self.at or where in self.at:
            return True
        a, b = self.placements[what], self.placements[where]
        away = float(np.hypot(a.pos[0] - b.pos[0], a.pos[1] - b.pos[1]))
        return away - a.spec.radius - b.spec.radius < APART

    def move(self, relations: Sequence[Relation]) -> None:
        self.steps += 1
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
        table = Table({p.spec.id: p for p in scene.objects})
        steps = list(_draw_steps(rng, table, count))
        if len(steps) == count:
            return steps, table.lasting()
    raise BadInput(f"No {count} sub-goals were found for these objects: allow more combinations.")


def _draw_steps(rng: np.random.Generator, table: Table, count: int) -> Iterator[Step]:
    """Up to so many; fewer when nothing more can be done. Enough stays outside of the containers to go on with."""
    for left in range(count - 1, -1, -1):
        outside = sum(map(table.outside, table.solids)) - min(left, SPARE)
        choices = [c for c in _choices(table) if c.kind in ("stack", "beside") or len(c.relations) <= outside]
        if not choices:
            return
        kind = draw_from(rng, sorted({choice.kind for choice in choices}))
        fitting = [choice for choice in choices if choice.kind == kind]
        choice = fitting[int(rng.integers(len(fitting)))]
        yield _worded(rng, table, choice)
        table.move(choice.relations)


def _choices(table: Table) -> Iterator[Choice]:
    """All that can be done now and is not so already."""
    for what in filter(table.free, table.solids):
        for where in table.containers:
            if len(table.content(where)) < ROOM:
                yield Choice("put", (Relation(what, where),))
        for where in table.solids:
            if where == what or not table.on_table(where):
                continue
            if table.content(where):
                continue  # beside a tower there is no room for the hand
            if table.spec(what).shape in BLOCKS and table.spec(where).shape in BLOCKS:
                yield Choice("stack", (Relation(what, where),))
            if not table.near(what, where):
                yield Choice("beside", (Relation(what, where, beside=True),))
    yield from _gatherings(table)


def _gatherings(table: Table) -> Iterator[Choice]:
    """Both of a colour or a shape into an empty container."""
    for by in ("color", "shape"):
        for value in sorted({getattr(table.spec(name), by) for name in table.solids}):
            members = [name for name in table.solids if getattr(table.spec(name), by) == value]
            if len(members) != ROOM or not all(map(table.free, members)):
                continue
            for where in table.containers:
                if not table.content(where):
                    yield Choice("gather", tuple(Relation(name, where) for name in members), (by, value))


def _worded(rng: np.random.Generator, table: Table, choice: Choice) -> Step:
    """The sub-goal with its words."""
    what, where = table.spec(choice.relations[0].what), table.spec(choice.relations[0].where)
    by, value = choice.members
    a = what.label if not by else f"{value} things" if by == "color" else f"{value}s"
    template = draw_from(rng, STEP[choice.kind])
    words = template.format(a=a, b=where.label, **prepositions(rng, where.shape))
    clauses = class_clauses(by, value, where) if by else put_clauses(what, where, choice.kind == "beside")
    return Step(Arrange(choice.relations), words, clauses)
