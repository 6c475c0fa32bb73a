"""``qwenarm train bundled``: the recipe of the checkpoint that ships in the package, from nothing but this simulator.

Frames: random arrangements are rendered to shards on disk, with what lies in every 32-pixel cell.

Eye: the vision tower alone learns, densely. Every visual token tells shape, colour, place and carrier of what its cell
shows (segmentation is free in a simulator).

Reader: the whole model answers prompts as the closed loop asks them, several about every picture. Four things make a
model of 9 M parameters learn this in an hour or two on two cores:

* The eye's task goes on beside it.
* Where an answer points, two heads of one layer are told to look at the cells of the object that is meant.
* Where a label repeats words of the instruction, two others are told to look at those words.
* A position is one token of 1000; its target is a narrow bell and its embedding starts smooth: near is nearly right.

Everything is resumable: shards appear when complete, the state is replaced atomically, Ctrl-C saves. On several
processes (CPU) gradients are averaged; on a GPU one process does it.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context

import numpy as np
import torch
import torch.distributed as dist
from rich.progress import Progress

from qwenarm.body.objects.spec import HELD_OUT
from qwenarm.errors import BadInput
from qwenarm.mind.checkpoints.load import locate
from qwenarm.train.config import Config
from qwenarm.train.frames import SHARD, make_shard
from qwenarm.train.labels import Pictures, batches, load_shards
from qwenarm.train.learner import Learner
from qwenarm.train.questions import Question, ask, things


def ask_all(rng: np.random.Generator, pictures: Pictures, count: int) -> list[list[Question]]:
    """``count`` decisions about each picture, fewer where it gives no occasion."""
    asked: list[list[Question]] = []
    for rows in pictures.objects:
        seen = things(rows)
        draws = (ask(rng, seen, HELD_OUT) for _ in range(8 * count))
        good = [question for question in draws if question is not None]
        asked.append(good[:count])
    return asked


def train(config: Config, rank: int = 0) -> None:
    """The training loop of one process. Rank 0 shows progress, logs and saves."""
    learner = Learner(config)
    state, log = config.out / "state.pt", config.out / "log.jsonl"
    if state.exists():
        learner.load(state)
    elif config.start:
        learner.begin_with(locate(config.start).folder)
    rng = np.random.default_rng([config.seed, rank, learner.step])
    stream = _pictures(config, rng)
    sums: dict[str, list[float]] = defaultdict(list)
    start = time.monotonic()
    with Progress(disable=rank > 0) as progress:
        bar = progress.add_task("train", total=learner.total, completed=learner.step)
        try:
            while learner.step < learner.total:
                pictures = next(stream)
                reading = learner.step >= config.eye_steps
                report = learner.learn(pictures, ask_all(rng, pictures, config.questions) if reading else None)
                for name, value in report.items():
                    sums[name].append(value)
                if rank == 0 and learner.step % 25 == 0:
                    line = {"step": learner.step, "seconds": round(time.monotonic() - start, 1)}
                    line |= {name: round(float(np.mean(values)), 4) for name, values in sums.items()}
                    with log.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    sums.clear()
                    point = f" · points off by {line['point_median']}/1000" if "point_median" in line else ""
                    progress.update(bar, description=f"loss {line['loss']:.2f} · shapes {line['shape']:.0%}{point}")
                progress.update(bar, completed=learner.step)
                if rank == 0 and learner.step % config.save_every == 0:
                    learner.save(state)
        finally:
            if rank == 0:
                learner.save(state)
    if rank == 0:
        learner.export(config.out / "checkpoint")


def _pictures(config: Config, rng: np.random.Generator) -> Iterator[Pictures]:
    """Batches of this process; shards that have come since are taken in every 200 batches."""
    while True:
        stream = batches(load_shards(config.out / "frames"), config.batch // config.processes, rng)
        for _ in range(200):
            yield next(stream)


def make_frames(config: Config) -> None:
    """Renders the missing shards on all cores."""
    folder = config.out / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    size = min(SHARD, config.frames)
    missing = [i for i in range(math.ceil(config.frames / size)) if not (folder / f"shard{i:04d}").exists()]
    if not missing:
        return
    with Progress() as progress, ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        bar = progress.add_task(f"rendering {len(missing)} shards of {SHARD} pictures", total=len(missing))
        for done in as_completed([pool.submit(make_shard, folder / f"shard{i:04d}", i, size) for i in missing]):
            done.result()
            progress.advance(bar)


def _worker(rank: int, config: Config) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(29500 + config.seed % 1000))
    dist.init_process_group("gloo", rank=rank, world_size=config.processes)
    train(config, rank)
    dist.destroy_process_group()


def main(config: Config) -> None:
    """Frames, eye, reader, checkpoint; goes on where it stopped. Raises BadInput for settings that cannot work."""
    if config.batch % config.processes or config.batch < 1 or config.questions < 1:
        raise BadInput(
            f"--batch {config.batch} must be a positive multiple of --processes {config.processes}, "
            "and --questions at least 1."
        )
    config.out.mkdir(parents=True, exist_ok=True)
    settings = {name: str(value) for name, value in asdict(config).items()}
    (config.out / "config.json").write_text(json.dumps(settings, indent=2))
    make_frames(config)
    if config.processes == 1:
        train(config)
    else:
        torch.multiprocessing.spawn(_worker, args=(config,), nprocs=config.processes)  # type: ignore[attr-defined]
