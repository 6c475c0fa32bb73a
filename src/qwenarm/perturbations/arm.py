"""Another arm: the same one with another appearance, then one of another make, then that one painted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qwenarm.perturbations import Perturbation
from qwenarm.tasks.core.goal import Setup

TWIN_REPLACEMENTS = {"panda": ("mesh_panda", "ur5e", "ur5e"), "mesh_panda": ("panda", "ur5e", "ur5e")}
"""Replacements by strength, for arms that have a twin with the same joints."""
OTHER_REPLACEMENTS = ("panda", "panda", "mesh_panda")
"""Replacements by strength, for all other arms."""
PAINT_RGB = ((1.0, 0.55, 0.15), (0.35, 0.75, 0.40), (0.45, 0.45, 0.50), (0.55, 0.65, 1.0))
"""Colours of industrial arms: orange, green, graphite, blue."""


def arm(name: str, strength: int) -> str:
    return TWIN_REPLACEMENTS.get(name, OTHER_REPLACEMENTS)[strength - 1]


def perturb(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """Paints the arm at strength 3."""
    if strength < 3:
        return setup
    look = replace(setup.scene.look, arm_rgb=PAINT_RGB[int(rng.integers(len(PAINT_RGB)))])
    return replace(setup, scene=replace(setup.scene, look=look))


PERTURBATION = Perturbation(("another appearance, if there is one", "another make", "and painted"), perturb, arm)
