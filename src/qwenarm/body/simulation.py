"""The simulated arm at its table: controls in, pictures and state out. One instance is one episode's world."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.kinematics import Kinematics, Solution, subtree_bodies
from qwenarm.body.rendering.renderer import Renderer
from qwenarm.body.safety import CONTROL_PERIOD_S, Safety, ServoTarget
from qwenarm.body.scene import Scene, compile_scene
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.errors import BadInput
from qwenarm.types import Control, Frame, Proprio, SkillCall

MIN_HELD_GAP_M = 0.004
"""Fingers that stand still this much wider than told, in m, hold something."""
MAX_STILL_SPEED_M_PER_S = 0.05
"""Slower than this, in m/s, fingers stand still: they close at twice that, and a grip may twitch at half of it."""


class Body:
    """The world of one episode. Same scene, arm and controls give the same bits, whatever ran before in the process.

    clamps: how often each safety limit changed a control since the reset. seconds: wall seconds spent in "physics" and
    "render". said: what was told to people since the reset. loose: for so many more control periods the fingers are
    open, whatever they are told. after_step: called with the Body after every control
    period, for what goes on by itself. Frames are drawn lazily; a Body belongs to the thread that draws its first
    frame.
    """

    def __init__(self, scene: Scene, arm: Arm) -> None:
        self.scene = scene
        self.arm = arm
        self.model = compile_scene(scene, arm)
        self.data = mujoco.MjData(self.model)
        self.kinematics = Kinematics(self.model, arm)
        self.safety = Safety(self.kinematics)
        self.clamps: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.said: list[SkillCall] = []
        self.forced_open_periods = 0
        self.after_step: list[Callable[[Body], None]] = []
        self._servos = Servos(self.model, arm)
        self._objects = [self.model.body(p.spec.id).id for p in scene.objects]
        dofs = [(int(self.model.body_dofadr[i]), min(3, int(self.model.body_dofnum[i]))) for i in self._objects]
        self._moves = [slice(first, first + count) for first, count in dofs]  # of a free joint the velocity alone
        self._fingers = [subtree_bodies(self.model, self.model.body(name).id) for name in arm.finger_bodies]
        self._finger_qpos = [int(self.model.joint(name).qposadr[0]) for name in arm.finger_joints]
        self._finger_dofs = [self.model.joint(name).dofadr[0] for name in arm.finger_joints]
        self._cameras = {camera.name: int(self.model.camera(camera.name).id) for camera in scene.cameras}
        self._site = self.model.site(arm.tcp_site).id
        self._tcp = self.data.site_xpos[self._site]  # a view, as those below: to fetch one costs more than to read it
        self._renderer: Renderer | None = None
        self._diverged = [self.data.warning[int(kind)] for kind in _DIVERGENCE_WARNINGS]
        self.reset()

    def reset(self) -> None:
        """Back to the scene's start: arm at home with open fingers, clock and counters at zero."""
        mujoco.mj_resetData(self.model, self.data)
        home = np.array(self.arm.home_qpos)
        self.data.qpos[self.kinematics.qpos_adr] = home
        self.data.qpos[self._finger_qpos] = self.arm.max_gap / len(self._finger_qpos) / self.arm.gap_scale
        self.target = ServoTarget(home, np.zeros_like(home), self.arm.max_gap)
        self._gap = self.arm.max_gap
        self.data.ctrl[:] = self._servos.between(home, self.target, self._gap, self._gap)[-1]
        mujoco.mj_forward(self.model, self.data)
        self.clamps.clear()
        self.seconds.clear()
        self.said.clear()
        self.forced_open_periods = 0

    @property
    def time_s(self) -> float:
        """Simulated seconds since the reset."""
        return float(self.data.time)

    def step(self, control: Control) -> None:
        """Moves on by one control period (50 ms) towards what the safety layer makes of the control.

        Targets are interpolated over the period. Raises BadInput for a wrong number of joints, RuntimeError if the
        physics diverged, which the limits are there to prevent.
        """
        began, last = time.perf_counter(), self.target
        target, clamps = self.safety.limit(control, last, self.data.qpos[self.kinematics.qpos_adr])
        self.clamps.update(clamps)
        self.target = target
        reach = self.arm.gripper_speed * CONTROL_PERIOD_S
        wanted = self.arm.max_gap if self.forced_open_periods else target.gripper
        gap = self._gap + float(np.clip(wanted - self._gap, -reach, reach))
        self.forced_open_periods = max(0, self.forced_open_periods - 1)
        for ctrl in self._servos.between(last.qpos, target, self._gap, gap):
            self.data.ctrl[:] = ctrl
            mujoco.mj_step(self.model, self.data)
        self._gap = gap
        # A step leaves positions from before its integration: bring sites, bodies and cameras up to date with qpos.
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self.seconds["physics"] += time.perf_counter() - began
        position, velocity, acceleration = self._diverged
        if position.number or velocity.number or acceleration.number:
            raise RuntimeError(f"The physics diverged at {self.time_s:.2f} s.")
        for happen in self.after_step:
            happen(self)

    def hold(self) -> Control:
        """The control that keeps the arm and the fingers where they were last sent."""
        return Control(self.target.qpos.copy(), self.target.gripper)

    def ik(self, pos: np.ndarray, quat: np.ndarray, q0: np.ndarray | None = None) -> Solution:
        """Joint angles for a tcp pose, near q0 or else near where the arm was last sent (see Kinematics.ik)."""
        return self.kinematics.ik(pos, quat, self.target.qpos if q0 is None else q0)

    def proprio(self) -> Proprio:
        """What the arm's own sensors say."""
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, self.data.site_xmat[self._site])
        gap = self.gripper_width
        speed = float(np.abs(self.data.qvel[self._finger_dofs]).max())
        holding = (
            gap > MIN_HELD_GAP_M and gap - self.target.gripper > MIN_HELD_GAP_M and speed < MAX_STILL_SPEED_M_PER_S
        )
        return Proprio(self.data.qpos[self.kinematics.qpos_adr].copy(), self.tcp_pos, quat, gap, holding)

    @property
    def tcp_pos(self) -> np.ndarray:
        """(3,) m: where the tcp is now, a copy."""
        return self._tcp.copy()

    @property
    def gripper_width(self) -> float:
        """The gap between the pads now, m."""
        qpos = self.data.qpos
        return float(sum(qpos[i] for i in self._finger_qpos)) * self.arm.gap_scale

    def state(self) -> WorldState:
        """The privileged truth: for tasks, the oracle and labels, never for a policy."""
        objects, qvel = {}, self.data.qvel
        poses = zip(self.data.xpos[self._objects], self.data.xquat[self._objects], strict=True)  # copies of them
        for placement, moves, (pos, quat) in zip(self.scene.objects, self._moves, poses, strict=True):
            objects[placement.spec.id] = ObjectState(placement.spec, pos, quat, math.hypot(*qvel[moves].tolist()))
        return WorldState(objects, self._held(), self.tcp_pos, self.gripper_width, self.time_s, tuple(self.said))

    def _held(self) -> str | None:
        """The object that both fingers touch."""
        bodies = self.model.geom_bodyid[self.data.contact.geom].tolist()
        touched = [
            {b if a in finger else a for a, b in bodies if (a in finger) != (b in finger)} for finger in self._fingers
        ]
        for placement, body in zip(self.scene.objects, self._objects, strict=True):
            if all(body in some for some in touched):
                return placement.spec.id
        return None

    def frame(
        self, camera: str, size: tuple[int, int] = (224, 320), depth: bool = False, shadows: bool = False
    ) -> Frame:
        """A picture from a camera of the scene. size: (H, W) pixels. Raises BadInput for an unknown camera."""
        self._camera_id(camera)
        with self._rendering():
            rgb = self._draw.rgb(self.data, camera, size, shadows=shadows)
        return Frame(rgb, camera, self.depth(camera, size) if depth else None)

    def depth(self, camera: str, size: tuple[int, int]) -> np.ndarray:
        """(H, W) float32: metres along the optical axis, inf where there is nothing. Raises BadInput as frame does."""
        self._camera_id(camera)
        with self._rendering():
            return self._draw.depth(self.data, camera, size)

    def segmentation(self, camera: str, size: tuple[int, int]) -> np.ndarray:
        """(H, W) int32: for every pixel the index of the object in ``scene.objects`` that is seen there, else -1."""
        self._camera_id(camera)
        with self._rendering():
            geoms = self._draw.segmentation(self.data, camera, size)
        owner = np.full(self.model.ngeom + 1, -1, dtype=np.int32)  # the last entry answers for geom -1: background
        for index, body in enumerate(self._objects):
            owner[:-1][self.model.geom_bodyid == body] = index
        return owner[geoms]

    def camera_pose(self, camera: str) -> tuple[np.ndarray, np.ndarray, float]:
        """Position (3,) m, rotation (3, 3) with columns right, up, backwards, and vertical field of view in degrees."""
        i = self._camera_id(camera)
        return self.data.cam_xpos[i].copy(), self.data.cam_xmat[i].reshape(3, 3).copy(), float(self.model.cam_fovy[i])

    def final_hash(self) -> str:
        """sha256, in hex, over the bytes of qpos and qvel: equal hashes mean equal states, bit for bit."""
        return hashlib.sha256(self.data.qpos.tobytes() + self.data.qvel.tobytes()).hexdigest()

    def close(self) -> None:
        """Gives the drawing resources back; the next frame takes new ones."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    @property
    def _draw(self) -> Renderer:
        if self._renderer is None:
            self._renderer = Renderer(self.model)
        return self._renderer

    def _camera_id(self, camera: str) -> int:
        if camera not in self._cameras:
            raise BadInput(f"No camera {camera!r} in the scene; there are {', '.join(self._cameras)}.")
        return self._cameras[camera]

    @contextmanager
    def _rendering(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds["render"] += time.perf_counter() - start


class Servos:
    """Turns targets into ``data.ctrl``: finds each joint's position servo and tells it the velocity that is wanted."""

    def __init__(self, model: mujoco.MjModel, arm: Arm) -> None:
        joints = [model.joint(name).id for name in arm.joints]
        on_joint = model.actuator_trntype == int(mujoco.mjtTrn.mjTRN_JOINT)
        self._ids = [int(np.flatnonzero(on_joint & (model.actuator_trnid[:, 0] == j))[0]) for j in joints]
        self._finger = model.actuator(arm.finger_actuator).id
        # A servo kp (u - q) - kv v on a joint with friction d v follows without lag if sent ahead by (kv + d) / kp v.
        braking = model.dof_damping[model.jnt_dofadr[joints]] - model.actuator_biasprm[self._ids, 2]
        self._ahead = braking / model.actuator_gainprm[self._ids, 0]
        self._parts = np.linspace(0.0, 1.0, round(CONTROL_PERIOD_S / model.opt.timestep) + 1)[1:, None]
        self._nu = model.nu
        closed, opened = arm.finger_ctrl or (0.0, arm.max_gap)
        self._closed, self._slope = closed, (opened - closed) / arm.max_gap

    def between(self, start: np.ndarray, target: ServoTarget, gap: float, next_gap: float) -> np.ndarray:
        """(steps, nu) controls of one period: straight from joint angles start (n,) to the target, fingers likewise."""
        ctrl = np.zeros((len(self._parts), self._nu))
        ctrl[:, self._ids] = start + self._parts * (target.qpos - start) + self._ahead * target.velocity
        ctrl[:, self._finger] = self._closed + self._slope * (gap + self._parts[:, 0] * (next_gap - gap))
        return ctrl


_DIVERGENCE_WARNINGS = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)
