"""Objects at rest sleep, which halves the cost of physics. Nothing depends on it: they wake when touched or moved."""

import mujoco
import numpy as np
import pytest

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.registry import load

CUBE = ObjectSpec("cube", "red")


def asleep(body: Body, name: str) -> bool:
    return int(body.data.tree_asleep[body.model.body_treeid[body.model.body(name).id]]) >= 0


@pytest.fixture
def body() -> Body:
    cubes = (Placement(CUBE, (0.5, 0.0, CUBE.origin_height)), Placement(ObjectSpec("ball", "blue"), (0.4, 0.2, 0.0225)))
    body = Body(Scene(cubes), load("arms", "panda"))
    for _ in range(20):
        body.step(body.hold())
    return body


def test_objects_sleep_and_the_arm_does_not(body: Body):
    assert asleep(body, "red_cube") and asleep(body, "blue_ball")
    assert not asleep(body, "hand")
    assert body.state().objects["red_cube"].speed == 0


def test_a_touch_wakes(body: Body):
    before = body.state().objects["red_cube"].pos.copy()
    down = np.array([0.0, 1.0, 0.0, 0.0])
    for x, z in ((0.40, 0.20), (0.40, 0.03), (0.52, 0.03)):
        qpos = body.ik(np.array([x, 0.0, z]), down).qpos
        for _ in range(60):
            body.step(type(body.hold())(qpos, 0.0))
    state = body.state()
    assert state.objects["red_cube"].pos[0] > before[0] + 0.02
    assert asleep(body, "blue_ball")


def test_a_hand_from_outside_wakes(body: Body):
    joint = body.model.joint("red_cube")
    body.data.qpos[joint.qposadr[0] + 2] += 0.1
    mujoco.mj_forward(body.model, body.data)
    assert body.state().objects["red_cube"].pos[2] > 0.1
    for _ in range(20):
        body.step(body.hold())
    np.testing.assert_allclose(body.state().objects["red_cube"].pos[2], CUBE.origin_height, atol=1e-3)
