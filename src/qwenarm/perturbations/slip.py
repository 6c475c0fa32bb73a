"""One mishap during the episode: an object is nudged aside, or the fingers lose what they hold. Tests recovery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from qwenarm.body.scene import in_workspace
from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.perturbations import Perturbation
from qwenarm.tasks.core.goal import Setup

NUDGE_M, NUDGE_PERIODS = 0.04, 8
"""Distance by which an object is nudged, in m, and the number of control periods that takes."""
NUDGE_DIRECTIONS = 12
NUDGE_GAP_M = 0.012
"""Minimum free space between a nudged object and all others, in m."""
MIN_TCP_DISTANCE_M = 0.25
"""Minimum horizontal distance of the tcp from an object that is nudged, in m."""
DROP_HEIGHT_M, DROP_DISTANCE_M = 0.08, 0.005
"""The fingers begin to open at this height of the tcp, or at this distance from its position with the arm at home, in
m. The object falls a quarter of a second later, before the hand has reached its target."""
OPEN_PERIODS = 8
"""Number of control periods for which the fingers stay open."""
HOME_TOLERANCE_RAD = 0.05
"""The arm is at home if no joint is further than this from its home angle, in rad."""
EXTRA_TURNS = 4
"""Number of turns added to the episode for recovery."""


@dataclass
class Nudge:
    """Moves an object aside, once, when another one has been lifted.

    ``angle_rad`` is the preferred direction, ``delay_periods`` the number of control periods from the lift to the
    nudge.
    """

    angle_rad: float
    delay_periods: int
    waited: int = -1
    """Control periods since the lift; -1 before it."""
    what: str = ""
    step_m: tuple[float, float] = (0.0, 0.0)
    periods_left: int = NUDGE_PERIODS

    def step(self, body: Body) -> str | None:
        if self.periods_left == 0:
            return None
        state = body.state()
        if self.waited < 0 and not (state.holding and state.tcp[2] > DROP_HEIGHT_M):
            return None
        self.waited += 1
        if not self.what and self.waited >= self.delay_periods:
            self.what, self.step_m = next(self._choices(state), ("", (0.0, 0.0)))
        if self.what:
            _shift(body, self.what, self.step_m)
            self.periods_left -= 1
        return None

    def _choices(self, state: WorldState) -> Iterator[tuple[str, tuple[float, float]]]:
        """Yields objects that can be nudged, each with its shift (2,) per period, in m."""
        for name, thing in state.objects.items():
            burdened = any(state.on(other, name) for other in state.objects if other != name)
            away = float(np.hypot(*(thing.pos[:2] - state.tcp[:2]))) > MIN_TCP_DISTANCE_M
            if thing.spec.graspable and state.on_table(name) and name != state.holding and away and not burdened:
                for turn in np.linspace(0, 2 * np.pi, NUDGE_DIRECTIONS, endpoint=False):
                    way = NUDGE_M * np.array([np.cos(self.angle_rad + turn), np.sin(self.angle_rad + turn)])
                    if _free(state, name, thing.pos[:2] + way):
                        yield name, (float(way[0]) / NUDGE_PERIODS, float(way[1]) / NUDGE_PERIODS)


@dataclass
class LoseGrasp:
    """Opens the fingers once: low above the table at the first lift or, if ``late``, on the way to the target."""

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
        if self.home is None and np.abs(body.proprio().qpos - body.arm.home_qpos).max() < HOME_TOLERANCE_RAD:
            self.home = float(x), float(y)
        gone = self.home is not None and np.hypot(x - self.home[0], y - self.home[1]) > DROP_DISTANCE_M
        if gone if self.late else z > DROP_HEIGHT_M:
            self.done = True
            body.forced_open_periods = OPEN_PERIODS
        return None


def perturb(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """Adds one mishap, and turns to recover from it."""
    angle, after = float(rng.uniform(-np.pi, np.pi)), int(rng.integers(1, 10))
    mishap = Nudge(angle, after) if strength == 1 else LoseGrasp(late=strength == 3)
    events = (*setup.events, mishap)
    return replace(setup, events=events, max_turns=setup.max_turns + EXTRA_TURNS)


def _free(state: WorldState, name: str, spot: np.ndarray) -> bool:
    """Returns whether the table has room for an object at a spot (2,), in m."""
    if not in_workspace(*spot):
        return False
    radius = state[name].spec.radius
    return all(
        float(np.hypot(*(other.pos[:2] - spot))) > radius + other.spec.radius + NUDGE_GAP_M
        for key, other in state.objects.items()
        if key not in (name, state.holding)
    )


def _shift(body: Body, name: str, way: tuple[float, float]) -> None:
    """Moves an object at rest by (2,) m."""
    joint = body.model.joint(name)
    body.data.qpos[joint.qposadr[0] : joint.qposadr[0] + 2] += way
    body.data.qvel[joint.dofadr[0] : joint.dofadr[0] + 6] = 0
    mujoco.mj_kinematics(body.model, body.data)


PERTURBATION = Perturbation(
    ("an object is nudged", "the first grasp is lost", "an object is dropped on the way"), perturb
)
