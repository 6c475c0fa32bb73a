"""Random skills with random arguments: the level of chance."""

from __future__ import annotations

import numpy as np

from qwenarm.policies import Context, PolicyEntry
from qwenarm.policies.function import FunctionPolicy
from qwenarm.skills import specs
from qwenarm.types import ImagePoint, Observation, Param, SkillCall, Turn

NOT_DRAWN = ("done", "give_up", "say", "look")
"""Skills that move nothing and would only waste turns, or end the episode."""
MAX_RANDOM_MAGNITUDE = 0.2
"""Maximum absolute value of random numbers."""


def make(context: Context) -> FunctionPolicy:
    """Returns a policy whose calls depend only on the seed and the turn."""

    def act(obs: Observation, history: tuple[Turn, ...]) -> SkillCall:
        rng = np.random.default_rng([context.seed, len(history)])
        moving = [spec for spec in specs() if spec.name not in NOT_DRAWN]
        spec = moving[rng.integers(len(moving))]
        return SkillCall(spec.name, {param.name: _draw(rng, param) for param in spec.params})

    return FunctionPolicy("random", act)


def _draw(rng: np.random.Generator, param: Param) -> ImagePoint | str | float:
    if param.kind == "point":
        u, v = rng.random(2)
        return ImagePoint(float(u), float(v), "anything")
    if param.kind == "number":
        return float(rng.uniform(-MAX_RANDOM_MAGNITUDE, MAX_RANDOM_MAGNITUDE))
    return str(rng.choice(param.choices)) if param.choices else "something"


POLICY = PolicyEntry(make, control=True)
