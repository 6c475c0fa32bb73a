"""Scenes, words and levels of parcels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import GOODS_SIZE, ObjectSpec
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.state import WorldState
from qwenarm.tasks.core.goal import Setup, image_u, symbolic_calls
from qwenarm.tasks.core.task import Cast, Task
from qwenarm.tasks.parcels.belt import BELT, BESIDE, REACH, Conveyor, in_a_row
from qwenarm.tasks.parcels.rules import BASES, COLOR, LABEL, SINGLE, TRAITS, WEIGHT, Clause, Rule, Trait
from qwenarm.types import SkillCall

PARCELS = (3, 4, 5, 5, 5)
"""By level, up to."""
PLACES = ("bowl", "box")
"""And at most one tray, which is wide."""
LETTERED = 0.4
"""Share of the episodes in which the places have letters, and are called by them."""
OWN_COLOR = 0.4
"""Share of the rules by colour in which the places have the colours of the parcels."""
STRAY = 0.3
"""Share of the parcels that have a mark of which the rule says nothing, from level 2 on."""
TURN = 0.3
"""So far parcels and lettered places may be turned, rad: their letters shall be read."""
SPEEDS = {3: (0.006, 0.010, 0.014), 4: (0.018,), 5: (0.022,)}
"""At which the belt may run, by level, m/s."""
FALLEN = -0.02
"""What lies lower than this has fallen from the table, m."""


@dataclass(frozen=True)
class Routes:
    """Every parcel in its place. homes: (id of a parcel, id of its container). drift: the belt's speed along y, m/s."""

    homes: tuple[tuple[str, str], ...]
    drift: float = 0.0

    def success(self, state: WorldState) -> bool:
        return state.holding is None and state.at_rest() and not self._waiting(state)

    def progress(self, state: WorldState) -> float:
        """Half a step for a parcel in the hand."""
        if self.success(state):
            return 1.0
        waiting = self._waiting(state)
        begun = 0.5 if state.holding in waiting else 0.0
        return (len(self.homes) - len(waiting) + begun) / (len(self.homes) + 0.5)

    def solve(self, state: WorldState) -> list[SkillCall]:
        """What is in the hand first, then what the belt will lose first, or from the left of the front camera's picture
        to its right. What is out of reach is given up.
        """
        waiting = {i: place for i, place in self._waiting(state).items() if not self._missed(state, i)}
        way = -1 if self.drift > 0 else 1
        order = sorted(waiting, key=lambda i: (i != state.holding, way * image_u(state[i])))
        return symbolic_calls(state, [(i, waiting[i]) for i in order])

    def measures(self, state: WorldState) -> dict[str, float]:
        """Counts of parcels that are where they belong, in a wrong place, carried away by the belt, and fallen from the
        table or the belt's end; how many came to their places in a simulated minute; and the belt's speed.
        """
        waiting = self._waiting(state)
        routed = len(self.homes) - len(waiting)
        return {
            "routed": routed,
            "misrouted": sum(any(state.lies_in(i, place) for place in state.objects) for i in waiting),
            "missed": sum(self._missed(state, i) for i in waiting),
            "fallen": sum(state[i].bottom < FALLEN for i in waiting),
            "per_minute": 60 * routed / state.time_s if state.time_s else 0.0,
            "belt_cm_s": 100 * abs(self.drift),
        }

    def _missed(self, state: WorldState, parcel: str) -> bool:
        """Has the belt carried it out of reach?"""
        return self.drift != 0 and abs(float(state[parcel].pos[1])) > REACH

    def _waiting(self, state: WorldState) -> Mapping[str, str]:
        """The parcels that are not in their places, with these."""
        return {i: place for i, place in self.homes if not state.lies_in(i, place)}


def make(cast: Cast, level: int) -> Setup:
    """One episode: the places, the rule, a parcel for each of its clauses, and some more."""
    rule = _single(cast) if level == 1 else _combined(cast)
    first = [_parcel(cast, rule, clause) for clause in rule.clauses]
    parcels = [replace(spec, number=i) for i, spec in enumerate(_with_others(cast, rule, first, level), 1)]
    speed = float(cast.rng.choice(SPEEDS[level]) * cast.rng.choice([-1, 1])) if level in SPEEDS else 0.0
    scene = _on_belt(cast, parcels, speed) if speed else _on_table(cast, parcels, needed=2 * len(rule.clauses))
    there = [placement.spec for placement in scene.objects if placement.spec.shape == "parcel"]
    goal = Routes(tuple((spec.id, rule.place_of(spec)) for spec in there), speed)
    return Setup(
        scene,
        goal,
        rule.words(cast.rng, belt=bool(speed)),
        max_turns=4 + 3 * len(there),
        happenings=(Conveyor(BELT, speed),) if speed else (),
        translations=rule.translations(belt=bool(speed)),
    )


def _single(cast: Cast) -> Rule:
    """One trait, two places."""
    trait = TRAITS[int(cast.rng.integers(len(TRAITS)))]
    return _rule(cast, trait, _values(cast, trait), None)


def _combined(cast: Cast) -> Rule:
    """An exception, and another trait for the rest."""
    odd = (*SINGLE.items(), ("9", WEIGHT))[int(cast.rng.integers(len(SINGLE) + 1))]
    bases = [trait for trait in BASES if trait.slot != odd[1].slot]
    base = bases[int(cast.rng.integers(len(bases)))]
    return _rule(cast, base, _values(cast, base), odd)


def _values(cast: Cast, trait: Trait) -> list[str]:
    """Two of a trait's values; "" comes last, for it names the rest."""
    values = [str(v) for v in cast.rng.permutation(list(trait.values))[:2]]
    return sorted(values, key=lambda value: value == "")


def _rule(cast: Cast, base: Trait, values: list[str], odd: tuple[str, Trait] | None) -> Rule:
    """The rule with its places, which are drawn here."""
    lettered = bool(cast.rng.random() < LETTERED)
    own_color = base is COLOR and not lettered and cast.rng.random() < OWN_COLOR
    places = [_draw_place(cast) for _ in range(len(values) + (odd is not None))]
    if own_color:
        values = [place.color for place in places[-len(values) :]]
    if lettered:
        letters = [str(letter) for letter in cast.rng.permutation(list("ABC")[: len(places)])]
        if base is LABEL:
            letters[-len(values) :] = values
            letters[: -len(values)] = [next(x for x in "ABC" if x not in values)] if odd else []
        places = [replace(place, top=letter) for place, letter in zip(places, letters, strict=True)]
        cast.specs[-len(places) :] = places
    clauses = [Clause(base, value, place) for value, place in zip(values, places[-len(values) :], strict=True)]
    if odd:
        clauses.insert(0, Clause(odd[1], odd[0], places[0]))
    return Rule(tuple(clauses), odd is not None, own_color or (lettered and base is LABEL))


def _draw_place(cast: Cast) -> ObjectSpec:
    """A container in a colour that no other has, rather not a second tray."""
    colors = [color for color in COLORS if color not in {spec.color for spec in cast.specs}]
    shapes = [shape for color, shape in cast.free if color in colors]
    small = [shape for shape in PLACES if shape in shapes]
    tray = not small or ("tray" in shapes and not any(spec.shape == "tray" for spec in cast.specs))
    return cast.draw((*small, "tray") if tray else small, colors)


def _parcel(cast: Cast, rule: Rule, clause: Clause) -> ObjectSpec:
    """A parcel for which this clause counts."""
    color = str(cast.rng.choice(list(COLORS)))
    spec = ObjectSpec("parcel", color, GOODS_SIZE["parcel"][0])
    base = rule.clauses[-1].trait
    if rule.exception:  # what the exception is made of may belong to either class of the others
        spec = _with(spec, base.slot, rule.clauses[1 + int(cast.rng.integers(2))].value)
        if clause.trait is not WEIGHT and rule.clauses[0].trait is WEIGHT:
            spec = replace(spec, top="1")
    return _with(spec, clause.trait.slot, clause.value)


def _with(spec: ObjectSpec, slot: str, value: str) -> ObjectSpec:
    return replace(spec, **{slot: value})


def _with_others(cast: Cast, rule: Rule, first: list[ObjectSpec], level: int) -> list[ObjectSpec]:
    """These parcels and more, up to two for each place; from level 2 on with marks that mean nothing."""
    more = PARCELS[level - 1] - len(first) - (level == 1) * int(cast.rng.integers(0, 2))
    again = [rule.clauses[i] for i in cast.rng.permutation(len(rule.clauses))[:more]]
    parcels = [*first, *(_parcel(cast, rule, clause) for clause in again)]
    if level == 1:
        return parcels
    slots = {clause.trait.slot for clause in rule.clauses}
    stray = {"top": ("A", "B", "C", "9", "glass"), "sides": ("stripe", "crack")}
    for slot in sorted(stray.keys() - slots):
        marks = [str(cast.rng.choice(stray[slot])) if cast.rng.random() < STRAY else "" for _ in parcels]
        parcels = [_with(spec, slot, mark) for spec, mark in zip(parcels, marks, strict=True)]
    return parcels


def _on_table(cast: Cast, parcels: list[ObjectSpec], needed: int) -> Scene:
    """Places and parcels anywhere, everything that is marked turned towards the front camera."""
    cast.specs += parcels
    scene = cast.scene(needed)
    turned = [_facing(cast, p) if p.spec.top or p.spec in parcels else p for p in scene.objects]
    return replace(scene, objects=tuple(turned))


def _on_belt(cast: Cast, parcels: list[ObjectSpec], speed: float) -> Scene:
    """The places beside the belt, the parcels on it in any order."""
    scene = cast.scene(len(cast.specs), {spec.id: BESIDE for spec in cast.specs})
    places = [_facing(cast, p) if p.spec.top else p for p in scene.objects]
    order = [parcels[i] for i in cast.rng.permutation(len(parcels))]
    return replace(scene, objects=(*places, *in_a_row(cast.rng, order, np.sign(speed), TURN)), belt=BELT)


def _facing(cast: Cast, placement: Placement) -> Placement:
    return replace(placement, yaw=float(cast.rng.uniform(-TURN, TURN)))


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
