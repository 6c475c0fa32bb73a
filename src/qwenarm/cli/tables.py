"""Lists for the terminal. Descriptions are the docstrings of the entries' files, read without importing them."""

from __future__ import annotations

from rich.table import Table

from qwenarm.mind.open_model import list_models
from qwenarm.registry import describe, list_names


def listing(what: str) -> Table:
    """The entries of a kind, each with the first sentence of its description."""
    if what == "models":
        return _table(list_models())
    return _table({name: describe(what, name) for name in list_names(what)})


def _table(rows: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, words in rows.items():
        table.add_row(name, words)
    return table
