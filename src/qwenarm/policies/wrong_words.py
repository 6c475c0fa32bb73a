"""The same model with another instruction, judged by the true goal: how much of a score comes from images alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwenarm.env import GOAL_CAMERA
from qwenarm.errors import BadInput
from qwenarm.mind.vlm_policy import Deciding, Policy
from qwenarm.policies import Context, PolicyEntry, vlm
from qwenarm.types import Frame, Observation, Turn

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv


class WrongWords:
    """Another policy that is given a wrong instruction.

    The wrong instruction names another object of the scene. If the true one names no object, it is the instruction
    of another seed. A goal that is shown as an image is that of another seed.

    Args:
        policy: The policy that is misled.
        env: The environment, whose scene lists the objects.
        elsewhere: Yields the same task, reset with other seeds; called only if needed.
    """

    def __init__(self, policy: Policy, env: ArmEnv, elsewhere: Callable[[], Iterable[ArmEnv]]) -> None:
        self.policy, self.env, self.elsewhere = policy, env, elsewhere
        self.name = f"{policy.name}-wrong_words"
        self.cameras, self.frame_size = policy.cameras, policy.frame_size
        self._wrong_by_true: dict[str, str] = {}
        self._wrong_picture: Frame | None = None

    def describe(self) -> Mapping[str, Any]:
        return {**self.policy.describe(), "instruction": "wrong"}

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        frames = tuple(self._other_picture() if frame.camera == GOAL_CAMERA else frame for frame in obs.frames)
        return self.policy.decide(replace(obs, frames=frames, instruction=self._wrong(obs.instruction)), history)

    def _wrong(self, instruction: str) -> str:
        if instruction not in self._wrong_by_true:
            self._wrong_by_true[instruction] = swapped(instruction, self.env) or self._of_another_seed(instruction)
        return self._wrong_by_true[instruction]

    def _of_another_seed(self, instruction: str) -> str:
        for other in self.elsewhere():
            if other.instruction != instruction:
                return other.instruction
        raise BadInput(
            f"There is no wrong instruction for {instruction!r}: it names no object, and other seeds say the same."
        )

    def _other_picture(self) -> Frame:
        if self._wrong_picture is None:
            self._wrong_picture = next(iter(self.elsewhere())).goal_frame(self.frame_size)
        assert self._wrong_picture is not None, "a task shows a picture of its goal for every seed, or for none"
        return self._wrong_picture


def swapped(instruction: str, env: ArmEnv) -> str:
    """Returns the instruction with its first object replaced by another one of the scene, which is equally graspable or
    not.

    Returns "" if the instruction names no object, or all of them.
    """
    specs = [placement.spec for placement in env.setup.scene.objects]
    named = [spec for spec in specs if spec.label in instruction]
    for spec in sorted(named, key=lambda spec: instruction.index(spec.label)):
        others = sorted({s.label for s in specs if s.graspable == spec.graspable and s.label not in instruction})
        if others:
            return instruction.replace(spec.label, others[0])
    return ""


def make(context: Context) -> WrongWords:
    return WrongWords(vlm.make(context), context.env, context.elsewhere)


POLICY = PolicyEntry(make, needs_model=True, privileged=True, control=True)
