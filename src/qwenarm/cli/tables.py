"""Tables for the terminal. Descriptions are the docstrings of the entries' files, read without importing them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.table import Table

from qwenarm.mind.open_model import list_models
from qwenarm.registry import describe, list_names

if TYPE_CHECKING:
    from qwenarm.evaluation.evaluate import Score


def listing(what: str) -> Table:
    """The entries of a kind, each with the first sentence of its description."""
    if what == "models":
        return _table({model.spec: model.doc for model in list_models()})
    kind = "perturbations" if what == "axes" else what
    return _table({name: describe(kind, name) for name in list_names(kind)})


def _table(rows: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, words in rows.items():
        table.add_row(name, words)
    return table


def score_table(scores: Iterable[Score]) -> Table:
    """Success rates with intervals, and the other outcomes. Columns with one value in all rows are left out."""
    rows = [(score, _where(score)) for score in scores]
    told = [name for name in ("policy", "level", "perturbations") if len({where[name] for _, where in rows}) > 1]
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in ("task", *told):
        table.add_column(column)
    for column in ("success", "95 % interval", "n"):
        table.add_column(column, justify="right")
    table.add_column("other endings")
    for score, where in rows:
        rate = score.rate
        percent = f"{rate.value:.1%}" if rate.n else "-"
        others = ", ".join(f"{count} {name}" for name, count in rate.endings.items() if name != "success")
        cells = [where[name] for name in ("task", *told)]
        table.add_row(*cells, percent, f"{rate.low:.1%} to {rate.high:.1%}", str(rate.n), others)
    return table


def _where(score: Score) -> dict[str, str]:
    cell = score.cell
    return {
        "task": cell.task,
        "policy": score.role,
        "level": str(cell.level),
        "perturbations": cell.perturbations or "none",
    }
