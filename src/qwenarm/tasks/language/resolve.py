"""Resolves what "the red one" stands for, and in which order wishes can be carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qwenarm.tasks.language.misfit import Misfit
from qwenarm.tasks.language.name_meanings import ALREADY_MOVED, ANY_IN, ANY_SHAPE
from qwenarm.tasks.language.vocabulary import is_container
from qwenarm.tasks.language.wish import (
    NUMBER_WORDS,
    Between,
    Command,
    Group,
    Lift,
    MatchColors,
    Move,
    Named,
    Place,
    SameContainer,
    Thing,
    Wish,
    things,
)


def resolve(commands: Sequence[Command], in_order: bool = False, indefinite: frozenset[int] = frozenset()) -> Wish:
    """Returns the wish with a shape for every "one", in an order that can be carried out: the base of a tower first.

    Args:
        commands: What was said, in the order of the text.
        in_order: Whether the words give an order.
        indefinite: Positions of the nouns with an article like "a".

    Raises:
        Misfit: The words give another order, or it is not clear what a "one" or an "other" stands for.
    """
    last, placed, named = None, None, list[Command]()
    for command in _any_of_its_kind(commands, indefinite):
        if isinstance(command, Move):
            what = _without_moved(_named(command.what, last), [c.what for c in named if isinstance(c, Move)])
            named, what = _the_other(named, what)
            last = what if what.shape or isinstance(what, Group) else last
            thing = _place(command.place, last.shape if last else None, placed)
            thing = _other_than(thing, [*things(tuple(named)), *things((Move(what, command.place),))[:-1]])
            placed = thing.shape or placed
            named.append(replace(command, what=what, place=replace(command.place, thing=thing)))
        elif isinstance(command, Lift):
            named.append(replace(command, what=_named(command.what, None)))
        elif isinstance(command, Between):
            what, *others = _in_turn((command.what, *command.others))
            named.append(Between(what, tuple(others)))
        elif isinstance(command, SameContainer):
            whats = iter(_in_turn(command.what))
            named.append(replace(command, sets=tuple(tuple(next(whats) for _ in each) for each in command.sets)))
        elif isinstance(command.what, tuple):
            named.append(replace(command, what=tuple(_in_turn(command.what))))
        elif isinstance(command, MatchColors):
            named.append(replace(command, what=_named(command.what, last), places=tuple(_in_turn(command.places))))
        else:
            named.append(replace(command, what=_named(command.what, last)))
    named = _rest_and_all(named)
    wish = _from_the_base(_counted_apart(named))
    if ALREADY_MOVED in things(wish):
        raise Misfit("it is not clear which is 'the other', or what is left", possible=True)
    if in_order and wish != tuple(named):
        raise Misfit(
            "in this order something would be moved after another thing was put on or beside it", possible=True
        )
    return wish


def _named(named: Named, like: Named | None) -> Named:
    """Returns a name with a shape for "one"."""
    if isinstance(named, Thing):
        if named == Thing(shape=ANY_SHAPE):
            raise Misfit("it is not said what 'one' is", possible=True)
        return _shaped(named, like.shape if like else None)
    if named.shape != ANY_SHAPE:
        return named
    if named.count and not named.color and (like is None or like.shape is None):
        raise Misfit(f"it is not said what '{NUMBER_WORDS[named.count]}' are", possible=True)
    if named.but == (ALREADY_MOVED,) and isinstance(like, Group) and not like.color and not named.count:
        return replace(named, shape=None)  # "the others" are no cubes if all cubes were named before
    color = like.color if isinstance(like, Group) and named.count else None
    return replace(named, shape=like.shape if like else None, color=named.color or color)


def _without_moved(named: Named, moved: Sequence[Named]) -> Named:
    """Returns a name with what "the rest" leaves out: those of its kind that were named before."""
    if not isinstance(named, Group) or named.but != (ALREADY_MOVED,) or named.count:
        return named
    but = [Group(each.color, each.shape) if isinstance(each, Group) else each for each in moved]
    counted = any(isinstance(each, Group) and (each.count or each.spared or each.but) for each in moved)
    kinds = [each for each in but if named.shape in (None, each.shape) and named.color in (None, each.color)]
    if not kinds or counted or replace(named, but=()) in kinds:
        raise Misfit("it is not clear what is left", possible=True)
    return replace(named, but=tuple(dict.fromkeys(kinds)))


def _the_other(commands: list[Command], what: Named) -> tuple[list[Command], Named]:
    """Returns what "the other cube" or "the other two" are. Those that were counted before get a total by it."""
    if isinstance(what, Thing):
        wanted = Group(what.color, what.shape, 1)
        if what.but != ALREADY_MOVED:
            return commands, what
    elif what.but != (ALREADY_MOVED,):
        return commands, what
    else:
        wanted = what
    moved = [_counted(command.what, wanted) for command in commands if isinstance(command, Move)]
    counted = [group for group in moved if group and group.shape == wanted.shape]
    kinds = {(group.color, group.shape) for group in counted}
    if len(kinds) == 1 and not any(group.but or group.spared for group in counted):
        total = sum(group.count for group in counted) + wanted.count
        before = [_with_total(command, wanted, total) for command in commands]
        return before, replace(counted[0], count=wanted.count, choice=True, total=total)
    if isinstance(what, Group):
        raise Misfit(f"it is not clear which are 'the other {NUMBER_WORDS[what.count]}'", possible=True)
    return commands, _other_than(what, things(tuple(commands)))


def _rest_and_all(commands: Sequence[Command]) -> list[Command]:
    """Returns the commands; "the red cube and everything else in the box" leaves nothing out of the box."""

    def whole(command: Command) -> Command:
        if not isinstance(command, Move) or not isinstance(command.what, Group):
            return command
        here = [other.what for other in commands if isinstance(other, Move) and other.place == command.place]
        kinds = [Group(what.color, what.shape) for what in here if isinstance(what, Group)]
        but = tuple(each for each in command.what.but if each not in (*here, *kinds))
        return replace(command, what=replace(command.what, but=but))

    return [whole(command) for command in commands]


def _counted(named: Named, like: Group) -> Group | None:
    """Returns a name as so many of a kind, or None if it is none: "a cube" is one if "the other cube" follows."""
    if isinstance(named, Group):
        return named if named.count else None
    plain = named == Thing(like.color, like.shape)
    return Group(named.color, named.shape, 1, choice=True) if plain else None


def _with_total(command: Command, wanted: Group, total: int) -> Command:
    group = _counted(command.what, wanted) if isinstance(command, Move) else None
    if group is None or group.shape != wanted.shape:
        return command
    return replace(command, what=replace(group, choice=True, total=total))


def _alone(named: Named) -> Group | None:
    return _counted(named, Group(named.color, named.shape))


def _same_kind(group: Group, one: Group) -> bool:
    """Returns whether a group is of the same kind as a single thing, of which the one may be called "one"."""
    kind, of_one = (group.color, group.shape), (one.color, one.shape)
    named_so = group.color == one.color and ANY_SHAPE in (group.shape, one.shape)
    return kind in (of_one, (None, ANY_SHAPE)) or named_so


def _any_of_its_kind(commands: Sequence[Command], indefinite: frozenset[int]) -> list[Command]:
    """Returns the commands; "a cube" is any one if another of its kind goes elsewhere."""
    moves = [command for command in commands if isinstance(command, Move)]

    def any_one(command: Command) -> Command:
        if not isinstance(command, Move) or not isinstance(command.what, Thing):
            return command
        what = command.what
        one = _alone(what) if what.position in indefinite else None
        elsewhere = [move.what for move in moves if move.place != command.place]
        places = indefinite - {what.position}  # the same words do not name two things
        others = [other for other in elsewhere if isinstance(other, Group) or other.position in places]
        alike = [kind for other in others if (kind := _alone(other)) and one and _same_kind(kind, one)]
        return replace(command, what=one) if one and alike else command

    return [any_one(command) for command in commands]


def _other_than(thing: Thing, before: Sequence[Thing]) -> Thing:
    """Returns what "the other cube" is: not the one that was named before. Raises Misfit if that is not clear."""
    if thing.but != ALREADY_MOVED:
        return thing
    kin = [each for each in before if each.shape == thing.shape and thing.color in (None, each.color)]
    first = kin[0] if len(kin) == 1 and thing.shape and thing.rank is None and thing.at is None else None
    edge = first.rank and first.rank.number == 1 and first.rank.edge != "middle" if first else None
    if first is None or first.at or not (first.color or first.size or edge):
        raise Misfit(
            f"it is not clear which is 'the other {thing.shape or 'one'}': name the first one, too", possible=True
        )
    return replace(thing, but=first)


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
    if thing.shape == ANY_IN:
        raise Misfit("it is not clear into which container", possible=True)
    thing = replace(thing, shape=like) if thing.shape == ANY_SHAPE else thing
    return replace(thing, at=replace(thing.at, thing=_shaped(thing.at.thing, thing.shape))) if thing.at else thing


def _in_turn(row: Sequence[Named]) -> list[Any]:
    """Returns the names, giving each "one" the shape of the thing before it."""
    like, done = None, list[Named]()
    for each in row:
        named = _named(each, like)
        before = [other for other in done if isinstance(other, Thing)]
        done.append(_other_than(named, before) if isinstance(named, Thing) else named)
        like = done[-1] if done[-1].shape else like
    return done


def _place(place: Place, moved: str | None, placed: str | None) -> Thing:
    """Returns the thing at a place. "One" has the shape of what is moved, or of the place before it."""
    if place.thing.shape not in (ANY_SHAPE, ANY_IN):
        return _shaped(place.thing, None)
    shapes = {shape for shape in (moved, placed) if shape and (is_container(shape) or place.thing.shape == ANY_SHAPE)}
    edge = place.thing.rank and place.thing.rank.edge
    name = f"{place.thing.color or ('other' if place.thing.but else edge or 'this')} one"
    if len(shapes) > 1:
        raise Misfit(f"'{name}' can be a {' or a '.join(sorted(shapes))}", possible=True)
    if not shapes and place.thing.shape == ANY_IN:
        raise Misfit(f"it is not clear which container '{name}' is", possible=True)
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
