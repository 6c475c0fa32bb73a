"""Put one object in or on another: "put the red cube in the blue bowl".

The object is a cube, a cylinder or a ball. It goes into a bowl, a tray or a box, or onto a cube or a cylinder.
"""

from __future__ import annotations

from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES
from qwenarm.tasks import STACKABLE_SHAPES, Arrange, Relation, SceneBuilder, Setup, Task
from qwenarm.tasks.language.phrases import put_phrase
from qwenarm.tasks.language.translate_goal import translations

STACKING_SHARE = 0.2
"""Share of the episodes whose target is a cube or a cylinder instead of a container."""
DISTRACTOR_COUNT = (0, 0, 2)
"""Number of additional graspable objects, by level."""
MAX_TURNS = 8


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode: first the objects that the instruction names, then the others."""
    stacking = builder.rng.random() < STACKING_SHARE
    what = builder.add(STACKABLE_SHAPES if stacking else GRASPABLE_SHAPES)
    where = builder.add(STACKABLE_SHAPES if stacking else CONTAINER_SHAPES)
    if level >= 2:
        builder.add_look_alikes(what)
        builder.add_look_alikes(where)
    builder.add_up_to(DISTRACTOR_COUNT[level - 1] + (not stacking), GRASPABLE_SHAPES)
    if stacking or (level == 1 and builder.rng.random() < 0.5):
        builder.add_up_to(1, CONTAINER_SHAPES)
    goal = Arrange((Relation(what.id, where.id),))
    scene = builder.build(needed=2)
    words = put_phrase(builder.rng, what.label, where.label)
    return Setup(scene, goal, words, MAX_TURNS, translations=translations(goal, scene))


TASK = Task(
    "put",
    "Put one object in or on another.",
    ("few objects", "look-alikes: same shape or same colour", "look-alikes and clutter"),
    make,
)
