"""Reads JSON verdicts tolerantly: with words around them, other keys or quotes, or one entry per part."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qwenarm.types import SkillCall

BAD_PREFIXES = ("bad", "defect", "reject", "faulty", "broken", "fail", "ng", "malas", "坏", "不合格", "次品")
"""Beginnings of keys that stand for the bad parts."""
GOOD_PREFIXES = ("ok", "good", "pass", "fine", "none", "no ", "intact", "buen", "好", "合格")
"""Beginnings of words that stand for a good part."""
PART_KEYS = ("part", "number", "id", "index", "position", "no", "n")
JSON_REPAIRS = (
    ("[\u2018\u2019'\u201c\u201d]", '"'),
    (r"\bTrue\b", "true"),
    (r"\bFalse\b", "false"),
    (r"\bNone\b", "null"),
    (r",\s*([\]}])", r"\1"),
)
"""Patterns that are often written instead of valid JSON, with their replacements."""
MAX_TEXT_CHARS = 10_000
"""Only so much of the end of a text is read, because the last verdict counts."""


def verdicts(said: Sequence[SkillCall]) -> list[frozenset[int]]:
    """Returns the numbers of the bad parts in each verdict among these calls, in order."""
    texts = (str(value) for call in said for value in call.args.values())
    return [found for text in texts if (found := read_verdict(text)) is not None]


def last_verdict(said: Sequence[SkillCall]) -> frozenset[int] | None:
    """Returns the numbers of the bad parts in the last verdict among these calls, or None if there is none."""
    return next(reversed(verdicts(said)), None)


def read_verdict(text: str) -> frozenset[int] | None:
    """Returns the numbers of the bad parts in the last verdict of a text, or None if it has none."""
    found = None
    for value in _json_values(text[-MAX_TEXT_CHARS:]):
        try:
            numbers = _bad_numbers(value)
        except RecursionError:
            continue
        found = found if numbers is None else numbers
    return found


def _json_values(text: str) -> Iterator[Any]:
    """Yields the JSON objects and arrays in a text, without nested ones."""
    for pattern, repaired in JSON_REPAIRS:
        text = re.sub(pattern, repaired, text)
    at = 0
    while at < len(text):
        try:
            value, at = json.JSONDecoder().raw_decode(text, at) if text[at] in "{[" else (None, at + 1)
        except (ValueError, RecursionError):
            value, at = None, at + 1
        if value is not None:
            yield value


def _bad_numbers(value: Any) -> frozenset[int] | None:
    """Returns the numbers of the bad parts in a JSON value, or None if it is not a verdict."""
    if isinstance(value, list):
        if value and all(isinstance(entry, Mapping) for entry in value):
            return _from_entries(value)
        numbers = [_number(entry) for entry in value]
        return None if None in numbers else frozenset(n for n in numbers if n is not None)
    if not isinstance(value, Mapping):
        return None
    for key, entry in value.items():
        if _starts_with(key, BAD_PREFIXES):
            return _bad_numbers(entry if isinstance(entry, list | Mapping) else re.findall(r"\d+", str(entry)))
    if value and all(_number(key) is not None for key in value):
        return _from_entries([{"part": key, "is": entry} for key, entry in value.items()])
    inner = [entry for entry in value.values() if isinstance(entry, list | Mapping)]
    found = [numbers for entry in inner if (numbers := _bad_numbers(entry))]
    return found[0] if len(found) == 1 else None


def _from_entries(entries: Sequence[Mapping[str, Any]]) -> frozenset[int] | None:
    """Returns the numbers of the bad parts from one entry per part: its number, and whether it is bad."""
    bad = set()
    for entry in entries:
        by_key = {str(key).lower(): value for key, value in entry.items()}
        numbers = (_number(value) for key, value in by_key.items() if key in PART_KEYS)
        number = next((n for n in numbers if n is not None), 0)
        states = [_is_bad(key, value) for key, value in by_key.items() if key not in PART_KEYS]
        if not number or not states:
            return None
        bad |= {number} if states[0] else set()
    return frozenset(bad)


def _is_bad(key: str, value: Any) -> bool:
    """Returns whether {key: value} says that a part is bad."""
    if isinstance(value, bool):
        return value is not _starts_with(key, GOOD_PREFIXES)
    return value is not None and str(value) != "" and not _starts_with(str(value), GOOD_PREFIXES)


def _starts_with(word: Any, prefixes: tuple[str, ...]) -> bool:
    return str(word).lower().strip().startswith(prefixes)


def _number(value: Any) -> int | None:
    """Returns 3 for 3, "3" and "part 3", and None for anything without exactly one number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    match = re.fullmatch(r"\D*(\d{1,9})\D*", value) if isinstance(value, str) else None
    return int(match[1]) if match else None
