"""The wordings of instructions: many ways to state the same goal. ``read_instruction.py`` reads them back.

Slots of a template: {a} what is moved, {b} where it goes, both as labels ("red cube"); {in} and {into} are
prepositions that fit {b}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from qwenarm.tasks.core.planning import SIDE_WORDS, Side

if TYPE_CHECKING:
    from qwenarm.body.objects.spec import ObjectSpec

PUT_TEMPLATES = (
    "put the {a} {in} the {b}",
    "put the {a} {into} the {b}",
    "place the {a} {in} the {b}",
    "place the {a} {into} the {b}",
    "move the {a} {into} the {b}",
    "drop the {a} {into} the {b}",
    "set the {a} down {in} the {b}",
    "lay the {a} {in} the {b}",
    "get the {a} {into} the {b}",
    "bring the {a} to the {b}",
    "carry the {a} over to the {b}",
    "transfer the {a} {into} the {b}",
    "leave the {a} {in} the {b}",
    "take the {a} and put it {in} the {b}",
    "pick up the {a} and place it {in} the {b}",
    "pick the {a} up and put it {into} the {b}",
    "grab the {a} and drop it {into} the {b}",
    "the {a} belongs {in} the {b}",
    "the {a} goes {into} the {b}",
    "the {a} should be {in} the {b}",
    "the {a} should end up {in} the {b}",
    "i want the {a} {in} the {b}",
    "i would like the {a} to be {in} the {b}",
    "make sure that the {a} is {in} the {b}",
    "could you put the {a} {in} the {b}?",
    "can you move the {a} {into} the {b}, please?",
    "would you place the {a} {in} the {b}",
    "please put the {a} {in} the {b}",
    "please, the {a} {into} the {b}",
    "your task: put the {a} {in} the {b}",
    "{in} the {b}, put the {a}",
    "{into} the {b} goes the {a}",
    "the {b} is where the {a} belongs",
    "use the {b} to hold the {a}",
)
PUT_IN = (
    "fill the {b} with the {a}",
    "load the {b} with the {a}",
    "let the {b} contain the {a}",
    "let the {a} rest in the {b}",
)
"""Phrases for containers only."""
PUT_ON = ("stack the {a} on the {b}", "let the {a} stand on the {b}", "balance the {a} on top of the {b}")
"""Phrases for objects with a flat top only."""

# {list} names the things from the bottom up, {tsil} from the top down, {pairs} is "the b on the a, the c on the b".
STACK_TEMPLATES = (
    "stack {pairs}",
    "put {pairs}",
    "place {pairs}",
    "please stack {pairs}",
    "stack up {pairs}",
    "could you put {pairs}?",
    "i want {pairs}",
    "build a tower: {pairs}",
    "build a tower of {list}, from bottom to top",
    "build a tower from bottom to top: {list}",
    "make a tower: {list}, in this order from the bottom up",
    "stack, from bottom to top: {list}",
    "stack {list} in this order, the first at the bottom",
    "make a pile with {first} at the bottom, then {rest}",
    "begin with {first} at the bottom and stack {rest} above it",
    "start a tower with {first}, then add {rest}",
    "build a tower with {first} as its base, then {rest}",
    "from top to bottom, the tower should be {tsil}",
    "make a tower that reads from the top down: {tsil}",
    "stack them so that from top to bottom there are {tsil}",
    "pile up {list}, bottom first",
)

SORT_TEMPLATES = (
    "sort by {by}: {rule}",
    "sort the objects by {by}: {rule}",
    "sort everything by {by}, {rule}",
    "tidy up by {by}: {rule}",
    "please sort the things by {by}: {rule}",
    "put {rule}",
    "place {rule}",
    "bring {rule}",
    "sort: {rule}",
    "clean up the table: {rule}",
    "tidy the table so that you put {rule}",
    "separate the objects by {by}: {rule}",
    "group the things by {by}: {rule}",
    "{rule}",
    "could you sort this? {rule}",
    "everything has its place: {rule}",
    "this is how to sort: {rule}",
    "please put {rule}",
)
SORT_OWN = (
    "sort by colour: put each thing into the container of its own colour, {places}",
    "put every object into the container that has its colour: {places}",
    "sort the objects by colour, each into the container of the same colour: {places}",
    "sort everything into the container of its own colour, {places}",
    "match the colours: each object goes into the container of its own colour, {places}",
    "tidy up by colour, each thing into the container that matches: {places}",
    "separate the things by colour into containers of the same colour: {places}",
    "every object belongs in the container of its colour: {places}",
)

IN_WORDS = {"in": ("in", "inside"), "into": ("into", "in")}
ON_WORDS = {"in": ("on", "on top of"), "into": ("onto", "on", "on top of")}
TRAY_WORDS = {"in": ("on", "in"), "into": ("onto", "into", "on")}
GROUP_TEMPLATES = {
    "color": ("{} things", "{} objects", "the {} ones", "all {} things"),
    "shape": ("{}s", "the {}s", "all {}s", "every {}"),
}


def put_phrase(rng: np.random.Generator, what: str, where: str) -> str:
    """Draws the words for "bring what to where", both given as labels such as "red cube"."""
    shape = where.rsplit(" ", 1)[-1]
    template = draw_from(rng, PUT_TEMPLATES + (PUT_IN if shape in ("bowl", "box", "tray") else PUT_ON))
    return template.format(a=what, b=where, **prepositions(rng, shape))


def plain_put(what: ObjectSpec, where: ObjectSpec, beside: bool = False, side: Side = "") -> str:
    """Returns the plainest wording: "put the red cube in the blue bowl", "put the red cube left of the blue bowl"."""
    preposition = SIDE_WORDS[side] if beside else "in" if where.container else "on"
    return f"put the {what.label} {preposition} the {where.label}"


def stack_phrase(rng: np.random.Generator, order: Sequence[str]) -> str:
    """Draws the words for a tower. ``order`` gives at least two labels from the bottom up."""
    the = [f"the {label}" for label in order]
    on = draw_from(rng, ("on", "on top of", "onto"))
    pairs = [f"{upper} {on} {lower}" for lower, upper in pairwise(the)]
    lists = {"list": _join(rng, the), "tsil": _join(rng, the[::-1]), "pairs": _then(rng, pairs)}
    return draw_from(rng, STACK_TEMPLATES).format(**lists, first=the[0], rest=_then(rng, the[1:]))


def sort_phrase(rng: np.random.Generator, by: str, places: Mapping[str, str], own: bool = False) -> str:
    """Draws the words of a sorting rule.

    Args:
        rng: The source of randomness.
        by: "color" or "shape".
        places: The label of the container for each value ("red", "cube").
        own: The containers have the colours of the objects, so the words may say just that.
    """
    if own and rng.random() < 0.6:
        return draw_from(rng, SORT_OWN).format(places=_join(rng, [f"the {label}" for label in places.values()]))
    noun, into = draw_from(rng, GROUP_TEMPLATES[by]), draw_from(rng, ("into", "in", "to"))
    parts = [f"{noun.format(value)} {into} the {label}" for value, label in places.items()]
    return draw_from(rng, SORT_TEMPLATES).format(by="colour" if by == "color" else "shape", rule=_join(rng, parts))


def prepositions(rng: np.random.Generator, shape: str) -> dict[str, str]:
    """Draws words for {in} and {into} that fit a place of this shape."""
    words = {"bowl": IN_WORDS, "box": IN_WORDS, "tray": TRAY_WORDS}.get(shape, ON_WORDS)
    return {key: draw_from(rng, words[key]) for key in ("in", "into")}


def draw_from(rng: np.random.Generator, choices: Sequence[str]) -> str:
    """Draws one of the choices, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def listed(parts: Sequence[object], last: str = " and ", comma: str = ", ") -> str:
    """Joins parts as in "a, b and c". ``last`` stands before the last one, ``comma`` between the others."""
    *before, end = map(str, parts)
    return last.join(filter(None, [comma.join(before), end]))


def _join(rng: np.random.Generator, parts: Sequence[str]) -> str:
    """Joins parts as in "a, b and c" or "a, b, c"."""
    return listed(parts, draw_from(rng, (", ", " and ", ", and ")))


def _then(rng: np.random.Generator, parts: Sequence[str]) -> str:
    """Joins parts as in "a, then b, then c"."""
    return draw_from(rng, (", then ", " and then ", ", ", " and ")).join(parts)
