"""The numbers of a report: how often who succeeded, and how two that played the same scenes differ.

Everything else in this package only writes these down, so that page, Markdown and CSV cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from qwenarm.evaluation.stats import (
    Rate,
    barnard,
    clustered,
    difference,
    mcnemar,
    paired_difference,
    reconciled,
    success_rate,
)
from qwenarm.evaluation.suites import Cell
from qwenarm.report.entrants import Entrant, controls_of
from qwenarm.report.records import PlayedScene, Record

ANY_PERTURBATION = "any change"
"""All perturbations together."""


def rate(records: Iterable[Record]) -> Rate:
    """The success rate of episodes whose scenes are independent of each other."""
    return success_rate(record.outcome for record in records)


def pooled_rate(records: Iterable[Record]) -> Rate:
    """Over episodes some of which are the same layout under several perturbations: a bootstrap by layout."""
    layouts: dict[PlayedScene, list[float]] = {}
    for record in records:
        layouts.setdefault(replace(record.scene, perturbations=""), []).append(float(record.success))
    won = [value for layout in layouts.values() for value in layout]
    return Rate(int(sum(won)), len(won), *clustered(list(layouts.values())))


@dataclass(frozen=True)
class Contrast:
    """a against b. paired: on the same scenes, n of them, with exact McNemar; else two independent rates, Barnard.

    only_a, only_b: pairs in which only one succeeded. difference: rate of a minus rate of b, with its interval.
    """

    a: Rate
    b: Rate
    difference: float
    low: float
    high: float
    p: float
    paired: bool = True
    only_a: int = 0
    only_b: int = 0

    @property
    def n(self) -> int:
        """How many pairs; 0 when there are none, or when the two are not paired."""
        return self.a.n if self.paired else 0


def paired(a: Mapping[PlayedScene, Record], b: Mapping[PlayedScene, Record]) -> Contrast:
    """Over the scenes that both have."""
    shared = [scene for scene in a if scene in b]
    pairs = [(a[scene].success, b[scene].success) for scene in shared]
    both, only_a = pairs.count((True, True)), pairs.count((True, False))
    only_b, neither = pairs.count((False, True)), pairs.count((False, False))
    value, low, high = paired_difference(both, only_a, only_b, neither)
    low, high, p = reconciled(low, high, mcnemar(only_a, only_b))
    return Contrast(
        rate(a[scene] for scene in shared),
        rate(b[scene] for scene in shared),
        value,
        low,
        high,
        p=p,
        only_a=only_a,
        only_b=only_b,
    )


def unpaired(a: Iterable[Record], b: Iterable[Record]) -> Contrast:
    """The contrast between episodes that share no scene."""
    one, other = rate(a), rate(b)
    counts = (one.k, one.n, other.k, other.n)
    value, low, high = difference(*counts)
    low, high, p = reconciled(low, high, barnard(*counts))
    return Contrast(one, other, value, low, high, p=p, paired=False)


@dataclass(frozen=True)
class Standing:
    """A row of the leaderboard: an entrant on unchanged episodes, and its controls on the same scenes."""

    entrant: Entrant
    score: Rate
    controls: Mapping[str, Contrast]
    """By role: the entrant (a) against the control (b), over the scenes that both played."""


def leaderboard(everybody: Sequence[Entrant]) -> list[Standing]:
    """Models, best first; where there is no model, everybody."""
    ranked = [e for e in everybody if e.is_model] or list(everybody)
    rows = [_standing(e, controls_of(e, everybody) if e.is_model else {}) for e in ranked]
    return sorted(rows, key=lambda row: -row.score.value)


def _standing(entrant: Entrant, controls: Mapping[str, Entrant]) -> Standing:
    mine = entrant.only(lambda record: not record.key.perturbations)
    return Standing(entrant, rate(mine.values()), {role: paired(mine, c.scenes) for role, c in controls.items()})


@dataclass(frozen=True)
class CellScore:
    """A cell, and for a changed one also its matched control: the same seeds without the change."""

    cell: Cell
    score: Rate
    change: Contrast | None
    """Changed (a) against unchanged (b), over the seeds that both have; None for an unchanged cell."""


def cell_scores(entrant: Entrant) -> list[CellScore]:
    """Every cell that was played."""
    return [
        CellScore(cell, rate(r), _against_control(entrant, r, cell.perturbations))
        for cell, r in entrant.cells().items()
    ]


def change_scores(entrant: Entrant) -> list[tuple[str, Rate, Contrast | None]]:
    """Every change over all tasks and levels; then, as "any change", all together with a bootstrap by layout."""
    names = sorted({record.key.perturbations for record in entrant.records} - {""})
    rows: list[tuple[str, Rate, Contrast | None]] = []
    for name in names:
        mine = [record for record in entrant.records if record.key.perturbations == name]
        rows.append((name, rate(mine), _against_control(entrant, mine, name)))
    if len(names) > 1:
        rows.append((ANY_PERTURBATION, pooled_rate(r for r in entrant.records if r.key.perturbations), None))
    return rows


def _against_control(entrant: Entrant, records: Iterable[Record], perturbations: str) -> Contrast | None:
    if not perturbations:
        return None
    changed = {replace(record.scene, perturbations=""): record for record in records}
    return paired(changed, entrant.scenes)


@dataclass(frozen=True)
class Compared:
    """A row of a comparison. what: "all, unchanged", a family, or a change over all families."""

    what: str
    contrast: Contrast


def comparison(a: Entrant, b: Entrant) -> list[Compared]:
    """Two entrants: over all unchanged episodes, and by family and by change as far as both have played it.

    Where they share no scene at all they are compared as independent samples.
    """
    wanted: dict[str, Callable[[Record], bool]] = {"all, unchanged": lambda r: not r.key.perturbations}
    for task in sorted({r.key.task for e in (a, b) for r in e.unchanged}):
        wanted[task] = lambda r, t=task: (r.key.task, r.key.perturbations) == (t, "")
    for perturbations in sorted({r.key.perturbations for e in (a, b) for r in e.records} - {""}):
        wanted[perturbations] = lambda r, c=perturbations: r.key.perturbations == c
    share = any(scene in b.scenes for scene in a.scenes)
    contrast = paired if share else lambda one, other: unpaired(one.values(), other.values())
    everything, *parts = (Compared(what, contrast(a.only(which), b.only(which))) for what, which in wanted.items())
    return [everything, *(part for part in parts if part.contrast.a.n and part.contrast.b.n)]
