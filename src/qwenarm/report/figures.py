"""Which plots a report shows, and of what. Unchanged episodes only, unless a caption says otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np

from qwenarm.diagnosis import find_cause as causes
from qwenarm.evaluation.stats import clustered
from qwenarm.report.entrants import Entrant
from qwenarm.report.fields import rate_text
from qwenarm.report.plots import COLORS, Dot, Line, curves, legend, rate_strip, rows, stacked_bar
from qwenarm.report.records import NO_CAUSE, Record
from qwenarm.report.scores import rate
from qwenarm.report.tables import ALL, by_family, is_attributed

SEVERAL = "several parts"
CAUSE_COLORS = {
    "perception": "k0", "plan": "k1", "format": "k2", "control": "k3", "safety": "k4", "time": "k5", SEVERAL: "k6",
    causes.UNCLEAR: "k7", causes.NOT_REPEATED: "k7", NO_CAUSE: "unknown",
}  # fmt: skip


def key(shown: Sequence[Entrant]) -> str:
    """Who has which colour."""
    return legend((e.name, f"c{i % COLORS}") for i, e in enumerate(shown))


def rates_figure(shown: Sequence[Entrant]) -> str:
    """Rate with interval per family, one lane per entrant."""
    families = {id(e): by_family(e.unchanged) for e in shown}
    parts = {}
    for family in sorted({name for found in families.values() for name in found}):
        dots, words = [], []
        for color, entrant in enumerate(shown):
            score = rate(families[id(entrant)].get(family, ()))
            note = f"{entrant.name}: {rate_text(score)}"
            dots.append(Dot(score.value, score.low, score.high, color, note, hollow=not entrant.is_model))
            if entrant.is_model or not any(e.is_model for e in shown):
                words.append(f"<span>{escape(rate_text(score) if len(shown) > 1 else note)}</span>")
        parts[family] = (rate_strip(dots), "".join(words))
    scale = (
        '<div class="row scale"><div></div><div class="plot"><i>0 %</i><i>50 %</i><i>100 %</i></div><div></div></div>'
    )
    return key(shown) + rows(parts) + scale


def latency_figures(models: Sequence[Entrant]) -> list[tuple[str, str]]:
    """Success against simulated seconds per decision, by family: (title, plot); [] unless a model has two latencies."""
    groups: dict[tuple[str, ...], list[Entrant]] = {}
    for e in models:
        if e.latency_s is not None:
            groups.setdefault((e.run.name, *e.asked, e.arm, e.combos), []).append(e)
    several = [sorted(g, key=lambda e: e.latency_s or 0.0) for g in groups.values() if len({e.clock for e in g}) > 1]
    families = sorted({name for group in several for e in group for name in by_family(e.unchanged)})
    return [(where, _latency(several, where)) for where in ([ALL, *families] if several else [])]


def _latency(groups: Sequence[Sequence[Entrant]], where: str) -> str:
    lines, words = [], []
    for color, group in enumerate(groups):
        points = []
        for e in group:
            score = rate(e.unchanged if where == ALL else by_family(e.unchanged).get(where, ()))
            words.append(f"{e.name}: {rate_text(score)}")
            if score.n:
                points.append((e.latency_s or 0.0, score.value, score.low, score.high))
        lines.append(Line(group[0].model, color, tuple(points)))
    return curves(lines, "simulated seconds per decision", "; ".join(words), whiskers=True, step=0.25)


def progress_figures(shown: Sequence[Entrant]) -> list[tuple[str, str]]:
    """Mean progress after each turn, by family: (title, plot). An episode that has ended keeps its last progress."""
    families = {id(e): by_family(e.unchanged) for e in shown}
    names = sorted({name for found in families.values() for name in found})
    return [(name, _progress(shown, [families[id(e)].get(name, []) for e in shown])) for name in names]


def _progress(shown: Sequence[Entrant], played: Sequence[Sequence[Record]]) -> str:
    turns = max((len(r.curve) for records in played for r in records), default=1)
    lines, words = [], []
    for color, (entrant, records) in enumerate(zip(shown, played, strict=True)):
        if records:
            points = progress_points(records, turns, entrant.is_model)
            lines.append(Line(entrant.name, color, points, entrant.is_model))
            words.append(f"{entrant.name}, n = {len(records)}: {points[-1][1]:.2f} at the end")
    return curves(lines, "turns", "; ".join(words))


def progress_points(records: Sequence[Record], turns: int, band: bool) -> tuple[tuple[float, float, float, float], ...]:
    """(turn, mean progress, and the bootstrap interval of the mean, if wished) from turn 0, where nothing is done."""
    table = np.array([_held(record, turns) for record in records])  # (n, turns + 1)
    means = table.mean(axis=0).tolist()
    between = [clustered([[value] for value in column.tolist()]) if band else (0.0, 0.0) for column in table.T]
    return tuple((float(turn), means[turn], *between[turn]) for turn in range(turns + 1))


def _held(record: Record, turns: int) -> list[float]:
    """Progress after 0, 1, ... turns; from the end of the episode on it is the final one."""
    during = [min(max(value, 0.0), 1.0) for value in record.curve[:-1]]
    return [0.0, *during, *[record.progress] * (turns - len(during))]


def failures_figure(entrant: Entrant) -> str:
    """Successes, and failures by cause or, where nobody has attributed them, by ending; a bar per family."""
    reason = why if is_attributed(entrant) else ended
    reasons = [name for name, _ in Counter(map(reason, entrant.unchanged)).most_common() if name != "success"]
    colors = {"success": "won", **{name: CAUSE_COLORS.get(name, f"k{i % 7}") for i, name in enumerate(reasons)}}
    parts = {}
    for where, records in by_family(entrant.unchanged).items():
        counts = Counter(map(reason, records))
        bar = stacked_bar([(name, counts[name], kind) for name, kind in colors.items()])
        parts[where] = (bar, f"<span>{len(records) - counts['success']} of {len(records)} failed</span>")
    return legend(colors.items()) + rows(parts)


def why(record: Record) -> str:
    """ "success", or the cause of the failure; interactions of any parts under one name."""
    return SEVERAL if "+" in record.why or record.why == causes.SEVERAL else record.why or "success"


def ended(record: Record) -> str:
    """How it ended."""
    return record.outcome
