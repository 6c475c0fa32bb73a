"""Limits that hold under any caller. Every control passes through here, and everything that was changed has a name.

A control is a wish. What comes out is a target that is finite, inside the joint limits, no further from the last target
than the arm may move (speed) or start to move (acceleration) in one period, with the tcp inside the workspace and no
part of the arm in the table. By induction every target is safe: the first one is, and each next one either was checked
or is the last one again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.kinematics import Kinematics, clamp, subtree_bodies
from qwenarm.errors import BadInput
from qwenarm.types import Control

CONTROL_PERIOD_S = 0.05
"""Control period, s."""
TCP_LIMITS_M = np.array([[0.20, -0.45, 0.0], [0.80, 0.45, 0.70]])
"""Where the tcp may be commanded, m: lower and upper corner."""
MIN_GEOM_HEIGHT_M = 0.0005
"""No geom of the moving arm is commanded lower than this, m: fingers pressed on the table would stick to it."""
MAX_LAG_RAD = 0.08
"""A joint further than this behind its last target, rad, is blocked: waiting bounds the push and the later snap."""
JOINT_STOP_MARGIN_RAD = 0.005
"""Kept from the joints' hard stops, rad."""
CLAMP_TOLERANCE = 1e-9

CLAMP_NAMES = (
    "not_finite",
    "joint_limit",
    "gripper_range",
    "joint_velocity",
    "joint_acceleration",
    "blocked",
    "workspace",
    "table",
)
"""All names under which clamps are counted."""


@dataclass(frozen=True)
class ServoTarget:
    """Where the servos are sent by the end of a period: qpos (n,) rad, its mean velocity (n,) rad/s, gripper gap m."""

    qpos: np.ndarray
    velocity: np.ndarray
    gripper: float


class Safety:
    """The limits of one arm. Uses ``kinematics`` as scratch space; holds no state of its own between calls."""

    def __init__(self, kinematics: Kinematics) -> None:
        self.kinematics = kinematics
        self.arm: Arm = kinematics.arm
        self.lower = kinematics.lower + JOINT_STOP_MARGIN_RAD
        self.upper = kinematics.upper - JOINT_STOP_MARGIN_RAD
        self.max_step = np.array(self.arm.velocity) * CONTROL_PERIOD_S
        self.max_gain = np.array(self.arm.acceleration) * CONTROL_PERIOD_S
        self._max_gains = self.max_gain.tolist()
        self._tcp_lower, self._tcp_upper = TCP_LIMITS_M.tolist()
        model, data = kinematics.model, kinematics.data
        # Open fingers reach furthest: whatever the real gap is, the check errs on the safe side.
        for name in self.arm.finger_joints:
            joint = model.joint(name)
            data.qpos[joint.qposadr[0]] = joint.range[1]
        self.touching = _touching_geoms(kinematics)
        self._centers, self._halves = model.geom_aabb[self.touching, :3], model.geom_aabb[self.touching, 3:]
        self._radii = np.linalg.norm(self._centers, axis=1) + np.linalg.norm(self._halves, axis=1)
        self._heights, self._downs = data.geom_xpos[:, 2], data.geom_xmat[:, 6:9]  # views
        self._tcp = data.site_xpos[model.site(self.arm.tcp_site).id]

    def limit(self, wish: Control, last: ServoTarget, measured: np.ndarray) -> tuple[ServoTarget, Sequence[str]]:
        """The safe target nearest to the wish, and the names of the clamps it took.

        Args:
            wish: what the caller wants.
            last: the target before.
            measured: (n,) rad, the joint angles as they are.

        Raises:
            BadInput: The wish has the wrong number of joints.
        """
        clamps: list[str] = []
        qpos, gripper = self._finite(wish, last, clamps)
        goal = clamp(qpos, self.lower, self.upper)
        if goal.tobytes() != qpos.tobytes() and np.abs(goal - qpos).max() > CLAMP_TOLERANCE:
            clamps.append("joint_limit")
        gap = min(max(gripper, 0.0), self.arm.max_gap)
        if abs(gap - gripper) > CLAMP_TOLERANCE:
            clamps.append("gripper_range")
        qpos = last.qpos + self._slowed(goal - last.qpos, last.velocity, clamps)
        qpos = self._unblocked(qpos, last.qpos, measured, clamps)
        qpos = self._inside(qpos, last.qpos, clamps)
        return ServoTarget(qpos, (qpos - last.qpos) / CONTROL_PERIOD_S, gap), clamps

    def _finite(self, wish: Control, last: ServoTarget, clamps: list[str]) -> tuple[np.ndarray, float]:
        qpos = np.asarray(wish.qpos, dtype=float)
        if qpos.shape != last.qpos.shape:
            raise BadInput(f"A control of {self.arm.name} has {len(last.qpos)} joint angles, not shape {qpos.shape}.")
        gripper = float(wish.gripper)
        if math.isfinite(sum(qpos.tolist(), gripper)):
            return qpos, gripper
        finite = np.isfinite(qpos)
        if not finite.all() or not math.isfinite(gripper):  # else only the sum is too large
            clamps.append("not_finite")
        return np.where(finite, qpos, last.qpos), gripper if math.isfinite(gripper) else last.gripper

    def _slowed(self, step: np.ndarray, velocity: np.ndarray, clamps: list[str]) -> np.ndarray:
        """The step, shortened as a whole so that its direction stays. Speeding up is limited, braking is not."""
        excess = max([abs(s) / most for s, most in zip(step.tolist(), self.max_step.tolist(), strict=True)])
        if excess > 1 + CLAMP_TOLERANCE:
            clamps.append("joint_velocity")
            step = step / excess
        joints = zip(step.tolist(), velocity.tolist(), self._max_gains, strict=True)
        excess = max([abs(s) / ((max(v if s > 0 else -v, 0.0) + gain) * CONTROL_PERIOD_S) for s, v, gain in joints])
        if excess > 1 + CLAMP_TOLERANCE:
            clamps.append("joint_acceleration")
            step = step / excess
        return step

    def _unblocked(self, qpos: np.ndarray, last: np.ndarray, measured: np.ndarray, clamps: list[str]) -> np.ndarray:
        """Joints that cannot follow wait: their target stays where it is until they do, or until it turns back."""
        behind = np.abs(last - measured)
        if max(behind.tolist()) <= MAX_LAG_RAD:
            return qpos
        waits = (behind > MAX_LAG_RAD) & (np.abs(qpos - measured) > behind)
        if waits.any():
            clamps.append("blocked")
        return np.where(waits, last, qpos)

    def _inside(self, qpos: np.ndarray, last: np.ndarray, clamps: list[str]) -> np.ndarray:
        """qpos if it is in the workspace, else slid back along the boundary, else the last target."""
        lift = self._violation(qpos)
        if lift is None:
            return qpos
        clamps.append("table" if lift[2] > 0 else "workspace")
        for _ in range(4):
            jacobian = self.kinematics.jacobian()
            push = np.concatenate([lift * 1.001 + np.sign(lift) * 1e-5, np.zeros(3)])
            qpos = qpos + jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-4 * np.eye(6), push)
            qpos = last + np.clip(qpos - last, -self.max_step, self.max_step)
            qpos = np.clip(qpos, self.lower, self.upper)
            lift = self._violation(qpos)
            if lift is None:
                return qpos
        return last

    def _violation(self, qpos: np.ndarray) -> np.ndarray | None:
        """(3,) m: the shift of the hand that would bring qpos back inside; None if it is. Sets the scratch arm."""
        self.kinematics.set(qpos)
        heights = self._heights.take(self.touching)
        high = min((heights - self._radii).tolist()) > MIN_GEOM_HEIGHT_M  # no box can reach the table
        tcp = zip(self._tcp_lower, self._tcp.tolist(), self._tcp_upper, strict=True)
        if high and all(low <= at <= up for low, at, up in tcp):
            return None
        shift = clamp(self._tcp, *TCP_LIMITS_M) - self._tcp
        downs = self._downs.take(self.touching, axis=0)
        bottom = (heights + (downs * self._centers - np.abs(downs) * self._halves).sum(axis=1)).min()
        if bottom < MIN_GEOM_HEIGHT_M:
            shift[2] = max(shift[2], MIN_GEOM_HEIGHT_M - bottom)
        return shift if np.count_nonzero(shift) else None


def _touching_geoms(kinematics: Kinematics) -> np.ndarray:
    """Ids of the geoms that can collide and hang on the arm's first joint."""
    model = kinematics.model
    moving = list(subtree_bodies(model, int(model.joint(kinematics.arm.joints[0]).bodyid[0])))
    return np.flatnonzero(np.isin(model.geom_bodyid, moving) & (model.geom_contype != 0))
