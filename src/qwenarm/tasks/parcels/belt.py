"""A running belt, and what lies on it when an episode begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.belt import TOP, Belt, wind
from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.scene import Area, Placement
from qwenarm.body.simulation import Body

BELT = Belt(0.43)
BESIDE: Area = ((0.55, 0.71), (-0.28, 0.28))
"""Where there is room for containers, m."""
FIRST, PITCH = 0.15, 0.098
"""Where the first thing on the belt begins, m along it, and how far behind it each of the others does, m."""
REACH = 0.33
"""What the belt has carried further than this from the middle of the table, m, is out of reach."""
CURTAIN, HIGH = 0.17, 0.36
"""The belt stands still while the tcp is nearer to its middle than this across the table, m, and lower than that, m."""


@dataclass
class Conveyor:
    """Keeps the belt running, m/s along y, unless a hand is over it: as behind a light curtain."""

    belt: Belt
    speed: float

    def step(self, body: Body) -> str | None:
        tcp = body.tcp_pos
        hand = abs(float(tcp[0]) - self.belt.x) < CURTAIN and float(tcp[2]) < HIGH
        wind(body.model, body.data, 0.0 if hand else self.speed)
        return None


def in_a_row(rng: np.random.Generator, specs: Sequence[ObjectSpec], way: float, turn: float) -> list[Placement]:
    """The things on the belt, the first one foremost. way: 1 or -1, where it runs along y; turn: rad, at most."""
    row = []
    for i, spec in enumerate(specs):
        y = way * (FIRST - PITCH * i + rng.uniform(-1, 1) * 0.003)
        x = BELT.x + rng.uniform(-1, 1) * 0.008
        row.append(Placement(spec, (float(x), float(y), TOP + spec.origin_height), float(rng.uniform(-turn, turn))))
    return row
