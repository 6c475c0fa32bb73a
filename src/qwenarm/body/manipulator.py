"""One arm of the simulation: its kinematics, safety limits, gripper and servos, and where it was last sent."""

from __future__ import annotations

from collections.abc import Sequence
from operator import gt, sub

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.kinematics import Kinematics, Solution, clamp
from qwenarm.body.model_indices import as_index
from qwenarm.body.room import Room
from qwenarm.body.safety import CONTROL_PERIOD_S, MAX_LAG_RAD, TCP_LIMITS_M, Safety, ServoTarget
from qwenarm.types import Control

MAX_CONTACT_FORCE_N = 140.0
"""Where the arm's contacts press harder in all, it collides: what a hand may bear (ISO/TS 15066:2016, table A.2), N."""
MAX_SPEED_SHARE = 1.1
"""A joint that moves faster than this share of its limit was pushed."""
MAX_TCP_EXCESS_M = 0.005
"""A tcp further outside of the workspace than this was pushed, m."""
DISTURBANCE_NAMES = ("tcp_outside", "overspeed", "self_collision", "contact_force")
"""What is counted in ``Body.clamps`` for a period that ends so, as seen in the state."""
YIELDING_DISTURBANCES = frozenset(DISTURBANCE_NAMES) - {"overspeed"}
"""Disturbances to which the arm yields until it follows its targets again: it goes on from where it was pushed."""
MAX_PUSHED_LAG_RAD = 2 * MAX_LAG_RAD
"""A joint further than this from its target does not only wait, but is pushed away from it, rad."""
MAX_FOLLOWING_LAG_RAD = 0.01
"""Joints that nothing is in the way of end a period nearer to their target than this, rad."""


class Manipulator:
    """An arm in a compiled model with its data.

    Attributes:
        arm: its entry.
        target: where the safety layer last sent the arm and the gripper.
        gripper: its gripper in this model.
        root: id of the body on which it stands.
    """

    def __init__(self, arm: Arm, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self.arm, self.model, self.data = arm, model, data
        self.kinematics = Kinematics(model, arm)
        self.safety = Safety(self.kinematics)
        self.gripper = arm.gripper.mount(model, data)
        self.root = int(model.body_rootid[model.joint(arm.joints[0]).bodyid[0]])
        self._own = model.body_rootid[model.geom_bodyid] == self.root
        self._fixed = model.body_weldid[model.geom_bodyid] == 0
        self._servos = _Servos(model, arm)
        self._index, self._dofs = as_index(self.kinematics.qpos_adr), as_index(self.kinematics.dof_adr)
        self._top_speeds = (MAX_SPEED_SHARE * self.safety.max_velocity).tolist()
        self._tcp_lower = (TCP_LIMITS_M[0] - MAX_TCP_EXCESS_M).tolist()
        self._tcp_upper = (TCP_LIMITS_M[1] + MAX_TCP_EXCESS_M).tolist()
        site = model.site(arm.tcp_site).id
        # Views into the data, for to fetch one costs more than to read it.
        self._qpos, self._qvel = data.qpos, data.qvel
        self._tcp, self._tcp_mat = data.site_xpos[site], data.site_xmat[site]

    def reset(self, controls: np.ndarray) -> None:
        """Puts the arm at home with an open gripper. controls: (steps, nu), of which only this arm's are written."""
        home = np.array(self.arm.home_qpos)
        self._qpos[self._index] = home
        self._disturbed: list[str] = []
        self._held_up = False
        self._touching: Room | None = None
        self._has_met_arm = False
        self.gripper.open()
        self.target = ServoTarget(home, np.zeros_like(home), self.arm.max_gap)
        self._gap = self.arm.max_gap
        self._servos.write(controls, home, self.target, self._gap, self._gap)

    @property
    def qpos(self) -> np.ndarray:
        """(n,) rad: where the joints are now, a copy."""
        return self._qpos[self._index].copy()

    @property
    def tcp_pos(self) -> np.ndarray:
        """(3,) m: where the tcp is now, a copy."""
        return self._tcp.copy()

    @property
    def tcp_quat(self) -> np.ndarray:
        """(4,) wxyz: how the tcp is turned now."""
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, self._tcp_mat)
        return quat

    def hold(self) -> Control:
        """The control that keeps the arm and the gripper where they were last sent."""
        return Control(self.target.qpos.copy(), self.target.gripper)

    def ik(self, pos: np.ndarray, quat: np.ndarray, q0: np.ndarray | None = None) -> Solution:
        """Joint angles for a tcp pose, near q0 or else near where the arm was last sent (see Kinematics.ik)."""
        return self.kinematics.ik(pos, quat, self.target.qpos if q0 is None else q0)

    def aim(self, control: Control, controls: np.ndarray, forced_open: bool = False) -> Sequence[str]:
        """Sends the arm for one period towards what the safety layer makes of a control.

        Args:
            control: What is wanted.
            controls: (steps, nu) controls of the period, of which only this arm's are written.
            forced_open: Whether the gripper opens whatever it is told.

        Returns:
            The names of the clamps it took.

        Raises:
            BadInput: The number of joints is wrong.
        """
        measured = self._qpos[self._index]
        self._held_up = self._is_held_up(measured)
        last = self._yielding(measured) if self._held_up else self.target
        self.target, clamps = self.safety.limit(control, last, measured, self._held_up, self._touching)
        gap, self._gap = self._gap, self._next_gap(self.arm.max_gap if forced_open else self.target.gripper)
        self._servos.write(controls, last.qpos, self.target, gap, self._gap)
        return clamps

    def meet_arm(self, geoms: np.ndarray, controls: np.ndarray) -> None:
        """Sends the arm to where it is now, if it has begun to touch another one, or itself.

        Args:
            geoms: (contacts, 2) ids of the geoms of arms that touch each other.
            controls: (steps, nu) of the period, of which only this arm's are written.
        """
        if self._touching is not None or not self._own[geoms].any():
            return
        self._has_met_arm = True
        self.target = self._yielding(self._qpos[self._index])
        self._servos.write(controls, self.target.qpos, self.target, self._gap, self._gap)

    def find_disturbances(self, geoms: np.ndarray | None, of_arms: np.ndarray) -> Sequence[str]:
        """What went wrong in this period although every target was safe: names from DISTURBANCE_NAMES.

        Args:
            geoms: (contacts, 2) ids of the geoms that touch; None without contacts.
            of_arms: (geoms,) bool, which belong to an arm, this one or a partner.
        """
        self._disturbed = found = self._pushed()
        self._touching, self._has_met_arm, has_met_arm = None, False, self._has_met_arm
        if has_met_arm:
            found.append("self_collision")
        if geoms is None:
            return found
        of_own = self._own[geoms]
        if not np.count_nonzero(of_own):
            return found
        touching = of_own.any(axis=1)
        if (touching & of_arms[geoms].all(axis=1)).any():
            if not has_met_arm:
                found.append("self_collision")
            on_solid = touching & (of_arms | self._fixed)[geoms].all(axis=1)
            self._touching = self._room_to_contacts(np.flatnonzero(on_solid))
        rows = self.data.contact.efc_address[touching]
        pressed = self.data.efc_force[rows[rows >= 0]]  # the normal force comes first in the rows of a contact
        if pressed.sum() > MAX_CONTACT_FORCE_N:
            found.append("contact_force")
        return found

    def _room_to_contacts(self, contacts: np.ndarray) -> Room:
        """No room into contacts, given by their numbers in the data, and enough out of them."""
        model, data, none = self.model, self.data, np.zeros(len(contacts))
        approach, moved = np.zeros((len(contacts), model.nv)), np.zeros((2, 3, model.nv))
        for contact, row in zip(contacts.tolist(), approach, strict=True):
            at = data.contact[contact]
            for geom, each in zip(at.geom, moved, strict=True):
                mujoco.mj_jac(model, data, each, None, at.pos, model.geom_bodyid[geom])
            row[:] = at.frame[:3] @ (moved[0] - moved[1])  # the normal points from the first geom to the second
        return Room(approach[:, self._dofs], none, none + 1.0)

    def _pushed(self) -> list[str]:
        found: list[str] = []
        (x, y, z), (x_min, y_min, z_min), (x_max, y_max, z_max) = self._tcp.tolist(), self._tcp_lower, self._tcp_upper
        inside = x_min <= x <= x_max and y_min <= y <= y_max and z_min <= z <= z_max
        if not inside and np.abs(self.target.qpos - self.qpos).max() > MAX_LAG_RAD / 2:
            found.append("tcp_outside")
        if any(map(gt, map(abs, self._qvel[self._dofs].tolist()), self._top_speeds)):
            found.append("overspeed")
        return found

    def _is_held_up(self, measured: np.ndarray) -> bool:
        """Whether something is in the arm's way: from a disturbance on until all of its joints follow again."""
        lag = max(map(abs, map(sub, self.target.qpos.tolist(), measured.tolist())))
        disturbed = not YIELDING_DISTURBANCES.isdisjoint(self._disturbed)
        return disturbed or lag > (MAX_FOLLOWING_LAG_RAD if self._held_up else MAX_PUSHED_LAG_RAD)

    def _yielding(self, measured: np.ndarray) -> ServoTarget:
        """A target that pushes no more: the arm rests where it is."""
        qpos = clamp(measured, self.safety.lower, self.safety.upper)
        return ServoTarget(qpos, np.zeros_like(qpos), self.target.gripper)

    def _next_gap(self, wanted: float) -> float:
        """Where the gripper is sent by the end of this period, m."""
        reach = self.arm.gripper.speed * CONTROL_PERIOD_S
        return self._gap + min(max(wanted - self._gap, -reach), reach)


class _Servos:
    """Turns targets into controls: finds each joint's position servo and tells it the velocity that is wanted."""

    def __init__(self, model: mujoco.MjModel, arm: Arm) -> None:
        joints = [model.joint(name).id for name in arm.joints]
        on_joint = model.actuator_trntype == int(mujoco.mjtTrn.mjTRN_JOINT)
        ids = np.array([np.flatnonzero(on_joint & (model.actuator_trnid[:, 0] == joint))[0] for joint in joints])
        # A servo kp (u - q) - kv v on a joint with friction d v follows without lag if sent ahead by (kv + d) / kp v.
        braking = model.dof_damping[model.jnt_dofadr[joints]] - model.actuator_biasprm[ids, 2]
        self._lead_s = braking / model.actuator_gainprm[ids, 0]
        self._shares = np.linspace(0.0, 1.0, round(CONTROL_PERIOD_S / model.opt.timestep) + 1)[1:, None]
        grips = [model.actuator(name).id for name in arm.gripper.actuators]
        self._columns = as_index(np.array([*ids, *grips]))
        closed, opened = arm.gripper.ctrl
        slope = (opened - closed) / arm.gripper.max_gap
        # One number for each column: joints in front of the gripper.
        self._first, self._change, self._ahead = (np.zeros(len(ids) + len(grips)) for _ in range(3))
        self._scale = np.append(np.ones(len(ids)), [slope] * len(grips))
        self._ahead[len(ids) :] = closed
        self._joints, self._grip = slice(0, len(ids)), slice(len(ids), None)

    def write(self, controls: np.ndarray, start: np.ndarray, target: ServoTarget, gap: float, next_gap: float) -> None:
        """Writes the controls of one period.

        Args:
            controls: (steps, nu), of which only this arm's are written.
            start: (n,) rad, where the joints were last sent; they go straight from there to the target.
            target: where they are sent by the end of the period.
            gap: where the fingers were last sent, m.
            next_gap: where they are sent by the end of the period, m.
        """
        joints, grip, first, change = self._joints, self._grip, self._first, self._change
        first[joints], first[grip] = start, gap
        np.subtract(target.qpos, start, out=change[joints])
        change[grip] = next_gap - gap
        np.multiply(self._lead_s, target.velocity, out=self._ahead[joints])
        wanted = controls[:, self._columns]
        np.multiply(self._shares, change, out=wanted)
        wanted += first
        wanted *= self._scale
        wanted += self._ahead
        if not isinstance(self._columns, slice):
            controls[:, self._columns] = wanted
