"""Arms of MJCF and URDF files, and what can be told about them."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from qwenarm.body.arm_file import files_sha256, make_entry
from qwenarm.body.imported_arm import ArmSettings
from qwenarm.body.kinematics import top_down
from qwenarm.body.reach import measure_reach
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.diagnosis.arm_check import check_arm
from qwenarm.episode.drive import drive
from qwenarm.episode.replay import replay
from qwenarm.errors import BadInput
from qwenarm.factory import make_env, perform
from qwenarm.registry import load
from qwenarm.types import RunConfig

LENGTHS = (0.16, 0.20, 0.20, 0.21, 0.19, 0.21, 0.08)
AXES = ("0 0 1", "0 1 0", "0 0 1", "0 -1 0", "0 0 1", "0 1 0", "0 0 1")


def urdf(joints: int = 7, tool: str = "tool0", rpy: str = "0 0 0") -> str:
    """A straight chain of hinges; the first one turns without limits, the last link is a fixed tool frame."""
    parts = []
    for i, name in enumerate(["base", *(f"link{i}" for i in range(joints)), tool]):
        length = ([0.1, *LENGTHS[1:], 0.08] + [0.02])[i] / 2
        parts.append(
            f"""<link name="{name}"><inertial><mass value="2"/><origin xyz="0 0 {length / 2}"/>
            <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>
            <collision><origin xyz="0 0 {length / 2}"/><geometry><cylinder radius="0.03" length="{length}"/></geometry>
            </collision></link>"""
        )
    for i in range(joints):
        kind, ends = ("continuous", "") if i == 0 else ("revolute", 'lower="-2.88" upper="2.88"')
        parts.append(
            f"""<joint name="j{i}" type="{kind}"><parent link="{f"link{i - 1}" if i else "base"}"/>
            <child link="link{i}"/><origin xyz="0 0 {LENGTHS[i]}"/><axis xyz="{AXES[i]}"/>
            <limit {ends} effort="100" velocity="1.5"/></joint>"""
        )
    parts.append(
        f"""<joint name="tool" type="fixed"><parent link="link{joints - 1}"/><child link="{tool}"/>
        <origin xyz="0 0 0.045" rpy="{rpy}"/></joint>"""
    )
    return f'<robot name="straight">{"".join(parts)}</robot>'


MESH = "v 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nv 0 0 0.1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
"""A tetrahedron, as Wavefront OBJ."""
TWO_ENDS = """<link name="camera"/><joint name="eye" type="fixed"><parent link="link6"/><child link="camera"/></joint>
</robot>"""


@pytest.fixture
def write(tmp_path: Path):
    """write(text, toml): the path of a URDF with settings beside it."""

    def write_files(text: str = urdf(), toml: str = "") -> str:
        path = tmp_path / f"arm{abs(hash((text, toml)))}.urdf"
        path.write_text(text)
        if toml:
            path.with_suffix(".toml").write_text(toml)
        return str(path)

    return write_files


def test_a_urdf_becomes_an_arm_with_servos_that_hold_it(write):
    arm = load("arms", write())
    assert arm.joints == tuple(f"arm/j{i}" for i in range(7)) and arm.velocity == (1.5,) * 7
    body = Body(Scene(()), arm)
    np.testing.assert_allclose(body.tcp_pos, [0.3, 0, 0.4], atol=2e-3)
    assert body.kinematics.upper[0] == pytest.approx(2 * np.pi), "a continuous joint turns"
    assert (body.model.actuator_forcerange[:7, 1][1:] == 100).all()
    for _ in range(20):
        body.step(body.hold())
    np.testing.assert_allclose(body.qpos, arm.home_qpos, atol=1e-3)
    away = body.ik(np.array([0.5, 0.2, 0.1]), top_down(1.0)).qpos
    for _ in range(80):
        body.step(type(body.hold())(away, 0.0))
    np.testing.assert_allclose(body.tcp_pos, [0.5, 0.2, 0.1], atol=3e-3)


def test_of_several_ends_the_one_that_ros_names_carries_the_gripper(write):
    arm = load("arms", write(urdf().replace("</robot>", TWO_ENDS)))
    np.testing.assert_allclose(arm.home_qpos, load("arms", write()).home_qpos)


@pytest.mark.parametrize("rpy", ["0 -1.5707963 0", "1.5707963 0 0", "3.1415927 0 0"])
def test_a_hand_points_outwards_whatever_axis_of_the_last_link_does(write, rpy: str):
    """x (ROS REP 103), y and -z of the tool frame lie along the axis of the last joint."""
    poses = []
    for text in (urdf(), urdf(rpy=rpy)):
        body = Body(Scene(()), load("arms", write(text)))
        wrist = body.data.body("arm/link6")
        poses.append(wrist.xmat.reshape(3, 3).T @ (body.tcp_pos - wrist.xpos))
        assert body.data.body("hand").xmat.reshape(3, 3)[2, 2] == pytest.approx(-1, abs=1e-3), "down at home"
    np.testing.assert_allclose(poses[1], poses[0], atol=1e-6)


@pytest.mark.parametrize(
    "site",
    ['<site {} pos="0.02 0 0.03" euler="0 20 0"/>', '<frame pos="0.02 0 0.03" euler="0 20 0"><site {}/></frame>'],
)
def test_a_flange_site_may_be_turned_in_any_way_that_mjcf_has(tmp_path: Path, documented: str, site: str):
    plain = '<site {} pos="0.02 0 0.03" quat="0.984807753 0 0.173648178 0"/>'
    poses = []
    for i, each in enumerate((plain, site)):
        path = tmp_path / f"arm{i}.xml"
        path.write_text(documented.replace("</body>", each.format('name="attachment_site"') + "</body>", 1))
        body = Body(Scene(()), load("arms", str(path)))
        hand = body.model.body("hand")
        poses.append([*hand.pos, *hand.quat])
    np.testing.assert_allclose(poses[1], poses[0], atol=1e-6)


def test_what_is_told_is_used(write):
    told = 'flange = "link6"\nbase = [0.05, 0.0, 0.1]\nbase_yaw = 90\nspeed = 1.0'
    path = write(toml=told)
    arm = load("arms", path)
    body = Body(Scene(()), arm)
    np.testing.assert_allclose(body.data.body("arm/base").xpos, [0.05, 0, 0.1], atol=1e-9)
    np.testing.assert_allclose(body.data.body("arm/base").xmat.reshape(3, 3)[:, 0], [0, 1, 0], atol=1e-9)
    again = load("arms", write(toml=f"{told}\nhome = {list(arm.home_qpos)}"))
    np.testing.assert_allclose(again.home_qpos, arm.home_qpos)


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ('hand = "x"', "unknown key 'hand'; valid: joints, flange"),
        ("flange = 3", "flange is a name"),
        ("home = [1, 2]", "2 angles for 7 joints"),
        ("base = [0, 1]", "base is a list of three numbers"),
        ('flange = "palm"', "no site or body 'palm'; it has base, link0"),
        ('joints = ["j0", "j9"]', "no joint 'j9'; it has j0"),
        ("= 1", "Cannot read"),
    ],
)
def test_wrong_settings_are_named(write, toml: str, why: str):
    with pytest.raises(BadInput, match=why):
        load("arms", write(toml=toml))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<robot", "Cannot read"),
        ("<robot name='r'/>", "."),
        ("<robot name='r'><link name='base'/></robot>", "no joints; a xacro file has to be expanded"),
        (urdf(4), "4 hinges"),
        (urdf(tool="tip").replace("</robot>", TWO_ENDS), "Its last links: tip, camera"),
    ],
)
def test_what_is_no_arm_is_refused(write, text: str, why: str):
    with pytest.raises(BadInput, match=why):
        load("arms", write(text, 'flange = "tool0"' if "4" in why else ""))


def test_a_part_that_others_include_is_no_model(tmp_path: Path):
    path = tmp_path / "part.xml"
    path.write_text("<mujocoinclude/>")
    with pytest.raises(BadInput, match="is a part that models include: name such a model"):
        make_entry(str(path))


@pytest.fixture
def page() -> str:
    """docs/robots.md"""
    return (Path(__file__).parents[2] / "docs" / "robots.md").read_text(encoding="utf-8")


@pytest.fixture
def documented(page: str) -> str:
    """The MJCF example of the page."""
    return page.split("```xml\n")[1].split("```")[0]


@pytest.mark.filterwarnings("error")
def test_options_cameras_and_pictures_of_the_model_count_for_nothing(tmp_path: Path, documented: str):
    path, extras = tmp_path / "arm.xml", '<visual><map znear="0.1"/></visual><statistic extent="3"/>'
    watched = '<camera name="watch" mode="targetbody" target="thing" pos="1 0 1"/><body name="thing"/></worldbody>'
    path.write_text(documented.replace("<worldbody>", f"{extras}<worldbody>").replace("</worldbody>", watched))
    arm = load("arms", str(path))
    assert np.isfinite(Body(Scene(()), arm).tcp_pos).all()


def test_degrees_read_as_radians_are_suspected(tmp_path: Path, documented: str):
    path = tmp_path / "arm.xml"
    path.write_text(documented.replace('range="-170 170"', 'range="-2.97 2.97"'))
    with pytest.raises(BadInput, match=r'turns by more than 5\.9 degrees. Without <compiler angle="radian"/>'):
        load("arms", str(path))


def moves_and_grasps(arm) -> None:
    """Asserts what ``qwenarm arm check`` needs."""
    found = {finding.name: finding for finding in islice(check_arm(arm), 9)}
    assert {"motion", "grasp"} <= found.keys()
    assert not [finding for finding in found.values() if finding.needed and not finding.ok]


def test_a_shoulder_whose_box_reaches_into_the_table_stops_nothing(write):
    """It only turns about the vertical, so no motion would lift it: here a disc on edge, 1 cm above the table."""
    shoulder = '<origin xyz="0 0 0.05"/><geometry><cylinder radius="0.03" length="0.1"/>'
    disc = '<origin xyz="0 0 -0.05" rpy="1.5708 0.7854 0"/><geometry><cylinder radius="0.1" length="0.01"/>'
    assert shoulder in urdf()
    moves_and_grasps(load("arms", write(urdf().replace(shoulder, disc, 1))))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A URDF in a ROS package: what it touches with is a mesh of the package, what it is drawn with a format of ROS."""
    for folder in ("urdf", "meshes"):
        (tmp_path / "my_robot" / folder).mkdir(parents=True)
    (tmp_path / "my_robot/meshes/link.obj").write_text(MESH)
    mesh = '<geometry><mesh filename="package://my_robot/meshes/{}"/></geometry>'
    shapes = f"<visual>{mesh.format('link.dae')}</visual><collision>{mesh.format('link.obj')}</collision></link>"
    path = tmp_path / "my_robot/urdf/arm.urdf"
    path.write_text(urdf().replace("</link>", shapes))
    return path


def test_meshes_of_a_ros_package_are_found_and_hashed(package: Path):
    arm = load("arms", str(package))
    assert Body(Scene(()), arm).model.nmesh == 1 and arm.sha256 == files_sha256(package)
    mesh = package.parents[1] / "meshes/link.obj"
    mesh.write_text(MESH + " ")
    assert arm.sha256 != files_sha256(package)
    mesh.unlink()
    make_entry.cache_clear()
    with pytest.raises(BadInput, match=r"Cannot find package://my_robot/meshes/link\.obj: its package is not in"):
        load("arms", str(package))


def test_a_mesh_that_mujoco_cannot_read_is_named(package: Path):
    package.write_text(package.read_text().replace("link.obj", "touch.dae"))
    with pytest.raises(BadInput, match=r"MuJoCo cannot read package://my_robot/meshes/touch.dae .* it reads .stl"):
        load("arms", str(package))


def test_a_missing_file_is_named():
    with pytest.raises(BadInput, match="no file nowhere"):
        load("arms", "nowhere.xml")


def test_the_example_of_the_docs_is_an_arm_with_and_without_its_settings(tmp_path: Path, page: str, documented: str):
    assert all(f"`{name}`" in page for name in ArmSettings.__dataclass_fields__)
    path = tmp_path / "my_arm.xml"
    path.write_text(documented)
    found = load("arms", str(path))
    assert found.max_gap == 0.085 and measure_reach(found).points
    told = tmp_path / "told" / "my_arm.xml"
    told.parent.mkdir()
    told.write_text(path.read_text())
    told.with_suffix(".toml").write_text(page.split("```toml\n")[1].split("```")[0])
    assert load("arms", str(told)).velocity == (1.5,) * 6


def test_the_hash_changes_with_every_file_that_is_read_and_with_no_other(tmp_path: Path):
    (tmp_path / "meshes").mkdir()
    files = {
        "arm.xml": '<mujoco><compiler meshdir="meshes"/><include file="more.xml"/></mujoco>',
        "more.xml": '<mujoco><asset><mesh name="m" file="m.obj"/></asset></mujoco>',
        "meshes/m.obj": MESH,
        "arm.toml": "speed = 1.5\n",
        "notes.txt": "not read",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    first = files_sha256(tmp_path / "arm.xml")
    for name, text in files.items():
        (tmp_path / name).write_text(text + " ")
        assert (files_sha256(tmp_path / "arm.xml") != first) == (name != "notes.txt"), name
        (tmp_path / name).write_text(text)
    (tmp_path / "more.xml").write_text('<mujoco><include file="arm.xml"/><include file="more.xml"/></mujoco>')
    assert files_sha256(tmp_path / "arm.xml") != first, "files that include each other end"


def test_a_replay_says_that_the_file_has_changed(write):
    path = write(toml="speed = 1.5")
    (episode,) = drive([perform(RunConfig("put", policy="idle", arm=path), 0, None)])
    assert episode.run.versions["arm file"] == f"sha256 {files_sha256(Path(path))}"
    assert replay(make_env(episode.run.config), episode).changes == ()
    Path(path).with_suffix(".toml").write_text("speed = 1.4")
    make_entry.cache_clear()  # as in another process
    (told,) = replay(make_env(episode.run.config), episode).changes
    assert told.startswith("arm file: sha256 ")
