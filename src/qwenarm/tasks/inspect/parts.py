"""The parts to inspect: what a good one looks like, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks.language.es_zh import ES_COLORS, ZH_COLORS

NUMBER_WORDS = {2: ("two", "dos", "两"), 3: ("three", "tres", "三"), 4: ("four", "cuatro", "四")}


@dataclass(frozen=True)
class Feature:
    """A feature of a good part, with its words in English, Spanish and Chinese."""

    slot: str  # field of ObjectSpec that shows it: "top" or "sides"
    good: str  # value of that field
    bad: tuple[str, ...]  # values that a bad part may have
    has: tuple[str, str, str]  # what a good part has
    lacks: tuple[str, str, str]  # what is wrong with a bad one


FIXED_FEATURES = {
    "pins": Feature(
        "top",
        "pins:4",
        ("pins:3",),
        ("four pins", "cuatro clavijas", "四根销钉"),
        ("a missing pin", "a las que les falta una clavija", "缺一根销钉"),
    ),
    "cap": Feature(
        "top",
        "cap:straight",
        ("cap:tilted",),
        ("a straight cap", "una tapa recta", "盖子平正"),
        ("a tilted cap", "que tienen la tapa torcida", "盖子歪斜"),
    ),
    "crack": Feature(
        "sides",
        "",
        ("crack",),
        ("no crack", "los lados sin grietas", "没有裂纹"),
        ("a crack", "que tienen una grieta", "有裂纹"),
    ),
}
PART_FEATURES = (*FIXED_FEATURES, "dot", "dots")
FEATURE_SETS = (("pins", "dot", "crack"), ("pins", "cap", "crack"), ("dots", "crack"))
"""Features that fit together on one part."""


def make_feature(name: str, rng: np.random.Generator, body_color: str) -> Feature:
    """Returns one of PART_FEATURES for parts of this colour. The colour or number of dots is random."""
    if name in FIXED_FEATURES:
        return FIXED_FEATURES[name]
    return _dot(rng, body_color) if name == "dot" else _dots(rng)


def _dot(rng: np.random.Generator, body_color: str) -> Feature:
    """Returns the feature of having a dot of a certain colour. A bad part has one of another colour."""
    good, *others = [str(c) for c in rng.permutation([color for color in COLOR_RGB if color != body_color])]
    es, zh = ES_COLORS[good][0], ZH_COLORS[good]
    return Feature(
        "top",
        f"dot:{good}",
        tuple(f"dot:{color}" for color in others),
        (f"a {good} dot", f"un punto {es}", f"{zh}圆点"),
        (f"a dot that is not {good}", f"cuyo punto no es {es}", f"圆点不是{zh}"),
    )


def _dots(rng: np.random.Generator) -> Feature:
    """Returns the feature of having a certain number of dots. A bad part has more or fewer."""
    good = int(rng.choice(list(NUMBER_WORDS)))
    en, es, zh = NUMBER_WORDS[good]
    return Feature(
        "top",
        f"dots:{good}",
        tuple(f"dots:{count}" for count in NUMBER_WORDS if count != good),
        (f"{en} dots", f"{es} puntos", f"{zh}个点"),
        (f"more or fewer than {en} dots", f"que no tienen {es} puntos", f"点数不是{zh}个"),
    )


def make_part(
    color: str, size: float, number: int, features: Sequence[Feature], defects: Mapping[int, str]
) -> ObjectSpec:
    """Returns a part of ``size`` m. ``defects`` gives, by index, the values of features that are not good."""
    shown = [(feature.slot, defects.get(i, feature.good)) for i, feature in enumerate(features)]
    slots = {slot: "+".join(value for s, value in shown if s == slot and value) for slot in ("top", "sides")}
    return ObjectSpec("part", color, size, top=slots["top"], sides=slots["sides"], number=number)
