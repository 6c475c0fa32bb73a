"""The lamp: where it stands, how bright it is, and of what colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qwenarm.perturbations._axis import Axis
from qwenarm.tasks.core.goal import Setup

WAY = (0.4, 1.0, 1.6)
"""By strength: how far the lamp is moved, m."""
DIMMED = (0.85, 0.60, 0.38)
"""By strength: the darkest room, as a share of the usual light."""
BRIGHT = (1.10, 1.25, 1.40)
"""By strength: the brightest."""
TINT = (0.0, 0.18, 0.40)
"""By strength: how much a channel of the lamp's colour may lack."""


def change(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """The lamp moves around the table, the room turns darker or brighter, and from strength 2 on coloured."""
    look, i = setup.scene.look, strength - 1
    angle = rng.uniform(-np.pi, np.pi)
    x, y, z = np.array(look.light_pos) + WAY[i] * np.array([np.cos(angle), np.sin(angle), rng.uniform(-0.5, 0.2)])
    level = DIMMED[i] if rng.random() < 0.5 else BRIGHT[i]
    tint = 1 - TINT[i] * rng.permutation([0.0, 0.5, 1.0])
    look = replace(
        look,
        light_pos=(float(x), float(y), float(max(z, 0.8))),
        light=look.light * level,
        ambient=look.ambient * level,
        light_rgb=(float(tint[0]), float(tint[1]), float(tint[2])),
    )
    return replace(setup, scene=replace(setup.scene, look=look))


AXIS = Axis(
    "light", "The lamp.", ("moved a little", "moved, dimmer or brighter, tinted", "dark or glaring, coloured"), change
)
