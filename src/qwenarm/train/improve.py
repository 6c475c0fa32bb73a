"""Repeats collecting, fine-tuning, playing and measuring until it no longer helps.

The first round learns from the oracle's demonstrations. Each later round adds what the best model so far did on new
scenes, corrected by the oracle (Ross et al. 2011, arXiv:1011.0686), and continues from its weights. All rounds are
measured on the same scenes, into one ledger, and their failures are attributed. Every stage can be resumed, so an
interrupted run continues when it is started again.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from qwenarm.diagnosis.attribute import attribute, findings
from qwenarm.errors import BadInput
from qwenarm.evaluation.evaluate import Begun, Plan, evaluate
from qwenarm.evaluation.jobs import WorkerDied
from qwenarm.evaluation.ledger import Row
from qwenarm.evaluation.stats import success_rate
from qwenarm.evaluation.suites import Block, Suite
from qwenarm.registry import names_to_allow, only_allowed
from qwenarm.train.collect import (
    LEARNER_POLICY,
    LOCKSTEP_EPISODES,
    ORACLE_POLICY,
    ShardJob,
    collect_all,
    plan_jobs,
)
from qwenarm.train.improve_page import Round, best_of, write_page
from qwenarm.train.learner import Settings
from qwenarm.train.rl import RlOptions, reinforce
from qwenarm.train.sft import SftOptions, fine_tune
from qwenarm.train.task_config import task_config
from qwenarm.train.watch import FIRST_WATCHED_SEED
from qwenarm.types import RunConfig

ROUNDS_FILE, WATCHED_FOLDER, DATA_FOLDER = "rounds.jsonl", "watched", "data"
MISTAKE_SHARE = 0.12
"""Share of the oracle's calls that are deliberate mistakes, in half of its episodes."""

Tell = Callable[[str, int, int], None]
"""Is told what is being done, and how much of how much of it is done."""


@dataclass(frozen=True)
class ImproveOptions:
    """Options of ``improve``.

    Attributes:
        config: What is played; its model is the one to improve; combos may be UNCHOSEN.
        tasks: The tasks to improve on.
        out: Folder for data, checkpoints, results and the page. An interrupted run continues from there.
        rounds: Maximum number of rounds.
        episodes: Number of episodes collected per task and round.
        watched: Number of scenes of each task that are played after each round and never learned from.
        workers: Number of processes that collect, train and measure.
        rl_iterations: Iterations of reinforcement learning after the fine-tuning of each round.
        settings: How each round fine-tunes; steps are those of one round. The seed is also the first training scene.
    """

    config: RunConfig
    tasks: tuple[str, ...]
    out: Path
    rounds: int = 4
    episodes: int = 100
    watched: int = 40
    workers: int = 1
    rl_iterations: int = 0
    settings: Settings = field(default_factory=Settings)


def improve(options: ImproveOptions, tell: Tell = lambda what, done, total: None) -> Path:
    """Plays the remaining rounds. Returns the folder of the best checkpoint.

    It stops early after a round that won everything, or was no better than the best one before.

    Raises:
        BadInput: A number is invalid, or a stage refuses its options.
        UnknownName, ModelUnavailable: A task or the model does not exist.
    """
    if min(options.rounds, options.episodes, options.watched, options.workers) < 1 or options.rl_iterations < 0:
        raise BadInput("Rounds, episodes, watched scenes and workers must be at least 1.")
    if not 0 <= options.settings.seed <= FIRST_WATCHED_SEED - options.rounds * options.episodes:
        raise BadInput(
            f"Training seeds are 0 to {FIRST_WATCHED_SEED - 1}; take another seed, fewer rounds or episodes."
        )
    for plan in _plans(options, options.config.model):
        plan.check()
    options.out.mkdir(parents=True, exist_ok=True)
    # What only the files of an earlier run name is not run.
    with only_allowed(names_to_allow(*options.tasks, options.config.model)):
        done = list(rounds_of(options.out)) or [_measure(options, 0, options.config.model, time.monotonic(), tell)]
        while len(done) <= options.rounds and not _finished(done):
            done.append(_round(options, len(done), done, tell))
        write_page(options.out, options.out / WATCHED_FOLDER, done, options.watched, with_films=True)
    return Path(best_of(done).model)


def _round(options: ImproveOptions, number: int, done: Sequence[Round], tell: Tell) -> Round:
    """Collects, fine-tunes, plays and measures once."""
    began, data, folder = time.monotonic(), options.out / DATA_FOLDER, options.out / f"round-{number}"
    best = best_of(done).model
    jobs = _jobs(options, best, number, options.settings.seed + (number - 1) * options.episodes)
    for count, _ in enumerate(collect_all(jobs, data, options.workers), 1):
        tell(f"round {number}: archives collected", count, len(jobs))
    steps = options.settings.steps
    sft = SftOptions(
        (data,), folder, best, processes=options.workers, every=max(1, steps // 4), settings=options.settings
    )
    learned = fine_tune(sft, lambda step, report: tell(f"round {number}: step {step}", step, steps))
    if iterations := options.rl_iterations:
        rl = RlOptions(replace(options.config, model=str(learned)), options.tasks, folder / "rl", iterations, watched=0)
        first = rl.settings.seed + (number - 1) * iterations * rl.scenes  # new scenes in every round
        rl = replace(rl, settings=replace(rl.settings, seed=first))
        learned = reinforce(rl, lambda at, report: tell(f"round {number}: learning by playing", at, iterations))
    return _measure(options, number, str(learned), began, tell)


def _jobs(options: ImproveOptions, best: str, number: int, first: int) -> list[ShardJob]:
    """Returns a round's archives: in the first one from the oracle, half with mistakes, later from the model."""
    level = [options.config.level]
    half = max(1, options.episodes // 2)
    if number > 1:
        config = replace(options.config, policy=LEARNER_POLICY, model=best)
        return plan_jobs(config, options.tasks, level, [""], options.episodes, first)
    config = replace(options.config, policy=ORACLE_POLICY)
    clean = plan_jobs(config, options.tasks, level, [""], half, first)
    return clean + plan_jobs(config, options.tasks, level, [""], half, first + half, MISTAKE_SHARE)


def _plans(options: ImproveOptions, model: str) -> list[Plan]:
    """Returns what is played after each round: a plan for each choice of combinations that the tasks want."""
    block = Block(options.tasks, (options.config.level,), options.watched)
    suite = Suite("watched", (block,), FIRST_WATCHED_SEED)
    config, tasks = replace(options.config, policy=LEARNER_POLICY, model=model), defaultdict[str, list[str]](list)
    for task in options.tasks:
        tasks[task_config(config, task).combos].append(task)
    return [Plan(suite.narrowed(alike), suite, replace(config, combos=combos)) for combos, alike in tasks.items()]


def _measure(options: ImproveOptions, number: int, model: str, began: float, tell: Tell) -> Round:
    """Plays the watched scenes, attributes the failures, and records the round."""
    rows = list(_watch(options, number, model, tell))
    causes = _causes(options, rows, number, tell)
    outcomes = defaultdict[str, list[str]](list)
    for row in rows:
        outcomes[row.key.task].append(row.outcome)
    rates = {task: success_rate(found).value for task, found in outcomes.items()}
    policies = {row.key.policy for row in rows}
    made = Round(number, model, rates, causes, round(time.monotonic() - began, 1), policies.pop())
    with (options.out / ROUNDS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(made.as_json()) + "\n")
    write_page(options.out, options.out / WATCHED_FOLDER, list(rounds_of(options.out)), options.watched)
    return made


def _watch(options: ImproveOptions, number: int, model: str, tell: Tell) -> Iterator[Row]:
    """Plays what is not in the ledger yet. Yields the row of every episode."""
    total, played = len(options.tasks) * options.watched, 0
    ledger = options.out / WATCHED_FOLDER
    for plan in _plans(options, model):
        with closing(evaluate(plan, ledger, options.workers, LOCKSTEP_EPISODES)) as events:
            for event in events:
                rows = event.rows if isinstance(event, Begun) else () if isinstance(event, WorkerDied) else (event,)
                played += len(rows)
                tell(f"round {number}: watched scenes played", played, total)
                yield from rows


def _causes(options: ImproveOptions, rows: Sequence[Row], number: int, tell: Tell) -> dict[str, int]:
    """Attributes the failures among the rows. Returns how many have which cause."""
    ledger = options.out / WATCHED_FOLDER
    with closing(attribute(ledger, batch=LOCKSTEP_EPISODES, workers=options.workers)) as told:
        for each in told:
            if not isinstance(each, WorkerDied):
                tell(f"round {number}: failures attributed", each.done, each.total)
    found = findings(ledger)
    return dict(Counter(found[row.key]["cause"] for row in rows if row.key in found))


def rounds_of(out: Path) -> Iterator[Round]:
    """Yields the rounds that are recorded in a folder. Raises BadInput if the record is damaged."""
    path = out / ROUNDS_FILE
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            yield Round.from_json(json.loads(line))
        except (ValueError, TypeError) as error:
            raise BadInput(f"{path} is damaged ({error}); choose another folder.") from error


def _finished(done: Sequence[Round]) -> bool:
    """Returns whether the last round was no better than the best one before, or cannot be bettered."""
    means = [row.mean for row in done]
    return means[-1] == 1 or (len(means) > 1 and means[-1] <= max(means[:-1]))
