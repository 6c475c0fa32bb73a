"""Collects demonstrations: the oracle plays, or a model plays and the oracle provides the right answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qwenarm.episode.drive import drive
from qwenarm.episode.rollout import Play, play
from qwenarm.episode.versions import versions
from qwenarm.errors import BadInput
from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.factory import make_backend, make_env
from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.prompt.presets import CHUNK_ALTITUDE
from qwenarm.mind.vlm_policy import VlmPolicy
from qwenarm.perturbations import parse, spell
from qwenarm.policies.vlm import shown
from qwenarm.skills import specs
from qwenarm.train.chunk_data import collect_chunks
from qwenarm.train.dataset import write_shard
from qwenarm.train.demonstrator import Demonstrator, UnaskedBackend
from qwenarm.train.task_config import described, task_config
from qwenarm.types import Outcome, RunConfig, RunInfo

if TYPE_CHECKING:
    from qwenarm.mind.backends import Backend

SHARD_EPISODES = 25
"""Number of episodes per archive: the most that an interrupted collection loses per worker."""
LOCKSTEP_EPISODES = 8
"""Number of episodes that a model plays in lockstep."""
ORACLE_POLICY, LEARNER_POLICY = "oracle", "vlm"
"""The policies that demonstrations can come from."""


@dataclass(frozen=True)
class ShardJob:
    """The episodes of one archive.

    Attributes:
        config: What is played, by ORACLE_POLICY or LEARNER_POLICY. The model determines the prompts' format, and plays
            if the policy is LEARNER_POLICY.
        first_seed: The first of consecutive seeds.
        episodes: Number of episodes.
        mistakes: See ``Demonstrator``.
    """

    config: RunConfig
    first_seed: int
    episodes: int
    mistakes: float = 0.0

    @property
    def name(self) -> str:
        """The archive's file name. It identifies the content, so that no job is done twice."""
        config = self.config
        what = [config.task, str(config.level), config.arm, config.policy, config.model, config.altitude]
        what += [config.cameras, config.combos, spell(config.perturbations)]
        what += [f"mistakes{self.mistakes:g}" if self.mistakes else "", f"{self.first_seed:06d}x{self.episodes}"]
        return re.sub(r"[^\w.-]+", "_", "-".join(filter(None, what))) + ".zip"


def plan_jobs(
    config: RunConfig,
    tasks: Sequence[str],
    levels: Sequence[int],
    perturbations: Sequence[str],
    episodes: int,
    first_seed: int = 0,
    mistakes: float = 0.0,
) -> list[ShardJob]:
    """Returns the archives of a collection, lowest seeds first.

    Args:
        config: What all archives share; combos may be UNCHOSEN.
        tasks: Names, or "module:NAME".
        levels: Levels of every task.
        perturbations: Sets of perturbations as text ("look:2,words:1"); "" for none.
        episodes: Number of episodes for every combination of task, level and perturbations.
        first_seed: The first seed of each combination.
        mistakes: See ``Demonstrator``.

    Raises:
        BadInput: Evaluations use some of the seeds, or nothing can be learned from the policy.
    """
    if not 0 <= first_seed < first_seed + episodes <= FIRST_SEED:
        raise BadInput(f"Training seeds are 0 to {FIRST_SEED - 1}; those from {FIRST_SEED} on are for evaluation.")
    if config.policy not in (ORACLE_POLICY, LEARNER_POLICY):
        raise BadInput(
            f"Demonstrations come from the policies {ORACLE_POLICY} or {LEARNER_POLICY}, not from {config.policy}."
        )
    if config.altitude == CHUNK_ALTITUDE and (mistakes or config.cameras):
        raise BadInput("Chunks are collected with cameras and errors of their own: leave out --cameras, --mistakes.")
    cells = [
        replace(task_config(config, task), level=level, perturbations=parse(text))
        for task in tasks
        for level in levels
        for text in perturbations or ("",)
    ]
    end = first_seed + episodes
    return [
        ShardJob(cell, start, min(SHARD_EPISODES, end - start), mistakes)
        for start in range(first_seed, end, SHARD_EPISODES)
        for cell in cells
    ]


def collect(job: ShardJob, out: Path) -> int:
    """Plays the episodes of one archive and writes it. Returns the number of its samples."""
    config, seeds = job.config, range(job.first_seed, job.first_seed + job.episodes)
    backend = _backend(config.policy, config.model, config.altitude)
    if config.altitude == CHUNK_ALTITUDE:
        return collect_chunks(config, seeds, out / job.name, backend)
    asked = backend or locate(config.model, weights=False)
    family, preset = asked.family, shown(asked.preset, config.cameras)
    policies: dict[int, Demonstrator] = {}

    def demonstrate(seed: int) -> Play:
        with closing(make_env(config)) as env:
            policy = VlmPolicy(cast("Backend", backend or UnaskedBackend(family)), specs(), preset, config.altitude)
            policies[seed] = Demonstrator(policy, env, seed, backend is not None, job.mistakes)
            return (yield from play(env, policies[seed], RunInfo(config, seed)))

    episodes = list(drive(map(demonstrate, seeds), backend, LOCKSTEP_EPISODES if backend else 1))
    samples = [(seed, sample) for seed in sorted(policies) for sample in policies[seed].samples]
    shared = {
        **described(config),
        "family": family.name, "preset": preset.name, "cameras": preset.cameras, "mistakes": job.mistakes,
        "episodes": len(episodes), "succeeded": sum(episode.outcome is Outcome.SUCCESS for episode in episodes),
        "crashes": [episode.detail for episode in episodes if episode.outcome is Outcome.CRASHED],
        "versions": versions(),
    }  # fmt: skip
    write_shard(out / job.name, shared, samples)
    return len(samples)


@cache
def _backend(policy: str, model: str, altitude: str) -> Backend | None:
    """The model that plays, opened once for all archives; None if the oracle plays."""
    return make_backend(RunConfig(policy=policy, model=model, altitude=altitude))


def collect_all(jobs: Sequence[ShardJob], out: Path, workers: int = 1) -> Iterator[int]:
    """Makes the archives that do not exist yet. Yields the number of samples of each when it is finished."""
    out.mkdir(parents=True, exist_ok=True)
    missing = [job for job in jobs if not (out / job.name).exists()]
    if workers == 1:
        yield from (collect(job, out) for job in missing)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(collect, job, out) for job in missing]
        try:
            yield from (done.result() for done in as_completed(running))
        finally:
            pool.shutdown(cancel_futures=True)
