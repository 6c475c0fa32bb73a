"""The shape of a hand that points down, read off the model: how low it can go without touching what stands around."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from qwenarm.body.arms._arm import Arm
from qwenarm.body.kinematics import Kinematics, hanging

MARGIN = 0.002
"""Kept to the sides of the hand, m."""
SPARE = 0.003
"""Kept under the hand, m."""


_MEASURED: dict[Arm, Hand] = {}


@dataclass(frozen=True)
class Boxes:
    """Parts of a hand, seen along its fingers. lower, upper (B, 2): across and along the opening, m, the tcp at zero.

    under (B,): height of their undersides above the tcp, m.
    """

    lower: np.ndarray
    upper: np.ndarray
    under: np.ndarray

    def lowest(self, points: np.ndarray, xy: np.ndarray, yaws: np.ndarray, tcp_z: float) -> np.ndarray:
        """(K,) m: the lowest heights of the tcp over xy (2,), from tcp_z on, at which yaws (K,) rad touch nothing.

        points (N, 3) m: upper surfaces; below them all is solid.
        """
        radius = math.hypot(*np.maximum(-self.lower, self.upper).max(axis=0)) + MARGIN
        high = points[:, 2] > tcp_z + self.under.min() - SPARE
        x, y = points[:, 0] - xy[0], points[:, 1] - xy[1]
        near = np.flatnonzero(high & (x * x + y * y < radius * radius))
        if not len(near):
            return np.full(len(yaws), tcp_z)
        # The hand's x and y in the world, see kinematics.top_down: (sin, -cos) and -(cos, sin) of the yaw.
        sin, cos = np.sin(yaws), np.cos(yaws)
        way = np.stack([x[near], y[near]], axis=1)
        turned = (way @ np.array([[sin, -cos], [-cos, -sin]])).transpose(0, 2, 1)
        x, y = np.ascontiguousarray(turned)[:, :, None]  # (K, 1, N) each; in this order they are compared fastest
        (left, back), (right, front) = self.lower.T[..., None] - MARGIN, self.upper.T[..., None] + MARGIN  # (B, 1) each
        inside = (x > left) & (x < right)  # (K, B, N)
        inside &= y > back
        inside &= y < front
        heights = np.broadcast_to(points[near, 2], inside.shape)
        tops = heights.max(axis=-1, where=inside, initial=-np.inf)  # (K, B)
        return np.maximum((tops - self.under + SPARE).max(axis=1), tcp_z)


@dataclass(frozen=True)
class Hand:
    """palm: all that moves with the last joint and does not slide. left, right: the fingers, ``opened`` m apart."""

    palm: Boxes
    left: Boxes
    right: Boxes
    opened: float

    def fingers(self, inner: float, outer: float) -> Boxes:
        """Both fingers, and where they sweep while the gap between the pads goes from outer to inner, m."""
        sweep = np.array([[0.0, inner - self.opened], [0.0, outer - self.opened]]) / 2
        left, right = self.left, self.right
        lower = np.concatenate([left.lower + sweep[0], right.lower - sweep[1]])
        upper = np.concatenate([left.upper + sweep[1], right.upper - sweep[0]])
        return Boxes(lower, upper, np.concatenate([left.under, right.under]))


def measure(kinematics: Kinematics) -> Hand:
    """The hand of an arm, measured once for each arm. Sets the scratch arm to home the first time."""
    if kinematics.arm not in _MEASURED:
        _MEASURED[kinematics.arm] = _measure(kinematics)
    return _MEASURED[kinematics.arm]


def _measure(kinematics: Kinematics) -> Hand:
    model, data, arm = kinematics.model, kinematics.data, kinematics.arm
    kinematics.set(kinematics.home)
    last = int(model.joint(arm.joints[-1]).bodyid[0])
    fingers = [hanging(model, model.body(name).id) for name in arm.finger_bodies]
    palm = hanging(model, last) - fingers[0] - fingers[1]
    one, other = (_boxes(kinematics, bodies) for bodies in fingers)
    left, right = (one, other) if one.upper[:, 1].mean() > 0 else (other, one)
    slides = [model.joint(name).qposadr[0] for name in arm.finger_joints]
    return Hand(_boxes(kinematics, palm), left, right, float(data.qpos[slides].sum() * arm.gap_scale))


def _boxes(kinematics: Kinematics, bodies: set[int]) -> Boxes:
    """The bounding boxes of the geoms of some bodies in the frame of the tcp, drawn ones included."""
    model, data = kinematics.model, kinematics.data
    geoms = np.flatnonzero(np.isin(model.geom_bodyid, list(bodies)))
    site = model.site(kinematics.arm.tcp_site).id
    turn = data.site_xmat[site].reshape(3, 3)
    own = data.geom_xmat[geoms].reshape(-1, 3, 3)
    middle = data.geom_xpos[geoms] + np.einsum("gij,gj->gi", own, model.geom_aabb[geoms, :3]) - data.site_xpos[site]
    center = middle @ turn
    half = _half(model.geom_type[geoms], turn.T @ own, model.geom_aabb[geoms, 3:])
    lower, upper = center - half, center + half
    for i in np.flatnonzero(model.geom_type[geoms] == mujoco.mjtGeom.mjGEOM_MESH):  # its own box lies askew
        points = (_vertices(model, int(geoms[i])) @ own[i].T + data.geom_xpos[geoms[i]] - data.site_xpos[site]) @ turn
        lower[i], upper[i] = points.min(axis=0), points.max(axis=0)
    return Boxes(lower[:, :2], upper[:, :2], -upper[:, 2])  # the tcp's z points down


def _vertices(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """(V, 3) m: the corners of a mesh in the frame of its geom."""
    mesh = model.geom_dataid[geom]
    return model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]].astype(float)


def _half(kind: np.ndarray, turn: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(G, 3) half sizes of the boxes around geoms of half sizes (G, 3) that are turned by (G, 3, 3): exact if round."""
    boxes = np.einsum("gij,gj->gi", np.abs(turn), size)
    axis, radius = np.abs(turn[:, :, 2]), size[:, :1]
    cylinders = radius * np.sqrt(np.maximum(1 - axis * axis, 0)) + size[:, 2:] * axis
    capsules = radius + (size[:, 2:] - radius) * axis
    is_cylinder, is_capsule = (
        (kind == int(k))[:, None] for k in (mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_CAPSULE)
    )
    return np.where(is_cylinder, cylinders, np.where(is_capsule, capsules, boxes))
