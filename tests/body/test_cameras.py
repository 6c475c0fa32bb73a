"""Contract of every camera: its name is its id, it looks at what it should, and points return from its picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenarm.body.cameras import FRONT, SHIPPED_CAMERAS, Camera, cameras_named, project, ray, unproject
from qwenarm.body.cameras.geometry import WORKSPACE_MIDDLE
from qwenarm.body.scene import WORKSPACE_X, WORKSPACE_Y
from qwenarm.env import ArmEnv
from qwenarm.errors import BadInput, UnknownName
from qwenarm.registry import list_names, load

NAMES = list_names("cameras")
ASPECT = 4 / 3
SIDE = Camera("side", (0.53, 1.2, 0.6), WORKSPACE_MIDDLE, fovy_deg=40.0)
IMPOSTOR = Camera("front", (0.53, 1.2, 0.6), WORKSPACE_MIDDLE, fovy_deg=40.0)


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_called_as_its_file_and_has_right_handed_axes(name):
    camera = load("cameras", name)
    axes = camera.axes()
    assert camera.name == name and 10 < camera.fovy_deg < 120
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1.0)


@pytest.mark.parametrize("camera", SHIPPED_CAMERAS, ids=NAMES)
@given(u=st.floats(-0.5, 1.5), v=st.floats(-0.5, 1.5), depth=st.floats(0.1, 3.0))
def test_a_point_returns_from_the_picture(camera, u, v, depth):
    pose = np.array(camera.pos), camera.axes(), camera.fovy_deg, ASPECT
    world = unproject(np.array([u, v]), np.array(depth), *pose)
    uv, seen_depth = project(world, *pose)
    assert (*uv, seen_depth) == pytest.approx((u, v, depth), abs=1e-9)
    np.testing.assert_allclose(world, camera.pos + depth * ray(u, v, *pose[1:]), atol=1e-12)


def test_the_middle_of_a_picture_is_what_the_camera_looks_at():
    for camera in SHIPPED_CAMERAS:
        uv, depth = project(np.array(camera.target), np.array(camera.pos), camera.axes(), camera.fovy_deg, ASPECT)
        assert (*uv, depth) == pytest.approx((0.5, 0.5, np.linalg.norm(np.subtract(camera.pos, camera.target))))


def test_the_front_camera_has_the_whole_workspace_in_its_picture():
    corners = np.array([(x, y, 0.0) for x in WORKSPACE_X for y in WORKSPACE_Y])
    uv, _ = project(corners, np.array(FRONT.pos), FRONT.axes(), FRONT.fovy_deg, ASPECT)
    assert ((uv > 0) & (uv < 1)).all()


@pytest.mark.render
def test_a_camera_of_ones_own_is_in_the_scene_and_observed():
    env = ArmEnv(cameras=("front", f"{__name__}:SIDE"), frame_size=(48, 64))
    observation, _ = env.reset(seed=1)
    assert list(observation["pixels"]) == ["front", "side"] and env.observation_space.contains(observation)
    assert not np.array_equal(*observation["pixels"].values())
    env.close()


def test_cameras_that_cannot_be_had_are_told():
    assert cameras_named(["front", "front"]) == (FRONT,)
    with pytest.raises(UnknownName, match="overhead"):
        cameras_named(["overhaed"])
    with pytest.raises(BadInput, match="Two cameras are called 'front'"):
        cameras_named([f"{__name__}:IMPOSTOR"])
