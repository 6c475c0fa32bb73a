"""What the report's plots show: rates, progress and failures by family, success against latency.

The page draws them as inline SVG (``plots.html.jinja``), ``paper.py`` as SVG and PDF files. Only unchanged episodes
are shown, unless a caption says otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.diagnosis import find_cause as causes
from qwenarm.evaluation.stats import clustered
from qwenarm.report.entrants import Entrant
from qwenarm.report.fields import rate_text
from qwenarm.report.records import NO_CAUSE, Record
from qwenarm.report.scores import Rate, rate
from qwenarm.report.tables import ALL_FAMILIES, by_family, is_attributed
from qwenarm.types import Outcome

TONE_COUNT = 8
"""Classes c0 to c7 of the style sheet colour the entrants; further ones begin again."""
PLOT_WIDTH, PLOT_HEIGHT = 330, 190
MARGINS_PX = (40, 12, 10, 36)
"""Left, right, top and bottom of a plot with axes, in pixels."""
MANY_PARTS = "several parts"
CAUSE_TONES = {
    "perception": "k0", "plan": "k1", "format": "k2", "control": "k3", "safety": "k4", "time": "k5", MANY_PARTS: "k6",
    causes.TASK_UNCLEAR: "k7", causes.NOT_REPEATED: "k7", NO_CAUSE: "unknown",
}  # fmt: skip
ENDING_TONES = {str(ending): f"k{i}" for i, ending in enumerate(each for each in Outcome if each != "success")}
"""The same for every entrant."""

Point = tuple[float, float, float, float]
"""x, y, and the ends of y's interval; y in [0, 1]."""


@dataclass(frozen=True)
class RateMark:
    """An entrant's rate in a family. is_told: whether the number stands beside the plot."""

    name: str
    score: Rate
    tone: str
    is_hollow: bool
    is_told: bool

    @property
    def note(self) -> str:
        return f"{self.name}: {rate_text(self.score)}"


@dataclass(frozen=True)
class Curve:
    """A curve of an entrant. is_bold: with its intervals; otherwise a thin line."""

    name: str
    tone: str
    points: tuple[Point, ...]
    is_bold: bool = True


@dataclass(frozen=True)
class Plot:
    """Curves between 0 and 100 % on common axes, laid out in pixels.

    has_whiskers: intervals are whiskers at the points, otherwise bands. words: what the plot says.
    """

    title: str
    curves: tuple[Curve, ...]
    x_name: str
    words: str
    has_whiskers: bool = False
    least_tick: float = 1.0

    @property
    def x_top(self) -> float:
        return max((point[0] for curve in self.curves for point in curve.points), default=0.0) or 1.0

    @property
    def ticks(self) -> list[float]:
        """At most six round numbers on the x axis."""
        return ticks(self.x_top, self.least_tick)

    def x(self, value: float) -> str:
        left, right, _, _ = MARGINS_PX
        return f"{left + (PLOT_WIDTH - left - right) * value / self.x_top:.1f}"

    def y(self, value: float) -> str:
        _, _, top, bottom = MARGINS_PX
        return f"{PLOT_HEIGHT - bottom - (PLOT_HEIGHT - bottom - top) * value:.1f}"

    def path(self, curve: Curve) -> str:
        """The points of a curve, for an SVG polyline."""
        return self._path((x, y) for x, y, _, _ in curve.points)

    def band(self, curve: Curve) -> str:
        """The outline of a curve's intervals, for an SVG polygon."""
        upper = [(x, high) for x, _, _, high in curve.points]
        return self._path([*upper, *((x, low) for x, _, low, _ in reversed(curve.points))])

    def _path(self, points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)


@dataclass(frozen=True)
class Bar:
    """How the episodes of a family ended. parts: (name, count, class of the style sheet, label)."""

    family: str
    parts: tuple[tuple[str, int, str, str], ...]
    failed: int
    n: int


def tone(index: int) -> str:
    """The class of the style sheet for the series of this number."""
    return f"c{index % TONE_COUNT}"


def ticks(top: float, least: float) -> list[float]:
    """At most six round numbers from 0 to top, no closer to each other than ``least``."""
    steps = (0.25, 0.5, *(digit * 10.0**power for power in range(9) for digit in (1, 2, 5)))
    size = next(step for step in steps if step >= least and top / step <= 5)
    return [size * i for i in range(int(top / size + 1e-9) + 1)]


def key(shown: Sequence[Entrant]) -> list[tuple[str, str]]:
    """Who has which colour: (name, class of the style sheet)."""
    return [(entrant.name, tone(i)) for i, entrant in enumerate(shown)]


def rates(shown: Sequence[Entrant]) -> dict[str, list[RateMark]]:
    """Rate with interval by family, one mark per entrant."""
    by_name = {id(entrant): by_family(entrant.unchanged) for entrant in shown}
    has_model = any(entrant.is_model for entrant in shown)
    return {
        family: [
            RateMark(e.name, rate(by_name[id(e)].get(family, ())), tone(i), not e.is_model, e.is_model or not has_model)
            for i, e in enumerate(shown)
        ]
        for family in sorted({name for found in by_name.values() for name in found})
    }


def latency_plots(models: Sequence[Entrant]) -> list[Plot]:
    """Success against simulated seconds per decision, by family; [] unless a model has played with two latencies."""
    groups: dict[tuple[str, ...], list[Entrant]] = {}
    for e in models:
        if e.latency_s is not None:
            groups.setdefault((e.run.name, *e.asked, e.arm, e.combos), []).append(e)
    several = [sorted(g, key=lambda e: e.latency_s or 0.0) for g in groups.values() if len({e.clock for e in g}) > 1]
    families = sorted({name for group in several for e in group for name in by_family(e.unchanged)})
    return [_latency(several, where) for where in ([ALL_FAMILIES, *families] if several else [])]


def _latency(groups: Sequence[Sequence[Entrant]], where: str) -> Plot:
    curves, words = [], []
    for i, group in enumerate(groups):
        points = []
        for e in group:
            score = rate(e.unchanged if where == ALL_FAMILIES else by_family(e.unchanged).get(where, ()))
            words.append(f"{e.name}: {rate_text(score)}")
            if score.n:
                points.append((e.latency_s or 0.0, score.value, score.low, score.high))
        curves.append(Curve(group[0].model, tone(i), tuple(points)))
    return Plot(where, tuple(curves), "simulated seconds per decision", "; ".join(words), True, 0.25)


def progress_plots(shown: Sequence[Entrant]) -> list[Plot]:
    """Mean progress after each turn, by family. An episode that has ended keeps its last progress."""
    families = {id(e): by_family(e.unchanged) for e in shown}
    names = sorted({name for found in families.values() for name in found})
    return [_progress(name, shown, [families[id(e)].get(name, []) for e in shown]) for name in names]


def _progress(family: str, shown: Sequence[Entrant], played: Sequence[Sequence[Record]]) -> Plot:
    turns = max((len(record.curve) for records in played for record in records), default=1)
    curves, words = [], []
    for i, (entrant, records) in enumerate(zip(shown, played, strict=True)):
        if records:
            points = progress_points(records, turns, entrant.is_model)
            curves.append(Curve(entrant.name, tone(i), points, entrant.is_model))
            words.append(f"{entrant.name}, n = {len(records)}: {points[-1][1]:.2f} at the end")
    return Plot(family, tuple(curves), "turns", "; ".join(words))


def progress_points(records: Sequence[Record], turns: int, has_interval: bool) -> tuple[Point, ...]:
    """(turn, mean progress, bootstrap interval of the mean) from turn 0 on, where nothing is done.

    Args:
        records: the episodes, at least one.
        turns: the last turn.
        has_interval: without it the interval is (0, 0), and nothing is drawn by chance.
    """
    progress = np.array([_held(record, turns) for record in records])  # (n, turns + 1)
    means = progress.mean(axis=0).tolist()
    later = progress.T[1:].tolist() if has_interval else []
    between = [(0.0, 0.0), *(clustered([[value] for value in column]) for column in later), *[(0.0, 0.0)] * turns]
    return tuple((float(turn), means[turn], *between[turn]) for turn in range(turns + 1))


def _held(record: Record, turns: int) -> list[float]:
    """Progress after 0, 1, ... turns; from the end of the episode on it is the final one."""
    during = [min(max(value, 0.0), 1.0) for value in record.curve[:-1]]
    return [0.0, *during, *[record.progress] * (turns - len(during))]


def failures(entrant: Entrant) -> tuple[list[tuple[str, str]], list[Bar]]:
    """Successes, and failures by cause or, where nobody has attributed them, by ending; a bar per family.

    Returns:
        (name, class of the style sheet) of each reason, and the bars.
    """
    reason: Callable[[Record], str] = why if is_attributed(entrant) else lambda record: record.outcome
    reasons = [name for name, _ in Counter(map(reason, entrant.unchanged)).most_common() if name != "success"]
    tones = {"success": "won", **{name: (CAUSE_TONES | ENDING_TONES).get(name, "unknown") for name in reasons}}
    bars = []
    for family, records in by_family(entrant.unchanged).items():
        counts, n = Counter(map(reason, records)), len(records)
        parts = tuple((name, counts[name], each, f"{counts[name]} of {n}") for name, each in tones.items())
        bars.append(Bar(family, parts, n - counts["success"], n))
    return list(tones.items()), bars


def why(record: Record) -> str:
    """ "success", or the cause of the failure; combinations of parts under one name."""
    return MANY_PARTS if "+" in record.why or record.why == causes.SEVERAL_MODULES else record.why or "success"
