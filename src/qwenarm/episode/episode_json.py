"""An Episode as plain JSON values, and back. Pictures are not in it: names stand for them.

The one place that knows how an episode is written down; ``trace.py`` decides where.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

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
    SkillCall,
    SkillResult,
    Turn,
)

SCHEMA = 1
"""Rises whenever an old reader would misread a new line."""
PutImage = Callable[[np.ndarray], str]
GetImage = Callable[[str], np.ndarray]


def to_json(episode: Episode, put_image: PutImage) -> dict[str, Any]:
    """The episode as plain JSON values. put_image stores a picture and returns the name that stands for it."""
    shared: dict[str, Any] = {}  # the tools are the same in every prompt: once per line is enough
    data = {name: getattr(episode, name) for name in _PLAIN}
    data |= {"schema": SCHEMA, "outcome": str(episode.outcome), "setup": dict(episode.setup), "tools": shared}
    data["turns"] = [_turn_to_json(turn, put_image, shared) for turn in episode.turns]
    return data


_PLAIN = ("task", "level", "arm", "policy", "seed", "instruction", "progress", "final_hash", "detail")


def from_json(data: Mapping[str, Any], get_image: GetImage | None) -> Episode:
    """The inverse of ``to_json``. Without get_image pictures are left out. ValueError for a schema it does not know."""
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']} is not {SCHEMA}: written by another version of qwenarm")
    return Episode(
        **{name: data[name] for name in _PLAIN},
        outcome=Outcome(data["outcome"]),
        setup=data["setup"],
        turns=tuple(_turn_from_json(turn, get_image, data["tools"]) for turn in data["turns"]),
    )


def _turn_to_json(turn: Turn, put_image: PutImage, shared: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": turn.index,
        "observation": _observation_to_json(turn.observation, put_image),
        "decision": _decision_to_json(turn.decision),
        "results": [asdict(result) for result in turn.results],
        "completions": [asdict(completion) for completion in turn.completions],
        "prompts": [_prompt_to_json(prompt, put_image, shared) for prompt in turn.prompts],
        "seconds": dict(turn.seconds),
        "sim_time_s": turn.sim_time_s,
        "clamps": dict(turn.clamps),
        "progress": turn.progress,
    }


def _turn_from_json(data: Mapping[str, Any], get_image: GetImage | None, shared: Mapping[str, Any]) -> Turn:
    return Turn(
        index=data["index"],
        observation=_observation_from_json(data["observation"], get_image),
        decision=_decision_from_json(data["decision"]),
        results=tuple(SkillResult(**result) for result in data["results"]),
        completions=tuple(Completion(**completion) for completion in data["completions"]),
        prompts=tuple(_prompt_from_json(prompt, get_image, shared) for prompt in data["prompts"]),
        seconds=data["seconds"],
        sim_time_s=data["sim_time_s"],
        clamps=data["clamps"],
        progress=data["progress"],
    )


def _observation_to_json(observation: Observation, put_image: PutImage) -> dict[str, Any]:
    proprio = observation.proprio
    return {
        "frames": [{"camera": frame.camera, "png": put_image(frame.rgb)} for frame in observation.frames],
        "proprio": {
            "qpos": proprio.qpos.tolist(),
            "tcp_pos": proprio.tcp_pos.tolist(),
            "tcp_quat": proprio.tcp_quat.tolist(),
            "gripper_width": float(proprio.gripper_width),
            "holding": bool(proprio.holding),
        },
        "instruction": observation.instruction,
        "time_s": observation.time_s,
    }


def _observation_from_json(data: Mapping[str, Any], get_image: GetImage | None) -> Observation:
    arrays = {name: np.array(data["proprio"][name], dtype=float) for name in ("qpos", "tcp_pos", "tcp_quat")}
    frames = tuple(Frame(get_image(frame["png"]), frame["camera"]) for frame in data["frames"]) if get_image else ()
    return Observation(
        frames=frames,
        proprio=Proprio(**arrays, gripper_width=data["proprio"]["gripper_width"], holding=data["proprio"]["holding"]),
        instruction=data["instruction"],
        time_s=data["time_s"],
    )


def _decision_to_json(decision: Decision) -> dict[str, Any]:
    calls = [{"name": call.name, "args": {k: _arg_to_json(v) for k, v in call.args.items()}} for call in decision.calls]
    error = str(decision.error) if decision.error else None
    return {
        "calls": calls,
        "thought": decision.thought,
        "raw": decision.raw,
        "error": error,
        "detail": decision.detail,
        "notes": list(decision.notes),
    }


def _decision_from_json(data: Mapping[str, Any]) -> Decision:
    calls = (SkillCall(call["name"], {k: _arg_from_json(v) for k, v in call["args"].items()}) for call in data["calls"])
    return Decision(
        calls=tuple(calls),
        thought=data["thought"],
        raw=data["raw"],
        error=FormatError(data["error"]) if data["error"] else None,
        detail=data["detail"],
        notes=tuple(data["notes"]),
    )


def _arg_to_json(value: Any) -> Any:
    return asdict(value) if isinstance(value, ImagePoint) else value


def _arg_from_json(value: Any) -> Any:
    return ImagePoint(**value) if isinstance(value, dict) else value


def _prompt_to_json(prompt: Prompt, put_image: PutImage, shared: dict[str, Any]) -> dict[str, Any]:
    key = hashlib.sha256(json.dumps(prompt.tools, sort_keys=True).encode()).hexdigest()[:12]
    shared[key] = list(prompt.tools)
    return {
        "messages": list(prompt.messages),
        "images": [put_image(image) for image in prompt.images],
        "tools": key,
        "max_tokens": prompt.max_tokens,
        "max_calls": prompt.max_calls,
    }


def _prompt_from_json(data: Mapping[str, Any], get_image: GetImage | None, shared: Mapping[str, Any]) -> Prompt:
    return Prompt(
        messages=tuple(data["messages"]),
        images=tuple(get_image(name) for name in data["images"]) if get_image else (),
        tools=tuple(shared[data["tools"]]),
        max_tokens=data["max_tokens"],
        max_calls=data.get("max_calls", 1),  # earlier traces do not tell
    )
