"""Flat painted rectangles on the table: patterns, and the letters of a note. Every renderer draws them; nothing touches
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco

LAYER_THICKNESS_M = 0.0004
"""Thickness of the lowest layer: far below what the skills take for an object, far above the depth buffer's error."""


@dataclass(frozen=True)
class Decal:
    """A rectangle that lies on the table.

    pos: (3,) m, its middle; half: half width and half height, m; yaw: direction of its width, rad about z. A higher
    layer covers a lower one.
    """

    pos: tuple[float, float, float]
    half: tuple[float, float]
    rgb: tuple[float, float, float]
    yaw: float = 0.0
    layer: int = 0


def add_decal(world: mujoco.MjsBody, decal: Decal) -> None:
    """Adds the decal to the world body as a thin box that collides with nothing."""
    half_thickness = LAYER_THICKNESS_M * (1 + decal.layer) / 2
    x, y, z = decal.pos
    world.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, pos=[x, y, z + half_thickness], size=[*decal.half, half_thickness],
        quat=[math.cos(decal.yaw / 2), 0, 0, math.sin(decal.yaw / 2)], rgba=[*decal.rgb, 1.0],
        contype=0, conaffinity=0,
    )  # fmt: skip
