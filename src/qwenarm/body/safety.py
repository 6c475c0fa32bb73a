"""Limits that hold under any caller. Every control passes through here, and everything that was changed has a name.

A control is a wish. What comes out is a target that is finite, inside the joint limits, no further from the last target
than the arm may move (speed) or start to move (acceleration) in one period, with the tcp inside the workspace and no
part of the arm in the table. By induction every target is safe: the first one is, and each next one either was checked
or is the last one again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.kinematics import Kinematics
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
        self._site = kinematics.model.site(self.arm.tcp_site).id
        self.touching = _touching_geoms(kinematics)
        # Open fingers reach furthest: whatever the real gap is, the check errs on the safe side.
        for name in self.arm.finger_joints:
            joint = kinematics.model.joint(name)
            kinematics.data.qpos[joint.qposadr[0]] = joint.range[1]

    def limit(self, wish: Control, last: ServoTarget, measured: np.ndarray) -> tuple[ServoTarget, tuple[str, ...]]:
        """The safe target nearest to the wish, and the names of the clamps it took.

        measured: (n,) joint angles as they are. Raises BadInput if the wish has the wrong number of joints.
        """
        clamps: list[str] = []
        qpos, gripper = self._finite(wish, last, clamps)
        goal = np.clip(qpos, self.lower, self.upper)
        if np.abs(goal - qpos).max() > CLAMP_TOLERANCE:
            clamps.append("joint_limit")
        gap = float(np.clip(gripper, 0.0, self.arm.max_gap))
        if abs(gap - gripper) > CLAMP_TOLERANCE:
            clamps.append("gripper_range")
        qpos = last.qpos + self._slowed(goal - last.qpos, last.velocity, clamps)
        qpos = self._unblocked(qpos, last.qpos, measured, clamps)
        qpos = self._inside(qpos, last.qpos, clamps)
        return ServoTarget(qpos, (qpos - last.qpos) / CONTROL_PERIOD_S, gap), tuple(clamps)

    def _finite(self, wish: Control, last: ServoTarget, clamps: list[str]) -> tuple[np.ndarray, float]:
        qpos = np.asarray(wish.qpos, dtype=float)
        if qpos.shape != last.qpos.shape:
            raise BadInput(f"A control of {self.arm.name} has {len(last.qpos)} joint angles, not shape {qpos.shape}.")
        gripper = float(wish.gripper)
        if np.isfinite(qpos).all() and np.isfinite(gripper):
            return qpos, gripper
        clamps.append("not_finite")
        return np.where(np.isfinite(qpos), qpos, last.qpos), gripper if np.isfinite(gripper) else last.gripper

    def _slowed(self, step: np.ndarray, velocity: np.ndarray, clamps: list[str]) -> np.ndarray:
        """The step, shortened as a whole so that its direction stays. Speeding up is limited, braking is not."""
        excess = float((np.abs(step) / self.max_step).max())
        if excess > 1 + CLAMP_TOLERANCE:
            clamps.append("joint_velocity")
            step = step / excess
        most = (np.maximum(velocity, 0) + self.max_gain) * CONTROL_PERIOD_S
        least = (np.minimum(velocity, 0) - self.max_gain) * CONTROL_PERIOD_S
        excess = float(np.where(step > 0, step / most, step / least).max())
        if excess > 1 + CLAMP_TOLERANCE:
            clamps.append("joint_acceleration")
            step = step / excess
        return step

    def _unblocked(self, qpos: np.ndarray, last: np.ndarray, measured: np.ndarray, clamps: list[str]) -> np.ndarray:
        """Joints that cannot follow wait: their target stays where it is until they do, or until it turns back."""
        behind = np.abs(last - measured)
        waits = (behind > MAX_LAG_RAD) & (np.abs(qpos - measured) > behind)
        if waits.any():
            clamps.append("blocked")
        return np.where(waits, last, qpos)

    def _inside(self, qpos: np.ndarray, last: np.ndarray, clamps: list[str]) -> np.ndarray:
        """qpos if it is in the workspace, else slid back along the boundary, else the last target."""
        lift = self._violation(qpos)
        if not lift.any():
            return qpos
        clamps.append("table" if lift[2] > 0 else "workspace")
        for _ in range(4):
            jacobian = self.kinematics.jacobian()
            push = np.concatenate([lift * 1.001 + np.sign(lift) * 1e-5, np.zeros(3)])
            qpos = qpos + jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-4 * np.eye(6), push)
            qpos = last + np.clip(qpos - last, -self.max_step, self.max_step)
            qpos = np.clip(qpos, self.lower, self.upper)
            lift = self._violation(qpos)
            if not lift.any():
                return qpos
        return last

    def _violation(self, qpos: np.ndarray) -> np.ndarray:
        """(3,) m: the shift of the hand that would bring qpos back inside; zero if it is. Sets the scratch arm."""
        self.kinematics.set(qpos)
        data, model = self.kinematics.data, self.kinematics.model
        tcp = data.site_xpos[self._site]
        shift = np.clip(tcp, TCP_LIMITS_M[0], TCP_LIMITS_M[1]) - tcp
        boxes = model.geom_aabb[self.touching]
        down = data.geom_xmat[self.touching, 6:9]
        bottom = data.geom_xpos[self.touching, 2] + (down * boxes[:, :3] - np.abs(down) * boxes[:, 3:]).sum(axis=1)
        shift[2] = max(shift[2], MIN_GEOM_HEIGHT_M - bottom.min()) if bottom.min() < MIN_GEOM_HEIGHT_M else shift[2]
        return shift


def _touching_geoms(kinematics: Kinematics) -> np.ndarray:
    """Ids of the geoms that can collide and hang on the arm's first joint."""
    model = kinematics.model
    first = model.joint(kinematics.arm.joints[0]).bodyid[0]
    moving = {int(first)}
    for body in range(int(first) + 1, model.nbody):
        if int(model.body_parentid[body]) in moving:
            moving.add(body)
    return np.array([g for g in range(model.ngeom) if int(model.geom_bodyid[g]) in moving and model.geom_contype[g]])
