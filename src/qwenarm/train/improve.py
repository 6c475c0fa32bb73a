"""Repeats collecting, fine-tuning and watching until it no longer helps.

The first round learns from the oracle's demonstrations. Each later round adds what the best model so far did on new
scenes, corrected by the oracle (Ross et al. 2011, arXiv:1011.0686), and continues from its weights. Every stage can
be resumed, so an interrupted run continues when it is started again.
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
from qwenarm.train.collect import LEARNER_POLICY, ORACLE_POLICY, collect_all, plan_jobs
from qwenarm.train.learner import Settings
from qwenarm.train.sft import SftOptions, fine_tune
from qwenarm.train.watch import FIRST_WATCHED_SEED, watch
from qwenarm.types import RunConfig

ROUNDS_FILE, PAGE_FILE = "rounds.jsonl", "improve.md"
MISTAKE_SHARE = 0.12
"""Share of the oracle's calls that are deliberate mistakes, in half of its episodes."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class ImproveOptions:
    """Options of ``improve``.

    Attributes:
        config: What is played; its model is the one to improve.
        tasks: The tasks to improve on.
        out: Folder for data, checkpoints, results and the page. An interrupted run continues from there.
        rounds: Maximum number of rounds.
        episodes: Number of episodes collected per task and round.
        watched: Number of scenes of each task that are played after each round and never learned from.
        workers: Number of processes that collect and train.
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
    """Plays the remaining rounds. Returns the folder of the best checkpoint.

    It stops early after a round that was no better than the best one before.

    Raises:
        BadInput: A number is invalid, or collecting or fine-tuning refuses its options.
    """
    if min(options.rounds, options.episodes, options.watched, options.workers) < 1:
        raise BadInput("Rounds, episodes, watched scenes and workers must be at least 1.")
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
    """Returns a round's archives: in the first one from the oracle, half with mistakes, later from the model."""
    level = [options.config.level]
    half = max(1, options.episodes // 2)
    if number > 1:
        config = replace(options.config, policy=LEARNER_POLICY, model=best)
        return plan_jobs(config, options.tasks, level, [""], options.episodes, first)
    config = replace(options.config, policy=ORACLE_POLICY)
    clean = plan_jobs(config, options.tasks, level, [""], half, first)
    return clean + plan_jobs(config, options.tasks, level, [""], half, first + half, MISTAKE_SHARE)


@dataclass(frozen=True)
class _Progress:
    """Reports the steps of a round."""

    tell: Tell
    number: int
    steps: int

    def __call__(self, step: int, report: Any) -> None:
        self.tell(f"round {self.number}: step {step} of {self.steps}, loss on words {report['words']:.3f}")


def _note(options: ImproveOptions, number: int, model: str, began: float) -> dict[str, Any]:
    """Watches a model, and records the round."""
    rates = watch(replace(options.config, policy="vlm", model=model), options.tasks, options.watched)
    row = {"round": number, "model": model, "rates": rates, "mean": sum(rates.values()) / len(rates)}
    row["seconds"] = round(time.monotonic() - began, 1)
    with (options.out / ROUNDS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    (options.out / PAGE_FILE).write_text(page(_done(options.out), options.watched), encoding="utf-8")
    return row


def _done(out: Path) -> list[dict[str, Any]]:
    path = out / ROUNDS_FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _finished(done: list[dict[str, Any]]) -> bool:
    """Returns whether the last round was no better than the best one before."""
    means = [row["mean"] for row in done]
    return len(means) > 1 and means[-1] <= max(means[:-1])


def page(rows: list[dict[str, Any]], scenes: int) -> str:
    """Returns a page in Markdown: success per round with 95 % Wilson intervals, and what a percentage point cost."""
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
