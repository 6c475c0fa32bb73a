"""Smooth motion within the arm's limits: minimum-jerk moves of the joints, straight lines of the hand, the fingers.

The minimum-jerk profile s(t) = 10 t^3 - 15 t^4 + 6 t^5 (Flash and Hogan, J. Neuroscience 5(7), 1985) has a peak speed
of 15/8 and a peak acceleration of 10/sqrt(3) times the mean; durations follow from these and the limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from qwenarm.body.arms.parts import TIP_BEYOND_TCP_M, Arm
from qwenarm.body.kinematics import top_down
from qwenarm.body.safety import CONTROL_PERIOD_S, TCP_LIMITS_M
from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Moves, SkillFailure
from qwenarm.skills.heightmap import HeightMap
from qwenarm.types import Control

SPEED_SHARE, ACCELERATION_SHARE = 0.8, 0.7
"""Shares of the joints' speed and acceleration limits that motions use."""
MAX_LINE_SPEED_M_PER_S, MAX_LINE_ACCELERATION_M_PER_S2 = 0.40, 2.0
"""Limits of the hand's motion on straight lines, in m/s and m/s2."""
CONTACT_SPEED_M_PER_S = 0.12
"""Speed of the hand where it may touch something, m/s."""
ARRIVED_DISTANCE_M = 0.01
"""What has to go less far than this, in m, is there already."""
TRAVEL_HEIGHT_M = 0.25
"""The hand rises to this height before it travels home, m."""
HOME_TOLERANCE_RAD = 0.02
"""The arm is at home if no joint is further away than this, in rad."""
APPROACH_HEIGHT_M, OBSTACLE_CLEARANCE_M = 0.08, 0.03
"""Minimum height of the hand above its target on arrival, and above everything it passes, in m."""
LINE_KNOTS = ((5, True), (9, False))
"""Attempts at a line: how many points of it are solved, and whether each search starts from an extrapolation of the
points before, which halves the work. That can lead past a joint limit; a line that comes out crooked is solved again at
more points, each from the last."""
LINE_TOLERANCE_M = 0.5e-3
"""Maximum distance of the tcp from the straight line at a check point, in m."""
MAX_LINE_ERROR_M = 5e-3
"""Maximum distance from the line, in m. A solution that is further away is refused: its joints jump somewhere."""
PEAK_SPEED_RATIO, PEAK_ACCELERATION_RATIO = 15 / 8, 10 / math.sqrt(3)


def go_home(body: Body) -> Moves:
    """Moves the arm home from anywhere: straight up first if it is low, then joint by joint. The fingers stay."""
    home = np.array(body.arm.home_qpos)
    at = body.hold().qpos
    if np.abs(at - home).max() < HOME_TOLERANCE_RAD:
        return
    pos, quat = body.kinematics.fk(at)
    if pos[2] < TRAVEL_HEIGHT_M:
        up = np.array([*np.clip(pos[:2], TCP_LIMITS_M[0, :2], TCP_LIMITS_M[1, :2]), TRAVEL_HEIGHT_M])
        with suppress(SkillFailure):  # no way straight up: then through the joints from here
            yield from follow(body, line_from(body, at, up, quat))
    yield from move_joints(body, home)


def move_joints(body: Body, goal: np.ndarray) -> Moves:
    """Moves all joints together to ``goal`` (n,) rad, as fast as the slowest of them allows."""
    start, gripper = body.hold().qpos, body.hold().gripper
    way = goal - start
    for qpos in start + np.outer(_profile(_duration(body, way)), way):
        yield Control(qpos, gripper)


@dataclass(frozen=True)
class TcpLine:
    """A straight line of the tcp.

    Joint angles are polynomials in the share of the way through a few solved points, so the motion is smooth even where
    the null space moves.

    Attributes:
        length: In m.
        weights: (K, n) coefficients, highest power first.
    """

    length: float
    weights: np.ndarray

    def at(self, shares: np.ndarray) -> np.ndarray:
        """Joint angles (k, n) in rad at shares (k,) of the way."""
        found, shares = np.zeros((len(shares), self.weights.shape[1])), shares[:, None]
        for weight in self.weights:  # Horner's rule
            found *= shares
            found += weight
        return found

    @property
    def start(self) -> np.ndarray:
        """Joint angles (n,) in rad at its beginning."""
        return self.weights[-1]

    @property
    def end(self) -> np.ndarray:
        """Joint angles (n,) in rad at its end."""
        return self.weights.sum(axis=0)


def line_from(body: Body, qpos: np.ndarray, pos: np.ndarray, quat: np.ndarray) -> TcpLine:
    """The line from joint angles ``qpos`` (n,) in rad to the tcp pose ``pos`` (3,) in m and ``quat`` (4,), wxyz.

    Raises:
        SkillFailure: Part of it is out of reach, or the joints cannot follow it without a jump.
    """
    _inside(pos)
    start, turned = body.kinematics.fk(qpos)
    quat = quat if turned @ quat > 0 else -quat
    for count, leading in LINE_KNOTS:
        shares, to_weights, to_next = _nodes(count)
        places = start + shares[:, None] * (pos - start)
        turns = turned + shares[:, None] * (quat - turned)
        turns /= np.linalg.norm(turns, axis=1)[:, None]
        knots = [qpos]
        for at, turn, ahead in zip(places[1:], turns[1:], to_next, strict=True):
            guess = ahead @ np.array(knots) if leading else knots[-1]
            knots.append(_solve(body, at, turn, guess, knots[-1]))
        line = TcpLine(float(np.linalg.norm(pos - start)), to_weights @ np.array(knots))
        halves = (shares[1:] + shares[:-1]) / 2
        ways = zip(halves, line.at(halves), strict=True)
        beside = max(np.abs(body.kinematics.fk(q)[0] - start - half * (pos - start)).max() for half, q in ways)
        if beside < LINE_TOLERANCE_M:
            return line
    if beside > MAX_LINE_ERROR_M:
        raise SkillFailure("the arm cannot get there on a straight line")
    return line


@cache
def _nodes(count: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Where a line is solved, and the matrices that interpolate between these points.

    Returns:
        Shares (K,) of the way: Chebyshev nodes, denser at the ends, where an interpolating polynomial strays first; the
        matrix (K, K) that turns values at the nodes into coefficients; and for each node but the first the vector that
        extrapolates to it from all nodes before it.
    """
    shares = (1 - np.cos(np.linspace(0, math.pi, count))) / 2
    to_next = [np.vander(shares[k : k + 1], k)[0] @ np.linalg.inv(np.vander(shares[:k])) for k in range(1, count)]
    return shares, np.linalg.inv(np.vander(shares)), to_next


def follow(
    body: Body,
    line: TcpLine,
    begin: float = 0.0,
    end: float = 1.0,
    speed: float = MAX_LINE_SPEED_M_PER_S,
    stop: Callable[[], bool] | None = None,
) -> Generator[Control, None, float]:
    """Follows a line as fast as the slowest joint allows.

    Args:
        body: The simulated world.
        line: To be followed.
        begin: Share of the way to start at.
        end: Share of the way to end at; smaller than ``begin`` to go backwards.
        speed: Maximum speed of the tcp, in m/s.
        stop: Asked every control period; True ends the motion early.

    Returns:
        The share that was reached.
    """
    gripper = body.hold().gripper
    shares, path = _paced(body, line, begin, end, speed)
    for share, qpos in zip(shares, path, strict=True):
        yield Control(qpos, gripper)
        if stop is not None and stop():
            return float(share)
    return end


def reach(body: Body, pos: np.ndarray, yaw: float) -> np.ndarray:
    """Joint angles (n,) in rad of a hand at ``pos`` (3,) in m that points down and opens along ``yaw`` in rad.

    Raises:
        SkillFailure: That is out of reach.
    """
    _inside(pos)
    return _solve(body, pos, top_down(yaw), body.kinematics.facing(body.hold().qpos, pos))


def line_down(body: Body, above: np.ndarray, pos: np.ndarray, yaw: float) -> TcpLine:
    """The line from ``above`` (3,) to ``pos`` (3,), in m, of a hand that points down and opens along ``yaw`` in rad."""
    _inside(pos)
    return line_from(body, reach(body, above, yaw), pos, top_down(yaw))


Planned = TypeVar("Planned")


def either_way_round(plan: Callable[[float], Planned]) -> Planned:
    """What ``plan`` gives for a hand turned by 0 rad, or by half a turn where a joint's limit is in the way of that.

    The fingers are alike, so both do the same. Raises the first SkillFailure if both are out of reach.
    """
    try:
        return plan(0.0)
    except SkillFailure:
        with suppress(SkillFailure):
            return plan(-math.pi)
        raise


def above_all(body: Body, surface: HeightMap, pos: np.ndarray, below: float = TIP_BEYOND_TCP_M) -> np.ndarray:
    """The point (3,) above ``pos`` (3,), in m, high enough that the hand touches nothing on its way there from home.

    ``below`` is how far the hand, or what it holds, reaches below the tcp, in m.
    """
    least = float(pos[2]) + APPROACH_HEIGHT_M
    tallest = surface.tallest(body.tcp_pos[:2], pos[:2], radius=0.08, above=least - below - OBSTACLE_CLEARANCE_M)
    return np.array([*pos[:2], max(least, tallest + below + OBSTACLE_CLEARANCE_M)])


def wait(body: Body, seconds: float) -> Moves:
    """Holds the arm still."""
    for _ in range(math.ceil(seconds / CONTROL_PERIOD_S)):
        yield body.hold()


def out_of_reach(by: float) -> str:
    """What a policy is told about a place that the hand misses by ``by`` m."""
    return f"out of reach by {max(1, round(100 * by))} cm"


def set_fingers(body: Body, gap: float, patience: int = 16) -> Moves:
    """Moves the fingers towards ``gap`` in m until they stand still, or for ``patience`` control periods."""
    control = Control(body.hold().qpos, gap)
    for _ in range(patience):
        before = body.gripper_width
        yield control
        if abs(body.gripper_width - before) < 2e-4:
            break
    for _ in range(2):  # let the grip build up, or the thing settle
        yield control


def touching(body: Body, slack: float = 0.003) -> Callable[[], bool]:
    """A test whether something carries the hand: it is more than ``slack`` m above its target."""
    return held_back(body, np.array([0.0, 0.0, -1.0]), slack)


def held_back(body: Body, way: np.ndarray, slack: float) -> Callable[[], bool]:
    """A test whether the hand is more than ``slack`` m behind its target, along the unit vector ``way`` (3,)."""

    def lags() -> bool:
        wanted, _ = body.kinematics.fk(body.hold().qpos)
        return float((wanted - body.tcp_pos) @ way) > slack

    return lags


def nearest_yaw(yaw: np.ndarray | float) -> np.ndarray:
    """``yaw`` in rad, or half a turn from it: whichever is closer to the hand's yaw at home (pi / 2)."""
    return yaw + math.pi * np.round((math.pi / 2 - yaw) / math.pi)


def _inside(pos: np.ndarray) -> None:
    """Raises SkillFailure for a point (3,), in m, outside the workspace."""
    beyond = pos - np.minimum(np.maximum(pos, TCP_LIMITS_M[0]), TCP_LIMITS_M[1])
    if beyond.any():
        raise SkillFailure(out_of_reach(float(np.linalg.norm(beyond))))


def _solve(body: Body, pos: np.ndarray, quat: np.ndarray, q0: np.ndarray, rest: np.ndarray | None = None) -> np.ndarray:
    """Joint angles (n,) for a tcp pose, within the safety layer's limits. Raises SkillFailure if it is out of reach."""
    solution = body.kinematics.ik(pos, quat, q0, rest)
    if not solution.reached:
        raise SkillFailure(out_of_reach(solution.position_error + 0.1 * solution.rotation_error))
    return np.minimum(np.maximum(solution.qpos, body.safety.lower), body.safety.upper)


def _paced(body: Body, line: TcpLine, begin: float, end: float, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """Shares (k,) of the way and joint angles (k, n) for each control period, within every joint's limits."""
    length = line.length * abs(end - begin)
    seconds = max(
        PEAK_SPEED_RATIO * length / speed,
        math.sqrt(PEAK_ACCELERATION_RATIO * length / MAX_LINE_ACCELERATION_M_PER_S2),
        2 * CONTROL_PERIOD_S,
    )
    first = line.at(np.array([begin]))
    while True:
        shares = begin + _profile(seconds) * (end - begin)
        path = line.at(shares)
        excess = _excess(body, np.concatenate([first, first, path, path[-1:]]))
        if excess <= 1:
            return shares, path
        seconds *= 1.02 * excess


def _excess(body: Body, path: np.ndarray) -> float:
    """The factor by which a path (k, n) must be slowed down to keep every joint's limits."""
    velocity = (path[1:] - path[:-1]) / CONTROL_PERIOD_S
    acceleration = (velocity[1:] - velocity[:-1]) / CONTROL_PERIOD_S
    speed, push = _limits(body.arm)
    return max(float((np.abs(velocity) / speed).max()), math.sqrt(float((np.abs(acceleration) / push).max())))


def _duration(body: Body, way: np.ndarray) -> float:
    """Duration in s of a minimum-jerk motion of the joints by ``way`` (n,) rad."""
    (speed, push), far = _limits(body.arm), np.abs(way)
    fast, hard = float((far / speed).max()) * PEAK_SPEED_RATIO, float((far / push).max()) * PEAK_ACCELERATION_RATIO
    return max(fast, math.sqrt(hard), 2 * CONTROL_PERIOD_S)


@cache
def _limits(arm: Arm) -> tuple[np.ndarray, np.ndarray]:
    """Maximum speed (n,) in rad/s and acceleration (n,) in rad/s² of the joints in motions."""
    return np.array(arm.velocity) * SPEED_SHARE, np.array(arm.acceleration) * ACCELERATION_SHARE


def _profile(seconds: float) -> np.ndarray:
    """Shares of the way at each control period of a minimum-jerk motion, ending with 1."""
    count = math.ceil(seconds / CONTROL_PERIOD_S)
    t = np.arange(1, count + 1) / count
    return t * t * t * (10 + t * (6 * t - 15))
