"""What the servos are told in every physics step of a control period."""

from __future__ import annotations

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.kinematics import as_index
from qwenarm.body.safety import CONTROL_PERIOD_S, ServoTarget


class Servos:
    """Turns targets into ``data.ctrl``: finds each joint's position servo and tells it the velocity that is wanted."""

    def __init__(self, model: mujoco.MjModel, arm: Arm) -> None:
        joints = [model.joint(name).id for name in arm.joints]
        on_joint = model.actuator_trntype == int(mujoco.mjtTrn.mjTRN_JOINT)
        ids = np.array([np.flatnonzero(on_joint & (model.actuator_trnid[:, 0] == joint))[0] for joint in joints])
        # A servo kp (u - q) - kv v on a joint with friction d v follows without lag if sent ahead by (kv + d) / kp v.
        braking = model.dof_damping[model.jnt_dofadr[joints]] - model.actuator_biasprm[ids, 2]
        self._lead_s = braking / model.actuator_gainprm[ids, 0]
        self._shares = np.linspace(0.0, 1.0, round(CONTROL_PERIOD_S / model.opt.timestep) + 1)[1:]
        self._share_column = self._shares[:, None]
        self._controls = np.zeros((len(self._shares), model.nu))
        self._joint_index = as_index(ids)
        self._joint_controls = self._controls[:, self._joint_index]
        self._is_view = np.shares_memory(self._joint_controls, self._controls)
        self._finger_controls = self._controls[:, model.actuator(arm.finger_actuator).id]
        closed, opened = arm.finger_ctrl or (0.0, arm.max_gap)
        self._closed, self._slope = closed, (opened - closed) / arm.max_gap

    def controls(self, start: np.ndarray, target: ServoTarget, gap: float, next_gap: float) -> np.ndarray:
        """(steps, nu) controls of one period; the array is reused by the next call.

        Args:
            start: (n,) rad, where the joints were last sent; they go straight from there to the target.
            target: where they are sent by the end of the period.
            gap: where the fingers were last sent, m.
            next_gap: where they are sent by the end of the period, m.
        """
        joints = self._joint_controls
        np.multiply(self._share_column, target.qpos - start, out=joints)
        joints += start
        joints += self._lead_s * target.velocity
        if not self._is_view:
            self._controls[:, self._joint_index] = joints
        gaps = gap if gap == next_gap else gap + self._shares * (next_gap - gap)
        self._finger_controls[:] = self._closed + self._slope * gaps
        return self._controls
