"""Build a tower in a named order: "stack the green cube on the yellow one"."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from qwenarm.body.objects.spec import CONTAINERS, GRASPABLE
from qwenarm.tasks.core.goal import Arrange, Relation, Setup
from qwenarm.tasks.core.task import BLOCKS, Cast, Task
from qwenarm.tasks.language.phrases import stack_phrase
from qwenarm.tasks.language.translate_goal import translations


def make(cast: Cast, level: int) -> Setup:
    """One episode: level + 1 blocks to be stacked, and level other things."""
    order = [cast.draw(BLOCKS) for _ in range(level + 1)]
    if level >= 2:
        cast.look_alikes(order[-1])
    cast.add((1, 1, 2)[level - 1], GRASPABLE)
    if cast.rng.random() < 0.4:
        cast.add(1, CONTAINERS)
    instruction = stack_phrase(cast.rng, [spec.label for spec in order])
    scene, goal = cast.scene(needed=len(order)), tower([spec.id for spec in order])
    return Setup(scene, goal, instruction, 4 + 4 * level, translations=translations(goal, scene))


def tower(ids: Sequence[str]) -> Arrange:
    """The goal that these stand on one another, named from the bottom up."""
    return Arrange(tuple(Relation(upper, lower) for lower, upper in pairwise(ids)))


TASK = Task(
    "stack",
    "Build a tower in a named order.",
    ("two blocks", "three blocks and a look-alike", "four blocks and clutter"),
    make,
)
