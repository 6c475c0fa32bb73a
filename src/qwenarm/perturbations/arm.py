"""Another arm, from one that differs in its skin alone to one of other make and colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qwenarm.perturbations._axis import Axis
from qwenarm.tasks.core.goal import Setup

OTHERS = {"panda": ("mesh_panda", "ur5e", "ur5e"), "mesh_panda": ("panda", "ur5e", "ur5e")}
"""By strength, for an arm that has a twin with the same joints and another skin; all others become a Panda."""
REST = ("panda", "panda", "mesh_panda")
PAINTS = ((1.0, 0.55, 0.15), (0.35, 0.75, 0.40), (0.45, 0.45, 0.50), (0.55, 0.65, 1.0))
"""Of industrial arms at strength 3: orange, green, graphite, blue."""


def arm(name: str, strength: int) -> str:
    return OTHERS.get(name, REST)[strength - 1]


def change(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """At strength 3 painted, too."""
    if strength < 3:
        return setup
    look = replace(setup.scene.look, arm_rgb=PAINTS[int(rng.integers(len(PAINTS)))])
    return replace(setup, scene=replace(setup.scene, look=look))


AXIS = Axis("arm", "Another arm.", ("another skin, if there is one", "another make", "and painted"), change, arm)
