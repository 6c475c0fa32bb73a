"""How a vision-language model decides: one call per look, or a plan that ends at the first surprise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from qwenarm.mind.backends import Backend
from qwenarm.mind.coordinates import Size
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.prompt.messages import frame_sizes, system_text, to_prompt
from qwenarm.mind.prompt.presets import Preset, at_altitude
from qwenarm.mind.prompt.tools import tool_schemas
from qwenarm.types import Completion, Decision, Observation, Prompt, SkillSpec, Turn

Deciding = Generator[Prompt, Completion, Decision]
"""Yields prompts, receives their completions, and returns the decision."""

THINKING_TOKENS = 4096
"""Maximum length of an answer of a model that thinks first."""
HAND_AFTER = {"pick": True, "place": False, "open_gripper": False}
"""Whether the hand holds something after a successful skill. If the fingers disagree, a plan is outdated."""


class Policy(Protocol):
    """Makes decisions. It is stateless: everything it knows is in its arguments, so one can serve many episodes."""

    @property
    def name(self) -> str: ...
    @property
    def cameras(self) -> tuple[str, ...]: ...
    @property
    def frame_size(self) -> Size: ...

    def describe(self) -> Mapping[str, Any]:
        """Returns what is needed to repeat it."""
        ...

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        """Makes one decision. Yields a Prompt for every answer that it needs from a model."""
        ...


class VlmPolicy:
    """A vision-language model at one altitude.

    At "step" every turn asks for one call. At "plan" the model is asked for all calls, and each turn makes the next
    one. The model is asked again when a call fails, when the hand does not hold what it should, when the instruction
    changes, or when the plan ends. The history tells the model about an unreadable answer.

    Args:
        backend: The model.
        specs: The skills that it is offered.
        preset: How it is prompted.
        altitude: "step" or "plan"; by default that of the preset.

    Raises:
        UnknownName: There is no such altitude.
    """

    def __init__(
        self, backend: Backend, specs: Sequence[SkillSpec], preset: Preset, altitude: str | None = None
    ) -> None:
        preset = at_altitude(preset, altitude or preset.altitude).fitted(backend.family)
        if backend.thinking:
            preset = replace(preset, max_tokens=max(preset.max_tokens, THINKING_TOKENS))
        self.backend, self.specs, self.preset = backend, preset.offered(specs), preset
        self.name = "vlm" if preset.altitude == "step" else "vlm-plan"
        self.cameras, self.frame_size = preset.cameras, preset.frame_size

    def describe(self) -> Mapping[str, Any]:
        preset = {key: value for key, value in asdict(self.preset).items() if key not in ("system", "examples")}
        return {**self.backend.describe(), "preset": preset, "prompt_hash": self._prompt_hash()}

    def _prompt_hash(self) -> str:
        """Returns the sha256 of the part of a prompt that does not depend on the scene: system text and tools."""
        sizes = dict.fromkeys(self.cameras, self.frame_size)
        text = system_text(self.preset, self.backend.family, sizes)
        tools = tool_schemas(self.specs, self.cameras, self.preset.tool_docs)
        return hashlib.sha256(repr((text, tools)).encode()).hexdigest()

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        if self.preset.altitude == "plan" and (decision := self._next_of_plan(obs, history)):
            return decision
        prompt = to_prompt(obs, history, self.specs, self.backend.family, self.preset)
        completion = yield prompt
        decision = self._parse(obs, completion.text, completion.finish)
        return replace(decision, calls=decision.calls[:1]) if self.preset.altitude == "plan" else decision

    def _parse(self, obs: Observation, text: str, finish: str = "stop") -> Decision:
        sizes = frame_sizes(obs, self.preset)
        return parse(text, self.specs, self.backend.family, sizes, max_calls=self.preset.max_calls, finish=finish)

    def _next_of_plan(self, obs: Observation, history: tuple[Turn, ...]) -> Decision | None:
        """Returns the next call of the current plan, which is in the history, or None if the model must be asked."""
        made = next((index for index in reversed(range(len(history))) if history[index].completions), None)
        if made is None or _surprise(obs, history[made:]):
            return None
        answer = history[made].completions[-1]
        plan = self._parse(history[made].observation, answer.text, answer.finish)
        done = len(history) - made
        if plan.error is not None or done >= len(plan.calls):
            return None
        return Decision((plan.calls[done],), thought=f"plan, call {done + 1} of {len(plan.calls)}")


def relayed(thinking: Deciding, pass_on: Callable[[Prompt], Prompt]) -> Deciding:
    """Makes the same decision with every prompt changed by ``pass_on`` before it is asked."""
    completion = None
    while True:
        try:
            prompt = thinking.send(completion)  # type: ignore[arg-type]  # the first send of a generator is None
        except StopIteration as end:
            return end.value
        completion = yield pass_on(prompt)


def _surprise(obs: Observation, since: Sequence[Turn]) -> bool:
    """Returns whether anything has differed from the plan since it was made."""
    last = since[-1]
    if last.decision.error is not None or not all(result.ok for turn in since for result in turn.results):
        return True
    if obs.instruction != since[0].observation.instruction:
        return True
    expected = HAND_AFTER.get(last.decision.calls[-1].name) if last.decision.calls else None
    return expected is not None and expected != obs.proprio.holding
