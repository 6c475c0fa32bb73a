"""Play a chunk of 20 Hz actions: what policies that act without skills are made of. No model is offered these.

One entry for each meaning of an action, named as in ``SkillCall("action_chunk:EE_DELTA", {"actions": rows})``. A row is
one control period (50 ms), in m, rad and world axes; its last number is the opening of the fingers, from 0 (closed) to
1 (open):

* EE_DELTA: shift of the tcp (3), rotation vector of its turn (3), opening.
* EE_DELTA_HAND: the same along the axes of the hand.
* EE_POSE: position of the tcp (3), quaternion wxyz (4), opening.
* JOINT: joint angles (n), opening.
* OSC: the six numbers of an ``OscAction``, opening. Only LIBERO's own arm plays these, and it plays no others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from qwenarm.body.manipulator import Manipulator
from qwenarm.body.simulation import Body
from qwenarm.errors import UnknownName
from qwenarm.skills.failure import Motion, Moves
from qwenarm.skills.skill import Skill
from qwenarm.types import Control, Param, SkillResult, SkillSpec

ToQpos = Callable[[Body, np.ndarray], np.ndarray]
"""Joint angles (n,) rad for an action without its opening."""
ToControl = Callable[[Body, np.ndarray], Any]
"""What the arm's ``step`` takes, for a row."""


@dataclass(frozen=True)
class OscAction:
    """An action of robosuite's controller OSC_POSE for one 50 ms control period: (7,) in [-1, 1].

    Shift of the hand (1 = 5 cm), rotation vector of its turn (1 = 0.5 rad), both in the arm's base frame, and the
    fingers (-1 open, 1 closed).
    """

    values: np.ndarray


def moved_hand(
    arm: Body | Manipulator, shift: Sequence[float] | np.ndarray, turn: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Joint angles (n,) rad that shift and turn the hand from where it was last sent.

    Args:
        arm: One arm, or the world with its active arm.
        shift: (3,) m, along the world's axes.
        turn: (3,) rad, a rotation vector in the world's axes.
    """
    rx, ry, rz = turn
    angle = math.sqrt(rx * rx + ry * ry + rz * rz)
    norm, sin = max(angle, 1e-9), math.sin(angle / 2)
    turned = np.array([math.cos(angle / 2), sin * (rx / norm), sin * (ry / norm), sin * (rz / norm)])
    pos, quat = arm.kinematics.fk(arm.target.qpos)
    pos += np.asarray(shift)
    mujoco.mju_mulQuat(quat, turned, quat)
    return arm.ik(pos, quat).qpos


def _along_world(body: Body, action: np.ndarray) -> np.ndarray:
    return moved_hand(body, action[:3], action[3:])


def _along_hand(body: Body, action: np.ndarray) -> np.ndarray:
    mat = np.zeros(9)
    mujoco.mju_quat2Mat(mat, body.kinematics.fk(body.target.qpos)[1])
    axes = mat.reshape(3, 3)
    return moved_hand(body, axes @ action[:3], axes @ action[3:])


def _to_pose(body: Body, action: np.ndarray) -> np.ndarray:
    return body.ik(action[:3], action[3:] / np.linalg.norm(action[3:])).qpos


def _to_joints(to_qpos: ToQpos) -> ToControl:
    return lambda body, action: Control(to_qpos(body, action[:-1]), action[-1] * body.arm.max_gap)


def _to_osc(body: Body, action: np.ndarray) -> OscAction:
    return OscAction(np.append(action[:-1], 1 - 2 * action[-1]))


def _entry(name: str, to_control: ToControl, control: type = Control) -> Skill:
    def act(body: Body, actions: Sequence[Sequence[float]]) -> Motion:
        if body.accepts is not control:
            return SkillResult(False, f"this arm takes a {body.accepts.__name__}, not a {control.__name__}")
        for action in actions:
            yield to_control(body, np.array(action))
        return SkillResult(True)

    def stay(body: Body) -> Moves:
        yield from ()

    return Skill(SkillSpec(f"action_chunk:{name}", "Play 20 Hz actions.", (Param("actions", "actions"),)), act, stay)


ACTION_SKILLS = {
    "EE_DELTA": _entry("EE_DELTA", _to_joints(_along_world)),
    "EE_DELTA_HAND": _entry("EE_DELTA_HAND", _to_joints(_along_hand)),
    "EE_POSE": _entry("EE_POSE", _to_joints(_to_pose)),
    "JOINT": _entry("JOINT", _to_joints(lambda body, action: action)),
    "OSC": _entry("OSC", _to_osc, OscAction),
}


def make_entry(name: str) -> Skill:
    """Returns the skill for a meaning of an action. Raises UnknownName."""
    if name not in ACTION_SKILLS:
        raise UnknownName("action", name, ACTION_SKILLS)
    return ACTION_SKILLS[name]
