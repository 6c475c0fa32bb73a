"""What orders for a shelf sound like, in English, Spanish and Chinese."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks.core.events import Phrase
from qwenarm.tasks.language.es_zh import el, es_class, feminine, zh, zh_class
from qwenarm.tasks.language.phrases import draw_from

BAY = {
    "upper": ("upper {}", "top {}", "upper {} bay", "top {} compartment", "{} bay of the upper level"),
    "lower": ("lower {}", "bottom {}", "lower {} bay", "bottom {} compartment", "{} bay of the lower level"),
}
ES_BAY = {"upper": "superior", "lower": "inferior", "left": "izquierda", "right": "derecha"}
ZH_BAY = {"upper": "上", "lower": "下", "left": "左", "right": "右"}
ALL = ("the two {}", "both {}", "the {}", "all {}", "two {}")
SOME = ("two {}", "two of the {}", "any two {}", "two {}, no matter which")
THINGS = ("{} things", "{} objects", "{} ones", "{} items")

LINE = ("{a} to the {b}", "{a} into the {b}", "{a} in the {b}")
ORDER = (
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
"""{}: the lines."""
SWAP = (
    "swap the {x} and the {y} on the shelf",
    "let the {x} and the {y} change places",
    "swap what is in the {a} with what is in the {b}",
    "exchange what stands in the {a} and in the {b}",
    "what is in the {a} belongs in the {b}, and the other way round",
    "the {x} and the {y} stand in each other's place: swap them",
    "please swap the things in the {a} and the {b}",
    "trade places: the {x} for the {y}",
)
ROOM = (
    "make room in the {a} for the {y}: move what is there to the {b}",
    "clear the {a} into the {b}, then put the {y} in the {a}",
    "the {y} goes to the {a}; move what stands there to the {b} first",
    "put the {y} in the {a} and the {x}, which is there now, in the {b}",
    "move the {x} over to the {b} to make room for the {y} in the {a}",
    "the {a} is for the {y} now; what was there goes to the {b}",
    "replace the {x} in the {a} by the {y}; the {x} goes to the {b}",
    "please empty the {a} into the {b} and bring the {y} there instead, into the {a}",
)
"""x stands in a, and shall go to b; y takes its place, or comes from b."""
THEN = ("{}; then {}", "{}. after that, {}", "{}, and {}", "{}. also, {}")


@dataclass(frozen=True)
class Item:
    """What a line orders: this one thing, or two of a kind (by "color" or "shape") of which there are the specs."""

    specs: tuple[ObjectSpec, ...]
    by: str = ""
    value: str = ""

    @property
    def count(self) -> int:
        return 2 if self.by else 1

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(spec.id for spec in self.specs)


def order_phrase(rng: np.random.Generator, ordered: Sequence[tuple[Item, str]]) -> Phrase:
    """One wording of an order's lines: (what, id of the bay)."""
    lines = [draw_from(rng, LINE).format(a=_what(rng, item), b=bay_words(rng, bay)) for item, bay in ordered]
    text = draw_from(rng, ORDER).format(draw_from(rng, (" and ", ", ", ", and ")).join(lines))
    es = " y ".join(f"{_es_what(item)} en {es_bay(bay)}" for item, bay in ordered)
    chinese = ",".join(f"把{_zh_what(item)}放进{zh_bay(bay)}" for item, bay in ordered)
    return Phrase(text, {"es": f"por favor, pon {es}", "zh": f"请{chinese}"})


def swap_phrase(rng: np.random.Generator, x: ObjectSpec, y: ObjectSpec, a: str, b: str) -> Phrase:
    """One wording of "x, which is in bay a, and y, which is in bay b, change places"."""
    text = draw_from(rng, SWAP).format(x=x.label, y=y.label, a=bay_words(rng, a), b=bay_words(rng, b))
    return Phrase(
        text,
        {
            "es": f"por favor, intercambia lo que está en {es_bay(a)} con lo que está en {es_bay(b)}",
            "zh": f"请把{zh_bay(a)}里的东西和{zh_bay(b)}里的东西互换位置",
        },
    )


def room_phrase(rng: np.random.Generator, x: ObjectSpec, y: ObjectSpec, a: str, b: str) -> Phrase:
    """One wording of "x, which is in bay a, goes to bay b, and y takes its place"."""
    text = draw_from(rng, ROOM).format(x=x.label, y=y.label, a=bay_words(rng, a), b=bay_words(rng, b))
    return Phrase(
        text,
        {
            "es": f"por favor, pasa lo que está en {es_bay(a)} a {es_bay(b)} y pon {el(y)} en {es_bay(a)}",
            "zh": f"请把{zh_bay(a)}里的东西移到{zh_bay(b)},再把{zh(y)}放进{zh_bay(a)}",
        },
    )


def then(rng: np.random.Generator, first: Phrase, second: Phrase) -> Phrase:
    """Both, one after the other."""
    es, chinese = (f"{first.translations[code]}; {second.translations[code]}" for code in ("es", "zh"))
    return Phrase(draw_from(rng, THEN).format(first.text, second.text), {"es": es, "zh": chinese.replace("; ", ";")})


def bay_words(rng: np.random.Generator, bay: str) -> str:
    """ "lower left", from the bay's id."""
    row, side, _ = bay.split("_")
    return draw_from(rng, BAY[row]).format(side)


def es_bay(bay: str) -> str:
    row, side, _ = bay.split("_")
    return f"la casilla {ES_BAY[row]} {ES_BAY[side]}"


def zh_bay(bay: str) -> str:
    row, side, _ = bay.split("_")
    return f"架子的{ZH_BAY[side]}{ZH_BAY[row]}格"


def _what(rng: np.random.Generator, item: Item) -> str:
    if not item.by:
        return f"the {item.specs[0].label}"
    kind = draw_from(rng, THINGS).format(item.value) if item.by == "color" else f"{item.value}s"
    return draw_from(rng, ALL if len(item.specs) == item.count else SOME).format(kind)


def _es_what(item: Item) -> str:
    if not item.by:
        return el(item.specs[0])
    article = "las" if item.by == "color" or feminine(item.value) else "los"
    every = len(item.specs) == item.count
    return (f"{article} dos " if every else "dos ") + es_class(item.by, item.value, every=False)


def _zh_what(item: Item) -> str:
    return f"两个{zh_class(item.by, item.value)}" if item.by else zh(item.specs[0])
