"""Things that are shuffled at every look: many pictures of marks, colours and shapes for little work, to train eyes.

python examples/shuffled.py                                          # writes some of the pictures to shuffled.png
cd examples && qwenarm collect --task shuffled:TASK --level 1,2,3,4 --episodes 700 --out ../runs/shuffled
qwenarm train sft --data runs/shuffled --steps 300 --eye-steps 300 --out runs/eye
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

import qwenarm as qa
from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES, PARCEL_PART_SIZE_M, ObjectSpec
from qwenarm.body.scene import WORKSPACE_X, WORKSPACE_Y, Placement
from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.tasks import SceneBuilder, Setup, Task
from qwenarm.types import SkillCall

LOOKING_S = 6.0
THINGS, CONTAINERS = 10, 2
TOPS = (
    ("dots:2", "dots:3", "dots:4"),
    ("pins:3", "pins:4", "cap:straight", "cap:tilted", *(f"dot:{color}" for color in COLOR_RGB)),
    ("A", "B", "C", "1", "9", "glass", ""),
)
"""Marks on the tops of parts (levels 1 and 2) and of parcels (level 3)."""
SIDES = ("", "", "stripe", "crack")
SEAT_PITCH_M, MAX_SHIFT_M, MAX_TURN_RAD = 0.085, 0.012, np.pi / 4
"""Distance between the places for things, and how far from one, and from square, a thing may be."""
CONTAINER_RADIUS_M = 0.14
"""No place is nearer to the middle of a container, but one is in it."""


@dataclass
class Shuffle:
    """An event that puts all things elsewhere in every control period: anywhere on the table, or into a container."""

    rng: np.random.Generator
    things: Sequence[ObjectSpec]
    seats: np.ndarray  # (seats, 3) m: places for the undersides of things

    def step(self, body: Body) -> str | None:
        """Only puts them where nothing else is, so that nothing has to fall."""
        for spec, seat in zip(self.things, self.rng.permutation(self.seats), strict=False):
            x, y = seat[:2] + self.rng.uniform(-MAX_SHIFT_M, MAX_SHIFT_M, 2)
            half = self.rng.uniform(-MAX_TURN_RAD, MAX_TURN_RAD) / 2
            joint = body.data.joint(spec.id)
            joint.qpos[:] = [x, y, seat[2] + spec.origin_height, np.cos(half), 0, 0, np.sin(half)]
            joint.qvel[:] = 0
        return None


class Looked:
    """It was looked long enough."""

    def success(self, state: WorldState) -> bool:
        return self.progress(state) >= 1

    def progress(self, state: WorldState) -> float:
        return min(1.0, state.time_s / LOOKING_S)

    def solve(self, state: WorldState) -> list[SkillCall]:
        return [SkillCall("done")] if self.success(state) else [SkillCall("look")]


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds a scene in which nothing is wanted but to look."""
    rng = builder.rng
    for _ in range(CONTAINERS):
        builder.add(CONTAINER_SHAPES)
        if rng.random() < 0.5:
            builder.specs[-1] = replace(builder.specs[-1], top=str(rng.choice(list("ABC"))))
    scene = builder.build(needed=CONTAINERS)
    seats = _seats(rng, scene.objects)
    things = [_thing(builder, level, number + 1) for number in range(min(THINGS, len(seats)))]
    placed = [
        Placement(spec, (x, y, z + spec.origin_height)) for spec, (x, y, z) in zip(things, seats.tolist(), strict=False)
    ]
    shuffle = Shuffle(np.random.default_rng(rng.integers(2**32)), things, seats)
    scene = replace(scene, objects=(*scene.objects, *placed))
    return Setup(scene, Looked(), "look until you have seen enough", max_turns=100, events=(shuffle,))


def _seats(rng: np.random.Generator, containers: Sequence[Placement]) -> np.ndarray:
    """Returns (seats, 3) m: in each container, and on a random grid around them."""
    ends = (WORKSPACE_X, WORKSPACE_Y)
    lines = [np.arange(low + rng.uniform(0, SEAT_PITCH_M), high, SEAT_PITCH_M) for low, high in ends]
    grid = np.stack(np.meshgrid(*lines), -1)
    middles = np.array([container.pos for container in containers])
    free = [(*xy, 0.0) for xy in grid.reshape(-1, 2) if min(np.hypot(*(middles[:, :2] - xy).T)) > CONTAINER_RADIUS_M]
    inside = [(*each.pos[:2], each.pos[2] + each.spec.support_height) for each in containers]
    return np.array([*inside, *free])


def _thing(builder: SceneBuilder, level: int, number: int) -> ObjectSpec:
    """Returns a part (levels 1 and 2), a parcel (3), or a cube, cylinder or ball (4)."""
    if level == 4:
        return builder.add(GRASPABLE_SHAPES)
    shape, rng = "part" if level < 3 else "parcel", builder.rng
    color, top, sides = (str(rng.choice(values)) for values in (list(COLOR_RGB), TOPS[level - 1], SIDES))
    return ObjectSpec(shape, color, PARCEL_PART_SIZE_M[shape][0], top=top, sides=sides, number=number)


TASK = Task("shuffled", "Look at things that are shuffled.", ("dots", "pins and caps", "parcels", "shapes"), make)


def main() -> None:
    """Saves the first six pictures of each level."""
    runs = [qa.run(task="shuffled:TASK", level=level, policy="oracle", film=False) for level in (1, 2, 3, 4)]
    rows = [np.hstack([turn.observation.frames[0].rgb for turn in run.turns[:6]]) for run in runs]
    Image.fromarray(np.vstack(rows)).save("shuffled.png")


if __name__ == "__main__":
    main()
