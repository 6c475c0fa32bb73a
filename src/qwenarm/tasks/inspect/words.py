"""The words of inspect. Slots: {has} what a good part has; {lacks} a defect; {b} the container; {in} and {into}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks.inspect.parts import Feature
from qwenarm.tasks.language.es_zh import el, zh
from qwenarm.tasks.language.phrases import draw_from, listed

DEFECT_TEMPLATES = (
    "put the parts with {lacks} {into} the {b}",
    "any part with {lacks} goes {into} the {b}",
    "take out every part with {lacks} and put it {into} the {b}",
    "throw the parts with {lacks} {into} the {b}",
    "look for parts with {lacks}; they belong {in} the {b}",
    "the parts with {lacks} are bad: {into} the {b} with them",
)
GOOD_PART_TEMPLATES = (
    "a good part has {has}; put all others {into} the {b}",
    "every part should have {has}: bring those that differ to the {b}",
    "only parts with {has} are good, sort the others out {into} the {b}",
    "check that each part has {has}, and put the bad ones {into} the {b}",
    "good ones have {has}. the bad ones go {into} the {b}",
    "a part is good if it has {has}. everything else belongs {in} the {b}",
    "{has}: that is what a good part has. into quarantine with the rest, that is {into} the {b}",
)
INTRODUCTION_PHRASES = (
    "inspect the row of parts: ",
    "quality control! ",
    "check the parts in the row. ",
    "please inspect the parts: ",
    "",
)
VERDICT_REQUESTS = (
    'then say as JSON which were bad: "bad" with the list of their numbers, counted from the left',
    'and tell me the result as JSON, with the key "bad" and the numbers of the bad parts from left to right',
    'report in the end, as a JSON object with a list "bad": the places of the bad ones in the row, 1 is the leftmost',
    'finally say a JSON verdict: the key "bad" holds the numbers of the bad parts, counting from 1 on the left',
    'when this is done, say JSON in which "bad" lists the bad positions, the left one being 1',
)


def inspect_phrase(
    rng: np.random.Generator, features: Sequence[Feature], names_defect: bool, slots: Mapping[str, str]
) -> str:
    """Draws an instruction that names the defect or what a good part has. ``slots`` gives the values of b, in, into."""
    has = [feature.has[0] for feature in features]
    templates = DEFECT_TEMPLATES if names_defect else GOOD_PART_TEMPLATES
    body = draw_from(rng, templates).format(lacks=features[0].lacks[0], has=listed(has), **slots)
    return f"{draw_from(rng, INTRODUCTION_PHRASES)}{body}; {draw_from(rng, VERDICT_REQUESTS)}"


def inspect_translations(features: Sequence[Feature], names_defect: bool, place: ObjectSpec) -> dict[str, str]:
    """Returns the instruction in Spanish and Chinese."""
    if names_defect:
        es = f"pon las piezas {features[0].lacks[1]} {el(place, 'en')}"
        chinese = f"把{features[0].lacks[2]}的零件放进{zh(place)}里"
    else:
        has = listed([feature.has[1] for feature in features], " y ")
        es = f"una pieza buena tiene {has}: pon las defectuosas {el(place, 'en')}"
        chinese = f"合格的零件应为{'、'.join(feature.has[2] for feature in features)},把不合格的放进{zh(place)}里"
    return {
        "es": f'revisa las piezas de la fila: {es}; después di en JSON, con la clave "bad", los números de las malas, '
        "contando desde la izquierda",
        "zh": f'请检查这排零件:{chinese};然后用JSON说出结果,键为"bad",值为从左数起不合格零件的编号列表',
    }
