"""The objects that a wish names, and where they stand at the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES, OBJECT_SHAPES
from qwenarm.body.scene import Placement, Scene
from qwenarm.tasks.core.goal import initial_state
from qwenarm.tasks.core.planning import point_beside
from qwenarm.tasks.core.task import STACKABLE_SHAPES, SceneBuilder
from qwenarm.tasks.language.check_wish import MAX_CONTAINERS
from qwenarm.tasks.language.ground import along, find
from qwenarm.tasks.language.vocabulary import ANY_CONTAINER, shape_fits
from qwenarm.tasks.language.wish import (
    Between,
    Command,
    Count,
    Group,
    Lift,
    MatchColors,
    Move,
    Named,
    OneEach,
    SameContainer,
    Swap,
    Thing,
    Tower,
    Wish,
    groups,
)

DISTRACTOR_COUNT = (1, 3, 5)
"""Number of graspable objects that nobody named, by level."""
BIG_M, SMALL_M = 0.052, 0.040
"""Sizes of things that are distinguished by size, in m."""
MIN_LEAD_M = 0.03
"""Minimum distance by which the "leftmost" or "nearest" is ahead of the next, in m."""
MIN_GAP_M = 0.02
"""Minimum free space around a thing that starts beside another, in m."""


def add_named_objects(builder: SceneBuilder, wish: Wish, named: Sequence[Thing], level: int) -> int:
    """Adds the named objects, and distractors that the words cannot mean.

    Args:
        builder: Draws and collects the objects.
        wish: What they are for; empty if nothing is judged.
        named: The single things that the words name, in order.
        level: The higher, the more distractors.

    Returns:
        How many objects are needed. These come first.
    """
    shapes, colors = _free_for_scenery(wish, named)
    blocks = _to_be_blocks(wish)
    kinds = set[tuple[str | None, str | None]]()
    for thing in sorted(named, key=lambda thing: thing.but is not None):
        kin = [s for s in builder.specs if thing.color in (None, s.color) and shape_fits(thing.shape, s.shape)]
        if thing.but and len(kin) > 1:
            continue  # "the other" is there already, as with the left one
        if thing.rank or thing.size:
            if (thing.color, thing.shape) not in kinds:
                _add_kind(builder, [t for t in named if (t.color, t.shape) == (thing.color, thing.shape)], colors)
            kinds.add((thing.color, thing.shape))
        else:
            _add_thing(builder, thing, thing in blocks, shapes, colors)
    for command in wish:
        if isinstance(command, MatchColors):
            _add_own_colors(builder, command)
        elif isinstance(command, OneEach):
            _add_pairs(builder, command)
        elif isinstance(command, SameContainer):
            for _ in range(command.bins.count or int(builder.rng.integers(2, MAX_CONTAINERS + 1))):
                _add_bin(builder, command.bins)
    named_by = {group: command for command in wish for group in groups((command,))}
    for group, command in named_by.items():
        for _ in range(_count_members(builder, wish, group, command, level)):
            _add_member(builder, group)
    needed = len(builder.specs)
    if _has_scenery(wish):
        builder.add_up_to(
            DISTRACTOR_COUNT[min(level, len(DISTRACTOR_COUNT)) - 1],
            [s for s in shapes if s in GRASPABLE_SHAPES],
            colors,
        )
        builder.add_up_to(
            sum(s.container for s in builder.specs) == 0, [s for s in shapes if s in CONTAINER_SHAPES], colors
        )
    return needed


def _add_thing(builder: SceneBuilder, thing: Thing, block: bool, shapes: Sequence[str], colors: Sequence[str]) -> None:
    """Adds a named object. What the words leave open is drawn from shapes and colours that mean nothing else."""
    if thing.color and thing.shape not in (None, ANY_CONTAINER):
        builder.add_exact(thing.color, thing.shape)
        return
    kind = [s for s in shapes if s in (STACKABLE_SHAPES if block else (*CONTAINER_SHAPES, *STACKABLE_SHAPES))]
    kind = list(CONTAINER_SHAPES) if thing.shape == ANY_CONTAINER else [thing.shape] if thing.shape else kind
    builder.add(kind, [thing.color] if thing.color else colors)


def _add_kind(builder: SceneBuilder, kin: Sequence[Thing], colors: Sequence[str]) -> None:
    """Adds as many of a kind as needed to tell the named ones from the others."""
    color, shape = kin[0].color, kin[0].shape
    assert shape is not None
    ranks = [thing.rank for thing in kin if thing.rank]
    count = max(2, *(3 if rank.edge == "middle" else rank.number + (rank.number > 1) for rank in ranks), 0)
    for number in range(count):
        spec = builder.add_exact(color, shape) if color else builder.add([shape], colors)
        size = spec.size if not kin[0].size else BIG_M if number == 0 else SMALL_M
        builder.specs[-1] = replace(spec, size=size, number=number if color else 0)


def _add_member(builder: SceneBuilder, group: Group) -> None:
    """Adds another object of a kind if one is left."""
    if group.color and group.shape:
        number = sum((s.color, s.shape) == (group.color, group.shape) for s in builder.specs)
        builder.specs[-1] = replace(builder.add_exact(group.color, group.shape), number=number)
        return
    left_out = [each for each in group.but if isinstance(each, Group)]
    of_any_color = [each for each in group.but if isinstance(each, Thing) and not each.color and not each.rank]
    other_shapes = [each.shape for each in (*left_out, *of_any_color) if group.shape is None]
    other_colors = [each.color for each in left_out if each.shape == group.shape]
    shapes = [group.shape] if group.shape else [s for s in GRASPABLE_SHAPES if s not in other_shapes]
    builder.add_up_to(1, shapes, [group.color] if group.color else [c for c in COLOR_RGB if c not in other_colors])


def _add_bin(builder: SceneBuilder, bins: Group) -> None:
    """Adds a container of a kind."""
    if bins.shape == ANY_CONTAINER:
        builder.add(CONTAINER_SHAPES, [bins.color] if bins.color else list(COLOR_RGB))
    else:
        _add_member(builder, bins)


def _count_members(builder: SceneBuilder, wish: Wish, group: Group, command: Command, level: int) -> int:
    """Returns how many objects of a group to add besides those that are named one by one."""
    if isinstance(command, MatchColors | OneEach) or (isinstance(command, Count) and group == Group()):
        return 0
    if isinstance(command, Count):
        return int(builder.rng.integers(1, 5))
    if isinstance(command, Tower):
        return group.count or int(builder.rng.integers(2, 4))
    if group.choice:
        chosen = [c.what for c in wish if isinstance(c, Move) and isinstance(c.what, Group) and c.what.choice]
        kin = [each for each in chosen if (each.color, each.shape) == (group.color, group.shape)]
        return (group.total or sum(each.count for each in kin) + 1) if group == kin[0] else 0
    some = level + 1 if not group.color and not group.shape else int(builder.rng.integers(1, 3))
    return group.count or some + 2 * group.spared


def _add_own_colors(builder: SceneBuilder, command: MatchColors) -> None:
    """Adds containers, unless some are named, and one or two things of each one's colour."""
    places, what = [spec for spec in builder.specs if spec.container], command.what
    if not places:
        first = [spec.color for spec in builder.specs]
        others = [str(c) for c in builder.rng.permutation(list(COLOR_RGB)) if c not in first]
        shapes = [command.bins] if command.bins else CONTAINER_SHAPES
        places = [builder.add(shapes, [color]) for color in [*first, *others][: MAX_CONTAINERS - 1]]
    if isinstance(what, Group):
        for place in places:
            for _ in range(int(builder.rng.integers(1, 3))):
                builder.add_up_to(1, [what.shape] if what.shape else GRASPABLE_SHAPES, [place.color])


def _add_pairs(builder: SceneBuilder, command: OneEach) -> None:
    """Adds as many containers as things."""
    count = command.count or int(builder.rng.integers(2, MAX_CONTAINERS + 1))
    if isinstance(command.what, Group):
        for _ in range(count):
            _add_member(builder, command.what)
    for _ in range(count):
        builder.add([command.bins] if command.bins else CONTAINER_SHAPES)


def _free_for_scenery(wish: Wish, named: Sequence[Thing]) -> tuple[list[str], list[str]]:
    """Returns shapes and colours that distractors may have, so that the words never mean them."""
    said: list[Named] = [*named, *groups(wish)]
    shapes = {
        shape for each in said if each.color is None for shape in OBJECT_SHAPES if shape_fits(each.shape or "", shape)
    }
    colors = {each.color for each in said if each.shape in (None, ANY_CONTAINER)}
    if any(isinstance(command, MatchColors) for command in wish):
        return list(OBJECT_SHAPES), []
    return [s for s in OBJECT_SHAPES if s not in shapes], [c for c in COLOR_RGB if c not in colors]


def _has_scenery(wish: Wish) -> bool:
    """Returns whether distractors may be added: not if the words mean everything on the table."""
    moved = [command.what for command in wish if isinstance(command, Move)]
    moved += [what for command in wish if isinstance(command, SameContainer) for what in command.what]
    everything = any(isinstance(what, Group) and not what.color and not what.shape for what in moved)
    return not everything and not any(isinstance(command, MatchColors) for command in wish)


def _to_be_blocks(wish: Wish) -> set[Thing]:
    """Returns the things that are to be lifted and to carry others, or to stand on others."""
    moves = [command for command in wish if isinstance(command, Move)]
    carriers = [m.place.thing for m in moves if m.place.where == "at" and m.what.shape != "ball"]
    moved = [move.what for move in moves if isinstance(move.what, Thing)]
    moved += [command.what for command in wish if isinstance(command, Lift | Between)]
    rows = [command.what for command in wish if isinstance(command, Tower | Swap | OneEach | SameContainer)]
    built = [what for row in rows if isinstance(row, tuple) for what in row]
    return {thing for thing in (*carriers, *moved, *built) if isinstance(thing, Thing)}


def arrange_start(scene: Scene, named: Sequence[Thing]) -> Scene | None:
    """Returns the scene with everything where the words place it at the start, or None if there is no room."""
    for thing in named:
        if thing.at is None:
            continue
        base, item = find(thing.at.thing, scene), find(thing, scene)
        if thing.at.where == "at":
            moved = replace(item, pos=(*base.pos[:2], base.spec.support_height + item.spec.origin_height))
        else:
            spot = point_beside(initial_state(scene), item.spec.id, base.spec.id, thing.at.side)
            moved = replace(item, pos=(spot.x, spot.y, item.spec.origin_height))
            if not scene.has_place(spot.x, spot.y) or not _clear(moved, scene):
                return None
        scene = replace(scene, objects=tuple(moved if p is item else p for p in scene.objects))
    return scene if all(_leads(thing, scene) for thing in named) else None


def _clear(moved: Placement, scene: Scene) -> bool:
    others = [p for p in scene.objects if p.spec.id != moved.spec.id]
    gaps = [np.hypot(*np.subtract(moved.pos[:2], p.pos[:2])) - moved.spec.radius - p.spec.radius for p in others]
    return min(gaps, default=1.0) > MIN_GAP_M


def _leads(thing: Thing, scene: Scene) -> bool:
    """Returns whether the thing that is meant can be told from the next of its kind."""
    if thing.rank is None:
        return True
    kind = replace(thing, rank=None)
    kin = [p for p in scene.objects if kind.color in (None, p.spec.color) and shape_fits(kind.shape, p.spec.shape)]
    places = sorted(along(thing.rank, placement, scene) for placement in kin)
    return all(b - a > MIN_LEAD_M for a, b in pairwise(places))
