"""What goes on by itself in some tasks: a wall that rises, covers that settle over things, words that change.

Each is a ``Happening``, depends on the simulator's state alone, and so is the same for the same calls. A *plot* is one
that counts how far things have come (``at``); a ``Voice`` tells the new words whenever its plot moves on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import mujoco
import numpy as np

from qwenarm.body.body import Body
from qwenarm.body.state import WorldState
from qwenarm.tasks._goal import Setup

LIFTED = 0.12
"""A thing in the hand counts as lifted from this height of the tcp on, m."""
RISE_PERIODS = 10
"""Control periods that a wall takes to rise, and a cover to settle."""
HOP = 0.09
"""Height over the table at which a cover travels, m: over everything that stands there."""
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
        if self.moving and not _hand_at(state, state[self.wall].pos[:2]):
            self.risen += 1
            height = state[self.wall].spec.height
            mocap = body.model.body_mocapid[body.model.body(self.wall).id]
            body.data.mocap_pos[mocap, 2] = height * (_smooth(self.risen / RISE_PERIODS) - 0.5)
        self.touched += self.risen >= 0 and self._meets_something(body)
        return None

    def _meets_something(self, body: Body) -> bool:
        wall = body.model.body(self.wall).id
        return bool((body.model.geom_bodyid[body.data.contact.geom] == wall).any())


@dataclass
class Covering:
    """Covers that settle over things, one after the other, as soon as time passes. moves: (cover, x, y, yaw) of where
    each settles, m and rad. at: 1 as soon as all have.
    """

    moves: tuple[tuple[str, float, float, float], ...]
    settled: int = 0
    passed: int = 0
    """Control periods of the move under way."""
    start: tuple[float, ...] = ()
    """Its cover's pose when it began: x, y, yaw."""
    at: int = 0

    def step(self, body: Body) -> str | None:
        if self.settled == len(self.moves):
            self.at = 1
            return None
        cover, *goal = self.moves[self.settled]
        state = body.state()
        if self.passed == 0:
            self.start = (*state[cover].pos[:2].tolist(), _yaw(state[cover].quat))
        if not any(_hand_at(state, np.array(spot[:2])) for spot in (self.start, goal)):
            self.passed += 1
        there = self.passed == RISE_PERIODS
        _carry(body, cover, self.start, goal, self.passed / RISE_PERIODS, state[cover].spec.origin_height, there)
        if there:
            self.settled, self.passed = self.settled + 1, 0
        return None


def lifted(state: WorldState) -> str | None:
    """The thing that the hand has lifted, or None."""
    return state.holding if state.tcp[2] > LIFTED else None


def _hand_at(state: WorldState, spot: np.ndarray) -> bool:
    """Is the hand down there?"""
    return float(np.hypot(*(state.tcp[:2] - spot))) < NEAR and state.tcp[2] < HIGH


def _smooth(share: float) -> float:
    return share * share * (3 - 2 * share)


def _carry(
    body: Body, cover: str, start: Sequence[float], goal: Sequence[float], share: float, height: float, there: bool
) -> None:
    """Sets a cover to its place on the way at a share of it, weightless until it is there. Yaws differ by whole quarter
    turns at no cost: the shortest turn is made.
    """
    model, data = body.model, body.data
    joint = model.joint(cover)
    across = _smooth(float(np.clip(2 * share - 0.5, 0, 1)))  # up, over and down
    rise = np.sin(np.pi * _smooth(share)) if share < 1 else 0.0
    turn = (goal[2] - start[2] + np.pi / 4) % (np.pi / 2) - np.pi / 4
    yaw = start[2] + across * turn
    x, y = (s + across * (g - s) for s, g in zip(start[:2], goal[:2], strict=True))
    adr, dof = joint.qposadr[0], joint.dofadr[0]
    data.qpos[adr : adr + 7] = [x, y, height + HOP * min(1.0, 1.6 * rise), np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
    data.qvel[dof : dof + 6] = 0
    weight = -float(model.body_mass[joint.bodyid[0]] * model.opt.gravity[2])
    data.xfrc_applied[joint.bodyid[0], 2] = 0.0 if there else weight
    mujoco.mj_kinematics(model, data)


def _yaw(quat: np.ndarray) -> float:
    return float(2 * np.arctan2(quat[3], quat[0]))
