"""Laws of the hand's shape: where it is said to touch nothing, it touches nothing, and not much lower it does."""

from collections.abc import Callable

import mujoco
import numpy as np
import pytest

from qwenarm.body.arms.parts import TIP_BEYOND_TCP_M, Arm
from qwenarm.body.clearance import UNDERSIDE_CLEARANCE_M, measure_hand
from qwenarm.body.kinematics import top_down
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.registry import load

ARMS = ("panda", "ur5e")
XY = np.array([0.5, 0.0])
COLORS = ("red", "blue", "green")


def touches(body: Body, height: float, yaw: float) -> bool:
    """Does the open hand at XY, this high, touch a thing?"""
    solution = body.ik(np.array([*XY, height]), top_down(yaw))
    assert solution.reached
    body.reset()
    body.data.qpos[body.kinematics.qpos_adr] = solution.qpos
    mujoco.mj_forward(body.model, body.data)
    things = {body.model.body(placement.spec.id).id for placement in body.scene.objects}
    pairs = body.model.geom_bodyid[body.data.contact.geom]
    return any((a in things) != (b in things) for a, b in pairs if 0 not in (a, b))


@pytest.mark.parametrize("arm", ARMS)
def test_at_its_lowest_the_open_hand_touches_nothing(arm: str, place: Callable[..., Placement]) -> None:
    touched_below = held_up = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.09)
        x, y = XY + away * np.array([np.cos(angle), np.sin(angle)])
        tower = tuple(
            place("cube", color, x, y, angle, z=0.045 * i) for i, color in enumerate(("red", "blue", "green"))
        )
        body = Body(Scene(tower), load("arms", arm))
        grid = np.stack(np.meshgrid(*[np.linspace(-0.0225, 0.0225, 19)] * 2), axis=-1).reshape(-1, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        top = np.column_stack([grid @ turn.T + [x, y], np.full(len(grid), 3 * 0.045)])
        hand, yaws = measure_hand(body.kinematics), rng.uniform(0, np.pi, 2)
        parts = hand.palm, hand.fingers(hand.opened, hand.opened)
        heights = np.maximum(*(part.lowest(top, XY, yaws, 0.02) for part in parts))
        for height, yaw in zip(heights, yaws, strict=True):
            assert not touches(body, height, yaw)
            if height > 0.05:
                held_up += 1
                touched_below += touches(body, height - 0.025, yaw)
    assert touched_below >= 0.7 * held_up > 0, "it is no more careful than it must be"


@pytest.mark.parametrize("name", ARMS)
def test_a_post_under_the_palm_holds_it_up_and_one_beside_it_does_not(name: str) -> None:
    arm: Arm = load("arms", name)
    hand = measure_hand(Body(Scene(()), arm).kinematics)
    assert abs(hand.opened - arm.max_gap) < 1e-9
    under = np.array([[*XY, 0.15]])
    (low,) = hand.palm.lowest(under, XY, np.array([0.3]), 0.0)
    assert 0.15 - 0.10 < low < 0.15 + UNDERSIDE_CLEARANCE_M
    assert hand.palm.lowest(under + [0.0, 0.2, 0.0], XY, np.array([0.3]), 0.01) == 0.01
    fingers = hand.fingers(0.05, 0.06)
    assert abs(fingers.under.min() + TIP_BEYOND_TCP_M) < 1e-3
    in_the_grip, at_a_pad = [XY + [0, 0.02], XY + [0, 0.03]]
    for xy, blocked in ((in_the_grip, False), (at_a_pad, True)):
        (low,) = fingers.lowest(np.array([[*xy, 0.04]]), XY, np.array([np.pi / 2]), 0.02)
        assert (low > 0.04) == blocked


@pytest.mark.parametrize("name", ARMS)
def test_the_lowest_height_grows_with_what_stands_there(name: str) -> None:
    hand, rng = measure_hand(Body(Scene(()), load("arms", name)).kinematics), np.random.default_rng(0)
    points = rng.uniform([0.4, -0.1, 0.0], [0.6, 0.1, 0.12], (60, 3))
    yaws = rng.uniform(0, np.pi, 5)
    for some in (10, 30):
        assert (hand.palm.lowest(points, XY, yaws, 0.0) >= hand.palm.lowest(points[:some], XY, yaws, 0.0)).all()
    raised = hand.palm.lowest(points + [0, 0, 0.2], XY, yaws, 0.0)
    np.testing.assert_allclose(raised, hand.palm.lowest(points + [0, 0, 0.1], XY, yaws, 0.0) + 0.1)
