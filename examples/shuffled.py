"""Things that are shuffled at every look: many pictures of marks, colours and shapes for little work, to train eyes.

python examples/shuffled.py                                          # writes some of the pictures to shuffled.png
cd examples && qwenarm collect --task shuffled:TASK --level 1,2,3,4 --episodes 450 --out ../runs/shuffled
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

import qwenarm as qa
from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES, PARCEL_PART_SIZE_M, ObjectSpec
from qwenarm.body.scene import WORKSPACE_AREA, Placement
from qwenarm.tasks import SceneBuilder, Setup, Task

THINGS, LOOKING_S = 10, 6.0
DOTS, PINS = ["dots:2", "dots:3", "dots:4"], ["pins:3", "pins:4", "cap:straight", "cap:tilted"]
TOPS = (DOTS, [*PINS, *(f"dot:{color}" for color in COLOR_RGB)], [*"ABC19", "glass", ""])
PITCH_M, CONTAINER_RADIUS_M, MAX_SHIFT_M, MAX_TURN_RAD = 0.085, 0.14, 0.012, np.pi / 4
"""From a place to the next, and to the middle of a container; how far a thing is from its place, and from square."""


@dataclass
class Shuffle:
    """In every control period puts the things into other places (places, 3), where nothing falls."""

    rng: np.random.Generator
    things: list[ObjectSpec]
    places: np.ndarray

    def step(self, body) -> None:
        for spec, place in zip(self.things, self.rng.permutation(self.places), strict=False):
            x, y, half = self.rng.uniform(-1, 1, 3) * (MAX_SHIFT_M, MAX_SHIFT_M, MAX_TURN_RAD / 2) + (*place[:2], 0)
            body.data.joint(spec.id).qpos[:] = [x, y, place[2] + spec.origin_height, np.cos(half), 0, 0, np.sin(half)]
            body.data.joint(spec.id).qvel[:] = 0


class Looked:
    def progress(self, state) -> float:
        return min(1.0, state.time_s / LOOKING_S)

    def success(self, state) -> bool:
        return self.progress(state) == 1

    def solve(self, state) -> list[qa.SkillCall]:
        return [qa.SkillCall("done" if self.success(state) else "look")]


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds two containers, places in and around them, and things: parts, parcels, or cubes, cylinders and balls."""
    rng = builder.rng
    for _ in range(2):
        builder.add(CONTAINER_SHAPES)
        if rng.random() < 0.5:
            builder.specs[-1] = replace(builder.specs[-1], top=str(rng.choice(list("ABC"))))
    scene = builder.build(needed=2)
    xs, ys = (np.arange(low + rng.uniform(0, PITCH_M), high, PITCH_M) for low, high in WORKSPACE_AREA)
    middles = np.array([each.pos for each in scene.objects])
    grid = [(x, y, 0.0) for y in ys for x in xs if min(np.hypot(*(middles[:, :2] - (x, y)).T)) > CONTAINER_RADIUS_M]
    places = [*(middles + [[0, 0, each.spec.support_height] for each in scene.objects]).tolist(), *grid]
    things = [builder.add(GRASPABLE_SHAPES) if level == 4 else marked(rng, level, i + 1) for i in range(THINGS)]
    shuffle = Shuffle(np.random.default_rng(rng.integers(2**32)), things, np.array(places))
    placed = [Placement(spec, (x, y, z + spec.origin_height)) for spec, (x, y, z) in zip(things, places, strict=False)]
    return Setup(replace(scene, objects=(*scene.objects, *placed)), Looked(), "look around", 100, (shuffle,))


def marked(rng: np.random.Generator, level: int, number: int) -> ObjectSpec:
    shape, looks = "part" if level < 3 else "parcel", (list(COLOR_RGB), TOPS[level - 1], ["", "", "stripe", "crack"])
    color, top, sides = (str(rng.choice(values)) for values in looks)
    return ObjectSpec(shape, color, PARCEL_PART_SIZE_M[shape][0], top=top, sides=sides, number=number)


TASK = Task("shuffled", "Look at things that are shuffled.", ("dots", "pins and caps", "parcels", "shapes"), make)


def main() -> None:
    runs = [qa.run(task="shuffled:TASK", level=level, policy="oracle", film=False) for level in (1, 2, 3, 4)]
    rows = [np.hstack([turn.observation.frames[0].rgb for turn in run.turns[:6]]) for run in runs]
    Image.fromarray(np.vstack(rows)).save("shuffled.png")


if __name__ == "__main__":
    main()
