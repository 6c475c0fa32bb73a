"""Makes an ``Arm`` of a robot model from elsewhere: finds its joints, gripper, tcp, home and a place for the base.

The model is weightless, touches the world but not itself, and every joint ends up with a position servo: its own, or
one whose gains follow from the inertia that the joint moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import pi

import mujoco
import numpy as np

from qwenarm.body import model_chain
from qwenarm.body.arms import ur5e
from qwenarm.body.arms.parts import FINGER_NAMES, PAD_CONTACT, Arm, add_gripper_drive
from qwenarm.body.grippers import ParallelJaws
from qwenarm.body.kinematics import Kinematics, Solution, top_down
from qwenarm.body.reach import hand_reaches
from qwenarm.body.rotations import about_z
from qwenarm.errors import BadInput

NAME_PREFIX = "arm/"
"""Put in front of every name of the model, so that none is equal to a name of the scene."""
MAX_ACCELERATION_RAD_PER_S2 = 8.0
SERVO_FREQUENCY_RAD_PER_S = 60.0
"""Natural frequency of a servo that is added where the model has none; it is critically damped."""
ADDED_SERVO_SUFFIX = "_added_servo"
MIN_ARMATURE_KG_M2 = 0.1
"""Least inertia of motor and gear at a joint. Models that leave it out swing between the two torque limits of a stiff
servo as soon as it saturates, for a light hand changes its speed by several rad/s within one physics step."""
HOMES_M = ((0.30, 0.40), (0.30, 0.30), (0.35, 0.25), (0.35, 0.20), (0.35, 0.15))
"""x and z of the tcp in the home pose: the first within reach is taken. All lie behind the workspace."""
MIN_HOME_DISTANCE_M = 0.12
"""The hand keeps at least this far from the base's axis at home."""
HOME_SEARCH_STARTS = 8
"""Random poses from which the home pose is searched where the model's own pose leads nowhere."""
BASES_X_M = (0.0, -0.1, 0.1, 0.2, 0.3)
"""Where the base may stand: the first place from which all of BASE_TEST_POINTS_M are reached, or else the best."""
BASE_TEST_POINTS_M = [(x, y) for x in (0.68, 0.38, 0.53) for y in (0.25, 0.0, -0.25, 0.12, -0.12)]
MIN_WIDEST_RANGE_DEG = 15.0
"""An arm of which no joint turns further has its ranges in the wrong unit."""
GRIPPER_TURNS_RAD = (0.0, pi / 2, pi, -pi / 2)
"""How our gripper may be turned on a flange: nothing in a model says it."""


@dataclass(frozen=True)
class ArmSettings:
    """What can be told about an arm; what is empty is found.

    Attributes:
        joints: The hinges from base to tip.
        flange: The site, z pointing outwards, or link on which our gripper is mounted; what hung there is taken off.
        fingers: The two slide joints of the model's own gripper, closed at 0.
        tcp: A site between its pads; z points where the fingers point, y is the line along which they open.
        home: Joint angles, rad, hand down, above and behind the workspace.
        base: Position of the model's origin, m.
        base_yaw: How the model is turned about z, degrees.
        speed: Speed limit of every joint, rad/s.
    """

    joints: tuple[str, ...] = ()
    flange: str = ""
    fingers: tuple[str, ...] = ()
    tcp: str = ""
    home: tuple[float, ...] = ()
    base: tuple[float, ...] = ()
    base_yaw: float = 0.0
    speed: float = 2.0


@dataclass(frozen=True)
class ModelSource:
    """A robot model that can be read again and again.

    Attributes:
        name: The arm's name.
        doc: One sentence for lists.
        read: Gives a fresh spec of the model.
        settings: What was told about it.
        speeds: Speed limits by joint, rad/s, where the model has them.
    """

    name: str
    doc: str
    read: Callable[[], mujoco.MjSpec]
    settings: ArmSettings = ArmSettings()
    speeds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Mounting:
    """How an arm stands and carries our gripper.

    Attributes:
        base: (3,) m.
        flange: Position (3,) m and orientation (4,) wxyz of our gripper in the frame of its parent; None with its own.
        turn: Of our gripper about its z, rad.
    """

    base: tuple[float, ...]
    flange: tuple[list[float], list[float]] | None
    turn: float = 0.0


def import_arm(source: ModelSource) -> Arm:
    """The arm of a model. Raises BadInput if the model is no arm, or its hand reaches no place behind the workspace."""
    settings, spec = source.settings, source.read()
    chain = model_chain.find_chain(spec, settings.joints, settings.flange, settings.fingers)
    max_gap = sum(float(spec.joint(name).range[1]) for name in chain.fingers) or ur5e.MAX_GAP_M
    names = (NAME_PREFIX + name for name in chain.fingers) if chain.fingers else FINGER_NAMES
    bodies = (NAME_PREFIX + spec.joint(name).parent.name for name in chain.fingers) if chain.fingers else FINGER_NAMES
    flange = model_chain.flange_pose(spec, chain) if chain.flange else None
    mounting = _Mounting(settings.base or (0.0, 0.0, 0.0), flange)
    draft = Arm(
        name=source.name,
        doc=source.doc,
        build=partial(_build, source=source, mounting=mounting),
        joints=tuple(NAME_PREFIX + name for name in chain.joints),
        home_qpos=settings.home or model_chain.key_pose(spec, chain.joints),
        velocity=tuple(source.speeds.get(name, settings.speed) for name in chain.joints),
        acceleration=(MAX_ACCELERATION_RAD_PER_S2,) * len(chain.joints),
        gripper=ParallelJaws(max_gap, joints=tuple(names), bodies=tuple(bodies)),
        reaches_workspace=False,
    )
    if len(draft.home_qpos) != len(chain.joints):
        raise BadInput(f"The home of {source.name} has {len(settings.home)} angles for {len(chain.joints)} joints.")
    stage = mujoco.MjSpec()
    draft.build(stage)
    mounting, home = _choose_mounting(Kinematics(stage.compile(), draft), source, mounting)
    return replace(draft, build=partial(_build, source=source, mounting=mounting), home_qpos=home)


def _choose_mounting(arm: Kinematics, source: ModelSource, mounting: _Mounting) -> tuple[_Mounting, tuple[float, ...]]:
    """Where the base stands, how our gripper is turned, and the home pose (n,) rad.

    Nothing is compiled again: a base that moves forward is a target that moves back, and so for turns.
    """
    told, widest = source.settings, float(np.degrees(arm.upper - arm.lower).max())
    if widest < MIN_WIDEST_RANGE_DEG:
        advice = 'Without <compiler angle="radian"/> MJCF counts in degrees.'
        raise BadInput(f"No joint of {source.name} turns by more than {widest:.1f} degrees. {advice}")
    best: tuple[int, _Mounting, np.ndarray] | None = None
    turns = GRIPPER_TURNS_RAD if mounting.flange else (0.0,)
    for x in (0.0,) if told.base else BASES_X_M:
        homes = [(arm.home, 0.0)] if told.home else _find_homes(arm, x, turns)
        for home, turn in homes:
            arm.home = home
            reached = sum(hand_reaches(arm, px - x, py) for px, py in BASE_TEST_POINTS_M)
            if best is None or reached > best[0]:
                best = reached, replace(mounting, base=told.base or (x, 0.0, 0.0), turn=turn), home
            if reached == len(BASE_TEST_POINTS_M):
                return best[1], tuple(float(q) for q in home)
        arm.home = homes[0][0] if homes else arm.home  # from there the next search begins
    if best is None:
        raise BadInput(
            f"The hand of {source.name} cannot point down behind the workspace: tell its flange, home or base."
        )
    return best[1], tuple(float(q) for q in best[2])


def _find_homes(arm: Kinematics, base_x: float, turns: tuple[float, ...]) -> list[tuple[np.ndarray, float]]:
    """Two poses (n,) rad at the first of HOMES_M within reach, each with the turn of the gripper; none if none is.

    The first is as far as possible from the joints' limits. The second holds the joints as high as possible, to a
    centimetre: an elbow that hangs down at home meets the table on the way to what stands there.
    """
    for x, z in HOMES_M:
        if x - base_x < MIN_HOME_DISTANCE_M:
            continue
        firsts: list[tuple[np.ndarray, float]] = []
        others: list[tuple[np.ndarray, float]] = []
        for turn in turns:
            # A gripper that is turned by t opens along yaw where one that is not would open along yaw - t.
            found = _solve_home(arm, np.array([x - base_x, 0.0, z]), top_down(pi / 2 + turn))
            poses = [(each.qpos, turn) for each in found if each.reached and _margin(arm, each.qpos) > 0.01]
            firsts, others = firsts + poses[:1], others + poses
        if firsts:
            return [
                max(firsts, key=lambda option: _margin(arm, option[0])),
                max(others, key=lambda option: (round(_joint_height(arm, option[0]), 2), _margin(arm, option[0]))),
            ]
    return []


def _margin(arm: Kinematics, qpos: np.ndarray) -> float:
    """How far the joints are from their limits, rad."""
    return float(np.minimum(qpos - arm.lower, arm.upper - qpos).min())


def _joint_height(arm: Kinematics, qpos: np.ndarray) -> float:
    """Mean height of the joints, m."""
    arm.set(qpos)
    return float(arm.data.xanchor[[arm.model.joint(name).id for name in arm.arm.joints], 2].mean())


def _solve_home(arm: Kinematics, pos: np.ndarray, quat: np.ndarray) -> list[Solution]:
    """Joint angles for a pose, searched from the model's own pose and then from anywhere within the limits."""
    rng = np.random.default_rng(0)
    starts = rng.uniform(np.maximum(arm.lower, -pi), np.minimum(arm.upper, pi), (HOME_SEARCH_STARTS, len(arm.lower)))
    return [arm.ik(pos, quat, start) for start in (None, *starts)]


def _build(spec: mujoco.MjSpec, source: ModelSource, mounting: _Mounting) -> None:
    """Adds the arm and its gripper to a scene."""
    told, arm = source.settings, source.read()
    chain = model_chain.find_chain(arm, told.joints, told.flange, told.fingers)
    model_chain.strip(arm, chain)
    tcp = model_chain.tcp_of_fingers(arm, chain, told.tcp) if chain.fingers else None
    for name in chain.joints:
        arm.joint(name).armature = max(arm.joint(name).armature, MIN_ARMATURE_KG_M2)
    _add_missing_servos(arm, chain.joints)
    for body in arm.bodies[1:]:
        body.gravcomp = 1.0
    for geom in arm.geoms:
        if geom.contype or geom.conaffinity:
            geom.contype, geom.conaffinity = ur5e.FOREARM_GROUP.contype, ur5e.FOREARM_GROUP.conaffinity
    arm.option, arm.visual, arm.stat = spec.option, spec.visual, spec.stat  # the scene's count: no warning that they do
    frame = spec.worldbody.add_frame(pos=mounting.base, quat=about_z(np.radians(told.base_yaw)))
    spec.attach(arm, prefix=NAME_PREFIX, frame=frame)
    if mounting.flange:
        _mount_our_gripper(spec, chain.flange, *mounting.flange, mounting.turn)
    if tcp:
        _drive_own_gripper(spec, chain.fingers, *tcp)


def _mount_our_gripper(spec: mujoco.MjSpec, flange: str, pos: list[float], quat: list[float], turn: float) -> None:
    """pos (3,) m, quat (4,) wxyz: in the frame of the flange's body."""
    turned = np.zeros(4)
    mujoco.mju_mulQuat(turned, np.array(quat), np.array(about_z(turn)))
    parent = model_chain.body_of(spec, NAME_PREFIX + flange)
    # The class "main" is the scene's: without it our gripper would inherit the arm's default class.
    ur5e.mount_gripper(spec, parent.add_body(name="hand", pos=pos, quat=turned, childclass="main"))


def _drive_own_gripper(
    spec: mujoco.MjSpec, fingers: tuple[str, ...], body: str, pos: np.ndarray, quat: np.ndarray
) -> None:
    """Gives the model's own fingers our drive and the contacts of our pads. pos, quat: of the tcp in the body."""
    joints = tuple(NAME_PREFIX + name for name in fingers)
    for name in joints:
        joint = spec.joint(name)
        joint.armature, joint.damping, joint.frictionloss = 0.1, np.array([2.0, 0, 0]), 0.0
        for geom in joint.parent.find_all("geom"):
            if geom.contype or geom.conaffinity:
                for attribute, value in PAD_CONTACT.items():
                    setattr(geom, attribute, value)
    add_gripper_drive(spec, sum(float(spec.joint(name).range[1]) for name in joints), fingers=joints)
    hand = spec.body(NAME_PREFIX + body).add_body(name="hand", pos=pos, quat=quat, childclass="main")
    hand.add_site(name="tcp", size=[0.004] * 3, group=4)


def _add_missing_servos(spec: mujoco.MjSpec, joints: tuple[str, ...]) -> None:
    """Replaces what is no position servo, and adds those that are missing."""
    missing = {name: model_chain.torque_limit(spec, name) for name in joints if not model_chain.servo_of(spec, name)}
    if not missing:
        return
    for actuator in [each for each in spec.actuators if each.target in missing]:
        spec.delete(actuator)
    model = spec.compile()
    data, inertia = mujoco.MjData(model), np.zeros((model.nv, model.nv))
    mujoco.mj_forward(model, data)
    mujoco.mj_fullM(model, data, inertia)
    for name, torque in missing.items():
        dof = int(model.joint(name).dofadr[0])
        stiffness = float(inertia[dof, dof]) * SERVO_FREQUENCY_RAD_PER_S**2
        servo = spec.add_actuator(name=name + ADDED_SERVO_SUFFIX, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=stiffness, kv=2 * stiffness / SERVO_FREQUENCY_RAD_PER_S)
        if torque:
            servo.forcerange = [-torque, torque]
