"""Menagerie arms without a network: a stand-in for the package serves a model built here."""

import sys
from itertools import islice
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from qwenarm.body.arms.parts import TIP_BEYOND_TCP_M
from qwenarm.body.kinematics import top_down
from qwenarm.body.menagerie import make_entry
from qwenarm.body.reach import measure_reach
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.diagnosis.arm_check import check_arm
from qwenarm.errors import BadInput, UnknownName
from qwenarm.registry import load
from qwenarm.types import Control

LENGTHS = (0.16, 0.20, 0.20, 0.21, 0.19, 0.21, 0.08)
AXES = ("0 0 1", "0 1 0", "0 0 1", "0 -1 0", "0 0 1", "0 1 0", "0 0 1")


def model(joints: int = 7, flange: bool = True, drive: str = "position", hand: str = "") -> str:
    """A straight chain of hinges, alternately rolling and bending; every geom inherits a default of the arm's class."""
    inner = '<site name="attachment_site" pos="0 0 0.045"/>' if flange else ""
    inner += hand
    for i in reversed(range(joints)):
        inner = f"""<body name="link{i}" pos="0 0 {LENGTHS[i]}"><joint name="j{i}" axis="{AXES[i]}" range="-165 165"/>
            <geom size="0.04" fromto="0 0 0 0 0 {LENGTHS[i] / 2}" mass="2"/>{inner}</body>"""
    how = {"position": 'kp="2000" kv="200"', "motor": 'gear="50" ctrlrange="-2 2"'}[drive]
    drives = "".join(f'<{drive} joint="j{i}" {how}/>' for i in range(joints))
    pose = " ".join(str(q) for q in (0, 0.2, 0, -1.9, 0, 1.0, 0)[:joints] + ((0, 0) if hand else ()))
    return f"""<mujoco><default><default class="arm"><joint damping="1" armature="0.1"/>
        <geom type="capsule" friction="0.1" group="2"/></default></default>
        <worldbody><light pos="0 0 2"/><geom type="plane" size="1 1 1"/>
        <body name="base" childclass="arm"><geom size="0.06" type="sphere" pos="0 0 0.06" mass="4"/>{inner}</body>
        </worldbody>
        <actuator>{drives}</actuator><keyframe><key name="home" qpos="{pose}"/></keyframe></mujoco>"""


def ur() -> str:
    """A UR5e as Menagerie has it, with capsules for meshes: whole turns to both sides, and a home of its own."""
    links = [("0 0 0.163", "0 0 1", "0 0 -0.05 0 0 0.05"), ("0 0.138 0", "0 1 0", "0 0 0 0 0 0.425")]
    links += [("0 -0.131 0.425", "0 1 0", "0 0 0 0 0 0.392"), ("0 0 0.392", "0 1 0", "0 0.07 0 0 0.1 0")]
    links += [("0 0.127 0", "0 0 1", "0 0 0.05 0 0 0.08"), ("0 0 0.1", "0 1 0", "0 0.05 0 0 0.08 0")]
    turned = {1: 'quat="1 0 1 0"', 3: 'quat="1 0 1 0"'}
    inner = '<site name="attachment_site" pos="0 0.1 0" quat="-1 1 0 0"/>'
    for i, (pos, axis, ends) in reversed(list(enumerate(links))):
        inner = f"""<body name="link{i}" pos="{pos}" {turned.get(i, "")}><joint name="j{i}" axis="{axis}"/>
            <geom type="capsule" size="0.04" fromto="{ends}" mass="2"/>{inner}</body>"""
    drives = "".join(f'<position joint="j{i}" kp="2000" kv="400" forcerange="-150 150"/>' for i in range(len(links)))
    return f"""<mujoco><compiler angle="radian"/><default><joint range="-6.28 6.28" armature="0.1"/></default>
        <worldbody><body name="base" quat="0 0 0 -1"><geom type="sphere" size="0.06" pos="0 0 0.06"/>{inner}</body>
        </worldbody><actuator>{drives}</actuator>
        <keyframe><key name="home" qpos="-1.5708 -1.5708 1.5708 -1.5708 -1.5708 0"/></keyframe></mujoco>"""


FINGER = """<body name="finger{i}" pos="0 0 0.05"><joint name="f{i}" type="slide" axis="0 {sign} 0" range="0 0.04"/>
    <geom type="box" size="0.01 0.005 0.03" pos="0 {y} 0.03" mass="0.05"/></body>"""
HAND = "".join(FINGER.format(i=i, sign=sign, y=0.005 * sign) for i, sign in enumerate((1, -1)))
"""Two sliding fingers that meet at y = 0; their tips are 11 cm before the last link."""


class MenagerieError(Exception):
    """As the package's own."""


@pytest.fixture
def menagerie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serves arms of several kinds; what is no model cannot be downloaded."""
    arms = {
        "seven": {"seven": model()},
        "motors": {"motors": model(drive="motor")},
        "variants": {"mjx_v_nohand": "", "v_nohand": model(flange=False, hand="<body/><body/>"), "v": model()},
        "gripper": {"gripper": model(flange=False, hand=HAND)},
        "bald": {"bald": model(flange=False, hand="<body/><body/>")},
        "three": {"three": model(3)},
        "away": {"away": ""},
        "ur": {"ur": ur()},
    }

    def robot(name: str, variants: dict[str, str]) -> SimpleNamespace:
        def spec(entry: str) -> mujoco.MjSpec:
            if not variants[entry]:
                raise MenagerieError("Name or service not known")
            return mujoco.MjSpec.from_string(variants[entry])

        return SimpleNamespace(name=name, entry_names=("scene", *variants), default_model=name, spec=spec)

    robots = [robot(*each) for each in arms.items()]
    package = SimpleNamespace(robots=lambda category: robots, MenagerieError=MenagerieError)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", package)
    make_entry.cache_clear()


@pytest.mark.parametrize("name", ["seven", "motors", "variants", "gripper"])
def test_an_arm_is_mounted_and_obeys(menagerie: None, name: str):
    arm = load("arms", f"menagerie:{name}")
    assert len(arm.joints) == 7 and arm.name == f"menagerie:{name}"
    body = Body(Scene(()), arm)
    pos, quat = body.kinematics.fk(np.array(arm.home_qpos))
    np.testing.assert_allclose(pos, [0.3, 0, 0.4], atol=2e-3)
    assert abs(quat @ top_down(np.pi / 2)) > 1 - 1e-4
    assert body.model.nlight == Body(Scene(()), load("arms", "panda")).model.nlight
    assert (0.5, 0.1) in measure_reach(arm)
    for _ in range(20):
        body.step(body.hold())
    np.testing.assert_allclose(body.proprio().qpos, arm.home_qpos, atol=1e-4)
    for gap in (0.0, 0.03, arm.max_gap):
        for _ in range(16):
            body.step(Control(body.hold().qpos, gap))
        assert abs(body.gripper_width - gap) < 1e-3


def test_its_own_fingers_meet_at_the_tcp_a_little_before_their_tips(menagerie: None):
    body = Body(Scene(()), load("arms", "menagerie:gripper"))
    tips = [body.data.geom_xpos[body.model.geom_bodyid == body.model.body(f"arm/finger{i}").id][0] for i in (0, 1)]
    tcp = body.tcp_pos
    np.testing.assert_allclose(np.mean(tips, axis=0)[:2], tcp[:2], atol=1e-3)
    np.testing.assert_allclose(tcp[2] - (np.mean(tips, axis=0)[2] - 0.03), TIP_BEYOND_TCP_M, atol=1e-3)


def test_an_elbow_does_not_hang_into_the_table(menagerie: None):
    """Both ways to bend it reach the same places; one of them would be stopped by the table."""
    found = {finding.name: finding for finding in islice(check_arm(load("arms", "menagerie:ur")), 9)}
    assert {"motion", "grasp"} <= found.keys()
    assert not [finding for finding in found.values() if finding.needed and not finding.ok]


def test_our_gripper_inherits_nothing_of_the_arms_classes(menagerie: None):
    body = Body(Scene(()), load("arms", "menagerie:seven"))
    pads = body.model.geom_friction[body.model.geom_priority == 1]
    np.testing.assert_allclose(pads[:, 0], 2.0)


@pytest.mark.parametrize(
    ("name", "why"), [("bald", "flange"), ("three", "six joints"), ("away", "Name or service not known")]
)
def test_what_cannot_be_used_says_why(menagerie: None, name: str, why: str):
    with pytest.raises(BadInput, match=why):
        load("arms", f"menagerie:{name}")


@pytest.mark.parametrize("name", ["sevne", "ur5e", "partial"])
def test_an_unknown_name_lists_the_valid_ones(menagerie: None, name: str):
    with pytest.raises(UnknownName, match="Valid: away, bald"):
        load("arms", f"menagerie:{name}")


def test_without_the_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)
    make_entry.cache_clear()
    with pytest.raises(BadInput, match="pip install mujoco-menagerie"):
        load("arms", "menagerie:kuka_iiwa_14")
