"""Measures how well a model plays scenes that training never sees: an interim check, not an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from qwenarm.episode.drive import drive
from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.factory import perform
from qwenarm.mind.backends.local import QwenVL
from qwenarm.train.collect import LOCKSTEP_EPISODES
from qwenarm.train.task_config import task_config
from qwenarm.types import Outcome, RunConfig

FIRST_WATCHED_SEED = 950_000
"""Seeds from here up to those of evaluations are never learned from."""


def watch(config: RunConfig, tasks: Sequence[str], scenes: int) -> dict[str, float]:
    """Returns success rates by task, with greedy answers.

    Args:
        config: What is played; its model plays; combos may be UNCHOSEN.
        tasks: The tasks to play.
        scenes: Number of scenes of each task, always the same ones.
    """
    backend, found = QwenVL(config.model), dict[str, float]()
    seeds = range(FIRST_WATCHED_SEED, min(FIRST_SEED, FIRST_WATCHED_SEED + scenes))
    for task in tasks if scenes else ():
        plays = (perform(task_config(config, task), seed, backend) for seed in seeds)
        outcomes = [episode.outcome for episode in drive(plays, backend, LOCKSTEP_EPISODES)]
        found[task] = sum(outcome is Outcome.SUCCESS for outcome in outcomes) / len(outcomes)
    return found
