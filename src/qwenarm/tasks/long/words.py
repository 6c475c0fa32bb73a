"""The words of sub-goals and of their sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qwenarm.tasks.language.phrases import draw_from

SUBGOAL_TEMPLATES = {
    "put": (
        "put the {a} {in} the {b}",
        "place the {a} {in} the {b}",
        "move the {a} {into} the {b}",
        "drop the {a} {into} the {b}",
        "set the {a} down {in} the {b}",
        "bring the {a} to the {b}",
        "take the {a} and put it {in} the {b}",
        "pick up the {a} and place it {in} the {b}",
    ),
    "stack": (
        "stack the {a} on the {b}",
        "put the {a} on top of the {b}",
        "place the {a} on the {b}",
        "set the {a} on top of the {b}",
        "move the {a} onto the {b}",
        "lay the {a} on the {b}",
        "take the {a} and put it on the {b}",
        "pick up the {a} and stack it on the {b}",
    ),
    "beside": (
        "put the {a} next to the {b}",
        "place the {a} beside the {b}",
        "move the {a} next to the {b}",
        "set the {a} down beside the {b}",
        "bring the {a} over, next to the {b}",
        "lay the {a} next to the {b}",
        "take the {a} and put it beside the {b}",
        "pick up the {a} and place it next to the {b}",
    ),
    "gather": (
        "put all {a} {in} the {b}",
        "put every one of the {a} {in} the {b}",
        "gather all {a} {in} the {b}",
        "collect the {a} {in} the {b}",
        "move all {a} {into} the {b}",
        "bring all {a} to the {b}",
        "sort all {a} {into} the {b}",
        "place the {a} together {in} the {b}",
    ),
}
"""Templates by kind. Slots: {a} what is moved, {b} where it goes, {in} and {into} prepositions that fit {b}."""
SEQUENCE_TEMPLATES = (
    ("first ", ", then ", ", and finally "),
    ("first ", "; then ", "; and last "),
    ("first ", ", next ", ", and at the end "),
    ("do this in order: first ", ", after that ", ", and finally "),
    ("please ", ", then ", ", and then "),
    ("one after the other: ", "; ", "; and "),
    ("in this order, please: ", "; ", "; "),
    ("start like this: ", ". then ", ". last of all, "),
    ("i need several things done in order: ", ", then ", ", and in the end "),
    ("step by step: ", "; next ", "; lastly "),
)
"""What comes before the first clause, between two clauses, and before the last one."""
NUMBERED_TEMPLATES = (
    "do these in order: {}",
    "in this order: {}",
    "your tasks, one after the other: {}",
    "please follow: {}",
)
NUMBERED_SHARE = 0.25
"""Share of the sequences that are numbered lists."""


def sequence_phrase(rng: np.random.Generator, clauses: Sequence[str]) -> str:
    """Draws an instruction to carry out these clauses in order."""
    if rng.random() < NUMBERED_SHARE:
        numbered = [f"{i}) {clause}" for i, clause in enumerate(clauses, 1)]
        return draw_from(rng, NUMBERED_TEMPLATES).format(", ".join(numbered))
    first, between, last = SEQUENCE_TEMPLATES[int(rng.integers(len(SEQUENCE_TEMPLATES)))]
    return first + between.join(clauses[:-1]) + last + clauses[-1]
