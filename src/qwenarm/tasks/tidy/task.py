"""Scenes and levels of tidy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import GRASPABLE_SHAPES, ObjectSpec
from qwenarm.body.scene import Scene
from qwenarm.errors import BadInput
from qwenarm.tasks import InstructionUpdates, LiftCounter, SceneBuilder, Setup, Task
from qwenarm.tasks.tidy.goal import (
    BIN_ID,
    BOX_AREA,
    DRAWER_FRONT,
    DRAWER_ID,
    DRAWER_PATH,
    HOME_CAPACITY,
    HOME_COLOR,
    OBJECT_AREA,
    HomeRule,
    Tidy,
    bin_placement,
    drawer_placement,
    home_of,
    mirrored,
    placement_in_bin,
)
from qwenarm.tasks.tidy.words import go_on_phrase, tidy_phrase

OBJECT_COUNT = (3, 6, 8)
"""Maximum number of objects, by level."""
BEFORE_DRAWER_COUNT = 2
"""Number of objects that stand in front of the drawer."""
OBJECT_COLORS = tuple(color for color in COLOR_RGB if color not in HOME_COLOR.values())
Pair = tuple[str, str]
"""Colour and shape of an object."""


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode: rules, objects for each home, and from level 2 on a shut drawer."""
    box = builder.add(("box",)) if level > 1 else None
    rules = _draw_rules(builder, level, box)
    misplaced = _add_objects(builder, level, rules)
    side = 1 if builder.rng.random() < 0.5 else -1
    scene = _scene(builder, side, box, misplaced, opened=level == 1)
    things = [p.spec for p in scene.objects if p.spec.graspable]
    goal = Tidy(tuple((spec.id, home_of(rules, spec.color, spec.shape) or "") for spec in things), level > 1)
    words, later = tidy_phrase(builder.rng, rules, level == 3, box), go_on_phrase(builder.rng)
    lifts = LiftCounter((None,))
    events = (lifts, InstructionUpdates(lifts, (later,))) if level == 3 else ()
    return Setup(scene, goal, words.text, 8 + 3 * len(things), events, words.translations)


def _draw_rules(builder: SceneBuilder, level: int, box: ObjectSpec | None) -> tuple[HomeRule, ...]:
    """Draws two kinds of objects for drawer and bin, with the rest for the box from level 2 on. No home stays empty.

    No kind has the box's own colour. At level 3 one kind is a colour and one a shape, and the first rule wins where
    both apply. Raises BadInput if the allowed objects permit no such rules.
    """
    pairs = _pairs(builder)
    colors, shapes = {color for color, _ in pairs}, {shape for _, shape in pairs}
    kinds = [("color", c) for c in OBJECT_COLORS if c in colors and not (box and c == box.color)]
    kinds += [("shape", s) for s in GRASPABLE_SHAPES if s in shapes]
    choices = [(a, b) for a, b in permutations(kinds, 2) if level < 3 or a[0] != b[0]]
    homes = (DRAWER_ID, BIN_ID) if builder.rng.random() < 0.5 else (BIN_ID, DRAWER_ID)
    for i in builder.rng.permutation(len(choices)):
        rules = tuple(HomeRule(by, value, home) for (by, value), home in zip(choices[i], homes, strict=True))
        rules += (HomeRule("rest", "", box.id),) if box else ()
        if {home_of(rules, *pair) for pair in _unambiguous(pairs, rules, level)} >= {rule.home for rule in rules}:
            return rules
    raise BadInput("There are not enough kinds of objects to tidy up: allow more combinations.")


def _add_objects(builder: SceneBuilder, level: int, rules: Sequence[HomeRule]) -> ObjectSpec | None:
    """Adds objects for each home while it has room. Returns the one that starts in the bin by mistake, if any."""
    room = {rule.home: HOME_CAPACITY["box" if rule.by == "rest" else rule.home] for rule in rules}
    for pair in _candidates(builder, level, rules):
        home = home_of(rules, *pair)
        if home and room[home] and sum(spec.graspable for spec in builder.specs) < OBJECT_COUNT[level - 1]:
            room[home] -= 1
            builder.add_exact(*pair)
    if level < 3:
        return None
    others = [spec for spec in builder.specs if spec.graspable and home_of(rules, spec.color, spec.shape) != BIN_ID]
    builder.specs.remove(others[-1])
    return others[-1]


def _candidates(builder: SceneBuilder, level: int, rules: Sequence[HomeRule]) -> Iterator[Pair]:
    """Yields the objects that may be added: at level 3 first one that both rules name, then one per home."""
    pairs = _unambiguous(_pairs(builder), rules, level)
    both = [pair for pair in pairs if all(rule.names(*pair) for rule in rules[:2])]
    first = [next(pair for pair in pairs if home_of(rules, *pair) == rule.home) for rule in rules]
    yield from dict.fromkeys([*both[:1], *first, *pairs])


def _unambiguous(pairs: Sequence[Pair], rules: Sequence[HomeRule], level: int) -> list[Pair]:
    """Returns the pairs with a clear home. Pairs that both rules name have one at level 3 only."""
    return [pair for pair in pairs if level == 3 or not all(rule.names(*pair) for rule in rules[:2])]


def _pairs(builder: SceneBuilder) -> list[Pair]:
    return [pair for pair in builder.available if pair[0] in OBJECT_COLORS and pair[1] in GRASPABLE_SHAPES]


def _scene(
    builder: SceneBuilder, side: int, box: ObjectSpec | None, misplaced: ObjectSpec | None, opened: bool
) -> Scene:
    """Places drawer and bin on opposite sides, the box beside the bin, and the objects between or before them."""
    things = [spec for spec in builder.specs if spec.graspable]
    count = BEFORE_DRAWER_COUNT if len(things) > BEFORE_DRAWER_COUNT + 1 else 1
    before = {things[i].id for i in builder.rng.permutation(len(things))[:count]}
    areas = {spec.id: mirrored(DRAWER_FRONT if spec.id in before else OBJECT_AREA, side) for spec in things}
    if box:
        areas[box.id] = mirrored(BOX_AREA, side)
    scene = builder.build(min(4, len(builder.specs)), areas)
    added = [drawer_placement(side, opened), bin_placement(side)]
    if misplaced:
        added.append(placement_in_bin(misplaced, side, float(builder.rng.uniform(-np.pi, np.pi))))
    return replace(scene, objects=(*scene.objects, *added), reserved_areas=(mirrored(DRAWER_PATH, side),))


TASK = Task(
    "tidy",
    "Put every object into its home, drawer, bin or box, as was said at the start, and leave the drawer shut.",
    (
        "three objects, an open drawer and a bin",
        "six objects, a shut drawer, a bin and a box",
        "eight, exceptions, one in the wrong home, and the rules are said only once",
    ),
    make,
    needs_fingers="its drawer is drawn by a knob",
)
