"""Turns observations into chat messages, and decisions into text. (``parsing`` turns text into decisions.)

The layout of a prompt, byte for byte; the checkpoint's chat template adds the tools and marks the turns:

    system:  {preset's text} Answer with one call.
    user:    front:<image>                           one block per camera, each but the first on a new line,
                                                     then one per other picture: goal:<image>
             Task: put the red cube in the blue bowl
             History: pick red cube: ok; place blue bowl: failed, out of reach by 4 cm
             Hand: empty

History lists the last calls, oldest first, and is "none" at the start. An unreadable answer is listed as "answer:
failed, {reason}". Hand is "empty" or "holding something".

Models that were not trained on these skills also see the last calls as turns of the conversation, in the form in which
Qwen's chat templates write calls and the answers of tools. With the turns Qwen2.5-Coder-1.5B places what it has picked;
with the line it knows when it is done (docs/results.md):

    user:       Task: put the red cube in the blue bowl
    assistant:  {the call}
    user:       <tool_response>
                ok
                </tool_response>
    user:       front:<image> ...

An answer, in the JSON and in the XML dialect:

    <tool_call>                                      <tool_call>
    {"name": "pick", "arguments": {"at":             <function=pick>
    {"label": "red cube", "point_2d": [512, 430]}}}  <parameter=at>
    </tool_call>                                     {"label": "red cube", "point_2d": [512, 430]}
                                                     </parameter>
                                                     </function>
                                                     </tool_call>

(the JSON of a call is on one line). A point has the key "camera" only if more than one camera is shown. The text
depends on nothing but the arguments: the same observation gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from qwenarm.errors import BadInput, shortened
from qwenarm.mind.coordinates import Codec, Size, encode
from qwenarm.mind.families import Family
from qwenarm.mind.prompt.presets import Altitude, Preset
from qwenarm.mind.prompt.tools import tool_schemas
from qwenarm.types import (
    Decision,
    Frame,
    ImagePoint,
    Observation,
    Prompt,
    SkillCall,
    SkillSpec,
    Turn,
)

ANSWER_REQUESTS: dict[Altitude, str] = {
    "step": "Answer with one call.",
    "plan": "Answer with all the calls that lead to the goal, in order, and end with done.",
}
PICTURES_OF_NO_CAMERA = ("goal",)
"""Frames that do not show the present table: "goal" shows it as it should become."""
MAX_HISTORY_TEXT_CHARS = 160
"""Maximum length of a label or reason that the history repeats."""
WAYS_OUT = {"the hand already holds something": "place it first", "the hand is empty": "pick something first"}
"""What a model can do about a refusal. The bundled models were trained without."""


def to_prompt(
    observation: Observation, history: Sequence[Turn], specs: Sequence[SkillSpec], family: Family, preset: Preset
) -> Prompt:
    """Returns the prompt for one decision.

    Args:
        observation: What is seen and asked now.
        history: The turns so far.
        specs: The skills to offer.
        family: How the model counts along an image and writes a call.
        preset: What is shown, and in which words.

    Raises:
        BadInput: A camera of the preset has no frame.
    """
    frames = shown_frames(observation, preset)
    pictures = (*frames, *extra_frames(observation))
    content = picture_content([frame.camera for frame in pictures])
    sizes = {frame.camera: _size(frame) for frame in frames}
    scale = (family.codec, sizes) if preset.history_points else None
    past = history_text(history, preset.history, fold=preset.tool_docs, advise=preset.tool_docs, scale=scale)
    words = user_text(observation.instruction, past, observation.proprio.holding)
    content.append({"type": "text", "text": f"\n{words}"})
    return Prompt(
        messages=(
            {"role": "system", "content": system_text(preset, family, sizes)},
            *(past_turns(history, preset.history, family, sizes) if preset.tool_docs else ()),
            {"role": "user", "content": content},
        ),
        images=tuple(frame.rgb for frame in pictures),
        tools=tool_schemas(tuple(specs), tuple(sizes), preset.tool_docs),
        max_tokens=preset.max_tokens,
        max_calls=preset.max_calls,
    )


def picture_content(names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the part of a message that shows pictures, each under its name."""
    content: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        break_line = "\n" if index else ""
        content += [{"type": "text", "text": f"{break_line}{name}:"}, {"type": "image"}]
    return content


def shown_frames(observation: Observation, preset: Preset) -> tuple[Frame, ...]:
    """Returns the frames of the preset's cameras, in its order."""
    frames = {frame.camera: frame for frame in observation.frames if frame.camera not in PICTURES_OF_NO_CAMERA}
    missing = [name for name in preset.cameras if name not in frames]
    if missing:
        raise BadInput(f"The observation has no frame of camera {missing[0]!r}. It has: {', '.join(frames) or 'none'}.")
    return tuple(frames[name] for name in preset.cameras)


def extra_frames(observation: Observation) -> tuple[Frame, ...]:
    """Returns the images that belong to the task rather than to a camera. Points cannot lie in them."""
    return tuple(frame for frame in observation.frames if frame.camera in PICTURES_OF_NO_CAMERA)


def frame_sizes(observation: Observation, preset: Preset) -> dict[str, Size]:
    """Returns the (H, W) of the frames by camera. A point that names no camera lies in the first."""
    return {frame.camera: _size(frame) for frame in shown_frames(observation, preset)}


def system_text(preset: Preset, family: Family, sizes: Mapping[str, Size]) -> str:
    """Returns the system message without the tools, which the chat template adds."""
    told = (preset.system, scale_text(family, sizes) if preset.tool_docs else "", ANSWER_REQUESTS[preset.altitude])
    text = " ".join(part for part in told if part)
    camera = next(iter(sizes))
    for example in preset.examples:
        text += (
            f"\n\nExample:\n{example.question}\nAnswer:\n{render(_in_camera(camera, example.answer), family, sizes)}"
        )
    return text


def scale_text(family: Family, sizes: Mapping[str, Size]) -> str:
    """Returns how to count along an image. Without it, models point outside (github.com/QwenLM/Qwen3-VL issue 1035)."""
    spans = {camera: family.codec.span(size) for camera, size in sizes.items()}
    if len(set(spans.values())) == 1:
        right, bottom = next(iter(spans.values()))
        return (
            f"point_2d is [x, y], from [0, 0] at the upper left of an image to [{right}, {bottom}] at its lower right."
        )
    ends = ", ".join(f"[{right}, {bottom}] in {camera}" for camera, (right, bottom) in spans.items())
    return f"point_2d is [x, y], from [0, 0] at the upper left of an image to its lower right: {ends}."


def _in_camera(camera: str, decision: Decision) -> Decision:
    """Returns the decision with all its points in that camera's frame."""
    calls = [
        replace(
            call, args={k: replace(v, camera=camera) if isinstance(v, ImagePoint) else v for k, v in call.args.items()}
        )
        for call in decision.calls
    ]
    return replace(decision, calls=tuple(calls))


def user_text(instruction: str, past: str, holding: bool) -> str:
    """Returns the words below the frames."""
    return f"Task: {_on_one_line(instruction)}\nHistory: {past}\nHand: {hand_words(holding)}"


def hand_words(holding: bool) -> str:
    """Returns what a prompt says about the hand."""
    return "holding something" if holding else "empty"


def past_turns(history: Sequence[Turn], last: int, family: Family, sizes: Mapping[str, Size]) -> list[dict[str, Any]]:
    """Returns past calls and their results as messages, oldest first, after the task; none if there are none.

    Args:
        history: The turns so far.
        last: Maximum number of calls.
        family: The family in whose dialect and units they are written.
        sizes: (H, W) of the frames by camera.
    """
    told = list(_outcomes(history, advise=True))[-last:] if last > 0 else []
    messages = [("user", f"Task: {_on_one_line(turn.observation.instruction)}") for turn, *_ in told[:1]]
    for turn, call, outcome in told:
        said = _shortened(turn.decision.raw)
        if call is not None:
            said = render(Decision((_repeatable(call, sizes),)), family, sizes)
        messages += [("assistant", said), ("user", f"<tool_response>\n{outcome}\n</tool_response>")]
    return [{"role": role, "content": text} for role, text in messages]


def _repeatable(call: SkillCall, sizes: Mapping[str, Size]) -> SkillCall:
    """Returns a call whose words are short and plain, and whose points lie in a camera that is shown."""
    args: dict[str, Any] = {}
    for name, value in call.args.items():
        if isinstance(value, ImagePoint):
            camera = value.camera if value.camera in sizes else next(iter(sizes))
            args[name] = replace(value, label=_shortened(value.label), camera=camera)
        else:
            args[name] = _shortened(value) if isinstance(value, str) else value
    return replace(call, args=args)


Scale = tuple[Codec, Mapping[str, Size]]
"""How points are counted, and the (H, W) of each camera's frame. The first camera is that of points that name none."""


def history_text(
    history: Sequence[Turn], last: int, fold: bool = False, advise: bool = False, scale: Scale | None = None
) -> str:
    """Returns past calls and their results, oldest first.

    Example: "pick red cube: ok; place blue bowl: failed, out of reach"; with a scale "pick red cube at 512 430: ok".

    Args:
        history: The turns so far.
        last: Maximum number of entries.
        fold: Whether the same call with the same result several times in a row is one entry, "look: ok × 4". The
            bundled models were trained without.
        advise: Whether refusals say the way out.
        scale: If given, points are listed with their numbers.
    """
    lines = [
        f"{'answer' if call is None else _call_words(call, scale)}: {outcome}"
        for _, call, outcome in _outcomes(history, advise)
    ]
    if fold:
        runs = [(line, len(list(same))) for line, same in groupby(lines)]
        lines = [f"{line} × {count}" if count > 1 else line for line, count in runs]
    return "; ".join(lines[-last:]) if lines and last > 0 else "none"


def _outcomes(history: Sequence[Turn], advise: bool) -> Iterator[tuple[Turn, SkillCall | None, str]]:
    """Yields how each call went, oldest first; None stands for an answer that could not be read."""
    for turn in history:
        if turn.decision.error is not None:
            yield turn, None, f"failed, {_shortened(turn.decision.detail or turn.decision.error.value)}"
        for call, result in zip(turn.decision.calls, turn.results, strict=False):
            verdict = "ok" if result.ok else f"failed, {_shortened(result.detail)}" if result.detail else "failed"
            way_out = WAYS_OUT.get(result.detail) if advise else None
            yield turn, call, f"{verdict} ({way_out})" if way_out else verdict


def _call_words(call: SkillCall, scale: Scale | None) -> str:
    words = [call.name, *(_argument_words(value, scale) for value in call.args.values())]
    return " ".join(word for word in words if word)


def _argument_words(value: Any, scale: Scale | None) -> str:
    if not isinstance(value, ImagePoint):
        return _shortened(str(value))
    label = _shortened(value.label)
    if scale is None:
        return label
    codec, sizes = scale
    x, y = encode(codec, (value.u, value.v), sizes.get(value.camera) or next(iter(sizes.values())))
    return f"{label} at {x} {y}".strip()


def _on_one_line(text: str) -> str:
    """Returns the text on one line and without control tokens: "<|image_pad|>" in a label must not become an image
    token.
    """
    return " ".join(text.split()).replace("<|", "< |")


def _shortened(text: str) -> str:
    return shortened(_on_one_line(text), MAX_HISTORY_TEXT_CHARS)


def _size(frame: Frame) -> Size:
    return frame.rgb.shape[0], frame.rgb.shape[1]


def render(decision: Decision, family: Family, sizes: Mapping[str, Size]) -> str:
    """Writes a decision as the family would: its thought, then its calls. ``parse`` reads it back.

    Args:
        decision: Its points must lie in cameras of ``sizes``; they are rounded to the family's units.
        family: The family whose units and dialect are used.
        sizes: (H, W) of the frames by camera.
    """
    calls = [
        call_text(call.name, {key: _argument(value, family, sizes) for key, value in call.args.items()}, family)
        for call in decision.calls
    ]
    return "\n".join([decision.thought, *calls] if decision.thought else calls)


def _argument(value: Any, family: Family, sizes: Mapping[str, Size]) -> Any:
    if not isinstance(value, ImagePoint):
        return value
    xy = encode(family.codec, (value.u, value.v), sizes[value.camera])
    point: dict[str, Any] = {"label": value.label, "point_2d": list(xy)}
    return {**point, "camera": value.camera} if len(sizes) > 1 else point


def call_text(name: str, args: Mapping[str, Any], family: Family) -> str:
    """Returns one call in the family's dialect."""
    if family.dialect == "json":
        return f"<tool_call>\n{_dump({'name': name, 'arguments': args})}\n</tool_call>"
    return _xml_call(name, args)


def _xml_call(name: str, args: Mapping[str, Any]) -> str:
    parameters = "".join(f"<parameter={key}>\n{_xml_value(value)}\n</parameter>\n" for key, value in args.items())
    return f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"


def _xml_value(value: Any) -> str:
    """Returns bare text if it can be read back unchanged, else JSON."""
    bare = isinstance(value, str) and value and value == value.strip() and value[0] not in '{["(' and "<" not in value
    return value if bare else _dump(value)


def _dump(value: Any) -> str:
    """Returns JSON on one line, in which no string looks like a tag."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
