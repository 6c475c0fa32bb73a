"""The tour that the page plays by itself until somebody touches it: every family of tasks once, then from the start."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from qwenarm.live.requests import Choices

MODEL_TASKS = ("put", "stack", "sort", "deliver", "tidy", "refuse")
"""What the bundled model does in most cases; all other families are played by the oracle."""
TOUR_TITLE = "tour"
PAUSE_S = 5.0
"""How long the end of a run stays in sight."""
QUIET_S = 60.0
"""Time after the last touch before the tour goes on, in s."""
BEGINNING_S = 60.0
"""A stop that has not begun for so long, as its model does not answer or it was refused, is passed over."""


def tour(choices: Choices, model: str) -> Iterator[dict[str, Any]]:
    """The player's commands, without end."""
    for seed in count():
        for task in choices.levels:
            policy = "vlm" if task in MODEL_TASKS else "oracle"
            config = {"task": task, "policy": policy, "model": model, "level": 1}
            yield {"do": "play", "config": config, "seed": seed, "title": TOUR_TITLE}


class Schedule:
    """Says when the next stop of the tour is due. clock: seconds, for tests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._touched_at = self._ended_at = self._asked_at = -math.inf
        self._asked_after = -1

    def touch(self) -> None:
        """A visitor does something."""
        self._touched_at = self._clock()

    def is_due(self, playing: bool, run: int) -> bool:
        """Whether the next stop is to be asked for now; it counts as asked for then.

        Args:
            playing: Whether a run is played and goes on by itself.
            run: The number of the last one that has begun.
        """
        now = self._clock()
        is_beginning = run == self._asked_after and now - self._asked_at < BEGINNING_S
        if playing or is_beginning:
            self._ended_at = now
        if now - self._touched_at <= QUIET_S or now - self._ended_at <= PAUSE_S:
            return False
        self._asked_at, self._asked_after = now, run
        return True
