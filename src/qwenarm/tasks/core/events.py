"""Events that several tasks share: an instruction that changes, and a wall that rises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.tasks.core.goal import Setup

LIFTED_TCP_HEIGHT_M = 0.12
"""A held object counts as lifted when the tcp is higher than this, in m."""
MOTION_PERIODS = 10
"""Number of control periods in which a wall rises or a cover travels."""
HAND_DISTANCE_M, HAND_HEIGHT_M = 0.20, 0.30
"""Nothing moves by itself while the tcp is closer than this, horizontally, and lower than this, in m."""


@dataclass(frozen=True)
class Phrase:
    """Words that are said, with their translations by language code ("es", "zh")."""

    text: str
    translations: Mapping[str, str] = field(default_factory=dict)


class Staged(Protocol):
    """Something that goes through stages."""

    @property
    def stage(self) -> int:
        """Index of the current stage, from 0."""
        ...


@dataclass
class InstructionUpdates:
    """Replaces the instruction by ``phrases[i - 1]`` when ``source`` reaches stage i.

    It must come after its source in ``Setup.events``.
    """

    source: Staged
    phrases: tuple[Phrase, ...]
    announced: int = 0

    def step(self, body: Body) -> str | None:
        if self.source.stage == self.announced:
            return None
        self.announced = self.source.stage
        return self.phrases[self.announced - 1].text


def reworded(setup: Setup, reword: Callable[[Phrase], str]) -> Setup:
    """Returns the episode in other words: ``reword`` gives the new text of every phrase, at the start and later."""

    def new_phrase(phrase: Phrase) -> Phrase:
        return replace(phrase, text=reword(phrase))

    first = new_phrase(Phrase(setup.instruction, setup.translations))
    events = tuple(
        replace(event, phrases=tuple(map(new_phrase, event.phrases)))
        if isinstance(event, InstructionUpdates)
        else event
        for event in setup.events
    )
    return replace(setup, instruction=first.text, events=events)


@dataclass
class LiftCounter:
    """Counts objects lifted in a given order: stage i + 1 begins when ``objects[i]`` is lifted."""

    objects: tuple[str | None, ...]  # ids; None stands for any object
    stage: int = 0

    def step(self, body: Body) -> str | None:
        if self.stage < len(self.objects):
            found = lifted_object(body.state())
            if found and self.objects[self.stage] in (found, None):
                self.stage += 1
        return None


@dataclass
class RisingWall:
    """A wall that rises out of the table when the first object is lifted."""

    wall: str  # its object id
    risen_periods: int = -1  # control periods since it began to rise; -1 before that
    contact_periods: int = 0  # control periods that ended with something touching the wall

    @property
    def moving(self) -> bool:
        """Whether the wall is rising now."""
        return 0 <= self.risen_periods < MOTION_PERIODS

    def step(self, body: Body) -> str | None:
        state = body.state()
        if self.risen_periods < 0 and lifted_object(state):
            self.risen_periods = 0
        if self.moving and not hand_is_near(state, state[self.wall].pos[:2]):
            self.risen_periods += 1
            height = state[self.wall].spec.height
            mocap = body.model.body_mocapid[body.model.body(self.wall).id]
            body.data.mocap_pos[mocap, 2] = height * (smoothstep(self.risen_periods / MOTION_PERIODS) - 0.5)
        self.contact_periods += self.risen_periods >= 0 and self._is_touched(body)
        return None

    def _is_touched(self, body: Body) -> bool:
        wall = body.model.body(self.wall).id
        return bool((body.model.geom_bodyid[body.data.contact.geom] == wall).any())


def lifted_object(state: WorldState) -> str | None:
    """Returns the id of the object that the hand has lifted, or None."""
    return state.holding if state.tcp[2] > LIFTED_TCP_HEIGHT_M else None


def hand_is_near(state: WorldState, point: np.ndarray) -> bool:
    """Returns whether the hand is so close to a point (2,) on the table, in m, that nothing there may move."""
    return float(np.hypot(*(state.tcp[:2] - point))) < HAND_DISTANCE_M and state.tcp[2] < HAND_HEIGHT_M


def smoothstep(x: float) -> float:
    """Returns 3x² - 2x³, which rises from 0 to 1 on [0, 1] with zero slope at both ends."""
    return x * x * (3 - 2 * x)
