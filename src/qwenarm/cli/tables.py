"""Lists for the terminal. Descriptions are the docstrings of the entries' files, read without importing them."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table

from qwenarm.display.tables import paragraphs
from qwenarm.display.terminal import MIN_TERMINAL_CHARS_FOR_SECONDS
from qwenarm.mind.open_model import list_models
from qwenarm.registry import describe, list_names

OTHER_PACKAGES = {
    "tasks": {"libero_*": "LIBERO's suites, and LIBERO-PRO's: libero_object_swap (_lan, _object, _task); extra libero."}
}
"""Entries that other packages bring, by kind."""


def listing(what: str, width: int = 120) -> RenderableType:
    """The entries of a kind, each with the first sentence of its description."""
    rows = list_models() if what == "models" else {name: describe(what, name) for name in list_names(what)}
    rows |= OTHER_PACKAGES.get(what, {})
    if width < MIN_TERMINAL_CHARS_FOR_SECONDS:
        return paragraphs(("", ""), list(rows.items()), width)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in rows.items():
        table.add_row(name, words)
    return table
