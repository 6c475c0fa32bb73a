"""Tables for a terminal: columns where they fit, else a paragraph for each row."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PARAGRAPH_INDENT_CHARS = 2
"""Blanks before the fields of a paragraph."""
COLUMN_GAP_CHARS = 3
"""Blanks between two columns."""
MIN_LAST_COLUMN_CHARS = 20
"""The last column may wrap, but becomes no narrower than this."""


def fitted_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    numbers: Collection[str] = (),
    names: int = 1,
) -> RenderableType:
    """The rows under their heads if they fit; else paragraphs, see ``paragraphs``.

    Args:
        columns: The heads.
        rows: One text for each column.
        width: Width of the terminal, in characters.
        numbers: The columns that are aligned to the right.
        names: So many of the first columns say which row it is.
    """
    longest = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    needed = sum(longest[:-1]) + min(longest[-1], MIN_LAST_COLUMN_CHARS) + COLUMN_GAP_CHARS * (len(columns) - 1)
    if needed > width:
        return paragraphs(columns, rows, width, names)
    table = Table(box=None, pad_edge=False, padding=(0, COLUMN_GAP_CHARS, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    for row in rows:
        table.add_row(*row)
    return table


def paragraphs(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, names: int = 1) -> RenderableType:
    """Each row as a paragraph: what names it, and below its other fields that are not empty, as many in a line as fit.
    The arguments are those of ``fitted_table``.
    """
    parts = list[RenderableType]()
    for row in rows:
        named = zip(columns[names:], row[names:], strict=True)
        fields = [f"{column} {field}".strip() for column, field in named if field]
        title = [
            f"{column} {text}" if text.isdecimal() else text
            for column, text in zip(columns[:names], row[:names], strict=True)
        ]
        parts.append(Text(", ".join(filter(None, title)), style="bold"))
        parts.append(
            Padding(Text("\n".join(_lines(fields, width - PARAGRAPH_INDENT_CHARS))), (0, 0, 0, PARAGRAPH_INDENT_CHARS))
        )
    return Group(*parts)


def _lines(fields: Sequence[str], width: int) -> list[str]:
    """The fields, with commas between them, in lines that break between fields alone."""
    lines = list[str]()
    for field in fields:
        if lines and cell_len(lines[-1]) + len(", ") + cell_len(field) <= width:
            lines[-1] += f", {field}"
        else:
            lines.append(field)
    return lines
