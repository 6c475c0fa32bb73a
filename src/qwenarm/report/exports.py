"""A report's numbers as CSV, and its tables as Markdown, LaTeX and for the terminal."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.suites import Cell
from qwenarm.report.entrants import Entrant
from qwenarm.report.fields import Field, Table
from qwenarm.report.manifests import citation
from qwenarm.report.numbers import Report
from qwenarm.report.scores import Compared, Contrast, Rate, Standing, cell_scores, rate
from qwenarm.report.tables import (
    METRIC_LABELS,
    causes_table,
    comparison_table,
    controls_table,
    endings_table,
    leaderboard_table,
    matrix_table,
    metrics_tables,
    perturbed_cells_table,
)

EXPORT_FILES = (
    "report.md", "leaderboard.csv", "cells.csv", "comparisons.csv", "episodes.csv", "leaderboard.tex",
    "figures/success.svg", "figures/success.pdf", "figures/progress.svg", "figures/progress.pdf",
    "figures/failures.svg", "figures/failures.pdf",
)  # fmt: skip
"""What stands beside the front page."""
MIN_TABLE_WIDTH_CHARS = 78
"""A terminal needs so many for a comparison as a table."""
PAIR_COLUMNS = {"pairs": "n", "only_a": "only_a", "only_b": "only_b"}
COMPARISON_COLUMNS = {"difference": "difference", "difference_low": "low", "difference_high": "high", "p": "p"}
"""Columns of comparisons, and the fields of a ``Contrast`` that fill them."""
MARKDOWN_ESCAPES = str.maketrans(
    {c: f"\\{c}" for c in "\\`*_[]|"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " "}
)
LATEX_ESCAPES = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "·": r"$\cdot$"}
)


def write_exports(report: Report, out: Path) -> None:
    """Writes EXPORT_FILES."""
    from qwenarm.report.paper import write_figures  # loads matplotlib, which a comparison does without

    write_csv(out / "leaderboard.csv", leaderboard_rows(report.everybody))
    write_csv(out / "cells.csv", cell_rows(report.everybody))
    write_csv(out / "comparisons.csv", contrast_rows(report.standings, report.comparisons))
    write_csv(out / "episodes.csv", episode_rows(report.everybody))
    (out / "report.md").write_text(markdown(report), encoding="utf-8", errors="replace")
    (out / "leaderboard.tex").write_text(latex(leaderboard_table(report.standings)), encoding="utf-8", errors="replace")
    write_figures(report.shown, report.models[0], out / "figures")


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file with the names of the first row as its head; without rows an empty file. Rows are not kept."""
    with open(path, "w", newline="", encoding="utf-8", errors="replace") as file:
        writer = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
            writer.writerow(row)


def leaderboard_rows(everybody: Iterable[Entrant]) -> Iterator[dict[str, Any]]:
    """Every entrant on unchanged episodes."""
    return ({**_who(e), **_rate("", rate(e.unchanged))} for e in everybody)


def cell_rows(everybody: Iterable[Entrant]) -> Iterator[dict[str, Any]]:
    """Every cell of every entrant, perturbed ones beside the same seeds unperturbed (a: perturbed, b: unchanged)."""
    return (
        {**_who(e), **key_fields(score.cell), **_rate("", score.score), **_contrast(score.change)}
        for e in everybody
        for score in cell_scores(e)
    )


def contrast_rows(
    standings: Iterable[Standing], comparisons: Iterable[tuple[Entrant, Entrant, Sequence[Compared]]]
) -> Iterator[dict[str, Any]]:
    """Models against their controls, and models against each other."""
    for row in standings:
        for role, contrast in row.controls.items():
            yield {"a": row.entrant.name, "b": role, "episodes": "all, unchanged", **_contrast(contrast)}
    for a, b, compared in comparisons:
        yield from ({"a": a.name, "b": b.name, "episodes": row.what, **_contrast(row.contrast)} for row in compared)


def episode_rows(everybody: Iterable[Entrant]) -> Iterator[dict[str, Any]]:
    """Every episode that counts."""
    return (
        {
            **_who(e),
            **key_fields(r.key),
            "success": int(r.success),
            "outcome": r.outcome,
            "side_effects": "; ".join(map(str, r.side_effects)),
            "cause": r.why,
            "also": " ".join(r.cause.also) if r.cause else "",
            "progress": r.progress,
            "turns": len(r.curve),
            **{name: r.metrics.get(name, "") for name in METRIC_LABELS},
            "instruction": r.instruction,
            "line": r.line + 1,
        }
        for e in everybody
        for r in e.records
    )


def key_fields(record: Cell | Key) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _who(e: Entrant) -> dict[str, Any]:
    return {"entrant": e.name, "role": e.role, "model": e.model, "run": str(e.run.folder)} | {
        name: getattr(e, name) for name in ("altitude", "cameras", "arm", "combos", "clock", "policy")
    }


def _rate(prefix: str, score: Rate | None) -> dict[str, Any]:
    """The columns of a success rate, whose names begin with a prefix. Without episodes there is no rate."""
    known = 0 if score is None else 5 if score.n else 2
    values = (getattr(score, name) if i < known else "" for i, name in enumerate(("k", "n", "value", "low", "high")))
    return dict(zip((f"{prefix}{name}" for name in ("k", "n", "rate", "low", "high")), values, strict=True))


def _contrast(c: Contrast | None) -> dict[str, Any]:
    """The columns of a comparison; empty where nothing was compared."""
    found: dict[str, Any] = {**_rate("a_", c and c.a), **_rate("b_", c and c.b), "paired": int(c.paired) if c else ""}
    is_paired, is_known = bool(c and c.paired), bool(c and c.a.n and c.b.n)
    found |= {name: getattr(c, each) if is_paired else "" for name, each in PAIR_COLUMNS.items()}
    return found | {name: getattr(c, each) if is_known else "" for name, each in COMPARISON_COLUMNS.items()}


def markdown(report: Report) -> str:
    """The report as Markdown: problems first, then the tables, then the citations."""
    tables = [leaderboard_table(report.standings), controls_table(report.standings)]
    for entrant in report.models:
        tables += [matrix_table(entrant), report.perturbations(entrant), perturbed_cells_table(entrant)]
        tables += [endings_table(entrant), causes_table(entrant)]
    tables += [comparison_table(a, b, rows) for a, b, rows in report.comparisons]
    tables += metrics_tables(report.everybody)
    problems = ["## Read this first", _list(report.problems)] if report.problems else []
    parts = [f"## {_plain(table.caption)}\n\n{markdown_table(table)}" for table in tables if table.rows]
    head, cite = f"# {_plain(report.title)}", ["## To cite", _list(map(citation, report.runs))]
    return "\n\n".join([head, *problems, *parts, *cite]) + "\n"


def markdown_table(table: Table) -> str:
    """A table without its caption."""
    head = [f"| {' | '.join(map(_plain, table.columns))} |", "|" + " --- |" * len(table.columns)]
    return "\n".join([*head, *(f"| {' | '.join(_plain(_text(field)) for field in row)} |" for row in table.rows)])


def _text(field: Field) -> str:
    return field.text + (" " if field.small.startswith("(") else " · " if field.small else "") + field.small


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: neither HTML nor markup of its own."""
    return text.translate(MARKDOWN_ESCAPES)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)


def latex(table: Table) -> str:
    """A table for papers. It needs the package booktabs."""
    rows = [" & ".join(_text(field).translate(LATEX_ESCAPES) for field in row) + r" \\" for row in table.rows]
    head = " & ".join(column.translate(LATEX_ESCAPES) for column in table.columns) + r" \\"
    spec = "l" + "r" * (len(table.columns) - 1)
    caption = table.caption.translate(LATEX_ESCAPES)
    begin = [r"\begin{table}", rf"\caption{{{caption}}}", rf"\begin{{tabular}}{{{spec}}}"]
    lines = [*begin, r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def printed(table: Table, width: int) -> RenderableType:
    """A table for a terminal of so many columns. On a narrow one every row becomes a paragraph."""
    if width < MIN_TABLE_WIDTH_CHARS:
        rows = ("\n  ".join(_named(table.columns, row)) for row in table.rows)
        return Text("\n".join([table.caption, *rows]))
    shown = RichTable(title=table.caption, title_justify="left", title_style="", box=None, header_style="dim")
    shown.pad_edge, shown.padding = False, (0, 1, 0, 0)
    for i, column in enumerate(table.columns):
        two_lines = column.replace("only ", "only\n").replace(", ", ",\n")
        shown.add_column(two_lines, justify="right" if i else "left", no_wrap=True)
    for row in table.rows:
        shown.add_row(*(f"{field.text}\n{field.small}".strip() for field in row))
    return shown


def _named(columns: Sequence[str], row: Sequence[Field]) -> list[str]:
    """The row's name, and every other field under the name of its column."""
    return [row[0].text, *(f"{name}: {_text(field)}" for name, field in zip(columns[1:], row[1:], strict=True))]
