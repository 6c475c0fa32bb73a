"""The conveyor belt, and the parcels on it at the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.belt import BELT_TOP_M, Belt, run_belt
from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.scene import Area, Placement
from qwenarm.body.simulation import Body

PARCEL_BELT = Belt(0.43)
CONTAINER_AREA: Area = ((0.55, 0.71), (-0.28, 0.28))
"""Area of the containers beside the belt, x and y in m."""
FIRST_PARCEL_M, PARCEL_PITCH_M = 0.15, 0.098
"""Distance of the first parcel from the middle of the belt, and between neighbouring parcels, in m."""
POSITION_NOISE_M, PITCH_NOISE_M = 0.008, 0.003
"""Maximum deviation of a parcel from its place, across the belt and along it, in m."""
REACH_M = 0.33
"""Parcels further than this from the middle of the belt, in m, are out of reach."""
GUARD_DISTANCE_M, GUARD_HEIGHT_M = 0.17, 0.36
"""The belt stops while the tcp is closer than this to its middle line and lower than this above the table, in m."""


@dataclass
class Conveyor:
    """An event that runs the belt, except while the hand is above it, like a light curtain."""

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
    """Places objects in a row on the belt, the first one in front. ``direction`` is the belt's along y: 1 or -1."""
    row = []
    for i, spec in enumerate(specs):
        y = direction * (FIRST_PARCEL_M - PARCEL_PITCH_M * i + rng.uniform(-1, 1) * PITCH_NOISE_M)
        x = PARCEL_BELT.x + rng.uniform(-1, 1) * POSITION_NOISE_M
        yaw = float(rng.uniform(-max_turn_rad, max_turn_rad))
        row.append(Placement(spec, (float(x), float(y), BELT_TOP_M + spec.origin_height), yaw))
    return row
