"""Bad luck on the way, to see who recovers: something is nudged aside, or the fingers lose what they hold, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from qwenarm.body.scene import in_workspace
from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.perturbations._axis import Axis
from qwenarm.tasks.core.goal import Setup

NUDGE, PERIODS = 0.04, 8
"""A thing is nudged so far, m, in so many control periods."""
ROOM = 0.012
"""Free space that it keeps to all others, m."""
HAND_AWAY = 0.25
"""No thing is nudged while the tcp is nearer, m across the table."""
LOW, AWAY = 0.08, 0.005
"""The fingers begin to open when the tcp has come this high, m, or this far from where it was with the arm at home, m:
the thing falls a quarter of a second later, before the hand has come to its place."""
LOOSE = 8
"""Control periods for which the fingers stay open."""
HOME = 0.05
"""The arm is at home when its joints are this near to it, rad."""
MORE_TURNS = 4
"""To make up for it."""


@dataclass
class Nudge:
    """Shoves one thing aside as soon as another one is lifted for the first time, and if it stands alone."""

    angle: float
    after: int
    """So many control periods after that."""
    waited: int = -1
    what: str = ""
    step_m: tuple[float, float] = (0.0, 0.0)
    left: int = PERIODS

    def step(self, body: Body) -> str | None:
        if self.left == 0:
            return None
        state = body.state()
        if self.waited < 0 and not (state.holding and state.tcp[2] > LOW):
            return None
        self.waited += 1
        if not self.what and self.waited >= self.after:
            self.what, self.step_m = next(self._choices(state), ("", (0.0, 0.0)))
        if self.what:
            _shift(body, self.what, self.step_m)
            self.left -= 1
        return None

    def _choices(self, state: WorldState) -> Iterator[tuple[str, tuple[float, float]]]:
        """Things that can be shoved, each with the way of one period, m."""
        for name, thing in state.objects.items():
            burdened = any(state.on(other, name) for other in state.objects if other != name)
            away = float(np.hypot(*(thing.pos[:2] - state.tcp[:2]))) > HAND_AWAY
            if thing.spec.graspable and state.on_table(name) and name != state.holding and away and not burdened:
                for turn in np.linspace(0, 2 * np.pi, 12, endpoint=False):
                    way = NUDGE * np.array([np.cos(self.angle + turn), np.sin(self.angle + turn)])
                    if _free(state, name, thing.pos[:2] + way):
                        yield name, (float(way[0]) / PERIODS, float(way[1]) / PERIODS)


@dataclass
class LoseGrasp:
    """Opens the fingers once: low over the table on the first lift, or, if ``late``, on the way to the place."""

    late: bool
    home: tuple[float, float] | None = None
    done: bool = False

    def step(self, body: Body) -> str | None:
        if self.done:
            return None
        state = body.state()
        if state.holding is None:
            self.home = None
            return None
        x, y, z = state.tcp
        if self.home is None and np.abs(body.proprio().qpos - body.arm.home_qpos).max() < HOME:
            self.home = float(x), float(y)
        gone = self.home is not None and np.hypot(x - self.home[0], y - self.home[1]) > AWAY
        if gone if self.late else z > LOW:
            self.done = True
            body.forced_open_periods = LOOSE
        return None


def change(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """One mishap, and turns to make up for it."""
    angle, after = float(rng.uniform(-np.pi, np.pi)), int(rng.integers(1, 10))
    mishap = Nudge(angle, after) if strength == 1 else LoseGrasp(late=strength == 3)
    events = (*setup.events, mishap)
    return replace(setup, events=events, max_turns=setup.max_turns + MORE_TURNS)


def _free(state: WorldState, name: str, spot: np.ndarray) -> bool:
    """Is there room for it on the table?"""
    if not in_workspace(*spot):
        return False
    radius = state[name].spec.radius
    return all(
        float(np.hypot(*(other.pos[:2] - spot))) > radius + other.spec.radius + ROOM
        for key, other in state.objects.items()
        if key not in (name, state.holding)
    )


def _shift(body: Body, name: str, way: tuple[float, float]) -> None:
    """Puts a thing (2,) m further, at rest."""
    joint = body.model.joint(name)
    body.data.qpos[joint.qposadr[0] : joint.qposadr[0] + 2] += way
    body.data.qvel[joint.dofadr[0] : joint.dofadr[0] + 6] = 0
    mujoco.mj_kinematics(body.model, body.data)


AXIS = Axis(
    "slip", "Bad luck.", ("a thing is nudged", "the first grasp is lost", "a thing is dropped on the way"), change
)
