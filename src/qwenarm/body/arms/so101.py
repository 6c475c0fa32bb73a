"""An SO-101-like arm: five joints, 0.25 m from shoulder to wrist, on a riser near the workspace; primitive shapes.

Frames and joint ranges: the maker's published model (github.com/TheRobotStudio/SO-ARM100, so101_new_calib), zero as in
LeRobot's calibration; masses from there, torque and speed of the STS3215 servo at 12 V (30 kg cm, 45 rpm without load).
The hand keeps its length; instead of one turning jaw it has two sliding ones. Shapes are ours.
"""

from __future__ import annotations

import mujoco

from qwenarm.body.arms.parts import (
    FINGER_NAMES,
    Arm,
    CollisionGroup,
    Link,
    add_finger,
    add_gripper_drive,
    add_pad,
    add_servo_joint,
    add_tcp,
)
from qwenarm.body.grippers import ParallelJaws

JOINT_NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
LINK_FRAMES = (
    ((0.0388353, 0.0, 0.0624), (0.0, 0.0, -1.0, 0.0)),
    ((-0.0303992, -0.0182778, -0.0542), (0.5, -0.5, -0.5, -0.5)),
    ((-0.11257, -0.028, 0.0), (0.707107, 0.0, 0.0, 0.707107)),
    ((-0.1349, 0.0052, 0.0), (0.707107, 0.0, 0.0, -0.707107)),
    ((0.0, -0.0611, 0.0181), (0.0172091, -0.0172091, 0.706897, 0.706897)),
)
"""Position (m) and orientation (quaternion wxyz) of each joint in the frame of the one before."""
JOINT_RANGES_RAD = ((-1.91986, 1.91986), (-1.74533, 1.74533), (-1.69, 1.69), (-1.65806, 1.65806), (-2.74385, 2.84121))
MASSES_KG = (0.100, 0.103, 0.104, 0.079, 0.087)
SERVO_TORQUE_NM, SERVO_SPEED_RAD_PER_S = 2.94, 4.7
SERVO_GAINS = (300, 12)
TCP_OFFSET_M = 0.0981
"""Distance from the frame of the last joint to the middle of the pads, in m."""
FINGER_OFFSET_M = 0.045
MAX_GAP_M = 0.07
BASE_X_M, RISER_HEIGHT_M = 0.26, 0.16
"""The hand points down and is longer than the shoulder is high: on the bare table it would reach only half as far."""
ARM_GROUP = CollisionGroup(4, 1)
"""Meets the world only."""

YELLOW_RGB, DARK_RGB, RUBBER_RGB = (0.95, 0.78, 0.15), (0.12, 0.12, 0.13), (0.07, 0.07, 0.07)
WOOD_RGB = (0.55, 0.42, 0.30)


def build(spec: mujoco.MjSpec) -> None:
    """Adds the whole arm on its riser."""
    body = spec.worldbody.add_body(name="base", pos=[BASE_X_M, 0, RISER_HEIGHT_M])
    base = Link(body, ARM_GROUP)
    base.box((0.01, 0, -RISER_HEIGHT_M / 2), (0.055, 0.055, RISER_HEIGHT_M / 2), WOOD_RGB, mass=2.0)
    base.box((0.01, 0, 0.024), (0.05, 0.035, 0.024), YELLOW_RGB, mass=0.147)
    ends = (
        (-0.03, -0.018, -0.054),
        (-0.11257, -0.028, 0.0),
        (-0.1349, 0.0052, 0.0),
        (0.0, -0.055, 0.018),
        (0, 0, -0.02),
    )
    for i, (name, (pos, quat)) in enumerate(zip(JOINT_NAMES, LINK_FRAMES, strict=True)):
        body = body.add_body(name=f"{name}_link", pos=pos, quat=quat)
        add_servo_joint(spec, body, name, JOINT_RANGES_RAD[i], SERVO_TORQUE_NM, SERVO_GAINS)
        link = Link(body, ARM_GROUP)
        link.capsule((0, 0, 0), ends[i], 0.018, YELLOW_RGB, mass=MASSES_KG[i])
        link.cylinder((0, 0, -0.018), (0, 0, 0.018), 0.019, DARK_RGB, shown=True)
    hand = body.add_body(name="hand", quat=[0, 1, 0, 0])
    _shape_hand(spec, hand)


def _shape_hand(spec: mujoco.MjSpec, hand: mujoco.MjsBody) -> None:
    link = Link(hand, ARM_GROUP)
    link.box((0, 0, 0.020), (0.014, 0.030, 0.020), YELLOW_RGB, mass=0.05)
    link.box((0, 0, 0.042), (0.012, 0.050, 0.004), DARK_RGB)
    add_tcp(hand, TCP_OFFSET_M)
    for name in FINGER_NAMES:
        finger = add_finger(hand, name, FINGER_OFFSET_M, MAX_GAP_M, mass=0.03)
        finger.box((0, 0.010, 0.020), (0.009, 0.006, 0.020), YELLOW_RGB)
        add_pad(finger, TCP_OFFSET_M - FINGER_OFFSET_M, RUBBER_RGB)
    add_gripper_drive(spec, MAX_GAP_M)


ARM = Arm(
    name="so101",
    doc="SO-101-like, 5 joints, parallel gripper that opens 70 mm; reaches a part of the workspace.",
    build=build,
    joints=JOINT_NAMES,
    home_qpos=(1.3152, -0.5844, 0.8223, 1.3329, 1.3639),  # tcp near (0.33, -0.12, 0.20), fingers down, out of the view
    velocity=(SERVO_SPEED_RAD_PER_S,) * 5,
    acceleration=(10.0,) * 5,
    gripper=ParallelJaws(MAX_GAP_M),
    reaches_workspace=False,
)
