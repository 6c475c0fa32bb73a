"""Franka Emika Panda with its hand, from published numbers and primitive shapes: no mesh files.

Kinematics: modified DH parameters, joint, velocity, acceleration and torque limits of
https://frankaemika.github.io/docs/control_parameters.html. Link masses as in franka_description. The shapes are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, pi, sin

import mujoco

from qwenarm.body.arms.parts import (
    FINGER_NAMES,
    TRUNK_GROUP,
    WRIST_GROUP,
    Arm,
    Link,
    add_dh_body,
    add_finger,
    add_gripper_drive,
    add_pad,
    add_servo_joint,
    add_tcp,
)  # fmt: skip
from qwenarm.body.grippers import ParallelJaws

# a (m), alpha (rad), d (m) of joints 1..7
DH_PARAMETERS = (
    (0.0, 0.0, 0.333),
    (0.0, -pi / 2, 0.0),
    (0.0, pi / 2, 0.316),
    (0.0825, pi / 2, 0.0),
    (-0.0825, -pi / 2, 0.384),
    (0.0, pi / 2, 0.0),
    (0.088, pi / 2, 0.0),
)
FLANGE_OFFSET_M = 0.107
"""From joint 7 to the flange, m; the hand sits there, turned by -45 deg."""
TCP_OFFSET_M = 0.1034
"""Distance from the flange to the middle of the pads, in m."""
JOINT_RANGES_RAD = (
    (-2.8973, 2.8973), (-1.7628, 1.7628), (-2.8973, 2.8973), (-3.0718, -0.0698),
    (-2.8973, 2.8973), (-0.0175, 3.7525), (-2.8973, 2.8973),
)  # fmt: skip
JOINT_TORQUES_NM = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
SERVO_GAINS = ((4500, 250), (4500, 250), (3500, 180), (3500, 180), (2000, 60), (2000, 60), (2000, 40))
FINGER_OFFSET_M = 0.0584
"""Distance from the flange to the fingers' frames, in m."""
MAX_GAP_M = 0.08
JOINT_NAMES = tuple(f"joint{i}" for i in range(1, 8))

WHITE_RGB = (0.93, 0.94, 0.95)
GREY_RGB = (0.72, 0.74, 0.77)
SEAM_RGB = (0.20, 0.21, 0.23)
DARK_RGB = (0.13, 0.13, 0.14)
RUBBER_RGB = (0.07, 0.07, 0.07)
JOINT_RADIUS_M = 0.056
"""Radius of the big joints, m."""


def build(spec: mujoco.MjSpec) -> None:
    """Adds the whole arm, base at the origin."""
    links = (_shape_base, _shape_1, _shape_2, _shape_3, _shape_4, _shape_5, _shape_6, _shape_7)
    build_shaped(
        spec, {f"link{i}": shape for i, shape in enumerate(links)} | {"hand": _shape_hand, "finger": _shape_finger}
    )


def build_shaped(spec: mujoco.MjSpec, shapes: Mapping[str, Callable[[Link], None]]) -> None:
    """The Panda's joints, drives and pads under any skin. shapes: "link0".."link7", "hand", "finger" to geom makers."""
    body = spec.worldbody.add_body(name="link0")
    shapes["link0"](Link(body, TRUNK_GROUP))
    for i, name in enumerate(JOINT_NAMES):
        body = add_dh_body(body, f"link{i + 1}", *DH_PARAMETERS[i])
        add_servo_joint(spec, body, name, JOINT_RANGES_RAD[i], JOINT_TORQUES_NM[i], SERVO_GAINS[i])
        shapes[f"link{i + 1}"](Link(body, TRUNK_GROUP if i < 4 else WRIST_GROUP))
    hand = body.add_body(name="hand", pos=[0, 0, FLANGE_OFFSET_M], quat=[cos(pi / 8), 0, 0, -sin(pi / 8)])
    shapes["hand"](Link(hand, WRIST_GROUP))
    add_tcp(hand, TCP_OFFSET_M)
    for name in FINGER_NAMES:
        finger = add_finger(hand, name, FINGER_OFFSET_M, MAX_GAP_M, mass=0.1)
        shapes["finger"](finger)
        add_pad(finger, TCP_OFFSET_M - FINGER_OFFSET_M, RUBBER_RGB)
    add_gripper_drive(spec, MAX_GAP_M)


def _shape_base(link: Link) -> None:
    """The foot with its long heel, the connectors behind, and the column."""
    link.cylinder((0, 0, 0), (0, 0, 0.012), 0.082, GREY_RGB, shown=True)
    link.box((-0.075, 0, 0.006), (0.075, 0.092, 0.006), GREY_RGB, shown=True)
    link.cylinder((0, 0, 0), (0, 0, 0.140), 0.066, WHITE_RGB, mass=2.0)
    link.ellipsoid((-0.012, 0, 0.064), (0.078, 0.086, 0.062), WHITE_RGB)
    link.box((-0.082, 0, 0.040), (0.060, 0.062, 0.034), WHITE_RGB, mass=0.9)
    link.box((-0.066, 0, 0.066), (0.056, 0.058, 0.030), WHITE_RGB, shown=True, turn=(0, -28, 0))
    link.box((-0.142, 0, 0.038), (0.003, 0.045, 0.022), DARK_RGB, shown=True)
    for y in (-0.063, 0.063):
        for x, z in ((-0.105, 0.030), (-0.075, 0.030), (-0.075, 0.055)):
            link.cylinder((x, y * 0.97, z), (x, y * 1.01, z), 0.008, SEAM_RGB, shown=True)


def _shape_1(link: Link) -> None:
    """The column, bending to the side into its half of the shoulder."""
    link.cylinder((0, 0, -0.193), (0, 0, -0.187), JOINT_RADIUS_M - 0.002, SEAM_RGB, shown=True)
    link.cylinder((0, 0, -0.187), (0, 0, -0.120), JOINT_RADIUS_M, WHITE_RGB)
    link.capsule((0, 0, -0.125), (0, -0.035, -0.030), JOINT_RADIUS_M, WHITE_RGB, shown=True)
    link.capsule((0, 0, -0.140), (0, -0.015, -0.090), JOINT_RADIUS_M, WHITE_RGB, shown=True)
    link.barrel((0, -0.002, 0), (0, -0.102, 0), JOINT_RADIUS_M, 0.026, WHITE_RGB, mass=2.74)
    link.cylinder((0, -0.0025, 0), (0, 0.0025, 0), JOINT_RADIUS_M - 0.001, SEAM_RGB, shown=True)


def _shape_2(link: Link) -> None:
    """The other half of the shoulder, and the upper arm that leaves it."""
    link.barrel((0, 0, 0.0025), (0, 0, 0.102), JOINT_RADIUS_M, 0.026, WHITE_RGB, mass=2.74)
    link.capsule((0, -0.030, 0.045), (0, -0.140, 0.0), JOINT_RADIUS_M, WHITE_RGB, shown=True)
    link.cylinder((0, -0.120, 0), (0, -0.188, 0), JOINT_RADIUS_M, WHITE_RGB)
    link.cylinder((0, -0.188, 0), (0, -0.194, 0), JOINT_RADIUS_M - 0.002, SEAM_RGB, shown=True)


def _shape_3(link: Link) -> None:
    """The rest of the upper arm, swung forward to the elbow."""
    link.cylinder((0, 0, -0.121), (0, 0, -0.060), JOINT_RADIUS_M, WHITE_RGB, mass=1.2)
    link.capsule((0, 0, -0.075), (0.062, 0.042, -0.004), JOINT_RADIUS_M - 0.002, WHITE_RGB, shown=True)
    link.barrel((0.0825, 0.0025, 0), (0.0825, 0.090, 0), JOINT_RADIUS_M - 0.002, 0.022, WHITE_RGB, mass=1.18)
    link.cylinder((0.0825, -0.0025, 0), (0.0825, 0.0025, 0), JOINT_RADIUS_M - 0.003, SEAM_RGB, shown=True)


def _shape_4(link: Link) -> None:
    """The other half of the elbow, swung back into the forearm."""
    link.barrel((0, 0, 0.0025), (0, 0, 0.090), JOINT_RADIUS_M - 0.002, 0.022, WHITE_RGB, mass=1.18)
    link.capsule((-0.020, 0.006, 0.042), (-0.0825, 0.075, 0), JOINT_RADIUS_M - 0.002, WHITE_RGB, shown=True)
    link.cylinder((-0.0825, 0.060, 0), (-0.0825, 0.119, 0), JOINT_RADIUS_M, WHITE_RGB, mass=1.2)
    link.cylinder((-0.0825, 0.119, 0), (-0.0825, 0.125, 0), JOINT_RADIUS_M - 0.002, SEAM_RGB, shown=True)


def _shape_5(link: Link) -> None:
    """The forearm: a thick half that tapers into a slim arm, offset to the side, up to the wrist's barrel."""
    link.cylinder((0, 0, -0.259), (0, 0, -0.190), JOINT_RADIUS_M, WHITE_RGB, mass=1.5)
    link.ellipsoid(
        (0, 0.008, -0.190), (JOINT_RADIUS_M - 0.001, JOINT_RADIUS_M - 0.001, 0.135), WHITE_RGB, turn=(-17, 0, 0)
    )
    link.capsule((0, 0.040, -0.130), (0, 0.072, -0.015), 0.038, WHITE_RGB)
    link.barrel((0, 0.040, 0), (0, 0.108, 0), 0.050, 0.022, WHITE_RGB, mass=1.24)
    link.cylinder((0, 0.034, 0), (0, 0.040, 0), 0.0475, SEAM_RGB, shown=True)


def _shape_6(link: Link) -> None:
    """The wrist's inner barrel and the housing of the last joint, which hangs in front of it."""
    link.barrel((0, 0, -0.034), (0, 0, 0.028), 0.047, 0.027, WHITE_RGB, mass=0.8)
    link.capsule((0.015, 0.0, 0.000), (0.080, 0.0, 0.000), 0.043, WHITE_RGB, shown=True)
    link.barrel((0.088, -0.044, 0), (0.088, 0.052, 0), 0.045, 0.030, WHITE_RGB, mass=0.75)
    link.cylinder((0.088, -0.050, 0), (0.088, -0.044, 0), 0.043, SEAM_RGB, shown=True)


def _shape_7(link: Link) -> None:
    """The flange's disc, with the lobe that carries the pilot buttons."""
    link.cylinder((0, 0, 0.051), (0, 0, 0.092), 0.044, WHITE_RGB, mass=0.54)
    link.cylinder((0, 0, 0.092), (0, 0, 0.107), 0.032, GREY_RGB, shown=True)
    link.capsule((0.012, 0.012, 0.074), (0.052, 0.052, 0.074), 0.020, WHITE_RGB, shown=True)
    link.cylinder((0.052, 0.052, 0.055), (0.052, 0.052, 0.051), 0.014, SEAM_RGB, shown=True)
    link.cylinder((0.050, 0.050, 0.094), (0.050, 0.050, 0.0955), 0.009, (0.25, 0.45, 0.85), shown=True)


def _shape_hand(link: Link) -> None:
    """The hand: wide and flat with rounded ends, and the dark rail of the fingers below."""
    link.cylinder((0, 0, -0.002), (0, 0, 0.012), 0.0315, DARK_RGB, shown=True)
    link.box((0, 0, 0.033), (0.0300, 0.080, 0.0230), WHITE_RGB, mass=0.73)
    for y in (-0.079, 0.079):
        link.cylinder((-0.0300, y, 0.033), (0.0300, y, 0.033), 0.0230, WHITE_RGB, shown=True)
    link.box((0, 0, 0.031), (0.0306, 0.030, 0.0065), GREY_RGB, shown=True)
    link.box((0, 0, 0.0470), (0.0303, 0.098, 0.0015), SEAM_RGB, shown=True)
    link.box((0, 0, 0.0600), (0.0150, 0.094, 0.0045), DARK_RGB, shown=True)


def _shape_finger(finger: Link) -> None:
    """A carriage on the rail, a stem, and a slim tip (the pad is added by the caller)."""
    finger.box((0, 0.0150, 0.0100), (0.0120, 0.0130, 0.0110), GREY_RGB)
    finger.box((0, 0.0155, 0.0270), (0.0110, 0.0085, 0.0090), SEAM_RGB, shown=True)
    finger.box((0, 0.0120, 0.0430), (0.0095, 0.0045, 0.0105), SEAM_RGB, turn=(8, 0, 0))


ARM = Arm(
    name="panda",
    doc="Franka Emika Panda, 7 joints, parallel hand that opens 80 mm; primitive shapes.",
    build=build,
    joints=JOINT_NAMES,
    home_qpos=(0.0, -0.8419, 0.0, -2.6106, 0.0, 1.7688, 0.7854),
    velocity=(2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
    acceleration=(15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0),
    gripper=ParallelJaws(MAX_GAP_M),
)
