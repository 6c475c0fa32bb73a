"""Converts an Episode to plain JSON values and back. Images are stored elsewhere, under the names used here.

This is the only place that knows the format of an episode; ``trace.py`` decides where it is stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from sys import intern
from typing import Any, get_origin, get_type_hints

import numpy as np

from qwenarm.episode.clock import parse_clock
from qwenarm.errors import BadInput
from qwenarm.typed import MAX_NUMBER, is_number, typed
from qwenarm.types import (
    Completion,
    Decision,
    Episode,
    FormatError,
    Frame,
    ImagePoint,
    Observation,
    Outcome,
    Prompt,
    Proprio,
    RunConfig,
    RunInfo,
    SideEffect,
    SkillCall,
    SkillResult,
    Turn,
)

SCHEMA_VERSION = 2
"""Increases whenever an old reader would misread a new line."""
PutImage = Callable[[np.ndarray], str]
GetImage = Callable[[str], np.ndarray]


@dataclass(frozen=True, slots=True)
class Head:
    """An episode without its turns: all that scores and tables need. ``curve`` is the progress after each turn."""

    run: RunInfo
    instruction: str
    outcome: Outcome
    progress: float
    final_hash: str
    detail: str
    curve: tuple[float, ...]
    side_effects: tuple[SideEffect, ...] = ()


def head_to_json(episode: Episode) -> dict[str, Any]:
    """Returns the fields of ``Head`` as plain JSON values."""
    plain = {name: getattr(episode, name) for name in ("instruction", "progress", "final_hash", "detail")}
    curve = [turn.progress for turn in episode.turns]
    effects = [asdict(effect) for effect in episode.side_effects]
    return {
        "run": asdict(episode.run),
        "outcome": str(episode.outcome),
        **plain,
        "curve": curve,
        "side_effects": effects,
    }


def head_from_json(data: Mapping[str, Any]) -> Head:
    """Inverts ``head_to_json``. Raises ValueError, KeyError or TypeError for anything else."""
    run = dict(data["run"])
    config = dict(run.pop("config"))
    perturbations = tuple((str(axis), int(strength)) for axis, strength in config.pop("perturbations"))
    config = RunConfig(**checked(RunConfig, config), perturbations=perturbations)
    _check_clock(config.clock)
    run |= {name: tuple(map(str, run[name])) for name in ("cameras", "watcher_failures")}
    run |= {name: _numbers(run[name]) for name in ("metrics", "task_metrics", "seconds")}
    if odd := [text for text in run["versions"].values() if not isinstance(text, str)]:
        raise TypeError(f"a version is {str(odd[0])[:40]!r}")
    run["speech"] = {str(key): str(value) for key, value in run.get("speech", {}).items()}
    texts = checked(Head, {name: data[name] for name in ("instruction", "final_hash", "detail")})
    return Head(
        run=RunInfo(config=config, **checked(RunInfo, run)),
        outcome=Outcome(data["outcome"]),
        progress=_fraction(data["progress"]),
        curve=tuple(map(_fraction, data["curve"])),
        side_effects=tuple(SideEffect(**checked(SideEffect, effect)) for effect in data["side_effects"]),
        **texts,
    )


def turns_to_json(episode: Episode, put_image: PutImage) -> dict[str, Any]:
    """Returns the turns without their progress, and the last frames, as plain JSON values.

    ``put_image`` stores an image and returns its name.
    """
    tools: dict[str, Any] = {}  # the same in every prompt, so they are stored once per line
    turns = [_turn_to_json(turn, put_image, tools) for turn in episode.turns]
    return {"turns": turns, "tools": tools, "last_frames": _frames_to_json(episode.last_frames, put_image)}


def turns_from_json(data: Mapping[str, Any], curve: Sequence[float], get_image: GetImage | None) -> tuple[Turn, ...]:
    """Inverts ``turns_to_json``. ``curve`` is the head's. Without ``get_image`` the turns have no images."""
    turns = zip(data["turns"], curve, strict=True)
    return tuple(_turn_from_json(turn, progress, get_image, data["tools"]) for turn, progress in turns)


def checked(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values. Raises TypeError unless each has the type that the dataclass declares for it.

    Text is interned, because a ledger repeats the same few words in thousands of lines.
    """
    wanted = _types(cls)
    for name, value in values.items():
        huge = isinstance(value, int) and abs(value) > MAX_NUMBER
        if not isinstance(value, wanted[name]) or isinstance(value, bool) or huge:
            raise TypeError(f"{name} is {str(value)[:40]!r}")
    return {name: intern(value) if isinstance(value, str) else value for name, value in values.items()}


def _check_clock(text: str) -> None:
    try:
        parse_clock(text)
    except BadInput as error:
        raise ValueError(str(error)) from None


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    if odd := [name for name, value in values.items() if not is_number(value)]:
        raise TypeError(f"{odd[0]} is {values[odd[0]]!r}")
    return {intern(name): value for name, value in values.items()}


def _fraction(value: Any) -> float:
    if not 0 <= value <= 1:  # also false for NaN
        raise ValueError(f"progress is {value}")
    return float(value)


@cache
def _types(cls: type) -> dict[str, type]:
    """Returns the plain type of each field: Mapping for Mapping[str, float]."""
    return {name: get_origin(hint) or hint for name, hint in get_type_hints(cls).items()}


def _plain(part: Any, **written: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass by name; those in ``written`` are JSON already."""
    return {each.name: written.get(each.name, getattr(part, each.name)) for each in fields(part)}


def _read(cls: type, data: Mapping[str, Any], **read: Any) -> Any:
    """Inverts ``_plain``; the fields in ``read`` are no JSON any more."""
    return typed(cls, **{each.name: data[each.name] for each in fields(cls) if each.name not in read}, **read)


def _turn_to_json(turn: Turn, put_image: PutImage, shared: dict[str, Any]) -> dict[str, Any]:
    plain = _plain(
        turn,
        observation=_observation_to_json(turn.observation, put_image),
        decision=_decision_to_json(turn.decision),
        results=[asdict(result) for result in turn.results],
        completions=[asdict(completion) for completion in turn.completions],
        prompts=[_prompt_to_json(prompt, put_image, shared) for prompt in turn.prompts],
        seconds=dict(turn.seconds),
        clamps=dict(turn.clamps),
    )
    del plain["progress"]  # in the head's curve
    return plain


def _turn_from_json(
    data: Mapping[str, Any], progress: float, get_image: GetImage | None, shared: Mapping[str, Any]
) -> Turn:
    return _read(
        Turn,
        data,
        observation=_observation_from_json(data["observation"], get_image),
        decision=_decision_from_json(data["decision"]),
        results=tuple(typed(SkillResult, **result) for result in data["results"]),
        completions=tuple(typed(Completion, **completion) for completion in data["completions"]),
        prompts=tuple(_prompt_from_json(prompt, get_image, shared) for prompt in data["prompts"]),
        progress=progress,
    )


def _frames_to_json(frames: Iterable[Frame], put_image: PutImage) -> list[dict[str, str]]:
    return [{"camera": frame.camera, "png": put_image(frame.rgb)} for frame in frames]


def frames_from_json(data: Iterable[Mapping[str, str]], get_image: GetImage | None) -> tuple[Frame, ...]:
    """Returns frames without depth, or none without ``get_image``."""
    if get_image is None:
        return ()
    return tuple(typed(Frame, rgb=get_image(frame["png"]), camera=frame["camera"]) for frame in data)


def _observation_to_json(observation: Observation, put_image: PutImage) -> dict[str, Any]:
    proprio = observation.proprio
    return {
        "frames": _frames_to_json(observation.frames, put_image),
        "proprio": {
            "qpos": proprio.qpos.tolist(),
            "tcp_pos": proprio.tcp_pos.tolist(),
            "tcp_quat": proprio.tcp_quat.tolist(),
            "gripper_width": float(proprio.gripper_width),
            "holding": bool(proprio.holding),
            **({"finger_pos": list(proprio.finger_pos)} if proprio.finger_pos else {}),
        },
        "instruction": observation.instruction,
        "time_s": observation.time_s,
    }


def _observation_from_json(data: Mapping[str, Any], get_image: GetImage | None) -> Observation:
    told = data["proprio"]
    arrays = {name: np.array(told[name], dtype=float) for name in ("qpos", "tcp_pos", "tcp_quat")}
    fingers = tuple(map(float, told.get("finger_pos", ())))
    proprio = _read(Proprio, told, **arrays, finger_pos=fingers)
    return _read(Observation, data, frames=frames_from_json(data["frames"], get_image), proprio=proprio)


def _decision_to_json(decision: Decision) -> dict[str, Any]:
    calls = [
        {"name": call.name, "args": {k: asdict(v) if isinstance(v, ImagePoint) else v for k, v in call.args.items()}}
        for call in decision.calls
    ]
    error = str(decision.error) if decision.error else None
    return _plain(decision, calls=calls, error=error, notes=list(decision.notes))


def _decision_from_json(data: Mapping[str, Any]) -> Decision:
    calls = (
        typed(SkillCall, name=call["name"], args={k: _arg_from_json(v) for k, v in call["args"].items()})
        for call in data["calls"]
    )
    error = FormatError(data["error"]) if data["error"] else None
    numbers = {name: data.get(name, 0) for name in ("delay_periods", "skipped")}
    return _read(Decision, data, calls=tuple(calls), error=error, notes=tuple(data["notes"]), **numbers)


def _arg_from_json(value: Any) -> Any:
    return typed(ImagePoint, **value) if isinstance(value, dict) else value


def _prompt_to_json(prompt: Prompt, put_image: PutImage, shared: dict[str, Any]) -> dict[str, Any]:
    key = hashlib.sha256(json.dumps(prompt.tools, sort_keys=True).encode()).hexdigest()[:12]
    shared[key] = list(prompt.tools)
    images = [put_image(image) for image in prompt.images]
    return _plain(prompt, messages=list(prompt.messages), images=images, tools=key)


def _prompt_from_json(data: Mapping[str, Any], get_image: GetImage | None, shared: Mapping[str, Any]) -> Prompt:
    messages = tuple(data["messages"])
    parts = [part for message in messages for part in _parts(message)]
    if sum(part["type"] == "image" for part in parts) > len(data["images"]):
        raise ValueError("a prompt lacks a picture")
    images = tuple(get_image(name) for name in data["images"]) if get_image else ()
    return _read(Prompt, data, messages=messages, images=images, tools=tuple(shared[data["tools"]]))


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns the parts of a chat message's content. Raises TypeError or KeyError unless it is one."""
    role, content = message["role"], message["content"]
    parts: list[Mapping[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts = [role, *(part["text"] for part in parts if part["type"] == "text")]
    kinds = [part["type"] in ("text", "image") for part in parts]
    if not isinstance(parts, list) or not all(kinds) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"a message is {str(message)[:40]!r}")
    return parts
