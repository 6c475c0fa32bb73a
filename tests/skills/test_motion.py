"""Laws of the lines: straight, within the limits, the same both ways; and what is no way is refused."""

from collections.abc import Generator

import numpy as np
import pytest

from qwenarm.body.kinematics import top_down
from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.registry import load
from qwenarm.skills.failure import SkillFailure
from qwenarm.skills.motion import TcpLine, follow, line_down, line_from, reach
from qwenarm.types import Control

OFF = 1.0e-3
"""m"""


@pytest.fixture(scope="module", params=["panda", "ur5e"])
def body(request: pytest.FixtureRequest) -> Body:
    return Body(Scene(()), load("arms", request.param))


def lines(body: Body) -> list[TcpLine]:
    """Downwards and along the table, all over the workspace."""
    rng, found = np.random.default_rng(3), []
    for _ in range(20):
        low, other = np.column_stack([rng.uniform([0.32, -0.3], [0.72, 0.3], (2, 2)), [0.02, 0.02]])
        yaw = rng.uniform(0, np.pi)
        found.append(line_down(body, low + [0, 0, rng.uniform(0.08, 0.3)], low, yaw))
        found.append(line_from(body, reach(body, low, yaw), other, top_down(yaw)))
    return found


def test_lines_are_straight(body: Body) -> None:
    for line in lines(body):
        at = np.array([body.kinematics.fk(qpos)[0] for qpos in line.at(np.linspace(0, 1, 33))])
        along = (at[-1] - at[0]) / line.length
        beside = (at - at[0]) - np.outer((at - at[0]) @ along, along)
        assert np.linalg.norm(beside, axis=1).max() < OFF
        assert (np.diff((at - at[0]) @ along) > 0).all(), "forward all the way"


def test_a_line_is_followed_within_the_limits_and_back_again(body: Body) -> None:
    for line in lines(body)[:8]:
        down = np.array([control.qpos for control in follow(body, line)])
        up = np.array([control.qpos for control in follow(body, line, 1.0, 0.0)])
        np.testing.assert_allclose(down[-1], line.end, atol=1e-9)
        np.testing.assert_allclose(up[-1], line.start, atol=1e-9)
        for path in (np.vstack([line.start, down]), np.vstack([line.end, up])):
            speed = np.diff(path, axis=0) / CONTROL_PERIOD_S
            gain = np.diff(speed, axis=0, prepend=0 * speed[:1]) / CONTROL_PERIOD_S
            assert (np.abs(speed) <= body.arm.velocity).all() and (np.abs(gain) <= body.arm.acceleration).all()


def test_a_stop_ends_it_there(body: Body) -> None:
    line, seen, reached = lines(body)[0], [], []

    def riding() -> Generator[Control, None, None]:
        reached.append((yield from follow(body, line, stop=lambda: len(seen) == 3)))

    for control in riding():
        seen.append(control.qpos)
    assert len(seen) == 3 and 0 < reached[0] < 1
    np.testing.assert_allclose(line.at(np.array(reached))[0], seen[-1], atol=1e-9)


def test_a_line_that_leaves_the_workspace_is_refused(body: Body) -> None:
    with pytest.raises(SkillFailure, match="out of reach by"):
        line_down(body, np.array([0.5, 0.6, 0.2]), np.array([0.5, 0.6, 0.02]), 0.0)
