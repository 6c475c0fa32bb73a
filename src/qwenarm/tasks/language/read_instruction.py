"""Reads an instruction back as a goal: which things are named, and what goes where. Plain rules, no model.

A sentence becomes a row of words and ``Thing``s. Between two things a preposition means that the first goes to the
second ("the red cube ... in the blue bowl"); a few words turn that round ("fill the blue bowl with the red cube"); a
list of things in a sentence about a tower is its order. Things in the plural ("red things", "every cube") make a
sorting rule.

What is not understood is not judged: a sentence with a word in it that could change the wish ("not", "except", "or",
"the leftmost") and that no rule here reads, with a thing that goes nowhere, or a question, has no goal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES, SHAPES, ObjectSpec
from qwenarm.errors import BadInput
from qwenarm.tasks.core.goal import Arrange, Goal, Relation, Sort
from qwenarm.tasks.core.planning import Side
from qwenarm.tasks.language import lexicon as lex


@dataclass(frozen=True)
class Thing:
    """Something named. Either may be missing ("the bowl", "the red one"); every: the whole class ("red things"), of
    which there shall be count ("two cubes"), if it is not 0. A class without colour and shape is everything.
    """

    color: str | None
    shape: str | None
    every: bool = False
    count: int = 0

    def fits(self, spec: ObjectSpec) -> bool:
        return self.color in (None, spec.color) and self.shape in (None, spec.shape)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.color, self.shape))) or ("all things" if self.every else "one thing")


@dataclass(frozen=True)
class Pair:
    """One thing, or one class of things, and where it goes."""

    what: Thing
    where: Thing
    beside: bool = False
    side: Side = ""


@dataclass(frozen=True)
class Reading:
    """What was understood. things: the single ones named, in order; pairs: the wish, base first.

    own: everything goes into the container of its own colour. Without pairs and not ``own``, there is no goal; why says
    what could not be read.
    """

    things: tuple[Thing, ...]
    pairs: tuple[Pair, ...] = ()
    own: bool = False
    members: Thing | None = None
    """With ``own``: what is to be sorted, where only one shape is."""
    bins: Thing | None = None
    """With ``own``: what it goes into, where only one shape is."""
    tower: bool = False
    """Whether everything named is a block of a tower."""
    why: str = ""

    @property
    def sorts(self) -> bool:
        return self.own or any(pair.what.every for pair in self.pairs)

    def goal(self, specs: Sequence[ObjectSpec]) -> Goal | None:
        """The goal in a scene of these objects, or None. Raises BadInput if something named is missing or ambiguous."""
        if self.own:
            named = [_find(thing, specs) for thing in self.things] or [spec for spec in specs if spec.container]
            return Sort("color", tuple((spec.color, spec.id) for spec in named if spec.container))
        if self.sorts:
            by = "color" if self.pairs[0].what.color else "shape"
            places = [(getattr(p.what, by), _find(p.where, specs).id) for p in self.pairs]
            return Sort(
                by, tuple((v, place) for value, place in places for v in ([value] if value else GRASPABLE_SHAPES))
            )
        wanted = [Relation(_find(p.what, specs).id, _find(p.where, specs).id, p.beside, p.side) for p in self.pairs]
        return Arrange(tuple(wanted)) if wanted else None


def read(instruction: str) -> Reading:
    """Understands an instruction as far as it can. Raises BadInput if it names something that the world has not."""
    row = list(_row(lex.tokens(instruction)))
    things = [item for item in row if isinstance(item, Thing)]
    plain = {item for item in row if isinstance(item, str)}
    single = tuple(dict.fromkeys(thing for thing in things if not thing.every))
    _check_nouns(row)
    if why := _unread(row):
        return Reading(single, why=why)
    pairs = _pairs(row)
    if not pairs and plain & lex.OWN and plain & {"colour", "color", "colours", "colors", "matches", "matching"}:
        return Reading(single, own=True)
    if not pairs and plain & {"sort", "group", "separate"} and plain & {"colour", "color"}:
        classes = {thing.shape in CONTAINER_SHAPES: thing for thing in things if thing.every}
        return Reading(single, own=True, members=classes.get(False), bins=classes.get(True))
    pairs = pairs or _list_pairs(row, things, plain)
    _check_pairs(pairs)
    if not pairs:
        return Reading(single, why="it does not say what shall be where")
    if why := _unfit(pairs):
        return Reading(single, why=why)
    if plain & {"stack", "pile", "tower"} and any(thing.every for thing in things):
        return Reading(single, why="no rule reads a tower of a class of things")
    told = {thing for pair in pairs for thing in (pair.what, pair.where)}
    if idle := [thing for thing in things if thing not in told]:
        return Reading(single, why=f"it does not say what shall become of {idle[0]}")
    return Reading(single, pairs, tower=bool(plain & lex.TOWER))


def _unread(row: Sequence[str | Thing]) -> str:
    """Why it is not clear what is wished, "" if it is: a question, or words that might change it and no rule reads."""
    plain = [item for item in row if isinstance(item, str) and item[0].isalnum()]
    first = next((item for item in row if not isinstance(item, str) or item[0].isalnum()), "")
    if first in lex.QUESTIONS:
        return "it is a question"
    odd = [word for word in plain if word not in lex.HARMLESS]
    bare = [item for item in row if item not in lex.DETERMINERS]
    if any(word == "from" and isinstance(following, Thing) for word, following in pairwise(bare)):
        odd.append("from")
    odd += _second_wishes(bare)
    return f"no rule reads {', '.join(repr(word) for word in dict.fromkeys(odd))}" if odd else ""


def _second_wishes(bare: Sequence[str | Thing]) -> Iterator[str]:
    """The words with which a sentence begins another wish that no rule tells from the first: "on the table and ...",
    "let it be", "left of X and behind Y", "pick up X and put Y".
    """
    plain = {item for item in bare if isinstance(item, str)}
    if any(word == "table" and after in ("and", ",") for word, after in pairwise(bare)):
        yield "table"
    if plain >= {"let", "be"}:
        yield "let"
    for before, word, after in zip(bare, bare[1:], bare[2:], strict=False):
        if isinstance(before, Thing) and word == "and" and after in lex.PLACING:
            yield str(after)
    short = ["", *(item for item in bare if item not in ("up", ","))]
    for lead, thing, joint, verb, other in zip(short, short[1:], short[2:], short[3:], short[4:], strict=False):
        pair = isinstance(thing, Thing) and isinstance(other, Thing)
        if pair and joint == "and" and verb in lex.MOVE and lead not in lex.PLACING:
            yield str(verb)


def _row(words: Sequence[str]) -> Iterator[str | Thing]:
    """The words, with Things in place of the words that name them.

    "The blue one" is of the last thing's shape; where no preposition leads to it, of the last that can be lifted.
    """
    last: Thing | None = None
    lifted: Thing | None = None
    turned = bool(lex.TURNED & set(words))
    start, led = 0, turned
    while start < len(words):
        thing, length = _thing_at(words, start)
        if thing is None:
            led = led or words[start] in lex.PLACING
            yield words[start]
            start += 1
            continue
        like = last if led or lifted is None else lifted
        if thing.shape is None and not thing.every and like is not None:
            thing = replace(thing, shape=like.shape)
        last, led = thing, turned
        lifted = thing if thing.shape in GRASPABLE_SHAPES else lifted
        yield thing
        start += length


def _thing_at(words: Sequence[str], start: int) -> tuple[Thing | None, int]:
    """The thing named from a word on and how many words that takes; (None, 0) if none is. Raises BadInput."""
    at, every, count, color = start, False, 0, None
    shades = lex.OTHER_SHADES | lex.SHADES.keys()
    while at < len(words) and words[at] in lex.EVERY | lex.ADJECTIVES | lex.NUMBERS.keys() | shades | {"the"}:
        if words[at] == "the" and not every:
            break
        count = count or lex.NUMBERS.get(words[at], 0)
        every = every or words[at] in lex.EVERY or count > 0
        color = color or (words[at] if words[at] in shades else None)
        at += 1
    noun = words[at] if at < len(words) else ""
    named = noun in {lex.EVERYTHING, *lex.NOUNS, *lex.PLURALS} or (color is not None and noun in lex.ANY_THING)
    if count and not noun.endswith("s"):
        named = False
    if noun == "can" and (start == 0 or (at == start and words[start - 1] not in lex.DETERMINERS)):
        named = False  # "can you ..."
    if color is not None and not named and noun.isalpha() and noun not in lex.PLAIN and noun not in lex.DETERMINERS:
        raise unknown(f"{color} {noun}")
    if not named:
        return None, 0
    if color in lex.OTHER_SHADES:
        raise unknown(f"{color} {noun}")
    shape = lex.NOUNS.get(noun) or lex.PLURALS.get(noun)
    if count and color and shape:
        raise BadInput(f"There are no {count} {color} {noun}: of every colour and shape there is one at most.")
    every = every or noun in lex.PLURALS or noun == lex.EVERYTHING or (shape is None and noun.endswith("s"))
    return Thing(lex.SHADES[color] if color else None, shape, every and not (color and shape), count), at + 1 - start


def _pairs(row: Sequence[str | Thing]) -> tuple[Pair, ...]:
    """What goes where, as prepositions between the things tell it; the base of a tower first."""
    places = [i for i, item in enumerate(row) if isinstance(item, Thing)]
    pairs: list[Pair] = []
    waiting = [row[i] for i in places[:1]]
    arrived = False
    for i, j in pairwise(places):
        between = {item for item in row[i + 1 : j] if isinstance(item, str)}
        here, there = row[i], row[j]
        assert isinstance(here, Thing) and isinstance(there, Thing)
        if between & lex.TURNED and not between & lex.TOWER:
            pairs.append(Pair(there, here))
            arrived = True
        elif between & lex.PLACING and not there.every:
            told = next((word for word in between if word in lex.SIDES), "")
            side: Side = lex.SIDES[told] if told else ""
            near = bool(side or between & lex.BESIDE)
            pairs += [Pair(what, there, near, side) for what in waiting if isinstance(what, Thing)]
            waiting, arrived = [there], True
        else:
            waiting = [there] if arrived else [*waiting, there]
            arrived = False
    if not pairs and len(places) == 2 and _headed_by_place(row, places):
        what, where = row[places[1]], row[places[0]]
        assert isinstance(what, Thing) and isinstance(where, Thing)
        pairs = [Pair(what, where)]
    return _from_the_base(pairs)


def _headed_by_place(row: Sequence[str | Thing], places: Sequence[int]) -> bool:
    """Is it "in the blue bowl, put the red cube"?"""
    head = [item for item in row[: places[0]] if item not in lex.DETERMINERS | {"of"}]
    return bool(head) and head[-1] in lex.INTO


def _list_pairs(row: Sequence[str | Thing], things: Sequence[Thing], plain: Set[str]) -> tuple[Pair, ...]:
    """The storeys of a tower that is told as a list."""
    if not plain & lex.TOWER or len(things) < 2 or any(thing.every for thing in things):
        return ()
    text = " ".join(item for item in row if isinstance(item, str))
    down = "top to bottom" in text or "top down" in text or "top first" in text
    order = list(reversed(things)) if down else list(things)
    return tuple(Pair(upper, lower) for lower, upper in pairwise(order))


def _from_the_base(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs in an order in which they can be carried out: a thing is put in place before something is put on it."""
    left, ordered = list(pairs), list[Pair]()
    while left:
        ready = [p for p in left if not any(p.where == other.what for other in left if other is not p)]
        ordered += ready or left[:1]
        left = [p for p in left if p not in ordered]
    return tuple(ordered)


def _check_nouns(row: Sequence[str | Thing]) -> None:
    """Who tells the arm to move "the elephant" shall learn that there is none."""
    words = [item if isinstance(item, str) else "" for item in row] + ["."]  # "" stands for a thing
    if not set(words) & lex.MOVE:
        return
    for determiner, noun, following in zip(words[:-2], words[1:-1], words[2:], strict=True):
        adjective = following == ""
        if determiner in lex.ARTICLES and noun.isalpha() and noun not in lex.PLAIN and not adjective:
            raise unknown(noun)


def _unfit(pairs: Sequence[Pair]) -> str:
    """Why classes of things cannot be told to go there, "" if they can or there are none."""
    classes = [pair.what for pair in pairs if pair.what.every]
    if not classes:
        return ""
    if len(classes) < len(pairs) or len({(thing.color is None, thing.shape is None) for thing in classes}) > 1:
        return "no rule reads classes of several kinds together"
    if len({(thing.color, thing.shape) for thing in classes}) < len(pairs):
        return "one class cannot go to two places"
    if any(pair.beside or pair.where.shape not in (None, *CONTAINER_SHAPES) for pair in pairs):
        return "a class of things can go into a container only"
    return ""


def _check_pairs(pairs: Sequence[Pair]) -> None:
    for pair in pairs:
        if pair.what.shape in CONTAINER_SHAPES:
            raise BadInput(f"A {pair.what.shape} is too wide for the hand; it can lift: {', '.join(GRASPABLE_SHAPES)}.")
        if pair.where.shape == "ball" and not pair.beside:
            raise BadInput("Nothing stays on a ball; put it in a container, or on a cube or a cylinder.")


def _find(thing: Thing, specs: Sequence[ObjectSpec]) -> ObjectSpec:
    found = [spec for spec in specs if thing.fits(spec)]
    if len(found) != 1:
        there = ", ".join(spec.label for spec in specs)
        raise BadInput(f"{'No' if not found else 'More than one'} {thing} on the table; there are: {there}.")
    return found[0]


def unknown(name: str) -> BadInput:
    """The error for something that the world has not."""
    return BadInput(f"There is no {name} in this world. Colours: {', '.join(COLORS)}. Things: {', '.join(SHAPES)}.")
