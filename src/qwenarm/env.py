"""The arm and a task as a ``gymnasium.Env``: ``gymnasium.make("qwenarm/Put-v0", arm="panda", level=1)``.

Observation: {"pixels": {camera: (H, W, 3) uint8}, "agent_pos": (n + 1,) float32}: joint angles (rad) and the finger gap
(m); without cameras there are no pixels. ``depth=True`` adds "depth" (m along the optical axis), "intrinsics" and
"extrinsics" for each camera, ``object_state=True`` "objects", the true poses; ``flat=True`` names the parts
"pixels_front" and so on, in one dict. See ``body/observations.py``. Action, float32, once every 50 ms:

* control="joint": (n + 1,) target joint angles, rad, and the finger gap, m.
* control="ee_delta": (7,) in [-1, 1]: the hand's shift in x, y, z (1 = 2 cm) and turn about x, y, z (1 = 0.1 rad), in
  the world frame, and the fingers (-1 closed, 1 open).

Where an arm has a partner, "agent_pos" and actions hold the numbers of one arm after the other.

Reward: the rise of the goal's progress since the last step, so that an episode's sum is its final progress. Success
terminates an episode; after ``max_episode_steps``, 1,200 unless told otherwise, it is truncated. The same seed and
actions give the same scene and trajectory, whatever ran before. The instruction is in ``info["instruction"]`` and
``task_description``. Where a task shows a picture of its goal, that is in ``info["goal"]``, (H, W, 3) uint8. ``info``
has the same keys after a reset and after a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from numbers import Integral
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from qwenarm import MAX_EPISODE_STEPS
from qwenarm.body.arms.parts import Arm
from qwenarm.body.cameras import FRONT, SHIPPED_CAMERAS, cameras_named
from qwenarm.body.kinematics import Kinematics
from qwenarm.body.manipulator import Manipulator
from qwenarm.body.observations import ObservationFormat
from qwenarm.body.reach import reach_of
from qwenarm.body.scene import Scene, compile_scene
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput, OutOfReach, UnknownName
from qwenarm.perturbations import checked, perturbed_arm, perturbed_combos, perturbed_layout, perturbed_setup
from qwenarm.registry import load
from qwenarm.skills.action_chunk import moved_hand
from qwenarm.tasks.core.goal import Event, Setup
from qwenarm.tasks.core.task import Combos, Task
from qwenarm.tasks.language.free_task import free_setup
from qwenarm.typed import typed_arguments
from qwenarm.types import Control, Frame

MAX_SHIFT_M, MAX_TURN_RAD = 0.02, 0.1
"""Translation in m and rotation in rad of the hand in one period for an ee_delta action of 1."""
FILM_SIZE = (480, 640)
FILM_CAMERA = "wide"
GOAL_CAMERA = "goal"
"""Name of the frame that shows the goal: the table as it should be."""
CONTROL_MODES = ("joint", "ee_delta")
RESET_OPTIONS = ("instruction", "setup")
UNIT_ACTION = np.ones(7)
"""The largest action of ee_delta."""


class ArmEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """One arm and one task.

    Attributes:
        body: The simulated world; created by ``reset``.
        setup: The task's scene, goal and instruction in this episode; created by ``reset``.
        instruction: The current instruction; some tasks change it during the episode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012  (as gymnasium declares it)
    body: Body
    setup: Setup
    instruction: str

    @typed_arguments
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
        depth: bool = False,
        object_state: bool = False,
        flat: bool = False,
    ) -> None:
        """Nothing is simulated before the first ``reset``.

        Args:
            task: Its name in the registry.
            arm: Its name in the registry.
            level: The task's difficulty, from 1.
            control: What an action means, see the module's docstring.
            render_mode: "rgb_array" or None.
            cameras: Cameras whose images are observed.
            frame_size: (H, W) of these images.
            words: An instruction in free words that makes its own scene at every reset (see also ``reset``).
            combos: The (colour, shape) pairs that may appear; None for all.
            max_episode_steps: Number of steps after which an episode is truncated; None for no limit.
            perturbations: (name, strength) pairs, see ``qwenarm.perturbations``.
            extra_cameras: Additional cameras of the scene that are not observed.
            depth: Whether depth images, intrinsics and extrinsics of the cameras are observed as well.
            object_state: Whether the true poses of the objects are observed, for learners that do not look.
            flat: Whether observations are one flat dict, with keys such as "pixels_front".

        Raises:
            UnknownName: There is no such task, arm, camera, control, render mode or perturbation.
            BadInput: The level, the size, the words or a strength is wrong, or the arm cannot play the task.
        """
        self.task, self.arm, self.level, self.words = task, arm, level, words
        self.control = _checked_choice("control", control, CONTROL_MODES)
        self.render_mode = _checked_choice("render mode", render_mode, (None, "rgb_array"))
        self.cameras = tuple(camera.name for camera in cameras_named(cameras))
        self._own_cameras = tuple(c for c in cameras_named([*cameras, *extra_cameras]) if c not in SHIPPED_CAMERAS)
        self.frame_size = _checked_size(frame_size)
        self._format = ObservationFormat(self.cameras, self.frame_size, depth, object_state, flat)
        self.combos = None if combos is None else tuple((color, shape) for color, shape in combos)
        self._max_episode_steps = max_episode_steps
        self.perturbations = checked(perturbations)
        self._arm: Arm = load("arms", perturbed_arm(self.perturbations, arm))
        self._task: Task = load("tasks", task)
        if level not in range(1, len(self._task.levels) + 1):
            raise BadInput(f"The task {task} has no level {level!r}; it has 1 to {len(self._task.levels)}.")
        if words is None:
            self._task.check_drawn(self.combos, self.perturbations)
            if refusal := self._task.refusal(self._arm):
                raise BadInput(refusal)
        self.observation_space, self.action_space = self._spaces()

    @property
    def task_description(self) -> str:
        """The current instruction; some tasks change it during the episode."""
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
            UnknownName: There is no such option.
            BadInput: The seed is negative, or the words name things that do not exist.
        """
        options = _checked_options(options)
        super().reset(seed=_checked_seed(seed))
        seed = seed if seed is not None else int(self.np_random.integers(2**31))
        self.setup = options.get("setup") or self.build(seed, options.get("instruction"))
        self.close()
        self._goal_frames: dict[tuple[int, int], Frame] = {}
        self.instruction = self.setup.instruction
        self.body = self._make_body()
        self.body.after_step = [partial(self._advance, event) for event in self.setup.events]
        self._steps = 0
        self._progress, success = self._judge()
        return self._format.read(self.body), self._info(success)

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Advances by one control period.

        Actions are limited to what is safe; each limitation is counted in ``body.clamps``. Raises BadInput for an
        action of the wrong shape.
        """
        body = self._world()
        try:
            action = np.asarray(action, dtype=float)
        except (TypeError, ValueError) as error:
            raise BadInput(f"An action of {self.control} is {self.action_space.shape} numbers: {error}.") from error
        if action.shape != self.action_space.shape:
            raise BadInput(f"An action of {self.control} has shape {self.action_space.shape}, not {action.shape}.")
        parts = action.reshape(len(body.manipulators), -1)
        body.step_all([self._to_control(*each) for each in zip(body.manipulators, parts, strict=True)])
        self._steps += 1
        before = self._progress
        self._progress, success = self._judge()
        truncated = self._max_episode_steps is not None and self._steps >= self._max_episode_steps
        return self._format.read(self.body), self._progress - before, success, truncated, self._info(success)

    def render(self) -> np.ndarray | None:
        """Returns an image of robot and table for people, (480, 640, 3) uint8, or None without a render mode."""
        return None if self.render_mode is None else self._world().frame(FILM_CAMERA, FILM_SIZE, shadows=True).rgb

    def goal_frame(self, size: tuple[int, int]) -> Frame | None:
        """Returns what the front camera would see if the goal were reached, as a frame named "goal" of ``size`` (H, W).

        Returns None for a task whose instruction says everything. Rendered once per episode and size.
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
        """Frees the rendering resources and ends the task's events. Body and setup can still be read."""
        if hasattr(self, "body"):
            self.body.close()
            # What happens after a step mostly knows the environment or the body: such rings are collected late, and
            # each holds the megabytes of a compiled world.
            self.body.after_step.clear()

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
            try:
                setup = self._task.build(rng, self.level, combos, layout, reach)
            except OutOfReach as error:
                raise BadInput(
                    f"The arm {self.arm} cannot play {self.task}, level {self.level}, with seed {seed}: {error}. "
                    f"Arms that can: {', '.join(self._task.able_arms())}."
                ) from error
        else:
            setup = free_setup(words, rng, self.level, combos, layout, reach)
        setup = perturbed_setup(self.perturbations, seed, setup)
        return replace(setup, scene=replace(setup.scene, cameras=(*setup.scene.cameras, *self._own_cameras)))

    def _world(self) -> Body:
        """Returns the body. Raises gymnasium's ResetNeeded if there is none yet."""
        if not hasattr(self, "body"):
            raise gymnasium.error.ResetNeeded("Call reset() before step() or render().")
        return self.body

    def _make_body(self) -> Body:
        return Body(self.setup.scene, self._arm)

    def _advance(self, event: Event, body: Body) -> None:
        self.instruction = event.step(body) or self.instruction

    def _to_control(self, manipulator: Manipulator, action: np.ndarray) -> Any:
        if self.control == "joint":
            return Control(action[:-1], float(action[-1]))
        dx, dy, dz, rx, ry, rz, fingers = [min(max(part, -1.0), 1.0) for part in action.tolist()]
        shift = MAX_SHIFT_M * dx, MAX_SHIFT_M * dy, MAX_SHIFT_M * dz
        turn = MAX_TURN_RAD * rx, MAX_TURN_RAD * ry, MAX_TURN_RAD * rz
        return Control(moved_hand(manipulator, shift, turn), (fingers + 1) / 2 * manipulator.arm.max_gap)

    def _judge(self) -> tuple[float, bool]:
        """Returns progress and success now; without a goal 0 and False."""
        goal = self.setup.goal
        if goal is None:
            return 0.0, False
        progress = goal.progress(self.body.state())
        return progress, progress >= 1.0

    def _info(self, success: bool) -> dict[str, Any]:
        info = {"is_success": success, "progress": self._progress, "instruction": self.instruction}
        info["clamps"] = sum(self.body.clamps.values())
        picture = self.goal_frame(self.frame_size) if self.cameras else None
        if picture is not None:
            info[GOAL_CAMERA] = picture.rgb.copy()
        return info

    def _spaces(self) -> tuple[spaces.Dict, spaces.Box]:
        low, high = _action_limits(self._arm)
        observations = self._format.space(len(low))
        if self.control == "ee_delta":
            high = np.tile(UNIT_ACTION, 1 + len(self._arm.partners))
            low = -high
        return observations, spaces.Box(low.astype(np.float32), high.astype(np.float32))


@cache
def _action_limits(arm: Arm) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lower and upper limits of joints (rad) and gripper (m), of one arm after the other: (n + 1,) each.

    Compiled once per process.
    """
    model = compile_scene(Scene(()), arm)
    arms = [Kinematics(model, each) for each in (arm, *arm.partners)]
    lower = [np.append(each.lower, 0.0) for each in arms]
    return np.concatenate(lower), np.concatenate([np.append(each.upper, each.arm.max_gap) for each in arms])


def _checked_seed(seed: int | None) -> int | None:
    if seed is not None and not (isinstance(seed, Integral) and seed >= 0):
        raise BadInput(f"A seed is 0 or more, a whole number, not {seed!r}.")
    return None if seed is None else int(seed)


def _checked_options(options: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the options of a reset. A misspelt one would silently play another scene."""
    if not isinstance(options, dict | None):
        raise BadInput(f"The options of reset are a dict, not {options!r}.")
    for name in options or {}:
        if name not in RESET_OPTIONS:
            raise UnknownName("option of reset", name, RESET_OPTIONS)
    if not isinstance(words := (options or {}).get("instruction"), str | None):
        raise BadInput(f"The instruction of a reset is text, not {words!r}.")
    return options or {}


def _checked_choice(kind: str, value: Any, choices: Sequence[Any]) -> Any:
    if value not in choices:
        raise UnknownName(kind, str(value), map(str, choices))
    return value


def _checked_size(size: Sequence[int]) -> tuple[int, int]:
    if len(size) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in size):
        raise BadInput(f"A frame size is a height and a width in pixels, such as (192, 256), not {size!r}.")
    height, width = size
    return int(height), int(width)
