"""Whatever actions are sent, the arm as it is measured stays within its limits, and every collision is counted."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenarm.body.braking import braked, braking_distance, braking_path, stoppable_step
from qwenarm.body.kinematics import top_down
from qwenarm.body.manipulator import DISTURBANCE_NAMES, MAX_CONTACT_FORCE_N, MAX_SPEED_SHARE
from qwenarm.body.room import Room
from qwenarm.body.safety import TCP_LIMITS_M, ServoTarget
from qwenarm.env import CONTROL_MODES, ArmEnv
from qwenarm.errors import BadInput
from qwenarm.types import Control

MAX_TCP_EXCESS_M = 0.01
EPISODE_STEPS = 500


def hostile_actions(rng: np.random.Generator, space: Any, count: int) -> Iterator[np.ndarray]:
    """Random and extreme ones, each sent once or held for up to 40 periods."""
    low, high = space.low.astype(float), space.high.astype(float)
    held, action = 0, low
    for _ in range(count):
        if held == 0:
            extreme = rng.random() < 0.5
            action = np.where(rng.random(len(low)) < 0.5, low, high) if extreme else rng.uniform(low, high)
            held = 1 if rng.random() < 0.5 else int(rng.integers(1, 40))
        held -= 1
        yield action


def worst_of(task: str, arm: str, control: Any, count: int) -> dict[str, float]:
    """What the state showed at worst, of any arm. Speed counts where none was pushed in this period or the last one."""
    env = ArmEnv(task, arm, 2, control, cameras=(), max_episode_steps=None)
    worst: dict[str, float] = dict.fromkeys(("tcp", "stop", "speed", "disturbed"), 0.0)
    rng, disturbed = np.random.default_rng(7), [0, 0]
    for i, action in enumerate(hostile_actions(rng, env.action_space, count)):
        if i % EPISODE_STEPS == 0:
            env.reset(seed=i)
            body, disturbed = env.body, [0, 0]
        env.step(action)
        disturbed = [disturbed[1], sum(body.clamps[name] for name in DISTURBANCE_NAMES)]
        seen = [("disturbed", disturbed[1])]
        for each in body.manipulators:
            qpos, tcp, limits = each.qpos, each.tcp_pos, each.kinematics
            seen.append(("tcp", max((TCP_LIMITS_M[0] - tcp).max(), (tcp - TCP_LIMITS_M[1]).max())))
            seen.append(("stop", max((limits.lower - qpos).max(), (qpos - limits.upper).max())))
            if disturbed[0] == disturbed[1]:
                seen.append(("speed", (np.abs(body.data.qvel[limits.dof_adr]) / each.arm.velocity).max()))
        for name, value in seen:
            worst[name] = max(worst[name], float(value))
    return worst


@pytest.fixture(params=("put", "tidy"))
def task(request, arm):
    """Loose things on the table; and a cabinet that does not give way, in reach of the arm's links."""
    if request.param == "tidy" and not arm.gripper.has_fingers:
        pytest.skip(f"{arm.name} cannot take hold of a knob")
    if request.param == "tidy" and not arm.reaches_workspace:
        pytest.skip(f"{arm.name} has no room for the objects of tidy where it reaches")
    return request.param


def assert_within_limits(worst: dict[str, float]) -> None:
    assert worst["tcp"] <= MAX_TCP_EXCESS_M
    assert worst["speed"] <= MAX_SPEED_SHARE
    assert worst["stop"] <= 0.02, "a stop is soft, and gives a little"


@pytest.mark.parametrize("control", CONTROL_MODES)
def test_the_measured_arm_stays_within_its_limits(arm, control, task):
    assert_within_limits(worst_of(task, arm.name, control, 300))


@pytest.mark.slow
@pytest.mark.parametrize("control", CONTROL_MODES)
def test_the_measured_arm_stays_within_its_limits_for_long(arm, control, task):
    worst = worst_of(task, arm.name, control, 10_000)
    assert_within_limits(worst)
    assert control != "joint" or worst["disturbed"] > 0, "joint targets do hit things, and that is counted"


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.1))
def test_a_shortened_step_stays_inside_whichever_joints_follow(seed, room):
    rng = np.random.default_rng(seed)
    jacobian, step = rng.uniform(-1, 1, (3, 7)), rng.uniform(-0.1, 0.1, 7)
    above, below = rng.uniform(0, room, 3), rng.uniform(0, room, 3)
    shortened = Room(jacobian, above, below).shortened(step)
    follow = np.array(list(product([False, True], repeat=7)))
    moved = (follow * shortened) @ jacobian.T
    assert (moved <= above + 1e-9).all() and (moved >= -below - 1e-9).all()
    assert (np.abs(shortened) <= np.abs(step)).all() and (shortened * step >= 0).all()
    free = Room(jacobian, np.full(3, 1.0), np.full(3, 1.0)).shortened(step)
    np.testing.assert_array_equal(free, step)


def test_an_arm_that_touches_itself_is_counted_and_goes_on_from_there(far_reaching):
    """The arm is put into random poses, until it touches itself in one."""
    rng, kinematics = np.random.default_rng(0), far_reaching.kinematics
    for _ in range(300):
        far_reaching.reset()
        qpos = rng.uniform(kinematics.lower, kinematics.upper)
        far_reaching.data.qpos[kinematics.qpos_adr] = qpos
        far_reaching.active.target = ServoTarget(qpos, np.zeros_like(qpos), 0.0)
        far_reaching.step(far_reaching.hold())
        if far_reaching.clamps["self_collision"]:
            break
    assert far_reaching.clamps["self_collision"] in (1, 2), "once for each arm"
    measured = far_reaching.qpos
    far_reaching.step(Control(qpos, 0.0))
    assert np.abs(far_reaching.target.qpos - measured).max() <= far_reaching.safety.max_step.max()


def test_a_contact_that_presses_too_hard_is_counted(bare):
    """As if a person leant on the hand while it is just above the table."""
    bare.reset()
    low = bare.ik(np.array([0.5, 0.0, 0.02]), top_down(0.0)).qpos
    while np.abs(bare.target.qpos - low).max() > 1e-6:
        bare.step(Control(low, 0.0))
    assert not any(bare.clamps[name] for name in DISTURBANCE_NAMES)
    bare.data.xfrc_applied[bare.model.body(bare.arm.hand_body).id, 2] = -6 * MAX_CONTACT_FORCE_N
    for _ in range(10):
        bare.step(bare.hold())
    bare.data.xfrc_applied[:] = 0
    assert bare.clamps["contact_force"] > 0


@pytest.mark.parametrize("surplus", [-1, 1])
def test_an_action_with_too_few_or_too_many_numbers_is_refused(surplus):
    for control in CONTROL_MODES:
        env = ArmEnv("put", "panda", 1, control, cameras=())
        env.reset(seed=0)
        (numbers,) = env.action_space.sample().shape
        with pytest.raises(BadInput, match="shape"):
            env.step(np.zeros(numbers + surplus))


# --- braking

GAIN = np.array([0.01, 0.03, 0.2])


def stoppable_steps(distance: np.ndarray) -> np.ndarray:
    return np.array([stoppable_step(float(d), float(g)) for d, g in zip(distance, GAIN, strict=True)])


@pytest.mark.parametrize("distance", [0.0, 1e-6, 0.004, 0.05, 1.0, 7.3])
def test_a_joint_that_keeps_to_its_fastest_step_stops_in_time_and_not_early(distance):
    step = stoppable_steps(np.full(3, distance))
    further = [braking_distance(float(s), float(g)) for s, g in zip(step, GAIN, strict=True)]
    np.testing.assert_allclose(further, [*np.zeros((1, 3)), *braking_path(step, GAIN)][-1], atol=1e-12)
    moved = step + further
    assert (moved <= distance + 1e-12).all()
    assert (moved >= distance - 0.6 * GAIN).all()


def test_who_could_stop_can_go_on_braking():
    left = np.full(3, 2.0)
    step = stoppable_steps(left)
    while step.any():
        left = left - step
        assert (left >= -1e-12).all()
        assert (stoppable_steps(np.maximum(left, 0)) >= braked(step, GAIN) - 1e-12).all()
        step = braked(step, GAIN)
