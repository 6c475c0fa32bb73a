"""Draws rows of sub-goals that can be carried out one after the other, with their words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.scene import Scene
from qwenarm.errors import BadInput
from qwenarm.tasks.core.goal import Arrange, Relation, at_start
from qwenarm.tasks.core.imagined import Table
from qwenarm.tasks.core.task import BLOCKS
from qwenarm.tasks.language.es_zh import class_clauses, put_clauses
from qwenarm.tasks.language.phrases import draw_from, prepositions

SPARE, TRIES = 3, 100
"""So many things stay outside while there is more to come, and so many rows are begun until one is long enough."""
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
class Option:
    """What may be done next: "put", "stack" or "beside" with one relation, or "gather" all of a class (by, value)."""

    kind: str
    relations: tuple[Relation, ...]
    members: tuple[str, str] = ("", "")


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


def _draw_choice(rng: np.random.Generator, table: Table, choices: Sequence[Option]) -> Option | None:
    """One of those for which the hand has room, each kind as likely; None if there is none."""
    for kind in rng.permutation(sorted({choice.kind for choice in choices})):
        fitting = [choice for choice in choices if choice.kind == kind]
        for i in rng.permutation(len(fitting)):
            if all(map(table.has_room, fitting[i].relations)):
                return fitting[i]
    return None


def _choices(table: Table) -> Iterator[Option]:
    """All that can be done now and is not so already, if there is room for it."""
    free = list(filter(table.free, table.solids))
    for what in free:
        for where in table.containers:
            if table.room(where):
                yield Option("put", (Relation(what, where),))
        for where in table.solids:
            if where == what or not table.on_table(where) or table.content(where):
                continue
            if table.spec(what).shape in BLOCKS and table.spec(where).shape in BLOCKS:
                yield Option("stack", (Relation(what, where),))
            if not table.near(what, where):
                yield Option("beside", (Relation(what, where, beside=True),))
    yield from _gatherings(table, free)


def _gatherings(table: Table, free: Sequence[str]) -> Iterator[Option]:
    """Both of a colour or a shape into an empty container."""
    for by in ("color", "shape"):
        for value in sorted({getattr(table.spec(name), by) for name in table.solids}):
            members = [name for name in table.solids if getattr(table.spec(name), by) == value]
            if len(members) != 2 or not set(members) <= set(free):
                continue
            for where in table.containers:
                if table.room(where) == 2:
                    yield Option("gather", tuple(Relation(name, where) for name in members), (by, value))


def _worded(rng: np.random.Generator, table: Table, choice: Option) -> Step:
    """The sub-goal with its words."""
    what, where = table.spec(choice.relations[0].what), table.spec(choice.relations[0].where)
    by, value = choice.members
    a = what.label if not by else f"{value} things" if by == "color" else f"{value}s"
    template = draw_from(rng, STEP[choice.kind])
    words = template.format(a=a, b=where.label, **prepositions(rng, where.shape))
    clauses = class_clauses(by, value, where) if by else put_clauses(what, where, choice.kind == "beside")
    return Step(Arrange(choice.relations), words, clauses)
