"""What an axis of change is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qwenarm.tasks._casting import Combos
from qwenarm.tasks._goal import Setup


def _same_setup(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    return setup


def _same_arm(arm: str, strength: int) -> str:
    return arm


def _same_combos(rng: np.random.Generator, combos: Combos | None, strength: int) -> Combos | None:
    return combos


@dataclass(frozen=True)
class Axis:
    """A registry entry. strengths: what 1, 2 and 3 do, in a few words each.

    Pure functions, of which most axes have only the first. change(rng, setup, strength) -> setup; arm(name, strength)
    -> name of the arm that plays; combos(rng, pairs, strength) -> colour x shape pairs from which a task is cast.
    """

    name: str
    doc: str
    strengths: tuple[str, str, str]
    change: Callable[[np.random.Generator, Setup, int], Setup] = _same_setup
    arm: Callable[[str, int], str] = _same_arm
    combos: Callable[[np.random.Generator, Combos | None, int], Combos | None] = _same_combos
