"""Things that are shuffled at every look: many pictures of marks, colours and shapes for little work, to train eyes.

python examples/shuffled.py                                          # writes some of the pictures to shuffled.png
cd examples && qwenarm collect --task shuffled:TASK --level 1,2,3,4 --episodes 700 --out ../runs/shuffled
qwenarm train sft --data runs/shuffled --steps 300 --eye-steps 300 --out runs/eye
"""

from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from PIL import Image

import qwenarm as qa
from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.registry import load
from qwenarm.tasks import SceneBuilder, Setup, Task
from qwenarm.types import SkillCall

LOOKING_S = 6.0
FAMILIES = (("inspect", 1), ("inspect", 3), ("parcels", 2), ("sort", 3))
"""The family that a scene is from, and its level there, by level of this task."""
MAX_SHIFT_M, MAX_TURN_RAD = 0.01, 0.15


@dataclass
class Shuffle:
    """An event that puts the objects of each shape in each other's places in every control period."""

    rng: np.random.Generator
    poses: dict[str, np.ndarray] = field(default_factory=dict)  # (7,) position in m and orientation at the start

    def step(self, body: Body) -> str | None:
        """Only turns and moves along the table, so nothing has to fall."""
        movable = sorted((placed.spec for placed in body.scene.objects), key=lambda spec: spec.shape)
        for spec in movable:
            self.poses.setdefault(spec.id, body.data.joint(spec.id).qpos.copy())
        for _, group in groupby(movable, key=lambda spec: spec.shape):
            names = [spec.id for spec in group]
            for name, place in zip(names, self.rng.permutation(names), strict=True):
                body.data.joint(name).qpos[:] = self._near(self.poses[str(place)])
                body.data.joint(name).qvel[:] = 0
        return None

    def _near(self, pose: np.ndarray) -> np.ndarray:
        x, y = pose[:2] + self.rng.uniform(-MAX_SHIFT_M, MAX_SHIFT_M, 2)
        half = np.arctan2(pose[6], pose[3]) + self.rng.uniform(-MAX_TURN_RAD, MAX_TURN_RAD) / 2
        return np.array([x, y, pose[2], np.cos(half), 0, 0, np.sin(half)])


class Looked:
    """It was looked long enough."""

    def success(self, state: WorldState) -> bool:
        return self.progress(state) >= 1

    def progress(self, state: WorldState) -> float:
        return min(1.0, state.time_s / LOOKING_S)

    def solve(self, state: WorldState) -> list[SkillCall]:
        return [SkillCall("done")] if self.success(state) else [SkillCall("look")]


def make(builder: SceneBuilder, level: int) -> Setup:
    """A scene of another family, in which nothing is wanted but to look."""
    family, level_there = FAMILIES[level - 1]
    setup = load("tasks", family).make(builder, level_there)
    shuffle = Shuffle(np.random.default_rng(builder.rng.integers(2**32)))
    words = "look until you have seen enough"
    return replace(setup, goal=Looked(), instruction=words, max_turns=100, events=(shuffle,), translations={})


TASK = Task("shuffled", "Look at things that are shuffled.", ("parts", "more parts", "parcels", "things to sort"), make)


def main() -> None:
    """Saves the first six pictures of each level."""
    runs = [qa.run(task="shuffled:TASK", level=level, policy="oracle", film=False) for level in (1, 2, 3, 4)]
    rows = [np.hstack([turn.observation.frames[0].rgb for turn in run.turns[:6]]) for run in runs]
    Image.fromarray(np.vstack(rows)).save("shuffled.png")


if __name__ == "__main__":
    main()
