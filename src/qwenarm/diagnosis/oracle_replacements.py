"""A policy and a world in which some modules are replaced by the oracle's.

Whether or not a module is replaced, every deviation from what the oracle's would have done is recorded: these notes
explain the cause, and show which replacements would change nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.body.room import Room
from qwenarm.body.safety import CONTROL_PERIOD_S, Safety, ServoTarget
from qwenarm.diagnosis.ground_truth import GroundTruth, with_points
from qwenarm.mind.vlm_policy import Deciding, Policy, relayed
from qwenarm.tasks.language.phrases import plain_put
from qwenarm.types import Completion, Control, Decision, ImagePoint, Observation, Prompt, SkillCall, Turn

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv

AGENT_MODULES = FORMAT_MODULE, PERCEPTION_MODULE, PLAN_MODULE, SAFETY_MODULE, CONTROL_MODULE, TIME_MODULE = (
    "format", "perception", "plan", "safety", "control", "time",
)  # fmt: skip
"""Modules in the order in which they are tried, smallest replacement first."""
UNLIMITED_TURNS_RATIO = 4
"""Factor by which unlimited time multiplies an episode's turns."""


@dataclass
class ModuleNotes:
    """One sentence for each time that a module did not do what the oracle's would have done."""

    by_module: dict[str, list[str]] = field(default_factory=dict)

    def add(self, module: str, text: str) -> None:
        self.by_module.setdefault(module, []).append(text)

    def __contains__(self, module: object) -> bool:
        return module in self.by_module


class CorrectedPolicy:
    """A policy with its format, its plan or its points replaced by the oracle's.

    format: an unreadable answer becomes the oracle's call. plan: every call becomes the oracle's, with the points
    that the policy itself would give it. perception: a point that misses what its label names is moved onto it.
    """

    def __init__(self, policy: Policy, env: ArmEnv, modules: Collection[str], notes: ModuleNotes) -> None:
        self.policy, self.env, self.modules, self.notes = policy, env, modules, notes
        self.name, self.cameras, self.frame_size = policy.name, policy.cameras, policy.frame_size
        self._last_error = (0.0, 0.0)

    def describe(self) -> Mapping[str, Any]:
        """Returns the description of the policy."""
        return self.policy.describe()

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        """Returns the policy's decision, corrected."""
        turn = f"turn {len(history) + 1}"
        asked: list[Prompt] = []

        def note(prompt: Prompt) -> Prompt:
            asked.append(prompt)
            return prompt

        decision = yield from relayed(self.policy.decide(obs, history), note)
        truth = GroundTruth(self.env, self.cameras)
        if decision.error is not None:
            self.notes.add(FORMAT_MODULE, f"{turn}: {decision.error}")
            if FORMAT_MODULE in self.modules and truth.call is not None:
                return Decision((truth.call,), "the oracle's")
            return decision
        calls = decision.calls
        if truth.step and truth.call and not (calls and truth.agrees(calls[0])):
            said = calls[0].name + _objects(truth, calls[0]) if calls else "nothing"
            self.notes.add(PLAN_MODULE, f"{turn}: {said} instead of {truth.step.name}{_objects(truth, truth.call)}")
            if PLAN_MODULE in self.modules:
                calls = ((yield from self._oracle_call_with_own_points(obs, history, truth, calls, bool(asked))),)
        elif PLAN_MODULE in self.modules:
            calls = calls[:1]
        return replace(decision, calls=tuple(self._with_true_points(truth, call, turn) for call in calls))

    def _with_true_points(self, truth: GroundTruth, call: SkillCall, turn: str) -> SkillCall:
        """Notes the points of a call that miss, and corrects them if perception is replaced."""
        corrected: dict[str, ImagePoint] = {}
        for arg, point in call.args.items():
            intent = truth.intent(call, arg) if isinstance(point, ImagePoint) else None
            if intent is None or truth.hits(point, intent):
                continue
            seen, off_cm = truth.views.object_at(point), 100 * truth.error_m(point, intent)
            shown, wanted = truth.words((seen,) if seen else None), truth.words(intent)
            self.notes.add(PERCEPTION_MODULE, f"{turn}: {shown} instead of {wanted}, {off_cm:.1f} cm off")
            if true := truth.true_point(point, intent):
                corrected[arg] = true
        return with_points(call, corrected) if PERCEPTION_MODULE in self.modules else call

    def _oracle_call_with_own_points(
        self, obs: Observation, history: tuple[Turn, ...], truth: GroundTruth, calls: tuple[SkillCall, ...], asked: bool
    ) -> Generator[Prompt, Completion, SkillCall]:
        """Returns the oracle's call with the points that this policy would give it: only the plan is replaced.

        A model is asked once more, in the plainest words for this one step. If it does not understand them, or if
        the policy asks no model, its points get the same error as in its present or last call.
        """
        assert truth.call is not None
        if asked and (words := plain_words(self.env, truth)):
            answer = yield from self.policy.decide(replace(obs, instruction=words), history)
            if answer.calls and truth.agrees(answer.calls[0]):
                return answer.calls[0]
        errors = (_first_error(truth, call) for call in calls)
        self._last_error = next(filter(None, errors), self._last_error)
        points = {a: _shifted(p, self._last_error) for a, p in truth.call.args.items() if isinstance(p, ImagePoint)}
        return with_points(truth.call, points)


def plain_words(env: ArmEnv, truth: GroundTruth) -> str:
    """Returns, for example, "put the red cube in the bowl" for the oracle's next call; "" if it is no such move."""
    step, after = truth.step, truth.steps[1:2]
    if step is None:
        return ""
    if step.name == "pick" and after and after[0].name == "place":
        what, where = step.args.get("at"), after[0].args.get("at")
    else:
        what, where = env.body.state().holding, step.args.get("at") if step.name == "place" else None
    if what not in truth.specs or where not in truth.specs:
        return ""
    return plain_put(truth.specs[str(what)], truth.specs[str(where)])


def _first_error(truth: GroundTruth, call: SkillCall) -> tuple[float, float] | None:
    """Returns the error of the first point of a call, as fractions of the image.

    It is zero for a hit, None for a call without points.
    """
    for arg, point in call.args.items():
        if isinstance(point, ImagePoint) and (intent := truth.intent(call, arg)) is not None:
            true = truth.true_point(point, intent)
            if true is None or truth.hits(point, intent) or true.camera != point.camera:
                return 0.0, 0.0
            return point.u - true.u, point.v - true.v
    return None


def _shifted(point: ImagePoint, by: tuple[float, float]) -> ImagePoint:
    u, v = np.clip([point.u + by[0], point.v + by[1]], 0.0, 1.0)
    return replace(point, u=float(u), v=float(v))


def _objects(truth: GroundTruth, call: SkillCall) -> str:
    """Returns, for example, " the red cube" for a call that points at it."""
    points = [arg for arg, value in call.args.items() if isinstance(value, ImagePoint)]
    return "".join(f" {truth.words(truth.intent(call, arg))}" for arg in points)


class AdjustedWorld:
    """An environment without safety limits or with more turns, if these modules are replaced."""

    def __init__(self, env: ArmEnv, modules: Collection[str]) -> None:
        self._env, self._modules = env, modules

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self, **options: Any) -> Any:
        """Resets the environment, and removes its limits."""
        found = self._env.reset(**options)
        if TIME_MODULE in self._modules:
            self._env.setup = replace(self._env.setup, max_turns=UNLIMITED_TURNS_RATIO * self._env.setup.max_turns)
        if SAFETY_MODULE in self._modules:
            for manipulator in self._env.body.manipulators:
                manipulator.safety = UnlimitedSafety(manipulator.kinematics)
        return found


class UnlimitedSafety(Safety):
    """Passes everything that is a number."""

    def limit(
        self,
        wish: Control,
        last: ServoTarget,
        measured: np.ndarray,
        held_up: bool = False,
        touching: Room | None = None,
    ) -> tuple[ServoTarget, tuple[str, ...]]:
        numbers, gripper = self._finite(wish, last, [])
        qpos = np.array(numbers)
        return ServoTarget(
            qpos, (qpos - last.qpos) / CONTROL_PERIOD_S, float(np.clip(gripper, 0.0, self.arm.max_gap))
        ), ()
