"""Other colours of table, floor, walls and arm, and from strength 2 on a pattern on the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from qwenarm.body.objects.decals import Decal
from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.scene import Look
from qwenarm.perturbations import Perturbation
from qwenarm.tasks.core.goal import Setup

Rgb = tuple[float, float, float]

COLOR_SHIFT = (0.10, 0.25, 0.45)
"""Maximum change of each channel of a colour, in 0..1, by strength."""
ARM_PAINT = (0.10, 0.40, 0.80)
"""Maximum share of one colour channel that the arm's paint lacks, by strength."""
COLOR_JITTER = (0.02, 0.04, 0.06)
"""By strength; see ``body.scene.Look``."""
PATTERN_CONTRAST = (0.0, 0.10, 0.28)
"""Difference in brightness between the pattern and the table, by strength; 0 for no pattern."""
PATTERN_STEP_M = (0.06, 0.12)
"""Minimum and maximum width of a stripe, in m."""
MIN_COLOR_DISTANCE = 0.40
"""Minimum distance of the table's colour from that of every object, in RGB of 0..1."""
MAX_TRIES = 20
TABLE_X_M, TABLE_Y_M = (-0.20, 1.04), (-0.60, 0.60)
"""Edges of the table's top, in m."""


def perturb(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """Draws new colours around the usual ones, and the pattern."""
    old, i = setup.scene.look, strength - 1
    object_rgb = np.array([COLOR_RGB[placement.spec.color] for placement in setup.scene.objects])
    look = replace(
        old,
        table_rgb=_unlike(rng, old.table_rgb, COLOR_SHIFT[i], object_rgb),
        floor_rgb=_shifted(rng, old.floor_rgb, COLOR_SHIFT[i]),
        wall_rgb=_shifted(rng, old.wall_rgb, COLOR_SHIFT[i]),
        arm_rgb=_rgb(1 - ARM_PAINT[i] * rng.permutation([0.0, rng.random(), 1.0])),
        color_jitter=COLOR_JITTER[i],
        jitter_seed=int(rng.integers(2**31)),
    )
    if PATTERN_CONTRAST[i]:
        look = replace(look, decals=(*_pattern(rng, look, PATTERN_CONTRAST[i]), *look.decals))
    return replace(setup, scene=replace(setup.scene, look=look))


def _unlike(rng: np.random.Generator, rgb: Rgb, width: float, object_rgb: np.ndarray) -> Rgb:
    """Returns a new colour from which all objects stand out, or the best one found."""
    tries = [_shifted(rng, rgb, width) for _ in range(MAX_TRIES)]
    distances = [np.linalg.norm(object_rgb - each, axis=1).min(initial=np.inf) for each in tries]
    clear = (each for each, distance in zip(tries, distances, strict=True) if distance > MIN_COLOR_DISTANCE)
    return next(clear, tries[int(np.argmax(distances))])


def _shifted(rng: np.random.Generator, rgb: Rgb, width: float) -> Rgb:
    """Returns a lighter or darker colour of another hue."""
    return _rgb(np.array(rgb) + width * (0.5 * rng.uniform(-1, 1) + rng.uniform(-1, 1, 3)))


def _rgb(channels: np.ndarray) -> Rgb:
    r, g, b = np.clip(channels, 0.03, 0.97)
    return float(r), float(g), float(b)


def _pattern(rng: np.random.Generator, look: Look, contrast: float) -> Iterator[Decal]:
    """Yields planks along x, stripes along y, or squares, in a lighter or darker shade of the table."""
    sign = 1 if sum(look.table_rgb) < 1.5 else -1
    rgb = _rgb(np.array(look.table_rgb) + sign * contrast * rng.uniform(0.7, 1.3, 3))
    kind, step = str(rng.choice(["planks", "stripes", "squares"])), rng.uniform(*PATTERN_STEP_M)
    xs = [TABLE_X_M] if kind == "planks" else list(_bands(TABLE_X_M, step))
    ys = [TABLE_Y_M] if kind == "stripes" else list(_bands(TABLE_Y_M, step))
    for row, (x0, x1) in enumerate(xs):
        for column, (y0, y1) in enumerate(ys):
            if (row + column) % 2 == 0:
                yield Decal(((x0 + x1) / 2, (y0 + y1) / 2, 0.0), ((x1 - x0) / 2, (y1 - y0) / 2), rgb)


def _bands(edges: tuple[float, float], step: float) -> Iterator[tuple[float, float]]:
    low, high = edges
    for start in np.arange(low, high - 1e-9, step):
        yield float(start), min(float(start) + step, high)


PERTURBATION = Perturbation(("other shades", "other colours, a pattern", "garish"), perturb)
