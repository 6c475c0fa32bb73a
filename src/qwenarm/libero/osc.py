"""LIBERO's own protocol (``--control osc``): its environment, its arm with robosuite's OSC_POSE, its judgement.

Only the pictures are drawn by us, from the same model: so it runs where robosuite finds no OpenGL.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np
from gymnasium import spaces

from qwenarm.body.arms.parts import Arm
from qwenarm.body.grippers import MountedJaws, ParallelJaws
from qwenarm.body.manipulator import Manipulator
from qwenarm.body.safety import CONTROL_PERIOD_S, ServoTarget
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.env import ArmEnv
from qwenarm.errors import BadInput
from qwenarm.libero.package import LIBERO_SUITES, LiberoTask, begin, make_problem, tasks_of
from qwenarm.libero.scene import COLLISION_GROUP, HIDDEN_GEOM_GROUP, LiberoStage
from qwenarm.skills.action_chunk import OscAction
from qwenarm.tasks.core.goal import Setup
from qwenarm.typed import typed_arguments
from qwenarm.types import Proprio, SkillCall

MAX_PERIODS = {"libero_spatial": 220, "libero_object": 280, "libero_goal": 300, "libero_10": 520, "libero_90": 400}
"""Control periods after which an episode has failed, by the beginning of the suite's name, as openpi counts."""
DEFAULT_MAX_PERIODS = 520
"""The limit for suites with other names."""
OSC_ACTION_SIZE = 7
COPIED_CAMERAS = {"front": "agentview", "wrist": "robot0_eye_in_hand", "wide": "frontview", "overhead": "birdview"}
"""Ours -> the one of LIBERO's that it is."""


class RobosuiteJaws(ParallelJaws):
    """The fingers of robosuite's Panda, whose joints count in opposite directions."""

    def mount(self, model: mujoco.MjModel, data: mujoco.MjData) -> MountedJaws:
        return MountedRobosuiteJaws(self, model, data)


class MountedRobosuiteJaws(MountedJaws):
    """The same in a model. LIBERO's environment alone moves them."""

    @property
    def width(self) -> float:
        one, other = self._qpos[self.qpos_adr].tolist()
        return one - other


ROBOSUITE_PANDA = Arm(
    name="robosuite_panda",
    doc="The Panda of robosuite, inside LIBERO's environment.",
    build=lambda spec: None,  # LIBERO's environment has built it already
    joints=tuple(f"robot0_joint{i}" for i in range(1, 8)),
    home_qpos=(0.0,) * 7,  # every initial state has its own
    velocity=(math.pi,) * 7,
    acceleration=(10.0,) * 7,
    gripper=RobosuiteJaws(
        max_gap=0.08,
        joints=("gripper0_finger_joint1", "gripper0_finger_joint2"),
        bodies=("gripper0_leftfinger", "gripper0_rightfinger"),
        actuators=("gripper0_gripper_finger_joint1",),
    ),
    tcp_site="gripper0_grip_site",
    hand_body="gripper0_right_gripper",
)
"""Names of its parts. Neither our servos nor our limits move it: robosuite does."""


@dataclass(frozen=True)
class OscState(WorldState):
    """A state that LIBERO has judged. Its objects are not listed.

    Attributes:
        reached: Whether all predicates held at the end of some control period within the limit.
    """

    reached: bool = False


@dataclass(frozen=True)
class OscGoal:
    """What LIBERO says of its own environment.

    Attributes:
        bddl: Path of the problem.
        initial: (1 + nq + nv,) initial state.
        max_periods: Control periods within which it must be reached.
    """

    bddl: str
    initial: np.ndarray = field(repr=False, compare=False)
    max_periods: int

    def success(self, state: WorldState) -> bool:
        return isinstance(state, OscState) and state.reached

    def progress(self, state: WorldState) -> float:
        """Returns 1 for success and else 0: LIBERO has no partial progress."""
        return float(self.success(state))

    def solve(self, state: WorldState) -> list[SkillCall]:
        raise BadInput("No skill plays LIBERO's own arm.")


class OscBody(Body):
    """LIBERO's own environment with the interface of ours. It takes an ``OscAction`` and no other control."""

    accepts = OscAction

    def __init__(self, goal: OscGoal, scene: Scene) -> None:
        gc.collect()  # robosuite's environments refer to themselves, and each holds 200 MB
        self.goal = goal
        self.problem = make_problem(goal.bddl, with_cameras)
        super().__init__(scene, ROBOSUITE_PANDA)

    def _make_world(self, arm: Arm) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model = self.problem.sim.model._model
        model.geom_group[model.geom_group == COLLISION_GROUP] = HIDDEN_GEOM_GROUP  # what LIBERO does not draw either
        return model, self.problem.sim.data._data

    def reset(self) -> None:
        """Back to the initial state, after LIBERO's ten waiting steps."""
        begin(self.problem, self.goal.initial)
        self._observed: dict[str, Any] = self.problem._get_observations()
        self._periods, self._reached, self._fingers_told = 0, False, -1.0
        self._aim()
        self.clamps.clear()
        self.seconds.clear()
        self.said.clear()

    def step_all(self, controls: Sequence[Any]) -> None:
        """Advances by one control period, as LIBERO's ``env.step``. Raises BadInput for another control."""
        (control,) = controls
        if not isinstance(control, OscAction) or np.shape(control.values) != (OSC_ACTION_SIZE,):
            raise BadInput(f"LIBERO's own arm takes {OSC_ACTION_SIZE} numbers of OSC_POSE, not {control!r}.")
        began = time.perf_counter()
        self._observed, _, holds, _ = self.problem.step(control.values)
        self._periods += 1
        self._reached |= bool(holds) and self._periods <= self.goal.max_periods
        self._fingers_told = float(control.values[-1])
        self._aim()
        self.seconds["physics"] += time.perf_counter() - began
        if any(each.number for each in self._diverged):
            raise RuntimeError(f"The physics diverged at {self.time_s:.2f} s.")
        for happen in self.after_step:
            happen(self)

    def hold(self) -> Any:
        """The action that moves nothing and leaves the fingers as they were told."""
        return OscAction(np.append(np.zeros(OSC_ACTION_SIZE - 1), self._fingers_told))

    @property
    def time_s(self) -> float:
        """Simulated seconds since the waiting steps."""
        return self._periods * CONTROL_PERIOD_S

    def proprio(self) -> Proprio:
        """What LIBERO's observation says: position of the grip site, orientation of the hand, and both fingers."""
        seen = self._observed
        quat = np.array(seen["robot0_eef_quat"])[[3, 0, 1, 2]]
        fingers = tuple(np.array(seen["robot0_gripper_qpos"], dtype=float).tolist())
        return replace(super().proprio(), tcp_pos=np.array(seen["robot0_eef_pos"]), tcp_quat=quat, finger_pos=fingers)

    def state(self) -> OscState:
        """The privileged truth, as far as it is known here: LIBERO's judgement."""
        return OscState({}, None, self.tcp_pos, self.gripper_width, self.time_s, reached=self._reached)

    def _aim(self) -> None:
        gap = self.arm.max_gap if self._fingers_told < 0 else 0.0
        self.active.target = ServoTarget(self.qpos, np.zeros(len(self.arm.joints)), gap)


class OscEnv(ArmEnv):
    """A task of LIBERO in its own environment. An action is (7,) in [-1, 1], see ``OscAction``."""

    @typed_arguments
    def __init__(self, task: str, level: int = 1, **options: Any) -> None:
        if not task.startswith("libero_"):
            raise BadInput(f"--control osc is for LIBERO's tasks, such as {', '.join(LIBERO_SUITES)}, not {task}.")
        super().__init__(task, level=level, **options)

    def build(self, seed: int, words: str | None = None) -> Setup:
        """A task in one of its initial states: seeds 0, 1, 2 ... play them in order, as LIBERO's evaluation does."""
        if words or self.words:
            raise BadInput("LIBERO judges its own tasks only, and no others' words.")
        task = tasks_of(self.task)[self.level - 1]
        states = task.initial_states()
        goal = OscGoal(task.bddl, states[seed % len(states)], _max_periods(task))
        scene = Scene((), stage=LiberoStage(task.bddl))
        return Setup(scene, goal, task.instruction, max_turns=1, max_periods=goal.max_periods)

    def _make_body(self) -> Body:
        assert isinstance(self.setup.goal, OscGoal)
        return OscBody(self.setup.goal, self.setup.scene)

    def _to_control(self, manipulator: Manipulator, action: np.ndarray) -> Any:
        return OscAction(action)

    def _spaces(self) -> tuple[spaces.Dict, spaces.Box]:
        ones = np.ones(OSC_ACTION_SIZE, np.float32)
        return self._format.space(len(ROBOSUITE_PANDA.joints) + 1), spaces.Box(-ones, ones)


def with_cameras(xml: str) -> str:
    """Returns a model with our cameras beside those of LIBERO's that they are copies of."""
    root = ElementTree.fromstring(xml)
    for name, theirs in COPIED_CAMERAS.items():
        parent, camera = next(_cameras_named(root, theirs))
        parent.append(ElementTree.Element("camera", {**camera.attrib, "name": name}))
    return ElementTree.tostring(root, encoding="unicode")


def _cameras_named(root: ElementTree.Element, name: str) -> Iterator[tuple[ElementTree.Element, ElementTree.Element]]:
    """Yields each camera of a name, behind the element that it is in."""
    return ((parent, child) for parent in root.iter() for child in parent.findall(f"camera[@name='{name}']"))


def _max_periods(task: LiberoTask) -> int:
    return next((limit for name, limit in MAX_PERIODS.items() if task.suite.startswith(name)), DEFAULT_MAX_PERIODS)
