"""Two UR5e-like arms side by side on one table; each skill is played by the one that reaches best.

Each reaches all of the workspace, so nothing has to be handed over. While one works, the other waits at home, beside
the workspace. They can touch each other: that counts as a collision.
"""

from __future__ import annotations

from dataclasses import replace

import mujoco

from qwenarm.body.arms import ur5e
from qwenarm.body.arms.parts import Arm

BASE_Y_M = 0.28
"""y of the left base, as the arms see it, in m; the right one stands at the opposite place."""
MAX_SPEED_RAD_PER_S, MAX_ACCELERATION_RAD_PER_S2 = 1.5, 5.0
"""Limits of every joint. Ways from one side of the table to the other are twice as long as those of an arm in its
middle: at full speed, 1.5 m/s at the hand, what the fingers hold creeps out of them."""
RIGHT_PREFIX = "right/"
PARTNER_COLLISION_BIT = 16
"""Collision group of the right arm that the left one meets."""
LEFT_HOME_RAD = (-0.0540, -2.1389, 1.8176, -1.2495, -1.5708, -1.6248)
RIGHT_HOME_RAD = (-0.9489, -2.1389, 1.8176, -1.2495, -1.5708, -2.5197)
"""tcp at (0.25, +-0.40, 0.40) m, hand down."""


def build(spec: mujoco.MjSpec) -> None:
    """Adds both arms, bases on z = 0 beside the origin."""
    ur5e.build(spec)
    base = spec.body("base")
    base.pos = [0.0, BASE_Y_M, 0.0]
    for geom in _touching(base):
        geom.conaffinity |= PARTNER_COLLISION_BIT
    right = mujoco.MjSpec()
    ur5e.build(right)
    for geom in _touching(right.body("base")):
        geom.contype |= PARTNER_COLLISION_BIT
    spec.attach(right, prefix=RIGHT_PREFIX, frame=spec.worldbody.add_frame(pos=[0.0, -BASE_Y_M, 0.0]))


def _touching(base: mujoco.MjsBody) -> list[mujoco.MjsGeom]:
    return [geom for geom in base.find_all("geom") if geom.contype or geom.conaffinity]


def _prefixed(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(RIGHT_PREFIX + name for name in names)


def _right_arm(left: Arm) -> Arm:
    jaws = ur5e.UR5E_JAWS
    return replace(
        left,
        name="ur5e_pair's right arm",
        joints=_prefixed(ur5e.JOINT_NAMES),
        home_qpos=RIGHT_HOME_RAD,
        base_xy=(0.0, -BASE_Y_M),
        gripper=replace(
            jaws, joints=_prefixed(jaws.joints), bodies=_prefixed(jaws.bodies), actuators=_prefixed(jaws.actuators)
        ),
        tcp_site=RIGHT_PREFIX + ur5e.ARM.tcp_site,
        hand_body=RIGHT_PREFIX + ur5e.ARM.hand_body,
    )


LEFT_ARM = replace(
    ur5e.ARM,
    home_qpos=LEFT_HOME_RAD,
    velocity=(MAX_SPEED_RAD_PER_S,) * 6,
    acceleration=(MAX_ACCELERATION_RAD_PER_S2,) * 6,
    base_xy=(0.0, BASE_Y_M),
)
ARM = replace(
    LEFT_ARM,
    name="ur5e_pair",
    doc="Two UR5e-like arms side by side, parallel grippers that open 85 mm; primitive shapes.",
    build=build,
    partners=(_right_arm(LEFT_ARM),),
)
