"""Sort by colour or shape: "red things into the white bowl, blue things into the black tray".

The instruction states the rule. Where the containers have the colours of the objects, it may be "each into the
container of its own colour".
"""

from __future__ import annotations

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES, ObjectSpec
from qwenarm.tasks import SceneBuilder, Setup, Sort, Task
from qwenarm.tasks.language.phrases import sort_phrase
from qwenarm.tasks.language.translate_goal import translations

OWN_COLOR_SHARE = 0.3
"""Share of the tasks by colour in which every container has the colour of its objects."""
BY_SHAPE_SHARE = 0.35
"""Share of the tasks by shape, from level 2 on."""
CONTAINER_CAPACITY = {"bowl": 2, "box": 2, "tray": 3}
"""Number of objects that stand in a container without leaning on each other."""
MAX_STRANGERS = 2
"""Maximum number of objects that belong nowhere, at level 3."""


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode with 3 to 6 objects to sort and 2 or 3 containers."""
    count = 2 if level == 1 else int(builder.rng.choice([2, 3]))
    by = "shape" if level > 1 and builder.rng.random() < BY_SHAPE_SHARE else "color"
    own = by == "color" and builder.rng.random() < OWN_COLOR_SHARE
    values = _values(builder, by, count)
    places = {value: _container(builder, value if own else None) for value in values}
    for value in values:
        builder.add(*_matching(by, value))
    needed = len(builder.specs)
    seats = [value for value in values for _ in range(CONTAINER_CAPACITY[places[value].shape] - 1)]
    extras = int(builder.rng.integers(1, 3)) + (level > 1) * int(builder.rng.integers(0, 2))
    for value in builder.rng.permutation(seats)[:extras]:
        builder.add_up_to(1, *_matching(by, str(value)))
    if level == 3:
        others = [v for v in (COLOR_RGB if by == "color" else GRASPABLE_SHAPES) if v not in values]
        builder.add_up_to(MAX_STRANGERS, *((GRASPABLE_SHAPES, others) if by == "color" else (others, tuple(COLOR_RGB))))
    is_own = all(place.color == value for value, place in places.items())
    words = sort_phrase(builder.rng, by, {value: place.label for value, place in places.items()}, is_own)
    goal = Sort(by, tuple((value, place.id) for value, place in places.items()))
    scene = builder.build(needed)
    moves = sum(goal.place_of(placement.spec) is not None for placement in scene.objects)
    return Setup(scene, goal, words, 4 + 3 * moves, translations=translations(goal, scene))


def _values(builder: SceneBuilder, by: str, count: int) -> list[str]:
    """Returns different colours or shapes of which graspable objects are left."""
    index = 0 if by == "color" else 1
    left = {pair[index] for pair in builder.available if pair[1] in GRASPABLE_SHAPES}
    order = COLOR_RGB if by == "color" else GRASPABLE_SHAPES
    return [str(v) for v in builder.rng.permutation([v for v in order if v in left])[:count]]


def _container(builder: SceneBuilder, color: str | None) -> ObjectSpec:
    """Adds a container of this colour, or of any colour if none is left."""
    wanted = [c for c, shape in builder.available if shape in CONTAINER_SHAPES and c == color]
    return builder.add(CONTAINER_SHAPES, wanted or tuple(COLOR_RGB))


def _matching(by: str, value: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the shapes and the colours of the objects that a value stands for."""
    return (GRASPABLE_SHAPES, (value,)) if by == "color" else ((value,), tuple(COLOR_RGB))


TASK = Task(
    "sort",
    "Sort objects by colour or shape into containers.",
    ("by colour into two containers", "by colour or shape into two or three", "and some that belong nowhere"),
    make,
)
