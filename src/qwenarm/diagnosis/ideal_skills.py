"""Skills that always succeed: what is pointed at comes into the hand, and what is held comes to where it should.

No motion is planned. Objects are set to their new poses in the simulator, and the arm only goes home and closes or
opens its fingers, so nothing else moves and nothing is lost. A call takes about as long as a real one.

Points are understood as the real skills understand them, and what no hand could do is refused: a container is too
wide, and a full hand takes nothing. So a wrong point, or a wrong call, stays wrong.
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
from qwenarm.diagnosis.ground_truth import ObjectViews
from qwenarm.episode.rollout import execute
from qwenarm.skills.failure import Moves, SkillFailure
from qwenarm.skills.grasp import SNAP_DISTANCE_M
from qwenarm.skills.heightmap import world_point
from qwenarm.skills.motion import go_home, set_fingers
from qwenarm.skills.placement import MAX_SHIFT_M, OBJECT_CLEARANCE_M, ROUND_RIM_M, SQUARE_RIM_M, SUPPORT_SNAP_M
from qwenarm.types import ImagePoint, SkillCall, SkillResult

if TYPE_CHECKING:
    from qwenarm.episode.watchers import Tell

POINT_COUNT = {"pick": 1, "place": 1, "push": 2, "pull": 2}
"""The skills that act on objects, and how many points each has. All others are carried out as they are."""
SKILL_TIME_S = 5.0
"""Simulated time that each of them takes; the real ones take 4 to 6 s."""
HOME_YAW_RAD = math.pi / 2
"""How objects stand in the hand and on the table: along the fingers at home."""
SEARCH_STEP_M = 0.005
"""Distance between candidates for a free place."""
CLOSED_MARGIN_M, PRESS_DEPTH_M = 0.002, 0.0004
"""Fingers count as closed on an object below this margin; then they are pressed into it by this depth."""
DROP_HEIGHT_M = 0.0005
"""Height from which objects are put down."""


class IdealHands:
    """Carries out the calls of one episode in the place of ``rollout.execute``."""

    def __init__(self) -> None:
        self.held: str | None = None
        self._body: Body | None = None

    def __call__(self, body: Body, call: SkillCall, tell: Tell) -> SkillResult:
        if self._body is not body:
            self._body, self.held = body, None
            body.after_step.append(self._keep)
        points = [value for value in call.args.values() if isinstance(value, ImagePoint)]
        if call.name == "open_gripper":
            self.held = None
        if len(points) != len(call.args) or len(points) != POINT_COUNT.get(call.name):
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
        end_s = body.time_s + SKILL_TIME_S
        spots = [_surface_point(body, point) for point in points]
        _run(body, go_home(body), tell)
        if name == "pick":
            self._pick(body, _graspable_at(body, points[0], spots[0]), tell)
        elif name == "place":
            self._place(body, points[0], spots[0], tell)
        elif name == "pull":
            _pull(body, _object_at(body, points[0], spots[0]), float(spots[1][0] - spots[0][0]))
        else:
            thing = body.state()[_movable_at(body, points[0], spots[0])]
            _set_pose(body, thing.spec.id, np.array([*spots[1][:2], thing.spec.origin_height + DROP_HEIGHT_M]))
        _run(body, _wait(body, end_s), tell)
        return SkillResult(True)

    def _pick(self, body: Body, name: str, tell: Tell) -> None:
        _run(body, set_fingers(body, body.arm.max_gap), tell)
        self.held = name
        self._keep(body)
        _run(body, set_fingers(body, 0.0), tell)

    def _place(self, body: Body, point: ImagePoint, spot: np.ndarray, tell: Tell) -> None:
        state, name = body.state(), self.held
        assert name is not None
        base = _base_at(body, state, point, spot, name)
        pos = _resting_place(state, state[name], state[base] if base else None, spot)
        _run(body, set_fingers(body, body.arm.max_gap), tell)
        self.held = None
        _set_pose(body, name, pos, HOME_YAW_RAD if base is None else _yaw(state[base]))

    def _keep(self, body: Body) -> None:
        """Keeps what is held between the fingers, after every control period.

        Once the fingers are closed, both are made to touch it, however weak they are.
        """
        if self.held is None:
            return
        _set_pose(body, self.held, body.tcp_pos)
        width = body.scene.spec(self.held).size
        if body.gripper_width < width + CLOSED_MARGIN_M:
            for name in body.arm.finger_joints:
                joint = body.model.joint(name)
                gap = (width - PRESS_DEPTH_M) / len(body.arm.finger_joints) / body.arm.gap_scale
                body.data.qpos[joint.qposadr[0]], body.data.qvel[joint.dofadr[0]] = gap, 0.0
            mujoco.mj_forward(body.model, body.data)


def _surface_point(body: Body, point: ImagePoint) -> np.ndarray:
    """(3,) m: the surface that is seen at an image point. Raises SkillFailure as the skills do."""
    if point.camera not in [camera.name for camera in body.scene.cameras]:
        raise SkillFailure(f"there is no camera {point.camera!r}")
    if not (0 <= point.u <= 1 and 0 <= point.v <= 1):
        raise SkillFailure("the point lies outside of the image")
    return world_point(body, point)


def _run(body: Body, moves: Moves, tell: Tell) -> None:
    for control in moves:
        body.step(control)
        tell("stepped", body)


def _wait(body: Body, end_s: float) -> Moves:
    while body.time_s < end_s - CONTROL_PERIOD_S / 2:
        yield body.hold()


def _set_pose(body: Body, name: str, pos: np.ndarray, yaw: float = HOME_YAW_RAD) -> None:
    """Sets an object upright and at rest, with its origin at pos (3,) m."""
    joint = body.model.joint(name)
    adr, dof = joint.qposadr[0], joint.dofadr[0]
    body.data.qpos[adr : adr + 7] = [*pos, math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)]
    body.data.qvel[dof : dof + 6] = 0
    mujoco.mj_kinematics(body.model, body.data)


def _object_at(body: Body, point: ImagePoint, spot: np.ndarray) -> str | None:
    """The object that is seen at a point, or else the one next to it."""
    return ObjectViews(body).object_at(point) or _nearest(body.state(), spot, SNAP_DISTANCE_M)


def _movable_at(body: Body, point: ImagePoint, spot: np.ndarray) -> str:
    """The same, if it can be moved. Raises SkillFailure otherwise."""
    name = _object_at(body, point, spot)
    if name is None or body.state()[name].spec.shape in FIXED_SHAPES:
        raise SkillFailure("nothing to grasp at that point")
    return name


def _graspable_at(body: Body, point: ImagePoint, spot: np.ndarray) -> str:
    """What the hand takes at a point: of a tower its top. Raises SkillFailure if nothing there fits into the hand."""
    state, name = body.state(), _movable_at(body, point, spot)
    if state[name].spec.container:
        raise SkillFailure("too wide to grasp")
    return _top(state, name)


def _pull(body: Body, name: str | None, distance: float) -> None:
    """Moves a drawer along its slide, in metres, with what is in it. Raises SkillFailure for anything else."""
    model, state = body.model, body.state()
    if name is None or not _is_on_slide(model, name):
        raise SkillFailure("nothing between the fingers")
    adr, (low, high) = model.joint(name).qposadr[0], model.joint(name).range
    before = float(body.data.qpos[adr])
    body.data.qpos[adr] = np.clip(before + distance, low, high)
    for other in state.objects:
        if state.inside(other, name):
            body.data.qpos[model.joint(other).qposadr[0]] += body.data.qpos[adr] - before
    mujoco.mj_kinematics(model, body.data)


def _is_on_slide(model: mujoco.MjModel, name: str) -> bool:
    return model.body_jntnum[model.body(name).id] > 0 and model.joint(name).type[0] == mujoco.mjtJoint.mjJNT_SLIDE


def _base_at(body: Body, state: WorldState, point: ImagePoint, spot: np.ndarray, held: str) -> str | None:
    """What the held object is put in or on at a point: a container, the top of a tower, or (None) the table."""
    name = ObjectViews(body).object_at(point)
    name = _nearest(state, spot, SUPPORT_SNAP_M, ignored=held) if name in (None, held) else name
    if name is None:
        return None
    around = [other for other in state.objects if state[other].spec.container and state.inside(name, other)]
    return around[0] if around else name if state[name].spec.container else _top(state, name, ignored=held)


def _nearest(state: WorldState, spot: np.ndarray, within: float, ignored: str = "") -> str | None:
    """The object whose footprint is nearest to a point, if it is closer than ``within`` metres."""
    distances = {
        name: float(np.hypot(*(thing.pos[:2] - spot[:2]))) - thing.spec.size / 2
        for name, thing in state.objects.items()
        if name != ignored and thing.spec.shape not in FIXED_SHAPES and thing.top > 0
    }
    name = min(distances, key=lambda n: distances[n], default=None)
    return name if name is not None and distances[name] <= within else None


def _top(state: WorldState, name: str, ignored: str = "") -> str:
    """The uppermost object on top of another one: itself if nothing stands on it."""
    while above := [other for other in state.objects if other != ignored and state.on(other, name)]:
        name = above[0]
    return name


def _resting_place(state: WorldState, thing: ObjectState, base: ObjectState | None, spot: np.ndarray) -> np.ndarray:
    """(3,) m: the origin of an object that is put on or into its base, or on the table near a point."""
    rise = thing.spec.origin_height + DROP_HEIGHT_M
    if base is None:
        others = [other for other in state.objects.values() if other.spec.id != thing.spec.id and other.top > 0]
        free = (xy for xy in _circles(spot[:2], MAX_SHIFT_M) if _room(thing, others, xy) > OBJECT_CLEARANCE_M)
        return np.array([*next(free, spot[:2]), rise])
    if not base.spec.container:
        return np.array([*base.pos[:2], base.top + rise])
    content = [
        other for name, other in state.objects.items() if other is not thing and state.inside(name, base.spec.id)
    ]
    # At the wall there is room for more. Where something is in the way, the object stands on top of it.
    xy = max(_along_wall(thing, base), key=lambda xy: min(OBJECT_CLEARANCE_M, _room(thing, content, xy)))
    below = [other.top for other in content if _room(thing, [other], xy) < 0]
    return np.array([*xy, max([float(base.pos[2]) + WALL_THICKNESS_M, *below]) + rise])


def _along_wall(thing: ObjectState, base: ObjectState) -> list[np.ndarray]:
    """(2,) m each: places for an object inside a container, first along its wall, then nearer to its middle."""
    is_round = base.spec.shape == "bowl"
    reach = (
        CONTAINER_HALF_WIDTH_M[base.spec.shape]
        - (ROUND_RIM_M if is_round else SQUARE_RIM_M)
        - thing.spec.size / 2
        - OBJECT_CLEARANCE_M
    )
    angles = np.arange(12 if is_round else 8) * 2 * math.pi / (12 if is_round else 8)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    unit = unit if is_round else unit / np.abs(unit).max(axis=1, keepdims=True)  # of a square: its corners and sides
    c, s = math.cos(_yaw(base)), math.sin(_yaw(base))
    turned = unit @ np.array([[c, s], [-s, c]])
    return [base.pos[:2] + share * max(0.0, reach) * way for share in (1.0, 0.5, 0.0) for way in turned]


def _room(thing: ObjectState, others: Iterable[ObjectState], xy: np.ndarray) -> float:
    """Distance in metres between an object at xy and the nearest of others, if all stand alike; at most 1 m."""
    gaps = (float(np.hypot(*(o.pos[:2] - xy))) - (o.spec.size + thing.spec.size) / 2 for o in others)
    return min(gaps, default=1.0)


def _yaw(thing: ObjectState) -> float:
    """In radians, of an object that stands upright."""
    return float(2 * np.arctan2(thing.quat[3], thing.quat[0]))


def _circles(center: np.ndarray, reach: float) -> Iterator[np.ndarray]:
    """(2,) m: the centre, then points on wider and wider circles around it, in metres."""
    yield center
    for distance in np.arange(SEARCH_STEP_M, reach + SEARCH_STEP_M / 2, SEARCH_STEP_M):
        for angle in np.linspace(0, 2 * math.pi, 12, endpoint=False):
            yield center + distance * np.array([math.cos(angle), math.sin(angle)])
