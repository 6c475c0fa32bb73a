"""The predicates that judge episodes, on states written by hand and on simulated ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenarm.body.arms.parts import Arm
from qwenarm.body.objects.spec import WALL_THICKNESS_M, ObjectSpec, make_spec
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.errors import BadInput

UPRIGHT = np.array([1.0, 0, 0, 0])


def standing(spec: ObjectSpec, x: float, y: float, z: float, speed: float = 0.0) -> ObjectState:
    return ObjectState(spec, np.array([x, y, z + spec.origin_height]), UPRIGHT, speed)


def world(*things: ObjectState) -> WorldState:
    return WorldState({t.spec.id: t for t in things}, None, np.zeros(3), 0.0)


CUBE, BALL = make_spec("cube", "red"), make_spec("ball", "green")


@pytest.mark.parametrize("shape", ["bowl", "tray", "box"])
def test_in_a_container(shape: str):
    container = make_spec(shape, "blue")
    inside = world(standing(CUBE, 0.52, 0.0, WALL_THICKNESS_M), standing(container, 0.5, 0.0, 0.0))
    assert inside.inside("red_cube", container.id) and inside.on("red_cube", container.id)
    assert not inside.on_table("red_cube") and inside.on_table(container.id)
    for away in (standing(CUBE, 0.60, 0.0, 0.0), standing(CUBE, 0.5, 0.0, 0.15)):
        assert not world(away, standing(container, 0.5, 0.0, 0.0)).inside("red_cube", container.id)


def test_piled_in_a_tray_counts_as_inside():
    tray = make_spec("tray", "blue")
    white = make_spec("cube", "white")
    pile = world(
        standing(tray, 0.5, 0, 0),
        standing(CUBE, 0.5, 0, WALL_THICKNESS_M),
        standing(white, 0.5, 0, WALL_THICKNESS_M + CUBE.size),
    )
    assert pile.inside("white_cube", tray.id) and pile.on("white_cube", "red_cube")
    assert not pile.inside(tray.id, tray.id) and not pile.inside("white_cube", "red_cube")


@given(dx=st.floats(-0.08, 0.08), dz=st.floats(-0.03, 0.03))
def test_on_means_above_and_touching(dx: float, dz: float):
    pair = world(standing(CUBE, 0.5, 0, 0), standing(BALL, 0.5 + dx, 0, CUBE.size + dz))
    assert pair.on("green_ball", "red_cube") == (abs(dx) < CUBE.size / 2 and abs(dz) <= 0.006)
    assert not pair.on("red_cube", "green_ball")


def test_at_rest_and_unknown_names():
    assert world(standing(CUBE, 0.5, 0, 0)).at_rest()
    assert not world(standing(CUBE, 0.5, 0, 0, speed=0.1)).at_rest()
    with pytest.raises(BadInput, match="red_cube"):
        world(standing(CUBE, 0.5, 0, 0)).on_table("gren_ball")


def test_a_cube_dropped_into_a_bowl_is_inside_it(panda: Arm, place):
    body = Body(Scene((place("bowl", "blue", 0.5, 0.0), place("cube", "red", 0.51, 0.0, z=0.05))), panda)
    for _ in range(30):
        body.step(body.hold())
    state = body.state()
    assert state.inside("red_cube", "blue_bowl") and state.at_rest() and not state.on_table("red_cube")
    assert state.on_table("blue_bowl") and state.holding is None


def test_a_tower_stands(panda: Arm, place):
    tower = (place("cube", "red", 0.5, 0), place("cube", "blue", 0.5, 0, 0.4, 0.045), place("ball", "green", 0.6, 0))
    body = Body(Scene(tower), panda)
    for _ in range(20):
        body.step(body.hold())
    state = body.state()
    assert state.on("blue_cube", "red_cube") and not state.on_table("blue_cube") and state.on_table("green_ball")
