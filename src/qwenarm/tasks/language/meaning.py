"""Evaluates derivations: a sentence becomes a ``Wish``.

The grammars of all languages have the same rules. Each rule has one function here, named after it with a trailing
"_", which gets the values of the rule's parts and returns the rule's own value. It raises ``Misfit`` if the words
are well formed but the things they name do not fit together. Every derivation of an ambiguous sentence is followed;
those with the same meaning count as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

from qwenarm.tasks.language.container_meanings import ContainerMeanings
from qwenarm.tasks.language.misfit import Misfit
from qwenarm.tasks.language.name_meanings import ANY_SHAPE, flat
from qwenarm.tasks.language.vocabulary import is_container
from qwenarm.tasks.language.wish import (
    Between,
    Command,
    Count,
    Group,
    Lift,
    Move,
    Named,
    Place,
    Swap,
    Thing,
    Tower,
)

if TYPE_CHECKING:
    from lark import Token, Tree


@dataclass(frozen=True)
class Sentence:
    """The commands of a sentence. ``in_order`` says whether the words give an order."""

    commands: tuple[Command, ...]
    in_order: bool


class Meanings(ContainerMeanings):
    """Evaluates derivations in one language. ``misfits`` collects why derivations were given up."""

    def __init__(self, values: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(values)
        self.misfits: list[Misfit] = []
        self._known: dict[int, list[Any]] = {}

    def of(self, node: Tree | Token) -> list[Any]:
        """Returns all meanings of a part of a derivation, without duplicates."""
        if isinstance(node, str):
            return [node]
        if id(node) not in self._known:
            self._known[id(node)] = list(dict.fromkeys(self._all(node)))
        return self._known[id(node)]

    def _all(self, node: Tree) -> Iterable[Any]:
        if node.data == "_ambig":
            for child in node.children:
                yield from self.of(child)
            return
        rule: Callable[..., Any] = getattr(self, str(node.data).removesuffix("_") + "_")
        for parts in product(*map(self.of, node.children)):
            try:
                yield rule(*parts)
            except Misfit as misfit:
                self.misfits.append(misfit)

    # the sentence

    def start_(self, *parts: tuple[Command, ...] | str) -> Sentence:
        commands = tuple(command for part in parts if not isinstance(part, str) for command in part)
        return Sentence(commands, in_order=any(isinstance(part, str) for part in parts))

    def lead_(self, *_: Token) -> str:
        return "first"

    def then_(self) -> str:
        return "then"

    def correction_(self, part: Thing | Place) -> Thing | Place:
        return part

    # wishes

    def instead_(self, what: tuple[Named, ...], place: Place, right: Thing) -> tuple[Command, ...]:
        """Returns "put the red cube in the bowl, I mean the blue cube": a cube is no place, so it is what is moved."""
        into = place.where == "at" and is_container(place.thing.shape)
        if len(what) > 1 or not into or right.shape == ANY_SHAPE or is_container(right.shape):
            raise Misfit(f"it is not clear what '{right}' stands for instead", possible=True)
        return self.move_(right, place)

    def tabled_(self, what: tuple[Named, ...]) -> tuple[Command, ...]:
        raise Misfit(f"it is not judged whether {what[0]} is on the bare table", possible=True)

    def edged_(self, what: tuple[Named, ...], *_: Any) -> tuple[Command, ...]:
        beside = "name a thing to be next to, left of, right of, in front of or behind"
        raise Misfit(f"it is not judged where on the table '{what[0]}' should be: {beside}", possible=True)

    def move_(self, *parts: Named | tuple[Named, ...] | Place) -> tuple[Command, ...]:
        (place,) = [part for part in parts if isinstance(part, Place)]
        return tuple(Move(what, place) for what in flat(part for part in parts if part is not place))

    take_ = bare_ = move_

    def taken_(self, what: tuple[Named, ...], place: Place) -> tuple[Command, ...]:
        """Reads "take the ball in the bowl", which says either where the ball is or where it should go."""
        raise Misfit(
            f"it is not clear whether '{place}' says where '{what[0]}' is, or where it should go", possible=True
        )

    def added_(self, what: tuple[Named, ...], place: Thing) -> tuple[Command, ...]:
        if not is_container(place.shape):
            raise Misfit(f"it is not clear where '{what[0]}' should be added", possible=True)
        return self.fill_(place, what)

    def only_(self, what: Named, place: Place) -> tuple[Command, ...]:
        if place.beside or not is_container(place.thing.shape):
            raise Misfit(f"it is not judged whether only '{what}' is {place}", possible=True)
        return (Move(what, place, only=True),)

    def more_(self, *parts: tuple[Command, ...]) -> tuple[Command, ...]:
        return flat(parts)

    def but_(self, group: Group, place: Place, spared: tuple[Named, ...]) -> tuple[Command, ...]:
        return self.move_(self.all_but_(group, spared), place)

    def but_first_(self, spared: tuple[Named, ...], group: Group, place: Place) -> tuple[Command, ...]:
        return self.but_(group, place, spared)

    def too_(self, *parts: tuple[Named, ...] | Place | str) -> tuple[Command, ...]:
        commands = self.move_(*(part for part in parts if not isinstance(part, str)))
        places = [command.place for command in commands if isinstance(command, Move)]
        into = all(place.where == "at" and is_container(place.thing.shape) for place in places)
        if any(isinstance(part, str) for part in parts) and not into:
            raise Misfit("it is not clear where 'there' is", possible=True)
        return commands

    def fill_(self, place: Thing, what: tuple[Named, ...]) -> tuple[Command, ...]:
        return self.move_(what, self.in_(place))

    def filled_(self, what: tuple[Named, ...], place: Thing) -> tuple[Command, ...]:
        return self.fill_(place, what)

    def there_(self, place: Thing, what: tuple[Named, ...]) -> tuple[Command, ...]:
        return self.move_(what, self.to_(place))

    def there_for_(self, what: tuple[Named, ...], place: Thing) -> tuple[Command, ...]:
        return self.there_(place, what)

    def twice_(self, what: tuple[Named, ...], *places: Place | str) -> tuple[Command, ...]:
        ends = [place for place in places if isinstance(place, Place)]
        if len(ends) < len(places):
            raise Misfit(f"{what[0]} is sent to two places, and only the last can be judged", possible=True)
        if any(isinstance(each, Group) and each.count for each in what):
            raise Misfit(f"it is not said how many of '{what[0]}' go to each place", possible=True)
        return tuple(command for place in ends for command in self.move_(what, place))

    def stacked_(self, what: tuple[Named, ...], place: Place) -> tuple[Command, ...]:
        if any(isinstance(each, Group) for each in what):
            raise Misfit("a tower of several things can stand on the table only", possible=True)
        return self.move_(what, place)

    def chain_(self, first: Thing, *places: Place) -> tuple[Command, ...]:
        return self.tower_down_(first, *(place.thing for place in places))

    def neighbors_(self, what: tuple[Named, ...]) -> tuple[Command, ...]:
        things = [each for each in what if isinstance(each, Thing)]
        if not len(things) == len(what) == 2:
            raise Misfit("only two single things can be put next to each other", possible=True)
        mover, other = sorted(things, key=lambda thing: is_container(thing.shape))
        return self.move_(mover, self.beside_(other))

    def between_(self, *parts: Named | tuple[Named, ...] | Token) -> tuple[Command, ...]:
        what, *others = flat(part for part in parts if not isinstance(part, str))
        singles = [each for each in others if isinstance(each, Thing)]
        pair = len(others) == 1 and not singles and others[0] == others[0].plain(count=2)
        if isinstance(what, Group) or not (pair or len(singles) == len(others) == 2):
            raise Misfit("only one thing can be put between two others", possible=True)
        return (Between(what, tuple(others)),)

    def lift_(self, what: Thing | tuple[Named, ...]) -> tuple[Command, ...]:
        (thing, *more) = flat([what])
        if not more and isinstance(thing, Group) and thing.choice and thing.count == 1:
            raise Misfit(
                f"it is not said which {'one of the things' if not thing.shape else thing.shape} to pick up",
                possible=True,
            )
        if more or isinstance(thing, Group):
            raise Misfit("the hand holds one thing at a time", possible=True)
        return (Lift(thing),)

    def tower_up_(self, *parts: Named | tuple[Named, ...]) -> tuple[Command, ...]:
        return self.tower_down_(*reversed(flat(parts)))

    def layers_(self, *parts: Thing | Token) -> tuple[Command, ...]:
        """Returns "the red cube at the bottom, the blue one on top"."""
        layers = [part for part in parts if isinstance(part, Thing)]
        shapes = [layer.shape for layer in layers if layer.shape != ANY_SHAPE]
        return self.tower_up_(*(replace(e, shape=shapes[0]) if e.shape == ANY_SHAPE and shapes else e for e in layers))

    def tower_down_(self, *parts: Named | tuple[Named, ...]) -> tuple[Command, ...]:
        blocks = [block for block in flat(parts) if isinstance(block, Thing)]
        if len(blocks) < len(flat(parts)) or len(blocks) < 2:
            raise Misfit("only single things can be stacked in an order", possible=True)
        return tuple(Move(upper, self.on_(lower)) for upper, lower in reversed(list(pairwise(blocks))))

    def pair_(self, group: Group, *noun: Token) -> tuple[Command, ...]:
        """Returns a tower of two for "one cube on the other"."""
        pair = Group(group.color, group.shape, count=2)
        if group != replace(pair, count=1, choice=True) or any(
            self._shape(n) not in (ANY_SHAPE, pair.shape) for n in noun
        ):
            raise Misfit("only one thing can be put on 'the other'", possible=True)
        return (Tower((pair,)),)

    def tower_of_(self, what: tuple[Named, ...]) -> tuple[Command, ...]:
        alone = len(what) == 1 and (isinstance(what[0], Thing) or (what[0].choice and what[0].count < 2))
        if alone or (len(what) > 1 and any(isinstance(each, Group) for each in what)):
            raise Misfit("a tower can be of several single things, or of all of a kind", possible=True)
        return (Tower(what),)

    def swap_(self, *parts: Named | tuple[Named, ...]) -> tuple[Command, ...]:
        what = flat(parts)
        groups = [each for each in what if isinstance(each, Group)]
        if len(what) == 1 and groups and not groups[0].but and groups[0].count in (0, 2) and not groups[0].spared:
            return (Swap((replace(groups[0], count=2, choice=False),)),)
        if len(what) != 2 or groups:
            raise Misfit("only two things can swap places", possible=True)
        return (Swap(what),)

    def swap_where_(self, one: Thing, other: Thing, *crossed: Thing) -> tuple[Command, ...]:
        if crossed not in ((), (other, one)):
            raise Misfit("only two things can swap places", possible=True)
        return self.swap_(one, other)

    def sorted_(self, what: tuple[Named, ...], place: Place) -> tuple[Command, ...]:
        """Reads colours on their own as all things of that colour."""
        named = [Group(each.color) if each.shape == ANY_SHAPE else each for each in what]
        return self.move_(tuple(named), place)

    def sorting_(self, *parts: tuple[Any, ...] | Group) -> tuple[Command, ...]:
        commands = flat(parts)
        moves = [command for command in commands if isinstance(command, Move)]
        named = [command for command in commands if not isinstance(command, Move)]
        if len(named) == 1:
            moves = [replace(move, what=_one_of(named[0], move.what)) for move in moves]
        elif named and set(named) != {move.what for move in moves}:
            raise Misfit("it is not said for each kind of thing where it goes", possible=True)
        return tuple(moves)

    def count_(self, group: Group) -> tuple[Command, ...]:
        return (Count(group),)


def _one_of(group: Named, part: Named) -> Named:
    """Returns a part of the group that is sorted: "red" of the cubes is all red cubes."""
    plain = isinstance(group, Group) and group == Group(group.color, group.shape)
    part = replace(part, shape=group.shape) if part == Group(part.color) else part
    if not plain or group.color not in (None, part.color) or group.shape not in (None, part.shape):
        raise Misfit(f"it is not clear whether '{part}' is meant by '{group}'", possible=True)
    return part
