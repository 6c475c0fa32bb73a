"""The meanings of the rules for names: things with their qualities, and places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES
from qwenarm.tasks.language.misfit import NOT_ON_A_BALL, Misfit, unknown
from qwenarm.tasks.language.vocabulary import ANY_CONTAINER, NUMBER_VALUES, is_container
from qwenarm.tasks.language.wish import ORDINAL_WORDS, Edge, Group, Named, Place, Rank, Thing

if TYPE_CHECKING:
    from lark import Token

ALREADY_MOVED = Thing(shape="already moved")
"""What "the rest" leaves out, until it is known what that is."""
ANY_SHAPE, ANY_IN = "one", "one that holds things"
"""The shape of "the red one" until it is known what "one" stands for; ANY_IN if something goes into it."""
EDGE_OF_TERMINAL: Mapping[str, Edge] = {
    "LEFTMOST": "left", "RIGHTMOST": "right", "LEFTMOST_THERE": "left", "RIGHTMOST_THERE": "right",
    "MIDDLE": "middle", "NEAREST": "near", "FARTHEST": "far",
    "FRONTMOST": "front", "BACKMOST": "back", "NEAREST_THERE": "near", "FARTHEST_THERE": "far",
}  # fmt: skip
"""The edge that each terminal means."""
NUMBER_OF_TERMINAL = {"SECOND": 2, "THIRD": 3}


@dataclass(frozen=True)
class Quality:
    """Something that is said about a thing besides its name: its colour, size, rank or position."""

    kind: str
    value: Any


class NameMeanings:
    """Evaluates names in one language. ``values`` gives what the words of each terminal name."""

    def __init__(self, values: Mapping[str, Mapping[str, str]]) -> None:
        self.values = values

    # things and their qualities

    def mod_(self, word: Token) -> Quality:
        if word.type in ("COLOR", "COLORS"):
            return Quality("color", self.values[word.type][word])
        if word.type == "OTHER_COLOR":
            return Quality("no color", self.values["OTHER_COLOR"][word])
        if word.type in ("BIG", "SMALL"):
            return Quality("size", word.type.lower())
        return (
            Quality("number", NUMBER_OF_TERMINAL[word.type])
            if word.type in NUMBER_OF_TERMINAL
            else Quality("edge", EDGE_OF_TERMINAL[word.type])
        )

    def edge_(self, word: Token) -> Quality:
        return Quality("edge", EDGE_OF_TERMINAL[word.type])

    def on_the_table_(self) -> Quality:
        return Quality("on the table", True)

    def first_(self) -> Quality:
        return Quality("number", 1)

    def from_left_(self) -> Quality:
        return Quality("edge", "left")

    def from_right_(self) -> Quality:
        return Quality("edge", "right")

    def second_left_(self) -> Quality:
        return Quality("rank", Rank("left", 2))

    def second_right_(self) -> Quality:
        return Quality("rank", Rank("right", 2))

    def nearest_to_(self, thing: Thing) -> Quality:
        return Quality("rank", Rank("near", 1, thing))

    def farthest_from_(self, thing: Thing) -> Quality:
        return Quality("rank", Rank("far", 1, thing))

    def that_is_(self, place: Place) -> Quality:
        return Quality("at", place)

    def thing_(self, *parts: Quality | Token) -> Thing:
        (noun,) = [part for part in parts if isinstance(part, str)]
        of = self._qualities(parts, noun)
        if "number" in of and "edge" not in of:
            raise Misfit("say from which side to count", possible=True)
        rank = of.get("rank") or (Rank(of["edge"], of.get("number", 1)) if "edge" in of else None)
        thing = Thing(of.get("color"), self._shape(noun), of.get("size", ""), rank, position=noun.start_pos or 0)
        return located(thing, of["at"]) if "at" in of else thing

    def color_(self, word: Token) -> Thing:
        return Thing(self.values["COLOR"][word], ANY_SHAPE, position=word.start_pos or 0)

    def side_(self, word: Token) -> Thing:
        return Thing(shape=ANY_SHAPE, rank=Rank(EDGE_OF_TERMINAL[word.type]), position=word.start_pos or 0)

    def other_(self) -> Thing:
        return Thing(shape=ANY_SHAPE, but=ALREADY_MOVED)

    def other_one_(self, *parts: Quality | Token) -> Thing:
        return replace(self.thing_(*parts), but=ALREADY_MOVED)

    def other_than_(self, thing: Thing, other: Thing) -> Thing:
        return replace(thing, but=replace(other, shape=thing.shape) if other.shape == ANY_SHAPE else other)

    def shared_(self, *words: Token) -> tuple[Thing, ...]:
        """Returns a thing for each colour in "the red and the blue cylinder"."""
        (noun,) = [word for word in words if word.type != "COLOR"]
        colors = [word for word in words if word.type == "COLOR"]
        return tuple(Thing(self.values["COLOR"][c], self._shape(noun), position=c.start_pos or 0) for c in colors)

    def row_end_(self, *words: Token) -> tuple[Thing, ...]:
        """Returns the two things of "the two leftmost cubes", from that edge."""
        of = {word.type: word for word in words}
        edge: Edge = "left" if "LEFTMOST" in of else "right"
        color = self.values["COLOR"][of["COLOR"]] if "COLOR" in of else None
        count, noun = self._number(of["NUMBER"]), of["PLURAL"]
        if not 1 < count < len(ORDINAL_WORDS):
            raise Misfit(f"more than {len(ORDINAL_WORDS) - 1} are not counted from one side", possible=True)
        ranks = [Rank(edge, number) for number in range(1, count + 1)]
        return tuple(Thing(color, self._shape(noun), rank=rank, position=noun.start_pos or 0) for rank in ranks)

    def unlike_thing_(self, *parts: Thing | Token) -> Thing:
        """Returns "the cube that is not red"."""
        (thing,) = [part for part in parts if isinstance(part, Thing)]
        (color,) = [self.values["COLOR"][part] for part in parts if isinstance(part, str)]
        if thing.color or thing.shape in (None, ANY_SHAPE):
            raise Misfit(f"'{thing}' that is not {color} cannot be told from others", possible=True)
        return self.other_than_(thing, Thing(color, thing.shape))

    def corrected_(self, wrong: Thing, right: Thing) -> Thing:
        """Returns what was meant by "the red, no, the blue cube"."""
        right = replace(right, shape=wrong.shape) if right.shape == ANY_SHAPE else right
        alike = wrong.shape in (ANY_SHAPE, right.shape) or wrong.color == right.color
        if not alike or (wrong.shape != ANY_SHAPE and is_container(wrong.shape) != is_container(right.shape)):
            raise Misfit(f"it is not clear what '{right}' stands for instead", possible=True)
        return right

    def corrected_place_(self, wrong: Thing, right: Thing) -> Thing:
        """Returns "the tray" of "in the bowl, I mean the tray": it can stand for nothing but a place."""
        if not (is_container(wrong.shape) and is_container(right.shape)):
            raise Misfit(f"it is not clear what '{right}' stands for instead", possible=True)
        return right

    def instead_place_(self, _: Place, right: Place) -> Place:
        return right

    def located_(self, thing: Thing, place: Place) -> Thing:
        return located(thing, place)

    def located_row_(self, *parts: Named | Place) -> tuple[Named, ...]:
        """Returns several things, the last of which is described by a place."""
        *names, last, place = flat(parts)
        return (*names, replace(last, at=place) if isinstance(last, Group) else located(last, place))

    def group_at_(self, place: Place, group: Group) -> Group:
        return replace(group, at=place)

    def on_table_(self, thing: Thing) -> Thing:
        return thing

    def at_edge_(self, thing: Thing, word: Token) -> Thing:
        return ranked(thing, Rank(EDGE_OF_TERMINAL[word.type]))

    def nearest_of_(self, thing: Thing, other: Thing) -> Thing:
        return ranked(thing, Rank("near", 1, other))

    def farthest_of_(self, thing: Thing, other: Thing) -> Thing:
        return ranked(thing, Rank("far", 1, other))

    def nearest_for_(self, other: Thing, _: Token, thing: Thing) -> Thing:
        return self.nearest_of_(thing, other)

    def farthest_for_(self, other: Thing, _: Token, thing: Thing) -> Thing:
        return self.farthest_of_(thing, other)

    def is_at_(self, place: Place, thing: Thing) -> Thing:
        return located(thing, place)

    def taken_from_(self, thing: Thing, source: Thing) -> Thing:
        return located(thing, Place("at", source))

    def content_of_(self, thing: Thing, source: Thing) -> Thing:
        if not is_container(source.shape):
            raise Misfit(f"it is not clear where '{thing}' is", possible=True)
        return self.taken_from_(thing, source)

    # places

    def in_(self, thing: Thing) -> Place:
        if thing.shape in GRASPABLE_SHAPES:
            raise Misfit(f"Nothing goes into a {thing.shape}; it can go into: {', '.join(CONTAINER_SHAPES)}.")
        unknown_shape = {None: ANY_CONTAINER, ANY_SHAPE: ANY_IN}
        return Place("at", replace(thing, shape=unknown_shape.get(thing.shape, thing.shape)))

    def on_(self, thing: Thing) -> Place:
        if thing.shape == "ball":
            raise Misfit(NOT_ON_A_BALL)
        return Place("at", thing)

    to_ = on_

    def beside_(self, thing: Thing) -> Place:
        return Place("beside", thing)

    def left_(self, thing: Thing) -> Place:
        return Place("left", thing)

    def back_(self, _: Token, place: Place) -> Place:
        return place

    def right_(self, thing: Thing) -> Place:
        return Place("right", thing)

    def front_(self, thing: Thing) -> Place:
        return Place("front", thing)

    def behind_(self, thing: Thing) -> Place:
        return Place("behind", thing)

    # words

    def _shape(self, noun: Token) -> str | None:
        names = {
            "THING": None,
            "THINGS": None,
            "ONE": ANY_SHAPE,
            "ONES": ANY_SHAPE,
            "CONTAINER": ANY_CONTAINER,
            "CONTAINERS": ANY_CONTAINER,
        }
        return names[noun.type] if noun.type in names else self.values[noun.type][noun]

    def _number(self, word: Token) -> int:
        return 1 if word.type == "ONE" else NUMBER_VALUES[word]

    def _qualities(self, parts: Sequence[Quality | str], noun: str) -> dict[str, Any]:
        """Returns the qualities of one thing by kind. Raises Misfit if a kind occurs twice."""
        kinds = [part.kind for part in parts if isinstance(part, Quality)]
        of = {part.kind: part.value for part in parts if isinstance(part, Quality)}
        if len(of) < len(kinds):
            raise Misfit(f"one {noun} cannot be two things at once", possible=True)
        if "no color" in of:
            raise Misfit(unknown(f"{of['no color']} {noun}"))
        return of


def located(thing: Thing, place: Place) -> Thing:
    """Returns a thing that is described by its place at the start. Raises Misfit if nothing like it can be there."""
    if place.where == "at" and (thing.shape in (*CONTAINER_SHAPES, ANY_CONTAINER) or place.thing.shape == "ball"):
        raise Misfit(f"a {thing.shape} is never {place}", possible=True)
    if thing.at is not None or thing.rank is not None:
        raise Misfit(f"{thing} is described twice", possible=True)
    return replace(thing, at=place)


def ranked(thing: Thing, rank: Rank) -> Thing:
    """Returns a thing that is described by its rank. Raises Misfit if it is already described."""
    if thing.at is not None or thing.rank is not None:
        raise Misfit(f"{thing} is described twice", possible=True)
    return replace(thing, rank=rank)


def flat(parts: Iterable[Any]) -> tuple[Any, ...]:
    """Flattens names and tuples of names into one tuple."""
    return tuple(name for part in parts for name in (part if isinstance(part, tuple) else (part,)))
