"""What was said, read in English, Spanish and Chinese: whether it asks something, which numbers and things it names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qwenarm.tasks.language.es_zh import ES_COLORS, ES_SHAPES, ZH_COLORS, ZH_SHAPES, es_plural
from qwenarm.tasks.language.lexicon import NOUNS, PLURALS, SHADES
from qwenarm.types import SkillCall

ASKING = ("which", "what", "cuál", "cuáles", "qué", "哪", "什么")
NUMBERS = (
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
COLOR_WORDS = SHADES | {
    word: color for color, forms in ES_COLORS.items() for form in forms for word in (form, es_plural(form))
}
SHAPE_WORDS = NOUNS | PLURALS | {
    word: shape for shape, (_, noun) in ES_SHAPES.items() for word in (noun, es_plural(noun))
}  # fmt: skip


def last_said(said: Sequence[SkillCall]) -> str:
    """The text of the last "say", "" if there was none."""
    return next((str(call.args.get("text", "")) for call in reversed(said) if call.name == "say"), "")


def is_question(text: str) -> bool:
    """Does it ask something?"""
    return any(mark in text for mark in "?\uff1f") or any(_has(text, word) for word in ASKING)


def numbers(text: str) -> set[int]:
    """All whole numbers in it, up to ten in words too. A bare article ("one of them") counts as one."""
    found = {int(digits) for digits in re.findall(r"\d+", text)}
    return found | {n for n, words in enumerate(NUMBERS) if any(_has(text, word) for word in words)}


def named(text: str) -> tuple[set[str], set[str]]:
    """The colours and the shapes that it names, in English names."""
    colors = {color for word, color in COLOR_WORDS.items() if _has(text, word)}
    shapes = {shape for word, shape in SHAPE_WORDS.items() if _has(text, word)}
    colors |= {color for color, word in ZH_COLORS.items() if word[:-1] in text}
    return colors, shapes | {shape for shape, word in ZH_SHAPES.items() if word in text}


def _has(text: str, word: str) -> bool:
    """Is it a word of the text? Chinese has no spaces."""
    return word in text if not word.isascii() and word[0] >= "\u4e00" else word in re.findall(r"\w+", text.lower())
