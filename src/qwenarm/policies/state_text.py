"""The same model with blank frames and the true scene in words: it can decide without having to see.

The examples of its prompt tell their scene, too. Otherwise a model takes its numbers for those of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwenarm.body.cameras import project
from qwenarm.mind.coordinates import Size, encode
from qwenarm.mind.prompt.presets import IN_HAND, Example
from qwenarm.mind.vlm_policy import Deciding, Policy, VlmPolicy, relayed
from qwenarm.policies import Context, PolicyEntry, blind, vlm
from qwenarm.policies.chunk_player import ChunkPlayer
from qwenarm.tasks.core.side_effects import ON_TABLE, support_of, support_words
from qwenarm.types import ImagePoint, Observation, Prompt, Turn

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
        seen = []
        for name, thing in state.objects.items():
            uv, depth = project(thing.pos, pos, mat, fovy, size[1] / size[0])
            point = ImagePoint(float(uv[0]), float(uv[1]), thing.spec.label, camera)
            if name == state.holding:
                seen.append((point, IN_HAND))
            elif depth > 0 and bool(((uv >= 0) & (uv <= 1)).all()):
                seen.append((point, self._relation(name)))
        return scene_words(seen, self.family, (size[0], size[1]))

    def _relation(self, name: str) -> str:
        """Returns what an object lies in or on, as in "in the blue bowl"; "" for the table."""
        state = self.env.body.state()
        support = support_of(state, name)
        return support_words(state, support) if self.relations and support != ON_TABLE else ""


def scene_words(seen: Sequence[tuple[ImagePoint, str]], family: Family, size: Size) -> str:
    """Returns things in words: "yellow cube in the hand; red ball [512, 430], in the blue bowl".

    Args:
        seen: The middle of each in the image, with where it is: in the hand, in or on something else, or "".
        family: Determines how points are counted.
        size: (H, W) of the image.
    """

    def words(point: ImagePoint, where: str) -> str:
        if where == IN_HAND:
            return f"{point.label} {where}"
        numbers = list(encode(family.codec, (point.u, point.v), size))
        return f"{point.label} {numbers}, {where}" if where else f"{point.label} {numbers}"

    return "; ".join(words(point, where) for point, where in seen) or "nothing"


def show_scenes(policy: VlmPolicy | ChunkPlayer) -> VlmPolicy | ChunkPlayer:
    """Makes the examples of a policy's prompt tell their scene in words. Returns the policy."""
    if isinstance(policy, VlmPolicy):
        preset, family = policy.preset, policy.backend.family

        def shown(example: Example) -> Example:
            words = scene_words(example.scene, family, preset.frame_size)
            return replace(example, question=f"{example.question}\nScene: {words}")

        policy.preset = replace(preset, examples=tuple(map(shown, preset.examples)))
    return policy


def with_line(prompt: Prompt, line: str) -> Prompt:
    """Returns the prompt with a line appended to the user's message."""
    *earlier, last = prompt.messages
    content = [*last["content"], {"type": "text", "text": f"\n{line}"}]
    return replace(prompt, messages=(*earlier, {**last, "content": content}))


def make(context: Context) -> StateText:
    backend = context.backend
    blind_policy = blind.Blind(show_scenes(vlm.make(context)))
    name = blind_policy.name.replace("-blind", "-state_text")
    return StateText(name, blind_policy, context.env, backend.family, relations=backend.preset.tool_docs)


POLICY = PolicyEntry(make, needs_model=True, privileged=True, control=True)
