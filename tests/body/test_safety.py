"""No control, however wild, gets the arm past a limit, and everything that was changed is counted."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenarm.body.arms.parts import Arm
from qwenarm.body.kinematics import top_down
from qwenarm.body.manipulator import DISTURBANCE_NAMES
from qwenarm.body.safety import (
    CLAMP_NAMES,
    CONTROL_PERIOD_S,
    MAX_LAG_RAD,
    TCP_LIMITS_M,
    Safety,
    ServoTarget,
)
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.body.table_clearance import MIN_GEOM_HEIGHT_M
from qwenarm.errors import BadInput
from qwenarm.types import Control

wild = st.floats(width=64) | st.floats(-4, 4) | st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -1e300])
patiently = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def lowest_geom(safety: Safety, qpos: np.ndarray) -> float:
    """Height of the arm's lowest corner at qpos, by way of the eight corners of every geom's box, m."""
    safety.kinematics.set(qpos)
    model, data = safety.kinematics.model, safety.kinematics.data
    corners = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8)
    lows = []
    for geom in safety.touching:
        local = model.geom_aabb[geom, :3, None] + corners * model.geom_aabb[geom, 3:, None]
        lows.append((data.geom_xmat[geom].reshape(3, 3) @ local)[2].min() + data.geom_xpos[geom, 2])
    return min(lows)


def assert_safe(body: Body, before: ServoTarget, after: ServoTarget) -> None:
    safety, arm = body.safety, body.arm
    assert np.isfinite(after.qpos).all() and np.isfinite(after.gripper)
    assert (after.qpos >= safety.lower - 1e-9).all() and (after.qpos <= safety.upper + 1e-9).all()
    assert (np.abs(after.qpos - before.qpos) <= np.array(arm.velocity) * CONTROL_PERIOD_S + 1e-9).all()
    assert 0 <= after.gripper <= arm.max_gap
    tcp, _ = body.kinematics.fk(after.qpos)
    assert (tcp >= TCP_LIMITS_M[0] - 1e-6).all() and (tcp <= TCP_LIMITS_M[1] + 1e-6).all()
    assert lowest_geom(safety, after.qpos) >= MIN_GEOM_HEIGHT_M - 1e-6


@patiently
@given(st.data())
def test_wild_controls_never_leave_the_limits(bare: Body, data: st.DataObject):
    bare.reset()
    n = len(bare.arm.joints)
    for _ in range(data.draw(st.integers(1, 12))):
        wish = Control(np.array(data.draw(st.lists(wild, min_size=n, max_size=n))), data.draw(wild))
        before = bare.target
        bare.step(wish)
        assert_safe(bare, before, bare.target)
        assert np.isfinite(bare.data.qpos).all() and np.isfinite(bare.data.qvel).all()
    assert set(bare.clamps) <= {*CLAMP_NAMES, *DISTURBANCE_NAMES}


@pytest.mark.parametrize("seed", range(3))
def test_real_joints_obey_under_long_random_driving(bare: Body, seed: int):
    bare.reset()
    rng, k = np.random.default_rng(seed), bare.kinematics
    fastest = np.zeros(len(bare.arm.joints))
    for i in range(120):
        if i % 8 == 0:
            wish = Control(rng.uniform(-4, 4, len(bare.arm.joints)), rng.uniform(-1, 1))
        bare.step(wish)
        qpos, speed = bare.data.qpos[k.qpos_adr], np.abs(bare.data.qvel[k.dof_adr])
        assert (qpos > k.lower - 0.01).all() and (qpos < k.upper + 0.01).all()
        fastest = np.maximum(fastest, speed)
        assert bare.proprio().tcp_pos[2] > -0.012
    assert (fastest < 1.2 * np.array(bare.arm.velocity)).all(), "targets obey exactly; a collision may kick a joint"
    assert bare.clamps["joint_velocity"] > 0


def test_each_clamp_is_counted_by_its_name(bare: Body):
    home, n = np.array(bare.arm.home_qpos), len(bare.arm.joints)
    cases = {
        "not_finite": Control(np.full(n, np.nan), 0.0),
        "joint_limit": Control(np.full(n, 1e9), 0.0),
        "gripper_range": Control(home, -1.0),
        "joint_velocity": Control(home + np.eye(n)[0] * 0.5, 0.0),
        "joint_acceleration": Control(home + np.eye(n)[0] * bare.arm.velocity[0] * CONTROL_PERIOD_S, 0.0),
    }
    for name, wish in cases.items():
        bare.reset()
        bare.step(wish)
        assert bare.clamps[name] == 1, name


def test_a_tame_motion_is_not_clamped(bare: Body):
    bare.reset()
    home, goal = np.array(bare.arm.home_qpos), bare.ik(np.array([0.5, 0.1, 0.02]), top_down(1.5)).qpos
    for s in np.linspace(0, 1, 60):
        wish = Control(home + (goal - home) * s * s * (3 - 2 * s), bare.arm.max_gap)
        bare.step(wish)
        np.testing.assert_allclose(bare.target.qpos, wish.qpos, rtol=0, atol=1e-15)
    assert not bare.clamps


def test_pushing_down_stops_at_the_table_and_slides_along_it(bare: Body):
    bare.reset()
    slim = bare.arm.gripper.slimmest  # a cup with vacuum would stick to the table
    start = bare.ik(np.array([0.45, 0.0, 0.05]), top_down(np.pi / 2)).qpos
    while np.abs(bare.target.qpos - start).max() > 1e-6:
        bare.step(Control(start, slim))
    for i in range(60):
        below = bare.ik(np.array([0.45 + 0.15 * i / 60, 0.0, -0.05]), top_down(np.pi / 2))
        bare.step(Control(below.qpos, slim))
    assert bare.clamps["table"] > 0
    assert lowest_geom(bare.safety, bare.hold().qpos) > MIN_GEOM_HEIGHT_M - 1e-6
    assert bare.proprio().tcp_pos[0] > 0.53, "the hand slides on along the table"
    assert bare.proprio().tcp_pos[2] > 0.0


def test_the_tcp_stays_in_the_workspace(far_reaching: Body):
    far_reaching.reset()
    away = far_reaching.hold().qpos
    away[0] += 3.0
    for _ in range(60):
        far_reaching.step(Control(away, 0.0))
    assert far_reaching.clamps["workspace"] > 0
    tcp = far_reaching.proprio().tcp_pos
    assert (tcp > TCP_LIMITS_M[0] - 0.01).all() and (tcp < TCP_LIMITS_M[1] + 0.01).all()


def test_a_blocked_joint_waits(bare: Body):
    """As if the measured arm stood still: its target runs ahead by no more than LEAD."""
    home, n = np.array(bare.arm.home_qpos), len(bare.arm.joints)
    target, names = ServoTarget(home, np.zeros(n), 0.0), set()
    for _ in range(40):
        target, clamps = bare.safety.limit(Control(home + np.eye(n)[0] * 0.3, 0.0), target, home)
        names.update(clamps)
    assert "blocked" in names
    assert np.abs(target.qpos - home).max() <= MAX_LAG_RAD + np.array(bare.arm.velocity).max() * CONTROL_PERIOD_S


def test_the_wrong_number_of_joints_is_the_callers_error(bare: Body):
    bare.reset()
    with pytest.raises(BadInput, match="joint angles"):
        bare.step(Control(np.zeros(3), 0.0))


def test_wild_controls_among_objects_stay_finite(arm: Arm, laid: Scene):
    body = Body(laid, arm)
    rng = np.random.default_rng(0)
    for _ in range(100):
        body.step(Control(rng.normal(0, 10, len(arm.joints)), rng.normal()))
    assert np.isfinite(body.data.qpos).all()
