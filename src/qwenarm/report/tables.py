"""The tables of a report, made once and then written as HTML, Markdown or for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from qwenarm.evaluation.stats import wilson
from qwenarm.evaluation.suites import Cell
from qwenarm.report.entrants import CONTROLS, Entrant
from qwenarm.report.fields import Field, Table, contrast_fields, rate_field
from qwenarm.report.records import Record
from qwenarm.report.scores import (
    ANY,
    Compared,
    Contrast,
    Rate,
    Standing,
    cell_scores,
    change_scores,
    pooled_rate,
    rate,
)

ALL = "all families"
METRICS = {
    "decisions": "decisions",
    "model_s": "model, wall-clock s",
    "sim_s": "simulated s",
    "path_m": "path of the tcp, m",
    "jerk_rms_m_s3": "rms jerk of the tcp, m/s³",
    "contacts": "unintended contacts",
    "contact_peak_n": "their peak force, N",
    "drops": "drops",
    "clamps": "safety clamps",
    "tokens_in": "tokens in",
    "tokens_out": "tokens out",
    "format_errors": "format errors",
}
"""What ``metrics.py`` stores, in words with units."""
CHANGE_COLUMNS = ("pairs", "changed", "unchanged", "only changed", "only unchanged", "difference, points", "p")
Link = Callable[[Entrant, Cell], str]
"""Where the episodes of a cell are listed."""


def leaderboard_table(standings: Sequence[Standing]) -> Table:
    """One row per model, its controls beside it on the same scenes."""
    roles = [role for role in CONTROLS if any(role in row.controls for row in standings)]
    several = len({_suites(row.entrant) for row in standings}) > 1
    columns = ("model or policy", "success", *roles, *(("suite",) if several else ()))
    rows = []
    for row in standings:
        beside = [rate_field(row.controls[r].b) if r in row.controls else Field("not played", sort=-1.0) for r in roles]
        suite = [Field(_suites(row.entrant))] if several else []
        rows.append((Field(row.entrant.name), rate_field(row.score), *beside, *suite))
    return Table("Success on unchanged episodes: k/n, rate in % with its 95 % Wilson interval", columns, tuple(rows))


def _suites(entrant: Entrant) -> str:
    return ", ".join(sorted({record.key.suite for record in entrant.records}))


def controls_table(standings: Sequence[Standing]) -> Table:
    """What a model's score is owed to: its paired differences from each of its controls."""
    rows = tuple(
        (Field(row.entrant.name), Field(role), _pairs_field(c), *_both_fields(c))
        for row in standings
        for role, c in row.controls.items()
    )
    columns = ("model", "control", "pairs", "model", "control", "only model", "only control", "difference, points", "p")
    return Table(
        "Each model against its controls on the same scenes: paired difference with its 95 % interval, exact McNemar p",
        columns,
        rows,
    )


def matrix_table(entrant: Entrant, link: Link = lambda *_: "") -> Table:
    """Families down; across, the levels of unchanged episodes, and then every change."""
    scores = {score.cell: score.score for score in cell_scores(entrant)}
    across = sorted({(cell.perturbations, cell.level) for cell in scores})
    rows = []
    for task in sorted({cell.task for cell in scores}):
        cells = [Cell(task, level, change) for change, level in across]
        fields = [rate_field(scores[c], link(entrant, c), True) if c in scores else Field("–", sort=-1) for c in cells]
        rows.append((Field(task), *fields))
    if len(rows) > 1:
        pooled = [rate(r for r in entrant.records if (r.key.perturbations, r.key.level) == where) for where in across]
        rows.append((Field(ALL), *(rate_field(score, shaded=True) for score in pooled)))
    columns = (_column(change, level, across) for change, level in across)
    return Table(f"{entrant.name}: success by family and axis of change", ("family", *columns), tuple(rows))


def _column(change: str, level: int, across: Sequence[tuple[str, int]]) -> str:
    """The level is told where there are several."""
    several = len({each for other, each in across if bool(other) == bool(change)}) > 1
    return f"{change or 'unchanged'}, level {level}" if several else change or "unchanged"


def changes_table(entrant: Entrant, oracle: Entrant | None) -> Table:
    """Every change over all tasks, beside its matched control on the same seeds.

    oracle: whether the changed scenes can be solved at all.
    """
    rows = []
    for name, score, contrast in change_scores(entrant):
        solved = (
            [r for r in oracle.records if name in (r.key.perturbations, ANY) and r.key.perturbations] if oracle else []
        )
        rows.append(
            (Field(name), *_change_fields(score, contrast), rate_field((pooled_rate if name == ANY else rate)(solved)))
        )
    caption = f"{entrant.name}: every change beside its matched, unchanged control on the same seeds"
    return Table(caption, ("change", *CHANGE_COLUMNS, "oracle, changed"), tuple(rows))


def change_cells_table(entrant: Entrant) -> Table:
    """The same, cell by cell."""
    rows = [
        (
            Field(score.cell.perturbations),
            Field(f"{score.cell.task}, level {score.cell.level}"),
            *_change_fields(score.score, score.change),
        )
        for score in cell_scores(entrant)
        if score.change
    ]
    return Table(f"{entrant.name}: the same by task", ("change", "task", *CHANGE_COLUMNS), tuple(rows))


def _change_fields(score: Rate, contrast: Contrast | None) -> tuple[Field, ...]:
    """contrast: None where different perturbations are taken together."""
    if contrast is None:
        blank = Field("–", sort=-1.0)
        return (blank, rate_field(score), *[blank] * 5)
    return (_pairs_field(contrast), *_both_fields(contrast))


def _both_fields(contrast: Contrast) -> tuple[Field, ...]:
    return (rate_field(contrast.a), rate_field(contrast.b), *contrast_fields(contrast))


def _pairs_field(contrast: Contrast) -> Field:
    return Field(str(contrast.n) if contrast.paired else "–", sort=contrast.n)


def comparison_table(a: Entrant, b: Entrant, rows: Sequence[Compared]) -> Table:
    """Two entrants, part by part."""
    is_paired = all(row.contrast.paired for row in rows)
    how = "paired by scene, exact McNemar p" if is_paired else "no scene in common, so independent rates, Barnard p"
    listed = tuple((Field(row.what), _pairs_field(row.contrast), *_both_fields(row.contrast)) for row in rows)
    columns = ("episodes", "pairs", "A", "B", "only A", "only B", "A − B, points", "p")
    return Table(f"A = {a.name}, B = {b.name}: {how}", columns, listed)


def pairs_table(comparisons: Iterable[tuple[Entrant, Entrant, Sequence[Compared]]]) -> Table:
    """Every two entrants over all their unchanged episodes."""
    columns = ("A", "B", "pairs", "A succeeds", "B succeeds", "only A", "only B", "A − B, points", "p")
    rows = tuple(
        (
            Field(a.name),
            Field(b.name, tone="name"),
            _pairs_field(compared[0].contrast),
            *_both_fields(compared[0].contrast),
        )
        for a, b, compared in comparisons
    )
    return Table("Any two models over the unchanged episodes of both: exact McNemar p", columns, rows)


def endings_table(entrant: Entrant) -> Table:
    """How unchanged episodes ended."""
    endings = [name for name, _ in Counter(record.outcome for record in entrant.unchanged).most_common()]
    rows = []
    for family, records in by_family(entrant.unchanged).items():
        counted = Counter(record.outcome for record in records)
        fields = (Field(str(n), sort=n) for n in (len(records), *(counted[name] for name in endings)))
        rows.append((Field(family), *fields))
    return Table(f"{entrant.name}: endings of unchanged episodes", ("family", "n", *endings), tuple(rows))


def causes_table(entrant: Entrant) -> Table:
    """The causes of failures, interactions by their parts, and how often another cause would have done as well."""
    failed = [record for record in entrant.unchanged if not record.success]
    rows = []
    for name, count in Counter(record.why for record in failed).most_common() if is_attributed(entrant) else ():
        ties = sum(bool(record.cause and record.cause.also) for record in failed if record.why == name)
        share = Rate(count, len(failed), *wilson(count, len(failed)))
        rows.append((Field(name), rate_field(share), Field(str(ties), sort=ties)))
    columns = ("cause", "of the failures", "of these, ties with others")
    return Table(f"{entrant.name}: causes of failures in unchanged episodes", columns, tuple(rows))


def is_attributed(entrant: Entrant) -> bool:
    """Whether there is a cause for any of its failures."""
    return any(record.cause for record in entrant.unchanged)


def by_family(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Episodes by family, in the order of its name."""
    found: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: r.key.task):
        found.setdefault(record.key.task, []).append(record)
    return found


def metrics_table(everybody: Sequence[Entrant]) -> Table:
    """Medians with quartiles over unchanged episodes, of those that succeeded and of the others."""
    rows = []
    for entrant in everybody:
        for ending, won in (("succeeded", True), ("failed", False)):
            records = [r for r in entrant.unchanged if r.success is won and r.metrics]
            if not records:
                continue
            fields = (_spread([r.metrics[name] for r in records if name in r.metrics]) for name in METRICS)
            rows.append((Field(entrant.name), Field(ending), Field(str(len(records)), sort=len(records)), *fields))
    columns = ("model or policy", "ended", "n", *METRICS.values())
    return Table("Per episode: median (lower to upper quartile), unchanged episodes", columns, tuple(rows))


def _spread(values: Sequence[float]) -> Field:
    if not values:
        return Field("–", sort=-1.0)
    low, middle, high = (round(float(v), 4) for v in np.percentile(values, [25, 50, 75]))
    return Field(f"{middle:.3g}", f"({low:.3g} to {high:.3g})", middle)
