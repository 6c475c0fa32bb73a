"""Scenes that another package brings, and what skills need for them. Nothing of the package is needed here."""

import math

import mujoco
import numpy as np
import pytest

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput
from qwenarm.evaluation.suites import ad_hoc
from qwenarm.libero import package
from qwenarm.registry import load
from qwenarm.skills import run
from qwenarm.types import ImagePoint, SkillCall, SkillResult

BOX = mujoco.mjtGeom.mjGEOM_BOX
RADIUS_M, HEIGHT_M, WALL_M = 0.052, 0.05, 0.004
"""Of a bowl that is too wide for the fingers."""


def stage(spec: mujoco.MjSpec) -> None:
    """A table, and on it a bowl with a thin wall."""
    spec.worldbody.add_geom(type=BOX, pos=[0.5, 0, -0.02], size=[0.6, 0.6, 0.02])
    bowl = spec.worldbody.add_body(name="bowl")
    bowl.add_freejoint(name="bowl")
    bowl.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, pos=[0, 0, 0.005], size=[RADIUS_M, 0.005, 0], density=100)
    for angle in np.arange(16) * math.pi / 8:
        bowl.add_geom(
            type=BOX, pos=[RADIUS_M * math.cos(angle), RADIUS_M * math.sin(angle), HEIGHT_M / 2], density=100,
            size=[WALL_M / 2, 0.011, HEIGHT_M / 2], quat=[math.cos(angle / 2), 0, 0, math.sin(angle / 2)],
        )  # fmt: skip


@pytest.fixture
def body() -> Body:
    bowl = ObjectSpec("dish", "", 2 * RADIUS_M, "bowl")
    start = {"bowl": (0.5, -0.1, 0.0005, 1.0, 0.0, 0.0, 0.0)}
    return Body(Scene((Placement(bowl, (0.5, -0.1, 0.0)),), stage=stage, start=start), load("arms", "panda"))


def do(body: Body, skill: str, u: float, v: float) -> SkillResult:
    motion = run(body, SkillCall(skill, {"at": ImagePoint(u, v, camera="overhead")}))
    while True:
        try:
            body.step(next(motion))
        except StopIteration as end:
            return end.value


def test_a_scene_starts_where_it_says_and_again_after_a_reset(body: Body) -> None:
    np.testing.assert_allclose(body.state()["bowl"].pos, [0.5, -0.1, 0.0005])
    body.step(body.hold())
    body.reset()
    np.testing.assert_allclose(body.state()["bowl"].pos, [0.5, -0.1, 0.0005])


@pytest.mark.render
def test_a_hollow_object_is_lifted_by_its_rim_and_stands_where_it_is_put(body: Body) -> None:
    seen = body.segmentation("overhead", (240, 320)) == 0
    v, u = (np.argwhere(seen).mean(axis=0) + 0.5) / seen.shape
    assert do(body, "pick", u, v) == SkillResult(True)
    assert body.state()["bowl"].pos[2] > 0.2 and body.held_object is not None
    assert do(body, "place", 0.7, 0.5) == SkillResult(True)
    bowl = body.state()["bowl"]
    assert abs(bowl.pos[2]) < 0.003 and bowl.quat[0] ** 2 + bowl.quat[3] ** 2 > 0.999, "it stands upright"
    seen = body.segmentation("overhead", (240, 320)) == 0
    np.testing.assert_allclose((np.argwhere(seen).mean(axis=0) + 0.5) / seen.shape, [0.5, 0.7], atol=0.03)


def test_a_family_whose_package_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "is_installed", lambda: False)
    package.tasks_of.cache_clear()
    with pytest.raises(BadInput, match=r"pip install 'qwenarm\[libero\]'"):
        load("tasks", "libero_nowhere")
    ad_hoc(["libero_object"], 1, 1).check()
