"""Scenes and levels of inspect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import CONTAINER_SHAPES, PARCEL_PART_SIZE_M, ObjectSpec
from qwenarm.body.scene import Area, Placement
from qwenarm.tasks import SceneBuilder, Setup, Task
from qwenarm.tasks.inspect.goal import Inspection
from qwenarm.tasks.inspect.parts import FEATURE_SETS, PART_FEATURES, Feature, make_feature, make_part
from qwenarm.tasks.inspect.words import inspect_phrase, inspect_translations
from qwenarm.tasks.language.phrases import draw_from, prepositions

PART_COUNT = (3, 4, 6)
MAX_BAD_PARTS = (1, 2, 3)
"""Maximum number of bad parts, by level; the container's capacity may reduce it."""
ALL_GOOD_SHARE = 0.1
"""Share of the rows in which no part is bad."""
CONTAINER_CAPACITY = {"bowl": 2, "box": 2, "tray": 3}
DEFECT_NAMED_SHARE = (0.7, 0.4, 0.0)
"""Share of the instructions that name the defect, by level; the others say what a good part has."""
PART_PITCH_M, MAX_TURN_RAD = 0.092, 0.12
"""Distance between neighbouring parts, in m, and maximum rotation of a part from square, in rad."""
ROW_WIDTH_M = 0.5
POSITION_NOISE_M, ROW_NOISE_M = 0.006, 0.002
"""Maximum deviation of a part from its place, across the row and along it, in m."""
FAR_ROW: tuple[float, Area] = (0.43, ((0.54, 0.71), (-0.25, 0.25)))
NEAR_ROW: tuple[float, Area] = (0.65, ((0.35, 0.54), (-0.25, 0.25)))
"""x of the row in m, and the area of the containers."""


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode: the bin, from level 2 on another container, and the row."""
    place = builder.add(CONTAINER_SHAPES)
    builder.add_up_to(int(level > 1), CONTAINER_SHAPES)
    rng = builder.rng
    row_x, area = (FAR_ROW, NEAR_ROW)[int(rng.integers(2))]
    scene = builder.build(needed=1, areas={spec.id: area for spec in builder.specs})
    color = str(rng.choice([color for color in COLOR_RGB if color != place.color]))
    names = (draw_from(rng, PART_FEATURES),) if level < 3 else FEATURE_SETS[int(rng.integers(len(FEATURE_SETS)))]
    features = [make_feature(name, rng, color) for name in names]
    specs, bad = _parts(rng, level, color, features, CONTAINER_CAPACITY[place.shape])
    scene = replace(scene, objects=(*scene.objects, *_row(rng, specs, row_x)))
    names_defect = bool(rng.random() < DEFECT_NAMED_SHARE[level - 1])
    words = inspect_phrase(rng, features, names_defect, {"b": place.label, **prepositions(rng, place.shape)})
    goal = Inspection(tuple(s.id for s in specs), tuple(specs[i].id for i in bad), place.id)
    translations = inspect_translations(features, names_defect, place)
    return Setup(scene, goal, words, 6 + 3 * len(bad), translations=translations)


def _parts(
    rng: np.random.Generator, level: int, color: str, features: list[Feature], room: int
) -> tuple[list[ObjectSpec], list[int]]:
    """Returns the parts of the row, and the indices of the bad ones, each of which has one defect."""
    count, most = PART_COUNT[level - 1], min(MAX_BAD_PARTS[level - 1], room)
    wanted = 0 if rng.random() < ALL_GOOD_SHARE else int(rng.integers(1, most + 1))
    bad = sorted(int(i) for i in rng.permutation(count)[:wanted])
    specs = []
    for i in range(count):
        which = int(rng.integers(len(features)))
        defects = {which: draw_from(rng, features[which].bad)} if i in bad else {}
        specs.append(make_part(color, PARCEL_PART_SIZE_M["part"][0], i + 1, features, defects))
    return specs, bad


def _row(rng: np.random.Generator, specs: list[ObjectSpec], x: float) -> list[Placement]:
    """Places the parts from left to right, each rotated by a random number of quarter turns and a little more."""
    slack = (ROW_WIDTH_M - PART_PITCH_M * (len(specs) - 1)) / 2
    middle = rng.uniform(-slack, slack) * 0.9
    row = []
    for i, spec in enumerate(specs):
        y = middle + PART_PITCH_M * (i - (len(specs) - 1) / 2) + rng.uniform(-1, 1) * ROW_NOISE_M
        yaw = rng.integers(4) * np.pi / 2 + rng.uniform(-MAX_TURN_RAD, MAX_TURN_RAD)
        part_x = float(x + rng.uniform(-POSITION_NOISE_M, POSITION_NOISE_M))
        row.append(Placement(spec, (part_x, float(y), spec.origin_height), float(yaw)))
    return row


TASK = Task(
    "inspect",
    "Inspect a row of parts, sort out the bad ones, and report them as JSON.",
    ("three parts, one kind of defect", "four parts, another container", "six parts that can fail in several ways"),
    make,
    needs_fingers="its parts have pins and caps on top",
)
