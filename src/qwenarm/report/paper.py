"""The report's figures as SVG and PDF files for papers, drawn with matplotlib."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from qwenarm.display import html
from qwenarm.errors import shortened
from qwenarm.report import figures
from qwenarm.report.entrants import Entrant

TONE_COLORS = dict(re.findall(r"--(\w+): (#\w{6});", html.style().split("@media")[0]))
"""The style sheet's colours on white, by their names."""
COLUMN_INCHES, TEXT_INCHES = 3.4, 6.9
"""Widths of a column and of the text in a paper of two columns."""
MAX_NAME_CHARS = 40
"""Characters of a name that are shown."""


def write_figures(shown: Sequence[Entrant], model: Entrant, folder: Path) -> None:
    """Writes success, progress and failures, each as SVG and PDF.

    Args:
        shown: whose success and progress are drawn.
        model: whose failures are drawn.
        folder: of the files; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (("success", _success(shown)), ("progress", _progress(shown)), ("failures", _failures(model))):
        FigureCanvasAgg(figure)
        for kind in ("svg", "pdf"):
            stamp = {"Date": None} if kind == "svg" else {"CreationDate": None}  # equal runs give equal files
            figure.savefig(folder / f"{name}.{kind}", bbox_inches="tight", metadata=stamp)


def _success(shown: Sequence[Entrant]) -> Figure:
    families = figures.rates(shown)
    figure, (axes,) = _axes(1, COLUMN_INCHES, 0.6 + 0.09 * sum(len(marks) + 1 for marks in families.values()), 1)
    y, middles = 0.0, []
    for marks in ([mark for mark in family if mark.score.n] for family in families.values()):
        middles.append(y + (len(marks) - 1) / 2)
        for mark in marks:
            score, color = mark.score, TONE_COLORS[mark.tone]
            axes.plot([score.low, score.high], [y, y], color=color, alpha=0.5, linewidth=1.2)
            axes.plot(
                score.value, y, "o", color=color, markerfacecolor="white" if mark.is_hollow else color, markersize=3
            )
            y += 1
        y += 1
    axes.set(xlim=(-0.02, 1.02), yticks=middles, yticklabels=list(map(_literal, families)), xlabel="success rate")
    axes.set_ylim(y, -1)  # the first family on top
    _legend(figure, figures.key(shown))
    return figure


def _progress(shown: Sequence[Entrant]) -> Figure:
    plots = figures.progress_plots(shown)
    figure, panels = _axes(len(plots), TEXT_INCHES, 1.5 * -(-len(plots) // 4), 4)
    for axes, plot in zip(panels, plots, strict=False):
        for curve in plot.curves:
            x, y, low, high = zip(*curve.points, strict=True)
            style = "-" if curve.is_bold else "--"
            axes.plot(x, y, style, color=TONE_COLORS[curve.tone], linewidth=1.2 if curve.is_bold else 0.8)
            if curve.is_bold:
                axes.fill_between(x, low, high, color=TONE_COLORS[curve.tone], alpha=0.15, linewidth=0)
        axes.set(ylim=(0, 1.02), xlabel=plot.x_name, xticks=plot.ticks)
        axes.set_title(_literal(plot.title), fontsize=8)
    _legend(figure, figures.key(shown))
    return figure


def _failures(model: Entrant) -> Figure:
    key, bars = figures.failures(model)
    figure, (axes,) = _axes(1, COLUMN_INCHES, 0.6 + 0.2 * len(bars), 1)
    for row, bar in enumerate(bars):
        left = 0.0
        for _, count, tone, _ in bar.parts:
            axes.barh(
                row, count / bar.n, left=left, color=TONE_COLORS[tone], height=0.7, edgecolor="white", linewidth=0.5
            )
            left += count / bar.n
    families = [_literal(bar.family) for bar in bars]
    axes.set(xlim=(0, 1), yticks=range(len(bars)), yticklabels=families, xlabel="share of episodes")
    axes.set_ylim(len(bars) - 0.5, -0.5)  # the first family on top
    _legend(figure, key)
    return figure


def _axes(n: int, width: float, height: float, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure with n panels. width, height: in inches."""
    columns = min(columns, n)
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(-(-n // columns), columns, squeeze=False).flatten().tolist()
    for i, axes in enumerate(panels):
        axes.set_visible(i < n)
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_size(7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _legend(figure: Figure, key: Sequence[tuple[str, str]]) -> None:
    handles, names = [Patch(color=TONE_COLORS[tone]) for _, tone in key], [_literal(name) for name, _ in key]
    figure.legend(handles, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=6.5, frameon=False)


def _literal(text: str) -> str:
    """A short text in which matplotlib finds no formulas."""
    return shortened(text, MAX_NAME_CHARS).replace("$", r"\$")
