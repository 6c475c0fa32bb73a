"""Verdicts in JSON, read as people would read them: with words around, other keys, quotes, or one entry per part."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qwenarm.types import SkillCall

BAD_KEYS = ("bad", "defect", "reject", "faulty", "broken", "fail", "ng", "malas", "坏", "不合格", "次品")
"""Beginnings of keys for the bad parts, and of words for a bad one."""
GOOD_WORDS = ("ok", "good", "pass", "fine", "none", "no ", "intact", "buen", "好", "合格")
PART_KEYS = ("part", "number", "id", "index", "position", "no", "n")
TIDY = (("[\u2018\u2019'\u201c\u201d]", '"'), (r"\bTrue\b", "true"), (r"\bFalse\b", "false"), (r"\bNone\b", "null"),
        (r",\s*([\]}])", r"\1"))  # fmt: skip
"""What people write who think that it is JSON, and what it should be."""


def verdict_of(said: Sequence[SkillCall]) -> frozenset[int] | None:
    """The numbers of the bad parts by the last verdict that was said; None if there was none."""
    texts = (str(value) for call in reversed(said) for value in call.args.values())
    return next((found for text in texts if (found := read_verdict(text)) is not None), None)


def read_verdict(text: str) -> frozenset[int] | None:
    """The numbers in the last JSON value in a text that makes a verdict; None if there is none."""
    found = None
    for value in _values(text):
        numbers = _bad(value)
        found = found if numbers is None else numbers
    return found


def _values(text: str) -> Iterator[Any]:
    """All JSON objects and arrays in it, the outer ones only."""
    for pattern, right in TIDY:
        text = re.sub(pattern, right, text)
    at = 0
    while at < len(text):
        try:
            value, at = json.JSONDecoder().raw_decode(text, at) if text[at] in "{[" else (None, at + 1)
        except ValueError:
            value, at = None, at + 1
        if value is not None:
            yield value


def _bad(value: Any) -> frozenset[int] | None:
    """The bad numbers of a JSON value; None if it says nothing of bad ones."""
    if isinstance(value, list):
        if value and all(isinstance(entry, Mapping) for entry in value):
            return _by_entry(value)
        numbers = [_number(entry) for entry in value]
        return None if None in numbers else frozenset(n for n in numbers if n is not None)
    if not isinstance(value, Mapping):
        return None
    for key, entry in value.items():
        if _begins(key, BAD_KEYS):
            return _bad(entry if isinstance(entry, list | Mapping) else re.findall(r"\d+", str(entry)))
    if value and all(_number(key) is not None for key in value):
        return _by_entry([{"part": key, "is": entry} for key, entry in value.items()])
    inner = [found for entry in value.values() if isinstance(entry, list | Mapping) and (found := _bad(entry))]
    return inner[0] if len(inner) == 1 else None


def _by_entry(entries: Sequence[Mapping[str, Any]]) -> frozenset[int] | None:
    """One entry per part: its number, and whether it is bad."""
    found = set()
    for entry in entries:
        number = next(
            (n for key in entry if str(key).lower() in PART_KEYS and (n := _number(entry[key])) is not None), 0
        )
        states = [_is_bad(str(key).lower(), each) for key, each in entry.items() if str(key).lower() not in PART_KEYS]
        if not number or not states:
            return None
        found |= {number} if states[0] else set()
    return frozenset(found)


def _is_bad(key: str, value: Any) -> bool:
    """Does {key: value} call a part bad?"""
    if isinstance(value, bool):
        return value is not _begins(key, GOOD_WORDS)
    return value is not None and str(value) != "" and not _begins(str(value), GOOD_WORDS)


def _begins(word: Any, beginnings: Sequence[str]) -> bool:
    return str(word).lower().strip().startswith(tuple(beginnings))


def _number(value: Any) -> int | None:
    """3, "3" and "part 3" are 3; everything else is None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    match = re.fullmatch(r"\D*(\d+)\D*", value) if isinstance(value, str) else None
    return int(match[1]) if match else None
