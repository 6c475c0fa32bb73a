"""Policies that ask no model: a plain function from observation and history to calls."""

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
"""One or several calls, each a SkillCall or the name of a skill without arguments; or a whole Decision."""
FRAME_SIZE = (192, 256)


class FunctionPolicy:
    """A policy that calls a function ``(observation, history) -> calls``.

    Args:
        name: Its name in the record.
        act: The function. The history is the turns so far.
        cameras: The cameras that it sees.
        frame_size: (H, W) of the frames.
        facts: Additional facts for the record.
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
        """Makes a decision without any prompt."""
        return as_decision(self.act(obs, history))
        yield  # makes this a generator, like every policy


def as_decision(calls: Calls) -> Decision:
    """Returns the result of a function as a Decision. Raises BadInput for anything but calls."""
    if isinstance(calls, Decision):
        return calls
    listed = [calls] if isinstance(calls, SkillCall | str) else list(calls) if isinstance(calls, Iterable) else [calls]
    for call in listed:
        if not isinstance(call, SkillCall | str):
            raise BadInput(f"A policy returns calls: SkillCalls or names of skills, not {call!r}.")
    return Decision(tuple(SkillCall(call) if isinstance(call, str) else call for call in listed))


def check_signature(name: str, act: Callable[..., Any]) -> None:
    """Raises BadInput for a function that cannot be called as a policy is."""
    try:
        inspect.signature(act).bind("observation", "history")
    except TypeError as error:
        raise BadInput(f"A policy is called as (observation, history), and {name!r} cannot be: {error}.") from error


def source_sha256(act: Callable[..., Any]) -> str:
    """Returns the hash of a function's source file, which distinguishes episodes of an edited policy."""
    path = inspect.getsourcefile(inspect.unwrap(act))
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
