"""Scenes of an arm that reaches only a part of the workspace are made, and solved, in that part."""

import numpy as np
import pytest

from qwenarm.body.reach import reach_of
from qwenarm.env import ArmEnv
from qwenarm.errors import BadInput
from qwenarm.registry import load
from qwenarm.tasks.core.goal import initial_state
from qwenarm.tasks.core.planning import free_point, point_beside


@pytest.mark.parametrize("perturbations", [(), (("layout", 1),), (("layout", 2),)])
@pytest.mark.parametrize("task", ["put", "stack", "sort", "rearrange"])
def test_everything_stands_within_reach(task: str, perturbations: tuple[tuple[str, int], ...]):
    reach = reach_of(load("arms", "so101"))
    assert reach is not None
    env = ArmEnv(task, "so101", cameras=(), perturbations=perturbations)
    for seed in range(4):
        scene = env.build(seed).scene
        assert scene.reach == reach
        assert all(placement.pos[:2] in reach for placement in scene.objects)
        state = initial_state(scene)
        point = free_point(state)
        assert (point.x, point.y) in reach


def test_what_is_put_beside_something_is_put_within_reach():
    scene = ArmEnv("put", "so101", cameras=()).build(1).scene
    first, second = (placement.spec.id for placement in scene.objects[:2])
    point = point_beside(initial_state(scene), first, second)
    assert scene.has_place(point.x, point.y)


def test_arms_that_reach_everything_keep_their_scenes():
    setups = [ArmEnv("put", arm, cameras=()).build(3) for arm in ("panda", "ur5e")]
    plain = load("tasks", "put").build(np.random.default_rng(3))
    assert [setup.scene.objects for setup in setups] == [plain.scene.objects] * 2


def test_too_many_objects_for_the_reach_are_refused_in_a_sentence():
    with pytest.raises(BadInput, match="where this arm reaches"):
        ArmEnv("inspect", "so101", cameras=()).build(0)
