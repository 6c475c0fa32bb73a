"""Reads what was said in English, Spanish or Chinese: is it a question, and which numbers and things does it name?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qwenarm.tasks.language.es_zh import ZH_COLORS, ZH_SHAPES
from qwenarm.tasks.language.vocabulary import COLOR_WORDS, NUMBER_SPELLINGS, SHAPE_WORDS
from qwenarm.types import SkillCall

QUESTION_WORDS = ("which", "what", "cuál", "cuáles", "qué", "哪", "什么")


def last_said(said: Sequence[SkillCall]) -> str:
    """Returns the text of the last "say", or "" if there is none."""
    return next((str(call.args.get("text", "")) for call in reversed(said) if call.name == "say"), "")


def is_question(text: str) -> bool:
    """Returns whether a text is a question."""
    return any(mark in text for mark in "?\uff1f") or any(_has(text, word) for word in QUESTION_WORDS)


def numbers(text: str) -> set[int]:
    """Returns all whole numbers in a text, up to ten also in words. A bare article ("one of them") counts as one."""
    found = {int(digits) for digits in re.findall(r"\d+", text)}
    return found | {n for n, words in enumerate(NUMBER_SPELLINGS) if any(_has(text, word) for word in words)}


def named(text: str) -> tuple[set[str], set[str]]:
    """Returns the colours and the shapes that a text names, in English."""
    colors = {color for word, color in COLOR_WORDS.items() if _has(text, word)}
    shapes = {shape for word, shape in SHAPE_WORDS.items() if _has(text, word)}
    colors |= {color for color, word in ZH_COLORS.items() if word[:-1] in text}
    return colors, shapes | {shape for shape, word in ZH_SHAPES.items() if word in text}


def _has(text: str, word: str) -> bool:
    """Returns whether the text contains the word. Chinese has no spaces."""
    return word in text if not word.isascii() and word[0] >= "\u4e00" else word in re.findall(r"\w+", text.lower())
