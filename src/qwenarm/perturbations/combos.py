"""Colour x shape pairs that the bundled model never saw in training: more and more of them, at strength 3 no others.

Another cast, hence another scene: this axis and its control share the seed, not the layout.
"""

from __future__ import annotations

import numpy as np

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import HELD_OUT, SHAPES
from qwenarm.perturbations._axis import Axis
from qwenarm.tasks.core.task import Combos

SEEN = (16, 8, 0)
"""By strength: so many of the pairs seen in training may appear beside the 8 unseen ones."""


def combos(rng: np.random.Generator, allowed: Combos | None, strength: int) -> Combos:
    """The unseen pairs, whatever was allowed, and a few of the allowed others."""
    others = sorted(set(allowed or [(c, s) for c in COLORS for s in SHAPES]) - HELD_OUT)
    kept = rng.permutation(len(others))[: SEEN[strength - 1]]
    return HELD_OUT | {others[i] for i in kept}


AXIS = Axis("combos", "Unseen pairs.", ("a third unseen", "half unseen", "all unseen"), combos=combos)
