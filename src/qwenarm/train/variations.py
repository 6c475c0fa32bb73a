"""Other words for a decision that stays the same: typing errors, and other names for what no picture shows.

A model reads a demonstration more than once, and learns by heart what it cannot read. In other words it is a new one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import GRASPABLE_SHAPES, HELD_OUT
from qwenarm.perturbations.words import mistyped
from qwenarm.train.batches import Example
from qwenarm.train.links import NOTED_PATTERN

TASK_PATTERN = re.compile(r"(?<=\nTask: ).*")
HISTORY_PATTERN = re.compile(r"(?<=\nHistory: ).*")
RENAMED_SHARE = 0.7
"""Share of the decisions about hidden things in which these get other names."""
NAMES = [f"{c} {s}" for c in COLOR_RGB for s in sorted(GRASPABLE_SHAPES) if (c, s) not in HELD_OUT]


def varied(example: Example, rng: np.random.Generator, typing_errors: float) -> Example:
    """Returns a decision in other words, or the same object if nothing changes.

    Args:
        example: The decision.
        rng: Draws the words.
        typing_errors: How likely the task gets typing errors.
    """
    shard, line = example
    if rng.random() < RENAMED_SHARE and (others := _other_names(example, rng)):
        line = _with_names(line, others)
    if rng.random() < typing_errors:
        line = _with_text(line, lambda text: TASK_PATTERN.sub(lambda task: mistyped(rng, task[0]), text, count=1))
    return example if line is example[1] else (shard, line)


def _other_names(example: Example, rng: np.random.Generator) -> dict[str, str]:
    """Returns new names for the things that a note in the history names and that no picture shows, by name."""
    shard, line = example
    text = line["messages"][-1]["content"][-1]["text"]
    task, history = (found[0] if (found := pattern.search(text)) else "" for pattern in (TASK_PATTERN, HISTORY_PATTERN))
    noted = {found[1] for found in NOTED_PATTERN.finditer(history)}
    if not noted.intersection(NAMES) or len(line["images"]) > len(line["masks"]):
        return {}
    shown = set(np.unique(np.concatenate([mask.ravel() for mask in shard.pictures(line["masks"])])))
    labels = [thing["label"] for thing in line["objects"]]
    hidden = [name for k, name in enumerate(labels) if k + 1 not in shown and name in noted.intersection(NAMES)]
    # What the task names in words of its own, or with a typing error, would keep that name there.
    named = [name for name in hidden if (name in task) == (name in line["answer"])]
    free = [name for name in NAMES if name not in labels and name not in text]
    return dict(zip(named, rng.permutation(free).tolist(), strict=False))


def _with_names(line: Mapping[str, Any], others: Mapping[str, str]) -> dict[str, Any]:
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, others))})\b")

    def renamed(text: str) -> str:
        return pattern.sub(lambda name: others[name[0]], text)

    return {**_with_text(line, renamed), "answer": renamed(line["answer"])}


def _with_text(line: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Returns the decision with another text behind its pictures."""
    *before, last = line["messages"]
    *pictures, said = last["content"]
    content = [*pictures, {**said, "text": change(said["text"])}]
    return {**line, "messages": [*before, {**last, "content": content}]}
