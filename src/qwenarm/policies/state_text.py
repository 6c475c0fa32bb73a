"""The same model with blank frames and the true scene in words: it can decide without having to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.body.cameras import project
from qwenarm.mind.coordinates import encode
from qwenarm.mind.vlm_policy import Deciding, Policy, relayed
from qwenarm.policies import Context, PolicyEntry, blind
from qwenarm.tasks.core.side_effects import ON_TABLE, support_of, support_words
from qwenarm.types import Observation, Prompt, Turn

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv
    from qwenarm.mind.families import Family


class StateText:
    """A policy whose prompts end with a description of the scene in the coordinates of the model's family:
    "Scene: red cube [512, 430], in the blue bowl; blue bowl [512, 430]".

    Args:
        name: Its name in records.
        policy: The policy that decides. If it is blind, this description is all it learns about the scene.
        env: The environment whose scene is described.
        family: The model family, which determines the format of coordinates.
        relations: Whether to say what lies in or on what. The bundled model was trained without this.
    """

    def __init__(self, name: str, policy: Policy, env: ArmEnv, family: Family, relations: bool) -> None:
        self.policy, self.env, self.family, self.relations = policy, env, family, relations
        self.name = name
        self.cameras, self.frame_size = policy.cameras, policy.frame_size

    def describe(self) -> Mapping[str, Any]:
        return {**self.policy.describe(), "scene": "text", "privileged": True}

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        return relayed(self.policy.decide(obs, history), lambda prompt: with_line(prompt, self._scene(obs)))

    def _scene(self, obs: Observation) -> str:
        shown = [frame for frame in obs.frames if frame.camera in self.cameras]
        views = {frame.camera: self._seen(frame.camera, frame.rgb.shape[:2]) for frame in shown}
        if len(views) == 1:
            return f"Scene: {next(iter(views.values()))}"
        return "\n".join(f"Scene, {camera}: {words}" for camera, words in views.items())

    def _seen(self, camera: str, size: tuple[int, ...]) -> str:
        """Describes the object in the hand, and all objects whose centres lie in a camera's image."""
        body, state = self.env.body, self.env.body.state()
        pos, mat, fovy = body.camera_pose(camera)
        words = []
        for name, thing in state.objects.items():
            uv, depth = project(thing.pos, pos, mat, fovy, size[1] / size[0])
            if name == state.holding:
                words.append(f"{thing.spec.label} in the hand")
            elif depth > 0 and bool(((uv >= 0) & (uv <= 1)).all()):
                words.append(f"{thing.spec.label} {self._numbers(uv, size)}{self._relation(name)}")
        return "; ".join(words) or "nothing"

    def _relation(self, name: str) -> str:
        """Returns what an object lies in or on, as in ", in the blue bowl"; "" for the table."""
        state = self.env.body.state()
        support = support_of(state, name)
        return f", {support_words(state, support)}" if self.relations and support != ON_TABLE else ""

    def _numbers(self, uv: np.ndarray, size: tuple[int, ...]) -> str:
        return str(list(encode(self.family.codec, (float(uv[0]), float(uv[1])), (size[0], size[1]))))


def with_line(prompt: Prompt, line: str) -> Prompt:
    """Returns the prompt with a line appended to the user's message."""
    *earlier, last = prompt.messages
    content = [*last["content"], {"type": "text", "text": f"\n{line}"}]
    return replace(prompt, messages=(*earlier, {**last, "content": content}))


def make(context: Context) -> StateText:
    backend = context.backend
    blind_policy = blind.make(context)
    name = blind_policy.name.replace("-blind", "-state_text")
    return StateText(name, blind_policy, context.env, backend.family, relations=backend.preset.tool_docs)


POLICY = PolicyEntry(make, needs_model=True, privileged=True, control=True)
