"""Attributes the failed episodes of a ledger to causes, by counterfactual replays (see ``find_cause.py``).

Findings are stored beside the ledger, one synced line per episode, so that an interrupted run can be continued::

    attribution.jsonl    {"key": {...}, "cause": "perception", "also": ["control"], "why": "turn 1: ...",
                          "tried": {"nothing": "failure", "perception": "success", ...}, "same": true}

``key`` is that of the episode in the ledger; the other fields are those of ``find_cause.Finding``. The modules, and how
each is replaced by the oracle's (see ``oracle_replacements.py`` and ``ideal_skills.py``):

    format      an unreadable answer becomes the oracle's call
    perception  a point that misses what its label names is moved onto it
    plan        every call becomes the oracle's, with the policy's own points
    safety      nothing is clamped
    control     skills always succeed: the object at the point is grasped, the held object reaches its target
    time        the world waits for decisions, and there are four times as many turns

Statements about the scene (a count, a verdict) belong to the plan.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenarm.diagnosis.workers import Attributed, AttributionConfig, FailedEpisode
from qwenarm.episode.episode_json import checked
from qwenarm.episode.jsonl import append_line, read_jsonl
from qwenarm.episode.trace import read_at, scan
from qwenarm.errors import BadInput
from qwenarm.evaluation import ledger
from qwenarm.evaluation.jobs import JobResult, WorkerDied
from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.local_workers import LocalPool
from qwenarm.evaluation.scheduler import Scheduler, batch_per_worker
from qwenarm.policies import acts_without_calls
from qwenarm.types import Outcome

ATTRIBUTION_FILE = "attribution.jsonl"
MODEL_ROLE = "vlm"


@dataclass(frozen=True)
class AttributionProgress:
    """Another episode has been attributed."""

    failed: FailedEpisode
    line: dict[str, Any]  # as it is stored
    done: int  # of those that were asked for, earlier runs included
    total: int

    def __str__(self) -> str:
        """Returns, for example, "put level 2 seed 1000003 look:2, vlm: perception"."""
        key = self.failed.key
        scene = " ".join(filter(None, (f"{key.task} level {key.level} seed {key.seed}", key.perturbations)))
        return f"{scene}, {self.failed.role}: {self.line['cause']}"


def attribute(
    folder: Path, roles: Sequence[str] = (), batch: int = 1, workers: int = 1
) -> Generator[AttributionProgress | WorkerDied, None, None]:
    """Attributes what has not been attributed yet. Closing the generator, or Ctrl-C, stops it and its workers.

    Args:
        folder: The ledger's folder.
        roles: Policies whose failures are attributed; by default the model's, or everybody's if no model played.
        batch: Episodes in lockstep, with their prompts answered together.
        workers: Number of processes; the findings do not depend on it.

    Yields:
        Progress after each episode that is stored, and deaths of workers.

    Raises:
        BadInput: There is no ledger or no such role, or a line cannot be written.
        ModelUnavailable: The model cannot be opened.
    """
    if workers < 1 or batch < 1:
        raise BadInput("--workers and --batch must be at least 1.")
    with ledger.locked(folder):
        wanted = list(failures(folder, roles))
        there = findings(folder)
        todo: dict[str, list[FailedEpisode]] = defaultdict(list)
        for each in wanted:
            if each.key not in there:
                todo[each.model].append(each)
        done = len(wanted) - sum(map(len, todo.values()))
        for group in todo.values():
            with closing(_replayed(folder, group, batch, workers)) as events:
                for event in events:
                    if isinstance(event, Attributed):
                        _store(folder, event.line)
                        done += 1
                        yield AttributionProgress(event.failed, event.line, done, len(wanted))
                    elif isinstance(event, WorkerDied):
                        yield event


def _replayed(
    folder: Path, group: Sequence[FailedEpisode], batch: int, workers: int
) -> Generator[JobResult | WorkerDied, None, None]:
    """Yields the findings about the failures of one model. A single worker is this process itself."""
    config, roles = read_at(folder, group[0].offset).run.config, tuple(sorted({each.role for each in group}))
    if workers == 1:
        yield from AttributionConfig(config, roles, batch, folder=folder).make_worker().work(group)
        return
    workers = min(workers, len(group))
    batch = batch_per_worker(len(group), workers, batch)
    worker_config = AttributionConfig(config, roles, batch, folder=folder)
    with closing(Scheduler(LocalPool(worker_config), workers, batch)) as scheduler:
        scheduler.start()
        yield from scheduler.run(group)


def _store(folder: Path, line: dict[str, Any]) -> None:
    try:
        append_line(folder / ATTRIBUTION_FILE, json.dumps(line) + "\n")
    except OSError as error:
        raise BadInput(f"Cannot write to {folder}: {error.strerror}; what was found before is kept.") from error


def failures(folder: Path, roles: Sequence[str] = ()) -> Iterator[FailedEpisode]:
    """Yields the failed episodes of a ledger, each once. Raises BadInput like ``attribute``."""
    found, acting = dict[Key, tuple[FailedEpisode, bool]](), set[str]()
    for line, head in scan(folder):
        if head.run.suite:
            config, key = head.run.config, Key.of(head.run)
            failed = FailedEpisode(key, config.policy, config.model, line.offset)
            acting |= {config.policy} if acts_without_calls(config) else set()
            found.setdefault(key, (failed, head.outcome != Outcome.SUCCESS))
    if not found:
        raise BadInput(f"{folder} holds no episode that `qwenarm eval` has played.")
    played = sorted({each.role for each, _ in found.values()})
    if odd := [role for role in roles if role not in played]:
        raise BadInput(f"No {odd[0]!r} played in {folder}; there are: {', '.join(played)}.")
    chosen = roles or ([MODEL_ROLE] if MODEL_ROLE in played else played)
    if odd := [role for role in chosen if role in acting]:
        others = ", ".join(role for role in played if role not in acting) or "none"
        raise BadInput(
            f"{odd[0]!r} plays 20 Hz actions: it makes no calls that could be replaced. Other roles: {others}."
        )
    yield from (each for each, has_failed in found.values() if has_failed and each.role in chosen)


def findings(folder: Path, problems: list[str] | None = None) -> dict[Key, dict[str, Any]]:
    """Returns the lines of attribution.jsonl by their episodes' keys. For ``problems`` see ``jsonl.read_jsonl``."""
    return dict(found for _, found in read_jsonl(folder / ATTRIBUTION_FILE, _finding, problems))


def _finding(line: bytes) -> tuple[Key, dict[str, Any]]:
    data = json.loads(line)
    texts = [data["cause"], data["why"], *data["also"]]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"cause, why and also must be text, not {texts}")
    return Key(**checked(Key, data["key"])), data


def count_causes(keys_and_lines: Mapping[Key, Mapping[str, Any]]) -> dict[tuple[str, int, str], Counter[str]]:
    """Counts each cause by task, level and perturbations ("" for unperturbed scenes)."""
    counts: dict[tuple[str, int, str], Counter[str]] = defaultdict(Counter)
    for key, line in keys_and_lines.items():
        counts[key.task, key.level, key.perturbations][line["cause"]] += 1
    return dict(sorted(counts.items()))
