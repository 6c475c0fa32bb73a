"""The simulated arm at its table: controls in, pictures and state out. One instance is one episode's world."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import gt, sub

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.held_object import HeldObject
from qwenarm.body.kinematics import Kinematics, Solution, as_index, clamp, subtree_bodies
from qwenarm.body.rendering.renderer import Renderer
from qwenarm.body.safety import CONTROL_PERIOD_S, MAX_LAG_RAD, TCP_LIMITS_M, Safety, ServoTarget
from qwenarm.body.scene import Scene, compile_scene
from qwenarm.body.servos import Servos
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.errors import BadInput
from qwenarm.types import Control, Frame, Proprio, SkillCall

MIN_HELD_GAP_M, MIN_WALL_GAP_M = 0.004, 0.001
"""Fingers that stand still this much further apart than they were told to hold something; the second where a hollow
object may be held by its wall."""
MAX_CONTACT_FORCE_N = 140.0
"""Where the arm's contacts press harder in all, it collides: what a hand may bear (ISO/TS 15066:2016, table A.2), N."""
MAX_SPEED_SHARE = 1.1
"""A joint that moves faster than this share of its limit was pushed."""
MAX_TCP_EXCESS_M = 0.005
"""A tcp further outside of the workspace than this was pushed, m."""
DISTURBANCE_NAMES = ("tcp_outside", "overspeed", "self_collision", "contact_force")
"""What is counted in ``clamps`` for a period that ends so, as seen in the state."""
MAX_PUSHED_LAG_RAD = 2 * MAX_LAG_RAD
"""A joint further than this from its target does not only wait, but is pushed away from it, rad."""
MAX_FOLLOWING_LAG_RAD = 0.01
"""Joints that nothing is in the way of end a period nearer to their target than this, rad."""
YIELDING_DISTURBANCES = frozenset(DISTURBANCE_NAMES) - {"overspeed"}
"""After these the arm yields, until it follows its targets again: it goes on from where it was pushed."""
MAX_STILL_SPEED_M_PER_S = 0.05
"""Slower fingers stand still: they close at twice that speed, and twitch at half of it while they grip."""


class Body:
    """The world of one episode. Same scene, arm and controls give the same bits, whatever ran before in the process.

    Frames are drawn lazily; a Body belongs to the thread that draws its first frame.

    Attributes:
        target: where the safety layer last sent the arm and the fingers.
        clamps: how often each safety limit changed a control, and how often the arm collided, since the reset.
        seconds: wall seconds spent in "physics" and "render" since the reset.
        said: what was told to people since the reset.
        held_object: how the hand holds what a pick has measured; None where objects are all alike.
        forced_open_periods: for so many more control periods the fingers open, whatever they are told.
        arm_geoms: ids of all geoms of arm and hand, (G,).
        after_step: called with the Body after every control period, for events that do not depend on the arm.
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
        self.held_object: HeldObject | None = None
        self.forced_open_periods = 0
        self.after_step: list[Callable[[Body], None]] = []
        self._min_held_gap = MIN_WALL_GAP_M if scene.has_any_shape else MIN_HELD_GAP_M
        self._servos = Servos(self.model, arm)
        self._specs = {p.spec.id: p.spec for p in scene.objects}
        self._objects = np.array([self.model.body(name).id for name in self._specs], dtype=int)
        dofs = [(int(self.model.body_dofadr[i]), min(3, int(self.model.body_dofnum[i]))) for i in self._objects]
        self._linear_dofs = [slice(first, first + count) for first, count in dofs]
        self._object_dofs = np.array([dof for first, count in dofs for dof in range(first, first + count)], dtype=int)
        self._states: dict[str, ObjectState] = {}
        self._moment: tuple[bytes, ...] = ()
        self._fingers = [subtree_bodies(self.model, self.model.body(name).id) for name in arm.finger_bodies]
        self._finger_qpos = [int(self.model.joint(name).qposadr[0]) for name in arm.finger_joints]
        self._finger_dofs = [self.model.joint(name).dofadr[0] for name in arm.finger_joints]
        self._cameras = {camera.name: int(self.model.camera(camera.name).id) for camera in scene.cameras}
        self._site = self.model.site(arm.tcp_site).id
        root = self.model.body_rootid[self.model.joint(arm.joints[0]).bodyid[0]]
        self.arm_geoms = np.flatnonzero(self.model.body_rootid[self.model.geom_bodyid] == root)
        self._arm_index = as_index(self.kinematics.qpos_adr)
        root = int(self.model.body_rootid[self.model.joint(arm.joints[0]).bodyid[0]])
        self._arm_dofs = as_index(self.kinematics.dof_adr)
        self._top_speeds = (MAX_SPEED_SHARE * self.safety.max_velocity).tolist()
        self._tcp_lower = (TCP_LIMITS_M[0] - MAX_TCP_EXCESS_M).tolist()
        self._tcp_upper = (TCP_LIMITS_M[1] + MAX_TCP_EXCESS_M).tolist()
        self._of_arm = self.model.body_rootid[self.model.geom_bodyid] == root
        # Views into the data, for to fetch one costs more than to read it.
        self._qpos, self._qvel, self._ctrl = self.data.qpos, self.data.qvel, self.data.ctrl
        self._tcp, self._xpos, self._xquat = self.data.site_xpos[self._site], self.data.xpos, self.data.xquat
        self._diverged = [self.data.warning[int(kind)] for kind in _DIVERGENCE_WARNINGS]
        self._renderer: Renderer | None = None
        self.reset()

    def reset(self) -> None:
        """Back to the scene's start: arm at home with open fingers, clock and counters at zero."""
        mujoco.mj_resetData(self.model, self.data)
        for joint, qpos in self.scene.start.items():
            self.data.joint(joint).qpos = qpos
        home = np.array(self.arm.home_qpos)
        self._qpos[self._arm_index] = home
        self._disturbed: list[str] = []
        self._held_up = False
        self._qpos[self._finger_qpos] = self.arm.max_gap / len(self._finger_qpos) / self.arm.gap_scale
        self.target = ServoTarget(home, np.zeros_like(home), self.arm.max_gap)
        self._gap = self.arm.max_gap
        self._ctrl[:] = self._servos.controls(home, self.target, self._gap, self._gap)[-1]
        mujoco.mj_forward(self.model, self.data)
        self.clamps.clear()
        self.seconds.clear()
        self.said.clear()
        self.held_object = None
        self.forced_open_periods = 0

    @property
    def time_s(self) -> float:
        """Simulated seconds since the reset."""
        return float(self.data.time)

    @property
    def qpos(self) -> np.ndarray:
        """(n,) rad: where the arm's joints are now, a copy."""
        return self._qpos[self._arm_index].copy()

    def step(self, control: Control) -> None:
        """Advances by one control period (50 ms) towards what the safety layer makes of the control.

        Targets are interpolated over the period.

        Raises:
            BadInput: The number of joints is wrong.
            RuntimeError: The physics diverged, which the limits are there to prevent.
        """
        began, measured = time.perf_counter(), self._qpos[self._arm_index]
        self._held_up = self._is_held_up(measured)
        last = self._yielding(measured) if self._held_up else self.target
        self.target, clamps = self.safety.limit(control, last, measured, self._held_up)
        if clamps:
            self.clamps.update(clamps)
        gap, self._gap = self._gap, self._next_gap()
        model, data, ctrl, mj_step = self.model, self.data, self._ctrl, mujoco.mj_step
        for controls in self._servos.controls(last.qpos, self.target, gap, self._gap):
            ctrl[:] = controls
            mj_step(model, data)
        # A step leaves poses from before its integration: bring sites, bodies and cameras up to date with qpos.
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        self._disturbed = self._disturbances()
        if self._disturbed:
            self.clamps.update(self._disturbed)
        self.seconds["physics"] += time.perf_counter() - began
        position, velocity, acceleration = self._diverged
        if position.number or velocity.number or acceleration.number:
            raise RuntimeError(f"The physics diverged at {self.time_s:.2f} s.")
        for happen in self.after_step:
            happen(self)

    def _disturbances(self) -> list[str]:
        """What went wrong in this period although every target was safe: names from DISTURBANCE_NAMES."""
        found: list[str] = []
        (x, y, z), (x_min, y_min, z_min), (x_max, y_max, z_max) = self._tcp.tolist(), self._tcp_lower, self._tcp_upper
        inside = x_min <= x <= x_max and y_min <= y <= y_max and z_min <= z <= z_max
        if not inside and np.abs(self.target.qpos - self.qpos).max() > MAX_LAG_RAD / 2:
            found.append("tcp_outside")
        if any(map(gt, map(abs, self._qvel[self._arm_dofs].tolist()), self._top_speeds)):
            found.append("overspeed")
        if not self.data.ncon:
            return found
        touching = self._of_arm[self.data.contact.geom]
        if not np.count_nonzero(touching):
            return found
        if touching.all(axis=1).any():
            found.append("self_collision")
        rows = self.data.contact.efc_address[touching.any(axis=1)]
        pressed = self.data.efc_force[rows[rows >= 0]]  # the normal force comes first in the rows of a contact
        return [*found, "contact_force"] if pressed.sum() > MAX_CONTACT_FORCE_N else found

    def _is_held_up(self, measured: np.ndarray) -> bool:
        """Whether something is in the arm's way: from a disturbance on until all of its joints follow again."""
        lag = max(map(abs, map(sub, self.target.qpos.tolist(), measured.tolist())))
        disturbed = not YIELDING_DISTURBANCES.isdisjoint(self._disturbed)
        return disturbed or lag > (MAX_FOLLOWING_LAG_RAD if self._held_up else MAX_PUSHED_LAG_RAD)

    def _yielding(self, measured: np.ndarray) -> ServoTarget:
        """A target that pushes no more: the arm rests where it is."""
        qpos = clamp(measured, self.safety.lower, self.safety.upper)
        return ServoTarget(qpos, np.zeros_like(qpos), self.target.gripper)

    def _next_gap(self) -> float:
        """Where the fingers are sent by the end of this period, m."""
        reach = self.arm.gripper_speed * CONTROL_PERIOD_S
        wanted = self.arm.max_gap if self.forced_open_periods else self.target.gripper
        self.forced_open_periods = max(0, self.forced_open_periods - 1)
        return self._gap + min(max(wanted - self._gap, -reach), reach)

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
        still = float(np.abs(self._qvel[self._finger_dofs]).max()) < MAX_STILL_SPEED_M_PER_S
        holding = still and gap > self._min_held_gap and gap - self.target.gripper > self._min_held_gap
        return Proprio(self.qpos, self.tcp_pos, quat, gap, holding)

    @property
    def tcp_pos(self) -> np.ndarray:
        """(3,) m: where the tcp is now, a copy."""
        return self._tcp.copy()

    @property
    def gripper_width(self) -> float:
        """The gap between the pads now, m."""
        qpos = self._qpos
        return sum([qpos.item(i) for i in self._finger_qpos]) * self.arm.gap_scale

    def state(self) -> WorldState:
        """The privileged truth: for tasks, the oracle and labels, never for a policy."""
        said, reach = tuple(self.said), self.scene.reach
        objects, holding = self._object_states(), self._held()
        return WorldState(objects, holding, self.tcp_pos, self.gripper_width, self.time_s, said, reach)

    def _object_states(self) -> dict[str, ObjectState]:
        """By id; those of the last call if nothing has moved since then, as is so in most periods."""
        poses = self._xpos.take(self._objects, axis=0), self._xquat.take(self._objects, axis=0)
        moment = poses[0].tobytes(), poses[1].tobytes(), self._qvel.take(self._object_dofs).tobytes()
        if moment != self._moment:
            self._moment, qvel = moment, self._qvel.tolist()
            for pose in poses:
                pose.flags.writeable = False
            self._states = {
                name: ObjectState(spec, pos, quat, math.hypot(*qvel[dofs]))
                for (name, spec), dofs, pos, quat in zip(self._specs.items(), self._linear_dofs, *poses, strict=True)
            }
        return self._states

    def _held(self) -> str | None:
        """The object that both fingers touch."""
        if not self.data.ncon:
            return None
        left, right = self._fingers
        touched: tuple[set[int], set[int]] = set(), set()
        for pair in self.model.geom_bodyid[self.data.contact.geom].tolist():
            for body, other in (pair, pair[::-1]):
                if body in left and other not in left:
                    touched[0].add(other)
                if body in right and other not in right:
                    touched[1].add(other)
        held = touched[0] & touched[1]
        return next((name for name, body in zip(self._specs, self._objects, strict=True) if body in held), None)

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


_DIVERGENCE_WARNINGS = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)
