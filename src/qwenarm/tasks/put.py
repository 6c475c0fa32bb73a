"""Put one thing in or on another: "put the red cube in the blue bowl".

What is moved is a cube, a cylinder or a ball; where it goes is a bowl, a tray, a box, or the top of a block.
"""

from __future__ import annotations

from qwenarm.body.objects.spec import CONTAINERS, GRASPABLE
from qwenarm.tasks.core.goal import Arrange, Relation, Setup
from qwenarm.tasks.core.task import BLOCKS, Cast, Task
from qwenarm.tasks.language.phrases import put_phrase
from qwenarm.tasks.language.translate_goal import translations

ON_A_BLOCK = 0.2
"""Share of the episodes in which the place is a block instead of a container."""
MAX_TURNS = 8


def make(cast: Cast, level: int) -> Setup:
    """One episode. What is named is drawn first, then what stands around it."""
    on_block = cast.rng.random() < ON_A_BLOCK
    what = cast.draw(BLOCKS if on_block else GRASPABLE)
    where = cast.draw(BLOCKS if on_block else CONTAINERS)
    if level >= 2:
        cast.look_alikes(what)
        cast.look_alikes(where)
    solids = (0, 0, 2)[level - 1] + (not on_block)
    cast.add(solids, GRASPABLE)
    if on_block or (level == 1 and cast.rng.random() < 0.5):
        cast.add(1, CONTAINERS)
    goal = Arrange((Relation(what.id, where.id),))
    scene = cast.scene(needed=2)
    words = put_phrase(cast.rng, what.label, where.label)
    return Setup(scene, goal, words, MAX_TURNS, translations=translations(goal, scene))


TASK = Task(
    "put",
    "Put one thing in or on another.",
    ("few objects", "look-alikes: same shape or same colour", "look-alikes and clutter"),
    make,
)
