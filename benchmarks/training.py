"""How fast demonstrations are collected and learned from on a CPU core, compared with transformers' plain training
step.

Collecting: the oracle plays episodes of three families; measured are decisions per minute and bytes per decision on
disk. Learning: the package's loop for small models, with all its supervision, against the same decisions in
transformers' own forward pass in float32 with its loss and AdamW, the defaults of its Trainer. Goal: at least 3
times as many decisions per second. One thread, medians of CPU time, which is hardly affected by other load.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3VLForConditionalGeneration

from qwenarm.mind.checkpoints.load import bundled_folder, locate, quiet
from qwenarm.mind.inference.preprocessing import PromptEncoder
from qwenarm.train.batches import Reader, values_in
from qwenarm.train.collect import collect_all, plan_jobs
from qwenarm.train.dataset import read_shards
from qwenarm.train.learner import Learner, Settings
from qwenarm.train.lora import Collator
from qwenarm.train.sft import Corpus
from qwenarm.types import RunConfig

RESULTS_FOLDER = Path(__file__).parent / "results"
COLLECTED_TASKS = ("put", "sort", "shelf")
EPISODE_COUNT = 12
BATCH_SIZE, ROUND_COUNT = 64, 5
MICRO_BATCH = 16
SPEEDUP_GOAL = 3.0


def cpu_seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def plain_step(model: Any, optimizer: torch.optim.Optimizer, collate: Collator, examples: list[Any]) -> None:
    """Makes one step on the examples in micro-batches of the same size."""
    for start in range(0, len(examples), MICRO_BATCH):
        loss = model(**collate(examples[start : start + MICRO_BATCH])).loss
        (loss * MICRO_BATCH / len(examples)).backward()
    optimizer.step()
    optimizer.zero_grad()


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = plan_jobs(RunConfig(policy="oracle", combos="seen"), COLLECTED_TASKS, [1], [""], EPISODE_COUNT)
        began = time.process_time()
        decisions = sum(collect_all(jobs, folder))
        collecting = time.process_time() - began
        size = sum(path.stat().st_size for path in folder.iterdir())
        shards = read_shards([folder])
        reader = Reader(PromptEncoder(locate("bundled")), values_in(shards))
        corpus = Corpus(shards, reader, {})
        with quiet():
            learner = Learner(bundled_folder(), reader, Settings())
            plain: Any = Qwen3VLForConditionalGeneration.from_pretrained(bundled_folder(), dtype=torch.float32)
        optimizer = torch.optim.AdamW(plain.parameters(), 1e-4)
        collate = Collator(reader, plain.config.vision_config, 0)
        ours, theirs = list[float](), list[float]()
        for step in range(ROUND_COUNT):
            drawn = corpus.draw([step], BATCH_SIZE)
            corpus.batches(drawn)  # fills the cache of tokens, as it is in all but a run's first steps
            ours.append(cpu_seconds(lambda drawn=drawn: learner.learn(corpus.batches(drawn))))
            examples = [corpus.examples[i] for i in drawn]
            theirs.append(cpu_seconds(lambda examples=examples: plain_step(plain, optimizer, collate, examples)))
    rate, plain_rate = (BATCH_SIZE / statistics.median(seconds) for seconds in (ours, theirs))
    found = {
        "decisions_collected_per_cpu_minute": round(60 * decisions / collecting),
        "bytes_per_decision": round(size / decisions),
        "decisions_learned_per_cpu_second": round(rate, 1),
        "plain_decisions_learned_per_cpu_second": round(plain_rate, 1),
        "speedup": round(rate / plain_rate, 2),
    }
    (RESULTS_FOLDER / "training.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    print("goal", "met" if rate / plain_rate >= SPEEDUP_GOAL else "missed", f"({SPEEDUP_GOAL:g} x)")


if __name__ == "__main__":
    main()
