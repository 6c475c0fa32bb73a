"""Covers that settle over objects and travel with them, and a record of what the arm has done to them since."""

from __future__ import annotations

from dataclasses import dataclass, field

import mujoco
import numpy as np

from qwenarm.body.simulation import Body
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.tasks.core.events import MOTION_PERIODS, hand_is_near, smoothstep

TRAVEL_HEIGHT_M = 0.09
"""Height to which covers rise on their way, in m, so that they pass over everything on the table."""
UNDER_TOLERANCE_M = 0.02
"""Maximum horizontal distance between the middles of a cover and of the object under it, in m."""
MOVED_M = 0.03
"""A cover that has moved by more than this, in m, was lifted or pushed."""


@dataclass(frozen=True)
class CoverTrip:
    """One trip of a cover, alone or with the object under it."""

    cover: str
    x: float  # m
    y: float
    yaw: float  # rad; quarter turns do not matter
    load: str = ""  # id of the object that comes along
    wait_periods: int = 0  # control periods of rest before it starts


@dataclass
class CoverMotion:
    """An event that makes the trips one after the other, and then watches the covers.

    It reaches stage 1 when all trips are made; then the request is said.
    """

    trips: tuple[CoverTrip, ...]
    hides: tuple[tuple[str, str], ...]  # (cover, object) pairs in the end
    stage: int = 0
    spoiled: bool = False  # an object was not under its cover at stage 1, so success is impossible
    calls_before: int = 0  # calls of "say" and the like before stage 1
    opened: set[str] = field(default_factory=set)  # covers that were moved since
    trips_made: int = 0
    periods: int = 0  # control periods of the current trip
    start: dict[str, ObjectState] = field(default_factory=dict, compare=False)
    """What travels, in its state at the start of the trip; at stage 1, the covers as they settled."""

    def step(self, body: Body) -> str | None:
        state = body.state()
        if self.stage:
            self.opened |= {c for c in self.start if np.abs(state[c].pos - self.start[c].pos).max() > MOVED_M}
        elif self._travel(body, state):
            self.trips_made, self.periods = self.trips_made + 1, 0
            if self.trips_made == len(self.trips):
                self._finish(body.state())
        return None

    @property
    def covers(self) -> frozenset[str]:
        """Ids of the covers."""
        return frozenset(cover for cover, _ in self.hides)

    def is_over(self, state: WorldState, cover: str) -> bool:
        """Returns whether a cover stands over its object."""
        offset = state[cover].pos[:2] - state[dict(self.hides)[cover]].pos[:2]
        near = float(np.hypot(*offset)) < UNDER_TOLERANCE_M
        return state.holding != cover and near and state[cover].bottom < UNDER_TOLERANCE_M

    def _travel(self, body: Body, state: WorldState) -> bool:
        """Advances the trip by one control period, unless the hand is in the way. Returns whether the trip is over."""
        trip = self.trips[self.trips_made]
        if self.periods <= trip.wait_periods:
            self.start = {name: state[name] for name in (trip.cover, trip.load) if name}
        begin, end = self.start[trip.cover], np.array([trip.x, trip.y])
        waits = self.periods < trip.wait_periods
        if waits or not (hand_is_near(state, begin.pos[:2]) or hand_is_near(state, end)):
            self.periods += 1
        share = (self.periods - trip.wait_periods) / MOTION_PERIODS
        turn = (trip.yaw - begin.yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4
        for thing in self.start.values() if share > 0 else ():
            _carry(body, thing, end - begin.pos[:2], turn, share)
        return share == 1

    def _finish(self, state: WorldState) -> None:
        self.stage, self.calls_before = 1, len(state.said)
        self.start = {cover: state[cover] for cover, _ in self.hides}
        self.spoiled = not all(self.is_over(state, cover) for cover, _ in self.hides)


def _carry(body: Body, thing: ObjectState, shift: np.ndarray, turn: float, share: float) -> None:
    """Moves an object to its pose at a share of its way up, across and down. It is weightless until it arrives.

    ``thing`` is its state before the trip; ``shift`` (2,) in m and ``turn`` in rad are those of the whole trip.
    """
    model, data = body.model, body.data
    joint = model.joint(thing.spec.id)
    across = smoothstep(float(np.clip(2 * share - 0.5, 0, 1)))
    rise = min(1.0, 1.6 * np.sin(np.pi * smoothstep(share))) if share < 1 else 0.0
    quat, yaw = np.zeros(4), across * turn
    mujoco.mju_mulQuat(quat, np.array([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]), thing.quat)
    adr, dof = joint.qposadr[0], joint.dofadr[0]
    x, y = thing.pos[:2] + across * shift
    data.qpos[adr : adr + 7] = [x, y, thing.pos[2] + TRAVEL_HEIGHT_M * rise, *quat]
    data.qvel[dof : dof + 6] = 0
    weight = -float(model.body_mass[joint.bodyid[0]] * model.opt.gravity[2])
    data.xfrc_applied[joint.bodyid[0], 2] = 0.0 if share == 1 else weight
    mujoco.mj_kinematics(model, data)
