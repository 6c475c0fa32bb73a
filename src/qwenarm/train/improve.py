"""Rounds of collecting, fine-tuning and watching, until they no longer help.

The first round learns from the oracle's demonstrations. Each later one adds what the best model so far did on new
scenes, put right by the oracle (Ross et al. 2011, arXiv:1011.0686), and goes on from its weights. Every stage is
resumable, so the whole is: run it again and it goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qwenarm.errors import BadInput
from qwenarm.evaluation.stats import wilson
from qwenarm.train.collect import LEARNER, ORACLE, collect_all, plan_jobs
from qwenarm.train.learner import Settings
from qwenarm.train.sft import SftOptions, fine_tune
from qwenarm.train.watch import FIRST_WATCHED_SEED, watch
from qwenarm.types import RunConfig

ROUNDS, PAGE = "rounds.jsonl", "improve.md"
MISTAKE_SHARE = 0.12
"""Share of the oracle's calls that go wrong on purpose, in half of its episodes."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class ImproveOptions:
    """What improving can be told.

    Attributes:
        config: What is played; its model is the one to improve.
        tasks: To become better at.
        out: For data, checkpoints, results and the page. An interrupted run goes on from there.
        rounds: At most.
        episodes: That are collected of each task in a round.
        watched: Scenes of each task that are played after each round and never learned from.
        workers: Processes that collect and train.
        settings: Of fine-tuning; its steps are those of one round.
    """

    config: RunConfig
    tasks: tuple[str, ...]
    out: Path
    rounds: int = 4
    episodes: int = 100
    watched: int = 40
    workers: int = 1
    settings: Settings = field(default_factory=Settings)


def improve(options: ImproveOptions, tell: Tell = lambda text: None) -> Path:
    """Plays the rounds that are left. Returns the best checkpoint's folder.

    It stops early after a round that was no better than the best before it.

    Raises:
        BadInput: For numbers that make no sense; and whatever collecting and fine-tuning refuse.
    """
    if min(options.rounds, options.episodes, options.watched, options.workers) < 1:
        raise BadInput("Rounds, episodes, watched scenes and workers are at least 1.")
    if options.rounds * options.episodes > FIRST_WATCHED_SEED:
        raise BadInput(f"There are {FIRST_WATCHED_SEED} training seeds; take fewer rounds or episodes.")
    options.out.mkdir(parents=True, exist_ok=True)
    done = _done(options.out)
    if not done:
        tell("watching the model as it is")
        done = [_note(options, 0, options.config.model, time.monotonic())]
    while len(done) <= options.rounds and not _finished(done):
        done.append(_round(options, len(done), done, tell))
    return Path(max(done, key=lambda row: row["mean"])["model"])


def _round(options: ImproveOptions, number: int, done: list[dict[str, Any]], tell: Tell) -> dict[str, Any]:
    """Collects, fine-tunes and watches once."""
    began, data, folder = time.monotonic(), options.out / "data", options.out / f"round-{number}"
    best = max(done, key=lambda row: row["mean"])["model"]
    first = (number - 1) * options.episodes
    jobs = _jobs(options, best, number, first)
    for count, _ in enumerate(collect_all(jobs, data, options.workers), 1):
        tell(f"round {number}: collecting, {count} of {len(jobs)} archives")
    settings = options.settings
    sft = SftOptions(
        (data,), folder, best, processes=options.workers, every=max(1, settings.steps // 4), settings=settings
    )
    fine_tune(sft, _Progress(tell, number, settings.steps))
    tell(f"round {number}: watching")
    return _note(options, number, str(folder / "checkpoint"), began)


def _jobs(options: ImproveOptions, best: str, number: int, first: int) -> list[Any]:
    """The first round's archives come from the oracle, half of them with mistakes; the others' from the model."""
    level = [options.config.level]
    half = max(1, options.episodes // 2)
    if number > 1:
        config = replace(options.config, policy=LEARNER, model=best)
        return plan_jobs(config, options.tasks, level, [""], options.episodes, first)
    config = replace(options.config, policy=ORACLE)
    clean = plan_jobs(config, options.tasks, level, [""], half, first)
    return clean + plan_jobs(config, options.tasks, level, [""], half, first + half, MISTAKE_SHARE)


@dataclass(frozen=True)
class _Progress:
    """Tells of the steps of a round."""

    tell: Tell
    number: int
    steps: int

    def __call__(self, step: int, report: Any) -> None:
        self.tell(f"round {self.number}: step {step} of {self.steps}, loss on words {report['words']:.3f}")


def _note(options: ImproveOptions, number: int, model: str, began: float) -> dict[str, Any]:
    """Watches a model, and writes the round down."""
    rates = watch(replace(options.config, policy="vlm", model=model), options.tasks, options.watched)
    row = {"round": number, "model": model, "rates": rates, "mean": sum(rates.values()) / len(rates)}
    row["seconds"] = round(time.monotonic() - began, 1)
    with (options.out / ROUNDS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    (options.out / PAGE).write_text(page(_done(options.out), options.watched), encoding="utf-8")
    return row


def _done(out: Path) -> list[dict[str, Any]]:
    path = out / ROUNDS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _finished(done: list[dict[str, Any]]) -> bool:
    """Was the last round no better than the best before it?"""
    means = [row["mean"] for row in done]
    return len(means) > 1 and means[-1] <= max(means[:-1])


def page(rows: list[dict[str, Any]], scenes: int) -> str:
    """The rounds as a page in Markdown: success with 95 % Wilson intervals, and what a point cost."""
    tasks = sorted(rows[0]["rates"])
    lines = [
        "# Improvement", "", f"Success on {scenes} held-out scenes of each task, with 95 % Wilson intervals.", "",
        "| round | " + " | ".join(tasks) + " | mean | minutes | minutes a point |", "| --- " * (len(tasks) + 4) + "|",
    ]  # fmt: skip
    for before, row in zip([None, *rows], rows, strict=False):
        cells = [_cell(row["rates"][task], scenes) for task in tasks]
        gain = 100 * (row["mean"] - before["mean"]) if before else 0.0
        minutes = row["seconds"] / 60
        cost = f"{minutes / gain:.1f}" if gain > 0 else "-"
        lines.append(f"| {row['round']} | " + " | ".join(cells) + f" | {row['mean']:.0%} | {minutes:.0f} | {cost} |")
    best = max(rows, key=lambda row: row["mean"])
    return "\n".join([*lines, "", f"Best: round {best['round']}, `--model {best['model']}`", ""])


def _cell(rate: float, scenes: int) -> str:
    low, high = wilson(round(rate * scenes), scenes)
    return f"{rate:.0%} ({100 * low:.0f}-{100 * high:.0f})"
