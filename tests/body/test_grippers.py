"""A suction cup holds by contact alone, as much as its force allows, and lets go when the vacuum goes."""

import numpy as np
import pytest

from qwenarm.body.arms import ur5e_suction
from qwenarm.body.kinematics import top_down
from qwenarm.body.objects.spec import make_spec
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.types import Control

FORCE_N = ur5e_suction.HOLDING_FORCE_N
X_M = 0.5


@pytest.fixture(params=["cube", "cylinder", "ball", "parcel"])
def table(request: pytest.FixtureRequest) -> tuple[Body, str]:
    """An object, and the hand above it with the lip a little below its top."""
    spec = make_spec(request.param, "red")
    body = Body(Scene((Placement(spec, (X_M, 0.0, spec.origin_height), 0.3),)), ur5e_suction.ARM)
    go(body, X_M, spec.height + 0.06, open_=True)
    sag = spec.size / 2 - np.sqrt((spec.size / 2) ** 2 - 0.01**2) if request.param == "ball" else 0.0
    go(body, X_M, spec.height - sag - 0.0005, open_=True)
    return body, spec.id


def go(body: Body, x: float, z: float, open_: bool) -> None:
    qpos, start = body.ik(np.array([x, 0.0, z]), top_down(np.pi / 2)).qpos, body.hold().qpos
    for share in np.linspace(0, 1, 25)[1:]:
        body.step(Control(start + share * (qpos - start), body.arm.max_gap if open_ else 0.0))
    wait(body, 4)


def wait(body: Body, periods: int, opening: float | None = None) -> None:
    for _ in range(periods):
        body.step(Control(body.hold().qpos, body.target.gripper if opening is None else opening))


def test_it_holds_with_vacuum_and_lets_go_without(table: tuple[Body, str]):
    body, name = table
    assert not body.proprio().holding and body.state().holding is None, "contact alone holds nothing"
    wait(body, 4, opening=0.0)
    assert body.proprio().holding and body.state().holding == name
    go(body, X_M, 0.2, open_=False)
    start = body.state()[name].pos.copy()
    wait(body, 100)
    assert np.linalg.norm(body.state()[name].pos - start) < 1e-3 and body.proprio().holding
    wait(body, 10, opening=body.arm.max_gap)
    assert body.state()[name].pos[2] < 0.1 and not body.proprio().holding


@pytest.mark.parametrize(("pull_n", "held"), [(0.8 * FORCE_N, True), (1.3 * FORCE_N, False)])
def test_a_load_above_the_holding_force_tears_it_off(table: tuple[Body, str], pull_n: float, held: bool):
    body, name = table
    wait(body, 4, opening=0.0)
    go(body, X_M, 0.2, open_=False)
    thing = body.model.body(name).id
    weight = float(body.model.body_mass[thing]) * 9.81
    body.data.xfrc_applied[thing, 2] = weight - pull_n
    wait(body, 10)
    assert (body.state().holding == name) == held


def test_vacuum_beside_an_object_holds_nothing(table: tuple[Body, str]):
    body, name = table
    go(body, X_M, 0.12, open_=True)
    go(body, X_M, 0.12, open_=False)
    assert not body.proprio().holding and abs(body.state()[name].pos[2] - body.scene.spec(name).origin_height) < 1e-3


def test_a_lip_that_overhangs_is_weaker_and_does_not_count_as_holding():
    spec = make_spec("cube", "red")
    body = Body(Scene((Placement(spec, (X_M, 0.0, spec.origin_height)),)), ur5e_suction.ARM)
    beside = X_M + spec.size / 2
    for z in (0.1, spec.height - 0.0005):
        go(body, beside, z, open_=True)
    wait(body, 4, opening=0.0)
    assert body.data.ncon and not body.proprio().holding and body.state().holding is None
