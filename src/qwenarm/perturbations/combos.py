"""Colour and shape pairs that the bundled model never saw in training: a third, half, or all of the objects.

The scene differs as well: a perturbed episode and its control share the seed, but neither objects nor layout.
"""

from __future__ import annotations

import numpy as np

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import HELD_OUT, OBJECT_SHAPES
from qwenarm.perturbations import Perturbation
from qwenarm.tasks.core.task import Combos

SEEN_PAIRS = (16, 8, 0)
"""Number of pairs from training that may appear besides the 8 unseen ones, by strength."""


def combos(rng: np.random.Generator, allowed: Combos | None, strength: int) -> Combos:
    """Returns all unseen pairs, whether or not they were allowed before, and a few of the other allowed ones."""
    others = sorted(set(allowed or [(c, s) for c in COLOR_RGB for s in OBJECT_SHAPES]) - HELD_OUT)
    kept = rng.permutation(len(others))[: SEEN_PAIRS[strength - 1]]
    return HELD_OUT | {others[i] for i in kept}


PERTURBATION = Perturbation(("a third unseen", "half unseen", "all unseen"), combos=combos)
