"""The tour that the page plays by itself until somebody touches it: every family of tasks once, then from the start."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from qwenarm.live.requests import Choices

MODEL_TASKS = ("put", "stack", "sort", "deliver", "tidy", "refuse")
"""What the bundled model does in most cases; all other families are played by the oracle."""
PAUSE_S = 5.0
"""How long the end of a run stays in sight."""
QUIET_S = 60.0
"""So long after the last touch the tour goes on."""


def tour(choices: Choices, model: str) -> Iterator[dict[str, Any]]:
    """The player's commands, without end."""
    for seed in count():
        for task in choices.levels:
            policy = "vlm" if task in MODEL_TASKS else "oracle"
            config = {"task": task, "policy": policy, "model": model, "level": 1}
            yield {"do": "play", "config": config, "seed": seed}
