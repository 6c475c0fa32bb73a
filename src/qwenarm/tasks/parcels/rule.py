"""The traits of parcels, and the rules that send parcels to places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks.language.es_zh import ES_COLORS, ZH_COLORS, es_plural


@dataclass(frozen=True)
class Wording:
    """A phrase in several English wordings, in Spanish and in Chinese."""

    en: tuple[str, ...]
    es: str
    zh: str


@dataclass(frozen=True)
class Trait:
    """A property by which parcels are sorted."""

    slot: str  # field of ObjectSpec that shows it
    values: Mapping[str, Wording]  # words for the parcels, by value of that field; "" is any other value
    by: Wording  # the trait itself, as in "by colour"


def _mark_trait(slot: str, mark: str, en: tuple[str, ...], es_zh: tuple[str, str], by: Wording) -> Trait:
    """Returns the trait of having a mark or not."""
    return Trait(slot, {mark: Wording(en, *es_zh), "": REST_WORDING}, by)


REST_WORDING = Wording(("everything else", "the others", "all the rest", "the remaining ones"), "los demás", "其余的")
COLOR_TRAIT = Trait(
    "color",
    {
        color: Wording(
            (f"{color} parcels", f"the {color} ones", f"all {color} parcels", f"every {color} parcel"),
            f"los paquetes {es_plural(ES_COLORS[color][0])}",
            f"{ZH_COLORS[color]}的包裹",
        )
        for color in COLOR_RGB
    },
    Wording(("colour",), "color", "颜色"),
)
LABEL_TRAIT = Trait(
    "top",
    {
        letter: Wording(
            (f"parcels labelled {letter}", f"the ones with the letter {letter}", f"parcels with label {letter}"),
            f"los paquetes con la letra {letter}",
            f"贴着{letter}的包裹",
        )
        for letter in "ABC"
    },
    Wording(("label", "letter"), "letra", "字母"),
)
WEIGHT_TRAIT = Trait(
    "top",
    {
        kg: Wording(
            (
                f"{word} parcels ({kg} kg)",
                f"the {word} ones, {kg} kg",
                f"the {kg} kg parcels",
                f"parcels that say {kg} kg",
            ),
            f"los paquetes de {kg} kg",
            f"{kg}公斤的包裹",
        )
        for kg, word in {"9": "heavy", "1": "light"}.items()
    },
    Wording(("weight",), "peso", "重量"),
)
SIGN_TRAIT = _mark_trait(
    "top",
    "glass",
    ("fragile parcels", "the fragile ones", "whatever is marked fragile", "parcels with the glass sign"),
    ("los paquetes frágiles", "易碎的包裹"),
    Wording(("sign",), "señal", "标志"),
)
STRIPE_TRAIT = _mark_trait(
    "sides",
    "stripe",
    ("striped parcels", "the striped ones", "parcels with a band around them", "every parcel with a stripe"),
    ("los paquetes con franja", "带条纹的包裹"),
    Wording(("stripe",), "franja", "条纹"),
)
DAMAGE_TRAIT = _mark_trait(
    "sides",
    "crack",
    ("damaged parcels", "the damaged ones", "whatever is cracked", "parcels with a crack in the side"),
    ("los paquetes dañados", "破损的包裹"),
    Wording(("damage",), "daño", "破损"),
)
SINGLE_RULE_TRAITS = (COLOR_TRAIT, LABEL_TRAIT, WEIGHT_TRAIT, SIGN_TRAIT, STRIPE_TRAIT, DAMAGE_TRAIT)
"""Traits that can be a rule on their own."""
BASE_TRAITS = (COLOR_TRAIT, LABEL_TRAIT, WEIGHT_TRAIT)
"""Traits by which the rest is sorted if there is an exception."""
EXCEPTION_VALUES = (("glass", SIGN_TRAIT), ("stripe", STRIPE_TRAIT), ("crack", DAMAGE_TRAIT), ("9", WEIGHT_TRAIT))
"""(value, trait) pairs that can be an exception to another rule."""


@dataclass(frozen=True)
class Clause:
    """Sends parcels with this value of a trait to a place. The value "" means all that no earlier clause names."""

    trait: Trait
    value: str
    place: ObjectSpec

    @property
    def wording(self) -> Wording:
        """The words for these parcels."""
        return self.trait.values[self.value]

    def applies_to(self, spec: ObjectSpec) -> bool:
        """Returns whether the clause applies to a parcel."""
        return not self.value or getattr(spec, self.trait.slot) == self.value


@dataclass(frozen=True)
class RoutingRule:
    """A list of clauses. The first one that applies to a parcel counts."""

    clauses: tuple[Clause, ...]
    has_exception: bool = False  # the first clause is an exception to the others
    own: bool = False  # the places have the same colours or letters as the parcels

    def place_of(self, spec: ObjectSpec) -> ObjectSpec:
        """Returns the container where a parcel belongs."""
        return next(clause.place for clause in self.clauses if clause.applies_to(spec))
