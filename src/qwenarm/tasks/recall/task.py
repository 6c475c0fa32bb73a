"""Scenes and levels of recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import GRASPABLE_SHAPES, ObjectSpec, make_spec
from qwenarm.body.scene import Placement, Scene
from qwenarm.tasks import Arrange, InstructionUpdates, Relation, SceneBuilder, Setup, Task
from qwenarm.tasks.language.phrases import draw_from
from qwenarm.tasks.recall.events import CoverMotion, CoverTrip
from qwenarm.tasks.recall.goal import AnswerAboutCovers, BringCovered
from qwenarm.tasks.recall.words import bring_phrase, count_phrase, watch_phrase, what_phrase

COVER_COUNT = (2, 3, 4)
"""Number of covers, by level."""
EXCHANGED_COUNT = (0, 2, 1)
"""Number of covers that travel on with their contents, by level."""
REQUEST_KINDS = (("bring",), ("bring", "what"), ("bring", "what", "count", "count"))
"""Kinds of requests, by level, all equally likely."""
COVERED_SIZE_M = 0.040
"""Size of objects that fit under a cover, in m."""
PAUSE_PERIODS = 10
"""Control periods between the last cover that settles and the first that travels on: time to look at them all."""
MAX_TURNS = (12, 16, 18)


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode: objects, a cover for each, a place, and from level 2 on objects that are never covered."""
    shape, count = _add_things(builder, COVER_COUNT[level - 1])
    things = list(builder.specs)
    covers = _make_covers(builder, len(things))
    # Every object is placed as if it were a second cover, so that its cover has room around it.
    builder.specs = [*covers, *(replace(cover, number=1) for cover in covers)]
    place = builder.add(("bowl",) if level > 2 else ("bowl", "box"))
    needed = len(builder.specs)
    builder.add_up_to(level - 1, GRASPABLE_SHAPES)
    scene = _exchanged(builder.build(needed), dict(zip(builder.specs[len(covers) :], things, strict=False)))
    hides = tuple((cover.id, thing.id) for cover, thing in zip(covers, things, strict=True))
    motion = CoverMotion(_trips(builder, scene, hides, EXCHANGED_COUNT[level - 1]), hides)
    i = int(builder.rng.integers(len(things)))
    watch, kind = watch_phrase(builder.rng, covers), draw_from(builder.rng, REQUEST_KINDS[level - 1])
    if kind == "bring":
        put = Arrange((Relation(things[i].id, place.id),))
        goal, request = BringCovered(motion, covers[i].id, put), bring_phrase(builder.rng, things[i], place)
    elif kind == "what":
        goal, request = AnswerAboutCovers(motion, covers[i], things[i]), what_phrase(builder.rng, covers[i])
    else:
        goal, request = AnswerAboutCovers(motion, None, count), count_phrase(builder.rng, shape)
    events = (motion, InstructionUpdates(motion, (request,)))
    return Setup(scene, goal, watch.text, MAX_TURNS[level - 1], events, watch.translations)


def _add_things(builder: SceneBuilder, total: int) -> tuple[str, int]:
    """Adds ``total`` small objects. Returns a shape and how many have it, all possible numbers equally likely."""
    shape = draw_from(builder.rng, GRASPABLE_SHAPES)
    others = [other for other in GRASPABLE_SHAPES if other != shape]
    left = [each for _, each in builder.available if each in GRASPABLE_SHAPES]
    fewest, most = max(0, total - sum(map(left.count, others))), min(total, left.count(shape))
    count = int(builder.rng.integers(fewest, most + 1))
    for i in builder.rng.permutation(total):
        builder.add([shape] if i < count else others)
        builder.specs[-1] = replace(builder.specs[-1], size=COVERED_SIZE_M)
    return shape, count


def _make_covers(builder: SceneBuilder, count: int) -> list[ObjectSpec]:
    """Returns covers in different colours, if possible none that an object has."""
    taken = {spec.color for spec in builder.specs}
    colors = [str(color) for color in builder.rng.permutation(list(COLOR_RGB))]
    chosen = sorted(colors, key=lambda color: color in taken)[:count]
    return [make_spec("cover", color) for color in chosen]


def _exchanged(scene: Scene, things: Mapping[ObjectSpec, ObjectSpec]) -> Scene:
    """Returns the scene with some objects replaced by others."""
    objects = [
        Placement(thing, (*p.pos[:2], thing.origin_height), p.yaw) if (thing := things.get(p.spec)) else p
        for p in scene.objects
    ]
    return replace(scene, objects=tuple(objects))


def _trips(
    builder: SceneBuilder, scene: Scene, hides: tuple[tuple[str, str], ...], exchanged: int
) -> tuple[CoverTrip, ...]:
    """Sends every cover to its object, in random order; then some on to where another cover stood."""
    at = {p.spec.id: p for p in scene.objects}
    order = [hides[i] for i in builder.rng.permutation(len(hides))]
    trips = [CoverTrip(cover, *at[thing].pos[:2], at[thing].yaw) for cover, thing in order]
    moving = [order[i] for i in builder.rng.permutation(len(order))[:exchanged]]
    free = at[order[0][0]].pos
    for i, (cover, thing) in enumerate(moving):
        trips.append(CoverTrip(cover, *free[:2], at[thing].yaw, thing, 0 if i else PAUSE_PERIODS))
        free = at[thing].pos
    return tuple(trips)


TASK = Task(
    "recall",
    "Remember what is out of sight: what is under which cover, and how many of a shape.",
    ("one of two covered objects", "three covers, two of which change places", "four covers; also counting"),
    make,
)
