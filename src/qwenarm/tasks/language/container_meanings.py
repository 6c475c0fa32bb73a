"""The meanings of the rules that leave open which container: one of its own colour, one for each, any of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwenarm.tasks.language.group_meanings import GroupMeanings
from qwenarm.tasks.language.misfit import Misfit
from qwenarm.tasks.language.name_meanings import ANY_SHAPE
from qwenarm.tasks.language.vocabulary import ANY_CONTAINER
from qwenarm.tasks.language.wish import Command, Group, MatchColors, Move, Named, OneEach, Place, SameContainer, Thing

if TYPE_CHECKING:
    from lark import Token


class ContainerMeanings(GroupMeanings):
    """Evaluates wishes that leave open which container, in one language."""

    def own_(self, *parts: Any) -> tuple[Command, ...]:
        (shape,) = [part for part in parts if isinstance(part, str)]
        whats = [part for part in parts if isinstance(part, tuple)]
        at = parts.index(shape)
        what = parts[at - 1] if at else (Group(),)
        places = parts[at + 1] if at + 1 < len(parts) else ()
        if len(what) != 1 or len(whats) > 3 or any(isinstance(place, Group) for place in places):
            raise Misfit("only one thing, or one kind of thing, can go by its own colour", possible=True)
        return (_by_color(what[0], None if shape == ANY_CONTAINER else shape, places),)

    def own_open_(self, *parts: Any) -> tuple[Command, ...]:
        shapes = [part for part in parts if isinstance(part, str)]
        what = next((part for part in parts if isinstance(part, tuple)), (Group(),))
        return self.own_(what, shapes[0] if shapes else ANY_CONTAINER)

    def shape_open_(self, *_: Any) -> tuple[Command, ...]:
        raise Misfit("say where each shape goes, as in 'cubes in the red bowl, balls in the blue box'", possible=True)

    def bins_(self, noun: Token) -> str:
        return self._shape(noun) or ANY_CONTAINER

    def own_each_(self, what: tuple[Named, ...], bins: str) -> tuple[Command, ...]:
        group, kind = what[0], None if bins == ANY_CONTAINER else bins
        singles = tuple(each for each in what if isinstance(each, Thing))
        if len(singles) == len(what) > 1:
            return (OneEach(singles, kind),)
        if len(what) > 1 or not isinstance(group, Group) or group.choice or group.but or group.spared:
            reason = "only all things of one kind, or several single things, can go into containers of their own"
            raise Misfit(reason, possible=True)
        return (OneEach(group, kind),)

    def one_other_(self, *parts: tuple[Named, ...] | Token) -> tuple[Command, ...]:
        """Each of two things goes into a container of its own: one bowl and the other, no matter which."""
        one, other = (part for part in parts if isinstance(part, tuple))
        shapes = {self._shape(part) for part in parts if isinstance(part, str)} - {ANY_SHAPE}
        if len(shapes) > 1:
            raise Misfit("it is not clear which containers are meant", possible=True)
        shape = shapes.pop() or ANY_CONTAINER
        kind = one[0].plain(count=1, choice=True) if isinstance(one[0], Group) else None
        if kind and one == other == (kind,):
            return self.own_each_((kind.plain(count=2),), shape)
        if len(one) == len(other) == 1 and isinstance(one[0], Thing) and isinstance(other[0], Thing):
            return self.own_each_((*one, *other), shape)
        return (SameContainer((one, other), Group(shape=shape, count=2)),)

    def in_some_(self, what: tuple[Named, ...], bins: Group) -> tuple[Command, ...]:
        return (SameContainer((what,), bins),)

    def in_any_(self, what: tuple[Named, ...], bins: Group) -> tuple[Command, ...]:
        if len(what) > 1 or any(isinstance(each, Group) for each in what):
            raise Misfit(f"it is not clear whether all of them should be in the same {bins.shape}", possible=True)
        return self.in_some_(what, bins)

    def some_bin_(self, *parts: Group | Token) -> Group:
        (bins,) = [part for part in parts if isinstance(part, Group)]
        numbers = [self._number(part) for part in parts if isinstance(part, str)]
        return replace(bins, count=numbers[0] if numbers else 0)

    def either_bin_(self, bins: Group) -> Group:
        return replace(bins, count=2)

    def one_in_each_(self, what: Named, bins: str) -> tuple[Command, ...]:
        if (
            what not in (Thing(what.color, what.shape), Group(what.color, what.shape, 1, choice=True))
            or what.shape == ANY_SHAPE
        ):
            raise Misfit("only one thing of a kind can go into each container", possible=True)
        return self.own_each_((Group(what.color, what.shape),), bins)

    def each_holds_one_(self, bins: str, what: Named) -> tuple[Command, ...]:
        return self.one_in_each_(what, bins)


def _by_color(what: Named, bins: str | None, places: tuple[Thing, ...]) -> Command:
    if isinstance(what, Thing) and what.color and not places:
        return Move(what, Place("at", Thing(what.color, bins or ANY_CONTAINER)))
    return MatchColors(what, bins, places)
