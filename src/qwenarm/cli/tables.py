"""Lists for the terminal. Descriptions are the docstrings of the entries' files, read without importing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import getdoc
from typing import get_args

from rich.console import Group, RenderableType
from rich.table import Table

from qwenarm.cli.options import Listed
from qwenarm.display.tables import paragraphs
from qwenarm.display.terminal import MIN_TERMINAL_CHARS_FOR_SECONDS
from qwenarm.mind.open_model import list_models
from qwenarm.registry import describe, list_names

OTHER_PACKAGES = {
    "tasks": {
        "libero_*": "LIBERO's suites, and LIBERO-PRO's (_swap, _lan, _object, _task): pip install 'qwenarm[libero]'."
    }
}
"""Entries that other packages bring, by kind."""


def listing(what: str, width: int = 120) -> RenderableType:
    """The entries of a kind, each with the first sentence of its description."""
    return _two_columns(_described(what), width)


def overview(width: int = 120) -> RenderableType:
    """The names of all entries, by kind, and which command tells more."""
    names = {what: ", ".join(_described(what)) for what in get_args(Listed)}
    return Group(_two_columns(names, width), "\n`qwenarm list tasks` says what each of them is.")


def command_name(command: Callable[..., int]) -> str:
    """The name that is typed: the function's, without the underscore that keeps it from hiding a builtin."""
    return command.__name__.rstrip("_")


def command_table(groups: Mapping[str, Sequence[Callable[..., int]]]) -> RenderableType:
    """Commands by group, each with the first sentence of its docstring."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, commands in groups.items():
        table.add_row(title)
        for command in commands:
            first_sentence = " ".join((getdoc(command) or "").split()).partition(". ")[0]
            table.add_row(f"  {command_name(command)}", f"{first_sentence.removesuffix('.')}.")
    return table


def _described(what: str) -> dict[str, str]:
    """The entries of a kind with their descriptions."""
    rows = list_models() if what == "models" else {name: describe(what, name) for name in list_names(what)}
    return rows | OTHER_PACKAGES.get(what, {})


def _two_columns(rows: dict[str, str], width: int) -> RenderableType:
    if width < MIN_TERMINAL_CHARS_FOR_SECONDS:
        return paragraphs(("", ""), list(rows.items()), width)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in rows.items():
        table.add_row(name, words)
    return table
