"""Scenes and levels of parcels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import PARCEL_PART_SIZE_M, ObjectSpec
from qwenarm.body.scene import Placement, Scene
from qwenarm.tasks import CalledObject, SceneBuilder, Setup, Task
from qwenarm.tasks.language.phrases import draw_from
from qwenarm.tasks.parcels.conveyor import CONTAINER_AREA, PARCEL_BELT, Conveyor, row_on_belt
from qwenarm.tasks.parcels.goal import RouteParcels
from qwenarm.tasks.parcels.rule import (
    BASE_TRAITS,
    COLOR_TRAIT,
    EXCEPTION_VALUES,
    LABEL_TRAIT,
    SINGLE_RULE_TRAITS,
    WEIGHT_TRAIT,
    Clause,
    RoutingRule,
    Trait,
)
from qwenarm.tasks.parcels.words import LETTERED_PLACE_TEMPLATES, place_words, rule_phrase

MAX_PARCELS = (3, 4, 5, 5, 5)
"""Maximum number of parcels, by level."""
SMALL_PLACES = ("bowl", "box")
"""Small places. There is at most one tray, which is wide."""
LETTERS_SHARE = 0.4
"""Share of the episodes in which the places have letters and are called by them."""
OWN_COLOR_SHARE = 0.4
"""Share of the rules by colour whose places have the colours of the parcels."""
OTHER_MARK_SHARE = 0.3
"""Share of the parcels with a mark that the rule does not mention, from level 2 on."""
OTHER_MARKS = {"sides": ("stripe", "crack"), "top": ("A", "B", "C", "9", "glass")}
MAX_TURN_RAD = 0.3
"""Maximum rotation of parcels and lettered places, in rad, that keeps their letters legible."""
BELT_SPEEDS_M_S = {3: (0.006, 0.010, 0.014), 4: (0.018,), 5: (0.022,)}
"""Possible speeds of the belt, by level."""


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode: the places, the rule, a parcel for each of its clauses, and some more."""
    rng = builder.rng
    rule = _simple_rule(builder) if level == 1 else _rule_with_exception(builder)
    first = [_parcel(rng, rule, clause) for clause in rule.clauses]
    parcels = [replace(spec, number=i) for i, spec in enumerate(_with_others(rng, rule, first, level), 1)]
    on_belt = level in BELT_SPEEDS_M_S
    speed = float(rng.choice(BELT_SPEEDS_M_S[level]) * rng.choice([-1, 1])) if on_belt else 0.0
    scene = _on_belt(builder, parcels, speed) if on_belt else _on_table(builder, parcels, needed=2 * len(rule.clauses))
    specs = [placement.spec for placement in scene.objects if placement.spec.shape == "parcel"]
    place_template = draw_from(rng, LETTERED_PLACE_TEMPLATES)
    goal = RouteParcels(tuple((spec.id, _called(rule.place_of(spec), place_template)) for spec in specs), speed)
    words = rule_phrase(rng, rule, on_belt, place_template)
    events = (Conveyor(PARCEL_BELT, speed),) if on_belt else ()
    return Setup(scene, goal, words.text, 4 + 3 * len(specs), events, words.translations)


def _called(place: ObjectSpec, template: str) -> str:
    """Returns the place's id; one with a letter is called as the rule calls it, "bin A"."""
    return CalledObject(place.id, place_words(place, template)) if place.top else place.id


def _simple_rule(builder: SceneBuilder) -> RoutingRule:
    """Draws a rule with one trait and two places."""
    trait = SINGLE_RULE_TRAITS[int(builder.rng.integers(len(SINGLE_RULE_TRAITS)))]
    return _rule(builder, trait, _values(builder.rng, trait), None)


def _rule_with_exception(builder: SceneBuilder) -> RoutingRule:
    """Draws a rule with an exception, and another trait for the rest."""
    exception = EXCEPTION_VALUES[int(builder.rng.integers(len(EXCEPTION_VALUES)))]
    bases = [trait for trait in BASE_TRAITS if trait.slot != exception[1].slot]
    base = bases[int(builder.rng.integers(len(bases)))]
    return _rule(builder, base, _values(builder.rng, base), exception)


def _values(rng: np.random.Generator, trait: Trait) -> list[str]:
    """Draws two values of a trait; "", which means the rest, comes last."""
    values = [str(v) for v in rng.permutation(list(trait.values))[:2]]
    return sorted(values, key=lambda value: value == "")


def _rule(builder: SceneBuilder, base: Trait, values: list[str], exception: tuple[str, Trait] | None) -> RoutingRule:
    """Returns the rule, adding its places to the scene."""
    rng = builder.rng
    lettered = bool(rng.random() < LETTERS_SHARE)
    own_color = base is COLOR_TRAIT and not lettered and rng.random() < OWN_COLOR_SHARE
    places = [_add_place(builder) for _ in range(len(values) + (exception is not None))]
    if own_color:
        values = [place.color for place in places[-len(values) :]]
    if lettered:
        letters = [str(letter) for letter in rng.permutation(list("ABC")[: len(places)])]
        if base is LABEL_TRAIT:
            letters[-len(values) :] = values
            letters[: -len(values)] = [next(x for x in "ABC" if x not in values)] if exception else []
        places = [replace(place, top=letter) for place, letter in zip(places, letters, strict=True)]
        builder.specs[-len(places) :] = places
    clauses = [Clause(base, value, place) for value, place in zip(values, places[-len(values) :], strict=True)]
    if exception:
        clauses.insert(0, Clause(exception[1], exception[0], places[0]))
    return RoutingRule(tuple(clauses), exception is not None, own_color or (lettered and base is LABEL_TRAIT))


def _add_place(builder: SceneBuilder) -> ObjectSpec:
    """Adds a container in a colour of its own; a second tray only if nothing else is left."""
    colors = [color for color in COLOR_RGB if color not in {spec.color for spec in builder.specs}]
    shapes = [shape for color, shape in builder.available if color in colors]
    small = [shape for shape in SMALL_PLACES if shape in shapes]
    tray = not small or ("tray" in shapes and not any(spec.shape == "tray" for spec in builder.specs))
    return builder.add((*small, "tray") if tray else small, colors)


def _parcel(rng: np.random.Generator, rule: RoutingRule, clause: Clause) -> ObjectSpec:
    """Returns a parcel to which this clause applies."""
    color = str(rng.choice(list(COLOR_RGB)))
    spec = ObjectSpec("parcel", color, PARCEL_PART_SIZE_M["parcel"][0])
    base = rule.clauses[-1].trait
    if rule.has_exception:  # the exception may also have either value of the base trait
        spec = _marked(spec, base.slot, rule.clauses[1 + int(rng.integers(2))].value)
        if clause.trait is not WEIGHT_TRAIT and rule.clauses[0].trait is WEIGHT_TRAIT:
            spec = replace(spec, top="1")
    return _marked(spec, clause.trait.slot, clause.value)


def _marked(spec: ObjectSpec, slot: str, value: str) -> ObjectSpec:
    return replace(spec, **{slot: value})


def _with_others(rng: np.random.Generator, rule: RoutingRule, first: list[ObjectSpec], level: int) -> list[ObjectSpec]:
    """Adds parcels, up to two for each place; from level 2 on, they also get marks that mean nothing."""
    more = MAX_PARCELS[level - 1] - len(first) - (level == 1) * int(rng.integers(0, 2))
    again = [rule.clauses[i] for i in rng.permutation(len(rule.clauses))[:more]]
    parcels = [*first, *(_parcel(rng, rule, clause) for clause in again)]
    used = {clause.trait.slot for clause in rule.clauses}
    for slot, choices in OTHER_MARKS.items():
        if level > 1 and slot not in used:
            marks = [str(rng.choice(choices)) if rng.random() < OTHER_MARK_SHARE else "" for _ in parcels]
            parcels = [_marked(spec, slot, mark) for spec, mark in zip(parcels, marks, strict=True)]
    return parcels


def _on_table(builder: SceneBuilder, parcels: list[ObjectSpec], needed: int) -> Scene:
    """Places containers and parcels anywhere; everything with marks faces the front camera."""
    builder.specs += parcels
    scene = builder.build(needed)
    turned = [_facing(builder.rng, p) if p.spec.top or p.spec in parcels else p for p in scene.objects]
    return replace(scene, objects=tuple(turned))


def _on_belt(builder: SceneBuilder, parcels: list[ObjectSpec], speed: float) -> Scene:
    """Places the containers beside the belt and the parcels on it, in random order."""
    rng = builder.rng
    scene = builder.build(len(builder.specs), {spec.id: CONTAINER_AREA for spec in builder.specs})
    places = [_facing(rng, p) if p.spec.top else p for p in scene.objects]
    order = [parcels[i] for i in rng.permutation(len(parcels))]
    row = row_on_belt(rng, order, np.sign(speed), MAX_TURN_RAD)
    return replace(scene, objects=(*places, *row), belt=PARCEL_BELT)


def _facing(rng: np.random.Generator, placement: Placement) -> Placement:
    return replace(placement, yaw=float(rng.uniform(-MAX_TURN_RAD, MAX_TURN_RAD)))


TASK = Task(
    "parcels",
    "Sort parcels by label, colour, stripe, weight or damage, as a rule in words says.",
    (
        "two or three, and a rule of one kind",
        "four, and a rule with an exception",
        "five on a moving belt, 6 to 14 mm/s",
        "on a belt at 18 mm/s",
        "on a belt at 22 mm/s",
    ),
    make,
)
