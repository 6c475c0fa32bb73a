"""The same model with every frame greyed out: how much of a score comes from the words alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from qwenarm.mind.vlm_policy import Deciding, Policy
from qwenarm.policies import Context, PolicyEntry, vlm
from qwenarm.types import Observation, Turn

BLANK_FRAME_GREY = 128


class Blind:
    """Another policy that sees mid-grey instead of every frame."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.name = f"{policy.name}-blind"
        self.cameras, self.frame_size = policy.cameras, policy.frame_size

    def describe(self) -> Mapping[str, Any]:
        return {**self.policy.describe(), "blind": True}

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        frames = tuple(replace(frame, rgb=np.full_like(frame.rgb, BLANK_FRAME_GREY)) for frame in obs.frames)
        return self.policy.decide(replace(obs, frames=frames), history)


def make(context: Context) -> Blind:
    return Blind(vlm.make(context))


POLICY = PolicyEntry(make, needs_model=True, control=True)
