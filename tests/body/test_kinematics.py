"""Laws of the kinematics: inverse undoes forward, the Jacobian is the derivative, what is out of reach says how far."""

import mujoco
import numpy as np
import pytest

from qwenarm.body.kinematics import top_down
from qwenarm.body.simulation import Body


def test_inverse_undoes_forward(bare: Body, random_qpos):
    rng, reached = np.random.default_rng(0), 0
    for _ in range(40):
        pos, quat = bare.kinematics.fk(random_qpos(bare, rng))
        found = bare.kinematics.ik(pos, quat)
        again, turned = bare.kinematics.fk(found.qpos)
        assert abs(np.linalg.norm(again - pos) - found.position_error) < 1e-9
        if found.reached:
            reached += 1
            assert np.linalg.norm(again - pos) < 1e-3 and abs(turned @ quat) > 1 - 1e-4
    assert reached >= 32


def test_solutions_respect_the_joint_limits(bare: Body):
    rng, k = np.random.default_rng(1), bare.kinematics
    for _ in range(10):
        found = k.ik(rng.uniform(-1, 1, 3), top_down(rng.uniform(0, 7)))
        assert (found.qpos >= k.lower).all() and (found.qpos <= k.upper).all()


def test_the_start_is_kept_near(bare: Body):
    start = bare.ik(np.array([0.5, 0.1, 0.1]), top_down(1.0)).qpos
    beside = bare.ik(np.array([0.51, 0.1, 0.1]), top_down(1.0), start)
    assert beside.reached and np.abs(beside.qpos - start).max() < 0.3


def test_out_of_reach_says_how_far(bare: Body):
    far = bare.ik(np.array([3.0, 0.0, 0.3]), top_down(0.0))
    assert not far.reached and 1.8 < far.position_error < 2.9


def test_jacobian_is_the_derivative_of_forward(bare: Body, random_qpos):
    qpos, k, h = random_qpos(bare, np.random.default_rng(2)), bare.kinematics, 1e-6
    k.set(qpos)
    jacobian = k.jacobian().copy()
    for i in range(len(qpos)):
        step = np.zeros_like(qpos)
        step[i] = h
        slope = (k.fk(qpos + step)[0] - k.fk(qpos - step)[0]) / (2 * h)
        np.testing.assert_allclose(jacobian[:3, i], slope, atol=1e-6)


@pytest.mark.parametrize("yaw", np.linspace(-3, 3, 7))
def test_top_down_points_down_and_opens_along_yaw(yaw: float):
    mat = np.zeros(9)
    mujoco.mju_quat2Mat(mat, top_down(yaw))
    hand = mat.reshape(3, 3)
    np.testing.assert_allclose(hand[:, 2], [0, 0, -1], atol=1e-12)
    assert abs(abs(hand[:, 1] @ [np.cos(yaw), np.sin(yaw), 0]) - 1) < 1e-12


def test_asking_leaves_the_simulation_alone(bare: Body):
    bare.reset()
    before = bare.final_hash()
    bare.ik(np.array([0.5, 0.1, 0.1]), top_down(1.0))
    assert bare.final_hash() == before
