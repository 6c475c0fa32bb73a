"""Skills that always succeed: what is pointed at is in the hand, and what is held is where it shall be. Nothing else
moves, nothing is lost, and time passes as it does with the real ones.

They understand a point as the real skills do, and refuse what no hand could do: a container is too wide, a full hand
takes nothing. So a wrong point, or a wrong call, stays wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from qwenarm.body.objects.spec import CONTAINER_HALF_WIDTH_M, FIXED_SHAPES, WALL_THICKNESS_M
from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.body.simulation import Body
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.diagnosis.ground_truth import seen_at
from qwenarm.episode.rollout import execute
from qwenarm.skills.failure import Moves, SkillFailure
from qwenarm.skills.grasp import SNAP_DISTANCE_M
from qwenarm.skills.heightmap import world_point
from qwenarm.skills.motion import go_home, set_fingers
from qwenarm.skills.placement import (
    MAX_SHIFT_M,
    OBJECT_CLEARANCE_M,
    ROUND_RIM_M,
    SQUARE_RIM_M,
    SUPPORT_SNAP_M,
    _in_container,
)
from qwenarm.types import ImagePoint, SkillCall, SkillResult

if TYPE_CHECKING:
    from qwenarm.episode.watchers import Tell

POINTS = {"pick": 1, "place": 1, "push": 2, "pull": 2}
"""The skills that act on things, and how many points each has. All others are carried out as they are."""
SKILL_S = 5.0
"""Simulated seconds that a pick, a place or a push takes; the real ones take 4 to 6."""
YAW = math.pi / 2
"""How things stand in the hand and where they are put, rad: along the fingers at home."""
SLIDE = int(mujoco.mjtJoint.mjJNT_SLIDE)
STEP = 0.005
"""Between the places on the table that are tried, m."""
CLOSED, PRESSED = 0.002, 0.0004
"""Fingers that are open by so much more than a thing's width, m, have closed on it; then they press it by so much."""
GAP = 0.0005
"""Things are put down from this height, m."""


class IdealHands:
    """Carries out the calls of one episode, in the place of ``rollout.execute``."""

    def __init__(self) -> None:
        self.held: str | None = None
        self._body: Body | None = None

    def __call__(self, body: Body, call: SkillCall, tell: Tell) -> SkillResult:
        if self._body is not body:
            self._body, self.held = body, None
            body.after_step.append(self._keep)
        points = [value for value in call.args.values() if isinstance(value, ImagePoint)]
        wanted = POINTS.get(call.name, 0)
        if call.name == "open_gripper":
            self.held = None
        if not wanted or len(points) != len(call.args) or wanted != len(points):
            return execute(body, call, tell)
        try:
            return self._carry_out(body, call.name, points, tell)
        except SkillFailure as failure:
            return SkillResult(False, str(failure))

    def _carry_out(self, body: Body, name: str, points: list[ImagePoint], tell: Tell) -> SkillResult:
        if name == "place" and self.held is None:
            raise SkillFailure("the hand is empty")
        if name != "place" and self.held is not None:
            raise SkillFailure("the hand already holds something")
        until = body.time_s + SKILL_S
        spots = [_point(body, point) for point in points]
        _run(body, go_home(body), tell)
        if name == "pick":
            self._pick(body, _liftable(body, points[0], spots[0]), tell)
        elif name == "place":
            self._place(body, points[0], spots[0], tell)
        elif name == "pull":
            _slide(body, _nearest_of(body, points[0], spots[0]), float(spots[1][0] - spots[0][0]))
        else:
            thing = body.state()[_liftable(body, points[0], spots[0], anything=True)]
            _put(body, thing.spec.id, np.array([*spots[1][:2], thing.spec.origin_height + GAP]))
        _run(body, _wait(body, until), tell)
        return SkillResult(True)

    def _pick(self, body: Body, name: str, tell: Tell) -> None:
        _run(body, set_fingers(body, body.arm.max_gap), tell)
        self.held = name
        self._keep(body)
        _run(body, set_fingers(body, 0.0), tell)

    def _place(self, body: Body, point: ImagePoint, spot: np.ndarray, tell: Tell) -> None:
        state, name = body.state(), self.held
        assert name is not None
        carrier = _carrier(body, state, point, spot, name)
        where = _where(state, name, carrier, spot)
        _run(body, set_fingers(body, body.arm.max_gap), tell)
        self.held = None
        _put(body, name, where, YAW if carrier is None else _yaw(state[carrier]))

    def _keep(self, body: Body) -> None:
        """After every control period: what is held stays between the fingers, and once they are closed both touch it,
        however weak they are.
        """
        if self.held is None:
            return
        _put(body, self.held, body.tcp_pos)
        width = body.scene.spec(self.held).size
        if body.gripper_width < width + CLOSED:
            for name in body.arm.finger_joints:
                joint = body.model.joint(name)
                gap = (width - PRESSED) / len(body.arm.finger_joints) / body.arm.gap_scale
                body.data.qpos[joint.qposadr[0]], body.data.qvel[joint.dofadr[0]] = gap, 0.0
            mujoco.mj_forward(body.model, body.data)


def _point(body: Body, point: ImagePoint) -> np.ndarray:
    """(3,) m: the surface at an image point. Raises Failed as the skills do."""
    if point.camera not in [camera.name for camera in body.scene.cameras]:
        raise SkillFailure(f"there is no camera {point.camera!r}")
    if not (0 <= point.u <= 1 and 0 <= point.v <= 1):
        raise SkillFailure("the point lies outside of the image")
    return world_point(body, point)


def _run(body: Body, moves: Moves, tell: Tell) -> None:
    for control in moves:
        body.step(control)
        tell("stepped", body)


def _wait(body: Body, until: float) -> Moves:
    while body.time_s < until - CONTROL_PERIOD_S / 2:
        yield body.hold()


def _put(body: Body, name: str, pos: np.ndarray, yaw: float = YAW) -> None:
    """Sets a thing upright to pos (3,) m of its origin, at rest."""
    joint = body.model.joint(name)
    adr, dof = joint.qposadr[0], joint.dofadr[0]
    body.data.qpos[adr : adr + 7] = [*pos, math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)]
    body.data.qvel[dof : dof + 6] = 0
    mujoco.mj_kinematics(body.model, body.data)


def _liftable(body: Body, point: ImagePoint, spot: np.ndarray, anything: bool = False) -> str:
    """What a point means for a hand that shall take it: what is seen there, else what stands next to it; of a tower its
    top. Raises Failed.
    """
    state, name = body.state(), _nearest_of(body, point, spot)
    if name is None or state[name].spec.shape in FIXED_SHAPES:
        raise SkillFailure("nothing to grasp at that point")
    if state[name].spec.container and not anything:
        raise SkillFailure("too wide to grasp")
    return name if anything else _top(state, name)


def _nearest_of(body: Body, point: ImagePoint, spot: np.ndarray) -> str | None:
    """What is seen at a point, else what stands next to it."""
    return seen_at(body, point) or _nearest(body.state(), spot, SNAP_DISTANCE_M)


def _slide(body: Body, name: str | None, way: float) -> None:
    """Moves a drawer so far along its slide, m, with what is in it. Raises Failed for anything else."""
    model, state = body.model, body.state()
    if name is None or model.body_jntnum[model.body(name).id] == 0 or model.joint(name).type[0] != SLIDE:
        raise SkillFailure("nothing between the fingers")
    adr, (low, high) = model.joint(name).qposadr[0], model.joint(name).range
    before = float(body.data.qpos[adr])
    body.data.qpos[adr] = np.clip(before + way, low, high)
    inside = [other for other in state.objects if state.inside(other, name)]
    for other in inside:
        body.data.qpos[model.joint(other).qposadr[0]] += body.data.qpos[adr] - before
    mujoco.mj_kinematics(model, body.data)


def _carrier(body: Body, state: WorldState, point: ImagePoint, spot: np.ndarray, held: str) -> str | None:
    """What a point means for a hand that shall put something there: a container, the top of a tower, or, None, the
    table.
    """
    name = seen_at(body, point)
    name = _nearest(state, spot, SUPPORT_SNAP_M, but=held) if name in (None, held) else name
    if name is None:
        return None
    around = [other for other in state.objects if state[other].spec.container and state.inside(name, other)]
    return around[0] if around else name if state[name].spec.container else _top(state, name, but=held)


def _nearest(state: WorldState, spot: np.ndarray, within: float, but: str = "") -> str | None:
    """The thing whose footprint is nearest to a spot, if it is near enough."""
    away = {
        name: float(np.hypot(*(thing.pos[:2] - spot[:2]))) - thing.spec.size / 2
        for name, thing in state.objects.items()
        if name != but and thing.spec.shape not in FIXED_SHAPES and thing.top > 0
    }
    name = min(away, key=lambda n: away[n], default=None)
    return name if name is not None and away[name] <= within else None


def _top(state: WorldState, name: str, but: str = "") -> str:
    """What stands uppermost on a thing: itself, if nothing does."""
    while above := [other for other in state.objects if other != but and state.on(other, name)]:
        name = above[0]
    return name


def _where(state: WorldState, name: str, carrier: str | None, spot: np.ndarray) -> np.ndarray:
    """(3,) m for the origin of a thing that is put on or into its carrier, or on the table at a spot."""
    thing = state[name]
    rise = thing.spec.origin_height + GAP
    if carrier is None:
        others = [other for other in state.objects.values() if other.spec.id != name and other.top > 0]
        free = (spot[:2] + shift for shift in _around(MAX_SHIFT_M))
        xy = next((each for each in free if _room(thing, others, each) > OBJECT_CLEARANCE_M), spot[:2])
        return np.array([*xy, rise])
    base = state[carrier]
    if not base.spec.container:
        return np.array([*base.pos[:2], base.top + rise])
    return _inside(state, thing, base, rise)


def _inside(state: WorldState, thing: ObjectState, base: ObjectState, rise: float) -> np.ndarray:
    """In a container, along its wall and next to what is there; on top of that where there is no room."""
    shape, yaw = base.spec.shape, _yaw(base)
    wall = ROUND_RIM_M if shape == "bowl" else SQUARE_RIM_M
    room = max(0.0, CONTAINER_HALF_WIDTH_M[shape] - wall - thing.spec.size / 2 - OBJECT_CLEARANCE_M)
    content = [state[n] for n in state.objects if n != thing.spec.id and state.inside(n, base.spec.id)]
    middles = np.array([other.pos for other in content]).reshape(-1, 3)
    spots = sorted(_in_container(base.pos[:2], yaw, room, shape == "bowl", middles), key=lambda spot: spot.loss)
    best = max(spots, key=lambda spot: min(0.0, _room(thing, content, spot.xy)))  # the first with room, if any has
    under = [other.top for other in content if _room(thing, [other], best.xy) < -OBJECT_CLEARANCE_M]
    return np.array([*best.xy, max([float(base.pos[2]) + WALL_THICKNESS_M, *under]) + rise])


def _room(thing: ObjectState, others: Iterable[ObjectState], xy: np.ndarray) -> float:
    """Free space between a thing at xy and others that stand alike, m."""
    gaps = (float(np.hypot(*(o.pos[:2] - xy))) - (o.spec.size + thing.spec.size) / 2 for o in others)
    return min(gaps, default=1.0)


def _yaw(thing: ObjectState) -> float:
    """rad, of a thing that stands upright."""
    return float(2 * np.arctan2(thing.quat[3], thing.quat[0]))


def _around(reach: float) -> Iterator[np.ndarray]:
    """(2,) m: no shift, then shifts in all directions, up to a reach."""
    yield np.zeros(2)
    for distance in np.arange(STEP, reach + STEP / 2, STEP):
        for angle in np.linspace(0, 2 * math.pi, 12, endpoint=False):
            yield distance * np.array([math.cos(angle), math.sin(angle)])
