"""The words for colours, shapes and numbers in English, Spanish and Chinese, with their meanings."""

from __future__ import annotations

from collections.abc import Mapping

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import CONTAINER_SHAPES
from qwenarm.tasks.language.es_zh import ES_COLORS, ES_SHAPES, ZH_COLORS, ZH_SHAPES, es_plural

ANY_CONTAINER = "container"
"""The shape of "a container": a bowl, a tray or a box."""


def english_plural(noun: str) -> str:
    """Returns the plural of a noun, for example "cubes" or "boxes"."""
    return f"{noun}es" if noun.endswith("x") else f"{noun}s"


ENGLISH_NOUNS = {
    "cube": "cube", "block": "cube", "brick": "cube", "dice": "cube", "cylinder": "cylinder", "can": "cylinder",
    "ball": "ball", "sphere": "ball", "bowl": "bowl", "tray": "tray", "plate": "tray", "box": "box", "crate": "box",
}  # fmt: skip
ENGLISH_PLURALS = {english_plural(noun): shape for noun, shape in ENGLISH_NOUNS.items()}
ENGLISH_COLORS = {**{color: color for color in COLOR_RGB}, "violet": "purple", "lilac": "purple"}
SHADES = {
    "en": (
        "pink", "brown", "grey", "gray", "cyan", "magenta", "turquoise", "golden", "gold", "silver", "beige", "teal",
        "crimson", "scarlet", "maroon", "burgundy", "navy", "indigo", "aqua", "olive", "mint", "ivory", "coral",
        "salmon", "peach", "lavender", "mauve", "bronze", "copper", "khaki", "amber", "emerald",
        "navy blue", "sky blue",
        *(f"{tone} {color}" for tone in ("light", "dark", "pale", "deep") for color in (*COLOR_RGB, "grey", "gray")),
    ),
    "es": (
        "rosa", "rosado", "rosada", "marrón", "café", "gris", "celeste", "cian", "magenta", "turquesa", "dorado",
        "dorada", "plateado", "plateada", "beige", "carmesí", "granate", "escarlata", "fucsia",
        "azul marino", "azul cielo", "gris claro", "gris oscuro",
        *(f"{color} {tone}" for color, _ in ES_COLORS.values() for tone in ("claro", "oscuro")),
        *(f"{color} {tone}" for _, color in ES_COLORS.values() for tone in ("clara", "oscura", "claro", "oscuro")),
    ),
    "zh": (
        *(color + end for color in ("粉", "粉红", "灰", "棕", "褐", "青", "金", "银", "米") for end in ("色", "")),
        *(tone + word[:-1] + end for tone in "深浅淡暗" for word in ZH_COLORS.values() for end in ("色", "")),
    ),
}  # fmt: skip
"""Colours that no object has, by language."""
COLOR_WORDS = ENGLISH_COLORS | {
    word: color for color, forms in ES_COLORS.items() for form in forms for word in (form, es_plural(form))
}
SHAPE_WORDS = ENGLISH_NOUNS | ENGLISH_PLURALS | {
    word: shape for shape, (_, noun) in ES_SHAPES.items() for word in (noun, es_plural(noun))
}  # fmt: skip
NUMBER_SPELLINGS = (
    ("zero", "no", "none", "cero", "ninguno", "ninguna", "ningún", "零"),
    ("one", "uno", "una", "un", "一"),
    ("two", "dos", "二", "两"),
    ("three", "tres", "三"),
    ("four", "cuatro", "四"),
    ("five", "cinco", "五"),
    ("six", "seis", "六"),
    ("seven", "siete", "七"),
    ("eight", "ocho", "八"),
    ("nine", "nueve", "九"),
    ("ten", "diez", "十"),
)
"""Words for 0 to 10."""
NUMBER_VALUES = {word: n for n, words in enumerate(NUMBER_SPELLINGS) if n > 1 for word in (*words, str(n))}
"""Values of words and digits from two up."""

_ES = {noun: shape for shape, (_, noun) in ES_SHAPES.items() if shape not in ("cover", "barrier")} | {
    "bloque": "cube", "lata": "cylinder", "pelota": "ball", "esfera": "ball", "tazón": "bowl", "bol": "bowl",
    "plato": "tray",
}  # fmt: skip
_ES_COLORS = {word: color for word, color in COLOR_WORDS.items() if word not in ENGLISH_COLORS}
_ES_COLORS |= dict.fromkeys(("púrpura", "púrpuras", "violeta", "violetas", "lila", "lilas"), "purple")
_ZH = {noun: shape for shape, noun in ZH_SHAPES.items() if shape not in ("cover", "barrier")} | {
    "立方体": "cube", "积木": "cube", "圆柱体": "cylinder", "罐子": "cylinder", "球体": "ball",
    "盘子": "tray", "箱子": "box",
}  # fmt: skip
GRAMMAR_TERMINALS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "en": {
        "COLOR": ENGLISH_COLORS,
        "OTHER_COLOR": {word: word for word in SHADES["en"]},
        "SHAPE": ENGLISH_NOUNS,
        "PLURAL": ENGLISH_PLURALS,
    },
    "es": {
        "COLOR": {word: color for word, color in _ES_COLORS.items() if not word.endswith("s")},
        "COLORS": {word: color for word, color in _ES_COLORS.items() if word.endswith("s")},
        "OTHER_COLOR": {word: word for word in SHADES["es"]},
        "SHAPE": _ES,
        "PLURAL": {es_plural(noun): shape for noun, shape in _ES.items()},
    },
    "zh": {
        "COLOR": {form: color for color, word in ZH_COLORS.items() for form in (word, word[:-1])} | {"橘色": "orange"},
        "OTHER_COLOR": {word: word for word in SHADES["zh"]},
        "SHAPE": _ZH,
    },
}
"""The words of each terminal, by language, with the colour or shape that each of them names."""


def shape_fits(wanted: str | None, shape: str) -> bool:
    """Returns whether ``wanted`` may mean a thing of this shape. None means any shape, ANY_CONTAINER any container."""
    return wanted in (None, shape) or (wanted == ANY_CONTAINER and shape in CONTAINER_SHAPES)


def is_container(shape: str | None) -> bool:
    """Returns whether things of this shape hold others."""
    return shape in (*CONTAINER_SHAPES, ANY_CONTAINER)
