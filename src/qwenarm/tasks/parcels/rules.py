"""What parcels are told apart by, the rules that send them to places, and the words of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks.language.es_zh import ES_COLORS, ZH_COLORS, el, es_plural, zh
from qwenarm.tasks.language.phrases import draw_from


@dataclass(frozen=True)
class Said:
    """A class of parcels in words: several in English, one in Spanish and Chinese."""

    en: tuple[str, ...]
    es: str
    zh: str


@dataclass(frozen=True)
class Trait:
    """slot: the field of ObjectSpec that holds it. values: what the field may be, with words."""

    slot: str
    values: Mapping[str, Said]
    by: Said
    """What one sorts by, in words."""


REST = Said(("everything else", "the others", "all the rest", "the remaining ones"), "los demás", "其余的")
FRAGILE = Said(
    ("fragile parcels", "the fragile ones", "whatever is marked fragile", "parcels with the glass sign"),
    "los paquetes frágiles",
    "易碎的包裹",
)
STRIPED = Said(
    ("striped parcels", "the striped ones", "parcels with a band around them", "every parcel with a stripe"),
    "los paquetes con franja",
    "带条纹的包裹",
)
DAMAGED = Said(
    ("damaged parcels", "the damaged ones", "whatever is cracked", "parcels with a crack in the side"),
    "los paquetes dañados",
    "破损的包裹",
)
HEAVY = Said(
    ("heavy parcels (9 kg)", "the heavy ones, 9 kg", "the 9 kg parcels", "parcels that say 9 kg"),
    "los paquetes de 9 kg",
    "9公斤的包裹",
)
LIGHT = Said(
    ("light parcels (1 kg)", "the light ones, 1 kg", "the 1 kg parcels", "parcels that say 1 kg"),
    "los paquetes de 1 kg",
    "1公斤的包裹",
)
COLOR = Trait(
    "color",
    {
        color: Said(
            (f"{color} parcels", f"the {color} ones", f"all {color} parcels", f"every {color} parcel"),
            f"los paquetes {es_plural(ES_COLORS[color][0])}",
            f"{ZH_COLORS[color]}的包裹",
        )
        for color in COLORS
    },
    Said(("colour",), "color", "颜色"),
)
LABEL = Trait(
    "top",
    {
        letter: Said(
            (f"parcels labelled {letter}", f"the ones with the letter {letter}", f"parcels with label {letter}"),
            f"los paquetes con la letra {letter}",
            f"贴着{letter}的包裹",
        )
        for letter in "ABC"
    },
    Said(("label", "letter"), "letra", "字母"),
)
WEIGHT = Trait("top", {"9": HEAVY, "1": LIGHT}, Said(("weight",), "peso", "重量"))
SINGLE = {
    "glass": Trait("top", {"glass": FRAGILE, "": REST}, Said(("sign",), "señal", "标志")),
    "stripe": Trait("sides", {"stripe": STRIPED, "": REST}, Said(("stripe",), "franja", "条纹")),
    "crack": Trait("sides", {"crack": DAMAGED, "": REST}, Said(("damage",), "daño", "破损")),
}
"""By the mark that a parcel has or has not."""
TRAITS = (COLOR, LABEL, WEIGHT, *SINGLE.values())
"""Of which any can be a rule by itself."""
BASES = (COLOR, LABEL, WEIGHT)
"""By which the rest can be sorted where there is an exception."""

RULES = (
    "sort the parcels: {rule}",
    "route the parcels: {rule}",
    "please sort the parcels, {rule}",
    "the parcels have to be distributed: {rule}",
    "put {rule}",
    "bring {rule}",
    "distribute the parcels: {rule}",
    "this is the rule for the parcels: {rule}",
    "could you sort the parcels? {rule}",
    "post office, please: {rule}",
    "every parcel to its place: {rule}",
    "deal with the parcels like this: {rule}",
    "today's rule: {rule}",
    "parcels come in; {rule}",
    "i need the parcels sorted: {rule}",
)
EXCEPT = (
    "{first}, the rest by {by}: {others}",
    "{first}, whatever their {by}; the others by {by}: {others}",
    "first of all {first}; sort the rest by {by}, {others}",
    "{first}. all others by {by}: {others}",
    "{others}; the only exception: {first}",
    "by {by}, {others}; but in any case {first}",
)
EXCEPT_OWN = (
    "{first}, the rest by {by}",
    "{first}, each of the others into the one of its own {by}",
    "{first}; all others where their {by} is",
    "{first}, and the rest into the place with the same {by}",
)
OWN = (
    "each parcel into the container of its own {by}, {places}",
    "every parcel into the place with the same {by}: {places}",
    "by {by}, each into its own: {places}",
)
BELT = (
    "the belt is running. ",
    "on the belt there are parcels: ",
    "take the parcels off the belt in time! ",
    "watch the belt, it moves: ",
    "",
)
BINS = ("bin {}", "container {}", "{}")


@dataclass(frozen=True)
class Clause:
    """Parcels whose slot has this value go there. value "" stands for whatever no clause before it has named."""

    trait: Trait
    value: str
    place: ObjectSpec

    def meets(self, spec: ObjectSpec) -> bool:
        return not self.value or getattr(spec, self.trait.slot) == self.value


@dataclass(frozen=True)
class Rule:
    """Clauses, of which the first that meets a parcel counts. exception: the first of them overrules the others.

    own: the places have the very colours, or letters, of the parcels.
    """

    clauses: tuple[Clause, ...]
    exception: bool = False
    own: bool = False

    def place_of(self, spec: ObjectSpec) -> str:
        """The id of the container where a parcel belongs."""
        return next(clause.place.id for clause in self.clauses if clause.meets(spec))

    def words(self, rng: np.random.Generator, belt: bool = False) -> str:
        """One wording in English. belt: the parcels come on a belt."""
        bins = draw_from(rng, BINS)
        parts = [_clause(rng, clause, bins) for clause in self.clauses]
        by = draw_from(rng, self.clauses[-1].trait.by.en)
        if self.exception:
            template = draw_from(rng, EXCEPT_OWN if self.own else EXCEPT)
            rule = template.format(first=parts[0], others=_listed(rng, parts[1:]), by=by)
        elif self.own and rng.random() < 0.6:
            places = _listed(rng, [_named(clause.place, bins) for clause in self.clauses])
            rule = draw_from(rng, OWN).format(by=by, places=places)
        else:
            rule = _listed(rng, parts)
        return (draw_from(rng, BELT) if belt else "") + draw_from(rng, RULES).format(rule=rule)

    def translations(self, belt: bool = False) -> dict[str, str]:
        """The rule in Spanish and Chinese."""
        es = [
            f"{_said(c).es}, en {el(c.place) if not c.place.top else f'el recipiente {c.place.top}'}"
            for c in self.clauses
        ]
        chinese = [
            f"{_said(c).zh}放进{zh(c.place) if not c.place.top else f'{c.place.top}号箱'}里" for c in self.clauses
        ]
        if self.exception:
            by = self.clauses[-1].trait.by
            es[1] = f"los demás según {by.es}: {es[1]}"
            chinese[1] = f"其余的按{by.zh}:{chinese[1]}"
        where = (" de la cinta", "传送带上的") if belt else ("", "")
        return {
            "es": f"clasifica los paquetes{where[0]}: " + "; ".join(es),
            "zh": f"请分拣{where[1]}包裹:" + ",".join(chinese),
        }


def _said(clause: Clause) -> Said:
    return clause.trait.values[clause.value]


def _clause(rng: np.random.Generator, clause: Clause, bins: str) -> str:
    into = draw_from(rng, ("into", "in", "to"))
    return f"{draw_from(rng, _said(clause).en)} {into} {_named(clause.place, bins)}"


def _named(place: ObjectSpec, bins: str) -> str:
    """ "bin B" if it has a letter, else "the blue bowl"."""
    return bins.format(place.top) if place.top else f"the {place.label}"


def _listed(rng: np.random.Generator, parts: Sequence[str]) -> str:
    return draw_from(rng, (", ", " and ", ", and ", "; ")).join(parts)
