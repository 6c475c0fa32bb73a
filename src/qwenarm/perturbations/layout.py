"""Another layout: the same objects slightly moved, in other places, or crowded together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qwenarm.body.reach import Reach
from qwenarm.body.scene import WORKSPACE_AREA, Area, Placement, are_apart, place_objects
from qwenarm.perturbations import Perturbation
from qwenarm.tasks.core.task import Layout

MAX_SHIFT_M, MAX_TURN_RAD = 0.02, 0.5
"""Maximum shift of an object along x and y, in m, and maximum rotation, in rad, at strength 1."""
MAX_TRIES = 60
LAYOUT_DRAWS = 16
"""Number of layouts that are drawn to choose the most crowded one."""


def layout(rng: np.random.Generator, strength: int) -> Layout:
    return (_nudged, _elsewhere, _crowded)[strength - 1](rng)


def _nudged(rng: np.random.Generator) -> Layout:
    def move(
        placements: tuple[Placement, ...], areas: Mapping[str, Area], reach: Reach | None
    ) -> tuple[Placement, ...]:
        moved = list(placements)
        for i, placement in enumerate(placements):
            for _ in range(MAX_TRIES):
                candidate = _shifted(rng, placement, areas.get(placement.spec.id, WORKSPACE_AREA))
                reached = reach is None or candidate.pos[:2] in reach
                if reached and all(are_apart(candidate, other) for j, other in enumerate(moved) if j != i):
                    moved[i] = candidate
                    break
        return tuple(moved)

    return move


def _shifted(rng: np.random.Generator, placement: Placement, area: Area) -> Placement:
    x, y, z = placement.pos
    x, y = x + rng.uniform(-MAX_SHIFT_M, MAX_SHIFT_M), y + rng.uniform(-MAX_SHIFT_M, MAX_SHIFT_M)
    (x_min, x_max), (y_min, y_max) = area
    margin = max(0.0, placement.spec.radius - 0.04)
    x = float(np.clip(x, x_min + margin, x_max - margin))
    y = float(np.clip(y, y_min + margin, y_max - margin))
    return replace(placement, pos=(x, y, z), yaw=placement.yaw + rng.uniform(-MAX_TURN_RAD, MAX_TURN_RAD))


def _elsewhere(rng: np.random.Generator) -> Layout:
    return lambda placements, areas, reach: place_objects(rng, [p.spec for p in placements], areas=areas, reach=reach)


def _crowded(rng: np.random.Generator) -> Layout:
    elsewhere = _elsewhere(rng)
    return lambda *given: min((elsewhere(*given) for _ in range(LAYOUT_DRAWS)), key=_spread)


def _spread(placements: tuple[Placement, ...]) -> float:
    """Returns the mean distance of the objects from their common middle, in m."""
    spots = np.array([placement.pos[:2] for placement in placements])
    return float(np.linalg.norm(spots - spots.mean(axis=0), axis=1).mean())


PERTURBATION = Perturbation(("a little beside", "all elsewhere", "elsewhere and crowded"), layout=layout)
