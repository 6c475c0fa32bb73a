"""Observations become chat messages, and decisions become text. (The way back, text to Decision, is ``reading.py``.)

The layout of a prompt, byte for byte. The checkpoint's chat template puts the tools after the system text and writes
the turns:

    system:  {preset's text} Answer with one call.
    user:    front:<image>                           one block per camera, each after a line break except the first,
                                                     then one per picture that is no camera's: goal:<image>
             Task: put the red cube in the blue bowl
             History: pick red cube: ok; place blue bowl: failed, out of reach by 4 cm
             Hand: empty

History lists the last calls, oldest first, and is "none" at the start; an unreadable answer stands in it as "answer:
failed, {reason}". Hand is "empty" or "holding something". An answer, in the JSON and in the XML dialect:

    <tool_call>                                      <tool_call>
    {"name": "pick", "arguments": {"at":             <function=pick>
    {"label": "red cube", "point_2d": [512, 430]}}}  <parameter=at>
    </tool_call>                                     {"label": "red cube", "point_2d": [512, 430]}
                                                     </parameter>
                                                     </function>
                                                     </tool_call>

(the JSON of a call stands on one line). A point has the key "camera" only when more than one camera is shown. The text
depends on nothing but the arguments: the same observation gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from qwenarm.errors import BadInput
from qwenarm.mind.coordinates import Size, encode
from qwenarm.mind.families import Family
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.prompt.presets import Altitude, Preset
from qwenarm.types import (
    Decision,
    Frame,
    ImagePoint,
    Observation,
    Param,
    Prompt,
    SkillCall,
    SkillResult,
    SkillSpec,
    Turn,
)

__all__ = [
    "frame_sizes",
    "history_text",
    "parse",
    "render",
    "spell",
    "system_text",
    "to_prompt",
    "tool_schemas",
    "user_text",
]

ASKS: dict[Altitude, str] = {
    "step": "Answer with one call.",
    "plan": "Answer with all the calls that lead to the goal, in order, and end with done.",
}
EXTRA = ("goal",)
"""Names of frames that show something else than the table now: a picture of it as it shall be."""
MAX_WORDS = 160  # characters of a label or a reason that the history repeats


def to_prompt(
    observation: Observation, history: Sequence[Turn], specs: Sequence[SkillSpec], family: Family, preset: Preset
) -> Prompt:
    """The question put to a model for one decision. Raises BadInput if a camera of the preset has no frame."""
    frames = shown_frames(observation, preset)
    pictures = (*frames, *extra_frames(observation))
    content: list[dict[str, Any]] = []
    for index, frame in enumerate(pictures):
        break_line = "\n" if index else ""
        content += [{"type": "text", "text": f"{break_line}{frame.camera}:"}, {"type": "image"}]
    past = history_text(history, preset.history)
    content.append(
        {"type": "text", "text": "\n" + user_text(observation.instruction, past, observation.proprio.holding)}
    )
    sizes = {frame.camera: _size(frame) for frame in frames}
    return Prompt(
        messages=(
            {"role": "system", "content": system_text(preset, family, sizes)},
            {"role": "user", "content": content},
        ),
        images=tuple(frame.rgb for frame in pictures),
        tools=tool_schemas(tuple(specs), tuple(sizes), preset.tool_docs),
        max_tokens=preset.max_tokens,
        max_calls=preset.max_calls,
    )


def shown_frames(observation: Observation, preset: Preset) -> tuple[Frame, ...]:
    """The frames that the preset shows, in its order."""
    frames = {frame.camera: frame for frame in observation.frames if frame.camera not in EXTRA}
    missing = [name for name in preset.cameras if name not in frames]
    if missing:
        raise BadInput(f"The observation has no frame of camera {missing[0]!r}. It has: {', '.join(frames) or 'none'}.")
    return tuple(frames[name] for name in preset.cameras)


def extra_frames(observation: Observation) -> tuple[Frame, ...]:
    """Pictures that come with the task and not from a camera: no preset names them, no point can lie in them."""
    return tuple(frame for frame in observation.frames if frame.camera in EXTRA)


def frame_sizes(observation: Observation, preset: Preset) -> dict[str, Size]:
    """Camera -> (H, W) of the frames shown; the first is the camera meant where a point names none."""
    return {frame.camera: _size(frame) for frame in shown_frames(observation, preset)}


def system_text(preset: Preset, family: Family, sizes: Mapping[str, Size]) -> str:
    """The system message, without the tools (the chat template adds those)."""
    told = (preset.system, scale_text(family, sizes) if preset.tool_docs else "", ASKS[preset.altitude])
    text = " ".join(part for part in told if part)
    camera = next(iter(sizes))
    for example in preset.examples:
        text += f"\n\nExample:\n{example.question}\nAnswer:\n{render(_seen_by(camera, example.answer), family, sizes)}"
    return text


def scale_text(family: Family, sizes: Mapping[str, Size]) -> str:
    """How to count in a frame. Models that are not told drift out of it (github.com/QwenLM/Qwen3-VL issue 1035)."""
    spans = {camera: family.codec.span(size) for camera, size in sizes.items()}
    if len(set(spans.values())) == 1:
        right, bottom = next(iter(spans.values()))
        return (
            f"point_2d is [x, y], from [0, 0] at the upper left of an image to [{right}, {bottom}] at its lower right."
        )
    ends = ", ".join(f"[{right}, {bottom}] in {camera}" for camera, (right, bottom) in spans.items())
    return f"point_2d is [x, y], from [0, 0] at the upper left of an image to its lower right: {ends}."


def _seen_by(camera: str, decision: Decision) -> Decision:
    """The decision with its points in that camera's frame: an example is no statement about the scene."""
    calls = [
        replace(
            call, args={k: replace(v, camera=camera) if isinstance(v, ImagePoint) else v for k, v in call.args.items()}
        )
        for call in decision.calls
    ]
    return replace(decision, calls=tuple(calls))


def user_text(instruction: str, past: str, holding: bool) -> str:
    """The words below the frames."""
    return f"Task: {_plain(instruction)}\nHistory: {past}\nHand: {'holding something' if holding else 'empty'}"


def history_text(history: Sequence[Turn], last: int) -> str:
    """The last calls and how they went, oldest first: "pick red cube: ok; place blue bowl: failed, out of reach by 4
    cm".
    """
    lines: list[str] = []
    for turn in history:
        if turn.decision.error is not None:
            lines.append(f"answer: failed, {_brief(turn.decision.detail or turn.decision.error.value)}")
        lines += [_result_text(call, result) for call, result in zip(turn.decision.calls, turn.results, strict=False)]
    return "; ".join(lines[-last:]) if lines and last > 0 else "none"


def _result_text(call: SkillCall, result: SkillResult) -> str:
    words = [call.name, *(_argument_words(value) for value in call.args.values())]
    verdict = "ok" if result.ok else f"failed, {_brief(result.detail)}" if result.detail else "failed"
    return f"{' '.join(word for word in words if word)}: {verdict}"


def _argument_words(value: Any) -> str:
    return _brief(value.label if isinstance(value, ImagePoint) else str(value))


def _plain(text: str) -> str:
    """One line, and no control tokens: a label such as "<|image_pad|>" must not become a picture without pixels."""
    return " ".join(text.split()).replace("<|", "< |")


def _brief(text: str) -> str:
    plain = _plain(text)
    return plain if len(plain) <= MAX_WORDS else plain[: MAX_WORDS - 1] + "…"


def _size(frame: Frame) -> Size:
    return frame.rgb.shape[0], frame.rgb.shape[1]


@lru_cache(maxsize=32)
def tool_schemas(specs: tuple[SkillSpec, ...], cameras: tuple[str, ...], docs: bool) -> tuple[dict[str, Any], ...]:
    """The skills as functions in the OpenAI form, for the chat template. docs: with the first sentences of their
    docstrings.
    """
    return tuple(_tool_schema(spec, cameras, docs) for spec in specs)


def _tool_schema(spec: SkillSpec, cameras: Sequence[str], docs: bool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": spec.name}
    if docs and spec.doc:
        function["description"] = spec.doc.strip().splitlines()[0]
    function["parameters"] = {
        "type": "object",
        "properties": {param.name: _param_schema(param, cameras, docs) for param in spec.params},
        "required": [param.name for param in spec.params if param.required],
    }
    return {"type": "function", "function": function}


def _param_schema(param: Param, cameras: Sequence[str], docs: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object" if param.kind == "point" else param.kind}
    if docs and param.doc:
        schema["description"] = param.doc
    if param.choices:
        schema["enum"] = list(param.choices)
    if param.kind == "point":
        keys: dict[str, Any] = {
            "label": {"type": "string"},
            "point_2d": {"type": "array", "items": {"type": "integer"}},
        }
        if len(cameras) > 1:
            keys["camera"] = {"type": "string", "enum": list(cameras)}
        schema["properties"] = keys
        schema["required"] = list(keys)
    return schema


def render(decision: Decision, family: Family, sizes: Mapping[str, Size]) -> str:
    """A decision as the family would write it: its thought, then its calls. sizes: camera -> (H, W) of the frames
    shown.

    ``parse`` reads it back: equal up to the rounding of points to the family's units. Points must lie in a camera of
    ``sizes``.
    """
    calls = [
        spell(call.name, {key: _argument(value, family, sizes) for key, value in call.args.items()}, family)
        for call in decision.calls
    ]
    return "\n".join([decision.thought, *calls] if decision.thought else calls)


def _argument(value: Any, family: Family, sizes: Mapping[str, Size]) -> Any:
    if not isinstance(value, ImagePoint):
        return value
    xy = encode(family.codec, (value.u, value.v), sizes[value.camera])
    point: dict[str, Any] = {"label": value.label, "point_2d": list(xy)}
    return {**point, "camera": value.camera} if len(sizes) > 1 else point


def spell(name: str, args: Mapping[str, Any], family: Family) -> str:
    """One call in the family's dialect, its arguments as they stand."""
    return _json_call(name, args) if family.dialect == "json" else _xml_call(name, args)


def _json_call(name: str, args: Mapping[str, Any]) -> str:
    return f"<tool_call>\n{_dump({'name': name, 'arguments': args})}\n</tool_call>"


def _xml_call(name: str, args: Mapping[str, Any]) -> str:
    parameters = "".join(f"<parameter={key}>\n{_xml_value(value)}\n</parameter>\n" for key, value in args.items())
    return f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"


def _xml_value(value: Any) -> str:
    """Bare text where it reads back as itself, JSON otherwise."""
    bare = isinstance(value, str) and value and value == value.strip() and value[0] not in '{["(' and "<" not in value
    return value if bare else _dump(value)


def _dump(value: Any) -> str:
    """JSON on one line, in which no string can look like a tag."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
