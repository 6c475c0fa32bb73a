"""Episodes in which an outsider decides, one call at a time: an agent behind MCP, or a trainer.

The outsider takes the place of the model. Prompts, parsing, history, clock, trace and the limits of the task are those
of every other model, so its episodes can be replayed, reported and compared like any others. Like any model, it is
never told whether the goal is reached.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qwenarm.display.episode_page import write_page
from qwenarm.episode.rollout import Play, Stopped, advance
from qwenarm.episode.trace import Trace
from qwenarm.episode.watchers import Watcher
from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.factory import perform, prepare
from qwenarm.mind.coordinates import Size
from qwenarm.mind.families import family_named
from qwenarm.mind.prompt.messages import call_text
from qwenarm.mind.prompt.presets import QWEN_PRESET
from qwenarm.types import Completion, Episode, Prompt, RunConfig, Turn

OUTSIDE_MODEL = "outside"
"""What the record calls the model of these episodes."""


class OutsideModel:
    """Stands for the outsider where a model is expected. Points go from 0 to 1000, as with Qwen3-VL."""

    name, family, thinking = OUTSIDE_MODEL, family_named("qwen3_vl"), False

    def __init__(self, client: str, frame_size: Size) -> None:
        self.client, self.preset = client, replace(QWEN_PRESET, name=OUTSIDE_MODEL, examples=(), frame_size=frame_size)

    def describe(self) -> Mapping[str, Any]:
        return {"model": self.name, "family": self.family.name, "client": self.client}

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[Completion]:
        raise ModelUnavailable("An outside agent calls by itself; it cannot be asked.")


@dataclass(frozen=True)
class Shown:
    """What the outsider is shown after a call.

    Attributes:
        parts: Texts and pictures, (H, W, 3) uint8, in the order of the prompt.
        ok: Whether the last call did what it should.
        over: Whether the episode has ended.
    """

    parts: tuple[str | np.ndarray, ...]
    ok: bool = True
    over: bool = False


class AgentSession(Watcher):
    """One arm at its table, for one episode after another. All methods must be called from the same thread.

    Args:
        config: Task, arm and scene; its policy and model are replaced.
        client: What the record calls the outsider.
        folder: Where finished episodes are stored, with their pages; None to store nothing.
        frame_size: (H, W) of the pictures.

    Attributes:
        episode: The last episode that has ended, with its outcome: for trainers and records, not for the outsider.
        max_calls: How many calls may be made in the present episode.
    """

    def __init__(
        self, config: RunConfig, client: str = "", folder: Path | None = None, frame_size: Size = QWEN_PRESET.frame_size
    ) -> None:
        self.config = replace(config, policy="vlm", model=OUTSIDE_MODEL, altitude="step")
        self.model, self.folder = OutsideModel(client, frame_size), folder
        self.episode: Episode | None = None
        self.max_calls = 0
        self._turns: list[Turn] = []
        self._play: Play | None = None
        self._prompt = Prompt(())
        self._asked_at = 0.0

    def begin(self, seed: int) -> Shown:
        """Starts an episode and shows its beginning.

        Raises:
            BadInput: The last episode is not over, or the instruction cannot be played.
        """
        if self._play is not None:
            raise BadInput("The episode is not over: end it with done or give_up first.")
        setup = prepare(self.config, seed)
        self.max_calls, self._turns = setup.max_turns, []
        self._play = perform(self.config, seed, self.model, [self], setup=setup)
        return self._advance(None)

    def observe(self) -> Shown:
        """The present state again, without a call. Raises BadInput when no episode is under way."""
        self._running()
        return Shown((*_parts(self._prompt), self._budget()))

    def call(self, name: str, args: Mapping[str, Any]) -> Shown:
        """Makes one call and shows its effect. A call that makes no sense counts as one that has failed.

        Args:
            name: Name of a skill.
            args: Its arguments, as its JSON schema describes them.

        Raises:
            BadInput: No episode is under way.
        """
        self._running()
        text = call_text(name, json.loads(json.dumps(dict(args))), self.model.family)
        return self._advance(Completion(text, seconds=time.monotonic() - self._asked_at))

    def tools(self) -> tuple[dict[str, Any], ...]:
        """The skills as functions in OpenAI's form, as models get them. Known while an episode is under way."""
        return self._prompt.tools

    def instructions(self) -> str:
        """The system message that models get. Known while an episode is under way."""
        return str(self._prompt.messages[0]["content"])

    def close(self) -> None:
        """Ends an episode that is not over as stopped, and stores what was played of it."""
        play, self._play = self._play, None
        if play is None:
            return
        if not self._turns:  # nothing was played
            play.close()
            return
        try:
            advance(play, KeyboardInterrupt())
        except Stopped as stopped:
            self._store(stopped.episode)

    def turned(self, turn: Turn) -> None:
        """Keeps the turn; the rollout calls this after each."""
        self._turns.append(turn)

    def _running(self) -> Play:
        if self._play is None:
            raise BadInput("No episode is under way: begin the next one.")
        return self._play

    def _advance(self, answer: Completion | None) -> Shown:
        try:
            self._prompt = advance(self._running(), answer)
        except StopIteration as end:
            self._play = None
            self._store(end.value)
            return Shown((self._result(), "The episode is over."), self._ok(), over=True)
        self._asked_at = time.monotonic()
        return Shown((self._result(), *_parts(self._prompt), self._budget()), self._ok())

    def _store(self, episode: Episode) -> None:
        self.episode = episode
        if self.folder is not None:
            trace = Trace(self.folder)
            trace.append(episode)
            write_page(episode, self.folder / f"{episode.task.replace(':', '-')}-{episode.seed}.html")

    def _ok(self) -> bool:
        last = self._turns[-1] if self._turns else None
        return last is None or (last.decision.error is None and all(result.ok for result in last.results))

    def _result(self) -> str:
        """One sentence about the last call."""
        if not self._turns:
            return "The episode begins."
        last = self._turns[-1]
        if last.decision.error is not None or not last.results:
            return f"The call could not be read: {last.decision.detail or last.decision.error}."
        call, result = last.decision.calls[len(last.results) - 1], last.results[-1]
        return f"{call.name}: {'ok' if result.ok else 'failed, ' + result.detail}."

    def _budget(self) -> str:
        return f"Calls left: {self.max_calls - len(self._turns)} of {self.max_calls}"


def _parts(prompt: Prompt) -> tuple[str | np.ndarray, ...]:
    """Texts and pictures of the user's message."""
    images = iter(prompt.images)
    content = prompt.messages[-1]["content"]
    return tuple(next(images) if part["type"] == "image" else part["text"].strip() for part in content)
