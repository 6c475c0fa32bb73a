"""Two arms on one table: the one that reaches best plays a skill, the other waits, and they can touch each other."""

import gymnasium
import numpy as np
import pytest

import qwenarm  # noqa: F401  (registers the environments)
from qwenarm import skills
from qwenarm.body.arms import ur5e_pair
from qwenarm.body.kinematics import top_down
from qwenarm.body.objects.spec import make_spec
from qwenarm.body.safety import TCP_LIMITS_M, ServoTarget
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.tasks import oracle_call
from qwenarm.tasks.core.planning import WorldPoint
from qwenarm.types import Control, SkillCall

SIDES = (0.2, -0.2)
"""y of what lies on the side of each arm, m."""


@pytest.fixture
def body() -> Body:
    """A cube on either side."""
    cubes = [(make_spec("cube", color), y) for color, y in zip(("red", "blue"), SIDES, strict=True)]
    return Body(Scene(tuple(Placement(spec, (0.5, y, spec.origin_height)) for spec, y in cubes)), ur5e_pair.ARM)


def play(body: Body, name: str, at: str | WorldPoint) -> tuple[bool, float]:
    """Whether it succeeded, and how far, in rad, the waiting arm moved at most."""
    motion, moved = skills.run(body, oracle_call(body, SkillCall(name, {"at": at}))), 0.0
    while True:
        try:
            body.step(next(motion))
        except StopIteration as end:
            return end.value.ok, moved
        waiting = [each for each in body.manipulators if each is not body.active]
        moved = max(moved, *(float(np.abs(each.qpos - each.arm.home_qpos).max()) for each in waiting))


@pytest.mark.render
def test_each_thing_is_taken_by_the_arm_beside_it_and_put_down_by_the_one_that_holds_it(body: Body):
    for number, (name, y) in enumerate(zip(("red_cube", "blue_cube"), SIDES, strict=True)):
        ok, moved = play(body, "pick", name)
        assert ok and moved < 0.01 and body.active is body.manipulators[number]
        assert body.state().holding == name and body.proprio().holding
        ok, moved = play(body, "place", WorldPoint(0.6, -y))
        assert ok and moved < 0.01 and body.active is body.manipulators[number], "it crosses the table with it"
        assert np.linalg.norm(body.state()[name].pos[:2] - [0.6, -y]) < 0.02
        assert body.state().holding is None
    assert not body.clamps["self_collision"]


@pytest.mark.render
def test_an_arm_that_hangs_over_the_table_goes_home_before_the_other_begins(body: Body):
    assert play(body, "move_to", "red_cube")[0]
    left = body.manipulators[0]
    assert np.abs(left.qpos - left.arm.home_qpos).max() > 0.1
    assert play(body, "pick", "blue_cube")[0] and body.active is body.manipulators[1]
    assert np.abs(left.qpos - left.arm.home_qpos).max() < 0.01


def test_arms_that_are_driven_into_each_other_collide(body: Body):
    goals = [each.ik(np.array([0.45, 0.0, 0.3]), top_down(np.pi / 2)).qpos for each in body.manipulators]
    for _ in range(60):
        body.step_all([Control(goal, 0.0) for goal in goals])
    assert body.clamps["self_collision"] > 0
    gap = np.linalg.norm(body.manipulators[0].tcp_pos - body.manipulators[1].tcp_pos)
    assert gap > 0.02, "they do not pass through each other"


def test_an_arm_that_wants_to_go_where_the_other_one_is_does_not_push_it_out(body: Body):
    """The right arm leans on the elbow of the left one, whose tcp is near two walls of the workspace."""
    poses = (-0.204, 0.065, -1.121, -0.599, -1.048, 1.564), (0.357, -0.898, 1.063, 2.396, -1.352, 0.46)
    wishes = [
        [(-3.76, -2.66, -2.27, -2.2, 4.19, 5.83), (4.34, 2.94, -2.64, -4.27, 4.59, -3.84)],
        [(-4.64, 1.33, -0.34, -5.39, 4.0, 5.02), (1.81, 1.05, -1.92, 5.83, 2.95, 2.12)],
    ]
    left, _ = body.manipulators
    for each, pose in zip(body.manipulators, poses, strict=True):
        body.data.qpos[each.kinematics.qpos_adr] = pose
        each.target = ServoTarget(np.array(pose), np.zeros(6), 0.0)
    outside = []
    for wish in [wishes[0]] * 10 + [wishes[1]] * 120:
        body.step_all([Control(np.array(goal), 0.0) for goal in wish])
        outside.append(np.maximum(TCP_LIMITS_M[0] - left.tcp_pos, left.tcp_pos - TCP_LIMITS_M[1]).max())
    assert body.clamps["self_collision"] > 0
    assert max(outside) < 0.005 and outside[-1] < 0.001


@pytest.mark.parametrize("control", ["joint", "ee_delta"])
def test_an_action_has_the_numbers_of_both(control: str):
    env = gymnasium.make("qwenarm/Put-v0", arm="ur5e_pair", control=control, cameras=())
    observation, _ = env.reset(seed=0)
    assert observation["agent_pos"].shape == (14,) and env.action_space.shape == (14,)
    body = env.unwrapped.body
    still = (
        np.zeros(14)
        if control == "ee_delta"
        else np.concatenate([[*m.arm.home_qpos, 0.085] for m in body.manipulators])
    )
    action = still.copy()
    action[7] += 0.05 if control == "joint" else 0.5
    before = [each.qpos for each in body.manipulators]
    for _ in range(5):
        observation, *_ = env.step(action.astype(np.float32))
    moved = [np.abs(each.qpos - start).max() for each, start in zip(body.manipulators, before, strict=True)]
    assert moved[0] < 1e-3 < 0.02 < moved[1]
    assert np.allclose(observation["agent_pos"][7:13], body.manipulators[1].qpos, atol=1e-6)
    env.close()
