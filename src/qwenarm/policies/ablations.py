"""Beside a model, the same model with one thing taken away or put in its place: what its score is owed to.

``wrong`` is told to do something else in the same scene, and still judged by the true goal: success now means that the
words are not needed. ``text`` has its eyes shut and reads the scene instead, so it measures deciding without seeing.
(``blind`` is in ``mind/policies.py``.) Both look at the simulator's own state, which their record says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.body.cameras import project
from qwenarm.env import GOAL
from qwenarm.errors import BadInput
from qwenarm.mind.coordinates import encode
from qwenarm.mind.vlm_policy import Deciding, Policy, relayed
from qwenarm.types import Frame, Observation, Prompt, Turn

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv
    from qwenarm.mind.families import Family


class WrongWords:
    """The same policy with another instruction: another thing of the scene in the place of the one that is named, or,
    where the words name none, the instruction of another seed. Where the goal is a picture, another seed's picture.

    elsewhere: other seeds of the same task, set up; asked for only then.
    """

    def __init__(self, policy: Policy, env: ArmEnv, elsewhere: Callable[[], Iterable[ArmEnv]]) -> None:
        self.policy, self.env, self.elsewhere = policy, env, elsewhere
        self.name = f"{policy.name}-wrong"
        self.cameras, self.frame_size = policy.cameras, policy.frame_size
        self._told: dict[str, str] = {}
        self._shown: Frame | None = None

    def describe(self) -> Mapping[str, Any]:
        return {**self.policy.describe(), "instruction": "wrong"}

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        frames = tuple(self._wrong_picture() if frame.camera == GOAL else frame for frame in obs.frames)
        return self.policy.decide(replace(obs, frames=frames, instruction=self._wrong(obs.instruction)), history)

    def _wrong(self, words: str) -> str:
        if words not in self._told:
            self._told[words] = swapped(words, self.env) or self._other(words)
        return self._told[words]

    def _other(self, words: str) -> str:
        for other in self.elsewhere():
            if other.instruction != words:
                return other.instruction
        raise BadInput(f"There is no wrong instruction for {words!r}: it names nothing, and every seed says the same.")

    def _wrong_picture(self) -> Frame:
        if self._shown is None:
            other = next(iter(self.elsewhere()))
            self._shown = other.goal_frame(self.frame_size)
            other.close()
        assert self._shown is not None, "a task shows a picture of its goal for every seed, or for none"
        return self._shown


def swapped(words: str, env: ArmEnv) -> str:
    """The words with another thing of the scene, of the same kind (to be moved, or to carry), in the place of the first
    that they name; "" where they name none, or all there are.
    """
    specs = [placement.spec for placement in env.setup.scene.objects]
    named = sorted((spec for spec in specs if spec.label in words), key=lambda spec: words.index(spec.label))
    for spec in named:
        others = sorted({s.label for s in specs if s.graspable == spec.graspable and s.label not in words})
        if others:
            return words.replace(spec.label, others[0])
    return ""


class StateText:
    """The same policy, blind, with the scene in words at the end of each prompt: "Scene: red cube [512, 430]; blue bowl
    [301, 655]", in the numbers of the model's family.
    """

    def __init__(self, blind: Policy, env: ArmEnv, family: Family) -> None:
        self.policy, self.env, self.family = blind, env, family
        self.name = blind.name.replace("-blind", "-text")
        self.cameras, self.frame_size = blind.cameras, blind.frame_size

    def describe(self) -> Mapping[str, Any]:
        return {**self.policy.describe(), "scene": "text", "privileged": True}

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        return relayed(self.policy.decide(obs, history), lambda prompt: with_words(prompt, self._scene(obs)))

    def _scene(self, obs: Observation) -> str:
        shown = [frame for frame in obs.frames if frame.camera in self.cameras]
        views = {frame.camera: self._seen(frame.camera, frame.rgb.shape[:2]) for frame in shown}
        if len(views) == 1:
            return f"Scene: {next(iter(views.values()))}"
        return "\n".join(f"Scene, {camera}: {words}" for camera, words in views.items())

    def _seen(self, camera: str, size: tuple[int, ...]) -> str:
        """The objects whose middle is in a camera's picture, with the held one said to be in the hand."""
        body, state = self.env.body, self.env.body.state()
        pos, mat, fovy = body.camera_pose(camera)
        words = []
        for name, thing in state.objects.items():
            uv, depth = project(thing.pos, pos, mat, fovy, size[1] / size[0])
            if name == state.holding:
                words.append(f"{thing.spec.label} in the hand")
            elif depth > 0 and bool(((uv >= 0) & (uv <= 1)).all()):
                words.append(f"{thing.spec.label} {self._numbers(uv, size)}")
        return "; ".join(words) or "nothing"

    def _numbers(self, uv: np.ndarray, size: tuple[int, ...]) -> str:
        return str(list(encode(self.family.codec, (float(uv[0]), float(uv[1])), (size[0], size[1]))))


def with_words(prompt: Prompt, words: str) -> Prompt:
    """The prompt with one more line at the end of the user's message."""
    *earlier, last = prompt.messages
    content = [*last["content"], {"type": "text", "text": f"\n{words}"}]
    return replace(prompt, messages=(*earlier, {**last, "content": content}))
