"""Two entrants side by side, for the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table as Printed

from qwenarm.report.entrants import choose, entrants
from qwenarm.report.fields import Table
from qwenarm.report.numbers import across
from qwenarm.report.runs import read_runs
from qwenarm.report.scores import comparison
from qwenarm.report.tables import comparison_table


def compare_runs(a: Path, b: Path, who_a: str = "", who_b: str = "") -> tuple[list[str], Printed]:
    """What the reader must know first, and the table.

    who_a, who_b: see ``entrants.choose``. Raises BadInput for a run without episodes, UnknownName unless exactly one
    entrant is meant.
    """
    runs = read_runs([a, b])
    everybody = entrants(runs)
    one = choose([e for e in everybody if e.run is runs[0]], who_a)
    other = choose([e for e in everybody if e.run is runs[-1] and (e is not one or who_b)], who_b)
    problems = [problem for run in runs for problem in run.problems] + [*across(runs)]
    return problems, printed(comparison_table(one, other, comparison(one, other)))


def printed(table: Table) -> Printed:
    """A table for the terminal."""
    shown = Printed(
        title=table.caption,
        title_justify="left",
        title_style="",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )
    for i, column in enumerate(table.columns):
        two_lines = column.replace("only ", "only\n").replace(", ", ",\n")  # fits into 80 columns
        shown.add_column(two_lines, justify="right" if i else "left", no_wrap=True)
    for row in table.rows:
        shown.add_row(*(f"{field.text}\n{field.small}".strip() for field in row))
    return shown
