"""Policies that ask no model: a plain function from what is seen, and what was done before, to calls."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenarm.errors import BadInput
from qwenarm.types import Decision, Observation, SkillCall, Turn

if TYPE_CHECKING:
    from qwenarm.mind.vlm_policy import Deciding

Calls = Decision | SkillCall | str | Iterable[SkillCall | str]
"""One call or several, each a SkillCall or the name of a skill without arguments; or a whole Decision."""
FRAME_SIZE = (192, 256)


class FunctionPolicy:
    """A policy around a function ``(observation, history) -> calls``.

    Args:
        name: Its name in the record.
        act: The function. history: the turns so far.
        cameras: Whose pictures it is shown.
        frame_size: (H, W) of the pictures.
        facts: What else the record says about it.
    """

    def __init__(
        self,
        name: str,
        act: Callable[[Observation, tuple[Turn, ...]], Calls],
        cameras: tuple[str, ...] = ("front",),
        frame_size: tuple[int, int] = FRAME_SIZE,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.act, self.cameras, self.frame_size = name, act, cameras, frame_size
        self.facts = {"privileged": False, **(facts or {})}

    def describe(self) -> Mapping[str, Any]:
        return {"name": self.name, **self.facts}

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        """One decision, without a single prompt."""
        return as_decision(self.act(obs, history))
        yield  # makes this a generator, as every policy is


def as_decision(calls: Calls) -> Decision:
    """What a function returned, as a Decision. Raises BadInput for anything but calls."""
    if isinstance(calls, Decision):
        return calls
    listed = [calls] if isinstance(calls, SkillCall | str) else list(calls) if isinstance(calls, Iterable) else [calls]
    for call in listed:
        if not isinstance(call, SkillCall | str):
            raise BadInput(f"A policy returns calls: SkillCalls or names of skills, not {call!r}.")
    return Decision(tuple(SkillCall(call) if isinstance(call, str) else call for call in listed))


def source_sha256(act: Callable[..., Any]) -> str:
    """The hash of the file in which a function stands, by which episodes of an edited policy are told apart."""
    path = inspect.getsourcefile(inspect.unwrap(act))
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
