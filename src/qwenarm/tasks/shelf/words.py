"""The words of orders for a shelf, in English, Spanish and Chinese."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks import Phrase
from qwenarm.tasks.language.es_zh import el, es_class, feminine, zh, zh_class
from qwenarm.tasks.language.phrases import draw_from

BAY_TEMPLATES = {
    "upper": ("upper {}", "top {}", "upper {} bay", "top {} compartment", "{} bay of the upper level"),
    "lower": ("lower {}", "bottom {}", "lower {} bay", "bottom {} compartment", "{} bay of the lower level"),
}
SPANISH_BAY_WORDS = {"upper": "superior", "lower": "inferior", "left": "izquierda", "right": "derecha"}
CHINESE_BAY_WORDS = {"upper": "上", "lower": "下", "left": "左", "right": "右"}
ALL_TEMPLATES = ("the two {}", "both {}", "the {}", "all {}", "two {}")
SOME_TEMPLATES = ("two {}", "two of the {}", "any two {}", "two {}, no matter which")
COLOR_NOUNS = ("{} things", "{} objects", "{} ones", "{} items")

LINE_TEMPLATES = ("{a} to the {b}", "{a} into the {b}", "{a} in the {b}")
ORDER_TEMPLATES = (
    "put {}",
    "bring {}",
    "please put {}",
    "please bring {}",
    "order: {}",
    "next order: {}",
    "shelf order: {}",
    "stock the shelf: {}",
    "fill the shelf, please: {}",
    "could you put {}?",
    "i need {}",
    "we need {}",
    "this goes on the shelf: {}",
    "on the shelf, please: {}",
    "a customer ordered {}",
    "take {}",
)
"""The slot takes the lines."""
SWAP_TEMPLATES = (
    "swap the {x} and the {y} on the shelf",
    "let the {x} and the {y} change places",
    "swap what is in the {a} with what is in the {b}",
    "exchange what stands in the {a} and in the {b}",
    "what is in the {a} belongs in the {b}, and the other way round",
    "the {x} and the {y} stand in each other's place: swap them",
    "please swap the things in the {a} and the {b}",
    "trade places: the {x} for the {y}",
)
SWAP_TRANSLATIONS = (
    "por favor, intercambia lo que está en {a} con lo que está en {b}",
    "请把{a}里的东西和{b}里的东西互换位置",
)
ROOM_TEMPLATES = (
    "make room in the {a} for the {y}: move what is there to the {b}",
    "clear the {a} into the {b}, then put the {y} in the {a}",
    "the {y} goes to the {a}; move what stands there to the {b} first",
    "put the {y} in the {a} and the {x}, which is there now, in the {b}",
    "move the {x} over to the {b} to make room for the {y} in the {a}",
    "the {a} is for the {y} now; what was there goes to the {b}",
    "replace the {x} in the {a} by the {y}; the {x} goes to the {b}",
    "please empty the {a} into the {b} and bring the {y} there instead, into the {a}",
)
ROOM_TRANSLATIONS = (
    "por favor, pasa lo que está en {a} a {b} y pon {y} en {a}",
    "请把{a}里的东西移到{b},再把{y}放进{a}",
)
"""Slots: x is in bay a and goes to bay b; y takes its place."""
THEN_TEMPLATES = ("{}; then {}", "{}. after that, {}", "{}, and {}", "{}. also, {}")


@dataclass(frozen=True)
class OrderItem:
    """What a line orders: one object, or two of a kind that may have more."""

    specs: tuple[ObjectSpec, ...]  # all that fit the words
    by: str = ""  # "color" or "shape"; "" for one object
    value: str = ""

    @property
    def count(self) -> int:
        """Number of objects that are ordered."""
        return 2 if self.by else 1

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all objects that fit the words."""
        return tuple(spec.id for spec in self.specs)


def order_phrase(rng: np.random.Generator, ordered: Sequence[tuple[OrderItem, str]]) -> Phrase:
    """Draws the words of an order from its (what, bay id) lines."""
    lines = [draw_from(rng, LINE_TEMPLATES).format(a=_what(rng, item), b=bay_words(rng, bay)) for item, bay in ordered]
    text = draw_from(rng, ORDER_TEMPLATES).format(draw_from(rng, (" and ", ", ", ", and ")).join(lines))
    es = " y ".join(f"{_es_what(item)} en {es_bay(bay)}" for item, bay in ordered)
    chinese = ",".join(f"把{_zh_what(item)}放进{zh_bay(bay)}" for item, bay in ordered)
    return Phrase(text, {"es": f"por favor, pon {es}", "zh": f"请{chinese}"})


def exchange_phrase(rng: np.random.Generator, swap: bool, x: ObjectSpec, y: ObjectSpec, a: str, b: str) -> Phrase:
    """Draws the words for "x in bay a goes to bay b, and y takes its place"; in a swap, y is in bay b."""
    templates, es, chinese = (SWAP_TEMPLATES, *SWAP_TRANSLATIONS) if swap else (ROOM_TEMPLATES, *ROOM_TRANSLATIONS)
    text = draw_from(rng, templates).format(x=x.label, y=y.label, a=bay_words(rng, a), b=bay_words(rng, b))
    es = es.format(a=es_bay(a), b=es_bay(b), y=el(y))
    return Phrase(text, {"es": es, "zh": chinese.format(a=zh_bay(a), b=zh_bay(b), y=zh(y))})


def then(rng: np.random.Generator, first: Phrase, second: Phrase) -> Phrase:
    """Joins two phrases, one after the other."""
    text = draw_from(rng, THEN_TEMPLATES).format(first.text, second.text)
    translations = {code: f"{words}; {second.translations[code]}" for code, words in first.translations.items()}
    return Phrase(text, {**translations, "zh": translations["zh"].replace("; ", ";")})


def bay_words(rng: np.random.Generator, bay: str) -> str:
    """Returns, for example, "lower left" for a bay's id."""
    row, side, _ = bay.split("_")
    return draw_from(rng, BAY_TEMPLATES[row]).format(side)


def es_bay(bay: str) -> str:
    row, side, _ = bay.split("_")
    return f"la casilla {SPANISH_BAY_WORDS[row]} {SPANISH_BAY_WORDS[side]}"


def zh_bay(bay: str) -> str:
    row, side, _ = bay.split("_")
    return f"架子的{CHINESE_BAY_WORDS[side]}{CHINESE_BAY_WORDS[row]}格"


def _what(rng: np.random.Generator, item: OrderItem) -> str:
    if not item.by:
        return f"the {item.specs[0].label}"
    kind = draw_from(rng, COLOR_NOUNS).format(item.value) if item.by == "color" else f"{item.value}s"
    return draw_from(rng, ALL_TEMPLATES if len(item.specs) == item.count else SOME_TEMPLATES).format(kind)


def _es_what(item: OrderItem) -> str:
    if not item.by:
        return el(item.specs[0])
    article = "las" if item.by == "color" or feminine(item.value) else "los"
    every = len(item.specs) == item.count
    return (f"{article} dos " if every else "dos ") + es_class(item.by, item.value, every=False)


def _zh_what(item: OrderItem) -> str:
    return f"两个{zh_class(item.by, item.value)}" if item.by else zh(item.specs[0])
