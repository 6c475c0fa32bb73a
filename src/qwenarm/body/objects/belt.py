"""A conveyor belt across the table: a heavy slab on a slide joint that carries objects by friction.

The caller sets the joint's velocity. After every slat's length the slab jumps back by one slat; since it looks the same
everywhere, this cannot be seen, and the objects on it do not notice.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from qwenarm.body.objects.markings import paint
from qwenarm.body.objects.spec import PLAIN_CONTACT

BELT_NAME = "belt"
"""Name of its body and its joint."""
BELT_TOP_M = 0.0024
"""Height of its upper side above the table, in m: lower than what the skills consider an object."""
BELT_LENGTH_M = 1.2
"""Its length, in m: that of the table, so objects that nobody takes fall off at the end."""
BELT_THICKNESS_M = 0.008
"""Thickness of the slab, in m. All but its upper side is inside the table."""
SLAT_SPACING_M = 0.08
"""Distance between painted slats, in m."""
BELT_MASS_KG = 2000.0
"""Its mass, in kg, so large that objects do not slow it down."""
BELT_RGBA, SLAT_RGBA, RAIL_RGBA = [0.16, 0.17, 0.18, 1.0], [0.24, 0.25, 0.27, 1.0], [0.55, 0.57, 0.60, 1.0]


@dataclass(frozen=True)
class Belt:
    """A belt along y. ``x`` is its middle and ``half_width`` half its width, both in m."""

    x: float
    half_width: float = 0.055

    def carries(self, x: float, radius: float) -> bool:
        """Returns whether an object with its middle at ``x`` and this radius, in m, overlaps the belt."""
        return abs(x - self.x) < self.half_width + radius


def add_belt(spec: mujoco.MjSpec, belt: Belt) -> None:
    """Adds the slab and two rails beside it."""
    body = spec.worldbody.add_body(name=BELT_NAME, pos=[belt.x, 0, BELT_TOP_M])
    body.sleep = mujoco.mjtSleepPolicy.mjSLEEP_NEVER
    body.add_joint(name=BELT_NAME, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 1, 0])
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, pos=[0, 0, -BELT_THICKNESS_M / 2],
        size=[belt.half_width, BELT_LENGTH_M / 2, BELT_THICKNESS_M / 2],
        rgba=BELT_RGBA, mass=BELT_MASS_KG, **PLAIN_CONTACT,
    )  # fmt: skip
    for y in np.arange(-BELT_LENGTH_M / 2 + SLAT_SPACING_M, BELT_LENGTH_M / 2 - SLAT_SPACING_M / 2, SLAT_SPACING_M):
        paint(body, [0, y, 0], [belt.half_width, 0.012, 0.0002], SLAT_RGBA)
    spec.add_exclude(bodyname1="world", bodyname2=BELT_NAME)
    for side in (-1, 1):
        paint(
            spec.worldbody,
            [belt.x + side * (belt.half_width + 0.004), 0, 0],
            [0.004, BELT_LENGTH_M / 2, BELT_TOP_M + 2e-4],
            RAIL_RGBA,
        )


def run_belt(model: mujoco.MjModel, data: mujoco.MjData, speed: float) -> None:
    """Sets the belt's speed along y, in m/s, and moves it back by a slat if it has travelled that far."""
    joint = model.joint(BELT_NAME)
    data.qvel[joint.dofadr[0]] = speed
    way = float(data.qpos[joint.qposadr[0]])
    if abs(way) > SLAT_SPACING_M:
        data.qpos[joint.qposadr[0]] = way - np.copysign(SLAT_SPACING_M, way)
        mujoco.mj_kinematics(model, data)
