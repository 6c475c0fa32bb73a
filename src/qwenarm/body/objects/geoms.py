"""Makes objects out of MuJoCo geoms.

Everything consists of primitive geoms, so that every renderer draws it and contacts are cheap.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

from qwenarm.body.objects.drawer import add_drawer
from qwenarm.body.objects.markings import contrast, mark_top, paint
from qwenarm.body.objects.parcels_and_parts import add_parcel_or_part
from qwenarm.body.objects.spec import (
    BARRIER_SIZE_M,
    CONTAINER_HALF_WIDTH_M,
    CONTAINER_HEIGHT_M,
    COVER_SIZE_M,
    COVER_WALL_M,
    DENSITY_KG_PER_M3,
    FIXED_SHAPES,
    PARCELS_AND_PARTS,
    PLAIN_CONTACT,
    WALL_FOOT_GAP_M,
    WALL_THICKNESS_M,
    ObjectSpec,
)
from qwenarm.body.rotations import about_z

CONTAINER_DENSITY_KG_PER_M3 = 3 * DENSITY_KG_PER_M3
PLINTH_BRIGHTNESS_RATIO = 0.6
"""Brightness of a bay's plinth relative to the bay."""


def add_object(world: mujoco.MjsBody, spec: ObjectSpec, pos: np.ndarray, yaw: float, rgb: tuple[float, ...]) -> None:
    """Adds a body named ``spec.id``.

    A barrier becomes a mocap body, a bay or a bin a fixed one, a drawer one on a slide, and anything else a free one.

    Args:
        world: The parent body.
        spec: The object.
        pos: (3,) position of its origin, in m.
        yaw: Rotation about z, in rad.
        rgb: Its colour in this episode.
    """
    body = world.add_body(name=spec.id, pos=pos, quat=about_z(yaw))
    rgba = [*rgb, 1.0]
    if spec.shape == "barrier":
        body.mocap = True
        _add_barrier(body, rgba)
        return
    if spec.shape == "drawer":
        _add_open_box(body, spec, rgba)
        add_drawer(world, body, spec.size / 2, spec.height, rgba)
        return
    if spec.shape in FIXED_SHAPES:
        _add_open_box(body, spec, rgba)
        _add_plinth(world, spec, pos, yaw, rgba)
        return
    body.add_freejoint(name=spec.id)
    if spec.shape == "cover":
        _add_cover(body, rgba)
    elif spec.shape in PARCELS_AND_PARTS:
        add_parcel_or_part(body, spec, rgba, DENSITY_KG_PER_M3)
    elif spec.graspable:
        _add_solid(body, spec, rgba)
    elif spec.shape == "bowl":
        _add_bowl(body, rgba)
    else:
        _add_open_box(body, spec, rgba)
    if spec.container and spec.top:
        mark_top(body, spec.top, WALL_THICKNESS_M, 1.05 * CONTAINER_HALF_WIDTH_M[spec.shape], rgba)


def _add_solid(body: mujoco.MjsBody, spec: ObjectSpec, rgba: list[float]) -> None:
    half = spec.size / 2
    kind, size = {
        "cube": (mujoco.mjtGeom.mjGEOM_BOX, [half] * 3),
        "cylinder": (mujoco.mjtGeom.mjGEOM_CYLINDER, [half, half, 0]),
        "ball": (mujoco.mjtGeom.mjGEOM_SPHERE, [half, 0, 0]),
    }[spec.shape]
    # Rolling friction stops a ball that is let go; MuJoCo only uses it with condim 6.
    more = {"friction": [1.0, 0.01, 0.003], "condim": 6} if spec.shape == "ball" else {"condim": 4}
    body.add_geom(type=kind, size=size, rgba=rgba, density=DENSITY_KG_PER_M3, **PLAIN_CONTACT | more)


def _add_wall(body: mujoco.MjsBody, pos: list[float], size: list[float], yaw: float, rgba: list[float]) -> None:
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, pos=pos, size=size, quat=about_z(yaw), rgba=rgba,
        density=CONTAINER_DENSITY_KG_PER_M3, **PLAIN_CONTACT,
    )  # fmt: skip


def _add_open_box(body: mujoco.MjsBody, spec: ObjectSpec, rgba: list[float]) -> None:
    half, height = CONTAINER_HALF_WIDTH_M[spec.shape], CONTAINER_HEIGHT_M[spec.shape]
    _add_wall(body, [0, 0, WALL_THICKNESS_M / 2], [half, half, WALL_THICKNESS_M / 2], 0, rgba)
    for k in range(4):
        yaw = k * math.pi / 2
        reach = half - WALL_THICKNESS_M / 2
        pos = [reach * math.cos(yaw), reach * math.sin(yaw), (height + WALL_FOOT_GAP_M) / 2]
        size = [WALL_THICKNESS_M / 2, half - (k % 2) * WALL_THICKNESS_M, (height - WALL_FOOT_GAP_M) / 2]
        _add_wall(body, pos, size, yaw, rgba)


def _add_plinth(world: mujoco.MjsBody, spec: ObjectSpec, pos: np.ndarray, yaw: float, rgba: list[float]) -> None:
    """Adds the block under a raised bay, but not to the bay: a point on its front does not mean the bay."""
    if pos[2] > 0:
        half = [spec.size / 2, spec.size / 2, pos[2] / 2]
        _add_wall(world, [*pos[:2], pos[2] / 2], half, yaw, [*(PLINTH_BRIGHTNESS_RATIO * c for c in rgba[:3]), 1.0])


def _add_bowl(body: mujoco.MjsBody, rgba: list[float], sides: int = 12) -> None:
    """Adds a round floor and a ring of flat walls that lean slightly outwards."""
    outer, height = CONTAINER_HALF_WIDTH_M["bowl"], CONTAINER_HEIGHT_M["bowl"]
    floor = 0.80 * outer
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER, pos=[0, 0, WALL_THICKNESS_M / 2], size=[floor, WALL_THICKNESS_M / 2, 0],
        rgba=rgba, density=CONTAINER_DENSITY_KG_PER_M3, **PLAIN_CONTACT,
    )  # fmt: skip
    lean = math.atan2(outer - floor, height)
    middle = (outer + floor) / 2 - WALL_THICKNESS_M / 2
    half_width = outer * math.tan(math.pi / sides)
    for k in range(sides):
        yaw = 2 * math.pi * k / sides
        turn = np.zeros(4)
        mujoco.mju_mulQuat(turn, np.array(about_z(yaw)), np.array([math.cos(lean / 2), 0, math.sin(lean / 2), 0]))
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[middle * math.cos(yaw), middle * math.sin(yaw), (height + WALL_FOOT_GAP_M) / 2],
            quat=turn,
            size=[WALL_THICKNESS_M / 2, half_width, (height - WALL_FOOT_GAP_M) / 2 / math.cos(lean)],
            rgba=rgba,
            density=CONTAINER_DENSITY_KG_PER_M3,
            **PLAIN_CONTACT,
        )


def _add_cover(body: mujoco.MjsBody, rgba: list[float]) -> None:
    """Adds a top and four walls around an empty space. A dark button on top tells it from a cube."""
    width, height = COVER_SIZE_M
    half, wall = width / 2, COVER_WALL_M / 2
    boxes = [([0, 0, height / 2 - wall], [half, half, wall], 0.0)]
    for k in range(4):
        yaw, reach = k * math.pi / 2, half - wall
        side = [wall, half - (k % 2) * 2 * wall, height / 2 - wall]
        boxes.append(([reach * math.cos(yaw), reach * math.sin(yaw), -wall], side, yaw))
    for pos, size, yaw in boxes:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, pos=pos, size=size, quat=about_z(yaw), rgba=rgba, condim=4,
            density=DENSITY_KG_PER_M3, **PLAIN_CONTACT,
        )  # fmt: skip
    paint(body, [0, 0, height / 2], [0.011, 0.001, 0], contrast(rgba), mujoco.mjtGeom.mjGEOM_CYLINDER)


def _add_barrier(body: mujoco.MjsBody, rgba: list[float]) -> None:
    """Adds a wall along x with vertical stripes."""
    half = [side / 2 for side in BARRIER_SIZE_M]
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, rgba=rgba, friction=[1.0, 0.01, 0.001])
    for x in (-0.5, 0.0, 0.5):
        stripe = [0.1 * half[0], half[1] + 0.001, half[2] + 0.001]
        paint(body, [x * half[0], 0, 0], stripe, contrast(rgba))
