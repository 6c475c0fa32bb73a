"""The arm and a task as a ``gymnasium.Env``: ``gymnasium.make("qwenarm/Put-v0", arm="panda", level=1)``.

Observation: {"pixels": {camera: (H, W, 3) uint8}, "agent_pos": (n + 1,) float32}: joint angles (rad) and the finger gap
(m); without cameras there are no pixels. Action, float32, once every 50 ms:

* control="joint": (n + 1,) target joint angles, rad, and the finger gap, m.
* control="ee_delta": (7,) in [-1, 1]: the hand's shift in x, y, z (1 = 2 cm) and turn about x, y, z (1 = 0.1 rad), in
  the world frame, and the fingers (-1 closed, 1 open).

Reward: the rise of the goal's progress since the last step, so that an episode's sum is its final progress. An episode
terminates in success, and is truncated after ``_max_episode_steps``. Same seed, same scene and same trajectory for the
same actions, whatever ran before. The instruction is in ``info["instruction"]`` and ``task_description``; where a task
shows a picture of its goal, that is in the reset's ``info["goal"]``, (H, W, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces

from qwenarm.body.arms.parts import Arm
from qwenarm.body.cameras import CAMERAS, FRONT
from qwenarm.body.kinematics import Kinematics
from qwenarm.body.scene import Scene, compile_scene
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput, UnknownName
from qwenarm.perturbations import Perturbations, changed_arm, changed_combos, changed_layout, changed_setup, checked
from qwenarm.registry import load
from qwenarm.tasks.core.goal import Event, Setup
from qwenarm.tasks.core.task import Combos, Task
from qwenarm.tasks.language.free_task import free_setup
from qwenarm.types import Control, Frame

MAX_SHIFT_M, MAX_TURN_RAD = 0.02, 0.1
"""Of the hand in one period of ee_delta at most: m along and rad about each axis."""
FILM_SIZE = (480, 640)
FILM_CAMERA = "wide"
GOAL_CAMERA = "goal"
"""The name of the frame that shows the table as it shall be."""


class ArmEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """One arm, one task. After a reset, ``body`` is the world and ``setup`` the task's episode.

    task, arm: names of the registry. level: from 1. cameras: whose pixels are observed; frame_size: their (H, W).
    words: an instruction in free words that makes its own scene, at every reset (see also ``reset``). combos: the
    colour x shape pairs that may appear, None for all. perturbations: (axis, strength) pairs (see
    ``qwenarm.perturbations``). Raises UnknownName and BadInput with the valid choices.
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
        frame_size: tuple[int, int] = (192, 256),
        words: str | None = None,
        combos: Combos | None = None,
        max_episode_steps: int = 1200,
        perturbations: Perturbations = (),
    ) -> None:
        self.task, self.arm, self.level, self.control = task, arm, level, control
        self.render_mode = _checked_choice("render mode", render_mode, (None, "rgb_array"))
        self.cameras = tuple(_checked_choice("camera", name, [camera.name for camera in CAMERAS]) for name in cameras)
        self.frame_size, self.words, self.combos = frame_size, words, combos
        self._max_episode_steps = max_episode_steps
        self.perturbations = checked(perturbations)
        self._arm: Arm = load("arms", changed_arm(self.perturbations, arm))
        self._task: Task = load("tasks", task)
        if level not in range(1, len(self._task.levels) + 1):
            raise BadInput(f"The task {task} has no level {level}; it has 1 to {len(self._task.levels)}.")
        if words is not None:
            free_setup(words, np.random.default_rng(0), level, combos)  # unknown things are told at once
        self.observation_space, self.action_space = self._spaces(
            _checked_choice("control", control, ("joint", "ee_delta"))
        )

    @property
    def task_description(self) -> str:
        """The instruction of this episode, as it is now: some tasks change it on the way."""
        return self.instruction

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A new episode. options: {"instruction": words} makes a scene for free words, in this episode only. Raises
        BadInput for a negative seed.
        """
        if seed is not None and seed < 0:
            raise BadInput(f"A seed is 0 or more, not {seed}.")
        super().reset(seed=seed)
        seed = seed if seed is not None else int(self.np_random.integers(2**31))
        self.setup = self._build(seed, (options or {}).get("instruction", self.words))
        self.close()
        self._goal_frames: dict[tuple[int, int], Frame] = {}
        self.instruction = self.setup.instruction
        self.body = Body(self.setup.scene, self._arm)
        self.body.after_step = [partial(self._happen, event) for event in self.setup.events]
        self._steps = 0
        self._progress, success = self._judge()
        picture = self.goal_frame(self.frame_size) if self.cameras else None
        goal = {} if picture is None else {GOAL_CAMERA: picture.rgb}
        return self._observe(), {**self._info(success), **goal}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One control period. What the action asks beyond the safety limits is cut, and counted in ``body.clamps``."""
        self.body.step(self._to_control(np.asarray(action, dtype=float)))
        self._steps += 1
        before = self._progress
        self._progress, success = self._judge()
        truncated = self._steps >= self._max_episode_steps
        return self._observe(), self._progress - before, success, truncated, self._info(success)

    def render(self) -> np.ndarray | None:
        """A picture of robot and table for people, (480, 640, 3) uint8; None without a render mode."""
        return None if self.render_mode is None else self.body.frame(FILM_CAMERA, FILM_SIZE, shadows=True).rgb

    def goal_frame(self, size: tuple[int, int]) -> Frame | None:
        """The picture that the front camera would take of the table as it shall be, named "goal"; None for a task whose
        instruction says it all. size: (H, W). Drawn once per episode and size.
        """
        scene, wanted = self.setup.scene, self.setup.goal_scene
        if wanted is None:
            return None
        if size not in self._goal_frames:
            goal = Body(
                replace(wanted, look=scene.look, cameras=scene.cameras, distractors=scene.distractors), self._arm
            )
            self._goal_frames[size] = replace(goal.frame(FRONT.name, size), camera=GOAL_CAMERA)
            goal.close()
        return self._goal_frames[size]

    def close(self) -> None:
        """Gives the drawing resources back; body and setup stay."""
        if hasattr(self, "body"):
            self.body.close()

    def _build(self, seed: int, words: str | None) -> Setup:
        """The episode of a seed, with its perturbations."""
        rng, combos = np.random.default_rng(seed), changed_combos(self.perturbations, seed, self.combos)
        layout = changed_layout(self.perturbations, seed)
        if words is None:
            setup = self._task.build(rng, self.level, combos, layout)
        else:
            setup = free_setup(words, rng, self.level, combos, layout)
        return changed_setup(self.perturbations, seed, setup)

    def _happen(self, event: Event, body: Body) -> None:
        self.instruction = event.step(body) or self.instruction

    def _to_control(self, action: np.ndarray) -> Control:
        if self.control == "joint":
            return Control(action[:-1], float(action[-1]))
        target = self.body.hold()
        pos, quat = self.body.kinematics.fk(target.qpos)
        turned, step = np.zeros(4), np.clip(action, -1.0, 1.0)
        angle = float(np.linalg.norm(step[3:6])) * MAX_TURN_RAD
        axis = step[3:6] / max(float(np.linalg.norm(step[3:6])), 1e-9)
        turn = np.concatenate([[np.cos(angle / 2)], np.sin(angle / 2) * axis])
        mujoco.mju_mulQuat(turned, turn, quat)
        solution = self.body.ik(pos + MAX_SHIFT_M * step[:3], turned)
        return Control(solution.qpos, (step[6] + 1) / 2 * self._arm.max_gap)

    def _judge(self) -> tuple[float, bool]:
        """Progress and success now; without a goal neither."""
        goal = self.setup.goal
        if goal is None:
            return 0.0, False
        progress = goal.progress(self.body.state())
        return progress, progress >= 1.0

    def _observe(self) -> dict[str, Any]:
        body = self.body
        qpos = body.data.qpos[body.kinematics.qpos_adr]
        observation: dict[str, Any] = {"agent_pos": np.append(qpos, body.gripper_width).astype(np.float32)}
        if self.cameras:
            observation["pixels"] = {name: body.frame(name, self.frame_size).rgb for name in self.cameras}
        return observation

    def _info(self, success: bool) -> dict[str, Any]:
        info = {"is_success": success, "progress": self._progress, "instruction": self.instruction}
        return {**info, "clamps": sum(self.body.clamps.values())}

    def _spaces(self, control: str) -> tuple[spaces.Dict, spaces.Box]:
        lower, upper = _joint_limits(self._arm)
        low = np.append(lower, 0.0).astype(np.float32)
        high = np.append(upper, self._arm.max_gap).astype(np.float32)
        seen: dict[str, spaces.Space] = {"agent_pos": spaces.Box(-np.inf, np.inf, low.shape, np.float32)}
        if self.cameras:
            picture = spaces.Box(0, 255, (*self.frame_size, 3), np.uint8)
            seen["pixels"] = spaces.Dict(dict.fromkeys(self.cameras, picture))
        unit = spaces.Box(-1.0, 1.0, (7,), np.float32)
        return spaces.Dict(seen), spaces.Box(low, high, dtype=np.float32) if control == "joint" else unit


@cache
def _joint_limits(arm: Arm) -> tuple[np.ndarray, np.ndarray]:
    """(n,) and (n,) rad, lower and upper: of the arm alone, compiled once in a process."""
    joints = Kinematics(compile_scene(Scene(()), arm), arm)
    return joints.lower, joints.upper


def _checked_choice(kind: str, value: Any, choices: Sequence[Any]) -> Any:
    if value not in choices:
        raise UnknownName(kind, str(value), map(str, choices))
    return value
