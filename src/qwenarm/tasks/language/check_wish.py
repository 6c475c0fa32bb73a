"""Checks whether a wish can be fulfilled, before a scene is made and before a model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import GRASPABLE_SHAPES
from qwenarm.tasks.language.misfit import Misfit
from qwenarm.tasks.language.vocabulary import ANY_CONTAINER, is_container, shape_fits
from qwenarm.tasks.language.wish import (
    NUMBER_WORDS,
    Between,
    Command,
    Count,
    Group,
    Move,
    Named,
    OneEach,
    SameContainer,
    Thing,
    Tower,
    Wish,
    groups,
    things,
)

MAX_THINGS_IN = {"bowl": 4, "tray": 5, "box": 6}
"""Maximum number of objects in a container."""
MAX_CONTAINERS = 3
"""Maximum number of containers on the table."""
MAX_OF_A_KIND = len(COLOR_RGB)
"""Maximum number of objects of a shape on the table: they differ in colour."""
MAX_STOREYS = 8
"""Maximum height of a tower, in objects, that the arm can build."""


def check(wish: Wish, in_order: bool = False) -> Wish:
    """Returns the wish. ``in_order`` says whether the words give an order.

    Raises Misfit if the wish cannot be fulfilled, or cannot be judged with certainty.
    """
    moves = [command for command in wish if isinstance(command, Move)]
    others = [command for command in wish if not isinstance(command, Move)]
    for thing in things(wish):
        _check_description(thing)
    _check_names(wish)
    for command in others:
        _check_other(command)
    for move in moves:
        _check_move(move)
    for one, other in combinations(moves, 2):
        _check_pair(one, other, in_order)
    _check_circle(moves)
    _check_room(moves)
    _check_supply(moves)
    if others and len(wish) > 1:
        raise Misfit(f"'{others[0]}' cannot be combined with other commands", possible=True)
    return wish


def check_scene(wish: Wish) -> None:
    """Checks that a scene can be made for a wish. Not part of ``check``: a second meaning of the same words must count
    as one even if no scene can be made for it.

    Raises Misfit if there is none, or if what the words describe cannot be told apart in it.
    """
    for group in groups(wish):
        if group.at:
            reason = "several things can be told by kind and colour, not by their place"
            raise Misfit(f"'{group}' is not judged: {reason}", possible=True)
    for place in [command.place for command in wish if isinstance(command, Move) and command.place.beside]:
        start = place.thing.at
        if start and start.where == "at" and is_container(start.thing.shape):
            raise Misfit(f"There is no room on the table {place}.")


def _check_description(thing: Thing) -> None:
    """Checks that the thing can be told from others of its kind by its size or rank."""
    if thing.size and is_container(thing.shape):
        raise Misfit(f"There is no {thing}: all containers of a kind have the same size.")
    if (thing.size or thing.rank) and thing.shape in (None, ANY_CONTAINER):
        raise Misfit(f"'{thing}' does not name a kind of object", possible=True)
    if thing.size and thing.rank:
        raise Misfit(f"'{thing}' is described by both size and position", possible=True)


def _check_names(wish: Wish) -> None:
    """Checks that no name can also mean a thing with another name, as "bowl" can mean "blue bowl"."""
    names: list[Named] = [*things(wish), *groups(wish)]
    for thing in things(wish):
        for other in names if not (thing.rank or thing.size or thing.but) else ():
            shapes = thing.shape is None or (other.shape is not None and shape_fits(thing.shape, other.shape))
            if other != thing and shapes and thing.color in (None, other.color):
                one_of = "one of " if isinstance(other, Group) else ""
                raise Misfit(f"it is not clear whether '{thing}' is {one_of}'{other}'", possible=True)


def _check_liftable(named: Named) -> None:
    if is_container(named.shape):
        raise Misfit(f"A {named.shape} is too wide for the hand; it can lift: {', '.join(GRASPABLE_SHAPES)}.")


def _check_other(command: Command) -> None:
    whats: Sequence[Named] = command.what if isinstance(command.what, tuple) else (command.what,)
    for what in whats if not isinstance(command, Count) else ():
        _check_liftable(what)
    if isinstance(command, Tower):
        if any(what.shape == "ball" for what in whats):
            raise Misfit("Balls cannot be stacked; cubes and cylinders can.")
        if any(isinstance(what, Group) and what.shape is None for what in whats):
            raise Misfit("a tower must be of cubes or of cylinders", possible=True)
        storeys = sum(what.count or 2 if isinstance(what, Group) else 1 for what in whats)
        if not 1 < storeys <= MAX_STOREYS:
            raise Misfit(f"A tower has 2 to {MAX_STOREYS} storeys, not {storeys}.")
    if len(set(whats)) < len(whats):
        raise Misfit(f"The {whats[0]} is only one thing, but is named twice.", possible=isinstance(command, OneEach))
    if isinstance(command, OneEach) and command.count > MAX_CONTAINERS:
        raise Misfit(f"No more than {MAX_CONTAINERS} containers fit on the table.")
    if isinstance(command, Between):
        _check_between(command)
    if isinstance(command, SameContainer):
        _check_together(command)


def _check_between(command: Between) -> None:
    ends = [each for each in command.others if isinstance(each, Thing)]
    if command.what in ends or len(set(command.others)) < len(command.others):
        raise Misfit(f"The {command.what} cannot be between {command.others[0]} and itself.")
    if any(_overlap(command.what, each) for each in command.others):
        raise Misfit(f"it is not clear whether '{command.what}' is one of '{command.others[0]}'", possible=True)
    if any(end.at and end.at.where == "at" for end in ends):
        raise Misfit(f"'{command}' does not name two things that stand on the table", possible=True)


def _check_together(command: SameContainer) -> None:
    """Checks that the sets have nothing in common, are told by kind and number alone, and fit into the containers."""
    bins, whats = command.bins, command.what
    if not is_container(bins.shape) or bins.but:
        raise Misfit(f"'{bins}' does not name a kind of container", possible=True)
    described = [each for each in whats if each.at or (isinstance(each, Group) and each != each.plain(each.count))]
    if described or any(_overlap(one, other) for one, other in combinations(whats, 2)):
        raise Misfit(
            f"'{command}' can be judged only for different things that are told by kind and colour", possible=True
        )
    if bins.count > MAX_CONTAINERS:
        raise Misfit(f"No more than {MAX_CONTAINERS} containers fit on the table.")
    room = MAX_THINGS_IN.get(bins.shape or "", min(MAX_THINGS_IN.values()))
    if any(sum(each.count or 1 if isinstance(each, Group) else 1 for each in row) > room for row in command.sets):
        raise Misfit(f"So many things do not fit into a {bins.shape}: it has room for {room}.")


def _check_move(move: Move) -> None:
    what, place, target = move.what, move.place, move.place.thing
    _check_liftable(what)
    if what == target:
        raise Misfit(f"The {what} cannot be {place}.", possible=not (what.color and what.shape))
    if isinstance(what, Thing) and what.at == place:
        raise Misfit(f"The {what} is there already.")
    if (
        isinstance(what, Group)
        and place.where == "at"
        and target.shape in GRASPABLE_SHAPES
        and (what.count, what.choice) != (1, True)
    ):
        raise Misfit(f"Only one thing fits on a {target.shape}.")


def _check_pair(one: Move, other: Move, in_order: bool) -> None:
    """Checks that two moves do not contradict each other, unless they are made one after the other."""
    if one.place == other.place:
        if one.only or other.only:
            raise Misfit(f"'{one}' and '{other}' contradict each other", possible=True)
        if one.place.where == "at" and one.place.thing.shape in GRASPABLE_SHAPES and one.what != other.what:
            raise Misfit(f"Only one thing fits on the {one.place.thing}.", possible=in_order)
        chosen = any(isinstance(move.what, Group) and move.what.choice for move in (one, other))
        if chosen and one.what != other.what and _overlap(one.what, other.what):
            raise Misfit(f"it is not clear whether '{one.what}' and '{other.what}' are different", possible=True)
        return
    if isinstance(one.what, Group) and isinstance(other.what, Group) and one.what.choice and other.what.choice:
        return
    if one.what == other.what:
        if in_order or not one.place.where == other.place.where == "at":
            raise Misfit(f"{one.what} is sent to two places, and only the last can be judged", possible=True)
        named = f"The {one.what}" if isinstance(one.what, Thing) else f"{one.what}".capitalize()
        raise Misfit(f"{named} cannot be both {one.place} and {other.place}: these are two places.")
    if _overlap(one.what, other.what):
        raise Misfit(
            f"'{one.what}' and '{other.what}' have objects in common, which cannot be in both places", possible=True
        )


def _overlap(a: Named, b: Named) -> bool:
    """Returns whether both can include the same object. Two single things are never the same."""
    if isinstance(a, Thing) and isinstance(b, Thing):
        return False
    spared = (*(a.but if isinstance(a, Group) else ()), *(b.but if isinstance(b, Group) else ()))
    colors = None in (a.color, b.color) or a.color == b.color
    shapes = a.shape is None or b.shape is None or shape_fits(a.shape, b.shape)
    return colors and shapes and a not in spared and b not in spared


def _check_circle(moves: Sequence[Move]) -> None:
    """Checks that no things have to be put on or beside one another in a circle."""
    target = {move.what: move.place for move in moves if isinstance(move.what, Thing)}
    for what in target:
        places = [target[what]]
        while places[-1].thing in target and len(places) <= len(target):
            places.append(target[places[-1].thing])
        if any(place.thing == what for place in places):
            text = f"The {what} cannot be {places[0]}, which would have to be put on or beside the {what} first."
            raise Misfit(text, possible=any(place.beside for place in places))


def _check_supply(moves: Sequence[Move]) -> None:
    """Checks that there are as many objects of each kind as are sent to different places."""
    counted = [move.what for move in moves if isinstance(move.what, Group) and move.what.count]
    for kind in dict.fromkeys(group.kind for group in counted):
        count = sum(group.count for group in counted if group.kind == kind)
        total = max(group.total for group in counted if group.kind == kind)
        if total and count > total:
            raise Misfit(f"There are not {NUMBER_WORDS[count]} {kind} among {NUMBER_WORDS[total]}.")
        if max(count, total) > MAX_OF_A_KIND:
            raise Misfit(f"There are not {max(count, total)} {kind} in this world, but at most {MAX_OF_A_KIND}.")


def _check_room(moves: Sequence[Move]) -> None:
    """Checks that the things fit in the containers."""
    for place in dict.fromkeys(
        move.place for move in moves if move.place.thing.shape in MAX_THINGS_IN and not move.place.beside
    ):
        inside = [move.what for move in moves if move.place == place]
        count = sum(max(what.count, 1) if isinstance(what, Group) else 1 for what in inside)
        room = MAX_THINGS_IN[place.thing.shape or ""]
        if count > room:
            raise Misfit(
                f"{NUMBER_WORDS[count].capitalize() if count < len(NUMBER_WORDS) else count} things do not fit "
                f"into a {place.thing.shape}: it has room for {room}."
            )
