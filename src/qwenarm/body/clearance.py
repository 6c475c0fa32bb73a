"""The shape of a hand that points down, read off the model: how low it can go without touching what stands around."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.kinematics import Kinematics
from qwenarm.body.model_indices import subtree_bodies

SIDE_CLEARANCE_M = 0.002
"""Kept to the sides of the hand, m."""
UNDERSIDE_CLEARANCE_M = 0.003
"""Kept under the hand, m."""


_HAND_OF_ARM: dict[Arm, Hand] = {}


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
        form, heights, tall = self._form, np.full(len(yaws), tcp_z), points[:, 2]
        (high,) = (tall > tcp_z - form.most).nonzero()
        if not len(high):
            return heights
        x, y = points[high, 0] - xy[0], points[high, 1] - xy[1]
        (near,) = (x * x + y * y < form.radius_squared).nonzero()
        x, y, tall = x[near], y[near], tall[high[near]]
        # The hand's x and y in the world, see kinematics.top_down: (sin, -cos) and -(cos, sin) of the yaw.
        sin, cos = np.sin(yaws)[:, None], np.cos(yaws)[:, None]
        across, back = sin * x, cos * x  # (K, N) each
        across -= cos * y
        back += sin * y
        (within,) = (np.abs(across) < form.widest).ravel().nonzero()  # a hand is narrow: most lies beside all of it
        across, back = across.ravel()[within], back.ravel()[within]  # (M,) each
        yaw, point = np.divmod(within, max(1, len(x)))
        inside = across > form.left  # (B, M)
        inside &= across < form.right
        inside &= back > form.front
        inside &= back < form.rear
        needed = np.where(inside, tall[point] + form.needs, -np.inf).max(axis=0)
        np.maximum.at(heights, yaw, needed)
        return heights

    @cached_property
    def _form(self) -> _Form:
        (left, back), (right, front) = (
            self.lower.T[..., None] - SIDE_CLEARANCE_M,
            self.upper.T[..., None] + SIDE_CLEARANCE_M,
        )
        radius = math.hypot(*np.maximum(-self.lower, self.upper).max(axis=0)) + SIDE_CLEARANCE_M
        needs = (UNDERSIDE_CLEARANCE_M - self.under)[:, None]
        widest = max(-float(left.min()), float(right.max()))
        return _Form(left, right, -front, -back, needs, float(needs.max()), widest, radius * radius)


@dataclass(frozen=True)
class _Form:
    """What ``Boxes.lowest`` asks again and again. left, right, front, rear: (B, 1) m, with the margin; the last two
    against the hand's y. needs: (B, 1) m, so much higher than what is under a part the tcp must be; most: the largest.
    widest: m, how far the parts reach across; radius_squared: m2, of a circle around them all.
    """

    left: np.ndarray
    right: np.ndarray
    front: np.ndarray
    rear: np.ndarray
    needs: np.ndarray
    most: float
    widest: float
    radius_squared: float


@dataclass(frozen=True)
class Hand:
    """palm: all that moves with the last joint and does not slide. left, right: the fingers, ``opened`` m apart; None
    without fingers.
    """

    palm: Boxes
    left: Boxes | None = None
    right: Boxes | None = None
    opened: float = 0.0

    def parts(self, inner: float, outer: float) -> tuple[Boxes, ...]:
        """All of the hand while the gap goes from outer to inner, m: the palm and, if there are any, the fingers."""
        return (self.palm, self.fingers(inner, outer)) if self.left else (self.palm,)

    def fingers(self, inner: float, outer: float) -> Boxes:
        """Both fingers, and where they sweep while the gap between the pads goes from outer to inner, m."""
        assert self.left is not None and self.right is not None
        sweep = np.array([[0.0, inner - self.opened], [0.0, outer - self.opened]]) / 2
        left, right = self.left, self.right
        lower = np.concatenate([left.lower + sweep[0], right.lower - sweep[1]])
        upper = np.concatenate([left.upper + sweep[1], right.upper - sweep[0]])
        return Boxes(lower, upper, np.concatenate([left.under, right.under]))


def measure_hand(kinematics: Kinematics) -> Hand:
    """The hand of an arm, measured once for each arm. Sets the scratch arm to home the first time."""
    if kinematics.arm not in _HAND_OF_ARM:
        _HAND_OF_ARM[kinematics.arm] = _measure_hand(kinematics)
    return _HAND_OF_ARM[kinematics.arm]


def _measure_hand(kinematics: Kinematics) -> Hand:
    model, data, arm = kinematics.model, kinematics.data, kinematics.arm
    kinematics.set(kinematics.home)
    last = int(model.joint(arm.joints[-1]).bodyid[0])
    fingers = [subtree_bodies(model, model.body(name).id) for name in arm.gripper.bodies]
    palm = _boxes(kinematics, subtree_bodies(model, last).difference(*fingers))
    if not fingers:
        return Hand(palm)
    one, other = (_boxes(kinematics, bodies) for bodies in fingers)
    left, right = (one, other) if one.upper[:, 1].mean() > 0 else (other, one)
    return Hand(palm, left, right, arm.gripper.mount(model, data).width)


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
