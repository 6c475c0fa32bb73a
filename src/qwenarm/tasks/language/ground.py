"""Turns a wish into a goal by finding the objects of a scene that are meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qwenarm.body.objects.spec import GRASPABLE_SHAPES, ObjectSpec
from qwenarm.body.scene import Placement, Scene
from qwenarm.errors import BadInput
from qwenarm.tasks.core.goal import Arrange, Goal, Relation, Sort, initial_state
from qwenarm.tasks.core.planning import image_u
from qwenarm.tasks.language.goals import (
    Answer,
    AnyTower,
    Exactly,
    Holds,
    InBetween,
    Lifted,
    OneInEach,
    Part,
    Swapped,
    Together,
)
from qwenarm.tasks.language.vocabulary import is_container, shape_fits
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
    Rank,
    SameContainer,
    Swap,
    Thing,
    Tower,
    Wish,
)


def goal_of(wish: Wish, scene: Scene) -> Goal | None:
    """Returns the goal in this scene, or None for an empty wish. Raises BadInput for a missing or ambiguous object."""
    if not wish:
        return None
    if rule := _sorting(wish, scene):
        return rule
    (first, *_) = wish
    if isinstance(first, Lift):
        return Lifted(find(first.what, scene).spec.id)
    if isinstance(first, Count):
        return Answer(sum(_fits(first.what, placement.spec) for placement in scene.objects))
    parts = tuple(part for command in wish for part in _parts(command, scene))
    kept = tuple(part for command in wish if isinstance(command, Move) for part in _kept(command, scene))
    if not kept and all(isinstance(part, Holds) for part in parts):
        return Arrange(tuple(part.relation for part in parts if isinstance(part, Holds)))
    return Together(parts, kept)


def find(thing: Thing, scene: Scene) -> Placement:
    """Returns the object that is meant. Raises BadInput if there is none, or more than one."""
    found = [p for p in scene.objects if _fits(thing, p.spec)]
    if thing.but:
        other = find(thing.but, scene)
        found = [p for p in found if p is not other]
    if thing.size and len({p.spec.size for p in found}) > 1:
        sizes = {p.spec.size for p in found}
        found = [p for p in found if p.spec.size == (max(sizes) if thing.size == "big" else min(sizes))]
    if thing.rank is not None and found:
        found = _ranked(thing.rank, found, scene)
    if len(found) != 1:
        there = ", ".join(p.spec.label for p in scene.objects)
        raise BadInput(f"{'More than one' if found else 'No'} {thing} on the table; there are: {there}.")
    return found[0]


def along(rank: Rank, placement: Placement, scene: Scene) -> float:
    """Returns the sort key by which a rank counts things, smallest first."""
    x, y, _ = placement.pos
    if rank.edge in ("near", "far"):
        to = find(rank.to, scene).pos[:2] if rank.to else (0.0, 0.0)
        return float(np.hypot(x - to[0], y - to[1])) * (1 if rank.edge == "near" else -1)
    if rank.edge in ("front", "back"):
        return -x if rank.edge == "front" else x
    u = image_u(initial_state(scene)[placement.spec.id])
    return -u if rank.edge == "right" else u


def _ranked(rank: Rank, found: Sequence[Placement], scene: Scene) -> list[Placement]:
    ordered = sorted(found, key=lambda placement: along(rank, placement, scene))
    index = len(ordered) // 2 if rank.edge == "middle" else rank.number - 1
    return ordered[index : index + 1]


def _fits(named: Named, spec: ObjectSpec) -> bool:
    return named.color in (None, spec.color) and shape_fits(named.shape, spec.shape)


def _members(group: Group, scene: Scene) -> list[str]:
    """Returns the ids of a group's objects without the excepted ones. "Things" are all that the hand can lift."""
    spared = _ids(group.but, scene)
    specs = [p.spec for p in scene.objects if _fits(group, p.spec)]
    if group.shape is None:
        specs = [spec for spec in specs if spec.shape in GRASPABLE_SHAPES]
    return [spec.id for spec in specs if spec.id not in spared]


def _ids(named: Sequence[Named], scene: Scene) -> list[str]:
    """Returns the ids of all the objects that are named."""
    ids = [_members(each, scene) if isinstance(each, Group) else [find(each, scene).spec.id] for each in named]
    return [name for names in ids for name in names]


def _sorting(wish: Wish, scene: Scene) -> Sort | None:
    """Returns the wish as a rule for sorting by colour or shape, or None if it is not one."""
    (first, *_) = wish
    if isinstance(first, MatchColors):
        places = [find(thing, scene).spec for thing in first.places] or _bins(first.bins, scene)
        return Sort("color", tuple((spec.color, spec.id) for spec in places), leaning=True)
    moves = [c for c in wish if isinstance(c, Move) and isinstance(c.what, Group) and c.place.where == "at"]
    kinds = [move.what for move in moves]
    plain = all(kind == Group(kind.color, kind.shape) for kind in kinds)
    if len(moves) < max(2, len(wish)) or not plain or not all(is_container(m.place.thing.shape) for m in moves):
        return None
    for by in ("color", "shape"):
        other = "shape" if by == "color" else "color"
        if all(getattr(kind, by) and not getattr(kind, other) for kind in kinds):
            return Sort(
                by, tuple((getattr(m.what, by), find(m.place.thing, scene).spec.id) for m in moves), leaning=True
            )
    return None


def _bins(shape: str | None, scene: Scene) -> list[ObjectSpec]:
    return [p.spec for p in scene.objects if p.spec.container and shape_fits(shape, p.spec.shape)]


def _parts(command: Command, scene: Scene) -> list[Part]:
    """Returns what must hold for one command to be fulfilled."""
    if isinstance(command, Move):
        return _moved(command, scene)
    if isinstance(command, Tower):
        return [AnyTower(tuple(_ids(command.what, scene)))]
    if isinstance(command, Swap):
        return [Swapped(_two(command, scene))]
    if isinstance(command, Between):
        one, other = _ids(command.others, scene)
        return [InBetween(find(command.what, scene).spec.id, (one, other))]
    if isinstance(command, SameContainer):
        bins = [spec.id for spec in _bins(command.bins.shape, scene) if _fits(command.bins, spec)]
        return [OneInEach(tuple(tuple(_ids(each, scene)) for each in command.sets), tuple(bins))]
    assert isinstance(command, OneEach)
    things = _members(command.what, scene) if isinstance(command.what, Group) else _ids(command.what, scene)
    return [OneInEach(tuple((thing,) for thing in things), tuple(spec.id for spec in _bins(command.bins, scene)))]


def _two(swap: Swap, scene: Scene) -> tuple[Placement, Placement]:
    (first, *_) = swap.what
    if isinstance(first, Thing):
        one, other = (find(thing, scene) for thing in swap.what if isinstance(thing, Thing))
        return one, other
    members = _members(first, scene)
    one, other = (placement for placement in scene.objects if placement.spec.id in members)
    return one, other


def _moved(move: Move, scene: Scene) -> list[Part]:
    """Returns a relation for each thing, or the condition that a number of them hold."""
    what = move.what
    if isinstance(what, Thing):
        return [Holds(_relation(move, find(what, scene).spec.id, scene))]
    relations = tuple(_relation(move, member, scene) for member in _members(what, scene))
    if what.choice or what.spared:
        return [Exactly(what.count if what.choice else len(relations) - what.spared, relations)]
    return [Holds(relation) for relation in relations]


def _kept(move: Move, scene: Scene) -> list[Part]:
    """Returns the condition that the excepted things, or all others, stay out of the place."""
    out = _ids(move.what.but if isinstance(move.what, Group) else (), scene)
    if move.only:
        wanted = _ids((move.what,), scene)
        out = [name for name in _members(Group(), scene) if name not in wanted]
    return [Exactly(0, tuple(_relation(move, each, scene) for each in out))] if out else []


def _relation(move: Move, what: str, scene: Scene) -> Relation:
    return Relation(what, find(move.place.thing, scene).spec.id, move.place.beside, move.place.side, leaning=True)
