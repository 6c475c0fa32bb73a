"""Pointing alone: how often, and how precisely, a model points at what it is told about. No arm moves.

The model is asked for its first decision, just as in an episode, with its own preset and the plain instruction "put the
red cube in the blue bowl". With an empty hand it should pick the cube, so its point should lie on the cube. With the
cube in the hand (and out of the picture) it should place it at the bowl. In this way every object of a scene is asked
for once. A point hits if the segmentation shows the object there, or something inside of it if it is a container.

A miss is "off" (the right object is named, but the point is not on it), "other" (another object is named) or "none" (no
such call, or none that can be read). Distances are measured wherever there is a point, from the middle of what is seen
of the object: in pixels of the model's frame, and in cm across the world at the object's height.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np

from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.diagnosis.ground_truth import ObjectViews, find_labelled, on_plane
from qwenarm.episode.drive import drive
from qwenarm.episode.rollout import observe
from qwenarm.episode.versions import versions
from qwenarm.evaluation.stats import wilson
from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.factory import make_env
from qwenarm.mind.vlm_policy import VlmPolicy
from qwenarm.policies.vlm import shown
from qwenarm.skills import specs
from qwenarm.tasks.core.oracle import MASK_SIZE, oracle_point
from qwenarm.tasks.language.phrases import plain_put
from qwenarm.types import Completion, Decision, ImagePoint, Observation, Prompt, RunConfig, SkillCall, SkillResult, Turn

if TYPE_CHECKING:
    from qwenarm.body.objects.spec import ObjectSpec
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv
    from qwenarm.mind.backends import Backend

ANSWER_KINDS = POINT_HIT, POINT_OFF, OTHER_OBJECT, NO_POINT = ("hit", "off", "other", "none")
SIZE_CLASSES = ((0.006, "small: below 0.6 % of the picture"), (0.012, "medium"), (1.0, "large: above 1.2 %"))
"""Classes of objects by the share of the image that shows them: upper limits, and names."""
MIN_VISIBLE_PIXELS = 20
"""Objects with fewer visible pixels are not asked about."""


@dataclass(frozen=True)
class PointingQuestion:
    """One object of one scene, seen by one camera."""

    task: str
    level: int
    seed: int
    camera: str
    what: str  # object id
    other: str  # id of the second object in the instruction
    held: str  # id of the object in the hand, or ""
    share: float  # of the picture that shows it

    @property
    def skill(self) -> str:
        """The expected call."""
        return "place" if self.held else "pick"


@dataclass(frozen=True)
class PointingAnswer:
    """The answer to a question."""

    question: PointingQuestion
    kind: str  # one of ANSWER_KINDS
    px: float | None = None  # distance from the middle of the object
    cm: float | None = None
    point: tuple[float, float] | None = None  # (u, v)
    said: str = ""


@dataclass(frozen=True)
class PointingAccuracy:
    """The accuracy of a group of answers."""

    name: str
    n: int
    hits: int
    low: float  # 95 % Wilson interval of the hit rate
    high: float
    kinds: dict[str, int]
    px: tuple[float, float] | None  # median and 90th percentile
    cm: tuple[float, float] | None


def check(cells: Sequence[tuple[str, int]], cameras: Sequence[str] = ()) -> None:
    """Raises UnknownName or BadInput for tasks, levels and cameras that do not exist, before a model is loaded."""
    for task, level in cells:
        make_env(RunConfig(task, level, cameras=",".join(cameras))).close()


def probe(
    backend: Backend, cells: Sequence[tuple[str, int]], seeds: int, cameras: Sequence[str] = (), batch: int = 8
) -> Iterator[PointingAnswer]:
    """Asks about every object of every scene.

    Args:
        backend: The model.
        cells: (task, level) pairs.
        seeds: Number of evaluation seeds per cell, the first ones.
        cameras: Tested one by one; by default those of the model's preset.
        batch: Questions about one scene that are asked together.

    Yields:
        The answers as they come.
    """
    chosen = ",".join(cameras)
    for camera in shown(backend.preset, chosen).cameras:
        policy = VlmPolicy(backend, specs(), replace(backend.preset, cameras=(camera,)), "step")
        for task, level in cells:
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                scene = ProbedScene(make_env(RunConfig(task, level, cameras=chosen)), task, level, seed)
                yield from _probed(scene, camera, policy, backend, batch)


def _probed(
    scene: ProbedScene, camera: str, policy: VlmPolicy, backend: Backend, batch: int
) -> Iterator[PointingAnswer]:
    scene.env.reset(seed=scene.seed)
    try:
        asking = (_ask(scene, question, policy) for question in questions(scene, camera))
        yield from drive(asking, backend, batch)
    finally:
        scene.env.close()


@dataclass(frozen=True)
class ProbedScene:
    """An environment after its reset. Its questions share it and leave it unchanged."""

    env: ArmEnv
    task: str
    level: int
    seed: int


def questions(scene: ProbedScene, camera: str) -> Iterator[PointingQuestion]:
    """Yields a question for each object that the camera sees, that has a unique label, and that has a partner."""
    body = scene.env.body
    seen = body.segmentation(camera, MASK_SIZE)
    shown = {p.spec.id: int((seen == index).sum()) for index, p in enumerate(body.scene.objects)}
    things = [p.spec for p in body.scene.objects if shown[p.spec.id] >= MIN_VISIBLE_PIXELS]
    labels = [spec.label for spec in things]
    unique = [spec for spec in things if labels.count(spec.label) == 1]
    for spec in unique:
        other = _partner(spec, unique)
        if other is not None:
            held = other.id if spec.container else ""
            share = shown[spec.id] / seen.size
            yield PointingQuestion(scene.task, scene.level, scene.seed, camera, spec.id, other.id, held, share)


def _partner(spec: ObjectSpec, things: Sequence[ObjectSpec]) -> ObjectSpec | None:
    """Returns an object to put into a container; for any other object a place to put it."""
    if spec.container:
        return next((other for other in things if other.graspable), None)
    places = [other for other in things if other.container]
    places += [other for other in things if other.shape in ("cube", "cylinder") and other is not spec]
    return next(iter(places), None)


def _ask(
    scene: ProbedScene, question: PointingQuestion, policy: VlmPolicy
) -> Generator[Prompt, Completion, PointingAnswer]:
    obs, history, truth = _stage(scene, question, policy)
    decision = yield from policy.decide(obs, history)
    return _judge(truth, question, decision, policy.frame_size)


class _QuestionTruth:
    """What is really visible while a question is asked. The next question may hide another object."""

    def __init__(self, body: Body, question: PointingQuestion) -> None:
        self.body, state = body, body.state()
        self.specs = [placement.spec for placement in body.scene.objects]
        self.middle = oracle_point(body, question.what, question.camera)
        self.height = float(state[question.what].pos[2])
        self.right = [spec.id for spec in self.specs if state.inside(spec.id, question.what)] + [question.what]
        self.views = ObjectViews(body)
        self.views.draw(question.camera)

    def error_m(self, point: ImagePoint) -> float:
        """Returns the distance in m from the middle of the object, at its height."""
        assert self.middle is not None
        away = on_plane(self.body, point, self.height) - on_plane(self.body, self.middle, self.height)
        return float(np.linalg.norm(away))


def _stage(
    scene: ProbedScene, question: PointingQuestion, policy: VlmPolicy
) -> tuple[Observation, tuple[Turn, ...], _QuestionTruth]:
    """Returns what the model sees and is told. A held object is hidden from the cameras."""
    env, body = scene.env, scene.env.body
    a, b = (question.held or question.what), (question.what if question.held else question.other)
    words = plain_put(body.scene.spec(a), body.scene.spec(b))
    before = body.data.qpos.copy()
    try:
        if question.held:
            _hide(body, question.held)
        obs = replace(observe(env, policy), instruction=words)
        truth = _QuestionTruth(body, question)
    finally:
        body.data.qpos[:] = before
        mujoco.mj_kinematics(body.model, body.data)
    if not question.held:
        return obs, (), truth
    picked = SkillCall("pick", {"at": ImagePoint(0.5, 0.5, body.scene.spec(a).label, question.camera)})
    turn = Turn(0, obs, Decision((picked,)), (SkillResult(True),))
    return replace(obs, proprio=replace(obs.proprio, holding=True)), (turn,), truth


def _hide(body: Body, name: str) -> None:
    """Moves an object below the table until the joints are reset."""
    body.data.qpos[body.model.joint(name).qposadr[0] + 2] = -5.0
    mujoco.mj_kinematics(body.model, body.data)


def _judge(
    truth: _QuestionTruth, question: PointingQuestion, decision: Decision, size: tuple[int, int]
) -> PointingAnswer:
    call = decision.calls[0] if decision.calls else None
    point = call.args.get("at") if call else None
    said = decision.error or (f"{call.name} {getattr(point, 'label', '')}".strip() if call else "nothing")
    if call is None or call.name != question.skill or not isinstance(point, ImagePoint) or truth.middle is None:
        return PointingAnswer(question, NO_POINT, said=str(said))
    point = replace(point, camera=question.camera)
    px = float(np.hypot((point.u - truth.middle.u) * size[1], (point.v - truth.middle.v) * size[0]))
    meant = find_labelled(point.label, truth.specs)
    kind = POINT_HIT if truth.views.object_at(point) in truth.right else POINT_OFF
    if meant and question.what not in meant:
        kind = OTHER_OBJECT
    return PointingAnswer(question, kind, px, 100 * truth.error_m(point), (point.u, point.v), str(said))


def accuracies(answers: Sequence[PointingAnswer]) -> list[PointingAccuracy]:
    """Returns the accuracy of all answers, then by task, by skill, by apparent size and by camera."""
    groups: dict[str, list[PointingAnswer]] = {"all": list(answers)}
    by: tuple[Callable[[PointingQuestion], str], ...] = (
        lambda q: f"task {q.task}, level {q.level}",
        lambda q: f"asked to {q.skill}",
        lambda q: next(name for limit, name in SIZE_CLASSES if q.share <= limit),
        lambda q: f"camera {q.camera}",
    )
    for name in by:
        found: dict[str, list[PointingAnswer]] = {}
        for answer in answers:
            found.setdefault(name(answer.question), []).append(answer)
        groups |= dict(sorted(found.items()))
    return [accuracy(name, group) for name, group in groups.items()]


def accuracy(name: str, answers: Sequence[PointingAnswer]) -> PointingAccuracy:
    """Returns the accuracy of one group."""
    hits = sum(answer.kind == POINT_HIT for answer in answers)
    low, high = wilson(hits, len(answers))
    kinds = {kind: sum(answer.kind == kind for answer in answers) for kind in ANSWER_KINDS}
    px, cm = (_percentiles([getattr(answer, name) for answer in answers]) for name in ("px", "cm"))
    return PointingAccuracy(name, len(answers), hits, low, high, kinds, px, cm)


def _percentiles(values: Sequence[Any]) -> tuple[float, float] | None:
    """Returns the median and 90th percentile of the finite values."""
    there = [value for value in values if value is not None and np.isfinite(value)]
    return (float(np.median(there)), float(np.percentile(there, 90))) if there else None


def record(backend: Backend, answers: Sequence[PointingAnswer], found: Sequence[PointingAccuracy]) -> dict[str, Any]:
    """Returns everything as plain JSON values, with what is needed to repeat it."""
    return {
        "schema": 1,
        "model": dict(backend.describe()),
        "preset": backend.preset.name,
        "asked": "the first decision on plain words, in the preset's own form",
        "first_seed": FIRST_SEED,
        "renderer": choose_renderer(),
        "versions": versions(),
        "accuracies": [asdict(each) for each in found],
        "answers": [asdict(each) for each in answers],
    }
