"""The simulated body: time, determinism, grasping, and what it reports of itself."""

import mujoco
import numpy as np
import pytest

from qwenarm.body.arms.parts import Arm
from qwenarm.body.kinematics import top_down
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput
from qwenarm.types import Control


def go(body: Body, pos: tuple[float, float, float], yaw: float, gap: float, periods: int = 40) -> None:
    """Moves the tcp along a smooth joint path."""
    start, goal = body.hold().qpos, body.ik(np.array(pos), top_down(yaw))
    assert goal.reached
    for s in np.linspace(0, 1, periods + 1)[1:]:
        body.step(Control(start + (goal.qpos - start) * s * s * (3 - 2 * s), gap))


def close(body: Body, gap: float = 0.0) -> None:
    for _ in range(14):
        body.step(Control(body.hold().qpos, gap))


def test_a_period_is_50_ms(bare: Body):
    bare.reset()
    bare.step(bare.hold())
    assert bare.time_s == pytest.approx(0.05)
    assert bare.seconds["physics"] > 0


def random_drive(body: Body) -> str:
    body.reset()
    rng = np.random.default_rng(5)
    for _ in range(40):
        body.step(Control(body.hold().qpos + rng.normal(0, 0.05, len(body.arm.joints)), rng.uniform(0, 0.08)))
    return body.final_hash()


def test_same_scene_and_controls_give_the_same_bits_whatever_ran_before(arm: Arm, laid: Scene):
    body = Body(laid, arm)
    first = random_drive(body)
    assert random_drive(body) == first, "after a reset"
    other = Body(Scene(laid.objects[:1]), arm)
    random_drive(other)
    assert random_drive(Body(laid, arm)) == first, "in a new body"
    assert random_drive(other) != first


def test_looking_at_the_state_changes_nothing(panda: Arm, laid: Scene):
    quiet, curious = Body(laid, panda), Body(laid, panda)
    for _ in range(10):
        quiet.step(Control(quiet.hold().qpos + 0.01, 0.02))
        curious.step(Control(curious.hold().qpos + 0.01, 0.02))
        assert curious.state().objects and curious.camera_pose("front") and curious.proprio().qpos.size
        curious.ik(np.array([0.5, 0.0, 0.1]), top_down(0.0))
    assert quiet.final_hash() == curious.final_hash()


def test_poses_belong_to_the_present_state(bare: Body):
    bare.reset()
    for _ in range(5):
        bare.step(Control(bare.hold().qpos + 0.02, 0.0))
    pos, quat = bare.kinematics.fk(bare.proprio().qpos)
    np.testing.assert_allclose(bare.proprio().tcp_pos, pos, atol=1e-9)
    np.testing.assert_allclose(bare.proprio().tcp_quat, quat, atol=1e-9)


def test_tracking_is_tight(far_reaching: Body):
    far_reaching.reset()
    go(far_reaching, (0.55, 0.15, 0.05), 1.0, 0.0)
    assert np.linalg.norm(far_reaching.proprio().tcp_pos - [0.55, 0.15, 0.05]) < 3e-3, "while it still moves"
    for _ in range(6):
        far_reaching.step(far_reaching.hold())
    assert np.linalg.norm(far_reaching.proprio().tcp_pos - [0.55, 0.15, 0.05]) < 5e-4


@pytest.mark.parametrize(("kind", "color"), [("cube", "red"), ("cylinder", "green"), ("ball", "blue")])
def test_grasps_hold(far_reaching: Body, kind: str, color: str, place):
    arm = far_reaching.arm
    body = Body(Scene((place(kind, color, 0.52, 0.08, 0.4),)), arm)
    name = f"{color}_{kind}"
    grip_z = 0.02 if arm.gripper.has_fingers else 0.042  # a cup is pressed a little onto the top
    go(body, (0.52, 0.08, 0.15), 0.4, arm.max_gap)
    go(body, (0.52, 0.08, grip_z), 0.4, arm.max_gap)
    assert body.state().holding is None
    close(body)
    assert body.state().holding == name and body.proprio().holding
    go(body, (0.45, -0.15, 0.25), 1.4, 0.0, periods=25)
    in_hand = body.state()[name].pos - body.proprio().tcp_pos
    for _ in range(100):
        body.step(body.hold())
    crept = np.linalg.norm(body.state()[name].pos - body.proprio().tcp_pos - in_hand)
    most = 0.5e-3 if arm.gripper.has_fingers else 1e-3
    assert crept < most, "in five seconds"
    go(body, (0.45, -0.15, max(0.03, grip_z)), 1.4, 0.0)
    close(body, arm.max_gap)
    go(body, (0.45, -0.15, 0.2), 1.4, arm.max_gap)
    close(body, arm.max_gap)
    state = body.state()
    assert state.holding is None and not body.proprio().holding
    assert state.on_table(name) and np.linalg.norm(state[name].pos[:2] - [0.45, -0.15]) < 8e-3


def test_reset_returns_everything(panda: Arm, laid: Scene):
    body = Body(laid, panda)
    start = body.final_hash()
    random_drive(body)
    body.reset()
    assert body.final_hash() == start and body.time_s == 0 and not body.clamps and not body.seconds


def test_camera_poses_are_right_handed_and_named(panda: Arm, laid: Scene):
    body = Body(laid, panda)
    for camera in body.scene.cameras:
        pos, mat, fovy = body.camera_pose(camera.name)
        assert pos.shape == (3,) and fovy == pytest.approx(camera.fovy_deg)
        np.testing.assert_allclose(mat @ mat.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(mat) > 0
    with pytest.raises(BadInput, match="overhead"):
        body.camera_pose("ceiling")


@pytest.mark.render
def test_frames_and_segmentation_see_the_objects(panda: Arm, laid: Scene):
    body = Body(laid, panda)
    frame = body.frame("front", (96, 128), depth=True)
    assert frame.rgb.shape == (96, 128, 3) and frame.rgb.dtype == np.uint8
    assert frame.depth_m is not None and frame.depth_m.shape == (96, 128) and frame.depth_m.dtype == np.float32
    seen = body.segmentation("front", (96, 128))
    assert seen.dtype == np.int32 and set(np.unique(seen)) == {-1, 0, 1, 2}
    red = frame.rgb[seen == 0].mean(axis=0)
    assert red[0] > 1.5 * red[1]
    assert body.seconds["render"] > 0
    body.close()
    np.testing.assert_array_equal(body.frame("front", (96, 128)).rgb, frame.rgb)


@pytest.mark.render
def test_drawing_does_not_touch_the_physics(panda: Arm, laid: Scene):
    seen, unseen = Body(laid, panda), Body(laid, panda)
    for _ in range(3):
        seen.step(Control(seen.hold().qpos + 0.01, 0.0))
        seen.frame("wrist", (64, 64))
        unseen.step(Control(unseen.hold().qpos + 0.01, 0.0))
    assert seen.final_hash() == unseen.final_hash()


def test_diverged_physics_is_an_error(panda: Arm):
    body = Body(Scene(()), panda)
    body.data.qvel[0] = np.nan
    with pytest.raises(RuntimeError, match="diverged"):
        body.step(body.hold())
    assert int(mujoco.mjtWarning.mjWARN_BADQVEL) >= 0
