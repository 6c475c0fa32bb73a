"""Lists for the terminal. Descriptions are the docstrings of the entries' files, read without importing them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from inspect import getdoc
from typing import TYPE_CHECKING, Any, get_args

from rich.console import Group, RenderableType
from rich.table import Table

from qwenarm.cli.options import Listed
from qwenarm.display.tables import fitted_table, paragraphs
from qwenarm.display.terminal import MIN_TERMINAL_CHARS_FOR_SECONDS
from qwenarm.mind.open_model import list_models
from qwenarm.registry import describe, list_names

if TYPE_CHECKING:
    from qwenarm.diagnosis.probe import PointingAccuracy
    from qwenarm.evaluation.ledger import Key

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


def causes_table(found: Mapping[Key, Mapping[str, Any]], width: int) -> RenderableType:
    """How often each cause was found, by task, level and perturbation. Ties count for the first cause."""
    from qwenarm.diagnosis.attribute import count_causes

    counts = count_causes(found)
    total: Counter[str] = sum(counts.values(), Counter())
    names = sorted(total, key=lambda name: (-total[name], name))
    heads, rows = ("task", "level", "perturbation", "failed", *names), list[list[str]]()
    for (task, level, perturbations), row in counts.items():
        numbers = (str(row[name] or "–") for name in names)
        rows.append([task, str(level), perturbations or "unchanged", str(sum(row.values())), *numbers])
    return fitted_table(heads, rows, width, {"level", "failed", *names}, names=3)


def accuracy_table(found: list[PointingAccuracy], width: int) -> RenderableType:
    """One row per group: hits with their interval, kinds of misses, distances."""
    numbers, rows = ("hits", "95 % interval", "off", "other", "none", "px 50/90 %", "cm 50/90 %"), list[list[str]]()
    for group in found:
        rate = f"{group.hits}/{group.n} {100 * group.hits / group.n:.0f} %" if group.n else "-"
        interval = f"{100 * group.low:.0f} to {100 * group.high:.0f} %"
        misses = (str(group.kinds[kind]) for kind in ("off", "other", "none"))
        spreads = (f"{each[0]:.1f} / {each[1]:.1f}" if each else "-" for each in (group.px, group.cm))
        rows.append([group.name, rate, interval, *misses, *spreads])
    return fitted_table(("", *numbers), rows, width, numbers)


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
