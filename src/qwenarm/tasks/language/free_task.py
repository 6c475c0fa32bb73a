"""Episodes for instructions in a user's own words: a scene with what they name, and a goal if there is one in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES, SHAPES, ObjectSpec
from qwenarm.body.scene import Scene, in_workspace
from qwenarm.errors import BadInput
from qwenarm.tasks.core.goal import Arrange, Goal, Setup, initial_state
from qwenarm.tasks.core.lookahead import PredictedTable
from qwenarm.tasks.core.planning import point_beside
from qwenarm.tasks.core.task import STACKABLE, Combos, Layout, SceneBuilder
from qwenarm.tasks.language.read_instruction import Reading, Thing, read
from qwenarm.tasks.language.translate_goal import translations

MAX_TURNS = 12
DISTRACTORS = (1, 3, 5)
"""Graspable things that nobody named, by level."""
TRIES = 60
"""Scenes that are drawn so that what is wished does not hold at the start, and can be done."""
ROOM_FOR = 3
"""So many containers fit on the table."""
EVERYTHING = Thing(None, None, every=True)


def free_setup(
    instruction: str,
    rng: np.random.Generator,
    level: int = 1,
    combos: Combos | None = None,
    layout: Layout | None = None,
) -> Setup:
    """An episode for an instruction in free words. Its goal is None if nobody could say when it is fulfilled.

    Raises BadInput if it names something that the world has not, or more than fits on the table.
    """
    reading, builder = read(instruction), SceneBuilder(rng, combos, layout)
    shapes, colors = _unnamed(reading)
    moved = [pair.what for pair in reading.pairs]
    named = [_cast_thing(builder, thing, reading.tower or thing in moved, shapes, colors) for thing in reading.things]
    if reading.own:
        _cast_own_colors(builder, reading, named)
    elif reading.sorts:
        for pair in reading.pairs:
            some = level + 1 if pair.what == EVERYTHING else int(rng.integers(1, 3))
            for _ in range(pair.what.count or some):
                _cast_member(builder, pair.what)
    needed = len(builder.specs)
    if colors and EVERYTHING not in moved:
        builder.add_up_to(
            DISTRACTORS[min(level, len(DISTRACTORS)) - 1], [s for s in shapes if s in GRASPABLE_SHAPES], colors
        )
        builder.add_up_to(
            sum(s.container for s in builder.specs) == 0, [s for s in shapes if s in CONTAINER_SHAPES], colors
        )
    scene, goal = _fair_scene(builder, reading, needed)
    turns = MAX_TURNS + 2 * len(reading.pairs)
    return Setup(scene, goal, instruction, turns, translations=translations(goal, scene), unjudged=reading.why)


def _fair_scene(builder: SceneBuilder, reading: Reading, needed: int) -> tuple[Scene, Goal | None]:
    for _ in range(TRIES):
        try:
            scene = builder.build(needed)
        except BadInput as error:
            raise BadInput(f"The {needed} objects of this instruction do not fit on the table: name fewer.") from error
        goal = reading.goal([placement.spec for placement in scene.objects])
        if _fair(goal, scene):
            return scene, goal
    raise BadInput(f"In none of {TRIES} scenes was there room to do this: name fewer things.")


def _fair(goal: Goal | None, scene: Scene) -> bool:
    """Whether nothing that is wished holds before the arm has moved, and there is room for what shall be beside."""
    if not isinstance(goal, Arrange):
        return True
    table = PredictedTable(initial_state(scene))
    aside = [relation for relation in goal.relations if relation.beside]
    spots = [point_beside(table.state, r.what, r.where, r.side) for r in aside]
    reachable = all(in_workspace(spot.x, spot.y) for spot in spots)
    return reachable and all(table.has_room(relation) and not relation.holds(table.state) for relation in aside)


def _cast_thing(
    builder: SceneBuilder, thing: Thing, moved: bool, shapes: Sequence[str], colors: Sequence[str]
) -> ObjectSpec:
    """The object that is named; what the words leave open is drawn from shapes and colours that mean nothing else."""
    if thing.color and thing.shape:
        return builder.add_exact(thing.color, thing.shape)
    kind = [s for s in shapes if s in (STACKABLE if moved else (*CONTAINER_SHAPES, *STACKABLE))]
    return builder.add([thing.shape] if thing.shape else kind, [thing.color] if thing.color else colors)


def _cast_member(builder: SceneBuilder, members: Thing) -> None:
    """One more of a class of things, if there is one left."""
    builder.add_up_to(
        1, [members.shape] if members.shape else GRASPABLE_SHAPES, [members.color] if members.color else tuple(COLORS)
    )


def _cast_own_colors(builder: SceneBuilder, reading: Reading, named: Sequence[ObjectSpec]) -> None:
    """Containers, unless some are named, and a thing or two of each one's colour."""
    places = [spec for spec in named if spec.container]
    if not places:
        colors = [str(color) for color in builder.rng.permutation(list(COLORS))[: ROOM_FOR - 1]]
        shapes = [reading.bins.shape] if reading.bins and reading.bins.shape else CONTAINER_SHAPES
        places = [builder.add(shapes, [color]) for color in colors]
    members = reading.members or EVERYTHING
    for place in places:
        for _ in range(int(builder.rng.integers(1, 3))):
            _cast_member(builder, replace(members, color=place.color))


def _unnamed(reading: Reading) -> tuple[list[str], list[str]]:
    """Shapes and colours that scenery may have, so that it is never meant by the words."""
    said = [*reading.things, *(pair.what for pair in reading.pairs)]
    shapes = {thing.shape for thing in said if thing.color is None}
    colors = {thing.color for thing in said if thing.shape is None}
    if reading.own:
        return list(SHAPES), []
    return [s for s in SHAPES if s not in shapes], [c for c in COLORS if c not in colors]
