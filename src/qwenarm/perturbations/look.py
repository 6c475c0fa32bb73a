"""What table, floor, walls and arm look like: other colours, and from strength 2 on a pattern on the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from qwenarm.body.objects.decals import Decal
from qwenarm.body.objects.markings import COLORS
from qwenarm.body.scene import Look
from qwenarm.perturbations._axis import Axis
from qwenarm.tasks.core.goal import Setup

Rgb = tuple[float, float, float]

SHIFT = (0.10, 0.25, 0.45)
"""By strength: how far each channel of a colour may move."""
PAINT = (0.10, 0.40, 0.80)
"""By strength: how much a channel of the arm's paint may lack."""
CONTRAST = (0.0, 0.10, 0.28)
"""By strength: of the pattern with the table."""
CLEAR = 0.40
"""The table's colour is so far from that of every thing, as a distance of RGB in 0..1."""
TRIES = 20
TABLE_X, TABLE_Y = (-0.20, 1.04), (-0.60, 0.60)
"""Edges of the table's top, m."""


def change(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """New colours all over, around the usual ones; a pattern from strength 2 on."""
    old, i = setup.scene.look, strength - 1
    things = np.array([COLORS[placement.spec.color] for placement in setup.scene.objects])
    look = replace(
        old,
        table_rgb=_unlike(rng, old.table_rgb, SHIFT[i], things),
        floor_rgb=_shifted(rng, old.floor_rgb, SHIFT[i]),
        wall_rgb=_shifted(rng, old.wall_rgb, SHIFT[i]),
        arm_rgb=_rgb(1 - PAINT[i] * rng.permutation([0.0, rng.random(), 1.0])),
        color_jitter=(0.02, 0.04, 0.06)[i],
        jitter_seed=int(rng.integers(2**31)),
    )
    if CONTRAST[i]:
        look = replace(look, decals=(*_pattern(rng, look, CONTRAST[i]), *look.decals))
    return replace(setup, scene=replace(setup.scene, look=look))


def _unlike(rng: np.random.Generator, rgb: Rgb, width: float, things: np.ndarray) -> Rgb:
    """A new colour from which all things stand out; of many tries the best, if there is none."""
    tries = [_shifted(rng, rgb, width) for _ in range(TRIES)]
    away = [np.linalg.norm(things - one, axis=1).min(initial=np.inf) for one in tries]
    return next((one for one, far in zip(tries, away, strict=True) if far > CLEAR), tries[int(np.argmax(away))])


def _shifted(rng: np.random.Generator, rgb: Rgb, width: float) -> Rgb:
    """Lighter or darker, and of another hue."""
    return _rgb(np.array(rgb) + width * (0.5 * rng.uniform(-1, 1) + rng.uniform(-1, 1, 3)))


def _rgb(channels: np.ndarray) -> Rgb:
    r, g, b = np.clip(channels, 0.03, 0.97)
    return float(r), float(g), float(b)


def _pattern(rng: np.random.Generator, look: Look, contrast: float) -> Iterator[Decal]:
    """Planks along x, stripes along y, or squares, 6 to 12 cm wide, in a lighter or darker shade of the table."""
    sign = 1 if sum(look.table_rgb) < 1.5 else -1
    rgb = _rgb(np.array(look.table_rgb) + sign * contrast * rng.uniform(0.7, 1.3, 3))
    kind, step = str(rng.choice(["planks", "stripes", "squares"])), rng.uniform(0.06, 0.12)
    xs = [TABLE_X] if kind == "planks" else list(_bands(TABLE_X, step))
    ys = [TABLE_Y] if kind == "stripes" else list(_bands(TABLE_Y, step))
    for row, (x0, x1) in enumerate(xs):
        for column, (y0, y1) in enumerate(ys):
            if (row + column) % 2 == 0:
                yield Decal(((x0 + x1) / 2, (y0 + y1) / 2, 0.0), ((x1 - x0) / 2, (y1 - y0) / 2), rgb)


def _bands(edges: tuple[float, float], step: float) -> Iterator[tuple[float, float]]:
    low, high = edges
    for start in np.arange(low, high - 1e-9, step):
        yield float(start), min(float(start) + step, high)


AXIS = Axis("look", "Colours and patterns.", ("other shades", "other colours, a pattern", "garish"), change)
