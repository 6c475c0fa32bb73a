"""A running belt, and what lies on it at the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.belt import BELT_TOP_M, Belt, run_belt
from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.scene import Area, Placement
from qwenarm.body.simulation import Body

BELT = Belt(0.43)
CONTAINER_AREA: Area = ((0.55, 0.71), (-0.28, 0.28))
"""Where containers stand beside the belt, x and y in metres."""
FIRST_PARCEL_M, PARCEL_PITCH_M = 0.15, 0.098
"""Distance of the foremost parcel from the middle of the belt, and from one parcel to the next."""
POSITION_NOISE_M, PITCH_NOISE_M = 0.008, 0.003
"""How far a parcel is from its place, across the belt and along it."""
REACH_M = 0.33
"""What is further than this from the middle of the belt is out of reach."""
GUARD_DISTANCE_M, GUARD_HEIGHT_M = 0.17, 0.36
"""The belt stands still while the tcp is closer than this to its middle line and lower than this above the table."""


@dataclass
class Conveyor:
    """The event that keeps the belt running, unless the hand is over it, as behind a light curtain."""

    belt: Belt
    speed: float  # m/s along y

    def step(self, body: Body) -> str | None:
        tcp = body.tcp_pos
        hand = abs(float(tcp[0]) - self.belt.x) < GUARD_DISTANCE_M and float(tcp[2]) < GUARD_HEIGHT_M
        run_belt(body.model, body.data, 0.0 if hand else self.speed)
        return None


def row_on_belt(
    rng: np.random.Generator, specs: Sequence[ObjectSpec], direction: float, max_turn_rad: float
) -> list[Placement]:
    """Objects in a row on the belt, the first one foremost. ``direction``: 1 or -1, where the belt runs along y."""
    row = []
    for i, spec in enumerate(specs):
        y = direction * (FIRST_PARCEL_M - PARCEL_PITCH_M * i + rng.uniform(-1, 1) * PITCH_NOISE_M)
        x = BELT.x + rng.uniform(-1, 1) * POSITION_NOISE_M
        yaw = float(rng.uniform(-max_turn_rad, max_turn_rad))
        row.append(Placement(spec, (float(x), float(y), BELT_TOP_M + spec.origin_height), yaw))
    return row
