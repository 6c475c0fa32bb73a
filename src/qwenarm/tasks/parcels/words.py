"""The words of rules for parcels, in English, Spanish and Chinese."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks import Phrase
from qwenarm.tasks.language.es_zh import el, zh
from qwenarm.tasks.language.phrases import draw_from
from qwenarm.tasks.parcels.rule import Clause, RoutingRule

OWN_SHARE = 0.6
"""Share of the rules that say "its own colour" where possible."""
RULE_TEMPLATES = (
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
EXCEPTION_TEMPLATES = (
    "{first}, the rest by {by}: {others}",
    "{first}, whatever their {by}; the others by {by}: {others}",
    "first of all {first}; sort the rest by {by}, {others}",
    "{first}. all others by {by}: {others}",
    "{others}; the only exception: {first}",
    "by {by}, {others}; but in any case {first}",
)
EXCEPTION_OWN_TEMPLATES = (
    "{first}, the rest by {by}",
    "{first}, each of the others into the one of its own {by}",
    "{first}; all others where their {by} is",
    "{first}, and the rest into the place with the same {by}",
)
OWN_TEMPLATES = (
    "each parcel into the container of its own {by}, {places}",
    "every parcel into the place with the same {by}: {places}",
    "by {by}, each into its own: {places}",
)
BELT_INTRODUCTIONS = (
    "the belt is running. ",
    "on the belt there are parcels: ",
    "take the parcels off the belt in time! ",
    "watch the belt, it moves: ",
    "",
)
LETTERED_PLACE_TEMPLATES = ("bin {}", "container {}", "{}")


def rule_phrase(rng: np.random.Generator, rule: RoutingRule, belt: bool, place_template: str) -> Phrase:
    """Draws the words of a rule.

    Args:
        rng: Draws them.
        rule: The rule.
        belt: Whether the parcels come on a belt.
        place_template: How places with letters are called, one of ``LETTERED_PLACE_TEMPLATES``.
    """
    return Phrase(_english(rng, rule, belt, place_template), _translations(rule, belt))


def _english(rng: np.random.Generator, rule: RoutingRule, belt: bool, place_template: str) -> str:
    parts = [_clause(rng, clause, place_template) for clause in rule.clauses]
    by = draw_from(rng, rule.clauses[-1].trait.by.en)
    if rule.has_exception:
        template = draw_from(rng, EXCEPTION_OWN_TEMPLATES if rule.own else EXCEPTION_TEMPLATES)
        text = template.format(first=parts[0], others=_listed(rng, parts[1:]), by=by)
    elif rule.own and rng.random() < OWN_SHARE:
        places = _listed(rng, [place_words(clause.place, place_template) for clause in rule.clauses])
        text = draw_from(rng, OWN_TEMPLATES).format(by=by, places=places)
    else:
        text = _listed(rng, parts)
    return (draw_from(rng, BELT_INTRODUCTIONS) if belt else "") + draw_from(rng, RULE_TEMPLATES).format(rule=text)


def _translations(rule: RoutingRule, belt: bool) -> dict[str, str]:
    es, chinese = [], []
    for clause in rule.clauses:
        what, letter = clause.wording, clause.place.top
        es.append(f"{what.es}, en {f'el recipiente {letter}' if letter else el(clause.place)}")
        chinese.append(f"{what.zh}放进{f'{letter}号箱' if letter else zh(clause.place)}里")
    if rule.has_exception:
        by = rule.clauses[-1].trait.by
        es[1] = f"los demás según {by.es}: {es[1]}"
        chinese[1] = f"其余的按{by.zh}:{chinese[1]}"
    return {
        "es": f"clasifica los paquetes{' de la cinta' if belt else ''}: " + "; ".join(es),
        "zh": f"请分拣{'传送带上的' if belt else ''}包裹:" + ",".join(chinese),
    }


def _clause(rng: np.random.Generator, clause: Clause, place_template: str) -> str:
    into = draw_from(rng, ("into", "in", "to"))
    return f"{draw_from(rng, clause.wording.en)} {into} {place_words(clause.place, place_template)}"


def place_words(place: ObjectSpec, template: str) -> str:
    """Returns "bin B" for a place with a letter, otherwise "the blue bowl"."""
    return template.format(place.top) if place.top else f"the {place.label}"


def _listed(rng: np.random.Generator, parts: Sequence[str]) -> str:
    return draw_from(rng, (", ", " and ", ", and ", "; ")).join(parts)
