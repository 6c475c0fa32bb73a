"""A policy and a world of which some modules are the oracle's. What each module has done is noted, replaced or not."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.body.safety import CONTROL_PERIOD_S, Safety, ServoTarget
from qwenarm.diagnosis.ground_truth import Truth, moved
from qwenarm.mind.vlm_policy import Deciding, Policy, relayed
from qwenarm.tasks.language.phrases import plain_put
from qwenarm.types import Completion, Control, Decision, ImagePoint, Observation, Prompt, SkillCall, Turn

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv

FORMAT, PERCEPTION, PLAN, SAFETY, CONTROL, TIME = MODULES = (
    "format",
    "perception",
    "plan",
    "safety",
    "control",
    "time",
)
"""In the order in which they are tried, the smallest replacement first."""
PATIENCE = 4
"""With time unlimited an episode has so many times its turns."""


@dataclass
class Notes:
    """What a replay has seen of each module: one sentence for each time that it went otherwise than the oracle's."""

    by_module: dict[str, list[str]] = field(default_factory=dict)

    def add(self, module: str, text: str) -> None:
        self.by_module.setdefault(module, []).append(text)

    def __contains__(self, module: object) -> bool:
        return module in self.by_module


class Corrected:
    """The same policy with its answers' format, its plan or its points put right, as ``modules`` say.

    format: an unreadable answer becomes the oracle's call. plan: every call becomes the oracle's, with the policy's own
    points (see ``_own_points``). perception: a point that is off what its label names is put onto it.
    """

    def __init__(self, policy: Policy, env: ArmEnv, modules: Collection[str], notes: Notes) -> None:
        self.policy, self.env, self.modules, self.notes = policy, env, modules, notes
        self.name, self.cameras, self.frame_size = policy.name, policy.cameras, policy.frame_size
        self._off = (0.0, 0.0)

    def describe(self) -> Mapping[str, Any]:
        return self.policy.describe()

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        where = f"turn {len(history) + 1}"
        asked: list[Prompt] = []

        def noted(prompt: Prompt) -> Prompt:
            asked.append(prompt)
            return prompt

        decision = yield from relayed(self.policy.decide(obs, history), noted)
        truth = Truth(self.env, self.cameras)
        if decision.error is not None:
            self.notes.add(FORMAT, f"{where}: {decision.error}")
            right = FORMAT in self.modules and truth.call is not None
            return Decision((truth.call,), "the oracle's") if right and truth.call else decision
        calls = decision.calls
        if truth.step is not None and not (calls and truth.agrees(calls[0])):
            said = calls[0].name + _objects(truth, calls[0]) if calls else "nothing"
            self.notes.add(PLAN, f"{where}: {said} instead of {truth.step.name}{_wanted(truth)}")
            if PLAN in self.modules:
                calls = ((yield from self._own_points(obs, history, truth, calls, bool(asked))),)
        elif PLAN in self.modules:
            calls = calls[:1]
        return replace(decision, calls=tuple(self._seen_right(truth, call, where) for call in calls))

    def _seen_right(self, truth: Truth, call: SkillCall, where: str) -> SkillCall:
        """The call as it is, or with its points put onto what they mean."""
        right: dict[str, ImagePoint] = {}
        for arg, point in call.args.items():
            if not isinstance(point, ImagePoint):
                continue
            meant = truth.meant(call, arg)
            if meant is None or truth.hits(point, meant):
                continue
            off = truth.off_m(point, meant)
            seen = truth.words((found,) if (found := truth.views.at(point)) else None)
            self.notes.add(PERCEPTION, f"{where}: {seen} instead of {truth.words(meant)}, {100 * off:.1f} cm off")
            if true := truth.true_point(point, meant):
                right[arg] = true
        return moved(call, right) if PERCEPTION in self.modules else call

    def _own_points(
        self, obs: Observation, history: tuple[Turn, ...], truth: Truth, calls: tuple[SkillCall, ...], asked: bool
    ) -> Generator[Prompt, Completion, SkillCall]:
        """The oracle's call with the points that this policy would give it.

        A model is asked once more, in the plainest words for this one step. One that does not understand them, and a
        policy that asks no model, is taken to be as far off as it is in the call that it made, or was last.
        """
        assert truth.call is not None
        if asked and (words := plain_words(self.env, truth)):
            answer = yield from self.policy.decide(replace(obs, instruction=words), history)
            if answer.calls and truth.agrees(answer.calls[0]):
                return answer.calls[0]
        self._off = next((off for call in calls if (off := _error_of(truth, call))), self._off)
        points = {a: _shifted(p, self._off) for a, p in truth.call.args.items() if isinstance(p, ImagePoint)}
        return moved(truth.call, points)


def plain_words(env: ArmEnv, truth: Truth) -> str:
    """ "put the red cube in the blue bowl" for the oracle's next call; "" where that is no matter of two things."""
    step, after = truth.step, truth.steps[1:2]
    if step is None:
        return ""
    state = env.body.state()
    if step.name == "pick" and after and after[0].name == "place":
        what, where = step.args.get("at"), after[0].args.get("at")
    else:
        what, where = state.holding, step.args.get("at") if step.name == "place" else None
    if what not in truth.specs or where not in truth.specs:
        return ""
    return plain_put(truth.specs[str(what)], truth.specs[str(where)])


def _error_of(truth: Truth, call: SkillCall) -> tuple[float, float] | None:
    """By how much, in fractions of the picture, the first point of a call misses what it means; zero for one that hits,
    None for a call without points.
    """
    for arg, point in call.args.items():
        if isinstance(point, ImagePoint) and (meant := truth.meant(call, arg)) is not None:
            true = truth.true_point(point, meant)
            if true is None or truth.hits(point, meant) or true.camera != point.camera:
                return 0.0, 0.0
            return point.u - true.u, point.v - true.v
    return None


def _shifted(point: ImagePoint, by: tuple[float, float]) -> ImagePoint:
    u, v = np.clip([point.u + by[0], point.v + by[1]], 0.0, 1.0)
    return replace(point, u=float(u), v=float(v))


def _objects(truth: Truth, call: SkillCall) -> str:
    """ " the red cube" for a call that points at it."""
    words = [truth.words(truth.meant(call, arg)) for arg, p in call.args.items() if isinstance(p, ImagePoint)]
    return "".join(f" {word}" for word in words)


def _wanted(truth: Truth) -> str:
    assert truth.call is not None
    return "".join(f" the {p.label}" for p in truth.call.args.values() if isinstance(p, ImagePoint))


class World:
    """An environment without safety limits or with more turns, as ``modules`` say; in all else the one it wraps."""

    def __init__(self, env: ArmEnv, modules: Collection[str]) -> None:
        self._env, self._modules = env, modules

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self, **options: Any) -> Any:
        found = self._env.reset(**options)
        if TIME in self._modules:
            self._env.setup = replace(self._env.setup, max_turns=PATIENCE * self._env.setup.max_turns)
        if SAFETY in self._modules:
            self._env.body.safety = Unlimited(self._env.body.kinematics)
        return found


class Unlimited(Safety):
    """Lets everything pass that is a number."""

    def limit(self, wish: Control, last: ServoTarget, measured: np.ndarray) -> tuple[ServoTarget, tuple[str, ...]]:
        qpos, gripper = self._finite(wish, last, [])
        return ServoTarget(
            qpos, (qpos - last.qpos) / CONTROL_PERIOD_S, float(np.clip(gripper, 0.0, self.arm.max_gap))
        ), ()
