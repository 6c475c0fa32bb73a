"""Sentences as people say them: "put the left cube in the bowl", "swap the two balls", "sort the cubes by colour".

A sentence is drawn as a kind of wish, a wording and random things. The grammar of free words reads it and makes the
scene, as it does for words that a person types.
"""

from __future__ import annotations

import numpy as np

from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES
from qwenarm.errors import BadInput
from qwenarm.tasks import STACKABLE_SHAPES, SceneBuilder, Setup, Task, free_setup
from qwenarm.tasks.language.vocabulary import english_plural

# Slots: {a} {b} {c} things that can be picked up; {x} {y} blocks; {p} {q} containers; {n} {m} shapes that can be picked
# up, {ns} {ms} their plurals; {k} {ks} shape and plural of blocks; {v} {vs} those of containers; {r} {s} {t} colours;
# {a_shape} {p_shape} the shapes of {a} and {p}; {side} a preposition; {end} left or right; {two} a small number.
WORDINGS = {
    "one thing": (
        "pick up the {a} and put it in the {p}",
        "pick up the {a} and drop it in the {p}",
        "pick up the {a} and put it {side} the {b}",
        "grab the {a} and put it into the {p}",
        "move the {a} to the {p}",
        "move the {a} into the {v}",
        "place the {a} inside the {p}",
        "bring the {a} to the {p}",
        "drop the {a} into the {p}",
        "the {a} goes in the {p}",
        "{a} into {p}",
        "the {a} should be in the {p}",
        "I want the {a} in the {p}",
        "the {a} belongs in the {p}",
        "get the {a} into the {p}",
        "take the {a} and put it in the {p}",
        "put a {a} in the {p}",
    ),
    "beside": (
        "put the {a} {side} the {p}",
        "place the {a} {side} the {b}",
        "bring the {a} over, {side} the {p}",
        "put the {a} {side} the {v}",
        "put the {a} {side} the {p} and the {b} {side} the {c}",
        "put the {ns} next to the {p}",
        "put the {a} close to the {p}",
        "put the {a} near the {b}",
        "the {a} should be {side} the {b}",
        "put the {a} {side} the {end}most {v}",
    ),
    "several things": (
        "put the {a} and the {b} in the {p}",
        "put the {a}, the {b} and the {c} in the {p}",
        "take the {a} and the {b} and put them in the {p}",
        "put the {a} in the {p} and the {b} in the {q}",
        "first put the {a} in the {p}, then put the {b} in the {q}",
        "put the {a} in the {p}, and the {b} too",
        "put the {r} and {s} {ns} in the {v}",
        "put the {a} in the {v}",
        "the {a} goes in the {p} and the {b} in the {q}",
        "put both the {a} and the {b} in the {p}",
        "put the {a} and the {b} in the {v}",
        "put the {a} in the {p}. then put the {b} in the {q}",
        "put the {a} in the {p}, then stack the {x} on the {y}",
    ),
    "groups": (
        "put all {r} things in the {p}",
        "put everything {r} in the {p}",
        "put every {n} in the {v}",
        "put all of the {ns} in the {p}",
        "put the {ns} in the {p}",
        "gather all {ns} in the {p}",
        "put everything in the {p}",
        "put the {ns} and the {ms} in the {v}",
        "put the {ns} in the {p} and the {ms} in the {q}",
        "put all {r} {ns} in the {p}",
        "put all the {ns} and the {a} in the {v}",
        "put everything that is {r} in the {p}",
        "{ns} in the {p}, {ms} in the {q}",
        "put all {r} things in the {p} and all {s} things in the {q}",
        "put the {ns} in the {p} and the rest in the {q}",
    ),
    "quantities": (
        "put {two} {ns} in the {p}",
        "put all {two} {ns} in the {v}",
        "put both {ns} in the {p}",
        "put one of the {ns} in the {p}",
        "put one {n} in the {v}",
        "put exactly two {ns} in the {p}",
        "put two of the {ns} in the {v}",
        "put two {ns} and one {m} in the {p}",
        "put all but one of the {ns} in the {p}",
        "put all the {ns} but the {r} one in the {p}",
        "put everything except the {a} in the {p}",
        "put the {a} in the {p} and everything else in the {q}",
        "put all the {ns} except the {r} one in the {p}",
        "put every {n} but the {r} one in the {v}",
        "put all {ns} except one in the {p}",
        "put one {n} in the {p} and two {ns} in the {q}",
        "put a {n} in the {p} and a {m} in the {q}",
        "put one of the {two} {ns} in the {v}",
        "put everything but the {ns} in the {p}",
    ),
    "the other one": (
        "put one {n} in the {p} and the other in the {q}",
        "put one {n} in the {p} and the other one in the {q}",
        "put the {a} in the {p} and the other {a_shape} in the {q}",
        "put the {a} in the {p} and the other {a_shape}s in the {q}",
        "put the {a} in one {v} and the {b} in the other {v}",
        "put the {a} in a {v} and the {b} in another {v}",
        "put the {a} in the {p} and the {b} in the other {p_shape}",
        "move the {a} from the {p} to the other {p_shape}",
        "move the {n} that is in the {p} to the other {p_shape}",
        "put two {ns} in the {p} and the other two in the {q}",
        "put the {end} {n} in the {p} and the other in the {q}",
        "put the big {n} in the {p} and the other in the {q}",
        "put the {a} and the other {a_shape} in the {p}",
        "put the {a} in a {p_shape} other than the {p}",
        "stack one {k} on the other",
    ),
    "which one": (
        "put the {end} {n} in the {p}",
        "put the {end}most {n} in the {v}",
        "put the {n} on the {end} in the {p}",
        "put the second {n} from the {end} in the {p}",
        "put the middle {n} in the {p}",
        "put the nearest {n} in the {p}",
        "put the {n} closest to the robot in the {v}",
        "put the farthest {n} in the {p}",
        "put the {n} nearest to the {p} in the {q}",
        "put the big {n} in the {p}",
        "put the smaller {n} in the {p}",
        "put the {a} in the {end} {v}",
        "put the {n} in the {v}",
        "put the {r} thing in the {v}",
        "put the {a} that is in the {p} in the {q}",
        "take the {a} out of the {p} and put it in the {q}",
        "put the {n} that is in the {p} in the {q}",
        "move the {a} on the {x} to the {p}",
        "put the {a} next to the {b} into the {p}",
        "put the biggest {n} in the {p}",
        "put the smallest {n} in the {v}",
        "put the {n} in the middle in the {p}",
        "put the {a} in the {end}most {v}",
        "put the {end}most {n} next to the {p}",
        "put the {n} closest to the {b} in the {p}",
        "put the first {n} from the {end} in the {p}",
    ),
    "picking up": (
        "pick up the {a}",
        "pick the {a} up",
        "lift the {a}",
        "grab the {a}",
        "pick up the {n}",
        "grasp the {end} {n}",
        "pick up the {a} that is in the {p}",
        "pick up the {a} and hold it",
        "lift the {end}most {n}",
    ),
    "towers": (
        "stack the {x} on the {y}",
        "stack the {r} {k} and the {s} {k}",
        "stack {r} on {s}",
        "build a tower of the {x} and the {y}, from bottom to top",
        "base: {x}. top: {y}",
        "build a tower of three {ks}",
        "stack the {ks}",
        "stack all the {ks}",
        "stack the two {ks}",
        "pile up the {ks}",
        "put the {ks} on top of each other",
        "build a tower of two {ks}",
        "build a tower of four {ks}",
        "stack the {r}, {s} and {t} {ks}",
        "stack {r} on {s} on {t}",
        "top: {x}, base: {y}",
    ),
    "swap": (
        "swap the {a} and the {b}",
        "swap the two {ns}",
        "swap the {ns}",
        "exchange the {a} with the {b}",
        "switch the positions of the {a} and the {b}",
        "let the {a} and the {b} change places",
        "swap the {a} with the {b}",
        "swap {r} and {s}",
        "the {a} and the {b} should swap places",
    ),
    "sorting": (
        "sort by colour: {r} things into the {p}, {s} things into the {q}",
        "sort the {ns} by colour: {r} in the {p}, {s} in the {q}",
        "sort by shape: {ns} in the {p}, {ms} in the {q}",
        "separate the {ns} from the {ms}: {ns} in the left {v}, {ms} in the right {v}",
        "sort the {ns} by colour",
        "sort everything by colour",
        "sort the {ns} by colour into the matching {vs}",
        "put every {n} in the {v} of its own colour",
        "put the {a} in the matching {v}",
        "put each {n} in its own {v}",
        "put one {n} in each {v}",
        "every {v} should have a {n}",
        "sort by colour",
        "{r} things in the {p}, {s} things in the {q}",
        "put the {ns} in different {vs}",
        "each {v} gets one {n}",
    ),
    "counting": (
        "how many {ns} are there?",
        "how many {r} things do you see?",
        "count the {ns}",
        "how many things are there on the table?",
        "how many {ns} do you see on the table?",
        "how many {r} {ns} are there?",
        "how many {vs} are there?",
    ),
}
COURTESIES = (
    "please {}",
    "{}, please",
    "can you {}?",
    "could you {}?",
    "would you please {}?",
    "can you please {} for me?",
    "I want you to {}",
    "I would like you to {}",
    "you should {}",
    "go ahead and {}",
    "hey robot, {}",
    "ok, now {}",
    "{} quickly",
    "{} carefully",
    "{} now, thanks",
)
"""What may stand around a wish that begins with a verb."""
COURTESY_SHARE = 0.3
VERBS = (
    "put", "place", "pick", "move", "bring", "drop", "take", "grab", "grasp", "lift", "get", "gather", "stack", "build",
    "pile", "swap", "exchange", "switch", "sort", "separate", "count",
)  # fmt: skip
SIDES = ("next to", "left of", "right of", "in front of", "behind", "to the left of", "to the right of", "beside")
SHAPE_SLOTS = {"n": GRASPABLE_SHAPES, "m": GRASPABLE_SHAPES, "k": STACKABLE_SHAPES, "v": CONTAINER_SHAPES}
THING_SLOTS = {
    "a": GRASPABLE_SHAPES, "b": GRASPABLE_SHAPES, "c": GRASPABLE_SHAPES, "x": STACKABLE_SHAPES, "y": STACKABLE_SHAPES,
    "p": CONTAINER_SHAPES, "q": CONTAINER_SHAPES,
}  # fmt: skip
SENTENCE_TRIES = 30
"""Maximum number of sentences that are drawn until one can be played: some contradict themselves."""


def sentence(rng: np.random.Generator, pairs: list[tuple[str, str]]) -> str:
    """Draws a sentence that names different things, all of these (colour, shape) pairs.

    Raises BadInput if there are too few pairs for it.
    """
    words = str(rng.choice(WORDINGS[rng.choice(list(WORDINGS))]))
    if words.split()[0] in VERBS and rng.random() < COURTESY_SHARE:
        words = str(rng.choice(COURTESIES)).replace("{}", words)
    while "{side}" in words:
        words = words.replace("{side}", rng.choice(SIDES), 1)
    left = [pairs[i] for i in rng.permutation(len(pairs))]
    slots = {"end": str(rng.choice(["left", "right"])), "two": str(rng.choice(["two", "three"]))}
    try:
        for slot in (slot for slot in THING_SLOTS if f"{{{slot}}}" in words):
            color, shape = next(pair for pair in left if pair[1] in THING_SLOTS[slot])
            left.remove((color, shape))
            slots[slot], slots[f"{slot}_shape"] = f"{color} {shape}", shape
        for slot, shapes in SHAPE_SLOTS.items():
            slots[slot] = next(shape for _, shape in left if shape in shapes and shape != slots.get("n"))
            slots[f"{slot}s"] = english_plural(slots[slot])
        slots["r"], slots["s"], slots["t"] = list(dict.fromkeys(color for color, _ in left))[:3]
    except (StopIteration, ValueError) as error:
        raise BadInput(f"There are too few colours and shapes for '{words}'.") from error
    return words.format(**slots)


def make(builder: SceneBuilder, level: int) -> Setup:
    """One episode: a sentence that can be judged, and a scene for it."""
    pairs = list(builder.available)
    for _ in range(SENTENCE_TRIES):
        try:
            found = free_setup(
                sentence(builder.rng, pairs), builder.rng, level, frozenset(pairs), builder.layout, builder.reach
            )
        except BadInput:
            continue
        if found.goal and all((p.spec.color, p.spec.shape) in pairs for p in found.scene.objects):
            return found
    raise BadInput(f"None of {SENTENCE_TRIES} sentences can be played with these colours and shapes.")


TASK = Task(
    "free_words",
    "Do what people may ask for, in their own words.",
    ("hardly more than what is named", "more things that are not named", "clutter"),
    make,
)
