"""Where things stand: the same objects in other places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qwenarm.body.scene import WORKSPACE, Area, Placement, are_apart, place_objects
from qwenarm.perturbations._axis import Axis
from qwenarm.tasks.core.task import Layout

NUDGE, TURN = 0.02, 0.5
"""At strength 1 a thing moves so far along x and y at most, m, and turns so far, rad."""
TRIES = 60
DRAWS = 16
"""Of so many layouts the most crowded is taken."""


def layout(rng: np.random.Generator, strength: int) -> Layout:
    return (_nudged, _elsewhere, _crowded)[strength - 1](rng)


def _nudged(rng: np.random.Generator) -> Layout:
    def move(placements: tuple[Placement, ...], areas: Mapping[str, Area]) -> tuple[Placement, ...]:
        moved = list(placements)
        for i, placement in enumerate(placements):
            for _ in range(TRIES):
                candidate = _shifted(rng, placement, areas.get(placement.spec.id, WORKSPACE))
                if all(are_apart(candidate, other) for j, other in enumerate(moved) if j != i):
                    moved[i] = candidate
                    break
        return tuple(moved)

    return move


def _shifted(rng: np.random.Generator, placement: Placement, area: Area) -> Placement:
    x, y, z = placement.pos
    x, y = x + rng.uniform(-NUDGE, NUDGE), y + rng.uniform(-NUDGE, NUDGE)
    (x_min, x_max), (y_min, y_max) = area
    margin = max(0.0, placement.spec.radius - 0.04)
    x = float(np.clip(x, x_min + margin, x_max - margin))
    y = float(np.clip(y, y_min + margin, y_max - margin))
    return replace(placement, pos=(x, y, z), yaw=placement.yaw + rng.uniform(-TURN, TURN))


def _elsewhere(rng: np.random.Generator) -> Layout:
    return lambda placements, areas: place_objects(rng, [placement.spec for placement in placements], areas=areas)


def _crowded(rng: np.random.Generator) -> Layout:
    elsewhere = _elsewhere(rng)
    return lambda placements, areas: min((elsewhere(placements, areas) for _ in range(DRAWS)), key=_spread)


def _spread(placements: tuple[Placement, ...]) -> float:
    """How far things stand from their common middle, m."""
    spots = np.array([placement.pos[:2] for placement in placements])
    return float(np.linalg.norm(spots - spots.mean(axis=0), axis=1).mean())


AXIS = Axis("layout", "Places.", ("a little beside", "all elsewhere", "elsewhere and crowded"), layout=layout)
