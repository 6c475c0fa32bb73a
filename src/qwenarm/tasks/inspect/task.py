"""Scenes, words and levels of inspect."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import CONTAINERS, GOODS_SIZE, ObjectSpec
from qwenarm.body.scene import Area, Placement, Scene
from qwenarm.body.state import WorldState
from qwenarm.tasks.core.goal import Move, Setup, free_spot, symbolic_calls
from qwenarm.tasks.core.task import Cast, Task
from qwenarm.tasks.inspect.features import KINDS, TOGETHER, Feature, feature, inspect_phrase, inspect_translations, part
from qwenarm.tasks.inspect.verdicts import verdict_of
from qwenarm.tasks.language.phrases import draw_from, prepositions
from qwenarm.types import SkillCall

PARTS = (3, 4, 6)
"""By level."""
BAD = (1, 2, 3)
"""At most so many are bad, by level; no more than have room in the container."""
NONE_BAD = 0.1
"""Share of the rows in which all are good."""
ROOM = {"bowl": 2, "box": 2, "tray": 3}
TOLD = (0.7, 0.4, 0.0)
"""Share of the instructions that name the defect, by level; the others say what a good part has."""
PITCH, TURN = 0.092, 0.12
"""From part to part, m, and how far each is turned from square, rad."""
FAR: tuple[float, Area] = (0.43, ((0.54, 0.71), (-0.25, 0.25)))
NEAR: tuple[float, Area] = (0.65, ((0.35, 0.54), (-0.25, 0.25)))
"""Where the row is, x in m, and where the containers stand."""


@dataclass(frozen=True)
class Inspection:
    """The bad parts in the bin, the good ones not, and the right verdict said. parts: all of them from the left;
    bad: those that are bad. Object ids.
    """

    parts: tuple[str, ...]
    bad: tuple[str, ...]
    bin: str

    def success(self, state: WorldState) -> bool:
        calm = state.holding is None and state.at_rest()
        return calm and not self._moves(state) and verdict_of(state.said) == self.verdict

    def progress(self, state: WorldState) -> float:
        """A step for each bad part that is diverted, half of one for one in the hand, and one for the verdict."""
        if self.success(state):
            return 1.0
        diverted = [i for i in self.bad if state.lies_in(i, self.bin)]
        begun = 0.5 if state.holding in self.bad and state.holding not in diverted else 0.0
        right = verdict_of(state.said) == self.verdict
        return (len(diverted) + begun + right) / (len(self.bad) + 1.5)

    def solve(self, state: WorldState) -> list[SkillCall]:
        *moves, end = symbolic_calls(state, self._moves(state))
        if verdict_of(state.said) == self.verdict:
            return [*moves, end]
        return [*moves, SkillCall("say", {"text": json.dumps({"bad": sorted(self.verdict)})}), end]

    def measures(self, state: WorldState) -> dict[str, float]:
        """The verdict's precision and recall (0 without a verdict, 1 where nothing was to be found and nothing was
        named), how many bad parts are diverted and how many good ones, and whether a verdict was said.
        """
        said = verdict_of(state.said)
        hits = len((said or frozenset()) & self.verdict)
        wrong = [i for i in self.parts if i not in self.bad and self._astray(state, i)]
        return {
            "precision": 0.0 if said is None else hits / len(said) if said else float(not self.verdict),
            "recall": 0.0 if said is None else hits / len(self.verdict) if self.verdict else 1.0,
            "diverted": sum(state.lies_in(i, self.bin) for i in self.bad),
            "to_divert": len(self.bad),
            "good_diverted": len(wrong),
            "verdict": float(said is not None),
        }

    @property
    def verdict(self) -> frozenset[int]:
        """The numbers of the bad parts, from 1 on the left."""
        return frozenset(self.parts.index(i) + 1 for i in self.bad)

    def _moves(self, state: WorldState) -> list[Move]:
        """Good parts that lie in a container go out of it, bad ones into the bin; what is in the hand first."""
        out: list[Move] = [(i, free_spot(state)) for i in self.parts if i not in self.bad and self._astray(state, i)]
        into: list[Move] = [(i, self.bin) for i in self.bad if not state.lies_in(i, self.bin)]
        return sorted(out + into, key=lambda move: move[0] != state.holding)

    def _astray(self, state: WorldState, part: str) -> bool:
        return any(state.lies_in(part, other) for other in state.objects)


def make(cast: Cast, level: int) -> Setup:
    """One episode: the bin, other containers from level 2 on, and the row."""
    place = cast.draw(CONTAINERS)
    cast.add(int(level > 1), CONTAINERS)
    row_x, area = (FAR, NEAR)[int(cast.rng.integers(2))]
    scene = cast.scene(needed=1, areas={spec.id: area for spec in cast.specs})
    color = str(cast.rng.choice([color for color in COLORS if color != place.color]))
    kinds = (draw_from(cast.rng, KINDS),) if level < 3 else TOGETHER[int(cast.rng.integers(len(TOGETHER)))]
    features = [feature(kind, cast.rng, color) for kind in kinds]
    specs, bad = _parts(cast.rng, level, color, features, ROOM[place.shape])
    scene = _with_row(cast.rng, scene, specs, row_x)
    told = bool(cast.rng.random() < TOLD[level - 1])
    words = inspect_phrase(cast.rng, features, told, {"b": place.label, **prepositions(cast.rng, place.shape)})
    goal = Inspection(tuple(s.id for s in specs), tuple(specs[i].id for i in bad), place.id)
    translations = inspect_translations(features, told, place)
    return Setup(scene, goal, words, 6 + 3 * len(bad), translations=translations)


def _parts(
    rng: np.random.Generator, level: int, color: str, features: list[Feature], room: int
) -> tuple[list[ObjectSpec], list[int]]:
    """The row, and the indices of the bad ones, each of which has one defect."""
    count, most = PARTS[level - 1], min(BAD[level - 1], room)
    wanted = 0 if rng.random() < NONE_BAD else int(rng.integers(1, most + 1))
    bad = sorted(int(i) for i in rng.permutation(count)[:wanted])
    specs = []
    for i in range(count):
        which = int(rng.integers(len(features)))
        wrong = {which: draw_from(rng, features[which].bad)} if i in bad else {}
        specs.append(part(color, GOODS_SIZE["part"][0], i + 1, features, wrong))
    return specs, bad


def _with_row(rng: np.random.Generator, scene: Scene, specs: list[ObjectSpec], x: float) -> Scene:
    """The scene with the parts from left to right, each turned by any number of quarter turns."""
    slack = (0.5 - PITCH * (len(specs) - 1)) / 2
    middle = rng.uniform(-slack, slack) * 0.9
    row = []
    for i, spec in enumerate(specs):
        y = middle + PITCH * (i - (len(specs) - 1) / 2) + rng.uniform(-1, 1) * 0.002
        yaw = rng.integers(4) * np.pi / 2 + rng.uniform(-TURN, TURN)
        row.append(Placement(spec, (float(x + rng.uniform(-0.006, 0.006)), float(y), spec.origin_height), float(yaw)))
    return Scene((*scene.objects, *row), scene.look, scene.cameras, scene.props)


TASK = Task(
    "inspect",
    "Inspect a row of parts, sort out the bad ones, and report them as JSON.",
    ("three parts, one kind of defect", "four parts, another container", "six parts that can fail in several ways"),
    make,
)
