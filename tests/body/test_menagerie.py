"""Menagerie arms without a network: a stand-in for the package serves a model built here."""

import sys
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from qwenarm.body.kinematics import top_down
from qwenarm.body.menagerie import make_arm
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput
from qwenarm.registry import load

LENGTHS = (0.16, 0.20, 0.20, 0.21, 0.19, 0.21, 0.08)
AXES = ("0 0 1", "0 1 0", "0 0 1", "0 -1 0", "0 0 1", "0 1 0", "0 0 1")


def model(joints: int = 7, flange: bool = True) -> str:
    """A straight chain of hinges, alternately rolling and bending."""
    inner = '<site name="attachment_site" pos="0 0 0.045"/>' if flange else ""
    for i in reversed(range(joints)):
        inner = f"""<body name="link{i}" pos="0 0 {LENGTHS[i]}"><joint name="j{i}" axis="{AXES[i]}" range="-165 165"/>
            <geom type="capsule" size="0.04" fromto="0 0 0 0 0 {LENGTHS[i] / 2}" mass="2"/>{inner}</body>"""
    servos = "".join(f'<position joint="j{i}" kp="2000" kv="200"/>' for i in range(joints))
    pose = " ".join(str(q) for q in (0, 0.2, 0, -1.9, 0, 1.0, 0)[:joints])
    return f"""<mujoco><default><joint damping="1" armature="0.1"/></default>
        <worldbody><light pos="0 0 2"/>
        <body name="base"><geom size="0.06" pos="0 0 0.06" mass="4"/>{inner}</body></worldbody>
        <actuator>{servos}</actuator><keyframe><key name="home" qpos="{pose}"/></keyframe></mujoco>"""


class MenagerieError(Exception):
    """As the package's own."""


@pytest.fixture
def menagerie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serves "seven" (an arm), "bald" (no flange) and "three" (too few joints); nothing else can be downloaded."""
    models = {"seven": model(), "bald": model(flange=False), "three": model(3)}

    def get(name: str) -> SimpleNamespace:
        if name not in models:
            raise MenagerieError("Name or service not known")
        served = lambda entry: mujoco.MjSpec.from_string(models[name])  # noqa: E731
        return SimpleNamespace(entry_names=("scene", name), default_model=name, spec=served)

    package = SimpleNamespace(get=get, MenagerieError=MenagerieError)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", package)
    make_arm.cache_clear()


def test_an_arm_is_mounted_and_obeys(menagerie: None):
    arm = load("arms", "menagerie:seven")
    assert len(arm.joints) == 7 and arm.name == "menagerie:seven"
    body = Body(Scene(()), arm)
    np.testing.assert_allclose(body.proprio().tcp_pos, [0.3, 0, 0.4], atol=2e-3)
    assert body.model.nlight == Body(Scene(()), load("arms", "panda")).model.nlight
    for pos in ((0.45, 0.2, 0.05), (0.6, -0.2, 0.2)):
        assert body.ik(np.array(pos), top_down(1.0)).reached
    for _ in range(20):
        body.step(body.hold())
    np.testing.assert_allclose(body.proprio().qpos, arm.home_qpos, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "why"), [("bald", "attachment_site"), ("three", "six joints"), ("seventh", "Name or service not known")]
)
def test_what_cannot_be_used_says_why(menagerie: None, name: str, why: str):
    with pytest.raises(BadInput, match=why):
        load("arms", f"menagerie:{name}")


def test_without_the_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)
    make_arm.cache_clear()
    with pytest.raises(BadInput, match="pip install mujoco-menagerie"):
        load("arms", "menagerie:kuka_iiwa_14")
