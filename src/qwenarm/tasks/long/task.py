"""Scenes, words and levels of long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.spec import CONTAINERS, GRASPABLE
from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.tasks.core.goal import Arrange, Setup
from qwenarm.tasks.core.task import BLOCKS, Cast, Task
from qwenarm.tasks.language.es_zh import in_order
from qwenarm.tasks.language.phrases import draw_from
from qwenarm.tasks.long.sequences import draw_steps
from qwenarm.types import SkillCall

LENGTHS = (3, 6, 10)
"""Sub-goals, by level."""
SOLIDS = (4, 5, 5)
"""Graspable things, by level: no more are among the colour x shape pairs that are kept from training."""
PLACES = 2
"""Containers; at level 3 one more of each is added as far as there is room."""
EVERY = 4
"""Control periods between two looks at how far things have come: 0.2 s."""

ROWS = (
    ("first ", ", then ", ", and finally "),
    ("first ", "; then ", "; and last "),
    ("first ", ", next ", ", and at the end "),
    ("do this in order: first ", ", after that ", ", and finally "),
    ("please ", ", then ", ", and then "),
    ("one after the other: ", "; ", "; and "),
    ("in this order, please: ", "; ", "; "),
    ("start like this: ", ". then ", ". last of all, "),
    ("i need several things done in order: ", ", then ", ", and in the end "),
    ("step by step: ", "; next ", "; lastly "),
)
"""How a list of sub-goals begins, goes on and ends."""
NUMBERED = ("do these in order: {}", "in this order: {}", "your tasks, one after the other: {}", "please follow: {}")


@dataclass
class Progress:
    """How many sub-goals have come true, each after the one before it. One that held before its turn has to be made
    true again.
    """

    goals: tuple[Arrange, ...]
    at: int = 0
    was_open: bool = True
    periods: int = 0

    def step(self, body: Body) -> str | None:
        self.periods += 1
        if self.periods % EVERY == 0 and self.at < len(self.goals):
            self.see(body.state())
        return None

    def see(self, state: WorldState) -> None:
        """Counts the sub-goal whose turn it is, if it has come true."""
        holds = self.goals[self.at].success(state)
        if holds and self.was_open:
            self.at += 1
            self.was_open = self.at < len(self.goals) and not self.goals[self.at].success(state)
        elif state.holding is not None or not holds:
            self.was_open = True


@dataclass(frozen=True)
class InOrder:
    """All sub-goals come true one after the other, and what shall last holds in the end. lasting: what that is."""

    so_far: Progress
    lasting: Arrange

    def success(self, state: WorldState) -> bool:
        return self.so_far.at == len(self.so_far.goals) and self.lasting.success(state)

    def progress(self, state: WorldState) -> float:
        """A step for each sub-goal that has come true in its turn, and a part of one for the next."""
        if self.success(state):
            return 1.0
        goals, at = self.so_far.goals, self.so_far.at
        begun = goals[at].progress(state) if at < len(goals) else 0.0
        return (at + min(begun, 0.9)) / (len(goals) + 0.5)

    def solve(self, state: WorldState) -> list[SkillCall]:
        """All that is still to be done, as far as it can be told from here; in the end, what has come undone."""
        left = self.so_far.goals[self.so_far.at :] or (self.lasting,)
        calls = Arrange(tuple(r for goal in left for r in goal.relations)).solve(state)
        return calls if len(calls) > 1 or self.success(state) else [SkillCall("look"), *calls]


def make(cast: Cast, level: int) -> Setup:
    """One episode. The sub-goals are drawn one by one, each from what can be done after those before it."""
    for shapes in (BLOCKS, BLOCKS, *[GRASPABLE] * (SOLIDS[level - 1] - 2), *[CONTAINERS] * PLACES):
        cast.draw(shapes)
    needed = len(cast.specs)
    cast.add(int(level == 3), CONTAINERS)
    cast.add(int(level == 3), GRASPABLE)
    scene = cast.scene(needed)
    steps, lasting = draw_steps(cast.rng, scene, LENGTHS[level - 1])
    so_far = Progress(tuple(step.goal for step in steps))
    moves = sum(len(step.goal.relations) for step in steps)
    return Setup(
        scene,
        InOrder(so_far, lasting),
        row_phrase(cast.rng, [step.words for step in steps]),
        max_turns=4 + 3 * moves,
        happenings=(so_far,),
        translations=in_order([step.clauses for step in steps]),
    )


def row_phrase(rng: np.random.Generator, clauses: Sequence[str]) -> str:
    """One wording of clauses that are to be carried out in order."""
    if rng.random() < 0.25:
        rows = [f"{i}) {clause}" for i, clause in enumerate(clauses, 1)]
        return draw_from(rng, NUMBERED).format(", ".join(rows))
    begin, go_on, end = ROWS[int(rng.integers(len(ROWS)))]
    return begin + go_on.join(clauses[:-1]) + end + clauses[-1]


TASK = Task(
    "long",
    "Many things one after the other, in the order told: put, stack, put next to, gather.",
    ("three sub-goals", "six sub-goals", "ten sub-goals"),
    make,
)
