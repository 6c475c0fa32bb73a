"""A UR5e-like arm: six joints, no spherical wrist, a parallel gripper; primitive shapes.

Kinematics: DH parameters of the Universal Robots UR5e (universal-robots.com, "DH parameters for calculations of
kinematics and dynamics"), written here in the modified form; masses, torque and speed limits from the same page and the
data sheet. The base is turned by 180 deg, so that the arm reaches forward at zero. Shapes and gripper are ours.
"""

from __future__ import annotations

from math import pi

import mujoco

from qwenarm.body.arms.parts import (
    FINGER_NAMES,
    TRUNK_GROUP,
    WRIST_GROUP,
    Arm,
    CollisionGroup,
    Link,
    add_dh_body,
    add_finger,
    add_gripper_drive,
    add_pad,
    add_servo_joint,
    add_tcp,
)
from qwenarm.body.grippers import ParallelJaws

# a (m), alpha (rad), d (m) of joints 1..6, modified form
DH_PARAMETERS = (
    (0.0, 0.0, 0.1625),
    (0.0, pi / 2, 0.0),
    (-0.425, 0.0, 0.0),
    (-0.3922, 0.0, 0.1333),
    (0.0, pi / 2, 0.0997),
    (0.0, -pi / 2, 0.0996),
)
JOINT_RANGES_RAD = (
    (-2 * pi, 2 * pi),
    (-2 * pi, 2 * pi),
    (-pi, pi),
    (-2 * pi, 2 * pi),
    (-2 * pi, 2 * pi),
    (-2 * pi, 2 * pi),
)
JOINT_TORQUES_NM = (150.0, 150.0, 150.0, 28.0, 28.0, 28.0)
SERVO_GAINS = ((6000, 400), (6000, 400), (5000, 300), (2500, 90), (2500, 80), (2000, 40))
TCP_OFFSET_M = 0.145
"""Distance from the flange to the middle of the pads, in m."""
FINGER_OFFSET_M = 0.086
MAX_GAP_M = 0.085
UR5E_JAWS = ParallelJaws(MAX_GAP_M)
JOINT_NAMES = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")

SHOULDER_OFFSET_M = 0.138
"""Sideways from joint 2 to the middle of the upper arm, m."""
FOREARM_OFFSET_M = 0.007
"""Sideways from joint 3's frame to the middle of the forearm, m."""
HOUSING_SEAM_M = 0.072
"""Where shoulder and elbow are parted, m sideways."""
FOREARM_GROUP = CollisionGroup(4, 1)
"""Meets the world only: it lies between trunk and hand and touches neither within its range."""

TUBE_RGB = (0.80, 0.81, 0.83)
SHELL_RGB = (0.70, 0.71, 0.73)
CAP_BLUE = (0.42, 0.60, 0.74)
SEAM_RGB = (0.16, 0.17, 0.18)
DARK_RGB = (0.12, 0.12, 0.13)
RUBBER_RGB = (0.07, 0.07, 0.07)


def build(spec: mujoco.MjSpec) -> None:
    """Adds the whole arm, base at the origin."""
    mount_gripper(spec, build_links(spec).add_body(name="hand"))


def build_links(spec: mujoco.MjSpec) -> mujoco.MjsBody:
    """Adds the arm without a hand and returns the link with the flange, whose z points outwards."""
    body = spec.worldbody.add_body(name="base", quat=[0, 0, 0, 1])
    _shape_base(Link(body, TRUNK_GROUP))
    groups = (TRUNK_GROUP, TRUNK_GROUP, FOREARM_GROUP, WRIST_GROUP, WRIST_GROUP, WRIST_GROUP)
    shapers = (_shape_shoulder, _shape_upper_arm, _shape_forearm, _shape_wrist_1, _shape_wrist_2, _shape_wrist_3)
    for i, name in enumerate(JOINT_NAMES):
        body = add_dh_body(body, f"{name}_link", *DH_PARAMETERS[i])
        add_servo_joint(spec, body, name, JOINT_RANGES_RAD[i], JOINT_TORQUES_NM[i], SERVO_GAINS[i])
        shapers[i](Link(body, groups[i]))
    return body


def mount_gripper(spec: mujoco.MjSpec, hand: mujoco.MjsBody) -> None:
    """Makes ``hand``, a bare body on a flange whose z points outwards, this arm's gripper, with tcp and drive."""
    _shape_hand(Link(hand, WRIST_GROUP))
    add_tcp(hand, TCP_OFFSET_M)
    for name in FINGER_NAMES:
        finger = add_finger(hand, name, FINGER_OFFSET_M, MAX_GAP_M, mass=0.1)
        _shape_finger(finger)
        add_pad(finger, TCP_OFFSET_M - FINGER_OFFSET_M, RUBBER_RGB)
    add_gripper_drive(spec, MAX_GAP_M)


def _shape_base(link: Link) -> None:
    link.cylinder((0, 0, 0), (0, 0, 0.012), 0.075, SHELL_RGB, shown=True)
    link.cylinder((0, 0, 0), (0, 0, 0.090), 0.064, SHELL_RGB, mass=4.0)
    link.cylinder((0, 0, 0.090), (0, 0, 0.096), 0.061, SEAM_RGB, shown=True)
    link.cylinder((-0.060, 0, 0.040), (-0.080, 0, 0.040), 0.014, DARK_RGB, shown=True)


def _shape_shoulder(link: Link) -> None:
    """Shapes the link that rises from the base and then turns to the side (its -y is joint 2's axis)."""
    link.cylinder((0, 0, -0.067), (0, 0, -0.010), 0.061, TUBE_RGB)
    link.ellipsoid((0, 0, 0), (0.061, 0.061, 0.061), TUBE_RGB)
    link.cylinder((0, 0.050, 0), (0, -HOUSING_SEAM_M + 0.004, 0), 0.060, TUBE_RGB, mass=3.761)
    _cap(link, (0, 0.050, 0), 0.058, side=1, along="y")


def _shape_upper_arm(link: Link) -> None:
    """A barrel at each end and the tube between them."""
    for x, radius in ((0.0, 0.060), (-0.425, 0.054)):
        link.cylinder((x, 0, HOUSING_SEAM_M), (x, 0, SHOULDER_OFFSET_M + 0.052), radius, TUBE_RGB)
        link.cylinder(
            (x, 0, HOUSING_SEAM_M - 0.003), (x, 0, HOUSING_SEAM_M + 0.003), radius - 0.001, SEAM_RGB, shown=True
        )
        _cap(link, (x, 0, SHOULDER_OFFSET_M + 0.052), radius - 0.002, side=1, along="z")
    link.cylinder((-0.055, 0, SHOULDER_OFFSET_M), (-0.090, 0, SHOULDER_OFFSET_M), 0.0535, SEAM_RGB, shown=True)
    link.capsule((-0.050, 0, SHOULDER_OFFSET_M), (-0.375, 0, SHOULDER_OFFSET_M), 0.0500, TUBE_RGB, mass=8.058)
    link.cylinder((-0.335, 0, SHOULDER_OFFSET_M), (-0.370, 0, SHOULDER_OFFSET_M), 0.0520, SEAM_RGB, shown=True)


def _shape_forearm(link: Link) -> None:
    """The other half of the elbow, the thinner tube, and the first half of wrist 1."""
    link.cylinder((0, 0, HOUSING_SEAM_M), (0, 0, FOREARM_OFFSET_M - 0.046), 0.054, TUBE_RGB)
    _cap(link, (0, 0, FOREARM_OFFSET_M - 0.046), 0.052, side=-1, along="z")
    link.cylinder((-0.050, 0, FOREARM_OFFSET_M), (-0.078, 0, FOREARM_OFFSET_M), 0.0460, SEAM_RGB, shown=True)
    link.capsule((-0.045, 0, FOREARM_OFFSET_M), (-0.350, 0, FOREARM_OFFSET_M), 0.0400, TUBE_RGB, mass=2.846)
    link.cylinder((-0.320, 0, FOREARM_OFFSET_M), (-0.350, 0, FOREARM_OFFSET_M), 0.0420, SEAM_RGB, shown=True)
    link.cylinder((-0.3922, 0, FOREARM_OFFSET_M - 0.040), (-0.3922, 0, 0.070), 0.0440, TUBE_RGB)
    _cap(link, (-0.3922, 0, FOREARM_OFFSET_M - 0.040), 0.042, side=-1, along="z")


def _shape_wrist_1(link: Link) -> None:
    link.cylinder((0, 0, -0.063), (0, 0, 0.040), 0.0430, TUBE_RGB, mass=1.37)
    link.cylinder((0, 0, -0.065), (0, 0, -0.060), 0.0425, SEAM_RGB, shown=True)
    link.cylinder((0, 0, 0), (0, -0.056, 0), 0.0430, TUBE_RGB, shown=True)
    _cap(link, (0, 0, 0.040), 0.041, side=1, along="z")


def _shape_wrist_2(link: Link) -> None:
    link.cylinder((0, 0, -0.043), (0, 0, 0.040), 0.0430, TUBE_RGB, mass=1.30)
    link.cylinder((0, 0, -0.046), (0, 0, -0.041), 0.0425, SEAM_RGB, shown=True)
    link.cylinder((0, 0, 0), (0, 0.058, 0), 0.0430, TUBE_RGB, shown=True)
    _cap(link, (0, 0, 0.040), 0.041, side=1, along="z")


def _shape_wrist_3(link: Link) -> None:
    link.cylinder((0, 0, -0.041), (0, 0, -0.036), 0.0425, SEAM_RGB, shown=True)
    link.cylinder((0, 0, -0.036), (0, 0, 0.0), 0.0375, SHELL_RGB, mass=0.365)


def _cap(link: Link, center: tuple[float, float, float], radius: float, side: int, along: str) -> None:
    """The blue lid on a joint's open end: a flat dome. side: the sign of the direction it looks in, along y or z."""
    half = (radius, 0.016, radius) if along == "y" else (radius, radius, 0.016)
    link.ellipsoid(center, half, CAP_BLUE)
    x, y, z = center
    rim = (x, y + 0.003 * side, z) if along == "y" else (x, y, z + 0.003 * side)
    link.cylinder(center, rim, radius + 0.001, CAP_BLUE, shown=True)


def _shape_hand(link: Link) -> None:
    """An adaptive-gripper body: a coupling, a waisted housing and the rail of the fingers."""
    link.cylinder((0, 0, 0), (0, 0, 0.014), 0.0375, DARK_RGB, shown=True)
    link.cylinder((0, 0, 0.014), (0, 0, 0.060), 0.0320, SEAM_RGB, mass=0.80)
    link.box((0, 0, 0.062), (0.0250, 0.0600, 0.0150), DARK_RGB)
    for y in (-0.060, 0.060):
        link.cylinder((-0.0250, y, 0.062), (0.0250, y, 0.062), 0.0150, DARK_RGB, shown=True)
    link.box((0, 0, 0.062), (0.0256, 0.0350, 0.0050), SHELL_RGB, shown=True)
    link.box((0, 0, 0.0810), (0.0120, 0.0780, 0.0045), SEAM_RGB, shown=True)


def _shape_finger(finger: Link) -> None:
    """A carriage on the rail, a stem, and a slim tip (the pad is added by the caller)."""
    finger.box((0, 0.0150, 0.0080), (0.0130, 0.0130, 0.0100), DARK_RGB)
    finger.box((0, 0.0160, 0.0300), (0.0105, 0.0070, 0.0140), SHELL_RGB, shown=True)
    finger.box((0, 0.0120, 0.0510), (0.0095, 0.0045, 0.0130), DARK_RGB, turn=(8, 0, 0))


ARM = Arm(
    name="ur5e",
    doc="UR5e-like, 6 joints, parallel gripper that opens 85 mm; primitive shapes.",
    build=build,
    joints=JOINT_NAMES,
    home_qpos=(-0.4604, -2.0798, 1.7929, -1.2839, -1.5708, -2.0312),
    velocity=(pi,) * 6,
    acceleration=(10.0,) * 6,
    gripper=UR5E_JAWS,
)
