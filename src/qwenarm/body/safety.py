"""Limits that hold under any caller. Every control passes through here, and everything that was changed has a name.

A control is a wish. What comes out is a target that is finite, inside the joint limits, no further from the last target
than the arm may move in one period (speed), and no more so than one period before (acceleration). From every target on
the arm can brake without leaving the workspace with the tcp, touching the table, or running into a joint's stop. By
induction every target is safe: the first one is, and each next one either was checked or is the next one of braking.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.braking import braked, braking_path, stoppable_step
from qwenarm.body.kinematics import Kinematics, clamp
from qwenarm.body.model_indices import subtree_bodies
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
FOLLOWED_SHARE = 0.7
"""Share of its greatest acceleration that an arm follows closely. With all of it servos ring and lag by centimetres,
so what has to be limited is limited to this."""
BRAKING_MARGIN_M = 0.005
"""Kept from the sides and the top of the workspace while braking, m."""
HORIZONTAL_AXES = np.array([1.0, 1.0, 0.0])
"""The sides on which the margin is kept; the bottom of the workspace is the table, which has its own."""
SPEED_TOLERANCE = 1.1
"""A joint may be so many times as fast as its limit between two targets."""
REACH_M = 1.2
"""No part of an arm is further than this from any of its joints, m."""
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
    goal: np.ndarray | None = None
    """(n,) rad: the wish, within the joint limits."""


class Safety:
    """The limits of one arm. Uses ``kinematics`` as scratch space; holds no state of its own between calls."""

    def __init__(self, kinematics: Kinematics) -> None:
        self.kinematics = kinematics
        self.arm: Arm = kinematics.arm
        self.lower = kinematics.lower + JOINT_STOP_MARGIN_RAD
        self.upper = kinematics.upper - JOINT_STOP_MARGIN_RAD
        self.max_velocity = np.array(self.arm.velocity)
        self.max_step = self.max_velocity * CONTROL_PERIOD_S
        self.max_gain = np.array(self.arm.acceleration) * CONTROL_PERIOD_S**2
        self.braking_gain = FOLLOWED_SHARE * self.max_gain
        self._lowest, self._highest = TCP_LIMITS_M
        self._max_steps, self._max_gains = self.max_step.tolist(), self.max_gain.tolist()
        self._tcp_lower, self._tcp_upper = TCP_LIMITS_M.tolist()
        model, data = kinematics.model, kinematics.data
        # Open fingers reach furthest: whatever the real gap is, the check errs on the safe side.
        for name in self.arm.gripper.joints:
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
        before = last.velocity * CONTROL_PERIOD_S
        step = self._slowed(goal - last.qpos, before, last.goal is not None and np.array_equal(goal, last.goal), clamps)
        stopped = self._within_stops(step, last.qpos)
        if np.abs(stopped - step).max() > CLAMP_TOLERANCE:
            clamps.append("joint_limit")
        step = self._unblocked(stopped, last.qpos, measured, clamps)
        step = self._inside(step, before, last.qpos, clamps)
        qpos = last.qpos + step
        return ServoTarget(qpos, (qpos - last.qpos) / CONTROL_PERIOD_S, gap, goal), tuple(dict.fromkeys(clamps))

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

    def _slowed(self, step: np.ndarray, before: np.ndarray, waits: bool, clamps: list[str]) -> np.ndarray:
        """The step that speed and acceleration allow. Too large a step, or change of it, is shortened as a whole.

        Args:
            step: (n,) rad, to the goal.
            before: (n,) rad, the step before.
            waits: whether the goal has stayed where it was: then the arm has to come to rest there.
            clamps: gets the names of the limits.
        """
        excess = max([abs(s) / most for s, most in zip(step.tolist(), self._max_steps, strict=True)])
        if waits and np.count_nonzero(step):
            most = stoppable_step(np.abs(step), self.braking_gain)
            if (np.abs(step) > most * (1 + CLAMP_TOLERANCE)).any():
                clamps.append("joint_acceleration")
                step = clamp(step, -most, most)
        if excess > 1 + CLAMP_TOLERANCE:
            clamps.append("joint_velocity")
            excess = float((np.abs(step) / self.max_step).max())
            step = step / max(excess, 1.0)
        change = step - before
        excess = max([abs(c) / most for c, most in zip(change.tolist(), self._max_gains, strict=True)])
        if excess > 1 + CLAMP_TOLERANCE:
            clamps.append("joint_acceleration")
            step = before + FOLLOWED_SHARE * change / excess
        # A servo that meets a target in time ends a period faster than its mean by as much as that has risen.
        fastest = (SPEED_TOLERANCE * self.max_step + np.maximum(before * np.sign(step), 0.0)) / 2
        if (np.abs(step) > fastest).any():
            clamps.append("joint_velocity")
            step = clamp(step, -fastest, fastest)
        return step

    def _within_stops(self, step: np.ndarray, last: np.ndarray) -> np.ndarray:
        """The step, so that every joint can still brake in front of its stop."""
        if max((np.abs(step) / self.braking_gain).tolist()) <= 0.5:
            return clamp(step, self.lower - last, self.upper - last) if np.count_nonzero(step) else step
        room_below, room_above = np.maximum(last - self.lower, 0.0), np.maximum(self.upper - last, 0.0)
        return clamp(
            step, -stoppable_step(room_below, self.braking_gain), stoppable_step(room_above, self.braking_gain)
        )

    def _unblocked(self, step: np.ndarray, last: np.ndarray, measured: np.ndarray, clamps: list[str]) -> np.ndarray:
        """Joints that cannot follow wait: their target stays where it is until they do, or until it turns back."""
        behind = np.abs(last - measured)
        if max(behind.tolist()) <= MAX_LAG_RAD:
            return step
        waits = (behind > MAX_LAG_RAD) & (np.abs(last + step - measured) > behind)
        if waits.any():
            clamps.append("blocked")
        return np.where(waits, 0.0, step)

    def _inside(self, step: np.ndarray, before: np.ndarray, last: np.ndarray, clamps: list[str]) -> np.ndarray:
        """The step if the arm can stop in the workspace after it, else one along the boundary, else the arm brakes."""
        lift = self._violation(last + step, step)
        if lift is None:
            return step
        clamps.append("table" if lift[2] > 0 else "workspace")
        slowest = np.maximum(before - self.max_gain, -self.max_step)
        fastest = np.minimum(before + self.max_gain, self.max_step)
        for _ in range(4):
            jacobian = self.kinematics.jacobian()
            push = np.concatenate([lift * 1.001 + np.sign(lift) * 1e-5, np.zeros(3)])
            shift = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-4 * np.eye(6), push)
            periods = 1 + np.floor(np.abs(step) / self.braking_gain)  # a faster joint also stops further on
            step = step + shift / periods
            step = self._within_stops(clamp(step, slowest, fastest), last)
            lift = self._violation(last + step, step)
            if lift is None:
                return step
        slower = braked(before, self.braking_gain)
        outside = None if np.count_nonzero(slower) else self._violation(last, slower)
        if outside is None:
            return slower
        further = self._violation(last + step, np.zeros_like(step))  # it was pushed out: only nearer is better
        return step if further is None or np.abs(further).max() < np.abs(outside).max() else slower

    def _violation(self, qpos: np.ndarray, step: np.ndarray) -> np.ndarray | None:
        """What is wrong with a step to qpos, or with braking behind it.

        Returns:
            (3,) m: the shift of the hand that would bring it back inside where it first leaves; None if it never does.
            The scratch arm stands there.
        """
        path = braking_path(step, self.braking_gain)
        slack = REACH_M * float(np.abs(path[-1]).sum()) if len(path) else 0.0
        self.kinematics.set(qpos)
        heights = self._heights.take(self.touching)
        high = min((heights - self._radii).tolist()) > MIN_GEOM_HEIGHT_M + slack  # no box can reach the table
        tcp = zip(self._tcp_lower, self._tcp.tolist(), self._tcp_upper, strict=True)
        if high and all(low + slack <= at <= up - slack for low, at, up in tcp):
            return None
        if (shift := self._shift()) is not None:
            return shift
        for moved in path:
            self.kinematics.set(qpos + moved)
            if (shift := self._shift(BRAKING_MARGIN_M)) is not None:
                return shift
        return None

    def _shift(self, margin: float = 0.0) -> np.ndarray | None:
        """(3,) m: the shift of the hand that would bring the scratch arm inside; None if it is.

        margin: kept from the sides and the top of the workspace, m.
        """
        heights, downs = self._heights.take(self.touching), self._downs.take(self.touching, axis=0)
        shift = clamp(self._tcp, self._lowest + margin * HORIZONTAL_AXES, self._highest - margin) - self._tcp
        bottom = (heights + (downs * self._centers - np.abs(downs) * self._halves).sum(axis=1)).min()
        if bottom < MIN_GEOM_HEIGHT_M:
            shift[2] = max(shift[2], MIN_GEOM_HEIGHT_M - bottom)
        return shift if np.count_nonzero(shift) else None


def _touching_geoms(kinematics: Kinematics) -> np.ndarray:
    """Ids of the geoms that can collide and hang on the arm's first joint."""
    model = kinematics.model
    moving = list(subtree_bodies(model, int(model.joint(kinematics.arm.joints[0]).bodyid[0])))
    return np.flatnonzero(np.isin(model.geom_bodyid, moving) & (model.geom_contype != 0))
