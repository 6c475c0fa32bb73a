"""The arm and a task as a ``gymnasium.Env``: ``gymnasium.make("qwenarm/Put-v0", arm="panda", level=1)``.

Observation: {"pixels": {camera: (H, W, 3) uint8}, "agent_pos": (n + 1,) float32}: joint angles (rad) and the finger gap
(m); without cameras there are no pixels. Action, float32, once every 50 ms:

* control="joint": (n + 1,) target joint angles, rad, and the finger gap, m.
* control="ee_delta": (7,) in [-1, 1]: the hand's shift in x, y, z (1 = 2 cm) and turn about x, y, z (1 = 0.1 rad), in
  the world frame, and the fingers (-1 closed, 1 open).

Reward: the rise of the goal's progress since the last step, so that an episode's sum is its final progress. Success
terminates an episode; after ``max_episode_steps``, 1,200 unless told otherwise, it is truncated. The same seed and
actions give the same scene and trajectory, whatever ran before. The instruction is in ``info["instruction"]`` and
``task_description``. Where a task shows a picture of its goal, that is in ``info["goal"]``, (H, W, 3) uint8. ``info``
has the same keys after a reset and after a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces

from qwenarm import MAX_EPISODE_STEPS
from qwenarm.body.arms.parts import Arm
from qwenarm.body.cameras import CAMERAS, FRONT, cameras_named
from qwenarm.body.kinematics import Kinematics
from qwenarm.body.reach import reach_of
from qwenarm.body.scene import Scene, compile_scene
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput, UnknownName
from qwenarm.perturbations import checked, perturbed_arm, perturbed_combos, perturbed_layout, perturbed_setup
from qwenarm.registry import load
from qwenarm.tasks.core.goal import Event, Setup
from qwenarm.tasks.core.task import Combos, Task
from qwenarm.tasks.language.free_task import free_setup
from qwenarm.types import Control, Frame

MAX_SHIFT_M, MAX_TURN_RAD = 0.02, 0.1
"""How far an action of 1 moves and turns the hand in one period of ee_delta."""
FILM_SIZE = (480, 640)
FILM_CAMERA = "wide"
GOAL_CAMERA = "goal"
"""Name of the frame that shows the goal: the table as it should be."""
CONTROLS = ("joint", "ee_delta")
UNIT_ACTION = np.ones(7)
"""The largest action of ee_delta."""


class ArmEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """One arm and one task.

    Attributes:
        body: the simulated world; made by ``reset``.
        setup: the task's scene, goal and instruction in this episode; made by ``reset``.
        instruction: as it is now; some tasks change it on the way.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012  (as gymnasium declares it)
    body: Body
    setup: Setup
    instruction: str

    def __init__(
        self,
        task: str = "put",
        arm: str = "panda",
        level: int = 1,
        control: Literal["joint", "ee_delta"] = "joint",
        render_mode: str | None = None,
        cameras: Sequence[str] = ("front",),
        frame_size: Sequence[int] = (192, 256),
        words: str | None = None,
        combos: Combos | None = None,
        max_episode_steps: int | None = MAX_EPISODE_STEPS,
        perturbations: Sequence[tuple[str, int]] = (),
        extra_cameras: Sequence[str] = (),
    ) -> None:
        """Nothing is simulated before the first ``reset``.

        Args:
            task: its name in the registry.
            arm: its name in the registry.
            level: the task's difficulty, from 1.
            control: what an action means; see the module.
            render_mode: "rgb_array" or None.
            cameras: whose pictures are observed.
            frame_size: (H, W) of these pictures.
            words: an instruction in free words that makes its own scene, at every reset (see also ``reset``).
            combos: the (colour, shape) pairs that may appear; None for all.
            max_episode_steps: after so many steps an episode is truncated; never if None.
            perturbations: (name, strength) pairs; see ``qwenarm.perturbations``.
            extra_cameras: cameras that the scene has, and that are not observed.

        Raises:
            UnknownName: There is no such task, arm, camera, control, render mode or perturbation.
            BadInput: The level, the size, the words or a strength is wrong.
        """
        self.task, self.arm, self.level, self.words = task, arm, level, words
        self.control = _checked_choice("control", control, CONTROLS)
        self.render_mode = _checked_choice("render mode", render_mode, (None, "rgb_array"))
        self.cameras = tuple(camera.name for camera in cameras_named(cameras))
        self._own_cameras = tuple(c for c in cameras_named([*cameras, *extra_cameras]) if c not in CAMERAS)
        self.frame_size = _checked_size(frame_size)
        self.combos = None if combos is None else tuple((color, shape) for color, shape in combos)
        self._max_episode_steps = max_episode_steps
        self.perturbations = checked(perturbations)
        self._arm: Arm = load("arms", perturbed_arm(self.perturbations, arm))
        self._task: Task = load("tasks", task)
        if level not in range(1, len(self._task.levels) + 1):
            raise BadInput(f"The task {task} has no level {level}; it has 1 to {len(self._task.levels)}.")
        self.observation_space, self.action_space = self._spaces()

    @property
    def task_description(self) -> str:
        """The instruction of this episode, as it is now: some tasks change it on the way."""
        return self.instruction

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins a new episode.

        Args:
            seed: 0 or more; None continues the sequence of the last seed.
            options: {"instruction": words} makes a scene for free words, in this episode only. {"setup": setup} plays
                what ``build`` has returned, instead of building it again.

        Raises:
            BadInput: The seed is negative, or the words name things that do not exist.
        """
        options = options or {}
        super().reset(seed=_checked_seed(seed))
        seed = seed if seed is not None else int(self.np_random.integers(2**31))
        self.setup = options.get("setup") or self.build(seed, options.get("instruction"))
        self.close()
        self._goal_frames: dict[tuple[int, int], Frame] = {}
        self.instruction = self.setup.instruction
        self.body = Body(self.setup.scene, self._arm)
        self.body.after_step = [partial(self._advance, event) for event in self.setup.events]
        self._steps = 0
        self._progress, success = self._judge()
        return self._observe(), self._info(success)

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Advances by one control period.

        What the action asks beyond the safety limits is cut, and counted in ``body.clamps``. Raises BadInput for an
        action of the wrong shape.
        """
        action = np.asarray(action, dtype=float)
        if action.shape != self.action_space.shape:
            raise BadInput(f"An action of {self.control} has shape {self.action_space.shape}, not {action.shape}.")
        self.body.step(self._to_control(action))
        self._steps += 1
        before = self._progress
        self._progress, success = self._judge()
        truncated = self._max_episode_steps is not None and self._steps >= self._max_episode_steps
        return self._observe(), self._progress - before, success, truncated, self._info(success)

    def render(self) -> np.ndarray | None:
        """A picture of robot and table for people, (480, 640, 3) uint8; None without a render mode."""
        return None if self.render_mode is None else self.body.frame(FILM_CAMERA, FILM_SIZE, shadows=True).rgb

    def goal_frame(self, size: tuple[int, int]) -> Frame | None:
        """What the front camera would see if the goal were reached, as a frame named "goal".

        None for a task whose instruction says it all. size: (H, W). Drawn once per episode and size.
        """
        scene, wanted = self.setup.scene, self.setup.goal_scene
        if wanted is None:
            return None
        if size not in self._goal_frames:
            wanted = replace(wanted, look=scene.look, cameras=scene.cameras, distractors=scene.distractors)
            goal = Body(wanted, self._arm)
            self._goal_frames[size] = replace(goal.frame(FRONT.name, size), camera=GOAL_CAMERA)
            goal.close()
        return self._goal_frames[size]

    def close(self) -> None:
        """Frees the drawing resources; body and setup stay."""
        if hasattr(self, "body"):
            self.body.close()

    def build(self, seed: int, words: str | None = None) -> Setup:
        """What is played with a seed: scene, goal and instruction, with the perturbations. It can be played once.

        Args:
            seed: 0 or more.
            words: An instruction in free words; by default the environment's, or else the task's own instruction.

        Raises:
            BadInput: The seed is negative, or the words name something that does not exist.
        """
        _checked_seed(seed)
        words = self.words if words is None else words
        rng, combos = np.random.default_rng(seed), perturbed_combos(self.perturbations, seed, self.combos)
        layout, reach = perturbed_layout(self.perturbations, seed), reach_of(load("arms", self.arm))
        if words is None:
            setup = self._task.build(rng, self.level, combos, layout, reach)
        else:
            setup = free_setup(words, rng, self.level, combos, layout, reach)
        setup = perturbed_setup(self.perturbations, seed, setup)
        return replace(setup, scene=replace(setup.scene, cameras=(*setup.scene.cameras, *self._own_cameras)))

    def _advance(self, event: Event, body: Body) -> None:
        self.instruction = event.step(body) or self.instruction

    def _to_control(self, action: np.ndarray) -> Control:
        if self.control == "joint":
            return Control(action[:-1], float(action[-1]))
        dx, dy, dz, rx, ry, rz, fingers = [min(max(part, -1.0), 1.0) for part in action.tolist()]
        length = math.sqrt(rx * rx + ry * ry + rz * rz)
        half_angle, norm = length * MAX_TURN_RAD / 2, max(length, 1e-9)
        sin = math.sin(half_angle)
        turn = np.array([math.cos(half_angle), sin * (rx / norm), sin * (ry / norm), sin * (rz / norm)])
        pos, quat = self.body.kinematics.fk(self.body.target.qpos)
        pos += np.array([MAX_SHIFT_M * dx, MAX_SHIFT_M * dy, MAX_SHIFT_M * dz])
        mujoco.mju_mulQuat(quat, turn, quat)
        return Control(self.body.ik(pos, quat).qpos, (fingers + 1) / 2 * self._arm.max_gap)

    def _judge(self) -> tuple[float, bool]:
        """Progress and success now; without a goal neither."""
        goal = self.setup.goal
        if goal is None:
            return 0.0, False
        progress = goal.progress(self.body.state())
        return progress, progress >= 1.0

    def _observe(self) -> dict[str, Any]:
        body = self.body
        agent_pos = [*body.qpos.tolist(), body.gripper_width]
        observation: dict[str, Any] = {"agent_pos": np.array(agent_pos, np.float32)}
        if self.cameras:
            observation["pixels"] = {name: body.frame(name, self.frame_size).rgb for name in self.cameras}
        return observation

    def _info(self, success: bool) -> dict[str, Any]:
        info = {"is_success": success, "progress": self._progress, "instruction": self.instruction}
        info["clamps"] = sum(self.body.clamps.values())
        picture = self.goal_frame(self.frame_size) if self.cameras else None
        if picture is not None:
            info[GOAL_CAMERA] = picture.rgb.copy()
        return info

    def _spaces(self) -> tuple[spaces.Dict, spaces.Box]:
        lower, upper = _joint_limits(self._arm)
        low, high = np.append(lower, 0.0), np.append(upper, self._arm.max_gap)
        observed: dict[str, spaces.Space] = {"agent_pos": spaces.Box(-np.inf, np.inf, low.shape, np.float32)}
        if self.cameras:
            picture = spaces.Box(0, 255, (*self.frame_size, 3), np.uint8)
            observed["pixels"] = spaces.Dict(dict.fromkeys(self.cameras, picture))
        if self.control == "ee_delta":
            low, high = -UNIT_ACTION, UNIT_ACTION
        return spaces.Dict(observed), spaces.Box(low.astype(np.float32), high.astype(np.float32))


@cache
def _joint_limits(arm: Arm) -> tuple[np.ndarray, np.ndarray]:
    """(n,) and (n,) rad, lower and upper, of the arm alone; compiled once per process."""
    joints = Kinematics(compile_scene(Scene(()), arm), arm)
    return joints.lower, joints.upper


def _checked_seed(seed: int | None) -> int | None:
    if seed is not None and seed < 0:
        raise BadInput(f"A seed is 0 or more, not {seed}.")
    return seed


def _checked_choice(kind: str, value: Any, choices: Sequence[Any]) -> Any:
    if value not in choices:
        raise UnknownName(kind, str(value), map(str, choices))
    return value


def _checked_size(size: Sequence[int]) -> tuple[int, int]:
    if len(size) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in size):
        raise BadInput(f"A frame size is a height and a width in pixels, such as (192, 256), not {size!r}.")
    height, width = size
    return int(height), int(width)
