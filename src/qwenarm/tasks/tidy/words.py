"""The words of the rules that say what belongs where, in English, Spanish and Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks import Phrase
from qwenarm.tasks.language.es_zh import (
    ES_COLORS,
    ES_SHAPES,
    ZH_COLORS,
    ZH_SHAPES,
    el,
    es_class,
    es_plural,
    feminine,
    zh,
    zh_class,
)
from qwenarm.tasks.language.phrases import draw_from
from qwenarm.tasks.tidy.goal import BIN_ID, DRAWER_ID, HomeRule

SINGULAR_VERBS = ("belongs in", "goes into", "goes in", "has its place in")
PLURAL_VERBS = ("belong in", "go into", "go in", "live in")
KIND_TEMPLATES = {
    "color": ("{} things", "all {} things", "{} objects", "all {} objects"),
    "shape": ("{}s", "all {}s", "the {}s"),
}
REST_PHRASES = ("everything else", "the rest", "all the rest", "whatever is left")
EXCEPTION_TEMPLATES = (
    "{first}, {both} too; {second}",
    "{first}, even {both}, and {second}",
    "{second}, but {first}, {both} included",
    "{second}, except for {both}: {first}",
    "{first}, and that includes {both}; otherwise {second}",
)
TIDY_TEMPLATES = (
    "tidy up: {}. close the drawer when you are done",
    "please tidy the table. {}. shut the drawer at the end",
    "clean up, please: {}, and leave the drawer shut",
    "everything has its home here: {}. tidy up, and close the drawer afterwards",
    "i like it this way: {}. now tidy up and shut the drawer",
    "{}. please tidy up like that, and the drawer shall be shut in the end",
    "could you put things away? {}. then close the drawer",
    "this is how i keep my table: {}. make it so, with the drawer shut",
    "put everything where it belongs: {}. at last, close the drawer",
    "time to tidy up. {}. don't forget to shut the drawer",
)
GO_ON_PHRASES = (
    "go on tidying up",
    "please go on until everything is in its place",
    "keep going, you know where things belong",
    "carry on, please",
    "go on like that, and remember the drawer",
    "very well, now the others",
    "continue until the table is tidy",
    "and so on, please, until all is put away",
)
SPANISH_GO_ON = "sigue ordenando hasta que todo esté en su sitio"
CHINESE_GO_ON = "请继续收拾,直到每样东西都放好"


def tidy_phrase(
    rng: np.random.Generator, rules: Sequence[HomeRule], first_wins: bool, box: ObjectSpec | None
) -> Phrase:
    """Draws the words of the rules. ``first_wins``: the first rule also applies to what the second one names."""
    homes = {DRAWER_ID: DRAWER_ID, BIN_ID: BIN_ID, **({box.id: box.label} if box else {})}
    clauses = [_clause(rng, rule, homes) for rule in rules]
    first, second, *rest = clauses
    if first_wins:
        both = " ".join(_both(rules, "color", "shape")) + "s"
        text = draw_from(rng, EXCEPTION_TEMPLATES).format(first=first, second=second, both=both)
        text = "; ".join([text, *rest])
    else:
        pair = [first, second] if rng.random() < 0.5 else [second, first]
        text = draw_from(rng, (", ", "; ", " and ")).join(pair) + "".join(f", and {clause}" for clause in rest)
    translations = {"es": _spanish(rules, first_wins, box), "zh": _chinese(rules, first_wins, box)}
    return Phrase(draw_from(rng, TIDY_TEMPLATES).format(text), translations)


def go_on_phrase(rng: np.random.Generator) -> Phrase:
    """Draws words that no longer say what belongs where."""
    return Phrase(draw_from(rng, GO_ON_PHRASES), {"es": SPANISH_GO_ON, "zh": CHINESE_GO_ON})


def _clause(rng: np.random.Generator, rule: HomeRule, homes: Mapping[str, str]) -> str:
    if rule.by == "rest":
        what, verbs = draw_from(rng, REST_PHRASES), SINGULAR_VERBS
    elif rule.by == "color" and rng.random() < 0.4:
        what, verbs = f"everything {rule.value}", SINGULAR_VERBS
    else:
        what, verbs = draw_from(rng, KIND_TEMPLATES[rule.by]).format(rule.value), PLURAL_VERBS
    return f"{what} {draw_from(rng, verbs)} the {homes[rule.home]}"


def _both(rules: Sequence[HomeRule], *order: str) -> list[str]:
    """Returns the values of two rules, one by colour and one by shape."""
    values = {rule.by: rule.value for rule in rules[:2]}
    return [values[by] for by in order]


def _spanish(rules: Sequence[HomeRule], first_wins: bool, box: ObjectSpec | None) -> str:
    homes = {DRAWER_ID: "el cajón", BIN_ID: "la papelera", **({box.id: el(box)} if box else {})}
    parts = []
    for rule in rules:
        what = "lo demás va" if rule.by == "rest" else f"{es_class(rule.by, rule.value)} van"
        parts.append(f"{what} en {homes[rule.home]}")
    if first_wins and rules[0].by == "color":
        parts[0] += f", aunque sean {es_plural(ES_SHAPES[rules[1].value][1])}"
    elif first_wins:
        parts[0] += f", aunque sean {es_plural(ES_COLORS[rules[1].value][feminine(rules[0].value)])}"
    return f"ordena la mesa: {'; '.join(parts)}; al final, cierra el cajón"


def _chinese(rules: Sequence[HomeRule], first_wins: bool, box: ObjectSpec | None) -> str:
    homes = {DRAWER_ID: "抽屉", BIN_ID: "垃圾桶", **({box.id: zh(box)} if box else {})}
    parts = []
    for rule in rules:
        what = "其余的" if rule.by == "rest" else zh_class(rule.by, rule.value)
        parts.append(f"{what}放进{homes[rule.home]}")
    if first_wins:
        color, shape = _both(rules, "color", "shape")
        parts[0] += f"({ZH_COLORS[color]}{ZH_SHAPES[shape]}也一样)"
    return f"请收拾桌子:{','.join(parts)},最后关上抽屉"
