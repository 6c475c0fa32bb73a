"""Match a picture: the instruction only says that the table shall look like it; what is to be moved, the picture shows.

The policy is shown the goal, taken by the same camera, as an extra frame named "goal". Everything that moves in the
picture goes to a free place on the table, into a container or onto a block; all the rest stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from qwenarm.body.objects.spec import CONTAINERS, GRASPABLE, WALL, ObjectSpec
from qwenarm.body.scene import Placement, Scene, apart, place_objects
from qwenarm.body.state import WorldState
from qwenarm.errors import BadInput
from qwenarm.tasks.core.goal import TALL, Move, Setup, Spot, symbolic_calls
from qwenarm.tasks.core.task import BLOCKS, Cast, Task
from qwenarm.tasks.language.phrases import draw_from
from qwenarm.types import SkillCall

MOVED = (1, 2, 3)
"""So many things are elsewhere in the picture, by level."""
SCENERY = (0, 1, 2)
"""Graspable things that stay, beside one block, by level."""
TOLERANCE = 0.04
"""So near to where the picture shows it, m, is there: about the width of a thing."""
FAR = 0.10
"""What moves, moves at least so far, m."""
TRIES = 200

GREETINGS = ("", "", "please ", "could you ", "now ", "your task: ", "robot, ", "here is a picture: ")
WORDINGS = (
    "make the table look like the goal picture",
    "arrange the things as in the goal picture",
    "rearrange the objects so that they match the goal picture",
    "put everything where the goal picture shows it",
    "bring the table into the state of the second picture",
    "move things until the camera sees what the goal picture shows",
    "reproduce the scene of the goal image",
    "change the table so that it is the same as in the goal image",
    "place the objects the way the goal picture has them",
    "set the table up like in the picture named goal",
)
SPANISH = ("haz que la mesa se vea como en la imagen goal", "coloca las cosas como en la imagen goal")
CHINESE = ("请把桌面摆成目标图片(goal)里的样子", "请按照目标图片(goal)摆放所有物体")


@dataclass(frozen=True)
class Target:
    """Where a thing shall be: at x, y on the table, m, or on (in) ``where``."""

    what: str
    x: float
    y: float
    where: str | None = None

    def holds(self, state: WorldState) -> bool:
        if self.where is not None:
            return state.on(self.what, self.where)
        away = float(np.hypot(*(state[self.what].pos[:2] - (self.x, self.y))))
        return away < TOLERANCE and (state[self.what].spec.container or state.on_table(self.what))


@dataclass(frozen=True)
class Match:
    """Everything is where the picture shows it, to within 4 cm or in the same container. moves, stays: targets of what
    is elsewhere in the picture, and of the rest.
    """

    moves: tuple[Target, ...]
    stays: tuple[Target, ...]

    def success(self, state: WorldState) -> bool:
        return state.holding is None and state.at_rest() and not self._open(state)

    def progress(self, state: WorldState) -> float:
        """The share of the moves that are made; what has been moved without need counts against it."""
        if self.success(state):
            return 1.0
        still_open = [target for target in self.moves if not target.holds(state)]
        begun = 0.5 if state.holding in [target.what for target in still_open] else 0.0
        astray = sum(not target.holds(state) for target in self.stays if target.what != state.holding)
        made = len(self.moves) - len(still_open) + begun - astray
        return max(0.0, made) / (len(self.moves) + 0.5)

    def solve(self, state: WorldState) -> list[SkillCall]:
        moves: list[Move] = [(t.what, t.where or Spot(t.x, t.y)) for t in self._open(state)]
        return symbolic_calls(state, moves)

    def _open(self, state: WorldState) -> list[Target]:
        return [target for target in (*self.moves, *self.stays) if not target.holds(state)]


def make(cast: Cast, level: int) -> Setup:
    """One episode: a scene, and then a picture of it in which some things are elsewhere."""
    cast.draw(CONTAINERS)
    cast.draw(BLOCKS)
    movers = [cast.draw(BLOCKS) for _ in range(MOVED[level - 1])]
    needed = len(cast.specs)
    cast.add(SCENERY[level - 1], GRASPABLE)
    cast.add(int(level > 2), CONTAINERS)
    scene = cast.scene(needed)
    goal_scene, moves = scene, list[Target]()
    homes = [p.spec.id for p in scene.objects if p.spec not in movers and p.spec.shape in (*CONTAINERS, *BLOCKS)]
    for mover in movers:
        taken = [move.where for move in moves]
        placement, where = _home(cast.rng, scene, goal_scene, mover, [h for h in homes if h not in taken])
        goal_scene = replace(goal_scene, objects=_replaced(goal_scene, placement))
        moves.append(Target(mover.id, *placement.pos[:2], where))
    stays = tuple(Target(p.spec.id, *p.pos[:2]) for p in scene.objects if p.spec not in movers)
    words = draw_from(cast.rng, GREETINGS) + draw_from(cast.rng, WORDINGS)
    translations = {"es": draw_from(cast.rng, SPANISH), "zh": draw_from(cast.rng, CHINESE)}
    turns = 4 + 4 * len(moves)
    return Setup(scene, Match(tuple(moves), stays), words, turns, translations=translations, goal_scene=goal_scene)


def _home(
    rng: np.random.Generator, start: Scene, so_far: Scene, what: ObjectSpec, homes: list[str]
) -> tuple[Placement, str | None]:
    """Where a thing shall be, and in or on which of the ``homes``, None for the bare table: each as likely, as far as
    there is room. Raises BadInput if there is none.
    """
    for where in rng.permutation(["", *homes]):
        placement = _inside(start, what, where) if where else _elsewhere(rng, start, so_far, what)
        if placement and not any(_hidden(each, by) for each, by in permutations(_replaced(so_far, placement), 2)):
            return placement, str(where) or None
    raise BadInput("There is no free place on the table to move a thing to: allow fewer or smaller ones.")


def _inside(start: Scene, what: ObjectSpec, where: str) -> Placement:
    """In the middle of a container, or on a block, turned as it is."""
    base = next(p for p in start.objects if p.spec.id == where)
    level = WALL if base.spec.container else base.spec.height
    return Placement(what, (*base.pos[:2], level + what.origin_height), base.yaw)


def _elsewhere(rng: np.random.Generator, start: Scene, so_far: Scene, what: ObjectSpec) -> Placement | None:
    """A free place, far from where it was, that stays free whatever is moved first."""
    taken = {p for p in (*start.objects, *so_far.objects) if p.spec != what}
    here = next(p for p in start.objects if p.spec == what)
    for _ in range(TRIES):
        (spot,) = place_objects(rng, [what])
        away = float(np.hypot(spot.pos[0] - here.pos[0], spot.pos[1] - here.pos[1]))
        if away > FAR and all(apart(spot, p) for p in taken):
            return spot
    return None


def _hidden(thing: Placement, by: Placement) -> bool:
    """Does something stand so high in front of a thing that the front camera (at +x) hardly sees it?"""
    top = by.pos[2] - by.spec.origin_height + by.spec.height
    behind, beside = by.pos[0] - thing.pos[0], abs(by.pos[1] - thing.pos[1])
    return top > TALL and 0.01 < behind < top + by.spec.radius and beside < by.spec.radius + thing.spec.radius


def _replaced(scene: Scene, placement: Placement) -> tuple[Placement, ...]:
    """The scene's objects with one in its new place."""
    return tuple(placement if p.spec == placement.spec else p for p in scene.objects)


TASK = Task(
    "rearrange",
    "Match a picture: move things until the table looks as it shows.",
    ("one thing is elsewhere", "two, among more that stay", "three, among more that stay"),
    make,
)
