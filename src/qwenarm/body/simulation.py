"""The simulated arm at its table: controls in, pictures and state out. One instance is one episode's world."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.grippers import MountedGripper
from qwenarm.body.held_object import HeldObject
from qwenarm.body.kinematics import Kinematics, Solution
from qwenarm.body.manipulator import Manipulator
from qwenarm.body.model_indices import as_index
from qwenarm.body.rendering.renderer import Renderer
from qwenarm.body.safety import CONTROL_PERIOD_S, Safety, ServoTarget
from qwenarm.body.scene import Scene, compile_scene
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.errors import BadInput
from qwenarm.types import Control, Frame, Proprio, SkillCall

MIN_HELD_GAP_M, MIN_WALL_GAP_M = 0.004, 0.001
"""Fingers that stand still this much further apart than they were told to hold something; the second where a hollow
object may be held by its wall."""


class Body:
    """The world of one episode. Same scene, arm and controls give the same bits, whatever ran before in the process.

    Frames are drawn lazily; a Body belongs to the thread that draws its first frame.

    Where an arm has partners, one of them is active: it gets the controls, and ``arm``, ``kinematics``, ``safety``,
    ``gripper``, ``target``, ``qpos``, ``proprio`` and what else is said of an arm is said of that one. The others stay
    where they were sent.

    Attributes:
        manipulators: the arm and its partners.
        active: the one that gets the controls.
        clamps: how often each safety limit changed a control, and how often the arm collided, since the reset.
        seconds: wall seconds spent in "physics" and "render" since the reset.
        said: what was told to people since the reset.
        held_object: how the hand holds what a pick has measured; None where objects are all alike.
        forced_open_periods: for so many more control periods the gripper opens, whatever it is told.
        arm_geoms: ids of all geoms of all arms and hands, (G,).
        after_step: called with the Body after every control period, for events that do not depend on the arm.
    """

    accepts: type = Control
    """What ``step`` takes."""

    def __init__(self, scene: Scene, arm: Arm) -> None:
        self.scene = scene
        self.model, self.data = self._make_world(arm)
        self.manipulators = tuple(Manipulator(each, self.model, self.data) for each in (arm, *arm.partners))
        self.active = self.manipulators[0]
        self.clamps: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.said: list[SkillCall] = []
        self.held_object: HeldObject | None = None
        self.forced_open_periods = 0
        self.after_step: list[Callable[[Body], None]] = []
        self._min_held_gap = MIN_WALL_GAP_M if scene.has_any_shape else MIN_HELD_GAP_M
        self._specs = {p.spec.id: p.spec for p in scene.objects}
        self._objects = np.array([self.model.body(name).id for name in self._specs], dtype=int)
        self._object_index = as_index(self._objects)
        dofs = [(int(self.model.body_dofadr[i]), min(3, int(self.model.body_dofnum[i]))) for i in self._objects]
        self._linear_dofs = [slice(first, first + count) for first, count in dofs]
        self._object_dofs = as_index(
            np.array([dof for first, count in dofs for dof in range(first, first + count)], int)
        )
        self._states: dict[str, ObjectState] = {}
        self._moment: tuple[bytes, ...] = ()
        self._cameras = {camera.name: int(self.model.camera(camera.name).id) for camera in scene.cameras}
        self.arm_roots = frozenset(manipulator.root for manipulator in self.manipulators)
        self._of_arm = np.isin(self.model.body_rootid[self.model.geom_bodyid], list(self.arm_roots))
        self.arm_geoms = np.flatnonzero(self._of_arm)
        self._has_partners = len(self.manipulators) > 1
        self._controls = np.zeros((round(CONTROL_PERIOD_S / self.model.opt.timestep), self.model.nu))
        # Views, for to fetch one costs more than to read it.
        self._control_rows = list(self._controls)
        self._qvel, self._ctrl = self.data.qvel, self.data.ctrl
        self._xpos, self._xquat = self.data.xpos, self.data.xquat
        self._diverged = [self.data.warning[int(kind)] for kind in _DIVERGENCE_WARNINGS]
        self._renderer: Renderer | None = None
        self.reset()

    def _make_world(self, arm: Arm) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model = compile_scene(self.scene, arm)
        return model, mujoco.MjData(model)

    def reset(self) -> None:
        """Back to the scene's start: arms at home with open fingers, clock and counters at zero."""
        mujoco.mj_resetData(self.model, self.data)
        for joint, qpos in self.scene.start.items():
            self.data.joint(joint).qpos = qpos
        self.active = self.manipulators[0]
        for manipulator in self.manipulators:
            manipulator.reset(self._controls)
        self._ctrl[:] = self._controls[-1]
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
    def arm(self) -> Arm:
        """The active arm."""
        return self.active.arm

    @property
    def kinematics(self) -> Kinematics:
        """The active arm's kinematics."""
        return self.active.kinematics

    @property
    def safety(self) -> Safety:
        """The active arm's safety layer."""
        return self.active.safety

    @property
    def gripper(self) -> MountedGripper:
        """The active arm's gripper in this model."""
        return self.active.gripper

    @property
    def target(self) -> ServoTarget:
        """Where the safety layer last sent the active arm and its gripper."""
        return self.active.target

    @property
    def qpos(self) -> np.ndarray:
        """(n,) rad: where the active arm's joints are now, a copy."""
        return self.active.qpos

    def step(self, control: Control) -> None:
        """Advances by one control period (50 ms) towards what the safety layer makes of the active arm's control.

        Targets are interpolated over the period.

        Raises:
            BadInput: The number of joints is wrong.
            RuntimeError: The physics diverged, which the limits are there to prevent.
        """
        self.step_all([control if each is self.active else each.hold() for each in self.manipulators])

    def step_all(self, controls: Sequence[Control]) -> None:
        """Like ``step``, with a control for each of the manipulators."""
        began = time.perf_counter()
        for manipulator, control in zip(self.manipulators, controls, strict=True):
            forced = manipulator is self.active and self.forced_open_periods > 0
            for name in manipulator.aim(control, self._controls, forced):
                self.clamps[name] += 1
        if self.forced_open_periods:
            self.forced_open_periods -= 1
        model, data, ctrl, mj_step = self.model, self.data, self._ctrl, mujoco.mj_step
        contacts, has_partners = data.ncon, self._has_partners
        for now in self._control_rows:
            ctrl[...] = now
            mj_step(model, data)
            if has_partners and data.ncon != contacts:
                contacts = data.ncon
                self._stop_where_arms_meet()
        # A step leaves poses from before its integration: bring sites, bodies and cameras up to date with qpos.
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        touching = data.contact.geom if data.ncon else None
        for manipulator in self.manipulators:
            for name in manipulator.find_disturbances(touching, self._of_arm):
                self.clamps[name] += 1
        self.seconds["physics"] += time.perf_counter() - began
        position, velocity, acceleration = self._diverged
        if position.number or velocity.number or acceleration.number:
            raise RuntimeError(f"The physics diverged at {self.time_s:.2f} s.")
        for happen in self.after_step:
            happen(self)

    def _stop_where_arms_meet(self) -> None:
        """Arms that begin to touch drive no further: until the period ends they would push each other centimetres."""
        geoms = self.data.contact.geom
        if (meeting := self._of_arm[geoms].all(axis=1)).any():
            for manipulator in self.manipulators:
                manipulator.meet_arm(geoms[meeting], self._controls)

    def hold(self) -> Control:
        """The control that keeps the arm and the fingers where they were last sent."""
        return self.active.hold()

    def ik(self, pos: np.ndarray, quat: np.ndarray, q0: np.ndarray | None = None) -> Solution:
        """Joint angles for a tcp pose, near q0 or else near where the arm was last sent (see Kinematics.ik)."""
        return self.active.ik(pos, quat, q0)

    def proprio(self) -> Proprio:
        """What the active arm's own sensors say."""
        active = self.active
        holding = active.gripper.is_holding(active.target.gripper, self._min_held_gap)
        return Proprio(active.qpos, active.tcp_pos, active.tcp_quat, self.gripper_width, holding)

    @property
    def tcp_pos(self) -> np.ndarray:
        """(3,) m: where the tcp is now, a copy."""
        return self.active.tcp_pos

    @property
    def gripper_width(self) -> float:
        """The opening of the gripper now, m: of fingers the gap between the pads."""
        return self.gripper.width

    def state(self) -> WorldState:
        """The privileged truth: for tasks, the oracle and labels, never for a policy."""
        active, said, reach = self.active, tuple(self.said), self.scene.reach
        objects, holding = self._object_states(), self._held()
        return WorldState(objects, holding, active.tcp_pos, active.gripper.width, self.time_s, said, reach)

    def _object_states(self) -> dict[str, ObjectState]:
        """The objects' states by id; those of the last call if nothing has moved since then, as in most periods."""
        index = self._object_index
        pos, quat, qvel = self._xpos[index], self._xquat[index], self._qvel[self._object_dofs]
        moment = pos.tobytes(), quat.tobytes(), qvel.tobytes()
        if moment != self._moment:
            self._moment, qvel = moment, self._qvel.tolist()
            poses = pos.copy(), quat.copy()
            for pose in poses:
                pose.flags.writeable = False
            self._states = {
                name: ObjectState(spec, pos, quat, math.hypot(*qvel[dofs]))
                for (name, spec), dofs, pos, quat in zip(self._specs.items(), self._linear_dofs, *poses, strict=True)
            }
        return self._states

    def _held(self) -> str | None:
        """The object that a gripper holds."""
        if not self.data.ncon:
            return None
        pairs = self.model.geom_bodyid[self.data.contact.geom].tolist()
        held = set[int]().union(*(manipulator.gripper.held(pairs) for manipulator in self.manipulators))
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
