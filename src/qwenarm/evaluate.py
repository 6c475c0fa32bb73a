"""Many episodes of several tasks, paired by seed, into one trace that can be stopped and taken up again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qwenarm.assemble import Choice, perform
from qwenarm.rollout import drive
from qwenarm.stats import wilson
from qwenarm.trace import FILE, Trace, read
from qwenarm.types import Episode, Outcome

if TYPE_CHECKING:
    from qwenarm.mind.backends import Backend

FIRST_SEED = 1_000_000
"""Evaluation seeds begin here; training never uses them."""


@dataclass(frozen=True)
class Score:
    """Successes of n episodes of a task, the 95 % Wilson interval of their rate, and how often each ending came."""

    task: str
    successes: int
    n: int
    interval: tuple[float, float]
    endings: Mapping[str, int]


def evaluate(
    choice: Choice, tasks: Sequence[str], n: int, backend: Backend | None, trace: Trace, batch: int = 1
) -> Iterator[Episode]:
    """The first n evaluation seeds of every task: plays what the trace does not hold yet.

    Each episode is stored as it ends and then yielded, so stopping loses only those in flight.
    """
    have = {_key(episode) for episode in stored(trace)}
    plays = (
        perform(each, seed, backend)
        for task in tasks
        for each in [replace(choice, task=task)]
        for seed in range(FIRST_SEED, FIRST_SEED + n)
        if _named(each.task, each.level, each.arm, seed, each.options()) not in have
    )
    for episode in drive(plays, backend, batch):
        trace.append(episode)
        yield episode


def stored(trace: Trace) -> tuple[Episode, ...]:
    """What a trace holds already, without pictures."""
    return read(trace.folder, images=False).episodes if (trace.folder / FILE).exists() else ()


def scores(episodes: Iterable[Episode], choice: Choice, tasks: Sequence[str], n: int) -> list[Score]:
    """One score per task over the episodes that belong to this evaluation. Every ending but success is a failure."""
    wanted = {
        _named(task, choice.level, choice.arm, FIRST_SEED + i, choice.options()) for task in tasks for i in range(n)
    }
    mine = [episode for episode in episodes if _key(episode) in wanted]
    return [_score(task, [episode for episode in mine if episode.task == task]) for task in tasks]


def _score(task: str, episodes: Sequence[Episode]) -> Score:
    successes = sum(episode.outcome is Outcome.SUCCESS for episode in episodes)
    endings = Counter(str(episode.outcome) for episode in episodes)
    return Score(task, successes, len(episodes), wilson(successes, len(episodes)), dict(endings.most_common()))


def _key(episode: Episode) -> str:
    return _named(episode.task, episode.level, episode.arm, episode.seed, episode.setup.get("options", {}))


def _named(task: str, level: int, arm: str, seed: int, options: Mapping[str, Any]) -> str:
    return json.dumps([task, level, arm, seed, dict(options)], sort_keys=True)
