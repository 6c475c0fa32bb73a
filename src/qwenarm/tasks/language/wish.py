"""What a sentence can ask for: things, places, and commands. ``str`` gives each in plain English.

The ``str`` of a wish can be read again and gives the same wish.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from qwenarm.tasks.core.planning import SIDE_WORDS, Side
from qwenarm.tasks.language.phrases import listed
from qwenarm.tasks.language.vocabulary import english_plural, is_container

Where = Literal["at", "beside", "left", "right", "front", "behind"]
"""How something is placed; "at" means in a container or on a block."""
Edge = Literal["left", "right", "front", "back", "middle", "near", "far"]
NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ORDINAL_WORDS = ("", "", "second ", "third ")
EDGE_NAMES = {"left": "leftmost", "right": "rightmost", "front": "frontmost", "back": "rearmost", "middle": "middle"}


@dataclass(frozen=True)
class Rank:
    """Which one of its kind: the ``number``-th from an edge of the image. "near" and "far" mean the nearest to or
    farthest from the thing ``to``, or the robot if that is None.
    """

    edge: Edge
    number: int = 1
    to: Thing | None = None


@dataclass(frozen=True)
class Thing:
    """One thing that is named.

    Attributes:
        color: None if the words leave it open.
        shape: None if the words leave it open.
        size: "big", "small" or "".
        rank: Its rank among others of its kind.
        at: Its place at the start.
        but: Another thing of its kind, which it is not.
        position: Where its noun stands in the text; ignored in comparisons.
    """

    color: str | None = None
    shape: str | None = None
    size: str = ""
    rank: Rank | None = None
    at: Place | None = None
    but: Thing | None = None
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        name = " ".join(filter(None, (self.size, self.color, self.shape or "thing")))
        if self.rank is not None:
            name = _ranked(name, self.rank)
        name = f"{name} that is {self.at}" if self.at else name
        return f"{name} other than {self.but}" if self.but else name


@dataclass(frozen=True)
class Group:
    """Several things of one kind.

    Attributes:
        color: None for any.
        shape: None for any.
        count: How many there are, or 0 if the words leave it open; with ``choice``, how many of them are meant.
        choice: Any ``count`` of them are meant.
        total: With ``choice``, how many there are, or 0 if the words leave it open.
        spared: How many are left out, no matter which.
        but: The things, or kinds of thing, that are left out.
        at: Their place at the start. Such a group is understood, and not judged.
    """

    color: str | None = None
    shape: str | None = None
    count: int = 0
    choice: bool = False
    spared: int = 0
    but: tuple[Thing | Group, ...] = ()
    at: Place | None = None
    total: int = 0

    @property
    def kind(self) -> str:
        """The group in words: "red cubes", "red things", "things"."""
        return " ".join(filter(None, (self.color, english_plural(self.shape or "thing"))))

    def plain(self, count: int = 0, choice: bool = False) -> Group:
        """Returns a group of the same kind of which nothing else is said."""
        return Group(self.color, self.shape, count, choice)

    def __str__(self) -> str:
        if self.at:
            return f"{replace(self, at=None)} that are {self.at}"
        if self.choice:
            of = f"the {NUMBER_WORDS[self.total]}" if self.total else "the"
            return f"{NUMBER_WORDS[self.count]} of {of} {self.kind}"
        if self.spared:
            return f"all but one of the {self.kind}"
        name = f"{NUMBER_WORDS[self.count]} {self.kind}" if self.count else f"all {self.kind}"
        both = "both " if len(self.but) == 2 and all(isinstance(each, Thing) for each in self.but) else ""
        return f"{name} but {both}{listed(self.but)}" if self.but else name


Named = Thing | Group


@dataclass(frozen=True)
class Place:
    """Where something is or should be."""

    where: Where
    thing: Thing

    @property
    def beside(self) -> bool:
        return self.where != "at"

    @property
    def side(self) -> Side:
        return "" if self.where in ("at", "beside") else self.where

    def __str__(self) -> str:
        into = "in" if is_container(self.thing.shape) else "on"
        return f"{SIDE_WORDS[self.side] if self.beside else into} {self.thing}"


@dataclass(frozen=True)
class Move:
    """Something should be at a place; with ``only``, nothing else."""

    what: Named
    place: Place
    only: bool = False

    def __str__(self) -> str:
        return f"{'only ' if self.only else ''}{self.what} {self.place}"


@dataclass(frozen=True)
class Between:
    """Something should stand on the table between two things, or between the two of a group."""

    what: Thing
    others: tuple[Named, ...]

    def __str__(self) -> str:
        return f"{self.what} between {listed(self.others)}"


@dataclass(frozen=True)
class Lift:
    """The hand should hold something at the end."""

    what: Thing

    def __str__(self) -> str:
        return f"pick up {self.what}"


@dataclass(frozen=True)
class Tower:
    """Blocks should stand on one another, in any order."""

    what: tuple[Named, ...]

    def __str__(self) -> str:
        return f"tower of {listed(self.what)}"


@dataclass(frozen=True)
class Swap:
    """Two things should swap places."""

    what: tuple[Named, ...]

    def __str__(self) -> str:
        return f"swap {listed(self.what)}"


@dataclass(frozen=True)
class MatchColors:
    """Each thing should go into the container of its own colour.

    ``bins`` is the shape of the containers, or None for any; ``places`` are the containers if they are named.
    """

    what: Named
    bins: str | None = None
    places: tuple[Thing, ...] = ()

    def __str__(self) -> str:
        named = f": {listed(self.places)}" if self.places else ""
        return f"{self.what} in {self.bins or 'container'} of its own colour{named}"


@dataclass(frozen=True)
class OneEach:
    """Every container of a shape should hold one of the things, and every thing should be in one.

    ``what`` is a group, or some single things.
    """

    what: Group | tuple[Thing, ...]
    bins: str | None

    @property
    def count(self) -> int:
        """How many things there are, or 0 if the words leave it open."""
        return self.what.count if isinstance(self.what, Group) else len(self.what)

    def __str__(self) -> str:
        if not isinstance(self.what, Group):
            return f"{listed(self.what)} in different {english_plural(self.bins or 'container')}"
        return f"{self.what} in its own {self.bins or 'container'}"


@dataclass(frozen=True)
class SameContainer:
    """The things of a set should be together in one of the containers, those of another set in another one."""

    sets: tuple[tuple[Named, ...], ...]
    bins: Group

    @property
    def what(self) -> tuple[Named, ...]:
        return tuple(named for each in self.sets for named in each)

    def __str__(self) -> str:
        if len(self.sets) == 1:
            of = f"the {NUMBER_WORDS[self.bins.count]}" if self.bins.count else "the"
            return f"{listed(self.what)} in one of {of} {self.bins.kind}"
        one, other = map(listed, self.sets)
        return f"{one} in one {self.bins.shape} and {other} in the other"


@dataclass(frozen=True)
class Count:
    """A request to say how many there are."""

    what: Group

    def __str__(self) -> str:
        return f"say how many {self.what.kind} there are"


Command = Move | Between | Lift | Tower | Swap | MatchColors | OneEach | SameContainer | Count
Wish = tuple[Command, ...]


def things(wish: Wish) -> list[Thing]:
    """Returns the single things that a wish names, in the order of the text, without duplicates."""
    found = [thing for command in wish for named in _named(command) for thing in _singles(named)]
    return list(dict.fromkeys(sorted(found, key=lambda thing: thing.position)))


def groups(wish: Wish) -> list[Group]:
    """Returns the groups that a wish names, without duplicates, each before those that it leaves out."""
    named = [each for command in wish for each in _named(command) if isinstance(each, Group)]
    left_out = [each for group in named for each in group.but if isinstance(each, Group)]
    return list(dict.fromkeys((*named, *left_out)))


def _named(command: Command) -> tuple[Named, ...]:
    if isinstance(command, Move):
        return (command.what, command.place.thing)
    what: tuple[Named, ...] = command.what if isinstance(command.what, tuple) else (command.what,)
    if isinstance(command, Between):
        return (*what, *command.others)
    return (*what, *command.places) if isinstance(command, MatchColors) else what


def _singles(named: Named) -> list[Thing]:
    """Returns the single things in a name, including those that describe it."""
    if isinstance(named, Group):
        return [thing for each in named.but for thing in _singles(each)]
    others = [named.at.thing if named.at else None, named.rank.to if named.rank else None, named.but]
    return [named, *(thing for other in others if other for thing in _singles(other))]


def _ranked(name: str, rank: Rank) -> str:
    if rank.edge in ("near", "far"):
        word = "nearest to" if rank.edge == "near" else "farthest from"
        return f"{name} {word} {rank.to or 'the robot'}"
    if rank.number > 1:
        return f"{ORDINAL_WORDS[rank.number]}{name} from the {rank.edge}"
    return f"{EDGE_NAMES[rank.edge]} {name}"
