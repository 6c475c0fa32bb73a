"""Scenes and levels of long."""

from __future__ import annotations

from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES
from qwenarm.tasks import STACKABLE_SHAPES, SceneBuilder, Setup, Task
from qwenarm.tasks.language.es_zh import in_order
from qwenarm.tasks.long.goal import InOrder, SubgoalTracker
from qwenarm.tasks.long.subgoals import draw_subgoals
from qwenarm.tasks.long.words import sequence_phrase

SUBGOAL_COUNT = (3, 6, 10)
"""Number of sub-goals, by level."""
GRASPABLE_COUNT = (4, 5, 5)
"""Number of graspable objects, by level; there are no more among the (colour, shape) pairs held out from training."""
CONTAINER_COUNT = 2
"""Number of containers. Level 3 adds one more container and graspable object if there is room."""


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode. Each sub-goal is drawn from what can be done after the ones before it."""
    others = GRASPABLE_COUNT[level - 1] - 2
    containers = [CONTAINER_SHAPES] * CONTAINER_COUNT
    for shapes in (STACKABLE_SHAPES, STACKABLE_SHAPES, *[GRASPABLE_SHAPES] * others, *containers):
        builder.add(shapes)
    needed = len(builder.specs)
    builder.add_up_to(int(level == 3), CONTAINER_SHAPES)
    builder.add_up_to(int(level == 3), GRASPABLE_SHAPES)
    scene = builder.build(needed)
    subgoals, lasting = draw_subgoals(builder.rng, scene, SUBGOAL_COUNT[level - 1])
    tracker = SubgoalTracker(tuple(subgoal.goal for subgoal in subgoals))
    moves = sum(len(subgoal.goal.relations) for subgoal in subgoals)
    words = sequence_phrase(builder.rng, [subgoal.words for subgoal in subgoals])
    translations = in_order([subgoal.clauses for subgoal in subgoals])
    return Setup(scene, InOrder(tracker, lasting), words, 4 + 3 * moves, (tracker,), translations)


TASK = Task(
    "long",
    "Many moves in the order in which they are named: put, stack, put next to, gather.",
    ("three sub-goals", "six sub-goals", "ten sub-goals"),
    make,
)
