"""Draws sequences of sub-goals, each of which can be reached after the one before, with their words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.scene import Scene
from qwenarm.errors import BadInput
from qwenarm.tasks import STACKABLE_SHAPES, Arrange, Relation
from qwenarm.tasks.core.goal import initial_state
from qwenarm.tasks.core.lookahead import PredictedTable
from qwenarm.tasks.language.es_zh import class_clauses, put_clauses
from qwenarm.tasks.language.phrases import draw_from, prepositions
from qwenarm.tasks.long.words import SUBGOAL_TEMPLATES

SPARE_OBJECTS = 3
"""Number of objects that stay outside the containers while more sub-goals follow."""
SEQUENCE_TRIES = 100
"""Maximum number of sequences that are drawn until one is long enough."""


@dataclass(frozen=True)
class Subgoal:
    """A sub-goal with its words and their translations."""

    goal: Arrange
    words: str
    clauses: Mapping[str, str]


@dataclass(frozen=True)
class SubgoalOption:
    """A possible next sub-goal."""

    kind: str  # "put", "stack" or "beside" with one relation, or "gather"
    relations: tuple[Relation, ...]
    members: tuple[str, str] = ("", "")  # of "gather": "color" or "shape", and its value


def draw_subgoals(rng: np.random.Generator, scene: Scene, count: int) -> tuple[list[Subgoal], Arrange]:
    """Returns ``count`` sub-goals, and what holds after them. Raises BadInput if no such sequence is found."""
    for _ in range(SEQUENCE_TRIES):
        table = PredictedTable(initial_state(scene))
        subgoals = list(_draw_sequence(rng, table, count))
        if len(subgoals) == count:
            return subgoals, table.lasting()
    raise BadInput(f"No {count} sub-goals were found for these objects: allow more combinations.")


def _draw_sequence(rng: np.random.Generator, table: PredictedTable, count: int) -> Iterator[Subgoal]:
    """Yields up to ``count`` sub-goals, fewer if nothing more can be done. Some objects stay outside the containers."""
    for left in range(count - 1, -1, -1):
        outside = sum(map(table.outside, table.solids)) - min(left, SPARE_OBJECTS)
        options = [o for o in _options(table) if o.kind in ("stack", "beside") or len(o.relations) <= outside]
        option = _draw_option(rng, table, options)
        if option is None:
            return
        yield _worded(rng, table, option)
        table.move(option.relations)


def _draw_option(
    rng: np.random.Generator, table: PredictedTable, options: Sequence[SubgoalOption]
) -> SubgoalOption | None:
    """Returns an option for which the hand has room, with all kinds equally likely, or None if there is none."""
    for kind in rng.permutation(sorted({option.kind for option in options})):
        fitting = [option for option in options if option.kind == kind]
        for i in rng.permutation(len(fitting)):
            if all(map(table.has_room, fitting[i].relations)):
                return fitting[i]
    return None


def _options(table: PredictedTable) -> Iterator[SubgoalOption]:
    """Yields everything that can be done now and does not hold yet."""
    free = list(filter(table.can_take, table.solids))
    for what in free:
        for where in table.containers:
            if table.room(where):
                yield SubgoalOption("put", (Relation(what, where),))
        for where in table.solids:
            if where == what or not table.on_table(where) or table.content(where):
                continue
            if table.spec(what).shape in STACKABLE_SHAPES and table.spec(where).shape in STACKABLE_SHAPES:
                yield SubgoalOption("stack", (Relation(what, where),))
            if not table.nearly_beside(what, where):
                yield SubgoalOption("beside", (Relation(what, where, beside=True),))
    yield from _gather_options(table, free)


def _gather_options(table: PredictedTable, free: Sequence[str]) -> Iterator[SubgoalOption]:
    """Yields the options to put both objects of a colour or shape into an empty container."""
    for by in ("color", "shape"):
        for value in sorted({getattr(table.spec(name), by) for name in table.solids}):
            members = [name for name in table.solids if getattr(table.spec(name), by) == value]
            if len(members) != 2 or not set(members) <= set(free):
                continue
            for where in table.containers:
                if table.room(where) == 2:
                    yield SubgoalOption("gather", tuple(Relation(name, where) for name in members), (by, value))


def _worded(rng: np.random.Generator, table: PredictedTable, option: SubgoalOption) -> Subgoal:
    """Returns the sub-goal with its words."""
    what, where = table.spec(option.relations[0].what), table.spec(option.relations[0].where)
    by, value = option.members
    a = what.label if not by else f"{value} things" if by == "color" else f"{value}s"
    template = draw_from(rng, SUBGOAL_TEMPLATES[option.kind])
    words = template.format(a=a, b=where.label, **prepositions(rng, where.shape))
    clauses = class_clauses(by, value, where) if by else put_clauses(what, where, option.kind == "beside")
    return Subgoal(Arrange(option.relations), words, clauses)
