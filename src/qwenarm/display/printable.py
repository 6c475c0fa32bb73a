"""Text that others wrote, without what could command the place where it is shown."""

from __future__ import annotations

import unicodedata

COMMANDING_CATEGORIES = ("Cc", "Cf", "Cs")
"""Unicode's control and format characters, and lone surrogates."""


def without_controls(text: str) -> str:
    """The text without control and format characters, which could move the cursor, recolour or reverse what is read.

    Line breaks and tabs stay. What a model, a server or a ledger says must not command a terminal, a page or a film.
    """
    if text.isprintable():
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in COMMANDING_CATEGORIES)
