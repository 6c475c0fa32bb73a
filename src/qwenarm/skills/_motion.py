"""Smooth, speed-limited ways from here to there. All motion of the skills is made of these.

The minimum-jerk profile s(t) = 10 t^3 - 15 t^4 + 6 t^5 (Flash and Hogan, J. Neuroscience 5(7), 1985) has a peak speed of 15/8
and a peak acceleration of 10/sqrt(3) times the mean; durations follow from these and the limits.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np

from qwenarm.body.kinematics import top_down
from qwenarm.body.safety import BOX, PERIOD
from qwenarm.skills._skill import Failed
from qwenarm.types import Control

if TYPE_CHECKING:
    from qwenarm.body.body import Body

Moves = Generator[Control, None, None]

SHARE = 0.7
"""How much of the joints' speed and acceleration limits a motion uses."""
PEAK_SPEED, PEAK_ACCELERATION = 15 / 8, 10 / np.sqrt(3)
FAST, GENTLE = 0.45, 0.12
"""Peak speeds of the tcp on straight lines, m/s: in the air, and where it may touch something."""
LINE_ACCELERATION = 2.0
"""Of the tcp on straight lines, m/s2."""
CONTACT = 0.0025
"""The tcp lags this far above its target when what it holds stands on something, m."""
SAFE_HEIGHT = 0.22
"""A hand lower than this rises before it travels home, m."""


def reach(body: Body, pos: np.ndarray, yaw: float, q0: np.ndarray | None = None) -> np.ndarray:
    """(n,) joint angles for a hand that points down at pos (3,) m and opens along yaw, rad. Raises Failed out of reach."""
    outside = float(np.linalg.norm(np.clip(pos, BOX[0], BOX[1]) - pos))
    found = body.ik(pos, top_down(yaw), q0)
    if outside > 0 or found.position_error > 0.002 or found.rotation_error > 0.05:
        by = max(outside, found.position_error, 0.1 * found.rotation_error)
        raise Failed(f"out of reach by {max(1, round(100 * by))} cm")
    return found.qpos


def nearest_yaw(yaw: float) -> float:
    """yaw or half a turn away from it, whichever is nearer to how the hand stands at home (pi / 2): fingers are symmetric."""
    return yaw + np.pi * round((np.pi / 2 - yaw) / np.pi)


def move_joints(body: Body, goal: np.ndarray) -> Moves:
    """All joints at once to goal (n,) rad, as fast as the slowest of them may; the fingers stay as they are."""
    start, gripper = body.hold().qpos, body.hold().gripper
    way = np.abs(goal - start)
    by_speed = PEAK_SPEED * way / (SHARE * np.array(body.arm.velocity))
    by_force = np.sqrt(PEAK_ACCELERATION * way / (SHARE * np.array(body.arm.acceleration)))
    periods = max(1, int(np.ceil(np.maximum(by_speed, by_force).max() / PERIOD)))
    for s in _profile(periods):
        yield Control(start + s * (goal - start), gripper)


def move_line(body: Body, pos: np.ndarray, yaw: float, speed: float = FAST, guarded: bool = False) -> Moves:
    """The tcp on a straight line to pos (3,) m, hand pointing down. Raises Failed if a part of it is out of reach.

    guarded: stops as soon as the hand lags above its target, for then something carries what it holds.
    """
    start, _ = body.kinematics.fk(body.hold().qpos)
    gripper, qpos = body.hold().gripper, body.hold().qpos
    length = float(np.linalg.norm(pos - start))
    seconds = max(PEAK_SPEED * length / speed, np.sqrt(PEAK_ACCELERATION * length / LINE_ACCELERATION), 2 * PERIOD)
    for s in _profile(int(np.ceil(seconds / PERIOD))):
        target = start + s * (pos - start)
        qpos = reach(body, target, yaw, qpos)
        yield Control(qpos, gripper)
        if guarded and body.proprio().tcp_pos[2] - target[2] > CONTACT:
            return


def set_fingers(body: Body, gap: float) -> Moves:
    """Moves the fingers to a gap, m, and waits until they stand still."""
    qpos = body.hold().qpos
    for k in range(30):
        before = body.gripper_width
        yield Control(qpos, gap)
        if k >= 3 and abs(body.gripper_width - before) < 2e-4:
            return


def wait(body: Body, seconds: float) -> Moves:
    """Stays as it is."""
    for _ in range(round(seconds / PERIOD)):
        yield body.hold()


def go_home(body: Body) -> Moves:
    """From anywhere to the home pose, straight up first if the hand is low; the fingers stay as they are."""
    home = np.array(body.arm.home_qpos)
    pos, quat = body.kinematics.fk(body.hold().qpos)
    if pos[2] < SAFE_HEIGHT:
        up = body.ik(np.array([*np.clip(pos[:2], BOX[0, :2], BOX[1, :2]), SAFE_HEIGHT]), quat)
        if up.reached:
            yield from move_joints(body, up.qpos)
    yield from move_joints(body, home)
    yield from wait(body, 0.1)


def _profile(periods: int) -> np.ndarray:
    """The shares of the way, one per control period, ending with 1."""
    t = np.arange(1, periods + 1) / periods
    return t**3 * (10 - 15 * t + 6 * t**2)
