"""Where finished episodes are kept, and the only thing that evaluation, pages, replay and training read.

A trace is a folder::

    episodes.jsonl       one line per episode, appended and fsynced; never rewritten
    frames/<hash>.png    every picture that a policy or a model saw, named by its content: equal ones are stored once
    *.mp4, *.html        films and pages, if somebody made them

A line is the JSON of one ``Episode`` (see ``to_json``) with ``"schema": 1``. The version rises whenever an old reader
would misread a new line. What is not kept: depth images (the skills' instrument; no policy is shown them).

A process that dies while it writes leaves at most one broken last line. Reading reports and skips it; the next append
starts on a fresh line. When the disk is full the file is cut back to its last whole line and ``BadInput`` says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
from PIL import Image

from qwenarm.errors import BadInput
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
FILE = "episodes.jsonl"

PutImage = Callable[[np.ndarray], str]
GetImage = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Reading:
    """What a trace holds. problems: one sentence per line that could not be read; such lines are skipped."""

    episodes: tuple[Episode, ...]
    problems: tuple[str, ...] = ()


class Trace:
    """A folder of episodes that can be appended to. Several processes may append to the same one.

    Raises BadInput when the folder cannot be made or written to.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        try:
            (self.folder / "frames").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"Cannot keep episodes in {self.folder}: {error.strerror}; choose another folder."
            ) from error

    def append(self, episode: Episode) -> None:
        """Store one episode: its pictures first, then its line, synced to the disk. All or nothing."""
        try:
            line = json.dumps(to_json(episode, self._put_image), default=_plain) + "\n"
            append_line(self.folder / FILE, line)
        except OSError as error:
            raise BadInput(
                f"Cannot write to {self.folder}: {error.strerror}; this episode is not stored, earlier ones are whole."
            ) from error

    def _put_image(self, rgb: np.ndarray) -> str:
        """Write an RGB picture (H, W, 3) uint8 as PNG and return its path inside the folder."""
        digest = hashlib.sha256(repr(rgb.shape).encode() + np.ascontiguousarray(rgb).tobytes()).hexdigest()[:24]
        name = f"frames/{digest}.png"
        path = self.folder / name
        if not path.exists():
            # A picture appears under its name only when it is whole: others may be reading or writing the same one.
            part = path.with_suffix(f".{os.getpid()}-{get_ident()}.part")
            try:
                part.write_bytes(png(rgb))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        return name


def _plain(value: Any) -> Any:
    """numpy scalars as Python numbers; anything else in ``setup`` is a programming error."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not belong in a trace")


def append_line(path: Path, line: str) -> None:
    """Append a line that ends in a newline and sync it; on any OSError the file is as it was before."""
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        try:
            file.write(_missing_newline(path, size) + line.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, size)
            raise


def _missing_newline(path: Path, size: int) -> bytes:
    """A newline when the file's last line was left half-written, else nothing."""
    if size == 0:
        return b""
    with open(path, "rb") as file:
        file.seek(size - 1)
        return b"" if file.read(1) == b"\n" else b"\n"


def read(source: Path | str, images: bool = True) -> Reading:
    """All episodes of a trace. source: its folder, or the ``episodes.jsonl`` in it.

    images: with False no PNG is opened, and observations and prompts come without pictures (much faster).
    Raises BadInput when nothing can be read there at all.
    """
    path = Path(source)
    path = path / FILE if path.is_dir() else path
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise BadInput(
            f"Cannot read episodes from {source}: {error.strerror}; expected a folder with {FILE}."
        ) from error
    get_image = _image_reader(path.parent) if images else None
    episodes, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            episodes.append(from_json(json.loads(line), get_image))
        except (ValueError, KeyError, TypeError, OSError, AttributeError) as error:
            where = "the last line is half-written" if number == len(lines) else f"line {number} is unreadable"
            problems.append(f"{path}: {where} and was skipped ({type(error).__name__}: {error}).")
    return Reading(tuple(episodes), tuple(problems))


def _image_reader(folder: Path) -> GetImage:
    def get(name: str) -> np.ndarray:
        with Image.open(folder / name) as picture:
            return np.asarray(picture.convert("RGB"))

    return get


def png(rgb: np.ndarray) -> bytes:
    """PNG bytes of an RGB picture (H, W, 3) uint8."""
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "png", compress_level=4)
    return buffer.getvalue()


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
        "feedback": observation.feedback,
        "time_s": observation.time_s,
    }


def _observation_from_json(data: Mapping[str, Any], get_image: GetImage | None) -> Observation:
    arrays = {name: np.array(data["proprio"][name], dtype=float) for name in ("qpos", "tcp_pos", "tcp_quat")}
    frames = tuple(Frame(get_image(frame["png"]), frame["camera"]) for frame in data["frames"]) if get_image else ()
    return Observation(
        frames=frames,
        proprio=Proprio(**arrays, gripper_width=data["proprio"]["gripper_width"], holding=data["proprio"]["holding"]),
        instruction=data["instruction"],
        feedback=data["feedback"],
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
    }


def _prompt_from_json(data: Mapping[str, Any], get_image: GetImage | None, shared: Mapping[str, Any]) -> Prompt:
    return Prompt(
        messages=tuple(data["messages"]),
        images=tuple(get_image(name) for name in data["images"]) if get_image else (),
        tools=tuple(shared[data["tools"]]),
        max_tokens=data["max_tokens"],
    )
