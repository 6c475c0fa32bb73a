"""Flat painted rectangles: patterns on the table, letters on a note. Seen by every renderer, touched by nothing."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

THICKNESS = 0.0004
"""Of the lowest layer, m: far below what skills take for a thing, and far above what OpenGL confuses in depth."""


@dataclass(frozen=True)
class Decal:
    """A rectangle that lies on the table or stands on it. pos: (3,) m of its middle; half: half width and height, m.

    yaw: of its width, rad about z. lean: by which its upper edge is raised from lying (0) to standing (pi / 2), rad.
    layer: higher ones cover lower ones.
    """

    pos: tuple[float, float, float]
    half: tuple[float, float]
    rgb: tuple[float, float, float]
    yaw: float = 0.0
    lean: float = 0.0
    layer: int = 0

    def axes(self) -> np.ndarray:
        """(3, 3) rotation whose columns are along the width, along the height, and out of the painted face."""
        turn, rise = np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, np.array([0.0, 0.0, 1.0]), self.yaw)
        mujoco.mju_axisAngle2Quat(rise, np.array([1.0, 0.0, 0.0]), self.lean)
        mujoco.mju_mulQuat(turn, turn.copy(), rise)
        mat = np.zeros(9)
        mujoco.mju_quat2Mat(mat, turn)
        return mat.reshape(3, 3)


def add_decal(world: mujoco.MjsBody, decal: Decal) -> None:
    """Adds it to the world body: a thin box that collides with nothing."""
    thick = THICKNESS * (1 + decal.layer) / 2
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, decal.axes().flatten())
    world.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=np.array(decal.pos) + thick * decal.axes()[:, 2],
        quat=quat,
        size=[*decal.half, thick],
        rgba=[*decal.rgb, 1.0],
        contype=0,
        conaffinity=0,
    )
