"""Things that nobody asked for stand among the others: mugs, pens, books, in colours that no task uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qwenarm.body.objects.distractors import DISTRACTOR_PARTS, DISTRACTOR_RGB, Distractor
from qwenarm.body.scene import OBJECT_GAP_M, WORKSPACE_X, WORKSPACE_Y, Area, Placement, Scene
from qwenarm.perturbations._axis import Axis
from qwenarm.tasks.core.goal import Setup

COUNT = (1, 3, 6)
"""By strength, as far as there is room."""
EDGE = 0.05
"""So far beyond the workspace they may stand, m."""
TRIES = 150


def change(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """Puts them where they touch nothing and hide nothing from the front."""
    props = list(setup.scene.distractors)
    objects = [*setup.scene.objects, *(setup.goal_scene.objects if setup.goal_scene else ())]
    kinds = rng.permutation(list(DISTRACTOR_PARTS))[: COUNT[strength - 1]]
    for kind in kinds:
        color = str(rng.choice(list(DISTRACTOR_RGB)))
        for _ in range(TRIES):
            x = rng.uniform(WORKSPACE_X[0] - EDGE, WORKSPACE_X[1] + EDGE)
            y = rng.uniform(WORKSPACE_Y[0] - EDGE, WORKSPACE_Y[1] + EDGE)
            prop = Distractor(str(kind), color, float(x), float(y), float(rng.uniform(-np.pi, np.pi)))
            if _has_room(prop, objects, props) and not _in_the_way(prop, setup.scene):
                props.append(prop)
                break
    return replace(setup, scene=replace(setup.scene, distractors=tuple(props)))


def _has_room(prop: Distractor, placements: Sequence[Placement], props: Sequence[Distractor]) -> bool:
    others = [(*p.pos[:2], p.spec.radius, p.spec.height) for p in placements]
    others += [(p.x, p.y, p.radius, p.height) for p in props]
    return all(_apart(prop, *other) for other in others)


def _in_the_way(prop: Distractor, scene: Scene) -> bool:
    """Of the belt, or of what comes out where the scene is kept free."""
    carried = scene.belt is not None and scene.belt.carries(prop.x, prop.radius)
    return carried or any(_meets(prop, area) for area in scene.reserved_areas)


def _meets(prop: Distractor, area: Area) -> bool:
    (x_min, x_max), (y_min, y_max) = area
    dx, dy = max(x_min - prop.x, prop.x - x_max, 0.0), max(y_min - prop.y, prop.y - y_max, 0.0)
    return float(np.hypot(dx, dy)) < prop.radius


def _apart(prop: Distractor, x: float, y: float, radius: float, height: float) -> bool:
    """As ``scene.apart``: room for the fingers, and neither in front of the other (the camera is at +x)."""
    near, far = (prop.height, height) if prop.x > x else (height, prop.height)
    dx = max(0.0, abs(prop.x - x) - 0.6 * max(0.0, near - 0.5 * far))
    return float(np.hypot(dx, prop.y - y)) > prop.radius + radius + OBJECT_GAP_M


AXIS = Axis("distractors", "More things.", ("one more thing", "three", "six"), change)
