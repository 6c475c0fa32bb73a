"""Scenes, words and levels of recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import GRASPABLE, ObjectSpec, make_spec
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.state import WorldState
from qwenarm.tasks.core.events import Voice
from qwenarm.tasks.core.goal import Arrange, Move, Relation, Setup, free_spot, symbolic_calls
from qwenarm.tasks.core.task import Cast, Task
from qwenarm.tasks.language.phrases import draw_from
from qwenarm.tasks.language.read_answer import last_said, named, numbers
from qwenarm.tasks.recall.covers import Covering, Trip
from qwenarm.tasks.recall.words import bring_phrase, count_phrase, watch_phrase, what_phrase
from qwenarm.types import SkillCall

COVERS = (2, 3, 4)
"""By level."""
SWAPPED = (0, 2, 1)
"""So many of them travel on with what they hide, by level."""
KINDS = (("bring",), ("bring", "what"), ("bring", "what", "count", "count"))
"""Of requests, by level, each as likely."""
SMALL = 0.040
"""A thing of this size, m, has room under a cover."""
REST = 10
"""Control periods between the last cover that settles and the first that travels on: time for a look at all of them."""
MAX_TURNS = (12, 16, 18)


@dataclass(frozen=True)
class Bring:
    """The covered thing is in its place, and no cover but its own was touched."""

    covering: Covering
    cover: str
    put: Arrange

    def success(self, state: WorldState) -> bool:
        return self._fair() and bool(self.covering.at) and self.put.success(state)

    def progress(self, state: WorldState) -> float:
        """A third for the right cover, the rest for the thing; halved by touching another cover."""
        if self.success(state):
            return 1.0
        done = (len(self.covering.opened & {self.cover}) + 1.8 * self.put.progress(state) * self.covering.at) / 3
        return done if self._fair() else done / 2

    def solve(self, state: WorldState) -> list[SkillCall]:
        hidden = not self.covering.at or self.covering.over(state, self.cover) or state.holding == self.cover
        uncover: list[Move] = [(self.cover, free_spot(state))] if hidden else []
        (put,) = self.put.relations
        calls = symbolic_calls(state, [] if self.success(state) else [*uncover, (put.what, put.where)])
        return calls if self.covering.at else [SkillCall("look"), *calls]

    def _fair(self) -> bool:
        return not self.covering.spoiled and self.covering.opened <= {self.cover}


@dataclass(frozen=True)
class Tell:
    """The right answer is the last thing that was said, and no cover was touched. right: "red cube" or a number."""

    covering: Covering
    cover: ObjectSpec | None
    right: ObjectSpec | int

    def success(self, state: WorldState) -> bool:
        untouched = not self.covering.spoiled and not self.covering.opened and state.holding is None
        return bool(self.covering.at) and untouched and self.fits(last_said(state.said[self.covering.heard :]))

    def progress(self, state: WorldState) -> float:
        """1 for the right answer, else 0."""
        return float(self.success(state))

    def solve(self, state: WorldState) -> list[SkillCall]:
        if not self.covering.at:
            return [SkillCall("look"), SkillCall("done")]
        answer = str(self.right) if isinstance(self.right, int) else f"a {self.right.label}"
        return [*([] if self.success(state) else [SkillCall("say", {"text": answer})]), SkillCall("done")]

    def fits(self, text: str) -> bool:
        """Is it the answer? The cover asked about may be named too."""
        if isinstance(self.right, int):
            return numbers(text) == {self.right}
        colors, shapes = named(text)
        others = {self.cover.color} if self.cover else set()
        return self.right.color in colors <= {self.right.color, *others} and shapes - {"cover"} == {self.right.shape}


def make(cast: Cast, level: int) -> Setup:
    """One episode: things, a cover for each, a place, and from level 2 on things that are never covered."""
    shape, count = _draw_things(cast, COVERS[level - 1])
    things = list(cast.specs)
    covers = _draw_covers(cast, len(things))
    cast.specs = [*covers, *(replace(cover, number=1) for cover in covers)]  # things have the room of their covers
    place = cast.draw(("bowl",) if level > 2 else ("bowl", "box"))
    needed = len(cast.specs)
    cast.add(level - 1, GRASPABLE)
    scene = _revealed(cast.scene(needed), dict(zip(cast.specs[len(covers) :], things, strict=False)))
    hides = tuple((cover.id, thing.id) for cover, thing in zip(covers, things, strict=True))
    covering = Covering(_trips(cast, scene, hides, SWAPPED[level - 1]), hides)
    i = int(cast.rng.integers(len(things)))
    watch, kind = watch_phrase(cast.rng, covers), draw_from(cast.rng, KINDS[level - 1])
    if kind == "bring":
        put = Arrange((Relation(things[i].id, place.id),))
        goal, request = Bring(covering, covers[i].id, put), bring_phrase(cast.rng, things[i], place)
    elif kind == "what":
        goal, request = Tell(covering, covers[i], things[i]), what_phrase(cast.rng, covers[i])
    else:
        goal, request = Tell(covering, None, count), count_phrase(cast.rng, shape)
    happenings = (covering, Voice(covering, (request,)))
    return Setup(scene, goal, watch.text, MAX_TURNS[level - 1], happenings, watch.translations)


def _draw_things(cast: Cast, total: int) -> tuple[str, int]:
    """So many small things, and of how many of them a shape is: every number is as likely, as far as there are such."""
    shape = draw_from(cast.rng, GRASPABLE)
    others = [other for other in GRASPABLE if other != shape]
    left = [each for _, each in cast.free if each in GRASPABLE]
    fewest, most = max(0, total - sum(map(left.count, others))), min(total, left.count(shape))
    count = int(cast.rng.integers(fewest, most + 1))
    for i in cast.rng.permutation(total):
        cast.draw([shape] if i < count else others)
        cast.specs[-1] = replace(cast.specs[-1], size=SMALL)
    return shape, count


def _draw_covers(cast: Cast, count: int) -> list[ObjectSpec]:
    """In different colours, of which no thing has any as far as that can be."""
    taken = {spec.color for spec in cast.specs}
    colors = [str(color) for color in cast.rng.permutation(list(COLORS))]
    chosen = sorted(colors, key=lambda color: color in taken)[:count]
    return [make_spec("cover", color) for color in chosen]


def _revealed(scene: Scene, things: Mapping[ObjectSpec, ObjectSpec]) -> Scene:
    """The scene with things in place of others."""
    objects = [
        Placement(thing, (*p.pos[:2], thing.origin_height), p.yaw) if (thing := things.get(p.spec)) else p
        for p in scene.objects
    ]
    return replace(scene, objects=tuple(objects))


def _trips(cast: Cast, scene: Scene, hides: tuple[tuple[str, str], ...], swapped: int) -> tuple[Trip, ...]:
    """Every cover to its thing, in random order; then some to where another stood, at first or until then."""
    at = {p.spec.id: p for p in scene.objects}
    order = [hides[i] for i in cast.rng.permutation(len(hides))]
    trips = [Trip(cover, *at[thing].pos[:2], at[thing].yaw) for cover, thing in order]
    moving = [order[i] for i in cast.rng.permutation(len(order))[:swapped]]
    free = at[order[0][0]].pos
    for i, (cover, thing) in enumerate(moving):
        trips.append(Trip(cover, *free[:2], at[thing].yaw, load=thing, wait=0 if i else REST))
        free = at[thing].pos
    return tuple(trips)


TASK = Task(
    "recall",
    "Remember what is out of sight: what is under which cover, and how many of a kind.",
    ("one of two things that are covered", "three covers, two of which change places", "four covers; also counting"),
    make,
)
