"""What a robot model is made of: its chain of hinges, flange, fingers and servos, read off a MuJoCo spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi

import mujoco
import numpy as np

from qwenarm.body.arms.parts import TIP_BEYOND_TCP_M
from qwenarm.body.rotations import quat_of
from qwenarm.errors import BadInput

FLANGE_SITE, FLANGE_LINK = "attachment_site", "tool0"
"""What MuJoCo Menagerie calls the site on a flange, and ROS the link (REP 199)."""
MIN_ARM_JOINTS = 5
"""A hand that points down has four degrees of freedom; four joints in one plane cannot turn it."""
CLOSED_TOLERANCE_M = 0.002
MIN_FINGER_TRAVEL_M = 0.005
MIN_ROLL_COSINE = 0.5
"""The last joint turns the hand, rather than bends the wrist, if the cosine between its axis and the way to the flange
is larger."""
MAX_LISTED_ENDS = 12
ARM_FILE_ADVICE = (
    'in a TOML file of the same name beside it, such as flange = "wrist_3_link" or fingers = ["left", "right"]'
)


@dataclass(frozen=True)
class Chain:
    """The parts of a model that are used, by name.

    Attributes:
        joints: The hinges, base to tip.
        flange: The site or body on which our gripper is mounted; "" with fingers.
        fingers: The two slide joints of the model's own gripper, or none.
    """

    joints: tuple[str, ...]
    flange: str
    fingers: tuple[str, ...]


def find_chain(spec: mujoco.MjSpec, joints: tuple[str, ...], flange: str, fingers: tuple[str, ...]) -> Chain:
    """The parts that were told, or else found. Raises BadInput with what there is if a part is missing."""
    if not spec.joints:
        raise BadInput("The model has no joints; a xacro file has to be expanded first, a part has to be included.")
    _check_names(spec, joints, flange, fingers)
    if not flange and not fingers:
        flange, fingers = _find_tip(spec)
    tip = spec.joint(fingers[0]).parent.parent if fingers else body_of(spec, flange)
    joints = joints or tuple(joint.name for joint in _joints_above(tip))
    wrong = [name for name in joints if spec.joint(name).type != mujoco.mjtJoint.mjJNT_HINGE]
    if wrong:
        raise BadInput(f"The joint {wrong[0]!r} is no hinge: an arm here is a chain of hinges on a fixed base.")
    if len(joints) < MIN_ARM_JOINTS:
        raise BadInput(f"The model has {len(joints)} hinges before its hand; an arm needs at least five or six joints.")
    return Chain(joints, flange, fingers)


def _check_names(spec: mujoco.MjSpec, joints: tuple[str, ...], flange: str, fingers: tuple[str, ...]) -> None:
    known = [joint.name for joint in spec.joints]
    for name in (*joints, *fingers):
        if name not in known:
            raise BadInput(f"The model has no joint {name!r}; it has {', '.join(known)}.")
    if fingers and len(fingers) != 2:
        raise BadInput(f"A gripper has two finger joints, not {len(fingers)}.")
    places = [each.name for each in (*spec.sites, *spec.bodies[1:])]
    if flange and flange not in places:
        raise BadInput(f"The model has no site or body {flange!r}; it has {', '.join(places)}.")


def _find_tip(spec: mujoco.MjSpec) -> tuple[str, tuple[str, ...]]:
    """(flange, fingers) of a model: its flange site, its two sliding fingers, ROS's tool0, or its only chain's end."""
    if spec.site(FLANGE_SITE) is not None:
        return FLANGE_SITE, ()
    slides = [joint for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_SLIDE]
    closing = [abs(j.range[0]) < CLOSED_TOLERANCE_M and j.range[1] > MIN_FINGER_TRAVEL_M for j in slides]
    if len(slides) == 2 and all(closing):
        return "", (slides[0].name, slides[1].name)
    ends = [
        body.name for body in spec.bodies[1:] if not body.bodies and len(list(_joints_above(body))) >= MIN_ARM_JOINTS
    ]
    if FLANGE_LINK in ends:
        return FLANGE_LINK, ()
    if len(ends) == 1 and len(slides) == 0:
        return ends[0], ()
    told = f" Its last links: {', '.join(ends[:MAX_LISTED_ENDS])}." if ends else ""
    raise BadInput(f"Nothing says where the hand of this model is; say it {ARM_FILE_ADVICE}.{told}")


def body_of(spec: mujoco.MjSpec, place: str) -> mujoco.MjsBody:
    """The body that a flange's name means: that of the site, or the link itself."""
    site = spec.site(place)
    return site.parent if site is not None else spec.body(place)


def _joints_above(body: mujoco.MjsBody | None) -> Iterator[mujoco.MjsJoint]:
    """The joints on the way from the world to a body."""
    if body is not None and body.name != "world":
        yield from _joints_above(body.parent)
        yield from body.joints


def key_pose(spec: mujoco.MjSpec, joints: tuple[str, ...]) -> tuple[float, ...]:
    """Joint angles, rad, of the model's first keyframe, or else zero."""
    names = [joint.name for joint in spec.joints]
    pose = dict(zip(names, spec.keys[0].qpos, strict=False)) if spec.keys else {}
    return tuple(float(pose.get(name, 0.0)) for name in joints)


def strip(spec: mujoco.MjSpec, chain: Chain) -> None:
    """Removes all but the arm: lights, cameras, poses, floor and things, other actuators, what hung on the flange.

    Gives joints without limits the range of a full turn to both sides.
    """
    root = spec.joint(chain.joints[0]).parent
    while root.parent.name != "world":
        root = root.parent
    loose = [body for body in spec.worldbody.bodies if body.name != root.name]
    if chain.flange:
        loose += list(body_of(spec, chain.flange).bodies)
    extras = (*spec.lights, *spec.cameras, *spec.keys, *spec.tendons, *spec.equalities, *spec.worldbody.geoms, *loose)
    for extra in extras:
        spec.delete(extra)
    for actuator in [each for each in spec.actuators if each.target not in chain.joints]:
        spec.delete(actuator)
    turn = 360.0 if spec.compiler.degree else 2 * pi
    for name in chain.joints:
        joint = spec.joint(name)
        if joint.range[0] >= joint.range[1] or joint.limited == mujoco.mjtLimited.mjLIMITED_FALSE:
            joint.range, joint.limited = [-turn, turn], mujoco.mjtLimited.mjLIMITED_TRUE


def servo_of(spec: mujoco.MjSpec, joint: str) -> mujoco.MjsActuator | None:
    """The actuator that holds a joint at the angle it is told: force = kp (control - angle) - kv velocity."""
    for actuator in spec.actuators:
        is_servo = (
            actuator.target == joint
            and actuator.trntype == mujoco.mjtTrn.mjTRN_JOINT
            and actuator.biastype == mujoco.mjtBias.mjBIAS_AFFINE
            and actuator.gainprm[0] > 0
            and actuator.biasprm[1] == -actuator.gainprm[0]
            and actuator.gear[0] == 1
        )
        if is_servo:
            return actuator
    return None


def torque_limit(spec: mujoco.MjSpec, joint: str) -> float:
    """The largest torque at a joint, N m, by its actuator or by the joint itself; 0 where the model does not say."""
    for actuator in spec.actuators:
        if actuator.target == joint:
            limits = (actuator.forcerange[1], actuator.ctrlrange[1] * abs(actuator.gear[0] * actuator.gainprm[0]))
            return float(next((limit for limit in limits if limit > 0), 0.0))
    return max(0.0, float(spec.joint(joint).actfrcrange[1]))


def flange_pose(spec: mujoco.MjSpec, chain: Chain) -> tuple[list[float], list[float]]:
    """Position (3,) m and orientation (4,) wxyz of a hand on the flange, in the frame of the body that carries it.

    The hand's z points outwards: along z of a site. Of a link it is the axis of the last joint, away from the arm,
    where the last joint turns the hand: some count z along it and some x (ROS REP 103). Where the last joint bends the
    wrist it is z of the link. The compiled model is asked: only it knows what frames and Euler angles come to.
    """
    model = spec.compile()
    if spec.site(chain.flange) is not None:
        site = model.site(chain.flange)
        return site.pos.tolist(), site.quat.tolist()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    flange, axis = data.body(chain.flange), data.joint(chain.joints[-1]).xaxis
    arm = flange.xpos - data.joint(chain.joints[-2]).xanchor
    along, quat = float(axis @ arm), np.array([1.0, 0.0, 0.0, 0.0])
    if abs(along) > MIN_ROLL_COSINE * np.linalg.norm(arm):
        mujoco.mju_quatZ2Vec(quat, flange.xmat.reshape(3, 3).T @ axis * np.sign(along))
    return [0.0, 0.0, 0.0], quat.tolist()


def tcp_of_fingers(spec: mujoco.MjSpec, chain: Chain, site: str) -> tuple[str, np.ndarray, np.ndarray]:
    """Where the tcp of a model's own gripper is: a body, and position (3,) m and quaternion (4,) wxyz in its frame.

    Without a site: between the closed fingers, a little before their tips; y along their way, z along that axis of the
    body which is nearest to where they point.
    """
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    body = spec.joint(chain.fingers[0]).parent.parent
    origin, axes = data.body(body.name).xpos, data.body(body.name).xmat.reshape(3, 3)
    if site:
        if spec.site(site) is None:
            raise BadInput(f"The model has no site {site!r}; it has {', '.join(each.name for each in spec.sites)}.")
        tcp, turn = data.site(site).xpos, axes.T @ data.site(site).xmat.reshape(3, 3)
        return body.name, axes.T @ (tcp - origin), quat_of(turn)
    corners = _finger_corners(model, data, chain.fingers)
    local = (corners - origin) @ axes
    along = axes.T @ data.joint(chain.fingers[0]).xaxis
    wrist = axes.T @ (data.joint(chain.joints[-1]).xanchor - origin)
    pointing = local.mean(axis=0) - wrist
    pointing -= along * (along @ pointing)
    forward = np.zeros(3)
    forward[np.argmax(np.abs(pointing))] = np.sign(pointing[np.argmax(np.abs(pointing))])
    depth = float((local @ forward).max()) - TIP_BEYOND_TCP_M
    middle = (local.min(axis=0) + local.max(axis=0)) / 2
    pos = middle - forward * (middle @ forward) + forward * depth
    return body.name, pos, quat_of(np.column_stack([np.cross(along, forward), along, forward]))


def _finger_corners(model: mujoco.MjModel, data: mujoco.MjData, fingers: tuple[str, ...]) -> np.ndarray:
    """(N, 3) m: corners of the boxes around the geoms of the fingers, world frame."""
    bodies = [int(model.joint(name).bodyid[0]) for name in fingers]
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    found: list[np.ndarray] = []
    for geom in np.flatnonzero(np.isin(model.geom_bodyid, bodies)):
        box = model.geom_aabb[geom, :3] + signs * model.geom_aabb[geom, 3:]
        found.append(box @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
    return np.concatenate(found)
