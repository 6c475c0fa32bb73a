"""Skills that always succeed: the object at the point comes into the hand, and the held object reaches its target.

No motion is planned. Objects are set to their new poses in the simulator, and the arm only goes home and closes or
opens its fingers, so nothing else moves and nothing is lost. A call takes about as long as a real one.

Points are interpreted like in the real skills, and what no hand could do is refused: a container is too wide, and a
full hand takes nothing. So a wrong point, or a wrong call, stays wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from qwenarm.body.objects.drawer import KNOB_RADIUS_M, knob_x
from qwenarm.body.objects.spec import CONTAINER_HALF_WIDTH_M, FIXED_SHAPES, WALL_THICKNESS_M
from qwenarm.body.rotations import about_z
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
"""Number of points of each skill that acts on objects. All other skills are carried out normally."""
SKILL_TIME_S = 5.0
"""Simulated duration of each of them, in s; the real ones take 4 to 6 s."""
HOME_YAW_RAD = math.pi / 2
"""Yaw of objects in the hand and on the table, in rad: along the fingers at home."""
SEARCH_STEP_M = 0.005
"""Distance between candidates for a free place, in m."""
CLOSED_MARGIN_M, PRESS_DEPTH_M = 0.002, 0.0004
"""Gap below which the fingers count as closed on an object, and depth by which they are then pressed into it, in m."""
DROP_HEIGHT_M = 0.0005
"""Height from which objects are put down, in m."""


class IdealHands:
    """Carries out the calls of one episode instead of ``rollout.execute``."""

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
        _set_pose(body, name, pos, HOME_YAW_RAD if base is None else state[base].yaw)

    def _keep(self, body: Body) -> None:
        """Keeps a held object between the fingers or under the cup, after every control period.

        Once the gripper is closed, it is made to touch the object, however weak it is.
        """
        if self.held is None:
            return
        spec, pos = body.scene.spec(self.held), body.tcp_pos
        if not body.arm.gripper.has_fingers:
            pos[2] -= spec.height / 2 - PRESS_DEPTH_M
        _set_pose(body, self.held, pos)
        if body.gripper_width < spec.size + CLOSED_MARGIN_M:
            body.gripper.hold_at(spec.size - PRESS_DEPTH_M)


def _surface_point(body: Body, point: ImagePoint) -> np.ndarray:
    """Returns the surface point (3,) in m that is seen at an image point. Raises SkillFailure like the skills."""
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
    """Sets an object upright and at rest, with its origin at ``pos`` (3,) in m."""
    joint = body.model.joint(name)
    adr, dof = joint.qposadr[0], joint.dofadr[0]
    body.data.qpos[adr : adr + 7] = [*pos, *about_z(yaw)]
    body.data.qvel[dof : dof + 6] = 0
    mujoco.mj_kinematics(body.model, body.data)


def _object_at(body: Body, point: ImagePoint, spot: np.ndarray) -> str | None:
    """Returns the object that is seen at a point, or else the one next to it."""
    return ObjectViews(body).object_at(point) or _nearest(body.state(), spot, SNAP_DISTANCE_M)


def _movable_at(body: Body, point: ImagePoint, spot: np.ndarray) -> str:
    """Returns the object at a point. Raises SkillFailure if it cannot be moved."""
    name = _object_at(body, point, spot)
    if name is None or body.state()[name].spec.shape in FIXED_SHAPES:
        raise SkillFailure("nothing to grasp at that point")
    return name


def _graspable_at(body: Body, point: ImagePoint, spot: np.ndarray) -> str:
    """Returns what the hand takes at a point; of a tower its top. Raises SkillFailure if nothing fits in the hand."""
    state, name = body.state(), _movable_at(body, point, spot)
    if state[name].spec.container:
        raise SkillFailure("too wide to grasp")
    return _top(state, name)


def _pull(body: Body, name: str | None, distance: float) -> None:
    """Moves a drawer, with its content, by a distance in m along its slide. Raises SkillFailure for anything else."""
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
    """Returns what the held object is put in or on: a container, the top of a tower, or (None) the table."""
    name = ObjectViews(body).object_at(point)
    name = _nearest(state, spot, SUPPORT_SNAP_M, ignored=held) if name in (None, held) else name
    if name is None:
        return None
    around = [other for other in state.objects if state[other].spec.container and state.inside(name, other)]
    return around[0] if around else name if state[name].spec.container else _top(state, name, ignored=held)


def _nearest(state: WorldState, spot: np.ndarray, within: float, ignored: str = "") -> str | None:
    """Returns the object whose footprint is nearest to a point, if it is closer than ``within`` m."""
    distances = {
        name: float(np.hypot(*(thing.pos[:2] - spot[:2]))) - thing.spec.size / 2
        for name, thing in state.objects.items()
        if name != ignored and thing.spec.shape not in FIXED_SHAPES and thing.top > 0
    }
    name = min(distances, key=lambda n: distances[n], default=None)
    return name if name is not None and distances[name] <= within else None


def _top(state: WorldState, name: str, ignored: str = "") -> str:
    """Returns the uppermost object on top of another one, or itself if nothing stands on it."""
    while above := [other for other in state.objects if other != ignored and state.on(other, name)]:
        name = above[0]
    return name


def _resting_place(state: WorldState, thing: ObjectState, base: ObjectState | None, spot: np.ndarray) -> np.ndarray:
    """Returns the origin (3,) in m of an object that is put on or into its base, or on the table near a point."""
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
    # Places at the wall leave room for more. If something is in the way, the object stands on top of it.
    xy = max(_along_wall(thing, base), key=lambda xy: min(OBJECT_CLEARANCE_M, _room(thing, content, xy)))
    below = [other.top for other in content if _room(thing, [other], xy) < 0]
    return np.array([*xy, max([float(base.pos[2]) + WALL_THICKNESS_M, *below]) + rise])


def _along_wall(thing: ObjectState, base: ObjectState) -> list[np.ndarray]:
    """Returns places (2,) in m for an object inside a container, first along its wall, then nearer to its middle."""
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
    c, s = math.cos(base.yaw), math.sin(base.yaw)
    turned = unit @ np.array([[c, s], [-s, c]])
    places = [base.pos[:2] + share * max(0.0, reach) * way for share in (1.0, 0.5, 0.0) for way in turned]
    if base.spec.shape != "drawer":
        return places
    knob = np.array([knob_x(float(base.pos[0]), base.spec.size / 2), base.pos[1]])  # stands over the edge, low
    beside = KNOB_RADIUS_M + thing.spec.size / 2 + OBJECT_CLEARANCE_M
    return [xy for xy in places if np.hypot(*(xy - knob)) > beside]


def _room(thing: ObjectState, others: Iterable[ObjectState], xy: np.ndarray) -> float:
    """Returns the distance in m between an object at ``xy`` and the nearest of the others, or 1 if there are none."""
    gaps = (float(np.hypot(*(o.pos[:2] - xy))) - (o.spec.size + thing.spec.size) / 2 for o in others)
    return min(gaps, default=1.0)


def _circles(center: np.ndarray, reach: float) -> Iterator[np.ndarray]:
    """Yields the centre, then points (2,) in m on growing circles around it."""
    yield center
    for distance in np.arange(SEARCH_STEP_M, reach + SEARCH_STEP_M / 2, SEARCH_STEP_M):
        for angle in np.linspace(0, 2 * math.pi, 12, endpoint=False):
            yield center + distance * np.array([math.cos(angle), math.sin(angle)])
