"""What an axis of change is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qwenarm.tasks.core.goal import Setup
from qwenarm.tasks.core.task import Combos, Layout


def _same_setup(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    return setup


def _same_arm(arm: str, strength: int) -> str:
    return arm


def _same_combos(rng: np.random.Generator, combos: Combos | None, strength: int) -> Combos | None:
    return combos


def _same_layout(rng: np.random.Generator, strength: int) -> Layout | None:
    return None


@dataclass(frozen=True)
class Axis:
    """A registry entry. strengths: what 1, 2 and 3 do, in a few words each.

    Pure functions, of which each axis has one or two. change(rng, setup, strength) -> setup. arm(name, strength) ->
    name of the arm that plays. combos(rng, pairs, strength) -> colour x shape pairs from which a task is cast.
    layout(rng, strength) -> what moves its objects before the task goes on to words and goal.
    """

    name: str
    doc: str
    strengths: tuple[str, str, str]
    change: Callable[[np.random.Generator, Setup, int], Setup] = _same_setup
    arm: Callable[[str, int], str] = _same_arm
    combos: Callable[[np.random.Generator, Combos | None, int], Combos | None] = _same_combos
    layout: Callable[[np.random.Generator, int], Layout | None] = _same_layout
