"""Flat painted rectangles on the table: patterns, and the letters of a note. All renderers draw them; nothing touches
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

from qwenarm.body.rotations import about_z

LAYER_THICKNESS_M = 0.0004
"""Thickness of the lowest layer, in m: far below what the skills consider an object, far above errors of depth."""


@dataclass(frozen=True)
class Decal:
    """A rectangle on the table.

    Attributes:
        pos: (3,) position of its middle, in m.
        half: Half its width and half its height, in m.
        yaw: Direction of its width, in rad about z.
        layer: A higher layer covers a lower one.
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
        quat=about_z(decal.yaw), rgba=[*decal.rgb, 1.0],
        contype=0, conaffinity=0,
    )  # fmt: skip
