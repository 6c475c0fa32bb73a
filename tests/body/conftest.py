"""One empty table per arm, built once; arms whose optional package is missing are skipped."""

from collections.abc import Callable

import numpy as np
import pytest

from qwenarm.body.arms.parts import Arm
from qwenarm.body.objects.spec import make_spec
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput
from qwenarm.registry import list_names, load


@pytest.fixture(params=list_names("arms"), scope="session")
def arm(request: pytest.FixtureRequest) -> Arm:
    """Every arm of the registry."""
    entry = load("arms", request.param)
    try:
        Body(Scene(()), entry)
    except BadInput as missing:
        pytest.skip(str(missing))
    return entry


@pytest.fixture(scope="session")
def bare(arm: Arm) -> Body:
    """The arm at an empty table, shared: reset it before stepping."""
    return Body(Scene(()), arm)


@pytest.fixture(scope="session")
def far_reaching(bare: Body) -> Body:
    """The same, if the arm reaches all of the workspace."""
    if not bare.arm.reaches_workspace:
        pytest.skip(f"{bare.arm.name} does not reach all of the workspace")
    return bare


@pytest.fixture
def panda() -> Arm:
    return load("arms", "panda")


@pytest.fixture(scope="session")
def place() -> Callable[..., Placement]:
    """place(kind, color, x, y, yaw=0, z=0): an object standing at height z."""

    def at(kind: str, color: str, x: float, y: float, yaw: float = 0.0, z: float = 0.0) -> Placement:
        spec = make_spec(kind, color)
        return Placement(spec, (x, y, z + spec.origin_height), yaw)

    return at


@pytest.fixture(scope="session")
def laid(place: Callable[..., Placement]) -> Scene:
    """A table with a cube, a ball and a bowl."""
    return Scene(
        (place("cube", "red", 0.5, 0.1, 0.3), place("ball", "green", 0.6, -0.1), place("bowl", "blue", 0.45, -0.1))
    )


@pytest.fixture(scope="session")
def random_qpos() -> Callable[[Body, np.random.Generator], np.ndarray]:
    """random_qpos(body, rng): joint angles within the limits, each at most half a turn."""

    def draw(body: Body, rng: np.random.Generator) -> np.ndarray:
        k = body.kinematics
        return rng.uniform(np.maximum(k.lower, -np.pi), np.minimum(k.upper, np.pi))

    return draw
