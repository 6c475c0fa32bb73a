"""Parcels and parts: small boxes that differ by the marks on them."""

from __future__ import annotations

import math

import mujoco

from qwenarm.body.objects.markings import COLOR_RGB, MAX_DARK_SIDE_RGB_SUM, contrast, mark_sides, mark_top, paint
from qwenarm.body.objects.spec import PLAIN_CONTACT, ObjectSpec

HEAVY_DENSITY_RATIO = 3.0
"""Density of a parcel labelled 9 kg relative to the others. The labels are those of large parcels."""
CYLINDER_GEOM = mujoco.mjtGeom.mjGEOM_CYLINDER
CORNER_SIGNS = ((-1, -1), (-1, 1), (1, 1), (1, -1))
PIN_SIZE_M, PIN_OFFSET_M = (0.0050, 0.0045), 0.0165
"""Radius and half height of a pin, and its distance from the middle along both sides, in m."""
COLOR_DOT_RADIUS_M, COUNT_DOT_RADIUS_M = 0.0105, 0.0055
"""Radius of a coloured dot, and of a counted dot, in m."""
CAP_SIZE_M, LOOSE_CAP_TILT_RAD = (0.0110, 0.0040), math.radians(35)
"""Radius and half height of a cap in m, and the tilt of a loose one."""
DOT_LAYOUTS = {
    2: ((-1, -1), (1, 1)),
    3: ((-1, -1), (0, 0), (1, 1)),
    4: CORNER_SIGNS,
}
"""Positions of counted dots, as on dice."""


def add_parcel_or_part(body: mujoco.MjsBody, spec: ObjectSpec, rgba: list[float], density: float) -> None:
    """Adds a box with its marks. ``density`` is in kg/m³."""
    half = [spec.size / 2, spec.size / 2, spec.height / 2]
    density *= HEAVY_DENSITY_RATIO if spec.top == "9" else 1.0
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, rgba=rgba, density=density, condim=4, **PLAIN_CONTACT)
    if spec.sides:
        mark_sides(body, spec.sides, half, rgba)
    if spec.shape == "parcel" and spec.top:
        mark_top(body, spec.top, half[2], spec.size, rgba)
    elif spec.top:
        for feature in spec.top.split("+"):
            _add_feature(body, feature, half[2], rgba)


def _add_feature(body: mujoco.MjsBody, feature: str, top: float, rgba: list[float]) -> None:
    """Adds one feature to the top of a part, which is ``top`` above its middle, in m."""
    kind, _, value = feature.partition(":")
    ink = contrast(rgba, MAX_DARK_SIDE_RGB_SUM)
    if kind == "pins":
        for x, y in CORNER_SIGNS[: int(value)]:
            paint(body, [x * PIN_OFFSET_M, y * PIN_OFFSET_M, top + PIN_SIZE_M[1]], [*PIN_SIZE_M, 0], ink, CYLINDER_GEOM)
    elif kind == "dots":
        for x, y in DOT_LAYOUTS[int(value)]:
            paint(body, [0.0115 * x, 0.0115 * y, top], [COUNT_DOT_RADIUS_M, 0.0008, 0], ink, CYLINDER_GEOM)
    elif kind == "dot":
        paint(body, [0, 0, top], [COLOR_DOT_RADIUS_M + 0.0018, 0.0006, 0], ink, CYLINDER_GEOM)
        paint(body, [0, 0, top], [COLOR_DOT_RADIUS_M, 0.0012, 0], [*COLOR_RGB[value], 1.0], CYLINDER_GEOM)
    elif kind == "cap":
        tilt = LOOSE_CAP_TILT_RAD if value == "tilted" else 0.0
        quat = [math.cos(tilt / 2), 0, math.sin(tilt / 2), 0]
        rise = CAP_SIZE_M[1] + (CAP_SIZE_M[0] * math.sin(tilt) * 0.8)
        paint(body, [0, 0, top + rise], [*CAP_SIZE_M, 0], ink, CYLINDER_GEOM, quat)
        over = [CAP_SIZE_M[1] * math.sin(tilt), 0, top + rise + CAP_SIZE_M[1] * math.cos(tilt)]
        paint(body, over, [0.6 * CAP_SIZE_M[0], 0.0006, 0], rgba, CYLINDER_GEOM, quat)
