"""Tables for a terminal: columns where they fit, else a paragraph for each row."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

GAP = 3
"""Blanks between two columns."""
MIN_LAST_COLUMN = 20
"""The last column may wrap, but becomes no narrower than this."""


def fitted_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, numbers: Collection[str] = ()
) -> RenderableType:
    """The rows under their heads if they fit into ``width`` characters; else paragraphs, see ``paragraphs``.

    Args:
        columns: The heads.
        rows: One text for each column.
        width: Of the terminal, in characters.
        numbers: The columns that are aligned to the right.
    """
    longest = [max(len(text) for text in column) for column in zip(columns, *rows, strict=True)]
    needed = sum(longest[:-1]) + min(longest[-1], MIN_LAST_COLUMN) + GAP * (len(columns) - 1)
    if needed > width:
        return paragraphs(columns, rows)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    for row in rows:
        table.add_row(*row)
    return table


def paragraphs(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Text:
    """Each row as a paragraph: its first field, then the others that are not empty, on lines of their own."""
    text = Text()
    for row in rows:
        text.append("\n" if text else "").append(row[0] or "–", style="bold")
        for column, field in zip(columns[1:], row[1:], strict=True):
            if field:
                text.append("\n  ").append(f"{column} " if column else "", style="dim").append(field)
    return text
