"""Covers that settle over things and travel with them, by themselves, and what has become of them since."""

from __future__ import annotations

from dataclasses import dataclass, field

import mujoco
import numpy as np

from qwenarm.body.simulation import Body
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.tasks.core.events import RISE_PERIODS, hand_at, smooth

HOP = 0.09
"""Height over the table at which a cover travels, m: over everything that stands there."""
UNDER = 0.02
"""A thing whose middle is this near to a cover's middle, m across the table, is under it."""
TOUCHED = 0.03
"""A cover that has moved by more than this, m, has been lifted or pushed."""


@dataclass(frozen=True)
class Trip:
    """A cover's way to x, y, m, and yaw, rad; quarter turns come at no cost. load: the id of what is under it and comes
    along, "" for nothing. wait: control periods for which everything rests before.
    """

    cover: str
    x: float
    y: float
    yaw: float
    load: str = ""
    wait: int = 0


@dataclass
class Covering:
    """Trips one after the other, as time passes. hides: the (cover, thing) pairs that there shall be in the end.

    at: 1 once all are made. Then spoiled tells whether a thing was not under its cover, so that nothing can be asked;
    heard, how much had been said by then; opened, which covers have been moved since.
    """

    trips: tuple[Trip, ...]
    hides: tuple[tuple[str, str], ...]
    at: int = 0
    spoiled: bool = False
    heard: int = 0
    opened: set[str] = field(default_factory=set)
    made: int = 0
    passed: int = 0
    """Control periods of the trip under way."""
    start: dict[str, ObjectState] = field(default_factory=dict, compare=False)
    """What travels, as it was when the trip began; once all are made, the covers as they were then."""

    def step(self, body: Body) -> str | None:
        state = body.state()
        if self.at:
            self.opened |= {c for c in self.start if np.abs(state[c].pos - self.start[c].pos).max() > TOUCHED}
        elif self._travel(body, state):
            self.made, self.passed = self.made + 1, 0
            if self.made == len(self.trips):
                self._finish(body.state())
        return None

    def over(self, state: WorldState, cover: str) -> bool:
        """Does it stand over its thing?"""
        away = state[cover].pos[:2] - state[dict(self.hides)[cover]].pos[:2]
        return state.holding != cover and float(np.hypot(*away)) < UNDER and state[cover].bottom < UNDER

    def _travel(self, body: Body, state: WorldState) -> bool:
        """One control period of the trip, unless the hand is in the way. Is it made?"""
        trip = self.trips[self.made]
        if self.passed <= trip.wait:
            self.start = {name: state[name] for name in (trip.cover, trip.load) if name}
        begin, end = self.start[trip.cover], np.array([trip.x, trip.y])
        if self.passed < trip.wait or not (hand_at(state, begin.pos[:2]) or hand_at(state, end)):
            self.passed += 1
        share = (self.passed - trip.wait) / RISE_PERIODS
        turn = (trip.yaw - _yaw(begin) + np.pi / 4) % (np.pi / 2) - np.pi / 4
        for thing in self.start.values() if share > 0 else ():
            _carry(body, thing, end - begin.pos[:2], turn, share)
        return share == 1

    def _finish(self, state: WorldState) -> None:
        self.at, self.heard = 1, len(state.said)
        self.start = {cover: state[cover] for cover, _ in self.hides}
        self.spoiled = not all(self.over(state, cover) for cover, _ in self.hides)


def _carry(body: Body, thing: ObjectState, shift: np.ndarray, turn: float, share: float) -> None:
    """Sets a thing to its place on the way at a share of it: up, over and down. Weightless until it is there. shift:
    (2,) m, turn: rad, of the whole way; thing: as it was before.
    """
    model, data = body.model, body.data
    joint = model.joint(thing.spec.id)
    across = smooth(float(np.clip(2 * share - 0.5, 0, 1)))
    rise = min(1.0, 1.6 * np.sin(np.pi * smooth(share))) if share < 1 else 0.0
    quat, yaw = np.zeros(4), across * turn
    mujoco.mju_mulQuat(quat, np.array([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]), thing.quat)
    adr, dof = joint.qposadr[0], joint.dofadr[0]
    x, y = thing.pos[:2] + across * shift
    data.qpos[adr : adr + 7] = [x, y, thing.pos[2] + HOP * rise, *quat]
    data.qvel[dof : dof + 6] = 0
    weight = -float(model.body_mass[joint.bodyid[0]] * model.opt.gravity[2])
    data.xfrc_applied[joint.bodyid[0], 2] = 0.0 if share == 1 else weight
    mujoco.mj_kinematics(model, data)


def _yaw(thing: ObjectState) -> float:
    return float(2 * np.arctan2(thing.quat[3], thing.quat[0]))
