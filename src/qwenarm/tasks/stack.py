"""Build a tower in a given order: "stack the green cube on the yellow one"."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES
from qwenarm.tasks import STACKABLE_SHAPES, Arrange, Relation, SceneBuilder, Setup, Task
from qwenarm.tasks.language.phrases import stack_phrase
from qwenarm.tasks.language.translate_goal import translations

DISTRACTOR_COUNT = (1, 1, 2)
"""Number of additional graspable objects, by level."""
CONTAINER_SHARE = 0.4
"""Share of the scenes that also have a container."""


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode with a tower of level + 1 objects."""
    order = [builder.add(STACKABLE_SHAPES) for _ in range(level + 1)]
    if level >= 2:
        builder.add_look_alikes(order[-1])
    builder.add_up_to(DISTRACTOR_COUNT[level - 1], GRASPABLE_SHAPES)
    if builder.rng.random() < CONTAINER_SHARE:
        builder.add_up_to(1, CONTAINER_SHAPES)
    instruction = stack_phrase(builder.rng, [spec.label for spec in order])
    scene, goal = builder.build(needed=len(order)), tower([spec.id for spec in order])
    return Setup(scene, goal, instruction, 4 + 4 * level, translations=translations(goal, scene))


def tower(ids: Sequence[str]) -> Arrange:
    """Returns the goal that these objects, given from the bottom up, stand on one another."""
    return Arrange(tuple(Relation(upper, lower) for lower, upper in pairwise(ids)))


TASK = Task(
    "stack",
    "Build a tower in a given order.",
    ("two objects", "three objects and a look-alike", "four objects and clutter"),
    make,
)
