"""The front page of a report: the same parts in the same order, with words for whoever reads one for the first time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from html import escape

from qwenarm.evaluation.suites import Cell
from qwenarm.report import figures, html
from qwenarm.report.citing import citation, facts_table
from qwenarm.report.entrants import Entrant
from qwenarm.report.fields import rate_text
from qwenarm.report.html import bullets, figure, fold, section, small_multiples, table
from qwenarm.report.numbers import Report
from qwenarm.report.pages import SAMPLE, Site, cell_anchor
from qwenarm.report.scores import Rate
from qwenarm.report.tables import (
    causes_table,
    change_cells_table,
    comparison_table,
    controls_table,
    endings_table,
    is_attributed,
    leaderboard_table,
    matrix_table,
    metrics_table,
    pairs_table,
)

TEXTS = ("report.md", "leaderboard.csv", "cells.csv", "comparisons.csv", "episodes.csv")
"""What stands beside the front page."""
READING = (
    "17/20 · 85 % (64–95): 17 of 20 episodes succeeded; the rate's 95 % Wilson interval is 64 to 95 %. With few "
    "episodes intervals are wide, and that is the truth.",
    "Every ending but success is a failure: crashes, unreadable answers and time-outs count.",
    "All policies play the same seeds, so they are compared pair by pair: the exact McNemar test looks at the scenes "
    "in which only one of the two succeeded; the difference has Newcombe's paired interval. Without common scenes "
    "Barnard's exact test is used.",
    "p values are not corrected for how many of them a report shows: of twenty true nothings one falls below 0.05.",
    "Rates over several perturbations count each layout once: their intervals come from a bootstrap by layout.",
)


def index(report: Report, site: Site, sampled: bool) -> str:
    """The front page as HTML. sampled: whether only some episodes have a page."""
    parts = [
        ("leaderboard", "Leaderboard", _leaderboard(report)),
        ("families", "Families and perturbations", _families(report, site)),
        ("models", "Models against each other", _comparisons(report)),
        ("latency", "Success against latency", _latency(report)),
        ("progress", "Progress over turns", _progress(report)),
        ("failures", "Why episodes fail", _failures(report)),
        ("cost", "What episodes cost", table(metrics_table(report.everybody))),
        ("episodes", "Every episode", _episodes(report, site, sampled)),
        ("cite", "To cite and repeat", _cite(report)),
    ]
    parts = [part for part in parts if part[2]]
    absent = _absent(report, {anchor for anchor, _, _ in parts})
    parts.append(
        ("reading", "How to read this", bullets([*READING, *(f"Not in this report: {what}" for what in absent)]))
    )
    links = "".join(f'<li><a href="#{anchor}">{escape(title)}</a></li>' for anchor, title, _ in parts)
    body = "".join(section(anchor, title, inner) for anchor, title, inner in parts)
    return html.page(
        report.title, f'{_header(report)}<nav aria-label="Contents"><ul>{links}</ul></nav>{_problems(report)}{body}'
    )


def _header(report: Report) -> str:
    best = report.standings[0]
    oracle = best.controls.get("oracle")
    beside = f"; the oracle in {_rate(oracle.b)} of the same scenes" if oracle else ""
    records = [record for entrant in report.everybody for record in entrant.records]
    tiles = {
        "models": sum(entrant.is_model for entrant in report.everybody),
        "families": len({record.key.task for record in records}),
        "perturbations": len({record.key.perturbations for record in records} - {""}),
        "episodes": len(records),
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{value:,}</dd></div>" for name, value in tiles.items())
    return (
        f'<header><p class="eyebrow">qwenarm report</p><h1>{escape(report.title)}</h1>'
        f'<p class="lede"><b>{escape(best.entrant.name)}</b> succeeds in {_rate(best.score)} of its '
        f'unchanged episodes{beside}.</p><dl class="tiles">{listed}</dl></header>\n'
    )


def _rate(score: Rate) -> str:
    """In one piece within a sentence."""
    return f'<span class="rate">{escape(rate_text(score))}</span>'


def _problems(report: Report) -> str:
    if not report.problems:
        return '<p class="fine">Every line of every ledger was read, and all that was asked for was played.</p>\n'
    few, rest = report.problems[:8], report.problems[8:]
    more = fold(f"{len(rest)} more", bullets(rest)) if rest else ""
    return f'<div class="problems card" role="note"><h2>Read this first</h2>{bullets(few)}{more}</div>\n'


def _words(text: str) -> str:
    """What a newcomer should know first. text: HTML."""
    return f'<p class="words">{text}</p>'


def _leaderboard(report: Report) -> str:
    words = _words(
        "A score means little alone. Beside each model stand, on the same scenes: the <b>oracle</b>, which knows where "
        "everything is; the model given the scene as <b>text</b>, told something <b>wrong</b>, or <b>blind</b>; "
        "<b>random</b> and <b>idle</b>."
    )
    caption = "Dots are rates on unchanged episodes, whiskers 95 % Wilson intervals; hollow dots are controls."
    plot = figure("Success by family", figures.rates_figure(report.shown), caption)
    versus = controls_table(report.standings)
    beside = fold("Each model against its controls, pair by pair", table(versus)) if versus.rows else ""
    return words + table(leaderboard_table(report.standings)) + plot + beside


def _families(report: Report, site: Site) -> str:
    words = _words(
        "Each axis of change is named with its strength, 1 to 3. A change is set against the same seeds without it, "
        "and beside the oracle under the same change: a scene that nobody can solve says nothing of a model. Press a "
        "cell for its episodes."
    )

    def link(entrant: Entrant, cell: Cell) -> str:
        return f"{site.list_name(entrant)}#{cell_anchor(cell)}"

    return words + "".join(
        fold(e.name, table(matrix_table(e, link), "matrix") + _changes(report, e), is_open=e is report.models[0])
        for e in [*report.models, *(e for e in report.everybody if e not in report.models)]
    )


def _changes(report: Report, entrant: Entrant) -> str:
    perturbations, cells = report.perturbations(entrant), change_cells_table(entrant)
    return table(perturbations) + fold("Task by task", table(cells)) if perturbations.rows else ""


def _comparisons(report: Report) -> str:
    tables = [table(comparison_table(a, b, rows)) for a, b, rows in report.comparisons]
    if len(tables) < 2:
        return "".join(tables)
    return table(pairs_table(report.comparisons)) + fold("Each pair by family and change", "".join(tables))


def _latency(report: Report) -> str:
    plots = figures.latency_figures([e for e in report.models if e.is_model])
    caption = "While the model thinks the world runs on for so long. Whiskers are 95 % Wilson intervals."
    return figure("Unchanged episodes", small_multiples(plots), caption) if plots else ""


def _progress(report: Report) -> str:
    caption = (
        "Mean share of a task's stages that are done, over all unchanged episodes; those that have ended keep their "
        "last one. Bands are 95 % bootstrap intervals of the mean."
    )
    body = figures.key(report.shown) + small_multiples(figures.progress_figures(report.shown))
    return figure("Mean progress after each turn", body, caption)


def _failures(report: Report) -> str:
    parts = []
    for e in report.models:
        how = "by cause" if is_attributed(e) else "by ending"
        tables = (endings_table(e), causes_table(e))
        counts = fold("The counts", "".join(table(each) for each in tables if each.rows))
        parts.append(figure(f"{e.name}: {how}", figures.failures_figure(e) + counts))
    words = _words(
        "A cause is found by playing a failed episode again with one part at a time replaced by the oracle's: the "
        "first replacement that turns it into a success names the cause; where only several together do, all of them "
        "are named."
    )
    return words + "".join(parts)


def _episodes(report: Report, site: Site, sampled: bool) -> str:
    items = "".join(
        f'<li><a href="{site.list_name(e)}">{escape(e.name)}</a> <span class="soft">{len(e.records):,} episodes, '
        f"{sum(not record.success for record in e.records):,} failed</span></li>"
        for e in report.everybody
    )
    note = _words(escape(SAMPLE)) if sampled else ""
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in TEXTS)
    return f'{note}<ul class="card plain">{items}</ul><p class="soft">The same as text: {links}.</p>'


def _cite(report: Report) -> str:
    return "".join(
        f'<pre class="card cite">{escape(citation(run))}</pre>{fold("The manifest", table(facts_table(run), "facts"))}'
        for run in report.runs
    )


def _absent(report: Report, there: Collection[str]) -> Iterator[str]:
    """What could be here, and how to get it. there: the parts that are."""
    if not any(map(is_attributed, report.models)):
        yield "Causes of failures: qwenarm attribute RUN."
    if "models" not in there:
        yield "A comparison of models: qwenarm report RUN OTHER_RUN."
    if "latency" not in there:
        yield "Success against latency: qwenarm eval --clock latency:1, in the same folder."
    if not any(record.key.perturbations for e in report.models for record in e.records):
        yield "Changes: qwenarm eval --axes look:2,words:1."
