"""Objects that no task uses, which are in the way or in the picture. Free bodies made of a few primitives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from qwenarm.body.objects.spec import DENSITY_KG_PER_M3, PLAIN_CONTACT
from qwenarm.body.rotations import about_z

BOX_GEOM, CYLINDER_GEOM = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
Rgb = tuple[float, float, float]
Part = tuple[mujoco.mjtGeom, tuple[float, ...], tuple[float, float, float], float, bool]
"""Geom, size in m, middle above the table in the object's frame in m, yaw in rad, and whether it is dark."""

DISTRACTOR_RGB: dict[str, Rgb] = {
    "pink": (0.93, 0.52, 0.68),
    "brown": (0.42, 0.26, 0.15),
    "grey": (0.50, 0.52, 0.54),
    "turquoise": (0.20, 0.72, 0.70),
    "beige": (0.85, 0.76, 0.60),
}
"""Colours that no object of a task has."""
DISTRACTOR_PARTS: dict[str, tuple[Part, ...]] = {
    "mug": (
        (CYLINDER_GEOM, (0.030, 0.034, 0), (0, 0, 0.034), 0, False),
        (CYLINDER_GEOM, (0.026, 0.001, 0), (0, 0, 0.068), 0, True),
        (BOX_GEOM, (0.010, 0.004, 0.004), (0.038, 0, 0.054), 0, False),
        (BOX_GEOM, (0.010, 0.004, 0.004), (0.038, 0, 0.018), 0, False),
        (BOX_GEOM, (0.004, 0.004, 0.022), (0.048, 0, 0.036), 0, False),
    ),
    "bottle": (
        (CYLINDER_GEOM, (0.021, 0.030, 0), (0, 0, 0.030), 0, False),
        (CYLINDER_GEOM, (0.009, 0.010, 0), (0, 0, 0.070), 0, False),
        (CYLINDER_GEOM, (0.011, 0.005, 0), (0, 0, 0.083), 0, True),
    ),
    "sponge": (
        (BOX_GEOM, (0.045, 0.028, 0.010), (0, 0, 0.010), 0, False),
        (BOX_GEOM, (0.045, 0.028, 0.003), (0, 0, 0.023), 0, True),
    ),
    "pen": (
        (BOX_GEOM, (0.050, 0.005, 0.005), (0, 0, 0.005), 0, False),
        (BOX_GEOM, (0.010, 0.0055, 0.0055), (0.050, 0, 0.0055), 0, True),
    ),
    "star": tuple(
        (BOX_GEOM, (0.040, 0.009, 0.010), (0, 0, 0.010 + k * 1e-4), k * math.pi / 3, False) for k in range(3)
    ),
    "book": (
        (BOX_GEOM, (0.055, 0.040, 0.009), (0, 0, 0.009), 0, False),
        (BOX_GEOM, (0.035, 0.003, 0.0005), (0, 0.018, 0.018), 0, True),
    ),
}


@dataclass(frozen=True)
class Distractor:
    """One of DISTRACTOR_PARTS in one of DISTRACTOR_RGB. It stands on the table at x and y, m, turned by yaw, rad."""

    kind: str
    color: str
    x: float
    y: float
    yaw: float = 0.0

    @property
    def radius(self) -> float:
        """Radius of the circle around its footprint, in m."""
        reach = (
            math.hypot(*pos[:2]) + (size[0] if kind == CYLINDER_GEOM else math.hypot(*size[:2]))
            for kind, size, pos, _, _ in DISTRACTOR_PARTS[self.kind]
        )
        return max(reach)

    @property
    def height(self) -> float:
        """Height of its top above the table, in m."""
        return max(
            pos[2] + (size[1] if kind == CYLINDER_GEOM else size[2])
            for kind, size, pos, _, _ in DISTRACTOR_PARTS[self.kind]
        )


def add_distractor(world: mujoco.MjsBody, prop: Distractor, name: str) -> None:
    """Adds it as a free body."""
    body = world.add_body(name=name, pos=[prop.x, prop.y, 0], quat=about_z(prop.yaw))
    body.add_freejoint(name=name)
    rgb = np.array(DISTRACTOR_RGB[prop.color])
    for kind, size, pos, yaw, dark in DISTRACTOR_PARTS[prop.kind]:
        rgba = [*(0.35 * rgb if dark else rgb), 1.0]
        body.add_geom(
            type=kind, size=[*size], pos=[*pos], quat=about_z(yaw), rgba=rgba, density=DENSITY_KG_PER_M3,
            **PLAIN_CONTACT,
        )  # fmt: skip
