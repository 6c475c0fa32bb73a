"""What goes on by itself in some tasks: words that change, a wall that rises (and covers that travel, ``_covers.py``).

Each is a ``Happening``, depends on the simulator's state alone, and so is the same for the same calls. A *plot* is one
that counts how far things have come (``at``); a ``Voice`` tells the new words whenever its plot moves on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.tasks.core.goal import Setup

LIFTED = 0.12
"""A thing in the hand counts as lifted from this height of the tcp on, m."""
RISE_PERIODS = 10
"""Control periods that a wall takes to rise, and a cover to travel."""
NEAR, HIGH = 0.20, 0.30
"""Nothing moves by itself while the tcp is this near to it, m across the table, and lower than that, m."""


@dataclass(frozen=True)
class Phrase:
    """What is said, and the same in other languages by code ("es", "zh")."""

    text: str
    translations: Mapping[str, str] = field(default_factory=dict)


class Plot(Protocol):
    """How far things have come, from 0."""

    @property
    def at(self) -> int: ...


@dataclass
class Voice:
    """Tells phrases[i - 1] when the plot comes to i. Stands behind its plot in a setup's happenings."""

    plot: Plot
    phrases: tuple[Phrase, ...]
    told: int = 0

    def step(self, body: Body) -> str | None:
        if self.plot.at == self.told:
            return None
        self.told = self.plot.at
        return self.phrases[self.told - 1].text


def reworded(setup: Setup, words: Callable[[Phrase], str]) -> Setup:
    """The same episode with other words, now and later on: ``words`` gives the text in a phrase's place."""

    def again(phrase: Phrase) -> Phrase:
        return replace(phrase, text=words(phrase))

    first = again(Phrase(setup.instruction, setup.translations))
    happenings = tuple(
        replace(each, phrases=tuple(again(phrase) for phrase in each.phrases)) if isinstance(each, Voice) else each
        for each in setup.happenings
    )
    return replace(setup, instruction=first.text, happenings=happenings)


@dataclass
class Barrier:
    """A wall that rises out of the table when first a thing is lifted. touched: control periods at whose end the arm,
    or what it carries, was in contact with the wall.
    """

    wall: str
    risen: int = -1
    """Control periods since it began to rise; -1 before that."""
    touched: int = 0

    @property
    def moving(self) -> bool:
        return 0 <= self.risen < RISE_PERIODS

    def step(self, body: Body) -> str | None:
        state = body.state()
        if self.risen < 0 and lifted(state):
            self.risen = 0
        if self.moving and not hand_at(state, state[self.wall].pos[:2]):
            self.risen += 1
            height = state[self.wall].spec.height
            mocap = body.model.body_mocapid[body.model.body(self.wall).id]
            body.data.mocap_pos[mocap, 2] = height * (smooth(self.risen / RISE_PERIODS) - 0.5)
        self.touched += self.risen >= 0 and self._meets_something(body)
        return None

    def _meets_something(self, body: Body) -> bool:
        wall = body.model.body(self.wall).id
        return bool((body.model.geom_bodyid[body.data.contact.geom] == wall).any())


def lifted(state: WorldState) -> str | None:
    """The thing that the hand has lifted, or None."""
    return state.holding if state.tcp[2] > LIFTED else None


def hand_at(state: WorldState, spot: np.ndarray) -> bool:
    """Is the hand down there?"""
    return float(np.hypot(*(state.tcp[:2] - spot))) < NEAR and state.tcp[2] < HIGH


def smooth(share: float) -> float:
    """From 0 to 1, slow at both ends."""
    return share * share * (3 - 2 * share)
