"""Decisions as chats with pictures, in one Parquet file that ``datasets`` opens and TRL trains on.

A row is one decision: "prompt" and "completion" as lists of messages with a list of parts each, "images" as PNG,
"tools" as JSON, and the facts of its episode; "outcome_checked" says whether it was played again. The calls of a policy
that asked no model are written as if Qwen3-VL had been asked and had answered with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwenarm.episode.trace import png
from qwenarm.export import library
from qwenarm.export.episodes import converted
from qwenarm.mind.families import family_named
from qwenarm.mind.prompt.messages import render, to_prompt
from qwenarm.mind.prompt.presets import QWEN_PRESET
from qwenarm.policies import is_action_chunk
from qwenarm.skills import specs
from qwenarm.types import Episode, Outcome, Prompt, Turn

CHAT_FAMILY = family_named("qwen3_vl")
_TEXT_FEATURE = {"dtype": "string", "_type": "Value"}


def write_chats(episodes: Iterable[Episode], path: Path, problems: list[str], checked: bool = True) -> int:
    """Writes the file, which appears when it is complete and holds a decision. Returns how many it holds.

    Args:
        episodes: What is written.
        path: The file.
        problems: Gets a sentence for each episode that is left out.
        checked: Whether the episodes were played again, to check their outcomes. It is noted in each row.
    """
    arrow, parquet = library("pyarrow", "pyarrow"), library("pyarrow.parquet", "pyarrow")
    schema, part, count = _schema(arrow), path.with_suffix(".part"), 0
    path.parent.mkdir(parents=True, exist_ok=True)

    def table(episode: Episode) -> Any:
        rows = [{**row, "outcome_checked": checked} for row in decisions(episode)]
        return arrow.Table.from_pylist(rows, schema)

    with parquet.ParquetWriter(part, schema) as writer:
        for rows in converted(episodes, table, problems):
            writer.write_table(rows)
            count += len(rows)
    part.replace(path) if count else part.unlink()
    return count


def decisions(episode: Episode) -> Iterator[dict[str, Any]]:
    """A row for every decision of an episode that made a call or was asked of a model."""
    facts = {"task": episode.task, "level": episode.level, "seed": episode.seed, "policy": episode.policy}
    facts |= {"outcome": str(episode.outcome), "success": episode.outcome is Outcome.SUCCESS}
    for turn in episode.turns:
        for prompt, answer in _exchanges(episode, turn):
            chat = {"prompt": [_message(each) for each in prompt.messages], "completion": [_said(answer)]}
            images = [{"bytes": png(image), "path": None} for image in prompt.images]
            yield {**chat, "images": images, "tools": json.dumps(prompt.tools), "turn": turn.index, **facts}


def _exchanges(episode: Episode, turn: Turn) -> Iterator[tuple[Prompt, str]]:
    if turn.prompts:
        yield from zip(turn.prompts, (completion.text for completion in turn.completions), strict=False)
    elif turn.decision.calls and not is_action_chunk(turn.decision.calls[0]):
        cameras = {frame.camera: frame.rgb.shape[:2] for frame in turn.observation.frames if frame.camera != "goal"}
        preset = type(QWEN_PRESET)("export", QWEN_PRESET.system, next(iter(cameras.values())), tuple(cameras))
        prompt = to_prompt(turn.observation, episode.turns[: turn.index], specs(), CHAT_FAMILY, preset)
        decision = replace(turn.decision, thought="")  # a control's remark, not a model's thought
        yield prompt, render(decision, CHAT_FAMILY, {name: (h, w) for name, (h, w) in cameras.items()})


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {"role": message["role"], "content": [{"type": part["type"], "text": part.get("text")} for part in parts]}


def _said(text: str) -> dict[str, Any]:
    return _message({"role": "assistant", "content": text})


def _schema(arrow: Any) -> Any:
    """The schema, with the metadata that tells ``datasets`` that the bytes are pictures."""
    text, whole = arrow.string(), arrow.int64()
    part = arrow.struct([("type", text), ("text", text)])
    messages = arrow.list_(arrow.struct([("role", text), ("content", arrow.list_(part))]))
    images = arrow.list_(arrow.struct([("bytes", arrow.binary()), ("path", text)]))
    columns = {"prompt": messages, "completion": messages, "images": images, "tools": text, "turn": whole}
    columns |= {"task": text, "level": whole, "seed": whole, "policy": text, "outcome": text}
    columns |= {"success": arrow.bool_(), "outcome_checked": arrow.bool_()}
    message = [{"role": _TEXT_FEATURE, "content": [{"type": _TEXT_FEATURE, "text": _TEXT_FEATURE}]}]
    kinds = {
        text: _TEXT_FEATURE,
        whole: {"dtype": "int64", "_type": "Value"},
        arrow.bool_(): {"dtype": "bool", "_type": "Value"},
    }
    features = {name: kinds.get(kind) for name, kind in columns.items()}
    features |= {"prompt": message, "completion": message, "images": [{"_type": "Image"}]}
    note = {"huggingface": json.dumps({"info": {"features": features}})}
    return arrow.schema(list(columns.items()), metadata=note)
