"""Parts that are inspected: what a good one has on it, what can be wrong with it, and the words of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks.language.es_zh import ES_COLORS, ZH_COLORS, el, zh
from qwenarm.tasks.language.phrases import draw_from

NUMBERS = {2: ("two", "dos", "两"), 3: ("three", "tres", "三"), 4: ("four", "cuatro", "四")}
FULL = 4
"""Pins of a good part."""


@dataclass(frozen=True)
class Feature:
    """One thing that a good part has. slot, good, bad: the field of ObjectSpec, and what may be in it. has: a good
    one's words, lacks: a bad one's, in English, Spanish and Chinese.
    """

    slot: str
    good: str
    bad: tuple[str, ...]
    has: tuple[str, str, str]
    lacks: tuple[str, str, str]


def pins() -> Feature:
    return Feature(
        "top",
        f"pins:{FULL}",
        (f"pins:{FULL - 1}",),
        ("four pins", "cuatro clavijas", "四根销钉"),
        ("a missing pin", "a las que les falta una clavija", "缺一根销钉"),
    )


def cap() -> Feature:
    return Feature(
        "top",
        "cap:straight",
        ("cap:tilted",),
        ("a straight cap", "una tapa recta", "盖子平正"),
        ("a tilted cap", "que tienen la tapa torcida", "盖子歪斜"),
    )


def crack() -> Feature:
    return Feature(
        "sides",
        "",
        ("crack",),
        ("no crack", "los lados sin grietas", "没有裂纹"),
        ("a crack", "que tienen una grieta", "有裂纹"),
    )


def dot(rng: np.random.Generator, body_color: str) -> Feature:
    """A dot of some colour, on a part of another."""
    colors = [str(c) for c in rng.permutation([color for color in COLORS if color != body_color])]
    good = colors[0]
    return Feature(
        "top",
        f"dot:{good}",
        tuple(f"dot:{color}" for color in colors[1:]),
        (f"a {good} dot", f"un punto {ES_COLORS[good][0]}", f"{ZH_COLORS[good]}圆点"),
        (f"a dot that is not {good}", f"cuyo punto no es {ES_COLORS[good][0]}", f"圆点不是{ZH_COLORS[good]}"),
    )


def dots(rng: np.random.Generator) -> Feature:
    """So many dots, on a bad part one more or one less."""
    good = int(rng.choice(list(NUMBERS)))
    en, es, chinese = NUMBERS[good]
    return Feature(
        "top",
        f"dots:{good}",
        tuple(f"dots:{count}" for count in NUMBERS if count != good),
        (f"{en} dots", f"{es} puntos", f"{chinese}个点"),
        (f"more or fewer than {en} dots", f"que no tienen {es} puntos", f"点数不是{chinese}个"),
    )


KINDS = ("pins", "cap", "crack", "dot", "dots")
TOGETHER = (("pins", "dot", "crack"), ("pins", "cap", "crack"), ("dots", "crack"))
"""What there is room for on one part."""


def feature(kind: str, rng: np.random.Generator, body_color: str) -> Feature:
    """One of KINDS."""
    simple = {"pins": pins, "cap": cap, "crack": crack}
    if kind in simple:
        return simple[kind]()
    return dot(rng, body_color) if kind == "dot" else dots(rng)


def part(color: str, size: float, number: int, features: Sequence[Feature], wrong: Mapping[int, str]) -> ObjectSpec:
    """A part. wrong: in the place of what a good one has, by the feature's index."""
    has = [(each.slot, wrong.get(i, each.good)) for i, each in enumerate(features)]
    slots = {slot: "+".join(value for s, value in has if s == slot and value) for slot in ("top", "sides")}
    return ObjectSpec("part", color, size, top=slots["top"], sides=slots["sides"], number=number)


LACKING = (
    "put the parts with {lacks} {into} the {b}",
    "any part with {lacks} goes {into} the {b}",
    "take out every part with {lacks} and put it {into} the {b}",
    "throw the parts with {lacks} {into} the {b}",
    "look for parts with {lacks}; they belong {in} the {b}",
    "the parts with {lacks} are bad: {into} the {b} with them",
)
HAVING = (
    "a good part has {has}; put all others {into} the {b}",
    "every part should have {has}: bring those that differ to the {b}",
    "only parts with {has} are good, sort the others out {into} the {b}",
    "check that each part has {has}, and put the bad ones {into} the {b}",
    "good ones have {has}. the bad ones go {into} the {b}",
    "a part is good if it has {has}. everything else belongs {in} the {b}",
    "{has}: that is what a good part has. into quarantine with the rest, that is {into} the {b}",
)
INTRO = (
    "inspect the row of parts: ",
    "quality control! ",
    "check the parts in the row. ",
    "please inspect the parts: ",
    "",
)
VERDICT = (
    'then say as JSON which were bad: "bad" with the list of their numbers, counted from the left',
    'and tell me the result as JSON, with the key "bad" and the numbers of the bad parts from left to right',
    'report in the end, as a JSON object with a list "bad": the places of the bad ones in the row, 1 is the leftmost',
    'finally say a JSON verdict: the key "bad" holds the numbers of the bad parts, counting from 1 on the left',
    'when this is done, say JSON in which "bad" lists the bad positions, the left one being 1',
)


def inspect_phrase(rng: np.random.Generator, features: Sequence[Feature], told: bool, slots: Mapping[str, str]) -> str:
    """One wording. told: the defect is named, not what a good part has. slots: b, in and into of the place."""
    has = [each.has[0] for each in features]
    has_all = ", ".join(has[:-1]) + (" and " if len(has) > 1 else "") + has[-1]
    body = draw_from(rng, LACKING if told else HAVING).format(lacks=features[0].lacks[0], has=has_all, **slots)
    return f"{draw_from(rng, INTRO)}{body}; {draw_from(rng, VERDICT)}"


def inspect_translations(features: Sequence[Feature], told: bool, place: ObjectSpec) -> dict[str, str]:
    """The same in Spanish and Chinese."""
    has = [each.has for each in features]
    if told:
        es = f"pon las piezas {features[0].lacks[1]} {el(place, 'en')}"
        chinese = f"把{features[0].lacks[2]}的零件放进{zh(place)}里"
    else:
        listed = ", ".join(h[1] for h in has[:-1]) + (" y " if len(has) > 1 else "") + has[-1][1]
        es = f"una pieza buena tiene {listed}: pon las defectuosas {el(place, 'en')}"
        chinese = f"合格的零件应为{'、'.join(h[2] for h in has)},把不合格的放进{zh(place)}里"
    return {
        "es": f'revisa las piezas de la fila: {es}; después di en JSON, con la clave "bad", los números de las malas, '
        "contando desde la izquierda",
        "zh": f'请检查这排零件:{chinese};然后用JSON说出结果,键为"bad",值为从左数起不合格零件的编号列表',
    }
