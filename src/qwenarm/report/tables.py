"""The tables of a report, made once and then written as HTML, Markdown, LaTeX or for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from qwenarm.evaluation.stats import wilson
from qwenarm.evaluation.suites import Cell
from qwenarm.report.entrants import CONTROL_ROLES, Entrant
from qwenarm.report.fields import Field, Table, contrast_fields, count_field, rate_field
from qwenarm.report.records import Record
from qwenarm.report.scores import (
    ANY_PERTURBATION,
    Compared,
    Contrast,
    Rate,
    Standing,
    cell_scores,
    change_scores,
    pooled_rate,
    rate,
)

ALL_FAMILIES = "all families"
MODEL_METRICS = {
    "decisions": "decisions",
    "model_s": "model, wall-clock s",
    "tokens_in": "tokens in",
    "tokens_out": "tokens out",
    "format_errors": "format errors",
}
ARM_METRICS = {
    "sim_s": "simulated s",
    "path_m": "path of the tcp, m",
    "jerk_rms_m_s3": "rms jerk of the tcp, m/s³",
    "contacts": "unintended contacts",
    "contact_peak_n": "their peak force, N",
    "drops": "drops",
    "clamps": "safety clamps",
}
METRIC_LABELS = MODEL_METRICS | ARM_METRICS
"""What ``episode/metrics.py`` stores, in words with units."""
PERTURBED_COLUMNS = ("pairs", "perturbed", "unchanged", "only perturbed", "only unchanged", "difference, points", "p")
BLANK_FIELD = Field("–", sort=-1.0)
Link = Callable[[Entrant, Cell], str]
"""Gives the address of the list of a cell's episodes."""


def leaderboard_table(standings: Sequence[Standing]) -> Table:
    """One row per model, with its controls on the same scenes beside it."""
    roles = [role for role in CONTROL_ROLES if any(role in row.controls for row in standings)]
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
    """The paired difference of each model from each of its controls."""
    rows = tuple(
        (Field(row.entrant.name), Field(role), *_pair_fields(contrast))
        for row in standings
        for role, contrast in row.controls.items()
    )
    columns = ("model", "control", "pairs", "model", "control", "only model", "only control", "difference, points", "p")
    how = "paired difference with its 95 % interval, exact McNemar p"
    return Table(f"Each model against its controls on the same scenes: {how}", columns, rows)


def matrix_table(entrant: Entrant, link: Link = lambda *_: "") -> Table:
    """Families down; across, the levels of unchanged episodes, and then every perturbation."""
    scores = {score.cell: score.score for score in cell_scores(entrant)}
    across = sorted({(cell.perturbations, cell.level) for cell in scores})
    rows = []
    for task in sorted({cell.task for cell in scores}):
        cells = [Cell(task, level, perturbations) for perturbations, level in across]
        fields = (rate_field(scores[c], link(entrant, c), True) if c in scores else BLANK_FIELD for c in cells)
        rows.append((Field(task), *fields))
    if len(rows) > 1:
        pooled = [rate(r for r in entrant.records if (r.key.perturbations, r.key.level) == where) for where in across]
        rows.append((Field(ALL_FAMILIES), *(rate_field(score, shaded=True) for score in pooled)))
    columns = (_column(perturbations, level, across) for perturbations, level in across)
    return Table(f"{entrant.name}: success by family and perturbation", ("family", *columns), tuple(rows))


def _column(perturbations: str, level: int, across: Sequence[tuple[str, int]]) -> str:
    """The level is named where there are several."""
    several = len({each for other, each in across if bool(other) == bool(perturbations)}) > 1
    return f"{perturbations or 'unchanged'}, level {level}" if several else perturbations or "unchanged"


def perturbations_table(entrant: Entrant, oracle: Entrant | None) -> Table:
    """Every perturbation over all tasks, beside the same seeds without it.

    Args:
        entrant: who played.
        oracle: shows whether the perturbed scenes can be solved at all.
    """
    rows = []
    for name, score, contrast in change_scores(entrant):
        perturbed = [record for record in oracle.records if record.key.perturbations] if oracle else []
        solved = [record for record in perturbed if name in (record.key.perturbations, ANY_PERTURBATION)]
        by_oracle = (pooled_rate if name == ANY_PERTURBATION else rate)(solved)
        rows.append((Field(name), *_perturbed_fields(score, contrast), rate_field(by_oracle)))
    columns = ("perturbation", *PERTURBED_COLUMNS, "oracle, perturbed")
    return Table(f"{entrant.name}: every perturbation beside the same seeds without it", columns, tuple(rows))


def perturbed_cells_table(entrant: Entrant) -> Table:
    """The same, task by task."""
    rows = [
        (
            Field(score.cell.perturbations),
            Field(f"{score.cell.task}, level {score.cell.level}"),
            *_perturbed_fields(score.score, score.change),
        )
        for score in cell_scores(entrant)
        if score.change
    ]
    return Table(f"{entrant.name}: the same by task", ("perturbation", "task", *PERTURBED_COLUMNS), tuple(rows))


def _perturbed_fields(score: Rate, contrast: Contrast | None) -> tuple[Field, ...]:
    """contrast: None where different perturbations are taken together."""
    return _pair_fields(contrast) if contrast else (BLANK_FIELD, rate_field(score), *[BLANK_FIELD] * 5)


def _pair_fields(contrast: Contrast) -> tuple[Field, ...]:
    """Pairs, a, b, only a, only b, the difference, p."""
    pairs = count_field(contrast.n) if contrast.paired else BLANK_FIELD
    return (pairs, rate_field(contrast.a), rate_field(contrast.b), *contrast_fields(contrast))


def comparison_table(a: Entrant, b: Entrant, rows: Sequence[Compared]) -> Table:
    """The comparison of two entrants, part by part."""
    is_paired = all(row.contrast.paired for row in rows)
    how = "paired by scene, exact McNemar p" if is_paired else "no scene in common, so independent rates, Barnard p"
    columns = ("episodes", "pairs", "A", "B", "only A", "only B", "A − B, points", "p")
    listed = tuple((Field(row.what), *_pair_fields(row.contrast)) for row in rows)
    return Table(f"A = {a.name}, B = {b.name}: {how}", columns, listed)


def pairs_table(
    comparisons: Sequence[tuple[Entrant, Entrant, Sequence[Compared]]], page: Callable[[int], str]
) -> Table:
    """Every two entrants over all their unchanged episodes. page: the address of a comparison's own page."""
    columns = ("A", "B", "pairs", "A succeeds", "B succeeds", "only A", "only B", "A − B, points", "p", "")
    rows = tuple(
        (Field(a.name), Field(b.name, tone="name"), *_pair_fields(compared[0].contrast), Field("scenes", href=page(i)))
        for i, (a, b, compared) in enumerate(comparisons)
    )
    return Table("Any two models over the unchanged episodes of both: exact McNemar p", columns, rows)


def endings_table(entrant: Entrant) -> Table:
    """How unchanged episodes ended."""
    endings = [name for name, _ in Counter(record.outcome for record in entrant.unchanged).most_common()]
    rows = []
    for family, records in by_family(entrant.unchanged).items():
        counts = Counter(record.outcome for record in records)
        rows.append((Field(family), *map(count_field, (len(records), *(counts[name] for name in endings)))))
    return Table(f"{entrant.name}: endings of unchanged episodes", ("family", "n", *endings), tuple(rows))


def causes_table(entrant: Entrant) -> Table:
    """The causes of failures, and how often another cause would have explained one as well."""
    failed = [record for record in entrant.unchanged if not record.success]
    rows = []
    for name, count in Counter(record.why for record in failed).most_common() if is_attributed(entrant) else ():
        ties = sum(bool(record.cause and record.cause.also) for record in failed if record.why == name)
        share = Rate(count, len(failed), *wilson(count, len(failed)))
        rows.append((Field(name), rate_field(share), count_field(ties)))
    columns = ("cause", "of the failures", "of these, ties with others")
    return Table(f"{entrant.name}: causes of failures in unchanged episodes", columns, tuple(rows))


def is_attributed(entrant: Entrant) -> bool:
    """Whether the cause of any of its failures is known."""
    return any(record.cause for record in entrant.unchanged)


def by_family(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Episodes by family, sorted by its name."""
    found: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: r.key.task):
        found.setdefault(record.key.task, []).append(record)
    return found


def metrics_tables(everybody: Sequence[Entrant]) -> list[Table]:
    """Medians with quartiles over unchanged episodes, of those that succeeded and of the others: first what deciding
    took, then what the arm did.
    """
    return [_metrics_table(everybody, "deciding", MODEL_METRICS), _metrics_table(everybody, "moving", ARM_METRICS)]


def _metrics_table(everybody: Sequence[Entrant], what: str, labels: Mapping[str, str]) -> Table:
    rows = []
    for entrant in everybody:
        for ending, won in (("succeeded", True), ("failed", False)):
            if records := [r for r in entrant.unchanged if r.success is won and r.metrics]:
                fields = (_spread([r.metrics[name] for r in records if name in r.metrics]) for name in labels)
                rows.append((Field(entrant.name, f"{len(records)} {ending}"), *fields))
    caption = f"Per episode, {what}: median (lower to upper quartile), unchanged episodes"
    return Table(caption, ("model or policy", *labels.values()), tuple(rows))


def _spread(values: Sequence[float]) -> Field:
    if not values:
        return BLANK_FIELD
    low, middle, high = (round(float(v), 4) for v in np.percentile(values, [25, 50, 75]))
    return Field(_number(middle), f"({_number(low)} to {_number(high)})", middle)


def _number(value: float) -> str:
    """Three digits, or up to seven before the decimal point."""
    return f"{value:,.0f}" if 100 <= value < 1e7 else f"{value:.3g}"
