"""Pointing alone: how often, and how nearly, a model points at what it is told of. No arm moves.

A model is asked in the form that it is asked in an episode, with its own preset, in plain words: "put the red cube in
the blue bowl". With empty hands the right answer picks the one, so its point should lie on it; with the one in the hand
(and out of the picture) it places at the other. So every thing of a scene is asked for once, containers as places. A
point hits if the segmentation of the frame shows the thing there, or something inside of it if it is a container.

Misses have a kind: "off" (the right thing is named, the point is not on it), "other" (another thing is named) and
"none" (no such call, or no readable one). Distances are from the middle of what is seen of the thing, in pixels of the
model's frame and in cm across the world at the thing's height; they are measured wherever there is a point.
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

KINDS = HIT, OFF, OTHER, NONE = ("hit", "off", "other", "none")
SIZES = ((0.006, "small: below 0.6 % of the picture"), (0.012, "medium"), (1.0, "large: above 1.2 %"))
"""Of what is seen of a thing: shares of the picture, and their names."""
LEAST = 20
"""What shows fewer pixels than this in the truth's picture is not asked for."""


@dataclass(frozen=True)
class Question:
    """One thing of one scene. what: its id; held: the id of what is in the hand then, or "". other: the second thing of
    the words. share: of the picture that shows it.
    """

    task: str
    level: int
    seed: int
    camera: str
    what: str
    other: str
    held: str
    share: float

    @property
    def skill(self) -> str:
        return "place" if self.held else "pick"


@dataclass(frozen=True)
class Answer:
    """How it was answered. px, cm: from the middle of the thing, None without a point."""

    question: Question
    kind: str
    px: float | None = None
    cm: float | None = None
    point: tuple[float, float] | None = None
    said: str = ""


@dataclass(frozen=True)
class Accuracy:
    """Of a group of answers. low, high: the 95 % Wilson interval of the hit rate. px, cm: (median, 90th percentile), or
    None if there was no point.
    """

    name: str
    n: int
    hits: int
    low: float
    high: float
    kinds: dict[str, int]
    px: tuple[float, float] | None
    cm: tuple[float, float] | None


def check(cells: Sequence[tuple[str, int]], cameras: Sequence[str] = ()) -> None:
    """Raises UnknownName and BadInput for what does not exist, before a model is loaded."""
    for task, level in cells:
        make_env(RunConfig(task, level, cameras=",".join(cameras))).close()


def probe(
    backend: Backend, cells: Sequence[tuple[str, int]], seeds: int, cameras: Sequence[str] = (), batch: int = 8
) -> Iterator[Answer]:
    """The answers as they come. cells: (task, level) pairs, each with its first ``seeds`` evaluation seeds. cameras: by
    default those of the model's preset. batch: questions about one scene that are asked together.
    """
    chosen = ",".join(cameras)
    for camera in shown(backend.preset, chosen).cameras:
        policy = VlmPolicy(backend, specs(), replace(backend.preset, cameras=(camera,)), "step")
        for task, level in cells:
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                scene = Scene(make_env(RunConfig(task, level, cameras=chosen)), task, level, seed)
                yield from _probed(scene, camera, policy, backend, batch)


def _probed(scene: Scene, camera: str, policy: VlmPolicy, backend: Backend, batch: int) -> Iterator[Answer]:
    scene.env.reset(seed=scene.seed)
    try:
        asking = (_ask(scene, question, policy) for question in questions(scene, camera))
        yield from drive(asking, backend, batch)
    finally:
        scene.env.close()


@dataclass(frozen=True)
class Scene:
    """One environment. It is shared by its questions, each of which leaves it as it was."""

    env: ArmEnv
    task: str
    level: int
    seed: int


def questions(scene: Scene, camera: str) -> Iterator[Question]:
    """One for each thing whose label no other thing has, that the camera sees, and for which there is a second one."""
    body = scene.env.body
    seen = body.segmentation(camera, MASK_SIZE)
    shown = {p.spec.id: int((seen == index).sum()) for index, p in enumerate(body.scene.objects)}
    things = [p.spec for p in body.scene.objects if shown[p.spec.id] >= LEAST]
    labels = [spec.label for spec in things]
    unique = [spec for spec in things if labels.count(spec.label) == 1]
    for spec in unique:
        other = _second(spec, unique)
        if other is not None:
            held = other.id if spec.container else ""
            share = shown[spec.id] / seen.size
            yield Question(scene.task, scene.level, scene.seed, camera, spec.id, other.id, held, share)


def _second(spec: ObjectSpec, things: Sequence[ObjectSpec]) -> ObjectSpec | None:
    """For a container something to put into it; for anything else where to put it."""
    if spec.container:
        return next((other for other in things if other.graspable), None)
    places = [other for other in things if other.container]
    places += [other for other in things if other.shape in ("cube", "cylinder") and other is not spec]
    return next(iter(places), None)


def _ask(scene: Scene, question: Question, policy: VlmPolicy) -> Generator[Prompt, Completion, Answer]:
    obs, history, aim = _shown(scene, question, policy)
    decision = yield from policy.decide(obs, history)
    return _judged(aim, question, decision, policy.frame_size)


class _Aim:
    """What is really to be seen while a question is asked; the next one may hide something else."""

    def __init__(self, body: Body, question: Question) -> None:
        self.body, state = body, body.state()
        self.specs = [placement.spec for placement in body.scene.objects]
        self.middle = oracle_point(body, question.what, question.camera)
        self.height = float(state[question.what].pos[2])
        self.right = [spec.id for spec in self.specs if state.inside(spec.id, question.what)] + [question.what]
        self.views = ObjectViews(body)
        self.views.draw(question.camera)

    def off_m(self, point: ImagePoint) -> float:
        """From the middle, at the thing's height."""
        assert self.middle is not None
        away = on_plane(self.body, point, self.height) - on_plane(self.body, self.middle, self.height)
        return float(np.linalg.norm(away))


def _shown(scene: Scene, question: Question, policy: VlmPolicy) -> tuple[Observation, tuple[Turn, ...], _Aim]:
    """What the model sees and is told; what is held is out of the picture."""
    env, body = scene.env, scene.env.body
    a, b = (question.held or question.what), (question.what if question.held else question.other)
    words = plain_put(body.scene.spec(a), body.scene.spec(b))
    before = body.data.qpos.copy()
    try:
        if question.held:
            _hide(body, question.held)
        obs = replace(observe(env, policy), instruction=words)
        aim = _Aim(body, question)
    finally:
        body.data.qpos[:] = before
        mujoco.mj_kinematics(body.model, body.data)
    if not question.held:
        return obs, (), aim
    picked = SkillCall("pick", {"at": ImagePoint(0.5, 0.5, body.scene.spec(a).label, question.camera)})
    turn = Turn(0, obs, Decision((picked,)), (SkillResult(True),))
    return replace(obs, proprio=replace(obs.proprio, holding=True)), (turn,), aim


def _hide(body: Body, name: str) -> None:
    """Out of every camera's sight, until the joints are set back."""
    body.data.qpos[body.model.joint(name).qposadr[0] + 2] = -5.0
    mujoco.mj_kinematics(body.model, body.data)


def _judged(aim: _Aim, question: Question, decision: Decision, size: tuple[int, int]) -> Answer:
    call = decision.calls[0] if decision.calls else None
    point = call.args.get("at") if call else None
    said = decision.error or (f"{call.name} {getattr(point, 'label', '')}".strip() if call else "nothing")
    if call is None or call.name != question.skill or not isinstance(point, ImagePoint) or aim.middle is None:
        return Answer(question, NONE, said=str(said))
    point = replace(point, camera=question.camera)
    px = float(np.hypot((point.u - aim.middle.u) * size[1], (point.v - aim.middle.v) * size[0]))
    meant = find_labelled(point.label, aim.specs)
    kind = HIT if aim.views.object_at(point) in aim.right else OFF
    if meant and question.what not in meant:
        kind = OTHER
    return Answer(question, kind, px, 100 * aim.off_m(point), (point.u, point.v), str(said))


def accuracies(answers: Sequence[Answer]) -> list[Accuracy]:
    """All together first, then by task family, by skill, by apparent size and by camera."""
    groups: dict[str, list[Answer]] = {"all": list(answers)}
    by: tuple[Callable[[Question], str], ...] = (
        lambda q: f"task {q.task}, level {q.level}",
        lambda q: f"asked to {q.skill}",
        lambda q: next(name for limit, name in SIZES if q.share <= limit),
        lambda q: f"camera {q.camera}",
    )
    for name in by:
        found: dict[str, list[Answer]] = {}
        for answer in answers:
            found.setdefault(name(answer.question), []).append(answer)
        groups |= dict(sorted(found.items()))
    return [accuracy(name, group) for name, group in groups.items()]


def accuracy(name: str, answers: Sequence[Answer]) -> Accuracy:
    hits = sum(answer.kind == HIT for answer in answers)
    low, high = wilson(hits, len(answers))
    kinds = {kind: sum(answer.kind == kind for answer in answers) for kind in KINDS}
    px, cm = (_spread([getattr(answer, name) for answer in answers]) for name in ("px", "cm"))
    return Accuracy(name, len(answers), hits, low, high, kinds, px, cm)


def _spread(values: Sequence[Any]) -> tuple[float, float] | None:
    """Median and 90th percentile of those that are there and finite."""
    there = [value for value in values if value is not None and np.isfinite(value)]
    return (float(np.median(there)), float(np.percentile(there, 90))) if there else None


def record(backend: Backend, answers: Sequence[Answer], found: Sequence[Accuracy]) -> dict[str, Any]:
    """All of it as plain JSON values, with what is needed to repeat it."""
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
