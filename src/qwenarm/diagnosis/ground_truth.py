"""What a call was meant for, and what is really there. Privileged: for diagnosis, never for a policy.

A policy says "pick the red cube" and points at a pixel. The label is looked up among the objects of the scene, the
pixel in its segmentation. Comparing the two distinguishes a bad point from a bad plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.body.cameras import ray
from qwenarm.errors import BadInput
from qwenarm.tasks import WorldPoint, oracle_call, oracle_point
from qwenarm.tasks.core.oracle import MASK_SIZE
from qwenarm.tasks.language.read_answer import named
from qwenarm.tasks.language.vocabulary import COLOR_WORDS, SHAPE_WORDS
from qwenarm.types import ImagePoint, SkillCall

if TYPE_CHECKING:
    from qwenarm.body.objects.spec import ObjectSpec
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv

TRUTH_CAMERAS = ("front", "overhead")
"""Cameras in which true points are given, after the policy's own; the second sees what the first cannot."""
WORLD_POINT_TOLERANCE_M = 0.02
"""Maximum distance between a point on the table and the free place that it means, in m."""
ENGLISH_ARTICLES = ("the", "a", "an")
Intent = tuple[str, ...] | WorldPoint | None
"""What a point means: any of the objects with these ids, a place on the table, or None if unknown."""


class GroundTruth:
    """The scene at the moment of a decision, and what the oracle would do now.

    Attributes:
        specs: The objects by id.
        steps: The oracle's remaining calls, with object ids and ``WorldPoint``s; [] if there is no goal.
        call: The first of them with image points, or None.
    """

    def __init__(self, env: ArmEnv, cameras: Sequence[str] = TRUTH_CAMERAS) -> None:
        self.body: Body = env.body
        self.cameras = tuple(dict.fromkeys([*cameras, *TRUTH_CAMERAS]))
        self.specs = {p.spec.id: p.spec for p in env.body.scene.objects}
        self.views = ObjectViews(env.body)
        self.steps: list[SkillCall] = []
        self.call: SkillCall | None = None
        try:
            self.steps = env.setup.goal.solve(env.body.state()) if env.setup.goal else []
            self.call = oracle_call(self.body, self.steps[0], self.cameras) if self.steps else None
        except BadInput:  # the oracle's target is not visible
            self.steps = []

    @property
    def step(self) -> SkillCall | None:
        """The oracle's next call, with object ids and ``WorldPoint``s."""
        return self.steps[0] if self.steps else None

    def intent(self, call: SkillCall, arg: str) -> Intent:
        """Returns what an image point, an argument of a call, means.

        The label decides. If it fits no object, the point means what it shows or, if it shows nothing, what the
        oracle wants there.
        """
        point = call.args[arg]
        if found := find_labelled(point.label, self.specs.values()):
            return found
        wanted = self.step.args.get(arg) if self.step and self.step.name == call.name else None
        if isinstance(wanted, WorldPoint) and point.label in ("", wanted.label):
            return wanted
        if seen := self.views.object_at(point):
            return (seen,)
        return (wanted,) if isinstance(wanted, str) and wanted in self.specs else None

    def hits(self, point: ImagePoint, intent: Intent) -> bool:
        """Returns whether the point lies on what it means. The content of a container is part of it."""
        if intent is None:
            return True
        if isinstance(intent, WorldPoint):
            return self.error_m(point, intent) < WORLD_POINT_TOLERANCE_M
        seen = self.views.object_at(point)
        if seen is None or seen in intent:
            return seen is not None
        return any(self.specs[i].container and self.body.state().inside(seen, i) for i in intent)

    def true_point(self, point: ImagePoint, intent: Intent) -> ImagePoint | None:
        """Returns where the point should have been: on the nearest object that it means, in its own camera if possible.

        Returns None if no camera sees any such object.
        """
        for camera in dict.fromkeys([point.camera, *self.cameras]):
            found = self._true_points(intent, camera) if camera in self.views.cameras else []
            if found:
                return min(found, key=lambda p: np.hypot(p.u - point.u, p.v - point.v))
        return None

    def _true_points(self, intent: Intent, camera: str) -> list[ImagePoint]:
        if not isinstance(intent, WorldPoint):
            return [found for i in intent or () if (found := oracle_point(self.body, i, camera))]
        try:
            return [oracle_call(self.body, SkillCall("place", {"at": intent}), (camera,)).args["at"]]
        except BadInput:
            return []

    def error_m(self, point: ImagePoint, intent: Intent) -> float:
        """Returns the horizontal distance in m from a point to what it means, at that height; inf if unknown."""
        true = self.true_point(point, intent)
        if intent is None or true is None or point.camera not in self.views.cameras:
            return float("inf")
        height = intent.z if isinstance(intent, WorldPoint) else float(self.body.state()[intent[0]].pos[2])
        return float(np.linalg.norm(on_plane(self.body, point, height) - on_plane(self.body, true, height)))

    def agrees(self, call: SkillCall) -> bool:
        """Returns whether this is the oracle's call. Points agree if they mean the same."""
        if self.step is None or call.name != self.step.name or set(call.args) != set(self.step.args):
            return False
        return all(self._same(call, arg, wanted) for arg, wanted in self.step.args.items())

    def _same(self, call: SkillCall, arg: str, wanted: Any) -> bool:
        if not isinstance(call.args[arg], ImagePoint):
            return call.args[arg] == wanted
        intent = self.intent(call, arg)
        return wanted in intent if isinstance(intent, tuple) else intent == wanted

    def words(self, intent: Intent) -> str:
        """Returns, for example, "the red cube"."""
        if intent is None:
            return "nothing"
        return f"the {intent.label if isinstance(intent, WorldPoint) else self.specs[intent[0]].label}"


class ObjectViews:
    """Which object is at which pixel of which camera. Each camera is rendered once, when it is first needed."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.cameras = [camera.name for camera in body.scene.cameras]
        self._ids = [p.spec.id for p in body.scene.objects]
        self._masks: dict[str, np.ndarray] = {}

    def draw(self, camera: str) -> None:
        """Renders a camera's view now, unless it has been rendered."""
        if camera not in self._masks:
            self._masks[camera] = self.body.segmentation(camera, MASK_SIZE)

    def object_at(self, point: ImagePoint) -> str | None:
        """Returns the id of the object at a point; None for anything else, and for points outside the image."""
        if point.camera not in self.cameras or not (0 <= point.u <= 1 and 0 <= point.v <= 1):
            return None
        self.draw(point.camera)
        row, column = (int(min(x, 1 - 1e-9) * n) for x, n in zip((point.v, point.u), MASK_SIZE, strict=True))
        index = int(self._masks[point.camera][row, column])
        return self._ids[index] if index >= 0 else None


LETTERED_PLACE_PATTERN = re.compile(r"(?:the )?(?:(?:bin|container|box|bowl|tray) )?([A-C])")


def find_labelled(label: str, specs: Iterable[ObjectSpec]) -> tuple[str, ...]:
    """Returns the ids of the objects that a label names: "red cube", "the red block", "cubo rojo", "bin A".

    Empty if it names none, or objects that differ.
    """
    things = list(specs)
    plain = " ".join(word for word in label.lower().split() if word not in ENGLISH_ARTICLES)
    if exact := tuple(spec.id for spec in things if spec.label == plain):
        return exact
    if letter := LETTERED_PLACE_PATTERN.fullmatch(label):
        return tuple(spec.id for spec in things if spec.container and spec.top == letter[1])
    if any(word not in COLOR_WORDS and word not in SHAPE_WORDS for word in re.findall(r"[a-z]+", plain)):
        return ()
    colors, shapes = named(plain)
    fitting = [s for s in things if (not colors or s.color in colors) and (not shapes or s.shape in shapes)]
    same = len({spec.label for spec in fitting}) == 1 and bool(colors or shapes)
    return tuple(spec.id for spec in fitting) if same else ()


def on_plane(body: Body, point: ImagePoint, height: float) -> np.ndarray:
    """Returns the point (2,) in m where the ray through an image point meets the plane z = height."""
    pos, mat, fovy = body.camera_pose(point.camera)
    way = ray(point.u, point.v, mat, fovy, MASK_SIZE[1] / MASK_SIZE[0])
    return (pos + (height - pos[2]) / way[2] * way)[:2]


def with_points(call: SkillCall, points: Mapping[str, ImagePoint]) -> SkillCall:
    """Returns the call with other points, given by argument."""
    return SkillCall(call.name, {**call.args, **points})
