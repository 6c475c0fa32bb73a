"""The report's numbers as CSV files for other programs, and its tables as Markdown for papers and pull requests."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qwenarm.report.citing import citation
from qwenarm.report.entrants import Entrant
from qwenarm.report.fields import Field, Table
from qwenarm.report.numbers import Report
from qwenarm.report.scores import Compared, Contrast, Rate, Standing, cell_scores, rate
from qwenarm.report.tables import (
    METRICS,
    causes_table,
    change_cells_table,
    comparison_table,
    controls_table,
    endings_table,
    leaderboard_table,
    matrix_table,
    metrics_table,
)


def write_texts(report: Report, out: Path) -> None:
    """Everything beside the pages."""
    write_csv(out / "leaderboard.csv", leaderboard_rows(report.everybody))
    write_csv(out / "cells.csv", cell_rows(report.everybody))
    write_csv(out / "comparisons.csv", contrast_rows(report.standings, report.comparisons))
    write_csv(out / "episodes.csv", episode_rows(report.everybody))
    (out / "report.md").write_text(markdown(report), encoding="utf-8", errors="replace")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A CSV file with a head; without rows an empty file."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.DictWriter(file, names, restval="")
        if names:
            writer.writeheader()
        writer.writerows(rows)


def leaderboard_rows(everybody: Iterable[Entrant]) -> list[dict[str, Any]]:
    """Every entrant on unchanged episodes."""
    return [{**_who(e), **_rate("", rate(e.unchanged))} for e in everybody]


def cell_rows(everybody: Iterable[Entrant]) -> list[dict[str, Any]]:
    """Every cell of every entrant, changed ones beside their matched controls (a: changed, b: unchanged)."""
    return [
        {**_who(e), **asdict(score.cell), **_rate("", score.score), **(_contrast(score.change) if score.change else {})}
        for e in everybody
        for score in cell_scores(e)
    ]


def contrast_rows(
    standings: Iterable[Standing], comparisons: Iterable[tuple[Entrant, Entrant, Sequence[Compared]]]
) -> list[dict[str, Any]]:
    """Models against their controls, and models against each other."""
    rows = [
        {"a": row.entrant.name, "b": role, "episodes": "all, unchanged", **_contrast(contrast)}
        for row in standings
        for role, contrast in row.controls.items()
    ]
    for a, b, compared in comparisons:
        rows += [{"a": a.name, "b": b.name, "episodes": row.what, **_contrast(row.contrast)} for row in compared]
    return rows


def episode_rows(everybody: Iterable[Entrant]) -> list[dict[str, Any]]:
    """Every episode that counts."""
    return [
        {
            **_who(e),
            **asdict(r.key),
            "success": int(r.success),
            "outcome": r.outcome,
            "cause": r.why,
            "also": " ".join(r.cause.also) if r.cause else "",
            "progress": r.progress,
            "turns": len(r.curve),
            **{name: r.metrics.get(name, "") for name in METRICS},
            "instruction": r.instruction,
            "line": r.line + 1,
        }
        for e in everybody
        for r in e.records
    ]


def _who(e: Entrant) -> dict[str, Any]:
    return {"entrant": e.name, "role": e.role, "model": e.model, "run": str(e.run.folder)} | {
        name: getattr(e, name) for name in ("altitude", "cameras", "arm", "combos", "clock", "policy")
    }


def _rate(prefix: str, score: Rate) -> dict[str, Any]:
    rates = {"rate": score.value, "low": score.low, "high": score.high} if score.n else {}
    return {f"{prefix}{name}": value for name, value in {"k": score.k, "n": score.n, **rates}.items()}


def _contrast(c: Contrast) -> dict[str, Any]:
    found = {**_rate("a_", c.a), **_rate("b_", c.b), "paired": int(c.paired)}
    if c.paired:
        found |= {"pairs": c.n, "only_a": c.only_a, "only_b": c.only_b}
    if c.a.n and c.b.n:
        found |= {"difference": c.difference, "difference_low": c.low, "difference_high": c.high, "p": c.p}
    return found


def markdown(report: Report) -> str:
    """The report as Markdown: problems first, then the tables, then the citations."""
    tables = [leaderboard_table(report.standings), controls_table(report.standings)]
    for entrant in report.models:
        tables += [matrix_table(entrant), report.perturbations(entrant), change_cells_table(entrant)]
        tables += [endings_table(entrant), causes_table(entrant)]
    tables += [comparison_table(a, b, rows) for a, b, rows in report.comparisons]
    tables.append(metrics_table(report.everybody))
    problems = ["## Read this first", _list(report.problems)] if report.problems else []
    parts = [f"## {table.caption}\n\n{markdown_table(table)}" for table in tables if table.rows]
    return "\n\n".join([f"# {report.title}", *problems, *parts, "## To cite", _list(map(citation, report.runs))]) + "\n"


def markdown_table(table: Table) -> str:
    """A table without its caption."""
    head = [f"| {' | '.join(map(_plain, table.columns))} |", "|" + " --- |" * len(table.columns)]
    return "\n".join([*head, *(f"| {' | '.join(map(_text, row))} |" for row in table.rows)])


def _text(field: Field) -> str:
    return _plain(field.text + (" " if field.small.startswith("(") else " · " if field.small else "") + field.small)


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)
