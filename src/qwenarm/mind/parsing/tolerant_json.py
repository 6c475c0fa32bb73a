"""Parses JSON as language models write it: strictly if possible, otherwise with a tolerant parser.

The tolerant parser accepts single, curly and full-width quotes, Chinese punctuation, unquoted keys, trailing commas,
Python's None, True and False, and parentheses as brackets. An incomplete value is an error: nothing is guessed.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_NESTING_DEPTH = 24
_NUMBER_LITERAL = re.compile(r"[-+]?\d{1,12}(?:\.\d{0,20})?(?:[eE][-+]?\d{1,3})?")
_CLOSED_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BARE_KEY = re.compile(r"[A-Za-z_]\w{0,40}")
_WORD_LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_CLOSING_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "”": "”", "＂": "＂", "「": "」"}
_FULL_WIDTH_PUNCTUATION = str.maketrans("：，｛｝［］【】（）；、", ":,{}[][]()" + ",,")
_CLOSING_BRACKETS = {"{": "}", "[": "]", "(": ")"}


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a repeated key, so that the tolerant parser reads and notes it."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


_STRICT_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_without_repeats)


class Malformed(ValueError):
    """There is no JSON value at this position."""


class Incomplete(Malformed):
    """The text ends inside a value. ``open_braces`` counts the missing closing braces; 0 if more is missing."""

    def __init__(self, open_braces: int = 0) -> None:
        super().__init__("the text ends inside a value")
        self.open_braces = open_braces


def read_value(text: str, start: int) -> tuple[Any, int, bool]:
    """Reads the value that begins at ``start``.

    Returns:
        The value, the index after it, and whether it was strict JSON.

    Raises:
        Incomplete: The text ends inside the value.
        Malformed: There is no value.
    """
    try:
        value, end = _STRICT_DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        value, end = _TolerantParser(text).value(start, 0)
        return value, end, False
    if _is_deeper(value, MAX_NESTING_DEPTH):
        raise Malformed("too deeply nested")
    return value, end, True


def _is_deeper(value: Any, depth: int) -> bool:
    """Returns whether lists and objects are nested more than ``depth`` levels deep."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(_is_deeper(each, depth - 1) for each in inside)


class _TolerantParser:
    """A recursive-descent parser for one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        # For structural characters; strings are taken from the original, which has the same length and indices.
        self.plain = text.translate(_FULL_WIDTH_PUNCTUATION)

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        at = self._skip(at)
        char = self.plain[at]
        if depth > MAX_NESTING_DEPTH:
            raise Malformed("too deeply nested")
        if char == "{":
            return self._object(at + 1, depth)
        if char in "[(":
            return self._array(at + 1, _CLOSING_BRACKETS[char], depth)
        if self.text[at] in _CLOSING_QUOTES:
            return self._string(at)
        if number := _NUMBER_LITERAL.match(self.plain, at):
            if number.end() == len(self.plain):
                raise Incomplete()
            return self._number(number.group()), number.end()
        if (word := _BARE_KEY.match(self.plain, at)) and word.group() in _WORD_LITERALS:
            return _WORD_LITERALS[word.group()], word.end()
        raise Malformed(f"no value at {self.text[at : at + 12]!r}")

    def _number(self, digits: str) -> int | float:
        return int(digits) if re.fullmatch(r"[-+]?\d+", digits) else float(digits)

    def _object(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        while True:
            at = self._skip_closing(at, depth)
            if self.plain[at] == "}":
                return found, at + 1
            key, at = self._key(at)
            at = self._expect(":", at)
            found[key], at = self.value(at, depth + 1)
            at = self._separator(at, "}", depth)

    def _array(self, at: int, closer: str, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        while True:
            at = self._skip(at)
            if self.plain[at] == closer:
                return found, at + 1
            item, at = self.value(at, depth + 1)
            found.append(item)
            at = self._skip(at)
            if self.plain[at] == ",":
                at += 1
            elif self.plain[at] != closer:
                raise Malformed(f"expected a comma at {self.text[at : at + 12]!r}")

    def _separator(self, at: int, closer: str, depth: int) -> int:
        at = self._skip_closing(at, depth)
        if self.plain[at] == ",":
            return at + 1
        if self.plain[at] == closer:
            return at
        raise Malformed(f"expected a comma at {self.text[at : at + 12]!r}")

    def _key(self, at: int) -> tuple[str, int]:
        if self.text[at] in _CLOSING_QUOTES:
            return self._string(at)
        if key := _BARE_KEY.match(self.text, at):
            return key.group(), key.end()
        raise Malformed(f"no key at {self.text[at : at + 12]!r}")

    def _string(self, at: int) -> tuple[str, int]:
        opener = self.text[at]
        if opener == '"':
            return self._strict_string(at)
        closers = {_CLOSING_QUOTES[opener], '"'} if opener in "“”" else {_CLOSING_QUOTES[opener]}
        end = min((found for closer in closers if (found := self.text.find(closer, at + 1)) >= 0), default=-1)
        if end < 0:
            raise Incomplete()
        return self.text[at + 1 : end], end + 1

    def _strict_string(self, at: int) -> tuple[str, int]:
        try:
            return _STRICT_DECODER.raw_decode(self.text, at)
        except ValueError as error:
            unclosed = _CLOSED_STRING.match(self.text, at) is None
            raise (Incomplete() if unclosed else Malformed("a string with a broken escape")) from error

    def _expect(self, char: str, at: int) -> int:
        at = self._skip(at)
        if self.plain[at] != char:
            raise Malformed(f"expected {char!r} at {self.text[at : at + 12]!r}")
        return at + 1

    def _skip(self, at: int) -> int:
        while at < len(self.text) and self.text[at].isspace():
            at += 1
        if at >= len(self.text):
            raise Incomplete()
        return at

    def _skip_closing(self, at: int, depth: int) -> int:
        """Like _skip, inside an object whose last entry is complete: if the text ends here, only braces are missing."""
        try:
            return self._skip(at)
        except Incomplete:
            raise Incomplete(open_braces=depth + 1) from None
