"""The goal picture shows the goal: what it shows fulfils it, and all of it can be seen."""

from dataclasses import replace

import numpy as np
import pytest

from qwenarm.body.simulation import Body
from qwenarm.registry import load
from qwenarm.tasks.rearrange import MIN_SHIFT_M, MOVED_OBJECTS


def built(level, seed):
    setup = load("tasks", "rearrange").build(np.random.default_rng(seed), level)
    assert setup.goal_scene is not None
    return setup, Body(setup.goal_scene, load("arms", "panda"))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_picture_fulfils_the_goal_and_stands_still(level):
    for seed in range(8):
        setup, body = built(level, seed)
        for _ in range(20):
            body.step(body.hold())
        assert setup.goal.success(body.state()) and setup.goal.progress(body.state()) == 1.0


@pytest.mark.render
@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_picture_shows_everything(level):
    for seed in range(8):
        setup, body = built(level, seed)
        seen = body.segmentation("front", (240, 320))
        assert all((seen == index).sum() > 60 for index in range(len(setup.scene.objects)))
        body.close()


@pytest.mark.parametrize("level", [1, 2, 3])
def test_as_many_are_elsewhere_as_the_level_says_and_the_rest_is_not(level):
    for seed in range(20):
        setup = load("tasks", "rearrange").build(np.random.default_rng(seed), level)
        pairs = zip(setup.scene.objects, setup.goal_scene.objects, strict=True)
        away = [np.hypot(a.pos[0] - b.pos[0], a.pos[1] - b.pos[1]) for a, b in pairs if a != b]
        assert len(away) == MOVED_OBJECTS[level - 1] == len(setup.goal.moves) and min(away) > MIN_SHIFT_M / 2


def test_what_is_moved_without_need_counts_against_it():
    setup, body = built(2, 1)
    state, stay = body.state(), setup.goal.stays[0].what
    shifted = replace(state[stay], pos=state[stay].pos + [0.1, 0, 0])
    state = replace(state, objects={**state.objects, stay: shifted})
    assert not setup.goal.success(state) and setup.goal.progress(state) < 1.0
    assert [call.args["at"] for call in setup.goal.solve(state) if call.name == "pick"] == [stay]
