"""What an arm is to the rest of the project, and the parts from which arms are built.

Frame of the hand, for every arm: z points where the fingers point, y is the line along which they open. The site
``tcp`` lies between the pads with the same axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from qwenarm.body.grippers import FINGER_NAMES, GRIPPER_NAME, Gripper, SuctionCup

Rgb = tuple[float, float, float]
Point = tuple[float, float, float]

NO_ROTATION: Point = (0.0, 0.0, 0.0)
PAD_CONTACT: dict[str, Any] = {
    "condim": 4, "friction": [2.0, 0.05, 0.0002], "solref": [0.01, 1], "solimp": [0.9, 0.99, 0.001, 0.5, 2],
    "priority": 1,
}  # fmt: skip
"""Contacts of a pad: friction 2, torsional friction (condim 4), contacts that hardly give even when the object is light
(solimp), and priority, so that these numbers rule over the object's."""
MAX_FINGER_FORCE_N = 20.0
"""Force of each finger."""
PAD_HALF_WIDTH_M = 0.0105
LIP_GIVE_M = 0.0008
"""A rubber lip closes a gap of this width, m: a part of it that is so close pulls, and pushes once it touches."""
TIP_BEYOND_TCP_M = 0.0086
"""How far the finger tips reach beyond the tcp, m."""


@dataclass(frozen=True)
class Arm:
    """A robot arm with a gripper: one file, one of these.

    build adds bodies, joints and actuators to the spec, with the base on z = 0 at the origin: one position servo a
    joint, whose control is the joint's angle, and what the ``gripper`` says about itself. joints: names, base to tip.
    home_qpos (n,) rad: tcp near (0.30, 0, 0.40), hand down. velocity, acceleration (n,): limits in rad/s and rad/s2;
    joint ranges and torque limits are the model's own. An arm without ``reaches_workspace`` gets scenes that are made
    where it reaches (``body/reach.py``). partners: more arms on the same table, which ``build`` adds, too; a skill is
    played by the one that reaches its points best. base_xy: where the base stands, m, if not at the origin because of
    a partner. sha256: in hex, of the files from which it was read; "" if it is code.
    """

    name: str
    doc: str
    build: Callable[[mujoco.MjSpec], None]
    joints: tuple[str, ...]
    home_qpos: tuple[float, ...]
    velocity: tuple[float, ...]
    acceleration: tuple[float, ...]
    gripper: Gripper
    tcp_site: str = "tcp"
    hand_body: str = "hand"
    reaches_workspace: bool = True
    base_xy: tuple[float, float] = (0.0, 0.0)
    sha256: str = ""
    partners: tuple[Arm, ...] = ()

    @property
    def max_gap(self) -> float:
        """The opening of the gripper at which it lets go, m."""
        return self.gripper.max_gap


@dataclass(frozen=True)
class CollisionGroup:
    """Which geoms may touch which, as MuJoCo's contype and conaffinity: the world is (1, 1), every group meets it."""

    contype: int
    conaffinity: int


VISUAL_ONLY = CollisionGroup(0, 0)
"""The group of geoms that are only drawn."""
TRUNK_GROUP = CollisionGroup(2, 1)
"""Links near the base: meet the world and the hand."""
WRIST_GROUP = CollisionGroup(4, 3)
"""Links near the hand: meet the world and the trunk, not each other."""


class Link:
    """A body under construction: adds primitive geoms, all massless except the one that carries the link's mass."""

    def __init__(self, body: mujoco.MjsBody, group: CollisionGroup) -> None:
        self.body = body
        self.group = group
        body.gravcomp = 1.0

    def capsule(self, a: Point, b: Point, radius: float, rgb: Rgb, mass: float = 0.0, shown: bool = False) -> None:
        """A capsule from a to b (m, link frame). shown: only drawn, never touched."""
        self._add(mujoco.mjtGeom.mjGEOM_CAPSULE, [radius, 0, 0], rgb, mass, shown, fromto=[*a, *b])

    def cylinder(self, a: Point, b: Point, radius: float, rgb: Rgb, mass: float = 0.0, shown: bool = False) -> None:
        """A cylinder from a to b (m, link frame)."""
        self._add(mujoco.mjtGeom.mjGEOM_CYLINDER, [radius, 0, 0], rgb, mass, shown, fromto=[*a, *b])

    def box(
        self, center: Point, half: Point, rgb: Rgb, mass: float = 0.0, shown: bool = False, turn: Point = NO_ROTATION
    ) -> None:
        """A box (m, link frame). turn: rotations about its x, y, z in that order, degrees."""
        self._add(mujoco.mjtGeom.mjGEOM_BOX, half, rgb, mass, shown, pos=center, quat=_turn_quat(turn))

    def ellipsoid(
        self, center: Point, half: Point, rgb: Rgb, mass: float = 0.0, shown: bool = True, turn: Point = NO_ROTATION
    ) -> None:
        """An ellipsoid (m, link frame); only drawn unless told otherwise, because its contacts are the dear ones."""
        self._add(mujoco.mjtGeom.mjGEOM_ELLIPSOID, half, rgb, mass, shown, pos=center, quat=_turn_quat(turn))

    def mesh(self, name: str, rgb: Rgb, mass: float = 0.0, shown: bool = False) -> None:
        """A mesh of the spec, placed in the link's frame; its convex hull is what touches."""
        self._add(mujoco.mjtGeom.mjGEOM_MESH, [0, 0, 0], rgb, mass, shown, meshname=name)

    def barrel(self, a: Point, b: Point, radius: float, cap: float, rgb: Rgb, mass: float = 0.0) -> None:
        """A cylinder from a to b, along y or z, that ends in a flat dome of height cap beyond b."""
        self.cylinder(a, b, radius, rgb, mass)
        along = [abs(q - p) > 1e-6 for p, q in zip(a, b, strict=True)]
        self.ellipsoid(b, (cap if along[0] else radius, cap if along[1] else radius, cap if along[2] else radius), rgb)

    def _add(
        self, kind: mujoco.mjtGeom, size: Sequence[float], rgb: Rgb, mass: float, shown: bool, **where: Any
    ) -> None:
        group = VISUAL_ONLY if shown else self.group
        self.body.add_geom(
            type=kind, size=size, rgba=[*rgb, 1.0], mass=mass,
            contype=group.contype, conaffinity=group.conaffinity, **where,
        )  # fmt: skip


def _turn_quat(degrees: Point) -> np.ndarray:
    quat = np.zeros(4)
    mujoco.mju_euler2Quat(quat, np.radians(degrees), "xyz")
    return quat


def add_dh_body(parent: mujoco.MjsBody, name: str, a: float, alpha: float, d: float) -> mujoco.MjsBody:
    """A body one step down a chain in modified (Craig) Denavit-Hartenberg parameters; its joint turns about its z.

    a, d: m; alpha: rad. J. J. Craig, Introduction to Robotics, 3rd ed., equation 3.6.
    """
    sin, cos = math.sin(alpha), math.cos(alpha)
    return parent.add_body(name=name, pos=[a, -sin * d, cos * d], quat=[math.cos(alpha / 2), math.sin(alpha / 2), 0, 0])


def add_servo_joint(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    name: str,
    limits: tuple[float, float],
    torque: float,
    gains: tuple[float, float],
) -> None:
    """A hinge about the body's z and its position servo: kp (control - angle) - kv velocity, within +-torque N m.

    limits: rad. gains: (kp N m/rad, kv N m s/rad). The armature stands for the inertia of motor and gear.
    """
    span = np.degrees(limits) if spec.compiler.degree else limits  # MjSpec reads hinge ranges in its compiler's unit
    body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1], range=span, armature=0.1, damping=0.5)
    servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, forcerange=[-torque, torque])
    servo.set_to_position(kp=gains[0], kv=gains[1])


def add_gripper_drive(spec: mujoco.MjSpec, max_gap: float, fingers: tuple[str, ...] = FINGER_NAMES) -> None:
    """Couples the two fingers (equality) and drives their gap (tendon + position actuator): they move as mirror images.

    Args:
        spec: The scene's; it has the two slide joints, each of range (0, max_gap / 2) m.
        max_gap: Between the open fingers, m.
        fingers: Names of the slide joints.
    """
    left, right = fingers
    tie = spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, name1=left, name2=right, objtype=mujoco.mjtObj.mjOBJ_JOINT)
    tie.data[:5] = [0, 1, 0, 0, 0]
    tie.solref = [0.005, 1]
    tie.solimp = [0.95, 0.99, 0.001, 0.5, 2]
    gap = spec.add_tendon(name="gap")
    for finger in fingers:
        gap.wrap_joint(finger, 1.0)
    servo = spec.add_actuator(
        name=GRIPPER_NAME,
        target="gap",
        trntype=mujoco.mjtTrn.mjTRN_TENDON,
        ctrlrange=[0, max_gap],
        forcerange=[-MAX_FINGER_FORCE_N, MAX_FINGER_FORCE_N],
    )
    servo.set_to_position(kp=3000.0, kv=60.0)


def add_finger(hand: mujoco.MjsBody, name: str, z: float, max_gap: float, mass: float) -> Link:
    """A finger, sliding along its own +y away from the middle; the right one is the left one turned 180 deg about z.

    z: of the finger's frame along the hand, m; mass: kg. The caller shapes it and adds the pad.
    """
    quat = [1, 0, 0, 0] if name == FINGER_NAMES[0] else [0, 0, 0, 1]
    body = hand.add_body(name=name, pos=[0, 0, z], quat=quat)
    body.add_joint(
        name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 1, 0], range=[0, max_gap / 2], armature=0.1, damping=2.0
    )
    link = Link(body, WRIST_GROUP)
    body.explicitinertial = True
    body.mass = mass
    body.inertia = [mass * 6e-4] * 3
    body.ipos = [0, 0.015, 0.02]
    return link


def add_pad(finger: Link, tcp_z: float, rgb: Rgb) -> None:
    """The rubber pad at y = 0 of a finger, around the tcp. tcp_z: of the tcp in the finger's frame, m.

    Grasps that hold for minutes: a box (face against face: four contacts) with PAD_CONTACT. Measured: creep of 20 um/s
    under 20 N. The very tip is smooth and recessed, so that a hand that brushes the table slides instead of sticking.
    """
    low, high, tip = tcp_z - 0.012, tcp_z + TIP_BEYOND_TCP_M - 0.0006, tcp_z + TIP_BEYOND_TCP_M
    box = {
        "type": mujoco.mjtGeom.mjGEOM_BOX, "rgba": [*rgb, 1.0], "mass": 0,
        "contype": WRIST_GROUP.contype, "conaffinity": WRIST_GROUP.conaffinity,
    }  # fmt: skip
    half = PAD_HALF_WIDTH_M
    smooth = {"condim": 3, "friction": [0.1, 0.005, 0.0001], "solref": [0.01, 1], "priority": 2}
    finger.body.add_geom(pos=[0, 0.0045, (high + tip) / 2], size=[half, 0.0035, (tip - high) / 2], **box, **smooth)
    finger.body.add_geom(pos=[0, 0.004, (low + high) / 2], size=[half, 0.004, (high - low) / 2], **box, **PAD_CONTACT)


def add_tcp(hand: mujoco.MjsBody, z: float) -> None:
    """The site between the pads, z m along the hand."""
    hand.add_site(name="tcp", pos=[0, 0, z], size=[0.004, 0.004, 0.004], group=4, rgba=[0.9, 0.2, 0.2, 1])


def add_cup(spec: mujoco.MjSpec, hand: mujoco.MjsBody, cup: SuctionCup, z: float, force: float, rgb: Rgb) -> None:
    """The lip of a suction cup with its drive, its plane z m along the hand.

    Args:
        spec: The scene's.
        hand: The body that carries it.
        cup: What the arm's entry says.
        z: See above, m.
        force: With which it holds when all of the lip touches, N.
        rgb: Its colour.
    """
    ring = cup.lip_radius
    for i, name in enumerate(cup.parts):
        angle = 2 * math.pi * i / len(cup.parts)
        part = hand.add_body(name=name, pos=[ring * math.cos(angle), ring * math.sin(angle), z - cup.part_radius])
        part.add_geom(
            type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[cup.part_radius, 0, 0], rgba=[*rgb, 1.0], mass=0.001,
            contype=WRIST_GROUP.contype, conaffinity=WRIST_GROUP.conaffinity, gap=LIP_GIVE_M,
            **PAD_CONTACT,
        )  # fmt: skip
        part.gravcomp = 1.0
    for name in cup.actuators:
        valve = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_BODY, ctrlrange=[0, 1])
        valve.set_to_adhesion(gain=force / len(cup.parts))
