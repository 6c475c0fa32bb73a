"""All numbers of a report, computed once, and what its reader must know first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path

from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.suites import AD_HOC
from qwenarm.report.entrants import CONTROL_ROLES, Entrant, choose, controls_of, entrants
from qwenarm.report.fields import Table
from qwenarm.report.records import Run
from qwenarm.report.runs import read_runs
from qwenarm.report.scores import Compared, Standing, comparison, leaderboard
from qwenarm.report.tables import comparison_table, perturbations_table

MAX_COMPARED_PAIRS = 10
"""Only the first pairs of models are compared if there are more; ``qwenarm compare`` compares any two."""


@dataclass(frozen=True)
class Report:
    """runs: at least one. everybody: all that played, models first. standings: the models, best first; where no model
    played, everybody. problems: sentences for the reader."""

    runs: Sequence[Run]
    everybody: Sequence[Entrant]
    standings: Sequence[Standing]
    comparisons: Sequence[tuple[Entrant, Entrant, Sequence[Compared]]]
    problems: Sequence[str]

    @property
    def models(self) -> list[Entrant]:
        """Those whose score is the question; where no model played, everybody."""
        return [standing.entrant for standing in self.standings]

    @property
    def others(self) -> list[Entrant]:
        """Everybody else."""
        return [entrant for entrant in self.everybody if entrant not in self.models]

    @cached_property
    def shown(self) -> list[Entrant]:
        """Who is drawn: the models and the controls of the best one; without a model, everybody."""
        best = self.models[0]
        return [*self.models, *controls_of(best, self.everybody).values()] if best.is_model else self.models

    @property
    def title(self) -> str:
        """The suites that were played; of what was asked for task by task, the tasks."""
        keys = [record.key for run in self.runs for record in run.records]
        names = {key.suite for key in keys} - {AD_HOC} or {key.task for key in keys}
        return f"Evaluation on {', '.join(sorted(names))}"

    def perturbations(self, entrant: Entrant) -> Table:
        """An entrant under each perturbation, beside the same seeds without it."""
        return perturbations_table(entrant, controls_of(entrant, self.everybody).get("oracle"))


def make_report(runs: Sequence[Run]) -> Report:
    """Counts and compares everything that the runs hold."""
    everybody = entrants(runs)
    standings = leaderboard(everybody)
    models = [standing.entrant for standing in standings if standing.entrant.is_model]
    pairs = list(combinations(models, 2))
    compared = [(a, b, comparison(a, b)) for a, b in pairs[:MAX_COMPARED_PAIRS]]
    problems = [problem for run in runs for problem in run.problems] + [*across(runs), *_unequal(standings)]
    if len(pairs) > MAX_COMPARED_PAIRS:
        problems.append(
            f"Of {len(pairs)} pairs of models {MAX_COMPARED_PAIRS} are compared here; "
            "`qwenarm compare` compares any two."
        )
    return Report(runs, everybody, standings, compared, problems)


def compare_runs(
    a: Path,
    b: Path,
    who_a: str = "",
    who_b: str = "",
    only_a: Collection[Key] | None = None,
    only_b: Collection[Key] | None = None,
) -> tuple[list[str], Table]:
    """Compares two policies pair by pair.

    Args:
        a: the folder of a run.
        b: the folder of another one, or of the same.
        who_a: words of the first one's name, see ``entrants.choose``.
        who_b: words of the other one's name.
        only_a: the episodes of the first run that count, where it shares its folder with others; by default all.
        only_b: the same of the other run.

    Returns:
        What the reader must know first, and the table.

    Raises:
        BadInput: for a run without episodes, and where several policies could be meant.
        UnknownName: where none is.
    """
    runs = read_runs([a, b])
    if only_a != only_b:
        runs = [_with_only(runs[0], only_a), _with_only(runs[-1], only_b)]
    elif only_a is not None:
        runs = [_with_only(run, only_a) for run in runs]
    everybody = entrants(runs)
    one = choose([e for e in everybody if e.run is runs[0]], who_a)
    other = choose([e for e in everybody if e.run is runs[-1] and (e is not one or who_b)], who_b)
    problems = list(dict.fromkeys([*(problem for run in runs for problem in run.problems), *across(runs)]))
    return problems, comparison_table(one, other, comparison(one, other))


def _with_only(run: Run, keys: Collection[Key] | None) -> Run:
    return run if keys is None else replace(run, records=tuple(each for each in run.records if each.key in keys))


def across(runs: Sequence[Run]) -> Iterator[str]:
    """What a reader must know of runs that are shown together, or that were played at different times."""
    for run in runs:
        if "," in (sources := _sources(run)):
            yield f"{run.name} was played with more than one version of the source code ({sources})."
    yield from _namesakes(runs)
    told = {
        "suite": [", ".join(sorted({record.key.suite for record in run.records})) for run in runs],
        "renderer": [str(run.manifest.get("renderer", "unknown")) for run in runs],
        "versions": [_versions(run) for run in runs],
        "source code": [_sources(run) for run in runs],
    }
    for name, values in told.items():
        if len(set(values)) > 1:
            each = "; ".join(f"{run.name}: {value}" for run, value in zip(runs, values, strict=True))
            yield f"The runs differ in {name} ({each}). Their rates may differ for that reason alone."


def _namesakes(runs: Sequence[Run]) -> Iterator[str]:
    """Models of one name that differ in weights, prompt or settings, and policies whose code was changed."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for run in runs:
        for record in run.records:
            if record.role not in CONTROL_ROLES:
                name = tuple(filter(None, (record.model or record.role, record.altitude, record.cameras)))
                found.setdefault(name, {}).setdefault(record.key.policy, run.name)
    for name, policies in found.items():
        if len(policies) > 1:
            each = ", ".join(f"{policy[:8]} in {run}" for policy, run in policies.items())
            several = f"is not one policy but {len(policies)} ({each})"
            yield f"{' · '.join(name)} {several}: weights, code, prompt or settings differ."


def _versions(run: Run) -> str:
    return ", ".join(f"{name} {version}" for name, version in run.manifest.get("versions", {}).items()) or "unknown"


def _sources(run: Run) -> str:
    """Which versions of qwenarm's own files have played."""
    return ", ".join(dict.fromkeys(str(entry.get("source", ""))[:8] for entry in run.manifest.get("runs", ())))


def _unequal(standings: Sequence[Standing]) -> Iterator[str]:
    played = [frozenset(record.scene for record in row.entrant.unchanged) for row in standings]
    if len(set(played)) > 1:
        sizes = "; ".join(f"{row.entrant.name}: {len(scenes)}" for row, scenes in zip(standings, played, strict=True))
        shared = len(frozenset.intersection(*played))
        yield f"Not everybody played the same unchanged scenes ({sizes}; in common: {shared}). Compare by pairs only."
