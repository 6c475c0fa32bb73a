"""What a call was meant for, and what is really there: labels are looked up among the scene's things, and points in its
segmentation. Privileged, never for a policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.body.cameras import ray
from qwenarm.errors import BadInput
from qwenarm.tasks.core.oracle import MASK_SIZE, oracle_call, oracle_point
from qwenarm.tasks.core.planning import WorldPoint
from qwenarm.tasks.language.read_answer import COLOR_WORDS, SHAPE_WORDS, named
from qwenarm.types import ImagePoint, SkillCall

if TYPE_CHECKING:
    from qwenarm.body.objects.spec import ObjectSpec
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv

CAMERAS = ("front", "overhead")
"""Where the truth points: the second is for what the first cannot see."""
SPOT_M = 0.02
"""A point on the table so near to a free place, m, means it."""
ARTICLES = ("the", "a", "an")


class Truth:
    """The scene at the moment of a decision. cameras: where the policy points first.

    step: the oracle's next call, its points object ids or Spots; call: the same with image points. Both are None where
    there is no goal, or nobody sees what it names.
    """

    def __init__(self, env: ArmEnv, cameras: Sequence[str] = CAMERAS) -> None:
        self.body: Body = env.body
        self.cameras = tuple(dict.fromkeys([*cameras, *CAMERAS]))
        self.specs = {p.spec.id: p.spec for p in env.body.scene.objects}
        self.views = Views(env.body)
        self.steps: list[SkillCall] = []
        self.call: SkillCall | None = None
        try:
            self.steps = env.setup.goal.solve(env.body.state()) if env.setup.goal else []
            self.call = oracle_call(self.body, self.steps[0], self.cameras) if self.steps else None
        except BadInput:
            self.steps = []

    @property
    def step(self) -> SkillCall | None:
        return self.steps[0] if self.steps else None

    def meant(self, call: SkillCall, arg: str) -> tuple[str, ...] | WorldPoint | None:
        """What an argument that is a point was meant for: the things that have its label, a free place, or None.

        A label that no thing has is taken to mean what the point shows, and where it shows nothing, what the oracle
        wants there.
        """
        point = call.args[arg]
        if found := labelled(point.label, self.specs.values()):
            return found
        wanted = self.step.args.get(arg) if self.step and self.step.name == call.name else None
        if isinstance(wanted, WorldPoint) and point.label in ("", wanted.label):
            return wanted
        if seen := self.views.at(point):
            return (seen,)
        return (wanted,) if isinstance(wanted, str) and wanted in self.specs else None

    def hits(self, point: ImagePoint, meant: tuple[str, ...] | WorldPoint | None) -> bool:
        """Does the point lie on what was meant? What is in a container belongs to it."""
        if meant is None:
            return True
        if isinstance(meant, WorldPoint):
            return self.off_m(point, meant) < SPOT_M
        seen = self.views.at(point)
        if seen is None:
            return False
        return seen in meant or any(self.specs[m].container and self.body.state().inside(seen, m) for m in meant)

    def true_point(self, point: ImagePoint, meant: tuple[str, ...] | WorldPoint) -> ImagePoint | None:
        """Where it should have pointed, in its own camera if that sees what was meant: of several things, the nearest.
        None if no camera sees any.
        """
        for camera in dict.fromkeys([point.camera, *self.cameras]):
            if camera not in self.views.cameras:
                continue
            if isinstance(meant, WorldPoint):
                seen = _spot(self.body, meant, camera)
            else:
                seen = [found for name in meant if (found := oracle_point(self.body, name, camera))]
            if seen:
                return min(seen, key=lambda p: np.hypot(p.u - point.u, p.v - point.v))
        return None

    def off_m(self, point: ImagePoint, meant: tuple[str, ...] | WorldPoint) -> float:
        """How far off the middle of what was meant a point is, in m across the world at its height; inf if unknown."""
        true = self.true_point(point, meant)
        if true is None or point.camera not in self.views.cameras:
            return float("inf")
        height = meant.z if isinstance(meant, WorldPoint) else float(self.body.state()[meant[0]].pos[2])
        return float(np.linalg.norm(on_plane(self.body, point, height) - on_plane(self.body, true, height)))

    def agrees(self, call: SkillCall) -> bool:
        """Is it the call that the oracle would make? Points are compared by what they mean, not by where they are."""
        if self.step is None or call.name != self.step.name or set(call.args) != set(self.step.args):
            return False
        return all(self._same(call, arg, wanted) for arg, wanted in self.step.args.items())

    def _same(self, call: SkillCall, arg: str, wanted: Any) -> bool:
        if not isinstance(call.args[arg], ImagePoint):
            return call.args[arg] == wanted
        meant = self.meant(call, arg)
        return meant == wanted if isinstance(meant, WorldPoint) or meant is None else wanted in meant

    def words(self, meant: tuple[str, ...] | WorldPoint | None) -> str:
        """For people: "the red cube"."""
        if meant is None:
            return "nothing"
        return f"the {meant.label if isinstance(meant, WorldPoint) else self.specs[meant[0]].label}"


class Views:
    """Which object is seen where, camera by camera, drawn when first asked for."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.cameras = [camera.name for camera in body.scene.cameras]
        self._ids = [p.spec.id for p in body.scene.objects]
        self._drawn: dict[str, np.ndarray] = {}

    def draw(self, camera: str) -> None:
        """Looks now, if it has not been done."""
        if camera not in self._drawn:
            self._drawn[camera] = self.body.segmentation(camera, MASK_SIZE)

    def at(self, point: ImagePoint) -> str | None:
        """The id of the object at a point, None for anything else and for points outside of every picture."""
        if point.camera not in self.cameras or not (0 <= point.u <= 1 and 0 <= point.v <= 1):
            return None
        self.draw(point.camera)
        row, column = (int(min(x, 1 - 1e-9) * n) for x, n in zip((point.v, point.u), MASK_SIZE, strict=True))
        index = int(self._drawn[point.camera][row, column])
        return self._ids[index] if index >= 0 else None


def _spot(body: Body, spot: WorldPoint, camera: str) -> list[ImagePoint]:
    """The point of a free place in a camera's picture; [] if it is not in there."""
    try:
        return [oracle_call(body, SkillCall("place", {"at": spot}), (camera,)).args["at"]]
    except BadInput:
        return []


def seen_at(body: Body, point: ImagePoint) -> str | None:
    """The id of the object at a point now, None for anything else."""
    return Views(body).at(point)


def labelled(label: str, specs: Iterable[ObjectSpec]) -> tuple[str, ...]:
    """The ids of the things that a label names: "red cube", "the red block", "cubo rojo". Empty if it names none, or
    things that differ.
    """
    things = list(specs)
    plain = " ".join(word for word in label.lower().split() if word not in ARTICLES)
    if exact := tuple(spec.id for spec in things if spec.label == plain):
        return exact
    if any(word not in COLOR_WORDS and word not in SHAPE_WORDS for word in re.findall(r"[a-z]+", plain)):
        return ()
    colors, shapes = named(plain)
    fitting = [s for s in things if (not colors or s.color in colors) and (not shapes or s.shape in shapes)]
    same = len({spec.label for spec in fitting}) == 1 and bool(colors or shapes)
    return tuple(spec.id for spec in fitting) if same else ()


def on_plane(body: Body, point: ImagePoint, height: float) -> np.ndarray:
    """(2,) m: where the ray through an image point meets the plane z = height."""
    pos, mat, fovy = body.camera_pose(point.camera)
    way = ray(point.u, point.v, mat, fovy, MASK_SIZE[1] / MASK_SIZE[0])
    return (pos + (height - pos[2]) / way[2] * way)[:2]


def moved(call: SkillCall, points: Mapping[str, ImagePoint]) -> SkillCall:
    """The call with other points."""
    return SkillCall(call.name, {**call.args, **points})
