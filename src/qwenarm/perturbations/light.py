"""Different light: the lamp moves, the room gets darker or brighter, and from strength 2 on the light is coloured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qwenarm.perturbations import Perturbation
from qwenarm.tasks.core.goal import Setup

LAMP_SHIFT_M = (0.4, 1.0, 1.6)
"""Maximum shift of the lamp, in m, by strength."""
MIN_LAMP_HEIGHT_M = 0.8
MIN_BRIGHTNESS = (0.85, 0.60, 0.38)
"""Brightness of a darker room relative to normal, by strength."""
MAX_BRIGHTNESS = (1.10, 1.25, 1.40)
"""Brightness of a brighter room relative to normal, by strength."""
TINT_STRENGTH = (0.0, 0.18, 0.40)
"""Share of one colour channel that is missing, by strength."""


def perturb(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """Replaces the lamp."""
    look, i = setup.scene.look, strength - 1
    angle = rng.uniform(-np.pi, np.pi)
    way = np.array([np.cos(angle), np.sin(angle), rng.uniform(-0.5, 0.2)])
    x, y, z = np.array(look.light_pos) + LAMP_SHIFT_M[i] * way
    level = MIN_BRIGHTNESS[i] if rng.random() < 0.5 else MAX_BRIGHTNESS[i]
    tint = 1 - TINT_STRENGTH[i] * rng.permutation([0.0, 0.5, 1.0])
    look = replace(
        look,
        light_pos=(float(x), float(y), float(max(z, MIN_LAMP_HEIGHT_M))),
        light=look.light * level,
        ambient=look.ambient * level,
        light_rgb=(float(tint[0]), float(tint[1]), float(tint[2])),
    )
    return replace(setup, scene=replace(setup.scene, look=look))


PERTURBATION = Perturbation(
    ("moved a little", "moved, dimmer or brighter, tinted", "dark or glaring, coloured"), perturb
)
