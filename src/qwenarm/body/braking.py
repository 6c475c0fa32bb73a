"""How joints come to rest when they brake as hard as they may.

Everything is counted in control periods: a step is what a joint moves in one, rad, and a gain is by how much the step
may change from one to the next, rad. Numbers are for one joint, arrays (n,) have one for each.
"""

from __future__ import annotations

import math

import numpy as np


def stoppable_step(distance: float, gain: float) -> float:
    """The largest step after which a joint that brakes still stops within a distance >= 0.

    A step s and the braking behind it, s + (s - g) + (s - 2 g) + ..., add up to s^2 / 2g + s / 2 + g / 8 at most, with
    gain g: for s = 7 and g = 2, to 7 + 5 + 3 + 1 = 16. The result is the s for which this bound is the distance; below
    g / 2, where the bound is too cautious, it is the distance itself, because the next step is zero.
    If s is the largest step for a distance, s - g is the largest one for what is left of it: a joint that keeps to
    this limit now can keep to it in all later periods.
    """
    return max(gain * (math.sqrt(2 * distance / gain) - 0.5), min(distance, gain / 2))


def braking_distance(step: float, gain: float) -> float:
    """How far a joint moves while it brakes behind a step >= 0: where its ``braking_path`` ends."""
    periods = step // gain
    return periods * (step - gain * (periods + 1) / 2)


def braked(step: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """The next step of joints that brake."""
    return np.sign(step) * np.maximum(np.abs(step) - gain, 0.0)


def braking_path(step: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """(periods, n): how far each joint has moved after each further period of braking behind a step."""
    periods = np.arange(1, int((np.abs(step) / gain).max()) + 1)[:, None]
    return np.cumsum(np.sign(step) * np.maximum(np.abs(step) - periods * gain, 0.0), axis=0)
