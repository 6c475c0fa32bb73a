"""What works with an arm, and which tasks are out of its reach: tried in simulation, one finding after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.imported_arm import ADDED_SERVO_SUFFIX
from qwenarm.body.kinematics import top_down
from qwenarm.body.objects.spec import make_spec
from qwenarm.body.reach import GRID_X_M, GRID_Y_M, HEIGHTS_M, YAWS_RAD, Reach, measure_reach
from qwenarm.body.safety import MAX_LAG_RAD
from qwenarm.body.scene import WORKSPACE_X, WORKSPACE_Y, Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput
from qwenarm.registry import list_names, load
from qwenarm.skills import run
from qwenarm.skills.motion import move_joints, set_fingers, wait
from qwenarm.tasks import oracle_call
from qwenarm.types import Control, SkillCall

HOME_MARGIN_RAD = 0.02
MAX_DRIFT_RAD = 2e-3
MAX_TCP_ERROR_M = 3e-3
MAX_GAP_ERROR_M = 2e-3
MAX_TIP_BEYOND_TCP_M = 0.02
MIN_AXIS_COSINE = 0.999
MAX_PENETRATION_M = 0.005
"""Links may overlap by this much before it counts as a collision: their shapes are approximations."""
HOLD_TIME_S = 5.0
TASK_SEEDS = range(5)


@dataclass(frozen=True)
class CheckResult:
    """One line of the check.

    Attributes:
        name: What was looked at.
        ok: Whether it is as it should be.
        detail: What was found, in words.
        needed: Whether the arm cannot be used if it is not ok.
    """

    name: str
    ok: bool
    detail: str
    needed: bool = True


def check_arm(arm: Arm) -> Iterator[CheckResult]:
    """All findings, the cheap ones first; ends early where nothing more can be tried."""
    reach = measure_reach(arm)
    body = Body(Scene(()), arm)
    home = _check_home(body)
    yield from (_check_joints(body), _check_drives(body), home, _check_frames(body))
    yield _check_reach(reach)
    spot = _middle(reach)
    if not home.ok or spot is None:
        return
    yield _check_motion(body, spot)
    yield _check_self_collision(body, reach)
    yield _check_gripper(body)
    yield _check_grasp(arm, spot)
    for task in list_names("tasks"):
        yield _check_task(arm, task, reach)


def reach_map(reach: Reach) -> str:
    """The grid as text, seen from above with the robot below: # is reached, . is not."""
    rows = []
    for i in reversed(range(len(GRID_X_M))):
        marks = "".join(" #" if (i, j) in reach.points else " ." for j in reversed(range(len(GRID_Y_M))))
        within = WORKSPACE_X[0] - 0.01 < GRID_X_M[i] < WORKSPACE_X[1] + 0.01
        rows.append(f"x {GRID_X_M[i]:.2f} {marks}{'  workspace' if within else ''}")
    return "\n".join(rows)


def _check_joints(body: Body) -> CheckResult:
    arm, widths = body.kinematics, body.kinematics.upper - body.kinematics.lower
    margin = float(np.minimum(arm.home - arm.lower, arm.upper - arm.home).min())
    ranges = " to ".join(dict.fromkeys(f"{width:.0f}" for width in np.degrees((widths.min(), widths.max()))))
    detail = f"{len(widths)} joints, ranges of {ranges} degrees"
    detail = f"{detail}; home is {np.degrees(margin):.0f} degrees from a limit"
    return CheckResult("joints", margin > HOME_MARGIN_RAD, detail)


def _check_drives(body: Body) -> CheckResult:
    model, names = body.model, [body.model.actuator(i).name for i in range(body.model.nu)]
    added = [name for name in names if name.endswith(ADDED_SERVO_SUFFIX)]
    strengths = [float(limit) for limit in model.actuator_forcerange[: len(body.arm.joints), 1]]
    strength = f"up to {max(strengths):.0f} N m" if all(strengths) else "no torque limit on some"
    source = f"{len(added)} position servos added, for the model has none there" if added else "position servos"
    return CheckResult("drives", True, f"{source}; {strength}")


def _check_home(body: Body) -> CheckResult:
    home = np.array(body.arm.home_qpos)
    pos, _ = body.kinematics.fk(home)
    for _ in range(20):
        body.step(body.hold())
    drift = float(np.abs(body.qpos - home).max())
    body.reset()
    where = ", ".join(f"{each:z.2f}" for each in pos)
    detail = f"tcp at ({where}) m; after a second {1000 * drift:.1f} mrad away from it"
    return CheckResult("home", drift < MAX_DRIFT_RAD, detail)


def _check_frames(body: Body) -> CheckResult:
    """z of the tcp points down at home, the fingers open along its y, and their tips are a little beyond it."""
    turn, names = body.data.site(body.arm.tcp_site).xmat.reshape(3, 3), body.arm.gripper.bodies
    down = -turn[2, 2] > MIN_AXIS_COSINE
    points = "down" if down else "not straight down"
    if not names:
        body.reset()
        return CheckResult("frames", down, f"z of the tcp points {points}")
    _play(body, set_fingers(body, body.arm.max_gap))
    left, right = (body.data.body(name).xpos.copy() for name in names)
    _play(body, set_fingers(body, 0.0))
    way = left - right - (body.data.body(names[0]).xpos - body.data.body(names[1]).xpos)
    along = abs(float(way @ turn[:, 1])) / max(float(np.linalg.norm(way)), 1e-9)
    fingers = [body.model.body(name).id for name in names]
    geoms = np.flatnonzero(np.isin(body.model.geom_bodyid, fingers))
    heights = body.data.geom_xmat[geoms].reshape(-1, 3, 3)[:, 2]
    lowest = (body.data.geom_xpos[geoms, 2] - np.abs(heights * body.model.geom_aabb[geoms, 3:]).sum(axis=1)).min()
    tip = float(body.tcp_pos[2] - lowest)
    body.reset()
    ok = down and along > MIN_AXIS_COSINE and 0 < tip < MAX_TIP_BEYOND_TCP_M
    axis = "its y" if along > MIN_AXIS_COSINE else "another line than its y"
    detail = f"z of the tcp points {points}; fingers open along {axis}, {1000 * tip:.0f} mm beyond it"
    return CheckResult("frames", ok, detail)


def _check_reach(reach: Reach) -> CheckResult:
    share = float(np.mean([place in reach for place in _workspace_places()]))
    how = f"at {len(YAWS_RAD)} yaws and heights of {' and '.join(f'{h:.3g}' for h in HEIGHTS_M)} m, hand down"
    return CheckResult("reach", share == 1, f"{100 * share:.0f} % of the workspace {how}", needed=share == 0)


def _check_motion(body: Body, spot: tuple[float, float]) -> CheckResult:
    goal = np.array([*spot, HEIGHTS_M[1]])
    ways = [body.ik(goal, top_down(yaw)) for yaw in (0.0, np.pi)]  # the fingers are alike
    lag = _play(body, move_joints(body, next((way for way in ways if way.reached), ways[0]).qpos))
    _play(body, wait(body, 0.5))
    error = float(np.linalg.norm(body.tcp_pos - goal))
    body.reset()
    detail = f"lags {1000 * lag:.0f} mrad behind at full speed and ends {1000 * error:.1f} mm beside the goal"
    return CheckResult("motion", lag < MAX_LAG_RAD and error < MAX_TCP_ERROR_M, detail)


def _check_self_collision(body: Body, reach: Reach) -> CheckResult:
    """Counts reached poses in which links overlap that are no neighbours. The simulation lets them pass each other."""
    model, data = body.model, mujoco.MjData(body.model)
    touching = (model.geom_contype != 0) & (model.geom_bodyid != 0)
    before = model.geom_contype.copy(), model.geom_conaffinity.copy()
    poses = [(GRID_X_M[i], GRID_Y_M[j], z) for i, j in sorted(reach.points)[::4] for z in HEIGHTS_M]
    pairs: set[str] = set()
    hits = 0
    try:
        model.geom_contype[touching], model.geom_conaffinity[touching] = 8, 8
        for pos in poses:
            data.qpos[body.kinematics.qpos_adr] = body.kinematics.ik(np.array(pos), top_down(np.pi / 2)).qpos
            mujoco.mj_forward(model, data)
            found = set(_overlaps(model, data))
            pairs |= found
            hits += bool(found)
    finally:
        model.geom_contype[:], model.geom_conaffinity[:] = before
    detail = f"in {hits} of {len(poses)} reached poses" + (f": {', '.join(sorted(pairs)[:2])}" if pairs else "")
    return CheckResult("self-collision", not hits, detail, needed=False)


def _overlaps(model: mujoco.MjModel, data: mujoco.MjData) -> Iterator[str]:
    """The pairs of links that overlap, neighbours and their fixed parts left out."""
    for contact in data.contact[: data.ncon]:
        links = model.body_weldid[model.geom_bodyid[list(contact.geom)]]
        parents = model.body_weldid[model.body_parentid[links]]
        grand = model.body_weldid[model.body_parentid[parents]]
        near = links[0] == links[1] or links[0] in (parents[1], grand[1]) or links[1] in (parents[0], grand[0])
        siblings = parents[0] == parents[1]
        if 0 not in links and not near and not siblings and contact.dist < -MAX_PENETRATION_M:
            yield " and ".join(sorted(model.body(int(link)).name for link in links))


def _check_gripper(body: Body) -> CheckResult:
    errors = []
    for gap in (body.arm.max_gap, 0.0, body.arm.max_gap / 2):
        _play(body, set_fingers(body, gap, patience=30))
        errors.append(abs(body.gripper_width - gap))
    body.reset()
    detail = f"opens {1000 * body.arm.max_gap:.0f} mm, closes, and stops between, within {1000 * max(errors):.1f} mm"
    if not body.arm.gripper.has_fingers:
        detail = f"suction cup, {1000 * body.arm.max_gap:.0f} mm wide: the vacuum comes, goes, and stops between"
    return CheckResult("gripper", max(errors) < MAX_GAP_ERROR_M, detail)


def _check_grasp(arm: Arm, spot: tuple[float, float]) -> CheckResult:
    spec = make_spec("cube", "red")
    body = Body(Scene((Placement(spec, (*spot, spec.origin_height), 0.4),)), arm)
    try:
        result = _play_skill(body, oracle_call(body, SkillCall("pick", {"at": spec.id})))
        _play(body, wait(body, HOLD_TIME_S))
        held = body.state().holding == spec.id
    except BadInput as error:
        result, held = str(error), False
    finally:
        body.close()
    where = f"a cube at ({spot[0]:z.2f}, {spot[1]:z.2f}) m"
    detail = f"grasps {where} and holds it for {HOLD_TIME_S:.0f} s"
    return CheckResult("grasp", held, detail if held else f"does not hold {where}: {result or 'lost'}")


def _check_task(arm: Arm, name: str, reach: Reach) -> CheckResult:
    """Whether an arm can play a task: its scenes can be made within reach, and all that stands in them is."""
    if refusal := load("tasks", name).refusal(arm):
        return CheckResult(f"task {name}", False, refusal, needed=False)
    missing, total = 0, 0
    for seed in TASK_SEEDS:
        try:
            setup = load("tasks", name).build(np.random.default_rng(seed), reach=reach)
        except BadInput as refusal:
            return CheckResult(f"task {name}", False, str(refusal), needed=False)
        places = [placement.pos[:2] for placement in setup.scene.objects]
        missing, total = missing + sum(place not in reach for place in places), total + len(places)
    detail = (
        f"{missing} of {total} objects out of reach"
        if missing
        else f"all {total} objects of {len(TASK_SEEDS)} scenes are within reach"
    )
    return CheckResult(f"task {name}", not missing, detail, needed=False)


def _middle(reach: Reach) -> tuple[float, float] | None:
    """The place within reach and workspace that is nearest to the middle of those."""
    reached = np.array([place for place in _workspace_places() if place in reach])
    if not len(reached):
        return None
    nearest = reached[np.argmin(np.linalg.norm(reached - reached.mean(axis=0), axis=1))]
    return float(nearest[0]), float(nearest[1])


def _workspace_places() -> list[tuple[float, float]]:
    """The middles of squares of 2 cm that cover the workspace, (x, y) in m."""
    return [(x, y) for x in np.arange(*WORKSPACE_X, 0.02) + 0.01 for y in np.arange(*WORKSPACE_Y, 0.02) + 0.01]


def _play(body: Body, motion: Generator[Control, None, object]) -> float:
    """Plays a motion and returns how far, rad, a joint lagged behind its target at most."""
    lag = 0.0
    for control in motion:
        body.step(control)
        lag = max(lag, float(np.abs(body.target.qpos - body.qpos).max()))
    return lag


def _play_skill(body: Body, call: SkillCall) -> str:
    """Plays a skill and returns the reason of its failure; "" for success."""
    motion = run(body, call)
    while True:
        try:
            body.step(next(motion))
        except StopIteration as end:
            return end.value.detail
