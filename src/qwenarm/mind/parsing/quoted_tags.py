"""Tags inside an argument are text: they are hidden while an answer is split at its tags."""

from __future__ import annotations

import re
from typing import Any

from qwenarm.mind.parsing.tolerant_json import Malformed, read_value

HIDDEN_BRACKET = "\ue000"
"""Stands for "<", a character of Unicode's private use area."""
MAX_VALUES = 64
"""At so many places a JSON value is tried."""
_PARAMETER_TAG = re.compile(r"<(/?)parameter\b[^<>]{0,80}>")


def hide_quoted_tags(text: str) -> str:
    """The text with every "<" replaced that stands inside a JSON object or inside a parameter of the XML dialect.

    The result has the same length. A parameter that is not closed hides nothing: nobody can tell where it ends.
    """
    if "<" not in text:
        return text
    return _hidden_in_parameters(_hidden_in_objects(text))


def reveal(value: Any) -> Any:
    """A text, or whatever JSON holds, as it was before ``hide_quoted_tags``."""
    if isinstance(value, str):
        return type(value)(value.replace(HIDDEN_BRACKET, "<"))
    if isinstance(value, dict):
        return {reveal(key): reveal(each) for key, each in value.items()}
    return [reveal(each) for each in value] if isinstance(value, list) else value


def _hidden_in_objects(text: str) -> str:
    at = text.find("{")
    for _ in range(MAX_VALUES):
        if at < 0:
            break
        try:
            _, end, _ = read_value(text, at)
        except Malformed:
            end = at + 1
        text = _hidden(text, at, end)
        at = text.find("{", end)
    return text


def _hidden_in_parameters(text: str) -> str:
    depth, start = 0, 0
    for tag in _PARAMETER_TAG.finditer(text):
        if tag.group(1):
            depth = max(0, depth - 1)
            if depth == 0:
                text = _hidden(text, start, tag.start())
        else:
            start = tag.end() if depth == 0 else start
            depth += 1
    return text


def _hidden(text: str, start: int, end: int) -> str:
    return text[:start] + text[start:end].replace("<", HIDDEN_BRACKET) + text[end:]
