"""Deliver an object past a wall that rises on the way, while the instruction changes.

The wall comes out of the table when the first object is lifted. The delivery fails if the arm, or what it carries,
touches the wall. From level 2 on, the instruction changes when the first object is lifted: another object is wanted, or
another place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import BARRIER_SIZE_M, GRASPABLE_SHAPES, ObjectSpec, make_spec
from qwenarm.body.scene import Area, Placement, Scene
from qwenarm.body.state import WorldState
from qwenarm.errors import BadInput
from qwenarm.tasks import (
    Arrange,
    InstructionUpdates,
    LiftCounter,
    Phrase,
    Relation,
    RisingWall,
    SceneBuilder,
    Setup,
    Task,
)
from qwenarm.tasks.language.es_zh import polite, put_clauses
from qwenarm.tasks.language.phrases import draw_from, prepositions
from qwenarm.types import SkillCall

TARGET_SHAPES = ("bowl", "box")
"""Two trays would not fit beside the wall."""
RIGHT_AREA: Area = ((0.38, 0.68), (0.09, 0.25))
LEFT_AREA: Area = ((0.38, 0.68), (-0.25, -0.09))
"""Areas for objects on either side of the wall, x and y in m; left and right as the front camera sees them."""
WALL_GAP_M = 0.03
"""Minimum distance between the wall and any object, in m."""
WALL_YAWS_RAD = (0.0, np.pi / 4, -np.pi / 4, np.pi / 2)
"""Directions of the wall; 0 points away from the robot."""
ACROSS_SHARE = 0.3
"""Share of the distractors that stand on the targets' side."""
MAX_TURNS = (8, 14, 20)
"""Maximum number of turns by level."""

DELIVER_TEMPLATES = (
    "deliver the {a} to the {b}",
    "bring the {a} to the {b}",
    "take the {a} over to the {b}",
    "carry the {a} across to the {b}",
    "the {a} is for the {b}",
    "please deliver the {a} {into} the {b}",
    "get the {a} over there, {into} the {b}",
    "i need the {a} {in} the {b}",
    "the {b} is waiting for the {a}",
    "could you take the {a} to the {b}?",
    "one delivery, please: the {a} to the {b}",
    "hand over the {a}: it goes {into} the {b}",
)
OTHER_THING_TEMPLATES = (
    "no, the other one: the {a} to the {b}",
    "sorry, not that one: deliver the {a} to the {b}",
    "wait, i meant the {a}; bring it to the {b}",
    "stop, put that down and take the {a} to the {b} instead",
    "no no, the {a}! it goes {into} the {b}",
    "change of plan: the {a} is the one for the {b}",
    "actually, the {b} needs the {a}, not this one",
    "hold on, that is the wrong one. the {a} to the {b}, please",
)
OTHER_PLACE_TEMPLATES = (
    "no, to the other one: the {a} goes {into} the {b}",
    "sorry, not there: bring the {a} to the {b}",
    "wait, i meant the {b}; take the {a} there",
    "change of plan: deliver the {a} to the {b} instead",
    "actually, the {b} needs the {a}",
    "hold on, wrong address. the {a} to the {b}, please",
    "no no, the {b}! put the {a} {into} it",
    "take the {a} to the {b} instead, please",
)


@dataclass(frozen=True)
class Delivery:
    """The last order is carried out, and the wall was not touched."""

    orders: tuple[Relation, ...]  # each replaces the one before it
    lifts: LiftCounter  # its stage is the index of the current order
    wall: RisingWall

    def success(self, state: WorldState) -> bool:
        is_last = self.lifts.stage + 1 == len(self.orders)
        return is_last and not self.wall.contact_periods and self._current().success(state)

    def progress(self, state: WorldState) -> float:
        """Counts every order equally, each like a put. Touching the wall halves the progress."""
        if self.success(state):
            return 1.0
        done = (self.lifts.stage + 0.9 * self._current().progress(state)) / len(self.orders)
        return done / 2 if self.wall.contact_periods else done

    def solve(self, state: WorldState) -> list[SkillCall]:
        calls = self._current().solve(state)
        return [SkillCall("look"), *calls] if self.wall.moving else calls

    def _current(self) -> Arrange:
        return Arrange((self.orders[self.lifts.stage],))


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode: objects on one side of the wall, places on the other, and the orders."""
    things = [builder.add(GRASPABLE_SHAPES), builder.add(GRASPABLE_SHAPES)]
    places = _add_places(builder)
    needed = len(builder.specs)
    from_right = bool(builder.rng.random() < 0.5)
    if level > 1:
        builder.add_look_alikes(things[0])
    if level > 2:
        builder.add_look_alikes(things[1])
        builder.add_up_to(1, GRASPABLE_SHAPES)
    here, there = (RIGHT_AREA, LEFT_AREA) if from_right else (LEFT_AREA, RIGHT_AREA)
    areas = {spec.id: there if spec.container else here for spec in builder.specs}
    areas |= {spec.id: there for spec in builder.specs[needed:] if builder.rng.random() < ACROSS_SHARE}
    scene, wall = _with_wall(builder.rng, builder.build(needed, areas), things, places)
    stops = _stops(builder.rng, level, things, places)
    orders = tuple(Relation(what.id, where.id) for what, where in stops)
    lifts, rising = LiftCounter(tuple(order.what for order in orders[:-1])), RisingWall(wall)
    first, *later = [_phrase(builder.rng, stops, i) for i in range(len(stops))]
    updates = (InstructionUpdates(lifts, tuple(later)),) if later else ()
    goal, events = Delivery(orders, lifts, rising), (rising, lifts, *updates)
    return Setup(scene, goal, first.text, MAX_TURNS[level - 1], events, first.translations)


def _add_places(builder: SceneBuilder) -> list[ObjectSpec]:
    """Adds two places. At most one is a box if possible, because boxes are wide."""
    first = builder.add(TARGET_SHAPES)
    bowls = [shape for _, shape in builder.available if shape == "bowl"]
    return [first, builder.add(bowls if first.shape == "box" and bowls else TARGET_SHAPES)]


def _stops(
    rng: np.random.Generator, level: int, things: list[ObjectSpec], places: list[ObjectSpec]
) -> list[tuple[ObjectSpec, ObjectSpec]]:
    """Returns (object, place) pairs, one per order. Level 2 changes the object or the place, level 3 the object, then
    the place.
    """
    (a, b), (x, y) = things, places
    if level == 1:
        return [(a, x)]
    if level == 2:
        return [(a, x), (b, x)] if rng.random() < 0.5 else [(a, x), (a, y)]
    return [(a, x), (b, x), (b, y)]


def _phrase(rng: np.random.Generator, stops: list[tuple[ObjectSpec, ObjectSpec]], i: int) -> Phrase:
    """Returns the words of order i."""
    (what, where), before = stops[i], stops[i - 1]
    templates = DELIVER_TEMPLATES if i == 0 else OTHER_THING_TEMPLATES if what != before[0] else OTHER_PLACE_TEMPLATES
    text = draw_from(rng, templates).format(a=what.label, b=where.label, **prepositions(rng, where.shape))
    clauses = put_clauses(what, where)
    if i == 0:
        return Phrase(text, polite(clauses))
    return Phrase(text, {"es": f"no, espera: {clauses['es']}", "zh": f"不对,等一下,{clauses['zh']}"})


def _with_wall(
    rng: np.random.Generator, scene: Scene, things: list[ObjectSpec], places: list[ObjectSpec]
) -> tuple[Scene, str]:
    """Adds a wall under the table, as close as possible to the middle between objects and places.

    Returns the new scene and the wall's id. Raises BadInput if there is no room.
    """
    taken = {placement.spec.color for placement in scene.objects}
    colors = [color for color in COLOR_RGB if color not in taken] or list(COLOR_RGB)
    wall = make_spec("barrier", draw_from(rng, colors))
    at = {p.spec.id: np.array(p.pos[:2]) for p in scene.objects}
    middle = np.mean([at[spec.id] for spec in (*things, *places)], axis=0)
    axes = np.meshgrid(np.arange(0.42, 0.65, 0.01), np.arange(-0.2, 0.21, 0.01), WALL_YAWS_RAD, indexing="ij")
    x, y, yaw = (axis.ravel() for axis in axes)
    free = np.all([_is_clear(x, y, yaw, placement) for placement in scene.objects], axis=0)
    if not free.any():
        raise BadInput("There is no room for the wall between these objects: allow fewer or smaller ones.")
    best = int(np.argmin(np.where(free, np.hypot(middle[0] - x, middle[1] - y), np.inf)))
    hidden = Placement(wall, (float(x[best]), float(y[best]), -wall.height / 2 - 0.005), float(yaw[best]))
    return replace(scene, objects=(*scene.objects, hidden)), wall.id


def _is_clear(x: np.ndarray, y: np.ndarray, yaw: np.ndarray, placement: Placement) -> np.ndarray:
    """Returns a mask (n,) of the walls, given by their poses (n,), that keep clear of an object."""
    dx, dy = placement.pos[0] - x, placement.pos[1] - y
    along, across = dx * np.cos(yaw) + dy * np.sin(yaw), dy * np.cos(yaw) - dx * np.sin(yaw)
    outside = np.maximum(np.abs([along, across]) - np.array(BARRIER_SIZE_M[:2])[:, None] / 2, 0.0)
    return np.hypot(*outside) > placement.spec.radius + WALL_GAP_M


TASK = Task(
    "deliver",
    "Bring the right object to the right place, past a wall that rises on the way, while the instruction changes.",
    ("a wall rises", "then another object or another place is wanted", "both change, among look-alikes"),
    make,
)
