"""Reads an instruction back as a goal: which things are named, and what goes where. Plain rules, no model.

A sentence becomes a row of words and ``Thing``s. Between two things a preposition means that the first goes to the
second ("the red cube ... in the blue bowl"); a few words turn that round ("fill the blue bowl with the red cube"); a
list of things in a sentence about a tower is its order. Things in the plural ("red things", "every cube") make a
sorting rule.

What is not understood is not judged: a sentence with a word in it that could change the wish ("not", "except", "or",
"the leftmost") and that no rule here reads, with a thing that goes nowhere, or a question, has no goal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

from qwenarm.body.objects import COLORS, CONTAINERS, GRASPABLE, SHAPES, ObjectSpec
from qwenarm.errors import BadInput
from qwenarm.tasks._goal import Arrange, Goal, Relation, Side, Sort
from qwenarm.tasks._phrases import PUT, PUT_IN, PUT_ON, SORT, SORT_OWN, STACK


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NOUNS = {
    "cube": "cube", "block": "cube", "brick": "cube", "dice": "cube", "cylinder": "cylinder", "can": "cylinder",
    "ball": "ball", "sphere": "ball", "bowl": "bowl", "tray": "tray", "plate": "tray", "box": "box", "crate": "box",
}  # fmt: skip
PLURALS = {f"{noun}es" if noun == "box" else f"{noun}s": shape for noun, shape in NOUNS.items()}
SHADES = {**{color: color for color in COLORS}, "violet": "purple", "lilac": "purple"}
OTHER_SHADES = _words("pink brown grey gray cyan magenta turquoise golden gold silver beige teal")
ADJECTIVES = _words("big small little large tiny round square dark light bright nice lonely wooden plastic")
ANY_THING = _words("one ones thing things object objects item items")
EVERY = _words("all every each")
ARTICLES = _words("the a an my your")
DETERMINERS = ARTICLES | _words("this that these those")
INTO = _words("in into inside on onto top to over above upon atop within")
BESIDE = _words("beside next near besides alongside")
TURNED = _words("with hold contain where")
TOWER = _words("stack tower pile base bottom")
OWN = _words("own same match matches matching its their")
MOVE = (
    _words("put place move drop set lay get bring carry transfer leave take pick grab stack pile fill load")
    | _words("insert deposit stick pop throw toss dump shift relocate build make")
)  # fmt: skip
SIDES: dict[str, Side] = {"leftof": "left", "rightof": "right", "infrontof": "front", "behind": "behind"}
"""Those of several words as ``_joined`` writes them."""
PLAIN = (
    _words("table tower pile stack bottom top middle colour color colours colors container containers left right")
    | _words("side same order other first rest base place places task tidy floor and or as is are it them by of")
    | _words("corner edge centre center rim end front back half line row circle hand arm robot gripper camera")
    | ANY_THING | EVERY | INTO | BESIDE | TURNED | OWN | MOVE | ADJECTIVES | set(SHADES)
)  # fmt: skip
COURTESY = re.compile(
    r"\b(?:if you (?:do|would) not mind|if (?:you can|possible)|sorry to bother you,? but"
    r"|there is no hurry|whenever it suits you|this is for you|here it comes|good (?:morning|day|evening)"
    r"|it would be (?:lovely|nice|great) if this could be done|right, now|dear (?:friend|robot)"
    r"|(?:many )?thank(?:s| you)(?: in advance)?)\b"
)
"""Means nothing, and has words in it that could mean something elsewhere."""
HARMLESS = (
    frozenset(re.findall(r"[a-z]+", re.sub(r"{\w+}", "", " ".join(PUT + PUT_IN + PUT_ON + STACK + SORT + SORT_OWN))))
    | _words("now just kindly gently carefully slowly quickly softly safely straight directly hello hi hey us me my")
    | _words("do for let lets go ahead also need d have robot arm must ends going colour color colours colors shape")
    | MOVE | INTO | BESIDE | TURNED | TOWER | EVERY | DETERMINERS | ANY_THING | SIDES.keys()
)  # fmt: skip
"""Words that leave a wish what it is: all that our own wordings are made of, and some more."""
QUESTIONS = _words("is are was were has does did what which where who how why when")
"""A sentence that begins with one of these asks, and wants nothing moved."""


@dataclass(frozen=True)
class Thing:
    """Something named. Either may be missing ("the bowl", "the red one"); every: the whole class ("red things")."""

    color: str | None
    shape: str | None
    every: bool = False

    def fits(self, spec: ObjectSpec) -> bool:
        return self.color in (None, spec.color) and self.shape in (None, spec.shape)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.color, self.shape)))


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
            places = tuple((getattr(p.what, by), _find(p.where, specs).id) for p in self.pairs)
            return Sort(by, places) if all(value for value, _ in places) else None
        wanted = [Relation(_find(p.what, specs).id, _find(p.where, specs).id, p.beside, p.side) for p in self.pairs]
        return Arrange(tuple(wanted)) if wanted else None


def read(instruction: str) -> Reading:
    """Understands an instruction as far as it can. Raises BadInput if it names something that the world has not."""
    plainly = instruction.lower().replace("’", "'").replace("'s", "").replace("can't", "can not").replace("n't", " not")
    text = _joined(COURTESY.sub(" ", plainly))
    row = list(_row(_spread(re.findall(r"[a-z]+|[0-9]+|[,;:.?!]", text))))
    things = [item for item in row if isinstance(item, Thing)]
    plain = {item for item in row if isinstance(item, str)}
    single = tuple(dict.fromkeys(thing for thing in things if not thing.every))
    _check_nouns(row)
    if why := _unread(row):
        return Reading(single, why=why)
    pairs = _pairs(row)
    if not pairs and plain & OWN and plain & {"colour", "color", "colours", "colors", "matches", "matching"}:
        return Reading(single, own=True)
    if not pairs and plain & {"sort", "group", "separate"} and plain & {"colour", "color"}:
        classes = {thing.shape in CONTAINERS: thing for thing in things if thing.every}
        return Reading(single, own=True, members=classes.get(False), bins=classes.get(True))
    pairs = pairs or _list_pairs(row, things, plain)
    _check_pairs(pairs)
    if not pairs:
        return Reading(single, why="it does not say what shall be where")
    told = {thing for pair in pairs for thing in (pair.what, pair.where)}
    if idle := [thing for thing in things if thing not in told]:
        return Reading(single, why=f"it does not say what shall become of {idle[0] or 'them'}")
    return Reading(single, pairs)


def _joined(text: str) -> str:
    """With one word for each preposition that has several."""
    text = re.sub(r"\b(?:(?:to|on|at) (?:the )?)?(left|right)(?:[ -]hand)?(?: side)? of\b", r"\1of", text)
    return re.sub(r"\bin front of\b", "infrontof", text)


def _spread(words: Sequence[str]) -> list[str]:
    """ "The red, blue and green cubes" as "the red cube, blue cube and green cubes": the noun after every colour."""
    spread, between = list(words), {",", "and"} | ARTICLES
    for at in range(len(spread) - 1, 0, -1):
        following = next((word for word in spread[at:] if word not in between), "")
        here = spread[at - 1] in SHADES and spread[at] in between and following in SHADES
        if here and (noun := _noun_behind(spread, at + spread[at:].index(following))):
            spread.insert(at, noun)
    return spread


def _noun_behind(words: Sequence[str], color: int) -> str:
    """The noun that follows a colour at once; "" if none does."""
    noun = words[color + 1] if color + 1 < len(words) else ""
    return noun if noun in NOUNS or noun in PLURALS or noun in ANY_THING - {"one"} else ""


def _unread(row: Sequence[str | Thing]) -> str:
    """Why it is not clear what is wished, "" if it is: a question, or words that might change it and no rule reads."""
    plain = [item for item in row if isinstance(item, str) and item[0].isalnum()]
    first = next((item for item in row if not isinstance(item, str) or item[0].isalnum()), "")
    if first in QUESTIONS:
        return "it is a question"
    odd = [word for word in plain if word not in HARMLESS]
    bare = [item for item in row if item not in DETERMINERS]
    if any(word == "from" and isinstance(following, Thing) for word, following in pairwise(bare)):
        odd.append("from")
    return f"no rule reads {', '.join(repr(word) for word in dict.fromkeys(odd))}" if odd else ""


def _row(words: Sequence[str]) -> Iterator[str | Thing]:
    """The words, with Things in place of the words that name them."""
    last: Thing | None = None
    start = 0
    while start < len(words):
        thing, length = _thing_at(words, start)
        if thing is None:
            yield words[start]
            start += 1
            continue
        if thing.shape is None and not thing.every and last is not None:
            thing = replace(thing, shape=last.shape)
        last = thing
        yield thing
        start += length


def _thing_at(words: Sequence[str], start: int) -> tuple[Thing | None, int]:
    """The thing named from a word on and how many words that takes; (None, 0) if none is. Raises BadInput."""
    at, every, color = start, False, None
    while at < len(words) and words[at] in EVERY | ADJECTIVES | set(SHADES) | OTHER_SHADES | {"the"}:
        if words[at] == "the" and not every:
            break
        every = every or words[at] in EVERY
        color = color or (words[at] if words[at] in set(SHADES) | OTHER_SHADES else None)
        at += 1
    noun = words[at] if at < len(words) else ""
    named = noun in NOUNS or noun in PLURALS or (color is not None and noun in ANY_THING)
    if noun == "can" and (start == 0 or (at == start and words[start - 1] not in DETERMINERS)):
        named = False  # "can you ..."
    if color is not None and not named and noun.isalpha() and noun not in PLAIN and noun not in DETERMINERS:
        raise unknown(f"{color} {noun}")
    if not named:
        return None, 0
    if color in OTHER_SHADES:
        raise unknown(f"{color} {noun}")
    shape = NOUNS.get(noun) or PLURALS.get(noun)
    every = every or noun in PLURALS or (shape is None and noun.endswith("s"))
    return Thing(SHADES[color] if color else None, shape, every and not (color and shape)), at + 1 - start


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
        if between & TURNED and not between & TOWER:
            pairs.append(Pair(there, here))
            arrived = True
        elif between & (INTO | BESIDE | SIDES.keys()) and not there.every:
            told = next((word for word in between if word in SIDES), "")
            side: Side = SIDES[told] if told else ""
            near = bool(side or between & BESIDE)
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
    head = [item for item in row[: places[0]] if item not in DETERMINERS | {"of"}]
    return bool(head) and head[-1] in INTO


def _list_pairs(row: Sequence[str | Thing], things: Sequence[Thing], plain: Set[str]) -> tuple[Pair, ...]:
    """The storeys of a tower that is told as a list."""
    if not plain & TOWER or len(things) < 2 or any(thing.every for thing in things):
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
    if not set(words) & MOVE:
        return
    for determiner, noun, following in zip(words[:-2], words[1:-1], words[2:], strict=True):
        adjective = following == ""
        if determiner in ARTICLES and noun.isalpha() and noun not in PLAIN and not adjective:
            raise unknown(noun)


def _check_pairs(pairs: Sequence[Pair]) -> None:
    for pair in pairs:
        if pair.what.shape in CONTAINERS:
            raise BadInput(f"A {pair.what.shape} is too wide for the hand; it can lift: {', '.join(GRASPABLE)}.")
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
