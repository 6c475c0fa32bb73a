"""Mugs, pens, books and the like among the objects, in colours that no task uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qwenarm.body.objects.distractors import DISTRACTOR_PARTS, DISTRACTOR_RGB, Distractor
from qwenarm.body.scene import OBJECT_GAP_M, WORKSPACE_X, WORKSPACE_Y, Area, Placement, Scene
from qwenarm.perturbations import Perturbation
from qwenarm.tasks.core.goal import Setup

DISTRACTOR_COUNT = (1, 3, 6)
"""Maximum number of distractors, by strength."""
WORKSPACE_MARGIN_M = 0.05
"""Distance outside the workspace at which distractors may stand, in m."""
MAX_TRIES = 150


def perturb(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """Places distractors where they touch nothing and hide nothing from the front camera."""
    placed = list(setup.scene.distractors)
    objects = [*setup.scene.objects, *(setup.goal_scene.objects if setup.goal_scene else ())]
    kinds = rng.permutation(list(DISTRACTOR_PARTS))[: DISTRACTOR_COUNT[strength - 1]]
    for kind in kinds:
        color = str(rng.choice(list(DISTRACTOR_RGB)))
        for _ in range(MAX_TRIES):
            x = rng.uniform(WORKSPACE_X[0] - WORKSPACE_MARGIN_M, WORKSPACE_X[1] + WORKSPACE_MARGIN_M)
            y = rng.uniform(WORKSPACE_Y[0] - WORKSPACE_MARGIN_M, WORKSPACE_Y[1] + WORKSPACE_MARGIN_M)
            item = Distractor(str(kind), color, float(x), float(y), float(rng.uniform(-np.pi, np.pi)))
            if _has_room(item, objects, placed) and not _in_the_way(item, setup.scene):
                placed.append(item)
                break
    return replace(setup, scene=replace(setup.scene, distractors=tuple(placed)))


def _has_room(item: Distractor, placements: Sequence[Placement], placed: Sequence[Distractor]) -> bool:
    others = [(*p.pos[:2], p.spec.radius, p.spec.height) for p in placements]
    others += [(p.x, p.y, p.radius, p.height) for p in placed]
    return all(_apart(item, *other) for other in others)


def _in_the_way(item: Distractor, scene: Scene) -> bool:
    """Returns whether a distractor would stand on the belt or in an area that the scene reserves."""
    carried = scene.belt is not None and scene.belt.carries(item.x, item.radius)
    return carried or any(_overlaps(item, area) for area in scene.reserved_areas)


def _overlaps(item: Distractor, area: Area) -> bool:
    (x_min, x_max), (y_min, y_max) = area
    dx, dy = max(x_min - item.x, item.x - x_max, 0.0), max(y_min - item.y, item.y - y_max, 0.0)
    return float(np.hypot(dx, dy)) < item.radius


def _apart(item: Distractor, x: float, y: float, radius: float, height: float) -> bool:
    """Returns whether there is room for the fingers between the two and neither hides the other, like ``are_apart``."""
    near, far = (item.height, height) if item.x > x else (height, item.height)
    dx = max(0.0, abs(item.x - x) - 0.6 * max(0.0, near - 0.5 * far))
    return float(np.hypot(dx, item.y - y)) > item.radius + radius + OBJECT_GAP_M


PERTURBATION = Perturbation(("one more thing", "three", "six"), perturb)
