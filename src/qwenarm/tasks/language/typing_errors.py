"""Finds the word that was meant by one with a typing error."""

from __future__ import annotations

from collections.abc import Collection

KEYBOARD_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
KEY_AT = {
    key: (row + 0.0, column + 0.3 * row) for row, keys in enumerate(KEYBOARD_ROWS) for column, key in enumerate(keys)
}
"""Position of each key, in rows and columns."""
MIN_LETTERS, MIN_SLIP_LETTERS, MIN_LONG_LETTERS = 2, 4, 6
"""Minimum length of a word that is corrected at all, for a neighbouring key, and for any other wrong letter."""
NEVER_CORRECTED = frozenset((
    "or", "nor", "no", "non", "none", "once", "least", "closer", "not", "if", "so", "as", "at", "he", "she", "we",
    "us", "did", "do", "was", "were", "off", "any", "some", "few", "more", "most", "less", "than", "too", "very",
    "her", "his", "him", "they", "when", "while", "until", "before", "after", "under", "over", "between", "around",
    "against", "about", "never", "always", "o", "ni", "si", "sin", "u",
))  # fmt: skip
"""Words that are never corrected, although a grammar may lack them."""


def nearest(word: str, words: Collection[str]) -> str | None:
    """Returns the word that differs by one typing error after its first letter, or None if there is none or a tie."""
    if len(word) < MIN_LETTERS or word in NEVER_CORRECTED or not word.isascii():
        return None
    errors = {other: kind for other in words if other[0] == word[0] and (kind := error(word, other)) is not None}
    likely = [other for other, kind in errors.items() if kind == min(errors.values())]
    return likely[0] if len(likely) == 1 else None


def error(typed: str, meant: str) -> int | None:
    """Returns the kind of the single typing error, or None if there are more.

    0: two letters swapped, 1: one missing or extra, 2: a neighbouring key, 3: any other letter, in a long word.
    """
    if len(typed) == len(meant):
        wrong = [i for i, (a, b) in enumerate(zip(typed, meant, strict=True)) if a != b]
        if len(wrong) == 2 and wrong[1] == wrong[0] + 1 and typed[wrong[0]] == meant[wrong[1]]:
            return 0 if typed[wrong[1]] == meant[wrong[0]] else None
        if len(wrong) != 1 or len(meant) < MIN_SLIP_LETTERS:
            return None
        return 2 if _adjacent(typed[wrong[0]], meant[wrong[0]]) else 3 if len(meant) >= MIN_LONG_LETTERS else None
    longer, shorter = (typed, meant) if len(typed) > len(meant) else (meant, typed)
    if len(longer) > len(shorter) + 1:
        return None
    return 1 if any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer))) else None


def _adjacent(a: str, b: str) -> bool:
    """Returns whether two keys are neighbours."""
    if a not in KEY_AT or b not in KEY_AT:
        return False
    (row_a, column_a), (row_b, column_b) = KEY_AT[a], KEY_AT[b]
    return abs(row_a - row_b) <= 1 and abs(column_a - column_b) <= 1
