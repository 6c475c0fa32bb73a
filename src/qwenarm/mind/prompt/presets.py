"""What a policy shows its model: frame size, cameras, length of the history, and the system text.

The preset is recorded with every episode. Frame sizes are rounded to the grid of the model's family, so that no
image is resized between the renderer and the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from qwenarm.errors import UnknownName
from qwenarm.mind.coordinates import Size, snap
from qwenarm.mind.families import Family
from qwenarm.types import Decision, ImagePoint, SkillCall, SkillSpec

Altitude = Literal["step", "plan"]
"""Whether a model is asked for its next call, or for all calls to the goal."""

ALTITUDE_NAMES: tuple[str, ...] = get_args(Altitude)
CHUNK_ALTITUDE = "chunk"
"""The control level without words: 20 Hz actions from a head on the checkpoint, see ``chunks.py``."""
MODEL_ALTITUDES = (*ALTITUDE_NAMES, CHUNK_ALTITUDE)
"""All that ``--altitude`` takes."""

MAX_PLAN_CALLS = 16
"""Maximum number of calls in a plan; a model that answers with more is stuck in a loop."""

IN_HAND = "in the hand"
"""Where something is that the arm holds, in words."""


@dataclass(frozen=True)
class Example:
    """A worked example for the system message.

    Attributes:
        question: The words of a prompt.
        answer: To this prompt.
        scene: What is on the table, each with where it is unless that is the table itself. A policy that tells the
            scene in words tells it here, too.
    """

    question: str
    answer: Decision
    scene: tuple[tuple[ImagePoint, str], ...] = ()


@dataclass(frozen=True)
class Preset:
    """Everything about a prompt that can be chosen.

    ``history`` is the number of past calls that are listed, ``max_tokens`` the maximum length of an answer.
    ``tool_docs`` is for models that were not trained on these skills: it adds descriptions to tools, and shows past
    calls as turns of the conversation, too. ``skills`` are the names of those offered, in order; empty for all.
    ``history_points`` adds to the listed calls where they pointed.
    """

    name: str
    system: str
    frame_size: Size
    cameras: tuple[str, ...] = ("front",)
    history: int = 4
    history_points: bool = False
    max_tokens: int = 256
    altitude: Altitude = "step"
    tool_docs: bool = True
    examples: tuple[Example, ...] = ()
    skills: tuple[str, ...] = ()

    def offered(self, specs: Sequence[SkillSpec]) -> tuple[SkillSpec, ...]:
        """Returns the skills that the preset offers, in its order."""
        named = {spec.name: spec for spec in specs}
        return tuple(named[name] for name in self.skills or named if name in named)

    @property
    def max_calls(self) -> int:
        """Maximum number of calls in one answer."""
        return 1 if self.altitude == "step" else MAX_PLAN_CALLS

    def fitted(self, family: Family) -> Preset:
        """Returns the same preset with frames on the family's grid."""
        return replace(self, frame_size=snap(self.frame_size, family.grid))


# The bundled model was trained on exactly these words (qwenarm.train) and understands no others.
BUNDLED_PRESET = Preset(
    name="bundled",
    system="You control a robot arm.",
    frame_size=(192, 256),
    history=16,
    history_points=True,
    max_tokens=80,
    tool_docs=False,
    skills=("done", "give_up", "look", "move_to", "open_gripper", "pick", "place", "push", "say", "pull"),
)

_EXAMPLE_CUBE = ImagePoint(0.412, 0.655, "yellow cube")
_EXAMPLE_TRAY = ImagePoint(0.703, 0.482, "white tray")
_EXAMPLE_SCENE = ((_EXAMPLE_CUBE, ""), (_EXAMPLE_TRAY, ""))

QWEN_PRESET = Preset(
    name="qwen",
    system=(
        "You control a robot arm at a table with objects on it. Each image is labelled with its camera; the front "
        "camera stands opposite the robot, so left in its image is the robot's right. You act only by calling one of "
        "the functions, which are the robot's skills. A point is the label of an object or place and the middle of it "
        "in the image. To move an object, pick it, then place it. History lists your earlier calls and how they went: "
        "where one failed, do something about the reason. Call done only when the image shows the task fulfilled, and "
        "give_up only when it cannot be."
    ),
    frame_size=(480, 640),
    examples=(
        Example(
            "Task: put the yellow cube in the white tray\nHistory: none\nHand: empty",
            Decision(calls=(SkillCall("pick", {"at": _EXAMPLE_CUBE}),)),
            _EXAMPLE_SCENE,
        ),
        Example(
            "Task: put the yellow cube in the white tray\nHistory: pick yellow cube: ok\nHand: holding something",
            Decision(calls=(SkillCall("place", {"at": _EXAMPLE_TRAY}),)),
            ((_EXAMPLE_CUBE, IN_HAND), (_EXAMPLE_TRAY, "")),
        ),
        Example(
            "Task: put the yellow cube in the white tray\nHistory: pick yellow cube: ok; place white tray: ok\n"
            "Hand: empty",
            Decision(calls=(SkillCall("done"),)),
            ((replace(_EXAMPLE_TRAY, label="yellow cube"), "in the white tray"), (_EXAMPLE_TRAY, "")),
        ),
    ),
)

PROMPT_PRESETS = {preset.name: preset for preset in (BUNDLED_PRESET, QWEN_PRESET)}

PLAN_EXAMPLE = Example(
    "Task: put the yellow cube in the white tray\nHistory: none\nHand: empty",
    Decision(
        calls=(SkillCall("pick", {"at": _EXAMPLE_CUBE}), SkillCall("place", {"at": _EXAMPLE_TRAY}), SkillCall("done"))
    ),
    _EXAMPLE_SCENE,
)


def preset_named(name: str) -> Preset:
    """Returns the preset of that name. Raises UnknownName."""
    if name not in PROMPT_PRESETS:
        raise UnknownName("preset", name, PROMPT_PRESETS)
    return PROMPT_PRESETS[name]


def at_altitude(preset: Preset, altitude: str) -> Preset:
    """Returns the preset for an altitude: a plan needs a longer answer and another example. Raises UnknownName."""
    if altitude == preset.altitude:
        return preset
    if altitude not in ALTITUDE_NAMES:
        raise UnknownName("altitude", altitude, ALTITUDE_NAMES)
    examples = (PLAN_EXAMPLE,) if preset.examples else ()
    return replace(preset, altitude=cast(Altitude, altitude), examples=examples, max_tokens=4 * preset.max_tokens)
