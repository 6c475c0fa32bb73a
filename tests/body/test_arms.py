"""Every arm of the registry keeps the contract of arms.parts.Arm; our own two agree with their published kinematics."""

import mujoco
import numpy as np
import pytest

from qwenarm.body.arms import panda as panda_file
from qwenarm.body.arms import so101 as so101_file
from qwenarm.body.arms import ur5e as ur5e_file
from qwenarm.body.arms.parts import TIP_BEYOND_TCP_M, Arm
from qwenarm.body.grippers import SuctionCup
from qwenarm.body.kinematics import top_down
from qwenarm.body.reach import measure_reach
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.registry import load
from qwenarm.types import Control


def turn(axis: str, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    rows = {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]]}
    mat = np.eye(4)
    mat[:3, :3] = rows[axis]
    return mat


def shift(x: float, z: float) -> np.ndarray:
    mat = np.eye(4)
    mat[0, 3], mat[2, 3] = x, z
    return mat


def hand_pose(body: Body, qpos: np.ndarray) -> np.ndarray:
    body.kinematics.set(qpos)
    hand = body.kinematics.data.body(body.arm.hand_body)
    mat = np.eye(4)
    mat[:3, :3], mat[:3, 3] = hand.xmat.reshape(3, 3), hand.xpos
    return mat


def test_panda_flange_is_where_the_published_dh_parameters_put_it(panda: Arm, random_qpos):
    # (a, d, alpha) as in the manufacturer's table, modified DH: Rx(alpha) Tx(a) Rz(theta) Tz(d), then the flange.
    table = [
        (0, 0.333, 0), (0, 0, -np.pi / 2), (0, 0.316, np.pi / 2), (0.0825, 0, np.pi / 2),
        (-0.0825, 0.384, -np.pi / 2), (0, 0, np.pi / 2), (0.088, 0, np.pi / 2),
    ]  # fmt: skip
    body, rng = Body(Scene(()), panda), np.random.default_rng(1)
    for _ in range(100):
        qpos, flange = random_qpos(body, rng), np.eye(4)
        for (a, d, alpha), theta in zip(table, qpos, strict=True):
            flange = flange @ turn("x", alpha) @ shift(a, 0) @ turn("z", theta) @ shift(0, d)
        hand = flange @ shift(0, 0.107) @ turn("z", -np.pi / 4)
        np.testing.assert_allclose(hand_pose(body, qpos), hand, atol=1e-9)


def test_panda_agrees_with_the_franka_of_gymnasium_robotics(panda: Arm, random_qpos):
    robotics = pytest.importorskip("gymnasium_robotics")
    folder = f"{robotics.__path__[0]}/envs/assets/kitchen_franka/franka_assets"
    with open(f"{folder}/assets.xml") as assets:
        xml = assets.read().split("<mujocoinclude>")[1].split("</mujocoinclude>")[0]
    xml = xml.replace("franka_assets/meshes", f"{folder}/meshes")
    xml = f'<mujoco>{xml}<worldbody><include file="{folder}/chain.xml"/></worldbody></mujoco>'
    theirs = mujoco.MjModel.from_xml_string(xml)
    data, body, rng = mujoco.MjData(theirs), Body(Scene(()), panda), np.random.default_rng(2)
    for _ in range(100):
        qpos = random_qpos(body, rng)
        data.qpos[:7] = qpos - [0, 0, 0, 0, 0, 1.57, 0.7854]  # their zero of the last joints is turned by that much
        mujoco.mj_kinematics(theirs, data)
        link = data.body("panda0_link7")
        flange = link.xpos + link.xmat.reshape(3, 3) @ [0, 0, 0.107]
        assert np.linalg.norm(flange - hand_pose(body, qpos)[:3, 3]) < 1e-3


def test_ur5e_flange_is_where_the_published_dh_parameters_put_it(random_qpos):
    # (a, d, alpha) as on universal-robots.com, classic DH: Rz(theta) Tz(d) Tx(a) Rx(alpha); the base is turned by pi.
    table = [
        (0, 0.1625, np.pi / 2), (-0.425, 0, 0), (-0.3922, 0, 0),
        (0, 0.1333, np.pi / 2), (0, 0.0997, -np.pi / 2), (0, 0.0996, 0),
    ]  # fmt: skip
    body, rng = Body(Scene(()), ur5e_file.ARM), np.random.default_rng(3)
    for _ in range(100):
        qpos, flange = random_qpos(body, rng), turn("z", np.pi)
        for (a, d, alpha), theta in zip(table, qpos, strict=True):
            flange = flange @ turn("z", theta) @ shift(a, d) @ turn("x", alpha)
        np.testing.assert_allclose(hand_pose(body, qpos), flange, atol=1e-9)


def test_so101_reaches_forward_at_zero_as_far_as_the_published_model():
    body = Body(Scene(()), so101_file.ARM)
    pos, _ = body.kinematics.fk(np.zeros(5))  # the published gripperframe: (0.3914, 0, 0.2265) m, jaw 7.9 mm beside it
    base = [so101_file.BASE_X_M, 0, so101_file.RISER_HEIGHT_M]
    np.testing.assert_allclose(pos - base, [0.3914, 0.0, 0.2265 + 0.0079], atol=1e-3)


def test_home_is_high_above_the_near_edge_with_the_hand_down(bare: Body):
    pos, quat = bare.kinematics.fk(np.array(bare.arm.home_qpos))
    expected = {"so101": [0.33, -0.12, 0.20], "ur5e_pair": [0.25, 0.40, 0.40]}
    np.testing.assert_allclose(pos, expected.get(bare.arm.name, [0.30, 0.0, 0.40]), atol=2e-3)
    assert abs(quat @ top_down(np.pi / 2)) > 1 - 1e-5


def test_limits_come_in_the_right_number_and_contain_home(bare: Body):
    arm, n = bare.arm, len(bare.arm.joints)
    assert len(arm.home_qpos) == len(arm.velocity) == len(arm.acceleration) == n
    assert (bare.safety.lower < arm.home_qpos).all() and (arm.home_qpos < bare.safety.upper).all()
    assert (bare.kinematics.upper - bare.kinematics.lower).min() > 1.0, "radians, not degrees"


def test_every_grasp_in_the_workspace_is_within_reach(bare: Body):
    if not bare.arm.reaches_workspace:
        reach = measure_reach(bare.arm)
        assert (0.45, 0.0) in reach and (0.67, 0.24) not in reach
        return
    for x in np.linspace(0.38, 0.68, 3):
        for y in np.linspace(-0.25, 0.25, 3):
            for z in (0.01, 0.15, 0.30):
                for yaw in np.arange(6) * np.pi / 6:
                    hands = [(each, turned) for each in bare.manipulators for turned in (yaw, yaw + np.pi)]
                    found = [each.ik(np.array([x, y, z]), top_down(turned)) for each, turned in hands]
                    assert min(s.position_error for s in found if s.rotation_error < 0.01) < 1e-3, (x, y, z, yaw)


def lowest(model: mujoco.MjModel, data: mujoco.MjData, geom: np.intp) -> float:
    """Height of the lowest vertex of a mesh, else of the lowest corner of the geom's box, m."""
    mat, box = data.geom_xmat[geom].reshape(3, 3), model.geom_aabb[geom]
    if (mesh := int(model.geom_dataid[geom])) >= 0:
        first = model.mesh_vertadr[mesh]
        points = model.mesh_vert[first : first + model.mesh_vertnum[mesh]] @ mat.T
        return (data.geom_xpos[geom] + points)[:, 2].min()
    return (data.geom_xpos[geom] + mat @ box[:3] - np.abs(mat) @ box[3:])[2]


def test_base_stands_on_the_table(bare: Body):
    stand = bare.model.body_parentid[bare.model.joint(bare.arm.joints[0]).bodyid[0]]
    parts = np.flatnonzero(bare.model.geom_bodyid == stand)
    assert stand != 0 and abs(min(lowest(bare.model, bare.data, geom) for geom in parts)) < 2e-3


def test_gravity_does_not_move_the_arm(bare: Body):
    bare.reset()
    for _ in range(20):
        bare.step(bare.hold())
    np.testing.assert_allclose(bare.proprio().qpos, bare.arm.home_qpos, atol=1e-4)


def test_the_gripper_opens_and_closes_and_holds_nothing(bare: Body):
    bare.reset()
    for width in (0.0, 0.35 * bare.arm.max_gap, bare.arm.max_gap):
        for _ in range(16):
            bare.step(Control(bare.hold().qpos, width))
        assert abs(bare.gripper_width - width) < 1e-3
        fingers = bare.data.qpos[[bare.model.joint(j).qposadr[0] for j in bare.arm.gripper.joints]]
        assert not len(fingers) or np.ptp(fingers) < 5e-4
        assert not bare.proprio().holding


def test_the_lip_of_a_cup_surrounds_the_tcp(bare: Body):
    if not isinstance(bare.arm.gripper, SuctionCup):
        return
    bare.reset()
    lip = [bare.model.body(name).id for name in bare.arm.gripper.parts]
    np.testing.assert_allclose(bare.data.xpos[lip].mean(axis=0)[:2], bare.tcp_pos[:2], atol=1e-4)
    low = bare.data.xpos[lip, 2] - bare.arm.gripper.part_radius
    np.testing.assert_allclose(low, bare.tcp_pos[2], atol=1e-4)


def test_pads_surround_the_tcp(bare: Body):
    if not bare.arm.gripper.has_fingers:
        return
    bare.reset()
    fingers = [bare.model.body(name).id for name in bare.arm.gripper.bodies]
    of_hand = np.isin(bare.model.geom_bodyid, fingers)
    pads = np.flatnonzero(of_hand & (bare.model.geom_priority == 1))
    assert len(pads) == 2
    tcp = bare.proprio().tcp_pos
    np.testing.assert_allclose(bare.data.geom_xpos[pads].mean(axis=0)[:2], tcp[:2], atol=1e-3)
    tips = np.flatnonzero(of_hand & (bare.model.geom_priority == 2))
    np.testing.assert_allclose(
        tcp[2] - (bare.data.geom_xpos[tips, 2] - bare.model.geom_size[tips, 2]), TIP_BEYOND_TCP_M, atol=1e-3
    )


def test_speeds_are_the_published_ones():
    assert panda_file.ARM.velocity == (2.175,) * 4 + (2.61,) * 3
    assert load("arms", "ur5e").velocity == (np.pi,) * 6
