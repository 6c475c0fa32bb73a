"""Supervised fine-tuning of a small model on demonstrations, on CPUs.

Exactly resumable: the decisions of a step depend only on the seed, the step, the process, the data, and on how well
the model knew those of the steps before, which is saved with its state.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from qwenarm.errors import BadInput
from qwenarm.mind.checkpoints.load import PRESET_FILE, locate
from qwenarm.mind.inference.preprocessing import PromptEncoder
from qwenarm.mind.prompt.presets import ALTITUDE_NAMES
from qwenarm.train.batches import IGNORED_LABEL, Batch, Example, Reader, Tokens, values_in
from qwenarm.train.dataset import Shard, read_shards
from qwenarm.train.learner import Learner, Settings
from qwenarm.train.stopping import leave_stopping_to_parent, stops_between_steps
from qwenarm.train.variations import varied
from qwenarm.train.vocabulary import add_words

MICRO_BATCH = 16
"""Decisions per forward pass. Those of a step are sorted by length first, which saves padding."""
HELD_OUT_SAMPLES = 24
"""Held-out decisions of each task that are answered at every look."""
UNSEEN_MISS = 0.5
"""What is assumed of a decision that the model has not been asked for yet."""
MISS_FLOOR = 0.1
"""Added to every decision's miss, so that what the model knows is drawn now and then, and not forgotten."""
LOG_STEPS = 20
"""Number of steps averaged in one line of the log."""
START_FOLDER, CHECKPOINT_FOLDER = "start", "checkpoint"
STATE_FILE, LOG_FILE, VALUES_FILE = "state.pt", "log.jsonl", "values.json"

T = TypeVar("T")
Vary = Callable[[Example], Example]
Tell = Callable[[int, Mapping[str, float]], None]
"""Called after every step with its number and the measures of its batch."""


@dataclass(frozen=True)
class SftOptions:
    """Options of ``fine_tune``.

    Attributes:
        data: Folders written by ``qwenarm collect``.
        out: Folder for state, log, curve and checkpoint. An interrupted run continues from there.
        model: The checkpoint to start from.
        held_out: Folders of demonstrations with other seeds, never learned from.
        batch: Decisions per step, over all processes.
        mix: How often each task is drawn; 1 for tasks that are not named.
        processes: Number of processes, each with one thread. Two are faster than one with two threads.
        every: Steps between saved states, exported checkpoints and looks at held-out decisions.
        settings: Hyperparameters.
    """

    data: tuple[Path, ...]
    out: Path
    model: str = "bundled"
    held_out: tuple[Path, ...] = ()
    batch: int = 64
    mix: Mapping[str, float] = field(default_factory=dict)
    processes: int = 1
    every: int = 100
    settings: Settings = field(default_factory=Settings)


class Corpus:
    """All decisions of some archives. A task is drawn according to its weight; within a task, a decision that the model
    was likely to miss when it was last asked is drawn more often (after Schaul et al. 2016, arXiv:1511.05952).

    Attributes:
        examples: The decisions.
        tasks: The task of each.
        misses: By archive (decisions,) float32, views of one tensor: how likely the model misses each; see
            ``Learner.misses``.
    """

    def __init__(self, shards: Sequence[Shard], reader: Reader, mix: Mapping[str, float]) -> None:
        self.reader = reader
        self.examples: list[Example] = [(shard, line) for shard in shards for line in shard.lines]
        self.tasks = [shard.head["task"] for shard, _ in self.examples]
        known, self._task = np.unique(self.tasks, return_inverse=True)
        if unknown := sorted(set(mix) - set(known)):
            raise BadInput(f"--mix names {', '.join(unknown)}; the data has {', '.join(known)}.")
        self._weights = np.array([mix.get(task, 1.0) for task in known])
        self._misses = torch.full([len(self.examples)], UNSEEN_MISS)
        parts = self._misses.split([len(shard.lines) for shard in shards])
        self.misses = {str(shard.path): part for shard, part in zip(shards, parts, strict=True)}
        self._tokens = dict[int, Tokens]()

    def draw(self, key: Sequence[int], count: int) -> list[int]:
        """Draws random decisions, the same for the same key and misses."""
        odds = self._misses.double().numpy() + MISS_FLOOR
        odds *= (self._weights / np.bincount(self._task, odds))[self._task]
        return np.random.default_rng(key).choice(len(odds), count, p=odds / odds.sum()).tolist()

    def note(self, indices: Sequence[int], misses: Sequence[float]) -> None:
        """Remembers how likely the model is to miss these decisions."""
        for index, miss in zip(indices, misses, strict=True):
            self._misses[index] = miss

    def some_of_each(self, count: int) -> dict[str, list[int]]:
        """Returns a few decisions of each task, always the same."""
        chosen: dict[str, list[int]] = defaultdict(list)
        for index in np.random.default_rng(0).permutation(len(self.examples)).tolist():
            chosen[self.tasks[index]] += [index] if len(chosen[self.tasks[index]]) < count else []
        return dict(sorted(chosen.items()))

    def by_length(self, indices: Sequence[int]) -> list[int]:
        """Sorts decisions by number of pictures and length."""
        return sorted(indices, key=lambda i: (len(self._read(i).grids), len(self._read(i).ids)))

    def batches(self, indices: Sequence[int], vary: Vary | None = None) -> list[Batch]:
        """Makes batches of decisions of about the same length, in the order of ``by_length``.

        Args:
            indices: The decisions.
            vary: Puts a decision in other words, or None to read all as they are.
        """
        order = self.by_length(indices)
        examples = [vary(self.examples[i]) if vary else self.examples[i] for i in order]
        tokens = [
            self._read(i) if example is self.examples[i] else self.reader.tokens(example)
            for i, example in zip(order, examples, strict=True)
        ]
        groups = [slice(start, start + MICRO_BATCH) for start in range(0, len(order), MICRO_BATCH)]
        return [self.reader.batch(examples[group], tokens[group]) for group in groups]

    def _read(self, index: int) -> Tokens:
        if index not in self._tokens:
            self._tokens[index] = self.reader.tokens(self.examples[index])
        return self._tokens[index]


def fine_tune(options: SftOptions, tell: Tell | None = None) -> Path:
    """Trains to the last step, continuing an earlier run. Returns the checkpoint's folder.

    Raises BadInput or ModelUnavailable for options that cannot work.
    """
    if options.batch < options.processes or options.batch % options.processes or options.every < 1:
        raise BadInput(
            f"--batch {options.batch} must be a multiple of --processes {options.processes}, and --every at least 1."
        )
    _prepare(options)
    context = get_context("spawn")
    others = [context.Process(target=_join, args=(rank, options)) for rank in range(1, options.processes)]
    for process in others:
        process.start()
    try:
        _join(0, options, tell)
    finally:
        for process in others:
            process.kill()
    return options.out / CHECKPOINT_FOLDER


def _prepare(options: SftOptions) -> None:
    """Copies the initial checkpoint and extends its vocabulary for the data. Does nothing when a run is resumed."""
    start = options.out / START_FOLDER
    if (start / VALUES_FILE).exists():
        return
    shards, source = read_shards(options.data, ALTITUDE_NAMES), locate(options.model).folder
    presets = sorted({shard.head["preset"] for shard in shards})
    if len(presets) > 1:
        raise BadInput(f"The data was collected for several presets ({', '.join(presets)}); a model can have only one.")
    start.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file():
            shutil.copy(file, start / file.name)
    (start / PRESET_FILE).write_text(json.dumps({"preset": presets[0]}), encoding="utf-8")
    add_words(start, shards)
    (start / VALUES_FILE).write_text(json.dumps(values_in(shards)), encoding="utf-8")


def _join(rank: int, options: SftOptions, tell: Tell | None = None) -> None:
    """Runs one of the processes, which average their gradients. The first is the one that was asked to train."""
    if rank:
        leave_stopping_to_parent()
    if options.processes == 1:
        _train(options, rank, tell)
        return
    store = options.out / "processes"
    if rank == 0:
        store.unlink(missing_ok=True)
    dist.init_process_group("gloo", f"file://{store.resolve()}", rank=rank, world_size=options.processes)
    try:
        _train(options, rank, tell)
    finally:
        dist.destroy_process_group()


def _train(options: SftOptions, rank: int, tell: Tell | None) -> None:
    """Runs the loop of one process. The first process reports, logs and saves."""
    torch.set_num_threads(1)
    start, state = options.out / START_FOLDER, options.out / STATE_FILE
    values = json.loads((start / VALUES_FILE).read_text(encoding="utf-8"))
    reader = Reader(PromptEncoder(locate(str(start))), values)
    learner = Learner(start, reader, options.settings)
    corpus = Corpus(read_shards(options.data, ALTITUDE_NAMES), reader, options.mix)
    learner.sampling = corpus.misses
    if state.exists():
        learner.load(state)
    held_out = Corpus(read_shards(options.held_out, ALTITUDE_NAMES), reader, {}) if options.held_out else None

    def learn() -> dict[str, float]:
        key = [options.settings.seed, learner.step, rank]
        drawn = corpus.draw(key, options.batch // options.processes)
        rng = np.random.default_rng([*key, 1])
        vary = partial(varied, rng=rng, typing_errors=options.settings.typing_errors)
        report = learner.learn(corpus.batches(drawn, vary))
        if learner.misses:
            for indices, misses in gathered((corpus.by_length(drawn), torch.cat(learner.misses).tolist())):
                corpus.note(indices, misses)
        return report

    if rank:
        while learner.step < options.settings.steps:
            learn()
        return
    look = partial(answer_held_out, learner, held_out) if held_out else None
    learn_and_save(learner, learn, options.out, options.every, look, tell)


def gathered(own: T) -> list[T]:
    """Returns what all processes have passed, in the order of their ranks."""
    if not dist.is_initialized():
        return [own]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, own)
    return found


def learn_and_save(
    learner: Learner,
    learn: Callable[[], dict[str, float]],
    out: Path,
    every: int,
    look: Callable[[], Mapping[str, Any]] | None,
    tell: Tell | None,
    log_steps: int = LOG_STEPS,
) -> None:
    """Makes the steps that are left, with a log, saved states and checkpoints. Told to stop, it saves the last step.

    Args:
        learner: What learns.
        learn: Makes one step and returns its measures.
        out: Folder for state, log and checkpoint.
        every: Steps between saved states, checkpoints and looks.
        look: Measures the averaged weights on held-out samples, or None.
        tell: Told of every step.
        log_steps: Number of steps averaged in one line of the log.
    """
    if learner.step >= learner.settings.steps:  # stopped or killed between the last state and its checkpoint, perhaps
        learner.export(out / CHECKPOINT_FOLDER)
    sums: defaultdict[str, list[float]] = defaultdict(list)
    with stops_between_steps() as told_to_stop:
        while learner.step < learner.settings.steps:
            report = learn()
            if tell:
                tell(learner.step, report)
            for name, value in report.items():
                sums[name].append(value)
            last, stopping = learner.step == learner.settings.steps, told_to_stop()
            due = last or learner.step % every == 0
            if last or stopping or learner.step % log_steps == 0:
                _log(out, learner.step, {name: round(float(np.mean(v)), 4) for name, v in sums.items()})
                sums.clear()
            if due or stopping:
                learner.save(out / STATE_FILE)
            if due:
                learner.export(out / CHECKPOINT_FOLDER)
                if look:
                    _log(out, learner.step, {"held_out": look()})
            if stopping:
                raise KeyboardInterrupt


def answer_held_out(learner: Learner, corpus: Corpus) -> dict[str, dict[str, float]]:
    """Returns for each task how well the averaged weights answer, see ``exactness``."""
    learner.use(learner.average)
    chosen = corpus.some_of_each(HELD_OUT_SAMPLES)
    found = {task: exactness(learner, corpus.batches(indices)) for task, indices in chosen.items()}
    learner.use(learner.masters)
    return found


@torch.no_grad()
def exactness(learner: Learner, batches: Sequence[Batch]) -> dict[str, float]:
    """Measures how well the model's answers match the data.

    Returns:
        "exact": the share of answers whose words are all the most likely ones, so that greedy decoding writes them;
        "pointed": the share of points in a cell that shows what is meant; "n": the number of answers.
    """
    exact, pointed = list[bool](), list[bool]()
    for batch in batches:
        guess = learner.logits(learner.forward(batch)[0]).argmax(-1)
        coordinate = learner.coordinates(batch)
        exact += ((guess == batch.labels) | (batch.labels == IGNORED_LABEL) | coordinate).all(1).tolist()
        rows, columns = (batch.grids[0, 1:] // learner.reader.merge).tolist()
        for said, where, points in zip(guess, coordinate, batch.meant, strict=True):
            numbers = [learner.reader.numbers.get(int(token), 0) for token in said[where]]
            for x, y, cells in zip(numbers[::2], numbers[1::2], points, strict=False):
                pointed.append(bool(cells[y * rows // 1000 * columns + x * columns // 1000]))
    return {"exact": _mean(exact), "pointed": _mean(pointed), "n": len(exact)}


def _mean(values: Sequence[bool]) -> float:
    return round(sum(values) / max(1, len(values)), 3)


def _log(out: Path, step: int, measures: Mapping[str, Any]) -> None:
    """Adds a line to the log. ``cpu_s`` is this process's CPU time, for curves of what a result cost."""
    with (out / LOG_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "cpu_s": round(time.process_time(), 1), **measures}) + "\n")
