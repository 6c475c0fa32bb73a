"""A policy that prompts like a model's policy and knows the oracle's answer to every prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.body.simulation import Body
from qwenarm.mind.families import Family
from qwenarm.mind.prompt.messages import frame_sizes, render
from qwenarm.mind.vlm_policy import Deciding, VlmPolicy
from qwenarm.tasks import CalledObject, NotVisible, Restating, oracle_call, points_in_note
from qwenarm.types import Completion, Decision, ImagePoint, Observation, Prompt, SkillCall, Turn

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv

MASK_SCALE = 4
"""Factor by which the height and width of a frame's segmentation are reduced."""
MISTAKE_STD = 0.06
"""Standard deviation of a deliberately misplaced point, as a fraction of the frame."""
OTHER_OBJECT_SHARE = 0.5
"""Share of the deliberate mistakes that point at another object, rather than beside the right one."""
SPARE_CAMERA = "overhead"
"""Camera that shows the oracle what the model's cameras do not see."""


@dataclass(frozen=True)
class Sample:
    """One decision: the prompt, the oracle's answer, and the ground truth about its frames.

    Attributes:
        prompt: Exactly what a model is asked.
        answer: The oracle's call (at the altitude "plan", all of its calls) in the model's own tool-call format.
        turn: Index of the decision in its episode.
        masks: For each camera (H / MASK_SCALE, W / MASK_SCALE) uint8: 0 for the background, k + 1 for
            ``objects[k]``.
        objects: Label, shape, colour, marks and carrier (an index, or -1) of every object in the scene.
        points: For each point of the answer the index of its object (-1 for a place), u, v, and the index of its
            camera.
        said: The answer of the model under training, or "" if it was not asked.
    """

    prompt: Prompt
    answer: str
    turn: int
    masks: tuple[np.ndarray, ...]
    objects: tuple[dict[str, Any], ...]
    points: tuple[tuple[int, float, float, int], ...]
    said: str = ""


class UnaskedBackend:
    """Replaces the model of a policy whose prompts the oracle answers."""

    thinking = False

    def __init__(self, family: Family) -> None:
        self.family = family

    def describe(self) -> Mapping[str, Any]:
        return {"model": "oracle", "family": self.family.name}


class Demonstrator:
    """Prompts like ``policy`` and keeps every prompt with the oracle's answer in ``samples``.

    Args:
        policy: Makes the prompts and reads the answers.
        env: Its privileged state is what the oracle sees.
        seed: Seed of the episode; it also determines the deliberate mistakes.
        learner: Whether a model answers the prompts and its answers are carried out (DAgger), not the oracle's.
        mistakes: Share of the oracle's calls that are carried out with a wrong point, or a wrong statement where
            the task lets it be corrected, so that a learner sees failures and how to recover. The sample keeps the
            right answer.
    """

    def __init__(self, policy: VlmPolicy, env: ArmEnv, seed: int, learner: bool = False, mistakes: float = 0.0) -> None:
        self.policy, self.env, self.learner, self.mistakes = policy, env, learner, mistakes
        self.name = f"demonstrator-{policy.name}"
        self.cameras, self.frame_size = policy.cameras, policy.frame_size
        self.samples: list[Sample] = []
        self._called: dict[str, str] = {}
        self._rng = np.random.default_rng([seed, 71])

    def describe(self) -> Mapping[str, Any]:
        return {**self.policy.describe(), "privileged": True}

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        """Yields the policy's prompt only if a model is to answer it.

        A call with a point that none of the model's cameras sees is carried out but not kept: no model could make
        it.
        """
        thinking = self.policy.decide(obs, history)
        try:
            prompt = next(thinking)
        except StopIteration as end:  # the next call of a plan in progress
            return end.value
        try:
            right = self._right()
        except NotVisible as error:
            return Decision((SkillCall("give_up", {"reason": str(error)}),))
        if any(point.camera not in self.cameras for point in _points(right)):
            return replace(right, calls=right.calls[:1])
        family, sizes = self.policy.backend.family, frame_sizes(obs, self.policy.preset)
        sample = self._sample(prompt, render(right, family, sizes), right, len(history))
        if self.learner:
            completion = yield prompt
            sample = replace(sample, said=completion.text)
        else:
            completion = Completion(render(self._acted(right), family, sizes))
        self.samples.append(sample)
        try:
            thinking.send(completion)
        except StopIteration as end:
            return end.value
        raise AssertionError("A VlmPolicy asks once for each decision.")

    def _right(self) -> Decision:
        """Returns the oracle's next call; for a policy that plans, all of its calls up to the first that points at
        something hidden. Raises NotVisible if that is the next one.
        """
        body, goal = self.env.body, self.env.setup.goal
        assert goal is not None, "a task of the registry has a goal"
        calls: list[SkillCall] = []
        for call in goal.solve(body.state())[: self.policy.preset.max_calls]:
            called = [value for value in call.args.values() if isinstance(value, CalledObject)]
            self._called |= {value.label: str(value) for value in called}
            try:
                calls.append(oracle_call(body, call, (*self.cameras, SPARE_CAMERA)))
            except NotVisible:
                if not calls:
                    raise
                break
        return Decision(tuple(calls))

    def _acted(self, right: Decision) -> Decision:
        """Returns the right calls, occasionally with a mistake in the first one that can still be put right."""
        (call, *others), goal = right.calls, self.env.setup.goal
        corrected = goal if call.name == "say" and isinstance(goal, Restating) else None
        if not (corrected or _points(right)) or self._rng.random() >= self.mistakes:
            return right
        wrong = corrected.misstated(call, self._rng) if corrected else self._mispointed(call)
        return Decision((wrong, *others))

    def _mispointed(self, call: SkillCall) -> SkillCall:
        args = {key: self._misplaced(v) if isinstance(v, ImagePoint) else v for key, v in call.args.items()}
        return replace(call, args=args)

    def _misplaced(self, point: ImagePoint) -> ImagePoint:
        scene = self.env.body.scene.objects
        if self._rng.random() < OTHER_OBJECT_SHARE:
            other = scene[int(self._rng.integers(len(scene)))].spec.id
            try:
                return oracle_call(self.env.body, SkillCall("pick", {"at": other}), (point.camera,)).args["at"]
            except NotVisible:
                pass
        u, v = np.clip(np.array([point.u, point.v]) + self._rng.normal(0, MISTAKE_STD, 2), 0, 1)
        return replace(point, u=float(u), v=float(v))

    def _sample(self, prompt: Prompt, answer: str, right: Decision, turn: int) -> Sample:
        body, (height, width) = self.env.body, self.frame_size
        size = height // MASK_SCALE, width // MASK_SCALE
        masks = tuple((body.segmentation(camera, size) + 1).astype(np.uint8) for camera in self.cameras)
        points = (
            (self._meant(p), p.u, p.v, self.cameras.index(p.camera)) for p in _named_points(right, self.cameras[0])
        )
        return Sample(prompt, answer, turn, masks, tuple(_described(body)), tuple(points))

    def _meant(self, point: ImagePoint) -> int:
        """Returns the index of the object with the point's label that is visible at the point, or -1 for a place."""
        body, (height, width) = self.env.body, self.frame_size
        specs = [placed.spec for placed in body.scene.objects]
        called = self._called.get(point.label)
        named = [k for k, spec in enumerate(specs) if called == spec.id or (not called and spec.label == point.label)]
        if len(named) < 2:
            return named[0] if named else -1
        row, column = min(height - 1, int(point.v * height)), min(width - 1, int(point.u * width))
        return int(body.segmentation(point.camera, self.frame_size)[row, column])


def _points(decision: Decision) -> list[ImagePoint]:
    return [value for call in decision.calls for value in call.args.values() if isinstance(value, ImagePoint)]


def _named_points(decision: Decision, camera: str) -> list[ImagePoint]:
    """Returns the points of a decision in order, and those in its notes."""
    values = [value for call in decision.calls for value in call.args.values()]
    return [
        point
        for value in values
        for point in ((value,) if isinstance(value, ImagePoint) else points_in_note(str(value), camera))
    ]


def _described(body: Body) -> list[dict[str, Any]]:
    """Returns the appearance of the scene's objects, and what carries each of them now."""
    state, rows = body.state(), []
    names = list(state.objects)
    for name, thing in state.objects.items():
        spec = thing.spec
        carriers = [k for k, other in enumerate(names) if other != name and state.on(name, other)]
        looks = {"label": spec.label, "shape": spec.shape, "color": spec.color, "top": spec.top, "sides": spec.sides}
        rows.append({**looks, "on": carriers[0] if carriers else -1})
    return rows
