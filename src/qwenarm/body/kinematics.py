"""Forward and inverse kinematics of an arm, on a scratch MjData of its own: asking never disturbs the simulation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm

POSITION_TOLERANCE_M = 5e-4
ROTATION_TOLERANCE_RAD = 5e-3
"""A solution within both counts as reached."""
MAX_ITERATIONS = 60
MAX_STALLED_ITERATIONS = 8
"""Iterations that may pass without getting nearer."""
RANDOM_RESTARTS = 12
MAX_ITERATION_STEP_RAD = 0.35
"""Largest change of a joint in one iteration, rad."""


@dataclass(frozen=True)
class Solution:
    """The best joint angles found, qpos (n,) rad within the limits, and how far off they leave the tcp (m, rad)."""

    qpos: np.ndarray
    position_error: float
    rotation_error: float

    @property
    def reached(self) -> bool:
        return self.position_error < POSITION_TOLERANCE_M and self.rotation_error < ROTATION_TOLERANCE_RAD


def top_down(yaw: float) -> np.ndarray:
    """(4,) wxyz of a hand that points straight down and opens along the horizontal direction yaw (rad, 0 = world x).

    Fingers are symmetric: yaw and yaw + pi grasp alike. At pi/2 the hand stands as at home.
    """
    # Rz(yaw - pi/2) after a turn by pi about x: the hand's z is down, its y along -(cos yaw, sin yaw).
    half = yaw / 2 - math.pi / 4
    return np.array([0.0, math.cos(half), math.sin(half), 0.0])


def subtree_bodies(model: mujoco.MjModel, root: int) -> set[int]:
    """The ids of a body and of all that hangs on it; parents come before children."""
    found, parents = {root}, model.body_parentid.tolist()
    for body in range(root + 1, model.nbody):
        if parents[body] in found:
            found.add(body)
    return found


class Kinematics:
    """Kinematics of the arm inside a compiled model; where the rest of the model stands does not matter."""

    def __init__(self, model: mujoco.MjModel, arm: Arm) -> None:
        self.model = model
        self.arm = arm
        joints = [model.joint(name).id for name in arm.joints]
        self.qpos_adr: np.ndarray = model.jnt_qposadr[joints]
        self.dof_adr: np.ndarray = model.jnt_dofadr[joints]
        self.lower: np.ndarray = model.jnt_range[joints, 0]
        self.upper: np.ndarray = model.jnt_range[joints, 1]
        self.home = np.array(arm.home_qpos)
        self.data = mujoco.MjData(model)
        self._site = model.site(arm.tcp_site).id
        self._tcp_pos, self._tcp_mat = self.data.site_xpos[self._site], self.data.site_xmat[self._site]  # views
        self._jacobian, self._dual, self._quat = np.zeros((6, model.nv)), np.zeros(6), np.zeros(4)

    def set(self, qpos: np.ndarray) -> None:
        """Puts the scratch arm at qpos (n,) and updates where everything of it is (``self.data``)."""
        self.data.qpos[self.qpos_adr] = qpos
        mujoco.mj_kinematics(self.model, self.data)

    def fk(self, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) m and quaternion (4,) wxyz of the tcp at joint angles qpos (n,)."""
        self.set(qpos)
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, self._tcp_mat)
        return self._tcp_pos.copy(), quat

    def jacobian(self) -> np.ndarray:
        """(6, n) of the tcp at the pose last set: three rows of linear, three of angular velocity, world frame."""
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_jacSite(self.model, self.data, self._jacobian[:3], self._jacobian[3:], self._site)
        return self._jacobian[:, self.dof_adr]

    def ik(
        self, pos: np.ndarray, quat: np.ndarray, q0: np.ndarray | None = None, rest: np.ndarray | None = None
    ) -> Solution:
        """Joint angles that bring the tcp to pos (3,) m, quat (4,) wxyz, near q0 (n,) or home. See Solution.reached.

        rest: (n,) joint angles to which a spare joint is drawn, rad; home if None.
        A descent that gets stuck is repeated from home turned towards the target, then from fixed random poses.
        """
        tried: list[Solution] = []
        rest = self.home if rest is None else rest
        for start in self._starts(pos, q0):
            start = np.minimum(np.maximum(start, self.lower), self.upper)
            tried.append(self._descend(np.asarray(pos), np.asarray(quat), start, rest))
            if tried[-1].reached:
                return tried[-1]
        return min(tried, key=lambda s: s.position_error + 0.1 * s.rotation_error)

    def _starts(self, pos: np.ndarray, q0: np.ndarray | None) -> Iterator[np.ndarray]:
        if q0 is not None:
            yield np.asarray(q0, dtype=float)
        aimed = self.home.copy()
        aimed[0] += math.atan2(pos[1], pos[0])
        yield aimed
        rng = np.random.default_rng(0)
        for _ in range(RANDOM_RESTARTS):
            yield aimed + rng.uniform(-0.8, 0.8, len(aimed))

    def _descend(self, pos: np.ndarray, quat: np.ndarray, q: np.ndarray, rest: np.ndarray) -> Solution:
        """Damped least squares whose damping vanishes with the error (Sugihara, IEEE T-RO 27(5), 2011).

        The null space pulls towards rest. Ends where it arrives, and where it comes no nearer.
        """
        error = self._error(q, pos, quat)
        far, best, patience = mujoco.mju_norm(error), math.inf, MAX_STALLED_ITERATIONS
        for _ in range(MAX_ITERATIONS):
            if (
                mujoco.mju_norm(error[:3]) < POSITION_TOLERANCE_M / 10
                and mujoco.mju_norm(error[3:]) < ROTATION_TOLERANCE_RAD / 10
            ):
                break
            patience = MAX_STALLED_ITERATIONS if far < 0.98 * best else patience - 1
            if not patience:
                break
            best = min(best, far)
            jacobian = self.jacobian()
            damping, pull = 0.5 * far * far + 1e-6, 0.1 * (rest - q)
            step = self._solve(jacobian, error, damping, pull)
            low, high = q <= self.lower, q >= self.upper
            if np.count_nonzero(low | high):  # a tenth of what any() takes
                # Joints pressed against a limit cannot help: take them out, so that the others do the work.
                free = ~((low & (step < 0)) | (high & (step > 0)))
                step = self._solve(jacobian * free, error, damping, pull) * free
            step = np.minimum(np.maximum(step, -MAX_ITERATION_STEP_RAD), MAX_ITERATION_STEP_RAD)
            q = np.minimum(np.maximum(q + step, self.lower), self.upper)
            error = self._error(q, pos, quat)
            far = mujoco.mju_norm(error)
        return Solution(q, mujoco.mju_norm(error[:3]), mujoco.mju_norm(error[3:]))

    def _solve(self, jacobian: np.ndarray, error: np.ndarray, damping: float, pull: np.ndarray) -> np.ndarray:
        """The damped step (n,) towards the error (6,), and as much of the pull (n,) as costs no accuracy."""
        square = jacobian @ jacobian.T
        square.ravel()[::7] += damping
        mujoco.mju_cholFactor(square, 0.0)
        mujoco.mju_cholSolve(self._dual, square, error - jacobian @ pull)
        return jacobian.T @ self._dual + pull

    def _error(self, q: np.ndarray, pos: np.ndarray, quat: np.ndarray) -> np.ndarray:
        """(6,) from the tcp at q to the target: m, and the rotation vector in the world frame, rad."""
        self.set(q)
        error = np.empty(6)
        error[:3] = pos - self._tcp_pos
        mujoco.mju_mat2Quat(self._quat, self._tcp_mat)
        mujoco.mju_negQuat(self._quat, self._quat)
        mujoco.mju_mulQuat(self._quat, quat, self._quat)
        mujoco.mju_quat2Vel(error[3:], self._quat, 1.0)
        return error
