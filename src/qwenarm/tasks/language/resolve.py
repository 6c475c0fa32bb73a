"""Resolves what "the red one" stands for, and in which order wishes can be carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qwenarm.body.objects.spec import CONTAINER_SHAPES
from qwenarm.tasks.language.misfit import Misfit
from qwenarm.tasks.language.name_meanings import ALREADY_MOVED, ANY_SHAPE
from qwenarm.tasks.language.vocabulary import ANY_CONTAINER
from qwenarm.tasks.language.wish import Command, Group, Lift, MatchColors, Move, Named, Place, Swap, Thing, Tower, Wish


def resolve(commands: Sequence[Command], in_order: bool = False) -> Wish:
    """Returns the wish with a shape for every "one", in an order that can be carried out: the base of a tower first.

    ``in_order`` says whether the words give an order. Raises Misfit if that is a different one, or if it is not
    clear what a "one" stands for.
    """
    moved, placed, named = None, None, list[Command]()
    for command in commands:
        if isinstance(command, Move):
            what = _without_moved(_named(command.what, moved), [c.what for c in named if isinstance(c, Move)])
            moved = what.shape or moved
            thing = _place(command.place, moved, placed)
            placed = thing.shape or placed
            named.append(Move(what, replace(command.place, thing=thing)))
        elif isinstance(command, Lift):
            named.append(Lift(_shaped(command.what, None)))
        elif isinstance(command, Tower | Swap):
            named.append(type(command)(tuple(_in_turn(command.what))))
        elif isinstance(command, MatchColors):
            named.append(replace(command, what=_named(command.what, moved), places=tuple(_in_turn(command.places))))
        else:
            named.append(command)
    wish = _from_the_base(_counted_apart(named))
    if in_order and wish != tuple(named):
        raise Misfit(
            "in this order something would be moved after another thing was put on or beside it", possible=True
        )
    return wish


def _named(named: Named, like: str | None) -> Named:
    """Returns a name with a shape for "one"."""
    return named if isinstance(named, Group) else _shaped(named, like)


def _without_moved(named: Named, moved: Sequence[Named]) -> Named:
    """Returns a name with what "the rest" leaves out: those of its kind that were named before."""
    if not isinstance(named, Group) or named.but != (ALREADY_MOVED,):
        return named
    but = [Group(each.color, each.shape) if isinstance(each, Group) else each for each in moved]
    counted = any(isinstance(each, Group) and (each.choice or each.spared or each.but) for each in moved)
    kinds = [each for each in but if named.shape in (None, each.shape) and named.color in (None, each.color)]
    if not kinds or counted or replace(named, but=()) in kinds:
        raise Misfit("it is not clear what is left", possible=True)
    return replace(named, but=tuple(dict.fromkeys(kinds)))


def _counted_apart(commands: Sequence[Command]) -> list[Command]:
    """Returns the commands; "two cubes" are any two if others of their kind are counted for another place."""

    def apart(command: Command) -> Command:
        if not isinstance(command, Move) or not isinstance(command.what, Group) or not command.what.count:
            return command
        kind = (command.what.color, command.what.shape)
        elsewhere = [other.what for other in commands if isinstance(other, Move) and other.place != command.place]
        groups = [what for what in elsewhere if isinstance(what, Group) and what.count]
        shared = any((what.color, what.shape) == kind for what in groups)
        return replace(command, what=replace(command.what, choice=True)) if shared else command

    return [apart(command) for command in commands]


def _shaped(thing: Thing, like: str | None) -> Thing:
    """Returns a thing, and those that describe it, with a shape for "one"."""
    thing = replace(thing, shape=like) if thing.shape == ANY_SHAPE else thing
    return replace(thing, at=replace(thing.at, thing=_shaped(thing.at.thing, thing.shape))) if thing.at else thing


def _in_turn(row: Sequence[Named]) -> list[Any]:
    """Returns the names, giving each "one" the shape of the thing before it."""
    like, done = None, list[Named]()
    for each in row:
        done.append(_named(each, like))
        like = done[-1].shape or like
    return done


def _place(place: Place, moved: str | None, placed: str | None) -> Thing:
    """Returns the thing at a place. "One" has the shape of what is moved, or of the place before it."""
    if place.thing.shape != ANY_SHAPE:
        return _shaped(place.thing, None)
    shapes = {shape for shape in (moved, placed) if shape}
    if len(shapes) > 1:
        raise Misfit(f"'{place.thing.color} one' can be a {' or a '.join(sorted(shapes))}", possible=True)
    return replace(place.thing, shape=next(iter(shapes), None))


def _from_the_base(commands: Sequence[Command]) -> Wish:
    """Orders commands so that a thing is put in its place before something else is put on or beside it."""
    left, ordered = list(commands), list[Command]()
    while left:
        moves = [command for command in left if isinstance(command, Move)]
        waiting = [m for m in moves if any(o is not m and includes(o.what, m.place.thing) for o in moves)]
        ready = [command for command in left if command not in waiting]
        ordered += ready or left[:1]
        left = [c for c in left if c not in ordered]
    return tuple(ordered)


def includes(named: Named, thing: Thing) -> bool:
    """Returns whether a thing is the named one, or one of the named kind."""
    if isinstance(named, Thing):
        return named == thing
    kind = named.color in (None, thing.color) and thing.shape is not None and named.shape in (None, thing.shape)
    return kind and not any(includes(each, thing) for each in named.but) and not is_container(thing.shape)


def is_container(shape: str | None) -> bool:
    """Returns whether things of this shape hold others."""
    return shape in (*CONTAINER_SHAPES, ANY_CONTAINER)
