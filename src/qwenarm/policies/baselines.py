"""Policies that ask no model: what a score must be held against.

``oracle`` has the simulator's own state and points at the true middle of things, so it measures the skills and the
tasks, not seeing; ``random`` does what the skills allow, anywhere; ``idle`` does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.errors import BadInput, UnknownName
from qwenarm.types import Decision, ImagePoint, Observation, Param, SkillCall, SkillSpec, Turn

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv
    from qwenarm.mind.vlm_policy import Deciding

NAMES = ("idle", "oracle", "random")
FRAME_SIZE = (192, 256)
"""(H, W) of the pictures kept for people; these policies do not look at them."""
NOT_DRAWN = ("done", "give_up", "say", "look")
"""Skills that move nothing: a random policy that could stop would only waste its turns."""


class _Baseline:
    """The common part. env: its privileged state is read only by the oracle."""

    name = ""
    cameras: tuple[str, ...] = ("front",)
    frame_size = FRAME_SIZE

    def __init__(self, env: ArmEnv, seed: int = 0) -> None:
        self.env, self.seed = env, seed

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "privileged": self.name == "oracle"}

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        """One decision, without a single prompt."""
        call, thought = self._next(len(history))
        return Decision((call,), thought)
        yield  # makes this a generator, as every policy is

    def _next(self, turn: int) -> tuple[SkillCall, str]:
        raise NotImplementedError


class Oracle(_Baseline):
    """Takes the first call that the task's own solver names, and points at the visible middle of what it names.

    Gives up where no camera sees that any more.
    """

    name = "oracle"
    cameras = ("front", "overhead")  # the second is for what the first cannot see

    def _next(self, turn: int) -> tuple[SkillCall, str]:
        from qwenarm.tasks import NotVisible, oracle_call

        goal = self.env.setup.goal
        if goal is None:
            raise BadInput("The oracle needs a goal, and this instruction could not be read as one.")
        steps = goal.solve(self.env.body.state())
        try:
            return oracle_call(self.env.body, steps[0], self.cameras), f"{len(steps)} to go"
        except NotVisible as error:
            return SkillCall("give_up", {"reason": str(error)}), "what is needed has left the table"


class Random(_Baseline):
    """A random moving skill with random arguments; the same for the same seed and turn, whatever ran before."""

    name = "random"

    def _next(self, turn: int) -> tuple[SkillCall, str]:
        from qwenarm.skills import specs

        rng = np.random.default_rng([self.seed, turn])
        moving = [spec for spec in specs() if spec.name not in NOT_DRAWN]
        spec: SkillSpec = moving[rng.integers(len(moving))]
        return SkillCall(spec.name, {param.name: _draw(rng, param, self.cameras) for param in spec.params}), ""


class Idle(_Baseline):
    """Looks, and does nothing else."""

    name = "idle"

    def _next(self, turn: int) -> tuple[SkillCall, str]:
        return SkillCall("look"), ""


def _draw(rng: np.random.Generator, param: Param, cameras: tuple[str, ...]) -> ImagePoint | str | float:
    if param.kind == "point":
        u, v = rng.random(2)
        return ImagePoint(float(u), float(v), "anything", str(rng.choice(cameras)))
    if param.kind == "number":
        return float(rng.uniform(-0.2, 0.2))
    return str(rng.choice(param.choices)) if param.choices else "something"


def make_baseline(name: str, env: ArmEnv, seed: int) -> _Baseline:
    """The baseline of that name for one environment. Raises UnknownName with the valid names."""
    found = {kind.name: kind for kind in (Oracle, Random, Idle)}
    if name not in found:
        raise UnknownName("policy", name, [*found, "vlm"])
    return found[name](env, seed)
