"""Limits that hold under any caller. Every control passes through here, and everything that was changed has a name.

A control is a wish. What comes out is a target that is finite, inside the joint limits, no further from the last target
than the arm may move in one period (speed), and no more so than one period before (acceleration). From every target on
the arm can brake without leaving the workspace with the tcp, touching the table, or running into a joint's stop. By
induction every target is safe: the first one is, and each next one either was checked or is the next one of braking.

An arm that something is in the way of does not reach its targets. It starts again from where it is in every period, and
no joint of it moves further outward than there is room (``Room``). One that touches another arm does not press on, nor
on furniture, where it would be a lever: of two that do, each yields in every period to the other's push, and one is
pushed further and further out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import gt, sub, truediv

import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.braking import braked, braking_distance, braking_path, stoppable_step
from qwenarm.body.kinematics import Kinematics, clamp
from qwenarm.body.room import Room
from qwenarm.body.table_clearance import MIN_GEOM_HEIGHT_M, touching_geoms
from qwenarm.errors import BadInput
from qwenarm.types import Control

Floats = list[float]
"""One number for each joint."""
CONTROL_PERIOD_S = 0.05
"""Control period, s."""
TCP_LIMITS_M = np.array([[0.20, -0.45, 0.0], [0.80, 0.45, 0.70]])
"""Where the tcp may be commanded, m: lower and upper corner."""
MAX_LAG_RAD = 0.08
"""A joint further than this behind its last target, rad, is blocked: waiting bounds the push and the later snap."""
FOLLOWED_SHARE = 0.7
"""Share of its greatest acceleration that an arm follows closely. With all of it servos ring and lag by centimetres,
so what has to be limited is limited to this."""
BRAKING_MARGIN_M = 0.005
"""Kept from the sides and the top of the workspace while braking, m."""
HORIZONTAL_AXES = np.array([1.0, 1.0, 0.0])
"""The sides on which the margin is kept; the bottom of the workspace is the table, which has its own."""
MAX_SPEED_RATIO = 1.1
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
    goal: Floats | None = None
    """rad: the wish, within the joint limits."""


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
        self._lower, self._upper, self._max_steps = self.lower.tolist(), self.upper.tolist(), self.max_step.tolist()
        # Between these every joint stops in time, as fast as it may be; half a gain more than that takes.
        furthest = (self.max_step + self.braking_gain) ** 2 / (2 * self.braking_gain)
        self._near_lower, self._near_upper = (self.lower + furthest).tolist(), (self.upper - furthest).tolist()
        self._max_gains, self._braking_gains = self.max_gain.tolist(), self.braking_gain.tolist()
        self._tcp_lower, self._tcp_upper = TCP_LIMITS_M.tolist()
        model, data = kinematics.model, kinematics.data
        # Open fingers reach furthest: whatever the real gap is, the check errs on the safe side.
        for name in self.arm.gripper.joints:
            joint = model.joint(name)
            data.qpos[joint.qposadr[0]] = joint.range[1]
        self.touching = touching_geoms(kinematics)
        self._centers, self._halves = model.geom_aabb[self.touching, :3], model.geom_aabb[self.touching, 3:]
        self._radii = np.linalg.norm(self._centers, axis=1) + np.linalg.norm(self._halves, axis=1)
        self._heights, self._downs = data.geom_xpos[:, 2], data.geom_xmat[:, 6:9]  # views
        self._tcp = data.site_xpos[model.site(self.arm.tcp_site).id]

    def limit(
        self,
        wish: Control,
        last: ServoTarget,
        measured: np.ndarray,
        held_up: bool = False,
        touching: Room | None = None,
    ) -> tuple[ServoTarget, Sequence[str]]:
        """The safe target nearest to the wish, and the names of the clamps it took.

        Args:
            wish: what the caller wants.
            last: the target before.
            measured: (n,) rad, the joint angles as they are.
            held_up: whether something is in the way of the arm, so that some joints may not follow.
            touching: the room towards what it touches, if that is another arm, and towards what stands fast.

        Raises:
            BadInput: The wish has the wrong number of joints.
        """
        clamps: list[str] = []
        goal, gripper = self._finite(wish, last, clamps)
        if any(map(gt, self._lower, goal)) or any(map(gt, goal, self._upper)):
            wanted, goal = goal, list(map(min, map(max, goal, self._lower), self._upper))
            if max(map(abs, map(sub, goal, wanted))) > CLAMP_TOLERANCE:
                clamps.append("joint_limit")
        gap = min(max(gripper, 0.0), self.arm.max_gap)
        if abs(gap - gripper) > CLAMP_TOLERANCE:
            clamps.append("gripper_range")
        step = np.array(self._step(goal, last, measured.tolist(), clamps))
        if touching is not None and (away := touching.shortened(step)) is not step:
            clamps.append("blocked")
            step = away
        rooms = (self._room(last.qpos, BRAKING_MARGIN_M), self._room(last.qpos, 0.0)) if held_up else None
        step = self._inside(step, last, clamps, rooms, touching)
        qpos = last.qpos + step
        target = ServoTarget(qpos, (qpos - last.qpos) / CONTROL_PERIOD_S, gap, goal)
        return target, tuple(dict.fromkeys(clamps)) if clamps else ()

    def _finite(self, wish: Control, last: ServoTarget, clamps: list[str]) -> tuple[Floats, float]:
        qpos = np.asarray(wish.qpos, dtype=float)
        if qpos.shape != last.qpos.shape:
            raise BadInput(f"A control of {self.arm.name} has {len(last.qpos)} joint angles, not shape {qpos.shape}.")
        numbers, gripper = qpos.tolist(), float(wish.gripper)
        if math.isfinite(sum(numbers, gripper)):
            return numbers, gripper
        finite = np.isfinite(qpos)
        if not finite.all() or not math.isfinite(gripper):  # else only the sum is too large
            clamps.append("not_finite")
        return np.where(finite, qpos, last.qpos).tolist(), gripper if math.isfinite(gripper) else last.gripper

    # For six or seven numbers lists are faster than arrays: this runs in every control period.

    def _step(self, goal: Floats, last: ServoTarget, measured: Floats, clamps: list[str]) -> Floats:
        """The step towards the goal, rad, that the joints' own limits allow."""
        start, before = last.qpos.tolist(), [speed * CONTROL_PERIOD_S for speed in last.velocity.tolist()]
        step = self._slowed(list(map(sub, goal, start)), before, goal == last.goal, clamps)
        stopped = self._within_stops(step, start)
        if stopped is not step and max(map(abs, map(sub, stopped, step))) > CLAMP_TOLERANCE:
            clamps.append("joint_limit")
        return _unblocked(stopped, start, measured, clamps)

    def _slowed(self, step: Floats, before: Floats, waits: bool, clamps: list[str]) -> Floats:
        """The step that speed and acceleration allow. Too large a step, or change of it, is shortened as a whole.

        Args:
            step: rad, to the goal.
            before: rad, the step before.
            waits: whether the goal has stayed where it was: then the arm has to come to rest there.
            clamps: gets the names of the limits.
        """
        excess = _largest_share(step, self._max_steps)
        if waits and any(step):
            most = list(map(stoppable_step, map(abs, step), self._braking_gains))
            if any(abs(s) > m * (1 + CLAMP_TOLERANCE) for s, m in zip(step, most, strict=True)):
                clamps.append("joint_acceleration")
                step = [min(max(s, -m), m) for s, m in zip(step, most, strict=True)]
        if excess > 1 + CLAMP_TOLERANCE:
            clamps.append("joint_velocity")
            excess = max(_largest_share(step, self._max_steps), 1.0)
            step = [s / excess for s in step]
        change = list(map(sub, step, before))
        excess = _largest_share(change, self._max_gains)
        if excess > 1 + CLAMP_TOLERANCE:
            clamps.append("joint_acceleration")
            step = [b + FOLLOWED_SHARE * c / excess for b, c in zip(before, change, strict=True)]
        if _largest_share(step, self._max_steps) <= MAX_SPEED_RATIO / 2 - CLAMP_TOLERANCE:
            return step
        # A servo that meets a target in time ends a period faster than its mean by as much as that has risen.
        risen = [max(b if s > 0 else -b, 0.0) for s, b in zip(step, before, strict=True)]
        fastest = [(MAX_SPEED_RATIO * most + b) / 2 for most, b in zip(self._max_steps, risen, strict=True)]
        if any(map(gt, map(abs, step), fastest)):
            clamps.append("joint_velocity")
            step = [min(max(s, -most), most) for s, most in zip(step, fastest, strict=True)]
        return step

    def _within_stops(self, step: Floats, start: Floats) -> Floats:
        """The step, so that every joint can still brake in front of its stop; the same list if it can."""
        if all(map(gt, start, self._near_lower)) and all(map(gt, self._near_upper, start)):
            return step
        joints = zip(step, start, self._lower, self._upper, self._braking_gains, strict=True)
        if _largest_share(step, self._braking_gains) <= 0.5:
            return [min(max(s, low - at), high - at) for s, at, low, high, _ in joints] if any(step) else step
        return [
            min(s, stoppable_step(max(high - at, 0.0), gain))
            if s > 0
            else max(s, -stoppable_step(max(at - low, 0.0), gain))
            for s, at, low, high, gain in joints
        ]

    def _inside(
        self,
        step: np.ndarray,
        last: ServoTarget,
        clamps: list[str],
        rooms: tuple[Room, Room] | None,
        touching: Room | None,
    ) -> np.ndarray:
        """The step if the arm can stop in the workspace after it, else one along the boundary, else the arm brakes.

        rooms: if some joints may not follow, what there is for those that do: for a wish, and on the way back inside.
        touching: as in ``limit``.
        """
        if rooms is not None and (shorter := rooms[0].shortened(step)) is not step:
            clamps.append("workspace")
            step = shorter
        start = last.qpos
        lift = self._violation(start + step, step)
        if lift is None:
            return step
        clamps.append("table" if lift[2] > 0 else "workspace")
        before = last.velocity * CONTROL_PERIOD_S
        slowest = np.maximum(before - self.max_gain, -self.max_step)
        fastest = np.minimum(before + self.max_gain, self.max_step)
        for _ in range(4):
            jacobian = self.kinematics.jacobian()
            push = np.concatenate([lift * 1.001 + np.sign(lift) * 1e-5, np.zeros(3)])
            shift = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-4 * np.eye(6), push)
            periods = 1 + np.floor(np.abs(step) / self.braking_gain)  # a faster joint also stops further on
            step = step + shift / periods
            step = np.array(self._within_stops(clamp(step, slowest, fastest).tolist(), start.tolist()))
            step = step if rooms is None else rooms[1].shortened(step)
            step = step if touching is None else touching.shortened(step)
            lift = self._violation(start + step, step)
            if lift is None:
                return step
        slower = braked(before, self.braking_gain)
        outside = None if np.count_nonzero(slower) else self._violation(start, slower)
        if outside is None:
            return slower
        further = self._violation(start + step, np.zeros_like(step))  # it was pushed out: only nearer is better
        return step if further is None or np.abs(further).max() < np.abs(outside).max() else slower

    def _room(self, qpos: np.ndarray, margin: float) -> Room:
        """What there is around the tcp of an arm that rests at qpos (n,) rad.

        margin: kept from the sides and the top of the workspace, m.
        """
        self.kinematics.set(qpos)
        above, below = self._highest - margin - self._tcp, self._tcp - self._lowest
        below = below - margin * HORIZONTAL_AXES
        return Room(self.kinematics.jacobian()[:3].copy(), np.maximum(above, 0.0), np.maximum(below, 0.0))

    def _violation(self, qpos: np.ndarray, step: np.ndarray) -> np.ndarray | None:
        """What is wrong with a step to qpos, or with braking behind it.

        Returns:
            (3,) m: the shift of the hand that would bring it back inside where it first leaves; None if it never does.
            The scratch arm stands there.
        """
        slack = REACH_M * sum(map(braking_distance, map(abs, step.tolist()), self._braking_gains))
        self.kinematics.set(qpos)
        (x, y, z), (x_min, y_min, z_min), (x_max, y_max, z_max) = self._tcp.tolist(), self._tcp_lower, self._tcp_upper
        within = x_min + slack <= x <= x_max - slack and y_min + slack <= y <= y_max - slack
        if within and z_min + slack <= z <= z_max - slack:
            lowest = min((self._heights.take(self.touching) - self._radii).tolist())
            if lowest > MIN_GEOM_HEIGHT_M + slack:  # no box can reach the table
                return None
        if (shift := self._shift()) is not None:
            return shift
        for moved in braking_path(step, self.braking_gain):
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


def _largest_share(step: Floats, most: Floats) -> float:
    """The largest part that a joint's step is of what it may be at most."""
    return max(map(truediv, map(abs, step), most))


def _unblocked(step: Floats, start: Floats, measured: Floats, clamps: list[str]) -> Floats:
    """Joints that cannot follow wait: their target stays where it is until they do, or until it turns back."""
    behind = list(map(abs, map(sub, start, measured)))
    if max(behind) <= MAX_LAG_RAD:
        return step
    joints = list(zip(step, start, measured, behind, strict=True))
    waits = [lag > MAX_LAG_RAD and abs(at + s - is_at) > lag for s, at, is_at, lag in joints]
    if any(waits):
        clamps.append("blocked")
    return [0.0 if wait else s for wait, s in zip(waits, step, strict=True)]
