"""What parcels are told apart by, and the rules that send them to places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks.language.es_zh import ES_COLORS, ZH_COLORS, es_plural


@dataclass(frozen=True)
class Wording:
    """The same in several English wordings, in Spanish and in Chinese."""

    en: tuple[str, ...]
    es: str
    zh: str


@dataclass(frozen=True)
class Trait:
    """Something that parcels are told apart by."""

    slot: str  # field of ObjectSpec that shows it
    values: Mapping[str, Wording]  # parcels by the value of that field; "" is any other value
    by: Wording  # the trait itself, as in "by colour"


def _mark_trait(slot: str, mark: str, en: tuple[str, ...], es_zh: tuple[str, str], by: Wording) -> Trait:
    """A mark that a parcel has or has not."""
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
        for color in COLORS
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
"""Any of these can be a rule by itself."""
BASE_TRAITS = (COLOR_TRAIT, LABEL_TRAIT, WEIGHT_TRAIT)
"""By these the rest is sorted where there is an exception."""
EXCEPTION_VALUES = (("glass", SIGN_TRAIT), ("stripe", STRIPE_TRAIT), ("crack", DAMAGE_TRAIT), ("9", WEIGHT_TRAIT))
"""Values, with their traits, that may be an exception to another rule."""


@dataclass(frozen=True)
class Clause:
    """Parcels with this value of a trait go to a place. The value "" stands for all that no earlier clause names."""

    trait: Trait
    value: str
    place: ObjectSpec

    @property
    def wording(self) -> Wording:
        """The parcels in words."""
        return self.trait.values[self.value]

    def applies_to(self, spec: ObjectSpec) -> bool:
        """Does it say something of this parcel?"""
        return not self.value or getattr(spec, self.trait.slot) == self.value


@dataclass(frozen=True)
class RoutingRule:
    """Clauses, of which the first that applies to a parcel counts."""

    clauses: tuple[Clause, ...]
    has_exception: bool = False  # the first clause is an exception to the others
    own: bool = False  # the places have the very colours, or letters, of the parcels

    def place_of(self, spec: ObjectSpec) -> str:
        """The id of the container where a parcel belongs."""
        return next(clause.place.id for clause in self.clauses if clause.applies_to(spec))
