"""The types that body, mind and everything above them share. Pure data: no mujoco and no torch.

Conventions, everywhere in the project:

* World frame: x forward from the robot's base, y to its left, z up; the table's top is z = 0. Metres, radians, seconds.
* Quaternions are wxyz. A pose is (position (3,), quaternion (4,)).
* An image point is a pair of fractions (u, v) in [0, 1]: u to the right, v down, in the frame of a named camera.
  Pixels and the 0..1000 numbers of a model exist only at the edges (``body.cameras`` and ``mind.coordinates``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np


def sound(text: str) -> str:
    """Returns the text with every lone surrogate replaced by U+FFFD, and every pair by the character that it encodes.

    Escapes in JSON can produce surrogates, which no file, page or request can hold.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True)
class Frame:
    """One camera image: rgb (H, W, 3) uint8, and depth_m (H, W) float32 along the optical axis in m, or None."""

    rgb: np.ndarray
    camera: str
    depth_m: np.ndarray | None = None


@dataclass(frozen=True)
class Proprio:
    """The arm's own state: joint angles (n,) rad, tcp position (3,) m and quaternion (4,) wxyz, finger gap in m.

    ``holding`` is measured by the fingers alone: they are closed on something. ``finger_pos`` are the positions of the
    two fingers in m where they move independently; () where each moves by half of the gap.
    """

    qpos: np.ndarray
    tcp_pos: np.ndarray
    tcp_quat: np.ndarray
    gripper_width: float
    holding: bool
    finger_pos: tuple[float, ...] = ()


@dataclass(frozen=True)
class Observation:
    """Everything that a policy may see, which never includes the simulator's privileged state."""

    frames: tuple[Frame, ...]
    proprio: Proprio
    instruction: str
    time_s: float = 0.0


@dataclass(frozen=True)
class ImagePoint:
    """A point in a camera's frame as fractions, u to the right and v down, in [0, 1]. ``label`` says what is meant."""

    u: float
    v: float
    label: str = ""
    camera: str = "front"


@dataclass(frozen=True)
class Control:
    """Targets for one 50 ms control period: joint angles (n,) rad and the finger gap in m (0 = closed)."""

    qpos: np.ndarray
    gripper: float


@dataclass(frozen=True)
class Param:
    """A parameter of a skill.

    ``kind`` is "point" (an ImagePoint), "string", "number" or "actions" (rows of numbers, which no model is
    offered). ``choices`` are the valid strings, if there are few.
    """

    name: str
    kind: str
    doc: str = ""
    required: bool = True
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class SkillSpec:
    """What a model is told about a skill, made from the skill's signature and docstring."""

    name: str
    doc: str
    params: tuple[Param, ...] = ()


@dataclass(frozen=True)
class SkillCall:
    """A call as the model made it. ``args`` maps parameter names to an ImagePoint, str or float."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SkillResult:
    """The result of a call. ``detail`` is a reason that a model can act on, such as "nothing between the fingers"."""

    ok: bool
    detail: str = ""


class FormatError(StrEnum):
    """Why a model's text could not be read as calls. The value is the name that reports use."""

    EMPTY = "empty answer"
    NO_CALL = "no tool call"
    BROKEN = "broken tool call"
    UNKNOWN_SKILL = "unknown skill"
    BAD_ARGUMENT = "bad argument"
    TOO_MANY = "too many calls"
    TRUNCATED = "truncated answer"


@dataclass(frozen=True)
class Decision:
    """What a policy decided: calls in order, or the error because of which the text could not be read (then no calls).

    ``notes`` are harmless repairs made while reading ("box read as its centre"), which the episode counts. Of an
    asynchronous policy of 20 Hz actions, ``delay_periods`` are the control periods of thinking in which its calls play
    already, and ``skipped`` is the number of actions of its answer that came too late.
    """

    calls: tuple[SkillCall, ...] = ()
    thought: str = ""
    raw: str = ""
    error: FormatError | None = None
    detail: str = ""
    notes: tuple[str, ...] = ()
    delay_periods: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Prompt:
    """What a backend is asked.

    Attributes:
        messages: Chat messages in the OpenAI format, whose {"type": "image"} parts stand for ``images`` in order.
        images: RGB uint8 (H, W, 3) each.
        tools: JSON schemas in the OpenAI function format, for the chat template.
        max_tokens: Maximum length of the answer; with a grammar, a call that has begun may be finished.
        max_calls: Maximum number of calls in the answer.
    """

    messages: tuple[dict[str, Any], ...]
    images: tuple[np.ndarray, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    max_tokens: int = 256
    max_calls: int = 1


@dataclass(frozen=True)
class Completion:
    """A backend's answer, whose text is made ``sound`` here.

    ``seconds`` is its share of the batch's wall time, or the time until a server answered. ``finish`` is "stop",
    "length" or the server's word.
    """

    text: str
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    finish: str = "stop"

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", sound(self.text))


class Outcome(StrEnum):
    """How an episode ended. Only SUCCESS counts as success; UNJUDGED is neither, and all others are named failures."""

    SUCCESS = "success"
    FAILURE = "failure"
    """The policy said that it was done, and the goal does not hold."""
    GAVE_UP = "gave up"
    OUT_OF_TURNS = "out of turns"
    FORMAT = "unreadable answers"
    STUCK = "stuck"
    """The same call failed in the same way three times in a row; only in episodes for free words."""
    CRASHED = "crashed"
    STOPPED = "stopped"
    """The user ended it with Ctrl-C; only single runs are stored then."""
    UNJUDGED = "unjudged"
    """An instruction in free words that could not be read as a goal."""


@dataclass(frozen=True)
class SideEffect:
    """An object that ended up elsewhere in a successful episode although the goal did not need it.

    Attributes:
        label: The object, as in "red cube".
        before: Where it was at the start, as in "on the table".
        after: Where it is at the end, as in "in the blue bowl".
    """

    label: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"the {self.label} is {self.after}"


@dataclass(frozen=True)
class Turn:
    """One look, one decision, and its results.

    ``results`` has one entry per executed call (a failed call ends the turn). ``seconds`` are wall seconds spent in
    "model", "physics", "render", "skill" (planning and perception of the skills) and "other". Frames are kept for
    the trace, which stores them as PNG.
    """

    index: int
    observation: Observation
    decision: Decision
    results: tuple[SkillResult, ...]
    completions: tuple[Completion, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    sim_time_s: float = 0.0
    clamps: Mapping[str, int] = field(default_factory=dict)
    progress: float = 0.0


@dataclass(frozen=True)
class RunConfig:
    """What is played: everything that an episode depends on, except its seed and the versions.

    ``model``, ``altitude`` and ``cameras`` are for a policy that asks a model. Cameras are separated by commas; ""
    means those of the model's preset. ``words`` is an instruction in free words, which makes its own scene; "" means
    the task's own. ``perturbations`` are pairs as returned by ``perturbations.checked``. For ``clock`` see
    ``episode/clock.py``. ``control`` is "osc" for LIBERO's own arm and controller, "" for ours.
    """

    task: str = "put"
    level: int = 1
    arm: str = "panda"
    policy: str = "vlm"
    model: str = "bundled"
    altitude: str = "step"
    words: str = ""
    combos: str = "all"
    perturbations: tuple[tuple[str, int], ...] = ()
    clock: str = "paused"
    cameras: str = ""
    control: str = ""

    def without_model(self) -> RunConfig:
        """Returns the same for a policy that asks no model."""
        return replace(self, model="", altitude="", cameras="")


@dataclass(frozen=True)
class RunInfo:
    """The record of a run: what was played, with what, and at what cost. Enough to play it again.

    Attributes:
        suite: The suite that it belongs to, or "" outside an evaluation.
        policy: The policy's description of itself (model, file hash, prompt hash, preset).
        cameras: Those that the policy saw.
        versions: By package.
        metrics: See ``episode/metrics.py``.
        task_metrics: The task's own measures.
        seconds: Wall seconds of physics and rendering over the whole run.
        watcher_failures: One sentence for each film or page that failed.
        read_as: How free words were understood, and when they count as fulfilled.
        speech: For a spoken instruction "heard" (the recognised text), "file" and "sha256" of the recording, and the
            "recognizer"; {} for a typed one.
    """

    config: RunConfig
    seed: int
    suite: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    cameras: tuple[str, ...] = ()
    renderer: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    task_metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    watcher_failures: tuple[str, ...] = ()
    read_as: str = ""
    speech: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Episode:
    """A finished episode: everything that evaluation, pages and training read. Nothing is derived from live state.

    Attributes:
        progress: The goal's progress at the end, in [0, 1].
        final_hash: sha256 of the final qpos and qvel bytes, which a replay must reproduce; "" if there was no world.
        detail: Why it crashed, or why it could not be judged.
        last_frames: What the policy's cameras show at the end; () if it crashed.
        side_effects: The objects that a successful episode moved unnecessarily.
    """

    run: RunInfo
    instruction: str
    turns: tuple[Turn, ...]
    outcome: Outcome
    progress: float
    final_hash: str
    detail: str = ""
    last_frames: tuple[Frame, ...] = ()
    side_effects: tuple[SideEffect, ...] = ()

    @property
    def task(self) -> str:
        return self.run.config.task

    @property
    def level(self) -> int:
        return self.run.config.level

    @property
    def arm(self) -> str:
        return self.run.config.arm

    @property
    def policy(self) -> str:
        return self.run.config.policy

    @property
    def seed(self) -> int:
        return self.run.seed
