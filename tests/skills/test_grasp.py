"""Rectangles around what is seen from above."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenarm.skills.grasp_shapes import UNIT_DIRECTIONS, outermost, rectangle

EDGE = st.floats(-0.3, 0.3, allow_subnormal=False)


@given(st.lists(st.tuples(EDGE, EDGE), min_size=1, max_size=60))
def test_the_outermost_points_reach_as_far_as_all(cloud: list[tuple[float, float]]):
    points = np.array(cloud, dtype=np.float32)
    kept = outermost(points)
    reach = (points @ UNIT_DIRECTIONS.T).max(axis=0)
    np.testing.assert_allclose((kept @ UNIT_DIRECTIONS.T).max(axis=0), reach, atol=1e-7, rtol=0)


def test_few_points_of_a_full_shape_are_outermost():
    grid = np.stack(np.meshgrid(np.linspace(0, 0.1, 50), np.linspace(0, 0.06, 30)), axis=-1).reshape(-1, 2)
    assert 4 <= len(outermost(grid)) <= 200


@pytest.mark.parametrize("yaw", [0.0, 0.3, 1.2])
def test_a_rectangle_is_found_again(yaw: float):
    turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    grid = np.stack(np.meshgrid(np.linspace(-0.05, 0.05, 60), np.linspace(-0.02, 0.02, 40)), axis=-1).reshape(-1, 2)
    box = rectangle(grid @ turn.T + [0.5, 0.1])
    np.testing.assert_allclose(box.center, [0.5, 0.1], atol=1e-3)
    np.testing.assert_allclose(np.sort(box.sides), [0.04, 0.10], atol=2e-3)
    assert not box.round
    assert rectangle(grid[(grid**2).sum(axis=1) < 0.02**2]).round
