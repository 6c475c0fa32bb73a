"""Match a picture: the instruction only says that the table should look like it, and the picture shows what has to
move.

The policy sees the goal as an extra frame named "goal" from the same camera. In it, moved objects are at a free place
on the table, in a container or on a block; all others are where they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES, ObjectSpec
from qwenarm.body.scene import Placement, Scene, are_apart, place_objects
from qwenarm.body.state import WorldState
from qwenarm.errors import BadInput
from qwenarm.tasks import STACKABLE_SHAPES, Move, MoveGoal, SceneBuilder, Setup, Task, WorldPoint
from qwenarm.tasks.core.planning import OCCLUDING_HEIGHT_M
from qwenarm.tasks.language.phrases import draw_from

MOVED_OBJECTS = (1, 2, 3)
"""Number of objects that are elsewhere in the picture, by level."""
OTHER_OBJECTS = (0, 1, 2)
"""Number of graspable objects that stay, besides one block, by level."""
TOLERANCE_M = 0.04
"""Maximum distance of an object from its place in the picture, in m: about its own width."""
MIN_SHIFT_M = 0.10
"""Minimum distance, in m, by which an object moves across the table."""
PLACEMENT_TRIES = 200

GREETING_PHRASES = ("", "", "please ", "could you ", "now ", "your task: ", "robot, ", "here is a picture: ")
INSTRUCTION_TEMPLATES = (
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
SPANISH_TEMPLATES = ("haz que la mesa se vea como en la imagen goal", "coloca las cosas como en la imagen goal")
CHINESE_TEMPLATES = ("请把桌面摆成目标图片(goal)里的样子", "请按照目标图片(goal)摆放所有物体")


@dataclass(frozen=True)
class Destination:
    """The target of an object: (x, y) on the table, in m, or in or on the object ``where``."""

    what: str
    x: float
    y: float
    where: str | None = None

    def holds(self, state: WorldState) -> bool:
        """Returns whether the object is there."""
        if self.where is not None:
            return state.on(self.what, self.where)
        distance = float(np.hypot(*(state[self.what].pos[:2] - (self.x, self.y))))
        return distance < TOLERANCE_M and (state[self.what].spec.container or state.on_table(self.what))


@dataclass(frozen=True)
class MatchPicture(MoveGoal):
    """Every object is where the picture shows it: within 4 cm, or in the same container."""

    moves: tuple[Destination, ...]  # of the objects that are elsewhere in the picture
    stays: tuple[Destination, ...]  # of all others

    def remaining(self, state: WorldState) -> list[Move]:
        unmet = [each for each in (*self.moves, *self.stays) if not each.holds(state)]
        return [(each.what, each.where or WorldPoint(each.x, each.y)) for each in unmet]

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        """Counts the moves that are made. Every object that was moved unnecessarily takes one off."""
        unmet = {what for what, _ in remaining}
        waiting = unmet & {each.what for each in self.moves}
        disturbed = unmet - waiting - {state.holding}
        begun = 0.5 if state.holding in waiting else 0.0
        return len(self.moves) - len(waiting) + begun - len(disturbed), len(self.moves)


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode: a scene, and a picture of it with some objects elsewhere."""
    builder.add(CONTAINER_SHAPES)
    builder.add(STACKABLE_SHAPES)
    movers = [builder.add(STACKABLE_SHAPES) for _ in range(MOVED_OBJECTS[level - 1])]
    needed = len(builder.specs)
    builder.add_up_to(OTHER_OBJECTS[level - 1], GRASPABLE_SHAPES)
    builder.add_up_to(int(level > 2), CONTAINER_SHAPES)
    scene = builder.build(needed)
    goal_scene, moves = scene, list[Destination]()
    bases = [
        p.spec.id
        for p in scene.objects
        if p.spec not in movers and p.spec.shape in (*CONTAINER_SHAPES, *STACKABLE_SHAPES)
    ]
    for mover in movers:
        taken = [move.where for move in moves]
        free = [base for base in bases if base not in taken]
        placement, where = _new_place(builder.rng, scene, goal_scene, mover, free)
        goal_scene = replace(goal_scene, objects=_replaced(goal_scene, placement))
        moves.append(Destination(mover.id, *placement.pos[:2], where))
    stays = tuple(Destination(p.spec.id, *p.pos[:2]) for p in scene.objects if p.spec not in movers)
    words = draw_from(builder.rng, GREETING_PHRASES) + draw_from(builder.rng, INSTRUCTION_TEMPLATES)
    translations = {"es": draw_from(builder.rng, SPANISH_TEMPLATES), "zh": draw_from(builder.rng, CHINESE_TEMPLATES)}
    turns, goal = 4 + 4 * len(moves), MatchPicture(tuple(moves), stays)
    return Setup(scene, goal, words, turns, translations=translations, goal_scene=goal_scene)


def _new_place(
    rng: np.random.Generator, start: Scene, so_far: Scene, what: ObjectSpec, bases: list[str]
) -> tuple[Placement, str | None]:
    """Draws a new place for an object: in or on one of ``bases``, or (None) on the table, all equally likely.

    The moves chosen so far lead from ``start`` to ``so_far``. Raises BadInput if there is no room anywhere.
    """
    for where in rng.permutation(["", *bases]):
        placement = _inside(start, what, where) if where else _elsewhere(rng, start, so_far, what)
        if placement and not any(_hides(by, each) for each, by in permutations(_replaced(so_far, placement), 2)):
            return placement, str(where) or None
    raise BadInput("There is no free place on the table to move an object to: allow fewer or smaller ones.")


def _inside(start: Scene, what: ObjectSpec, where: str) -> Placement:
    """Returns the placement in the middle of a container or on a block, with the same yaw."""
    base = next(p for p in start.objects if p.spec.id == where)
    return Placement(what, (*base.pos[:2], base.spec.support_height + what.origin_height), base.yaw)


def _elsewhere(rng: np.random.Generator, start: Scene, so_far: Scene, what: ObjectSpec) -> Placement | None:
    """Returns a placement far from the old one that is free whatever is moved first, or None if none is found."""
    taken = {p for p in (*start.objects, *so_far.objects) if p.spec != what}
    here = next(p for p in start.objects if p.spec == what)
    for _ in range(PLACEMENT_TRIES):
        (place,) = place_objects(rng, [what], reach=start.reach)
        distance = float(np.hypot(place.pos[0] - here.pos[0], place.pos[1] - here.pos[1]))
        if distance > MIN_SHIFT_M and all(are_apart(place, p) for p in taken):
            return place
    return None


def _hides(by: Placement, thing: Placement) -> bool:
    """Returns whether an object hides most of another one from the front camera (at +x)."""
    top = by.pos[2] - by.spec.origin_height + by.spec.height
    dx, dy = by.pos[0] - thing.pos[0], abs(by.pos[1] - thing.pos[1])
    return top > OCCLUDING_HEIGHT_M and 0.01 < dx < top + by.spec.radius and dy < by.spec.radius + thing.spec.radius


def _replaced(scene: Scene, placement: Placement) -> tuple[Placement, ...]:
    """Returns the scene's objects with one of them at its new place."""
    return tuple(placement if p.spec == placement.spec else p for p in scene.objects)


TASK = Task(
    "rearrange",
    "Match a picture: move objects until the table looks as it shows.",
    ("one object is elsewhere", "two, among more that stay", "three, among more that stay"),
    make,
)
