"""Bring the right thing to the right place, past a wall that rises on the way, while minds are changed.

The wall comes out of the table when the first thing is lifted; a delivery in which the arm, or what it carries, touches
it is none. From level 2 on the wish changes when the thing named first is lifted: another thing, or another place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import BARRIER_SIZE, GRASPABLE, ObjectSpec, make_spec
from qwenarm.body.scene import Area, Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.errors import BadInput
from qwenarm.tasks.core.events import Barrier, Phrase, Voice, lifted
from qwenarm.tasks.core.goal import Arrange, Relation, Setup
from qwenarm.tasks.core.task import Cast, Task
from qwenarm.tasks.language.es_zh import polite, put_clauses
from qwenarm.tasks.language.phrases import draw_from, prepositions
from qwenarm.types import SkillCall

PLACES = ("bowl", "box")
"""A tray is too wide: two of them do not fit beside the wall."""
SIDE_NEAR: Area = ((0.38, 0.68), (0.09, 0.25))
SIDE_FAR: Area = ((0.38, 0.68), (-0.25, -0.09))
"""Left and right of the wall, m."""
WALL_GAP = 0.03
"""Free space between the wall and what stands beside it, m."""
YAWS = (0.0, np.pi / 4, -np.pi / 4, np.pi / 2)
"""In which a wall may stand, rad; 0 is away from the robot."""
MAX_TURNS = (8, 14, 20)
"""By level."""

DELIVER = (
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
OTHER_THING = (
    "no, the other one: the {a} to the {b}",
    "sorry, not that one: deliver the {a} to the {b}",
    "wait, i meant the {a}; bring it to the {b}",
    "stop, put that down and take the {a} to the {b} instead",
    "no no, the {a}! it goes {into} the {b}",
    "change of plan: the {a} is the one for the {b}",
    "actually, the {b} needs the {a}, not this one",
    "hold on, that is the wrong one. the {a} to the {b}, please",
)
OTHER_PLACE = (
    "no, to the other one: the {a} goes {into} the {b}",
    "sorry, not there: bring the {a} to the {b}",
    "wait, i meant the {b}; take the {a} there",
    "change of plan: deliver the {a} to the {b} instead",
    "actually, the {b} needs the {a}",
    "hold on, wrong address. the {a} to the {b}, please",
    "no no, the {b}! put the {a} {into} it",
    "take the {a} to the {b} instead, please",
)


@dataclass
class Orders:
    """What is wanted, one after the other: each order but the last is overtaken when its thing is lifted."""

    relations: tuple[Relation, ...]
    at: int = 0

    def step(self, body: Body) -> str | None:
        if self.at + 1 < len(self.relations) and lifted(body.state()) == self.relations[self.at].what:
            self.at += 1
        return None


@dataclass(frozen=True)
class Delivery:
    """The last order carried out, and the wall untouched."""

    orders: Orders
    wall: Barrier

    def success(self, state: WorldState) -> bool:
        final = self.orders.at + 1 == len(self.orders.relations)
        return final and not self.wall.touched and self._now().success(state)

    def progress(self, state: WorldState) -> float:
        """An equal share for each order, on its way as for a put; halved by touching the wall."""
        if self.success(state):
            return 1.0
        done = (self.orders.at + 0.9 * self._now().progress(state)) / len(self.orders.relations)
        return done / 2 if self.wall.touched else done

    def solve(self, state: WorldState) -> list[SkillCall]:
        calls = self._now().solve(state)
        return [SkillCall("look"), *calls] if self.wall.moving else calls

    def _now(self) -> Arrange:
        return Arrange((self.orders.relations[self.orders.at],))


def make(cast: Cast, level: int) -> Setup:
    """One episode: things on one side of the wall, places on the other, and the orders."""
    things = [cast.draw(GRASPABLE), cast.draw(GRASPABLE)]
    places = _draw_places(cast)
    needed = len(cast.specs)
    left = bool(cast.rng.random() < 0.5)
    if level > 1:
        cast.look_alikes(things[0])
    if level > 2:
        cast.look_alikes(things[1])
        cast.add(1, GRASPABLE)
    here, there = (SIDE_NEAR, SIDE_FAR) if left else (SIDE_FAR, SIDE_NEAR)
    areas = {spec.id: there if spec.container else here for spec in cast.specs}
    areas |= {spec.id: there for spec in cast.specs[needed:] if cast.rng.random() < 0.3}
    scene = cast.scene(needed, areas)
    scene, wall = _with_wall(cast.rng, scene, things, places)
    stops = _stops(cast, level, things, places)
    orders = Orders(tuple(Relation(what.id, where.id) for what, where in stops))
    barrier = Barrier(wall)
    first, *later = [_phrase(cast.rng, stops, i) for i in range(len(stops))]
    return Setup(
        scene,
        Delivery(orders, barrier),
        first.text,
        MAX_TURNS[level - 1],
        happenings=(barrier, orders, *([Voice(orders, tuple(later))] if later else [])),
        translations=first.translations,
    )


def _draw_places(cast: Cast) -> list[ObjectSpec]:
    """Two, not both boxes if it can be helped: they are wide."""
    first = cast.draw(PLACES)
    bowls = [shape for _, shape in cast.free if shape == "bowl"]
    return [first, cast.draw(bowls if first.shape == "box" and bowls else PLACES)]


def _stops(
    cast: Cast, level: int, things: list[ObjectSpec], places: list[ObjectSpec]
) -> list[tuple[ObjectSpec, ObjectSpec]]:
    """What goes where, order by order: from level 2 on another thing or place, at level 3 first the one, then the
    other.
    """
    (a, b), (x, y) = things, places
    if level == 1:
        return [(a, x)]
    if level == 2:
        return [(a, x), (b, x)] if cast.rng.random() < 0.5 else [(a, x), (a, y)]
    return [(a, x), (b, x), (b, y)]


def _phrase(rng: np.random.Generator, stops: list[tuple[ObjectSpec, ObjectSpec]], i: int) -> Phrase:
    """The words of an order."""
    (what, where), before = stops[i], stops[i - 1]
    templates = DELIVER if i == 0 else OTHER_THING if what != before[0] else OTHER_PLACE
    text = draw_from(rng, templates).format(a=what.label, b=where.label, **prepositions(rng, where.shape))
    if i == 0:
        return Phrase(text, polite(put_clauses(what, where)))
    clauses = put_clauses(what, where)
    return Phrase(text, {"es": f"no, espera: {clauses['es']}", "zh": f"不对,等一下,{clauses['zh']}"})


def _with_wall(
    rng: np.random.Generator, scene: Scene, things: list[ObjectSpec], places: list[ObjectSpec]
) -> tuple[Scene, str]:
    """The scene with a wall under the table, where there is room for it between things and places. Raises BadInput."""
    taken = {placement.spec.color for placement in scene.objects}
    colors = [color for color in COLORS if color not in taken] or list(COLORS)
    wall = make_spec("barrier", draw_from(rng, colors))
    at = {p.spec.id: np.array(p.pos[:2]) for p in scene.objects}
    middle = np.mean([at[spec.id] for spec in (*things, *places)], axis=0)
    axes = np.meshgrid(np.arange(0.42, 0.65, 0.01), np.arange(-0.2, 0.21, 0.01), YAWS, indexing="ij")
    x, y, yaw = (axis.ravel() for axis in axes)
    free = np.all([_clear(x, y, yaw, placement) for placement in scene.objects], axis=0)
    if not free.any():
        raise BadInput("There is no room for the wall between these objects: allow fewer or smaller ones.")
    best = int(np.argmin(np.where(free, np.hypot(middle[0] - x, middle[1] - y), np.inf)))
    hidden = Placement(wall, (float(x[best]), float(y[best]), -wall.height / 2 - 0.005), float(yaw[best]))
    return replace(scene, objects=(*scene.objects, hidden)), wall.id


def _clear(x: np.ndarray, y: np.ndarray, yaw: np.ndarray, placement: Placement) -> np.ndarray:
    """Is there free space between a wall there and the thing? Of many places (N,) at once."""
    dx, dy = placement.pos[0] - x, placement.pos[1] - y
    along, across = dx * np.cos(yaw) + dy * np.sin(yaw), dy * np.cos(yaw) - dx * np.sin(yaw)
    outside = np.maximum(np.abs([along, across]) - np.array(BARRIER_SIZE[:2])[:, None] / 2, 0.0)
    return np.hypot(*outside) > placement.spec.radius + WALL_GAP


TASK = Task(
    "deliver",
    "Bring the right thing to the right place, past a wall that rises on the way, while minds are changed.",
    ("a wall rises", "and then it is the other thing, or the other place", "both change, among look-alikes"),
    make,
)
