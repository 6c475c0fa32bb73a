"""Hides tags inside arguments, which are text, while an answer is split at its tags."""

from __future__ import annotations

import re
from typing import Any

from qwenarm.mind.parsing.tolerant_json import Malformed, read_value

HIDDEN_BRACKET = "\ue000"
"""Replaces "<"; a character of Unicode's private use area."""
MAX_JSON_STARTS = 64
"""Maximum number of places that are tried as the start of a JSON value."""
_PARAMETER_TAG = re.compile(r"<(/?)parameter\b[^<>]{0,80}>")


def hide_quoted_tags(text: str) -> str:
    """Returns the text with every "<" inside a JSON object or an XML parameter replaced.

    The length stays the same. A parameter that is not closed hides nothing, because its end is unknown.
    """
    if "<" not in text:
        return text
    return _hidden_in_parameters(_hidden_in_objects(text))


def reveal(value: Any) -> Any:
    """Inverts ``hide_quoted_tags`` for a text, or for every text in a JSON value."""
    if isinstance(value, str):
        return type(value)(value.replace(HIDDEN_BRACKET, "<"))
    if isinstance(value, dict):
        return {reveal(key): reveal(each) for key, each in value.items()}
    return [reveal(each) for each in value] if isinstance(value, list) else value


def _hidden_in_objects(text: str) -> str:
    at = text.find("{")
    for _ in range(MAX_JSON_STARTS):
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
