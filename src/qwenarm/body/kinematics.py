"""Forward and inverse kinematics of an arm, on a scratch MjData of its own: a query never disturbs the simulation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from operator import ge

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.model_indices import as_index

POSITION_TOLERANCE_M = 5e-4
ROTATION_TOLERANCE_RAD = 5e-3
"""A solution within both tolerances counts as reached."""
SEARCH_TOLERANCE_SHARE = 0.1
"""The search itself goes on to this part of the tolerances."""
MAX_ARRIVED_ERROR_NORM = 1.01 * SEARCH_TOLERANCE_SHARE * math.hypot(POSITION_TOLERANCE_M, ROTATION_TOLERANCE_RAD)
"""Whose error is longer than this, m and rad, has not arrived."""
MAX_IK_ITERATIONS = 60
MAX_STALLED_IK_ITERATIONS = 8
"""The search ends after so many iterations that do not reduce the error by 2 %."""
MAX_ITERATION_STEP_RAD = 0.35
"""Largest change of a joint in one iteration."""
RANDOM_IK_RESTARTS = 12
RESTART_SPREAD_RAD = 0.8


@dataclass(frozen=True)
class Solution:
    """The best joint angles found, qpos (n,) rad within the limits, and the errors they leave at the tcp, m and rad."""

    qpos: np.ndarray
    position_error: float
    rotation_error: float

    @property
    def reached(self) -> bool:
        return self.position_error < POSITION_TOLERANCE_M and self.rotation_error < ROTATION_TOLERANCE_RAD


def top_down(yaw: float) -> np.ndarray:
    """(4,) wxyz of a hand that points straight down and opens along the horizontal direction yaw (rad, 0 = world x).

    The fingers are symmetric: yaw and yaw + pi grasp alike. At pi/2 the hand stands as in the home pose.
    """
    # Rz(yaw - pi/2) after a turn by pi about x: the hand's z points down, its y along -(cos yaw, sin yaw).
    half = yaw / 2 - math.pi / 4
    return np.array([0.0, math.cos(half), math.sin(half), 0.0])


def clamp(values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """``np.clip`` at half its cost for short vectors."""
    return np.minimum(np.maximum(values, lower), upper)


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
        # Views and buffers, made once: for six or seven numbers a new view costs as much as the arithmetic.
        self._qpos, self._qpos_index, self._dof_index = self.data.qpos, as_index(self.qpos_adr), as_index(self.dof_adr)
        self._tcp_pos, self._tcp_mat = self.data.site_xpos[self._site], self.data.site_xmat[self._site]
        self._all_dofs = np.zeros((6, model.nv))
        self._all_dofs_halves = self._all_dofs[:3], self._all_dofs[3:]
        self._jacobian = np.zeros((len(joints), 6)).T
        self._error, self._quat, self._dual = np.zeros(6), np.zeros(4), np.zeros(6)
        self._quat_axis = self._quat[1:]
        self._position_error, self._rotation_error = self._error[:3], self._error[3:]
        self._square, self._rest = np.zeros((6, 6)), np.zeros(6)
        self._diagonal = self._square.ravel()[::7]
        self._limits = self.lower.tolist(), self.upper.tolist()
        self._pose = b""
        self._max_step = np.full(len(joints), MAX_ITERATION_STEP_RAD)
        self._min_step = -self._max_step
        # An arm in the middle looks straight ahead at home.
        self._home_heading = 0.0 if arm.base_xy == (0.0, 0.0) else self._heading(self.fk(self.home)[0])

    def set(self, qpos: np.ndarray) -> None:
        """Puts the scratch arm at qpos (n,) and updates the poses of its bodies, geoms and sites in ``data``."""
        pose = qpos.tobytes()
        if pose != self._pose:
            self._pose = pose
            self._qpos[self._qpos_index] = qpos
            mujoco.mj_kinematics(self.model, self.data)

    def fk(self, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) m and quaternion (4,) wxyz of the tcp at joint angles qpos (n,)."""
        self.set(qpos)
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, self._tcp_mat)
        return self._tcp_pos.copy(), quat

    def jacobian(self) -> np.ndarray:
        """(6, n) of the tcp at the pose last set: three rows of linear, three of angular velocity, world frame.

        The array is reused by the next call.
        """
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_jacSite(self.model, self.data, *self._all_dofs_halves, self._site)
        self._jacobian[:] = self._all_dofs[:, self._dof_index]
        return self._jacobian

    def ik(
        self,
        pos: np.ndarray,
        quat: np.ndarray,
        q0: np.ndarray | None = None,
        rest: np.ndarray | None = None,
        restarts: int = RANDOM_IK_RESTARTS,
    ) -> Solution:
        """Joint angles that bring the tcp to a pose. See ``Solution.reached``.

        A search that gets stuck is repeated from home turned towards the target, then from fixed random poses.

        Args:
            pos: (3,) m, where the tcp should be.
            quat: (4,) wxyz, its orientation.
            q0: (n,) rad, where the search starts; without it, at home turned towards the target.
            rest: (n,) rad, the pose to which a spare joint is drawn; home if None.
            restarts: How many random poses are tried before a pose counts as out of reach.
        """
        tried: list[Solution] = []
        rest = self.home if rest is None else rest
        for start in self._starts(pos, q0, restarts):
            tried.append(self._descend(np.asarray(pos), np.asarray(quat), clamp(start, self.lower, self.upper), rest))
            if tried[-1].reached:
                return tried[-1]
        return min(tried, key=lambda s: s.position_error + 0.1 * s.rotation_error)

    def _starts(self, pos: np.ndarray, q0: np.ndarray | None, restarts: int) -> Iterator[np.ndarray]:
        if q0 is not None:
            yield np.asarray(q0, dtype=float)
        aimed = self.home.copy()
        aimed[0] += self._heading(pos) - self._home_heading
        yield aimed
        rng = np.random.default_rng(0)
        for _ in range(restarts):
            yield aimed + rng.uniform(-RESTART_SPREAD_RAD, RESTART_SPREAD_RAD, len(aimed))

    def facing(self, qpos: np.ndarray, pos: np.ndarray) -> np.ndarray:
        """Where a search for a far pose begins: joint angles (n,) rad, with the first joint turned towards pos (3,) m.

        The targets of an arm in the middle are all ahead, and its joint angles stay as they are. One that stands beside
        has to turn by more than a right angle, on which the search might end with another elbow.
        """
        turned = qpos.copy()
        if self.arm.base_xy != (0.0, 0.0):
            turned[0] += self._heading(pos) - self._heading(self.fk(qpos)[0])
        return turned

    def _heading(self, pos: np.ndarray) -> float:
        """The direction of a point from the base, seen from above, rad."""
        x, y = self.arm.base_xy
        return math.atan2(pos[1] - y, pos[0] - x)

    def _descend(self, pos: np.ndarray, quat: np.ndarray, q: np.ndarray, rest: np.ndarray) -> Solution:
        """Damped least squares whose damping vanishes with the error (Sugihara, IEEE T-RO 27(5), 2011).

        The null space pulls towards rest. The search ends when it arrives, or when it no longer gets nearer.
        """
        far, norm = self._measure_error(q, pos, quat), mujoco.mju_norm
        best, patience, pressed = math.inf, MAX_STALLED_IK_ITERATIONS, self._is_pressed(q)
        for _ in range(MAX_IK_ITERATIONS):
            if (
                far < MAX_ARRIVED_ERROR_NORM
                and norm(self._position_error) < SEARCH_TOLERANCE_SHARE * POSITION_TOLERANCE_M
                and norm(self._rotation_error) < SEARCH_TOLERANCE_SHARE * ROTATION_TOLERANCE_RAD
            ):
                break
            patience = MAX_STALLED_IK_ITERATIONS if far < 0.98 * best else patience - 1
            if not patience:
                break
            best = min(best, far)
            jacobian, damping, pull = self.jacobian(), 0.5 * far * far + 1e-6, 0.1 * (rest - q)
            step = self._solve(jacobian, damping, pull)
            if pressed:
                # Joints pressed against a limit cannot help: take them out, so that the others do the work.
                free = ~(((q <= self.lower) & (step < 0)) | ((q >= self.upper) & (step > 0)))
                step = self._solve(jacobian * free, damping, pull) * free
            if max(map(abs, step.tolist())) > MAX_ITERATION_STEP_RAD:
                step = clamp(step, self._min_step, self._max_step)
            q = q + step
            if pressed := self._is_pressed(q):
                q = clamp(q, self.lower, self.upper)
            far = self._measure_error(q, pos, quat)
        return Solution(q, norm(self._position_error), norm(self._rotation_error))

    def _is_pressed(self, q: np.ndarray) -> bool:
        """Whether a joint is at its limit or beyond."""
        angles = q.tolist()
        return any(map(ge, self._limits[0], angles)) or any(map(ge, angles, self._limits[1]))

    def _solve(self, jacobian: np.ndarray, damping: float, pull: np.ndarray) -> np.ndarray:
        """The damped step (n,) towards the last error, and as much of the pull (n,) as costs no accuracy."""
        transposed, square, rest = jacobian.T, self._square, self._rest
        jacobian.dot(transposed, square)  # dot costs half of what @ does for arrays of this size
        self._diagonal += damping
        mujoco.mju_cholFactor(square, 0.0)
        np.subtract(self._error, jacobian.dot(pull, rest), rest)
        mujoco.mju_cholSolve(self._dual, square, rest)
        step = transposed.dot(self._dual)
        step += pull
        return step

    def _measure_error(self, q: np.ndarray, pos: np.ndarray, quat: np.ndarray) -> float:
        """Keeps the error (6,) of the tcp at q: m, and the rotation vector to the target in the world frame, rad.

        Returns its length.
        """
        self.set(q)
        np.subtract(pos, self._tcp_pos, out=self._position_error)
        mujoco.mju_mat2Quat(self._quat, self._tcp_mat)
        np.negative(self._quat_axis, self._quat_axis)
        mujoco.mju_mulQuat(self._quat, quat, self._quat)
        mujoco.mju_quat2Vel(self._rotation_error, self._quat, 1.0)
        return mujoco.mju_norm(self._error)
