"""The types that body, mind and everything above them share. Pure data: no mujoco and no torch in here.

Conventions, everywhere in the project:

* World frame: x forward from the robot's base, y to its left, z up; the table's top is z = 0. Metres, radians, seconds.
* Quaternions are wxyz. A pose is (position (3,), quaternion (4,)).
* An image point is a pair of fractions (u, v) in [0, 1]: u to the right, v down, of the frame of a named camera.
  Pixels and the 0..1000 numbers of a model exist only at the edges (``body.cameras`` and ``mind.coordinates``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np


def sound(text: str) -> str:
    """The text with U+FFFD in the place of every lone surrogate. Escapes in JSON make them, and then no file, page or
    request can hold the text; two that belong together become the character that they mean.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True)
class Frame:
    """One camera picture.

    rgb: (H, W, 3) uint8. depth_m: (H, W) float32, metres along the optical axis, or None. camera: its name.
    """

    rgb: np.ndarray
    camera: str
    depth_m: np.ndarray | None = None


@dataclass(frozen=True)
class Proprio:
    """What the arm knows of itself: joint angles (n,) rad, tcp position (3,) m, tcp quaternion (4,) wxyz,
    finger gap in m.

    ``holding`` comes from the fingers alone: closed on something, or not.
    """

    qpos: np.ndarray
    tcp_pos: np.ndarray
    tcp_quat: np.ndarray
    gripper_width: float
    holding: bool


@dataclass(frozen=True)
class Observation:
    """All that a policy may see. The simulator's privileged state is never part of it."""

    frames: tuple[Frame, ...]
    proprio: Proprio
    instruction: str
    time_s: float = 0.0


@dataclass(frozen=True)
class ImagePoint:
    """A point in a camera's frame, as fractions: u to the right, v down, both in [0, 1].
    ``label`` says what is meant."""

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
    """One parameter of a skill. kind: "point" (an ImagePoint) | "string" | "number";
    choices: the valid strings, if few."""

    name: str
    kind: str
    doc: str = ""
    required: bool = True
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class SkillSpec:
    """What a model is told of a skill. Made from the skill's signature and docstring."""

    name: str
    doc: str
    params: tuple[Param, ...] = ()


@dataclass(frozen=True)
class SkillCall:
    """One call as the model made it. args: parameter name -> ImagePoint | str | float."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SkillResult:
    """How a call went. ``detail`` is a reason that a model can act on: "nothing between the fingers"."""

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
    """What a policy decided: its calls in order, or the error that kept the text from being read (then no calls).

    notes: harmless repairs made while reading ("box read as its centre"), counted in the episode.
    """

    calls: tuple[SkillCall, ...] = ()
    thought: str = ""
    raw: str = ""
    error: FormatError | None = None
    detail: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """What a backend is asked: chat messages in the OpenAI style,
    where {"type": "image"} parts stand for ``images`` in order.

    messages: ({"role": ..., "content": str | [parts]}, ...). images: RGB uint8 (H, W, 3) each. tools: JSON schemas in
    the OpenAI function form, for the chat template. max_tokens: room for the answer; one that follows a grammar may
    finish a call that it has begun. max_calls: how many calls may be made in the answer.
    """

    messages: tuple[dict[str, Any], ...]
    images: tuple[np.ndarray, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    max_tokens: int = 256
    max_calls: int = 1


@dataclass(frozen=True)
class Completion:
    """What a backend answers. finish: "stop" | "length" | the server's word. seconds: wall time, its share of the
    batch; of a server, how long it was waited for. The text is made ``sound`` here, whoever has said it.
    """

    text: str
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    finish: str = "stop"

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", sound(self.text))


class Outcome(StrEnum):
    """How an episode ended. Only SUCCESS counts as one; the rest are failures with a name, or UNJUDGED."""

    SUCCESS = "success"
    FAILURE = "failure"
    """The policy said that it was done, and the goal does not hold."""
    GAVE_UP = "gave up"
    OUT_OF_TURNS = "out of turns"
    FORMAT = "unreadable answers"
    STUCK = "stuck"
    """The same call failed in the same way three times in a row; only in episodes for free words."""
    CRASHED = "crashed"
    UNJUDGED = "unjudged"
    """Free words that could not be read as a goal: nobody can tell."""


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
    """One look, one decision, and what came of it.

    results: one per executed call (a failed call ends the turn). seconds: wall seconds spent in "model", "physics",
    "render", "skill" (planning and perception of the skills) and "other".
    Frames are kept for the trace, which stores them as PNG.
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

    policy: a name from the registry of policies. model, altitude, cameras: only for a policy that asks a model; cameras
    are names separated by commas, "" for those of the model's preset. words: an instruction in free words that makes
    its own scene, "" for the task's own. combos: which colour x shape pairs may appear. perturbations: (axis, strength)
    pairs as ``perturbations.checked`` returns them. clock: see ``episode/clock.py``.
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

    def without_model(self) -> RunConfig:
        """The same for a policy that asks no model."""
        return replace(self, model="", altitude="", cameras="")


@dataclass(frozen=True)
class RunInfo:
    """The record of one run: what was played, with what, and what it cost. Enough to play it again.

    suite: the suite that it belongs to, "" outside an evaluation. policy: what the policy says about itself (model,
    file hash, prompt hash, preset). cameras: those the policy was shown. versions: by package. metrics: see
    ``episode/metrics.py``. task_metrics: what the task counts besides success. seconds: wall seconds of physics and
    rendering over the whole run. watcher_failures: one sentence for each film or page that failed on the way. read_as:
    what was understood of free words, and when it is judged as fulfilled. speech: of a spoken instruction, "heard" (the
    text as recognised), "file" and "sha256" of the recording, and the "recognizer"; {} for a typed one.
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
    """One finished episode: everything that evaluation, pages and training read. Nothing is derived from live state.

    progress: of the goal, in [0, 1], when the episode ended. final_hash: sha256 of the final qpos and qvel bytes, which
    a replay must reproduce; "" if there was no world. detail: why it crashed, or why nobody could judge it.
    last_frames: what the policy's cameras show when the episode is over; () if it crashed. side_effects: of a success,
    the objects that it moved to another place without need.
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
