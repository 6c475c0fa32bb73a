"""Arms of MuJoCo Menagerie: "menagerie:kuka_iiwa_14" downloads the model once and mounts our gripper on it.

Any Menagerie arm will do that is a chain of hinges with position servos and a site "attachment_site" on its flange, and
that reaches the workspace. Needs the package mujoco-menagerie (extra ``arms``) and, the first time, a network.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from math import cos, pi, sin
from typing import Any

import mujoco
import numpy as np

from qwenarm.body.arms import ur5e
from qwenarm.body.arms.parts import Arm
from qwenarm.body.kinematics import Kinematics, top_down
from qwenarm.errors import BadInput

FLANGE_SITE = "attachment_site"
NAME_PREFIX = "arm/"
"""Before all names of the model: none can meet a name of the scene."""
MAX_SPEED_RAD_PER_S, MAX_ACCELERATION_RAD_PER_S2 = 2.0, 8.0
"""rad/s and rad/s2 for every joint: Menagerie's models carry no speed limits."""
HOME_TCP_M = np.array([0.30, 0.0, 0.40])
"""Of the tcp, m."""


def __getattr__(name: str) -> Arm:
    if name.startswith("_"):
        raise AttributeError(name)
    return make_arm(name)


@cache
def make_arm(name: str) -> Arm:
    """The Menagerie arm of that name with our gripper. Raises BadInput: no package, no network, or not such an arm.

    Nothing says how a gripper is turned on a flange: of four ways, the one that leaves home furthest from joint limits.
    """
    mounted = [_mount(name, turn) for turn in (0.0, pi / 2, pi, -pi / 2)]
    arm, margin = max(mounted, key=lambda choice: choice[1])
    if margin < 0:
        raise BadInput(f"The Menagerie arm {name!r} does not reach the workspace.")
    return arm


def _mount(name: str, turn: float) -> tuple[Arm, float]:
    """The arm with its gripper turned by ``turn``, and home's margin to the joint limits, rad; -1 if out of reach."""
    model = _read(name)
    joints = _joints(model, name)
    pose = dict(zip([joint.name for joint in model.joints], model.keys[0].qpos, strict=False)) if model.keys else {}
    draft = Arm(
        name=f"menagerie:{name}",
        doc=f"{name} of MuJoCo Menagerie with a parallel gripper.",
        build=partial(_build, name=name, turn=turn),
        joints=tuple(NAME_PREFIX + joint for joint in joints),
        home_qpos=tuple(float(pose.get(joint, 0.0)) for joint in joints),
        velocity=(MAX_SPEED_RAD_PER_S,) * len(joints),
        acceleration=(MAX_ACCELERATION_RAD_PER_S2,) * len(joints),
        max_gap=ur5e.MAX_GAP_M,
    )
    spec = mujoco.MjSpec()
    draft.build(spec)
    kinematics = Kinematics(spec.compile(), draft)
    home = kinematics.ik(HOME_TCP_M, top_down(pi / 2))
    margin = float(np.minimum(home.qpos - kinematics.lower, kinematics.upper - home.qpos).min())
    return replace(draft, home_qpos=tuple(float(q) for q in home.qpos)), margin if home.reached else -1.0


def _build(spec: mujoco.MjSpec, name: str, turn: float) -> None:
    """Attaches the model at the origin: weightless, without its lights and poses, touching the world but not itself."""
    arm = _read(name)
    for extra in (*arm.lights, *arm.keys):
        arm.delete(extra)
    for body in arm.bodies[1:]:
        body.gravcomp = 1.0
    for geom in arm.geoms:
        if geom.contype or geom.conaffinity:
            geom.contype, geom.conaffinity = ur5e.FOREARM_GROUP.contype, ur5e.FOREARM_GROUP.conaffinity
    spec.attach(arm, prefix=NAME_PREFIX, frame=spec.worldbody.add_frame())
    flange = spec.site(NAME_PREFIX + FLANGE_SITE)
    quat = np.zeros(4)
    mujoco.mju_mulQuat(quat, flange.quat, np.array([cos(turn / 2), 0, 0, sin(turn / 2)]))
    ur5e.mount_gripper(spec, flange.parent.add_body(name="hand", pos=flange.pos, quat=quat))


def _joints(spec: mujoco.MjSpec, name: str) -> tuple[str, ...]:
    """The hinges from base to flange."""
    site = spec.site(FLANGE_SITE)
    if site is None:
        raise BadInput(f"The Menagerie model {name!r} has no {FLANGE_SITE!r} on which a gripper could be mounted.")
    joints: list[str] = []
    body = site.parent
    while body is not None:
        joints = [joint.name for joint in body.joints] + joints
        body = body.parent
    driven = {actuator.target for actuator in spec.actuators}
    if len(joints) < 6 or not driven.issuperset(joints):
        raise BadInput(
            f"The Menagerie model {name!r} is not an arm with a position servo on each of at least six joints."
        )
    return tuple(joints)


def _read(name: str) -> mujoco.MjSpec:
    """The model without a hand, if it comes so, else as it is."""
    menagerie = _package()
    try:
        robot = menagerie.get(name)
        bare = [entry for entry in robot.entry_names if entry.endswith("_nohand")]
        return robot.spec((bare or [robot.default_model])[0])
    except menagerie.MenagerieError as error:
        raise BadInput(f"Cannot get the Menagerie model {name!r}: {error}") from error


def _package() -> Any:
    try:
        return import_module("mujoco_menagerie")
    except ImportError as error:
        raise BadInput("Menagerie arms need a package: pip install mujoco-menagerie.") from error
