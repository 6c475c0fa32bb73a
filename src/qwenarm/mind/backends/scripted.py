"""A backend without a model: replies that were recorded or written by hand. For tests, demos and debugging."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qwenarm.errors import BadInput
from qwenarm.mind.backends import BackendEntry
from qwenarm.mind.families import DEFAULT_FAMILY, Family, family_named
from qwenarm.mind.prompt.presets import QWEN_PRESET, Preset
from qwenarm.types import Completion, Prompt


class Scripted:
    """Answers with the given replies in order, or with what a function makes of each prompt.

    Args:
        replies: texts, completions, or a function from a prompt to either. The prompts of a batch take replies in
            order, so episodes that are played in lockstep need a function.
        family: whose units and dialect the replies are in.
        name: in records.
        preset: how prompts are made.

    Raises:
        BadInput: on a prompt for which no reply is left.
    """

    thinking = False

    def __init__(
        self,
        replies: Iterable[str | Completion] | Callable[[Prompt], str | Completion],
        family: str | Family = DEFAULT_FAMILY,
        name: str = "scripted",
        preset: Preset = QWEN_PRESET,
    ) -> None:
        self.name, self.preset = name, preset
        self.family = family_named(family) if isinstance(family, str) else family
        self._function = replies if callable(replies) else None
        self._replies = [] if callable(replies) else list(replies)
        self._given = 0

    def describe(self) -> Mapping[str, Any]:
        return {"model": self.name, "family": self.family.name, "replies": len(self._replies) or "function"}

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        return [_completion(self._reply(prompt)) for prompt in prompts]

    def _reply(self, prompt: Prompt) -> str | Completion:
        if self._function is not None:
            return self._function(prompt)
        if self._given >= len(self._replies):
            raise BadInput(f"The script {self.name!r} has {len(self._replies)} replies, and all of them are used.")
        self._given += 1
        return self._replies[self._given - 1]


def _completion(reply: str | Completion) -> Completion:
    return Completion(reply) if isinstance(reply, str) else reply


def read_script(path: Path) -> list[Completion]:
    """The replies in a JSONL file.

    A line is a string, an object with "text" and optionally "finish", or an episode of ``episode.trace``, which gives
    all completions of its model. Raises BadInput, with the line's number, for anything else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"Cannot read the script {str(path)!r}: {error}.") from error
    return [reply for number, line in enumerate(lines, 1) if line.strip() for reply in _replies(path, number, line)]


def _replies(path: Path, number: int, line: str) -> list[Completion]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise BadInput(f"Line {number} of {str(path)!r} is not JSON: {error}.") from error
    try:
        if isinstance(entry, dict) and "turns" in entry:
            return [_recorded(said) for turn in entry["turns"] for said in turn["completions"]]
        return [Completion(entry) if isinstance(entry, str) else _recorded(entry)]
    except (KeyError, TypeError) as error:
        raise BadInput(f'Line {number} of {str(path)!r} is not a string, object with "text" or episode.') from error


def _recorded(said: Mapping[str, Any]) -> Completion:
    text = said["text"]
    if not isinstance(text, str):
        raise TypeError("a reply must be text")
    return Completion(text, finish=str(said.get("finish", "stop")))


def open_script(source: str, **options: Any) -> Scripted:
    """The replies of "scripted:FILE"; the script is called as it is named."""
    return Scripted(read_script(Path(source.partition(":")[2])), **{"name": source, **options})


MODEL_NAMES = {"scripted:FILE": "replies from a JSONL file, one per prompt"}
BACKEND = BackendEntry(open_script, prefixes=("scripted:",))
