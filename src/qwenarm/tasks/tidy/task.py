"""Scenes, words and levels of tidy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import GRASPABLE, ObjectSpec
from qwenarm.body.scene import Scene
from qwenarm.errors import BadInput
from qwenarm.tasks.core.events import Voice
from qwenarm.tasks.core.goal import Setup
from qwenarm.tasks.core.task import Cast, Task
from qwenarm.tasks.tidy.goal import (
    BIN,
    BOX_AREA,
    COLOR,
    DRAWER,
    MAIN_AREA,
    ROOM,
    STRIP,
    WAY,
    Begun,
    Rule,
    Tidy,
    bin_placement,
    drawer_placement,
    home_of,
    in_bin,
    mirrored,
)
from qwenarm.tasks.tidy.words import go_on_phrase, tidy_phrase

THINGS = (3, 6, 8)
"""By level, as far as there are so many and there is room."""
IN_STRIP = 2
"""So many of them stand before the drawer."""
THING_COLORS = tuple(color for color in COLORS if color not in COLOR.values())
Pair = tuple[str, str]


def make(cast: Cast, level: int) -> Setup:
    """One episode: rules, things for each home, and from level 2 on a drawer that is shut."""
    box = cast.draw(("box",)) if level > 1 else None
    rules = _draw_rules(cast, level, box)
    stray = _draw_things(cast, level, rules)
    side = 1 if cast.rng.random() < 0.5 else -1
    scene = _scene(cast, side, box, stray, opened=level == 1)
    things = [p.spec for p in scene.objects if p.spec.graspable]
    goal = Tidy(tuple((spec.id, home_of(rules, spec.color, spec.shape) or "") for spec in things), level > 1)
    words, later = tidy_phrase(cast.rng, rules, level == 3, box), go_on_phrase(cast.rng)
    begun = Begun()
    return Setup(
        scene,
        goal,
        words.text,
        max_turns=8 + 3 * len(things),
        happenings=(begun, Voice(begun, (later,))) if level == 3 else (),
        translations=words.translations,
    )


def _draw_rules(cast: Cast, level: int, box: ObjectSpec | None) -> tuple[Rule, ...]:
    """Two kinds of things for drawer and bin, and from level 2 on the rest for the box; there are things for each.

    No kind has the box's own colour. At level 3 one kind is a colour and one a shape, and the first rule goes before
    the second.
    """
    pairs = _pairs(cast)
    kinds = [("color", c) for c in THING_COLORS if c in {color for color, _ in pairs} and not (box and c == box.color)]
    kinds += [("shape", s) for s in GRASPABLE if s in {shape for _, shape in pairs}]
    choices = [(a, b) for a, b in permutations(kinds, 2) if level < 3 or a[0] != b[0]]
    homes = (DRAWER, BIN) if cast.rng.random() < 0.5 else (BIN, DRAWER)
    for i in cast.rng.permutation(len(choices)):
        rules = tuple(Rule(by, value, home) for (by, value), home in zip(choices[i], homes, strict=True))
        rules += (Rule("rest", "", box.id),) if box else ()
        if {home_of(rules, *pair) for pair in _clear(pairs, rules, level)} >= {rule.home for rule in rules}:
            return rules
    raise BadInput("There are not enough kinds of things to tidy up: allow more combinations.")


def _draw_things(cast: Cast, level: int, rules: Sequence[Rule]) -> ObjectSpec | None:
    """Things for each home, as far as it has room. Returns the one that lies in the bin, where it does not belong."""
    room = {rule.home: ROOM["box" if rule.by == "rest" else rule.home] for rule in rules}
    for pair in _in_turn(cast, level, rules):
        home = home_of(rules, *pair)
        if home and room[home] and sum(spec.graspable for spec in cast.specs) < THINGS[level - 1]:
            room[home] -= 1
            cast.take(*pair)
    strays = [spec for spec in cast.specs if spec.graspable and home_of(rules, spec.color, spec.shape) != BIN]
    if level < 3:
        return None
    cast.specs.remove(strays[-1])
    return strays[-1]


def _in_turn(cast: Cast, level: int, rules: Sequence[Rule]) -> Iterator[Pair]:
    """All that may be drawn: first one for each home, at level 3 before that one that both rules name."""
    pairs = _clear(_pairs(cast), rules, level)
    both = [pair for pair in pairs if all(rule.names(*pair) for rule in rules[:2])]
    first = [next(pair for pair in pairs if home_of(rules, *pair) == rule.home) for rule in rules]
    yield from dict.fromkeys([*both[:1], *first, *pairs])


def _clear(pairs: Sequence[Pair], rules: Sequence[Rule], level: int) -> list[Pair]:
    """Those whose home is clear: before level 3, what both rules name is not."""
    return [pair for pair in pairs if level == 3 or not all(rule.names(*pair) for rule in rules[:2])]


def _pairs(cast: Cast) -> list[Pair]:
    return [pair for pair in cast.free if pair[0] in THING_COLORS and pair[1] in GRASPABLE]


def _scene(cast: Cast, side: int, box: ObjectSpec | None, stray: ObjectSpec | None, opened: bool) -> Scene:
    """Drawer and bin on either side, the box beside the bin, the things between them and before the drawer."""
    things = [spec for spec in cast.specs if spec.graspable]
    before = {things[i].id for i in cast.rng.permutation(len(things))[: IN_STRIP if len(things) > IN_STRIP + 1 else 1]}
    areas = {spec.id: mirrored(STRIP if spec.id in before else MAIN_AREA, side) for spec in things}
    if box:
        areas[box.id] = mirrored(BOX_AREA, side)
    scene = cast.scene(min(4, len(cast.specs)), areas)
    there = [drawer_placement(side, opened), bin_placement(side)]
    if stray:
        there.append(in_bin(stray, side, float(cast.rng.uniform(-np.pi, np.pi))))
    return replace(scene, objects=(*scene.objects, *there), kept_free=(mirrored(WAY, side),))


TASK = Task(
    "tidy",
    "Put every thing into its home, drawer, bin or box, as was said at the start, and leave the drawer shut.",
    (
        "three things, an open drawer and a bin",
        "six things, a shut drawer, a bin and a box",
        "eight, exceptions, one in the wrong home, and the rules are told only once",
    ),
    make,
)
