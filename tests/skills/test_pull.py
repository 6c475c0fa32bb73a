"""Drawers open and shut, take along what lies in them, and tell the hand when they go no further."""

from dataclasses import replace

import numpy as np
import pytest

from qwenarm.body.cameras import project
from qwenarm.body.objects.drawer import (
    CABINET_HEIGHT_M,
    CLOSED_DRAWER_X_M,
    DRAWER_TABLE_GAP_M,
    DRAWER_TRAVEL_M,
    KNOB_TOP_M,
    knob_x,
)
from qwenarm.body.objects.spec import WALL_THICKNESS_M, make_spec
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.registry import load
from qwenarm.skills import run
from qwenarm.types import ImagePoint, SkillCall

HALF = 0.085


def body_with_drawer(arm, opened, *things, y=0.2):
    drawer = replace(make_spec("drawer", "white"), name="drawer")
    return Body(
        Scene((*things, Placement(drawer, (CLOSED_DRAWER_X_M + opened, y, DRAWER_TABLE_GAP_M)))), load("arms", arm)
    )


def seen(body, x, y, z=0.0):
    pos, mat, fovy = body.camera_pose("front")
    (u, v), _ = project(np.array([x, y, z]), pos, mat, fovy, 4 / 3)
    return ImagePoint(float(u), float(v))


def pull(body, at, to):
    motion = iter(run(body, SkillCall("pull", {"at": at, "to": to})))
    while True:
        try:
            body.step(next(motion))
        except StopIteration as end:
            return end.value


def opening(body):
    return float(body.state()["drawer"].pos[0]) - CLOSED_DRAWER_X_M


@pytest.mark.render
@pytest.mark.parametrize("arm", ["panda", "ur5e"])
def test_a_drawer_opens_and_shuts_with_what_lies_in_it(arm):
    cube = make_spec("cube", "red")
    inside = Placement(
        cube, (CLOSED_DRAWER_X_M + DRAWER_TRAVEL_M, 0.2, DRAWER_TABLE_GAP_M + WALL_THICKNESS_M + cube.origin_height)
    )
    body = body_with_drawer(arm, DRAWER_TRAVEL_M, inside)
    shut = pull(
        body,
        seen(body, knob_x(CLOSED_DRAWER_X_M + DRAWER_TRAVEL_M, HALF), 0.2, KNOB_TOP_M),
        seen(body, CLOSED_DRAWER_X_M, 0.2, CABINET_HEIGHT_M),
    )
    assert shut.ok and "no further" in shut.detail and abs(opening(body)) < 0.005
    assert body.state().inside("red_cube", "drawer") and not body.clamps
    open_again = pull(body, seen(body, knob_x(CLOSED_DRAWER_X_M, HALF), 0.2, KNOB_TOP_M), seen(body, 0.58, 0.2))
    assert open_again.ok and opening(body) == pytest.approx(DRAWER_TRAVEL_M, abs=0.005)
    assert body.state().inside("red_cube", "drawer") and body.state().at_rest() and not body.clamps


@pytest.mark.render
def test_a_drawer_stays_where_the_knob_was_let_go():
    body = body_with_drawer("panda", 0.0)
    knob = knob_x(CLOSED_DRAWER_X_M, HALF)
    result = pull(body, seen(body, knob, 0.2, KNOB_TOP_M), seen(body, knob + 0.08, 0.2))
    assert result.ok and result.detail == "" and opening(body) == pytest.approx(0.08, abs=0.006)
    before = opening(body)
    for _ in range(20):
        body.step(body.hold())
    assert opening(body) == pytest.approx(before, abs=1e-3)


@pytest.mark.render
def test_only_what_can_be_held_is_pulled():
    body = body_with_drawer("panda", 0.0, Placement(make_spec("tray", "red"), (0.5, -0.1, 0.0)))
    assert not pull(body, seen(body, 0.6, 0.0), seen(body, 0.65, 0.0)).ok
    assert not pull(body, seen(body, 0.5, -0.1), seen(body, 0.6, -0.1)).ok
    knob = seen(body, knob_x(CLOSED_DRAWER_X_M, HALF), 0.2, KNOB_TOP_M)
    assert pull(body, knob, knob).detail == "it is there already"


def test_a_drawer_at_rest_is_at_rest_whatever_moves_beside_it():
    ball = Placement(make_spec("ball", "red"), (0.5, -0.1, 0.3))
    body = body_with_drawer("panda", 0.0, ball)
    for _ in range(3):
        body.step(body.hold())
    state = body.state()
    assert state["red_ball"].speed > 0.3 and state["drawer"].speed < 1e-3
