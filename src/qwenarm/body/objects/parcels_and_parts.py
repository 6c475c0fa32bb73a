"""Parcels and parts: small boxes that are told apart by what is on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import mujoco

from qwenarm.body.objects.markings import COLORS, SHADED, contrast, mark_sides, mark_top, paint

if TYPE_CHECKING:
    from qwenarm.body.objects.spec import ObjectSpec

HEAVY = 3.0
"""A parcel of 9 kg weighs so many times what another weighs: the numbers on the labels are for large ones."""
CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER
CORNERS = ((-1, -1), (-1, 1), (1, 1), (1, -1))
PIN, PIN_AT = (0.0050, 0.0045), 0.0165
"""Radius and half height of a pin, and how far from the middle it stands along both sides, m."""
SPOT, DOT = 0.0105, 0.0055
"""Radius of a coloured dot, and of one that is counted, m."""
CAP, TILT = (0.0110, 0.0040), math.radians(35)
"""Radius and half height of a cap, m, and by how much a loose one is tilted."""
DOTS = {
    2: ((-1, -1), (1, 1)),
    3: ((-1, -1), (0, 0), (1, 1)),
    4: CORNERS,
}
"""Where dots that are counted are, as on dice."""


def add_goods(body: mujoco.MjsBody, spec: ObjectSpec, rgba: list[float], density: float) -> None:
    """A box with its marks. density: kg/m3."""
    half = [spec.size / 2, spec.size / 2, spec.height / 2]
    density *= HEAVY if spec.top == "9" else 1.0
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, size=half, rgba=rgba, density=density, friction=[1.0, 0.01, 0.001], condim=4,
        solref=[0.01, 1],
    )  # fmt: skip
    if spec.sides:
        mark_sides(body, spec.sides, half, rgba)
    if spec.shape == "parcel" and spec.top:
        mark_top(body, spec.top, half[2], spec.size, rgba)
    elif spec.top:
        for feature in spec.top.split("+"):
            _add_feature(body, feature, half[2], rgba)


def _add_feature(body: mujoco.MjsBody, feature: str, top: float, rgba: list[float]) -> None:
    """One feature of a part on its upper side, which is at a height of ``top`` over its middle, m."""
    kind, _, value = feature.partition(":")
    ink = contrast(rgba, SHADED)
    if kind == "pins":
        for x, y in CORNERS[: int(value)]:
            paint(body, [x * PIN_AT, y * PIN_AT, top + PIN[1]], [*PIN, 0], ink, CYLINDER)
    elif kind == "dots":
        for x, y in DOTS[int(value)]:
            paint(body, [0.0115 * x, 0.0115 * y, top], [DOT, 0.0008, 0], ink, CYLINDER)
    elif kind == "dot":
        paint(body, [0, 0, top], [SPOT + 0.0018, 0.0006, 0], ink, CYLINDER)
        paint(body, [0, 0, top], [SPOT, 0.0012, 0], [*COLORS[value], 1.0], CYLINDER)
    elif kind == "cap":
        tilt = TILT if value == "tilted" else 0.0
        quat = [math.cos(tilt / 2), 0, math.sin(tilt / 2), 0]
        rise = CAP[1] + (CAP[0] * math.sin(tilt) * 0.8)
        paint(body, [0, 0, top + rise], [*CAP, 0], ink, CYLINDER, quat)
        over = [CAP[1] * math.sin(tilt), 0, top + rise + CAP[1] * math.cos(tilt)]
        paint(body, over, [0.6 * CAP[0], 0.0006, 0], rgba, CYLINDER, quat)
