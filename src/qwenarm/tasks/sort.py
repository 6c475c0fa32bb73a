"""Sort by colour or shape: "red things into the white bowl, blue things into the black tray".

The rule is told in words. Where the containers have the colours of the things, it may be "each into its own colour".
"""

from __future__ import annotations

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import CONTAINERS, GRASPABLE, ObjectSpec
from qwenarm.tasks.core.goal import Setup, Sort
from qwenarm.tasks.core.task import Cast, Task
from qwenarm.tasks.language.phrases import sort_phrase
from qwenarm.tasks.language.translate_goal import translations

BY_OWN_COLOR = 0.3
"""Share of the sortings by colour in which every container has the colour of its things."""
ROOM = {"bowl": 2, "box": 2, "tray": 3}
"""How many things stand in a container without leaning."""
BY_SHAPE = 0.35
"""Share of the sortings by shape, from level 2 on."""


def make(cast: Cast, level: int) -> Setup:
    """One episode: 3 to 6 things, 2 or 3 places, and from level 3 on things that belong nowhere."""
    count = 2 if level == 1 else int(cast.rng.choice([2, 3]))
    by = "shape" if level > 1 and cast.rng.random() < BY_SHAPE else "color"
    own = by == "color" and cast.rng.random() < BY_OWN_COLOR
    values = _values(cast, by, count)
    places = [_place(cast, value if own else None) for value in values]
    rule = dict(zip(values, places, strict=True))
    for value in values:
        _member(cast, by, value)
    needed = len(cast.specs)
    seats = [value for value in values for _ in range(ROOM[rule[value].shape] - 1)]
    extras = int(cast.rng.integers(1, 3)) + (level > 1) * int(cast.rng.integers(0, 2))
    for value in cast.rng.permutation(seats)[:extras]:
        _member(cast, by, str(value), extra=True)
    if level == 3:
        _strangers(cast, by, values)
    owned = all(place.color == value for value, place in rule.items())
    words = sort_phrase(cast.rng, by, {value: place.label for value, place in rule.items()}, owned)
    goal = Sort(by, tuple((value, place.id) for value, place in rule.items()))
    scene = cast.scene(needed)
    moves = sum(goal.place_of(placement.spec) is not None for placement in scene.objects)
    return Setup(scene, goal, words, 4 + 3 * moves, translations=translations(goal, scene))


def _values(cast: Cast, by: str, count: int) -> list[str]:
    """Different colours or shapes of which there are things to draw."""
    index = 0 if by == "color" else 1
    there = {pair[index] for pair in cast.free if pair[1] in GRASPABLE}
    order = COLORS if by == "color" else GRASPABLE
    return [str(v) for v in cast.rng.permutation([v for v in order if v in there])[:count]]


def _place(cast: Cast, color: str | None) -> ObjectSpec:
    """A container of this colour, or of any if there is none."""
    wanted = [c for c, shape in cast.free if shape in CONTAINERS and c == color]
    return cast.draw(CONTAINERS, wanted or tuple(COLORS))


def _member(cast: Cast, by: str, value: str, extra: bool = False) -> None:
    """A thing of this colour or shape; if it is an extra one, only as far as there are any."""
    shapes, colors = (GRASPABLE, (value,)) if by == "color" else ((value,), tuple(COLORS))
    if extra:
        cast.add(1, shapes, colors)
    else:
        cast.draw(shapes, colors)


def _strangers(cast: Cast, by: str, values: list[str]) -> None:
    """Up to two things that belong nowhere, if shapes are left for them."""
    rest = [v for v in (COLORS if by == "color" else GRASPABLE) if v not in values]
    if rest:
        cast.add(2, GRASPABLE if by == "color" else rest, rest if by == "color" else tuple(COLORS))


TASK = Task(
    "sort",
    "Sort things by colour or shape into places.",
    ("by colour into two places", "by colour or shape into two or three", "and some that belong nowhere"),
    make,
)
