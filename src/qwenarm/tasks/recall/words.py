"""What is said before and after objects are covered, with translations.

Slots: {covers} all covers; {a} the covered object; {b} where it goes; {c} one cover; {s} a shape in the plural.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks import Phrase
from qwenarm.tasks.language.es_zh import ZH_SHAPES, el, es_class, feminine, put_clauses, zh
from qwenarm.tasks.language.phrases import draw_from, listed, prepositions

WATCH_TEMPLATES = (
    "watch the table and touch nothing yet: {covers} will hide some things",
    "look and remember what is where. {covers} will be put over some things, then you get your task",
    "keep looking, hands off: things will disappear under {covers}. i will tell you what to do then",
    "just look for now. {covers} will settle over things, and you will be asked about them",
    "pay attention to where {covers} go, and wait for my request",
    "memory test: see what goes under {covers}, do not touch anything until i ask",
    "please watch {covers} closely and keep looking until i tell you what to do",
    "do not move anything yet. remember what {covers} will hide",
    "first only look: some things will be hidden under {covers}. your task comes after that",
    "eyes on the table! {covers} are about to move; wait until i speak again",
)
BRING_TEMPLATES = (
    "the {a} is under one of the covers. put it {in} the {b}, and lift no other cover",
    "now bring the {a} to the {b}; lift only the cover that hides it",
    "take the cover off the {a} and put the {a} {into} the {b}. leave the other covers alone",
    "put the {a} {in} the {b}. you may lift one cover, the right one",
    "where is the {a}? uncover it, nothing else, and put it {in} the {b}",
    "i need the {a} {in} the {b}. it was covered: lift that cover and no other",
    "find the {a} at the first try and move it {into} the {b}",
    "please get the {a} out from under its cover and {into} the {b}, without lifting any other cover",
    "the {a} goes {into} the {b}. remember which cover it is under: only that one may be lifted",
    "lift the cover over the {a}, no other one, then place the {a} {in} the {b}",
)
WHAT_TEMPLATES = (
    "what is under the {c}? tell me its colour and shape, and touch nothing",
    "do not lift anything: which thing does the {c} hide?",
    "say what lies under the {c}, without lifting it",
    "from memory, please: what did the {c} cover? say its colour and shape",
    "tell me which thing is hidden by the {c}. leave all covers where they are",
    "name the thing under the {c}; no peeking",
    "which object is under the {c}? answer in words, do not touch the covers",
    "what would i find under the {c}? say it without looking under it",
)
COUNT_TEMPLATES = (
    "how many {s} are under the covers? say the number, and touch nothing",
    "without lifting a cover: how many of the hidden things are {s}?",
    "count the {s} that were covered and tell me the number",
    "from memory: how many {s} did the covers hide?",
    "tell me how many {s} are hidden. leave all covers where they are",
    "say the number of {s} under the covers, no peeking",
    "of the things under the covers, how many are {s}? answer with a number",
    "do not lift anything. how many covered {s} are there?",
)


def watch_phrase(rng: np.random.Generator, covers: Sequence[ObjectSpec]) -> Phrase:
    """Draws what is said before anything is covered."""
    names = listed([f"the {cover.label}" for cover in covers])
    es = f"mira la mesa y no toques nada todavía: {listed([el(cover) for cover in covers], ' y ')} van a tapar cosas"
    chinese = f"请看着桌子,先不要动:{listed([zh(cover) for cover in covers], '和', '、')}会盖住一些东西"
    return Phrase(draw_from(rng, WATCH_TEMPLATES).format(covers=names), {"es": es, "zh": chinese})


def bring_phrase(rng: np.random.Generator, what: ObjectSpec, where: ObjectSpec) -> Phrase:
    """Draws a request to bring a covered object somewhere."""
    text = draw_from(rng, BRING_TEMPLATES).format(a=what.label, b=where.label, **prepositions(rng, where.shape))
    clauses = put_clauses(what, where)
    es = f"{clauses['es']}; está bajo una de las tapas: levanta solo esa"
    return Phrase(text, {"es": es, "zh": f"{clauses['zh']},它在一个罩子下面,只能拿起那一个罩子"})


def what_phrase(rng: np.random.Generator, cover: ObjectSpec) -> Phrase:
    """Draws a question about what a cover hides."""
    es = f"¿qué hay debajo {el(cover, 'de')}? di su color y su forma sin tocar nada"
    chinese = f"{zh(cover)}下面是什么?说出颜色和形状,不要碰罩子"
    return Phrase(draw_from(rng, WHAT_TEMPLATES).format(c=cover.label), {"es": es, "zh": chinese})


def count_phrase(rng: np.random.Generator, shape: str) -> Phrase:
    """Draws a question about how many objects of a shape are covered."""
    many = "cuántas" if feminine(shape) else "cuántos"
    es = f"¿{many} {es_class('shape', shape, every=False)} hay debajo de las tapas? di el número sin tocar nada"
    chinese = f"罩子下面一共有几个{ZH_SHAPES[shape]}?说出数字,不要碰罩子"
    return Phrase(draw_from(rng, COUNT_TEMPLATES).format(s=f"{shape}s"), {"es": es, "zh": chinese})
