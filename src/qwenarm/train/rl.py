"""Reinforcement learning of a small model on whole episodes: group-relative policy gradients, as in GRPO.

Each iteration plays some scenes several times with sampled answers, and reinforces the attempts that did better than
the others at the same scene. The reward is that of the episode (success, progress, safety violations), so no
demonstrations are needed. Only the model's own tokens are trained; a penalty keeps them close to the initial model.

Shao et al. 2024, arXiv:2402.03300, section 4; without the division by the answer's length (Liu et al. 2025,
arXiv:2503.20783, section 3), and with one step per iteration, so that all answers are drawn from the current model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qwenarm.episode.drive import drive
from qwenarm.errors import BadInput
from qwenarm.factory import perform, prepare
from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.families import Sampling
from qwenarm.mind.inference.preprocessing import PromptEncoder
from qwenarm.train.batches import IGNORED_LABEL, Batch, Example, Reader
from qwenarm.train.dataset import Shard, write_shard
from qwenarm.train.demonstrator import Sample
from qwenarm.train.learner import Learner, Settings
from qwenarm.train.sft import CHECKPOINT_FOLDER, LOG_FILE, MICRO_BATCH, STATE_FILE, Tell
from qwenarm.train.stopping import stops_between_steps
from qwenarm.train.task_config import task_config
from qwenarm.train.watch import FIRST_WATCHED_SEED, watch
from qwenarm.types import Completion, Episode, Outcome, RunConfig, Turn

ROLLOUTS_FOLDER, PLAYING_FOLDER = "rollouts", "playing"
PROGRESS_WEIGHT, VIOLATION_WEIGHT = 0.5, 0.02
"""Weights of an episode's progress, and of each control that the safety layer changed; success has the weight 1."""

FIRST_SCENE = 500_000
"""Seed of the first scene. Fine-tuning has often seen the scenes from 0 on: there a model plays better than elsewhere,
and its attempts differ less."""

WARM_UP_STEPS = 3
"""Number of iterations in which the learning rate rises. Each costs half a minute: a warm-up as in fine-tuning would
take most of a run."""


@dataclass(frozen=True)
class RlOptions:
    """Options of ``reinforce``.

    Attributes:
        config: What is played: level, arm, combos (may be UNCHOSEN), perturbations. Its model is the initial model.
        tasks: Played in turn.
        out: Folder for state, log, rollouts and checkpoint. An interrupted run continues from there.
        iterations: Each plays ``scenes`` x ``attempts`` episodes and makes one step.
        scenes: Number of new scenes per iteration.
        attempts: Number of attempts at each scene; they differ only in the sampled answers.
        kl: Weight of the penalty for leaving the initial model.
        watched: Number of held-out scenes that are played greedily at every look.
        every: Iterations between looks, saved states and checkpoints.
        settings: Learning rate, optimiser and first seed; the others are set by ``reinforce``.
    """

    config: RunConfig
    tasks: tuple[str, ...]
    out: Path
    iterations: int = 20
    scenes: int = 6
    attempts: int = 8
    kl: float = 0.02
    watched: int = 20
    every: int = 10
    settings: Settings = field(default_factory=lambda: Settings(lr=1e-3, seed=FIRST_SCENE))


@dataclass(frozen=True)
class Attempt:
    """An episode, and by how many standard deviations it was better than the others at its scene."""

    episode: Episode
    advantage: float


def reward(episode: Episode) -> float:
    """Returns 1 for success, part of it for progress, less for every control that the safety layer changed."""
    violations = sum(sum(turn.clamps.values()) for turn in episode.turns)
    success = float(episode.outcome is Outcome.SUCCESS)
    return success + PROGRESS_WEIGHT * episode.progress - VIOLATION_WEIGHT * min(1.0, violations / 50)


def advantages(rewards: Sequence[float]) -> list[float]:
    """Returns the normalised rewards of attempts at one scene; all 0 if they are equal."""
    values = np.array(rewards)
    spread = values.std()
    return ((values - values.mean()) / spread).tolist() if spread > 1e-6 else [0.0] * len(values)


def reinforce(options: RlOptions, tell: Tell = lambda step, report: None) -> Path:
    """Trains by playing, continuing an earlier run in ``out``. Returns the checkpoint's folder.

    Raises BadInput or ModelUnavailable for options that cannot work.
    """
    if min(options.iterations, options.scenes, options.every) < 1 or options.attempts < 2:
        raise BadInput("Reinforcement learning needs at least 1 iteration and scene, and 2 attempts at each.")
    for task in options.tasks:
        prepare(task_config(options.config, task), options.settings.seed)  # a wrong name or level is told before a wait
    torch.set_num_threads(1)
    folder, out = locate(options.config.model).folder, options.out
    out.mkdir(parents=True, exist_ok=True)
    reader = Reader(PromptEncoder(locate(str(folder))), {"shape": [""]})
    schedule = {"steps": 2 * options.iterations, "warm_up_steps": WARM_UP_STEPS}
    learner = Learner(folder, reader, replace(options.settings, supervise=False, **schedule))
    reference = {name: weight.detach().clone() for name, weight in learner.masters.items()}
    if (out / STATE_FILE).exists():
        learner.load(out / STATE_FILE)
    if learner.step >= options.iterations:  # stopped or killed between the last state and its checkpoint, perhaps
        learner.export(out / CHECKPOINT_FOLDER, learner.masters)
    with stops_between_steps() as told_to_stop:
        while learner.step < options.iterations:
            _iterate(learner, reference, options, told_to_stop, tell)
    return out / CHECKPOINT_FOLDER


def _iterate(
    learner: Learner,
    reference: Mapping[str, torch.Tensor],
    options: RlOptions,
    told_to_stop: Callable[[], bool],
    tell: Tell,
) -> None:
    """Plays, learns, and saves now and then. Raises KeyboardInterrupt, with everything saved, if told to stop."""
    out, began = options.out, time.process_time()
    attempts = _play(learner, options)
    played = time.process_time() - began
    report: dict[str, Any] = {**_measures(attempts), **_update(learner, attempts, reference, options)}
    report |= {"play_cpu_s": round(played, 1), "learn_cpu_s": round(time.process_time() - began - played, 1)}
    due, stopping = learner.step % options.every == 0 or learner.step == options.iterations, told_to_stop()
    if due or stopping:
        learner.save(out / STATE_FILE)
    if due:
        learner.export(out / CHECKPOINT_FOLDER, learner.masters)
        config = replace(options.config, model=str(out / CHECKPOINT_FOLDER))
        report["watched"] = watch(config, options.tasks, options.watched)
    with (out / LOG_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"iteration": learner.step, **report}) + "\n")
    tell(learner.step, report)
    if stopping:
        raise KeyboardInterrupt


def _play(learner: Learner, options: RlOptions) -> list[Attempt]:
    """Plays several attempts at each of some new scenes, with answers sampled from the current model."""
    learner.export(options.out / PLAYING_FOLDER, learner.masters)
    backend = QwenVL(str(options.out / PLAYING_FOLDER), temperature=1.0, constrained=False)
    # No truncation: what is learned from is exactly the distribution that was sampled.
    backend.engine.sampling = Sampling(temperature=1.0)
    first = options.settings.seed + learner.step * options.scenes
    seeds = [seed % FIRST_WATCHED_SEED for seed in range(first, first + options.scenes)]
    task = options.tasks[learner.step % len(options.tasks)]
    config = replace(task_config(options.config, task), model=backend.name)
    found: dict[int, list[Episode]] = {seed: [] for seed in seeds}
    for attempt in range(options.attempts):
        backend.seed = learner.step * options.attempts + attempt
        for episode in drive((perform(config, seed, backend) for seed in seeds), backend, len(seeds)):
            found[episode.seed].append(episode)
    return [
        Attempt(episode, advantage)
        for episodes in found.values()
        for episode, advantage in zip(episodes, advantages(list(map(reward, episodes))), strict=True)
    ]


def _measures(attempts: Sequence[Attempt]) -> dict[str, float]:
    episodes = [attempt.episode for attempt in attempts]
    return {
        "reward": round(float(np.mean(list(map(reward, episodes)))), 3),
        "success": round(float(np.mean([episode.outcome is Outcome.SUCCESS for episode in episodes])), 3),
        "mixed": round(float(np.mean([attempt.advantage != 0 for attempt in attempts])), 3),
    }


def _update(
    learner: Learner, attempts: Sequence[Attempt], reference: Mapping[str, torch.Tensor], options: RlOptions
) -> dict[str, float]:
    """Makes one step on the decisions of all attempts that differ from the others at their scene."""
    examples, weights, dropped = _decisions(learner, attempts, options)
    if not examples:
        learner.skip_step()
        return {"decisions": 0, "dropped": dropped}
    read = [learner.reader.tokens(example) for example in examples]
    order = sorted(range(len(read)), key=lambda i: (len(read[i].grids), len(read[i].ids)))
    groups = [order[start : start + MICRO_BATCH] for start in range(0, len(order), MICRO_BATCH)]
    batches = [learner.reader.batch([examples[i] for i in g], [read[i] for i in g]) for g in groups]
    learner.use(reference)
    with torch.no_grad():
        before = [log_probabilities(learner, batch) for batch in batches]
    learner.use(learner.masters)
    total = sum(int((batch.labels != IGNORED_LABEL).sum()) for batch in batches)
    distance = 0.0
    for group, batch, old in zip(groups, batches, before, strict=True):
        loss, far = policy_loss(learner, batch, torch.tensor([weights[i] for i in group]), old, options.kl)
        (loss / total).backward()
        learner.gather_gradients()
        distance += far / total
    learner.take_step()
    return {"decisions": len(examples), "dropped": dropped, "kl": round(distance, 5)}


def _decisions(
    learner: Learner, attempts: Sequence[Attempt], options: RlOptions
) -> tuple[list[Example], list[float], int]:
    """Returns the decisions to learn from, stored as an archive, and the advantage of each.

    The last value counts the decisions that were dropped because their text does not show which tokens were drawn.
    """
    chosen = [(a, turn) for a in attempts if a.advantage for turn in a.episode.turns if turn.completions]
    samples = [(attempt.episode.seed, _sample(turn)) for attempt, turn in chosen]
    if not samples:
        return [], [], 0
    path = options.out / ROLLOUTS_FOLDER / f"{learner.step:05d}.zip"
    path.parent.mkdir(exist_ok=True)
    family = learner.reader.encoder.family.name
    write_shard(path, {"task": chosen[0][0].episode.task, "family": family, "policy": "rl"}, samples)
    shard = Shard.read(path)
    examples, weights = list[Example](), list[float]()
    for line, (attempt, turn) in zip(shard.lines, chosen, strict=True):
        tokens = learner.reader.tokens((shard, line))
        if len(tokens.ids) - tokens.answer == turn.completions[-1].tokens_out:
            examples.append((shard, line))
            weights.append(attempt.advantage)
    return examples, weights, len(chosen) - len(examples)


def _sample(turn: Turn) -> Sample:
    """Returns what was asked and answered in a turn."""
    completion: Completion = turn.completions[-1]
    return Sample(turn.prompts[-1], completion.text, turn.index, (), (), ())


def log_probabilities(learner: Learner, batch: Batch) -> torch.Tensor:
    """Returns the log probabilities (answer tokens,) of the answers' tokens."""
    answer = batch.labels != IGNORED_LABEL
    logits = learner.logits(learner.forward(batch)[0][answer])
    return logits.log_softmax(-1).gather(-1, batch.labels[answer][:, None])[:, 0]


def policy_loss(
    learner: Learner, batch: Batch, advantage: torch.Tensor, before: torch.Tensor, kl: float
) -> tuple[torch.Tensor, float]:
    """Returns the loss, summed over the answers' tokens, and their summed distance from the initial model.

    Args:
        learner: Holds the model that the answers were drawn from.
        batch: The answers.
        advantage: (B,) of each answer's episode.
        before: (answer tokens,) log probabilities under the initial model.
        kl: Weight of the distance, estimated as r - 1 - log r with r the ratio of probabilities (Schulman 2020).
    """
    now = log_probabilities(learner, batch)
    weight = advantage[:, None].expand(batch.labels.shape)[batch.labels != IGNORED_LABEL]
    ahead = before - now
    distance = ahead.exp() - 1 - ahead
    # The gradient of exp(now - now) is that of log p; in this form the sum matches the papers' surrogate.
    ratio = (now - now.detach()).exp()
    return (kl * distance - ratio * weight).sum(), float(distance.detach().sum())
