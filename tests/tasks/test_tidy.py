"""Laws of tidying up: rules that give each thing one home, the drawer's part in it, and words that come only once."""

from dataclasses import replace

import numpy as np
import pytest

from qwenarm.body.objects.drawer import CLOSED_DRAWER_X_M, DRAWER_TRAVEL_M
from qwenarm.body.objects.spec import WALL_THICKNESS_M
from qwenarm.body.simulation import Body
from qwenarm.env import ArmEnv
from qwenarm.errors import BadInput
from qwenarm.registry import load
from qwenarm.skills import run
from qwenarm.tasks import oracle_call
from qwenarm.tasks.core.events import InstructionUpdates
from qwenarm.tasks.tidy.goal import BIN_ID, DRAWER_ID, HOME_CAPACITY, HomeRule, home_of, opening
from qwenarm.tasks.tidy.words import GO_ON_PHRASES


def build(level, seed):
    return load("tasks", "tidy").build(np.random.default_rng(seed), level)


def start(setup):
    return Body(setup.scene, load("arms", "panda")).state()


def moved(state, what, pos):
    return replace(state, objects={**state.objects, what: replace(state[what], pos=np.array(pos))})


def carried_out(state, call):
    """The world after a symbolic call; what lies in the drawer moves with it."""
    if call.name == "pick":
        return replace(state, holding=call.args["at"])
    if call.name == "place":
        where, thing = state[call.args["at"]], state[state.holding]
        pos = where.pos + [0, 0, WALL_THICKNESS_M + thing.spec.origin_height]
        return replace(moved(state, state.holding, pos), holding=None)
    if call.name == "pull":
        shift = (0.0 if call.args["to"].x < call.args["at"].x else DRAWER_TRAVEL_M) - opening(state)
        for name in [name for name in state.objects if state.inside(name, DRAWER_ID)] + [DRAWER_ID]:
            state = moved(state, name, state[name].pos + [shift, 0, 0])
    return state


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_solvers_calls_lead_to_success_by_rising_progress(level):
    for seed in range(12):
        setup = build(level, seed)
        goal, state = setup.goal, start(setup)
        progress, calls = [goal.progress(state)], goal.solve(state)
        for call in calls:
            state = carried_out(state, call)
            progress.append(goal.progress(state))
        assert goal.success(state) and calls[-1].name == "done" and len(calls) <= setup.max_turns
        assert all(a < b for a, b in zip(progress[:-2], progress[1:-1], strict=True)), progress


@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_home_has_something_and_no_more_than_fits(level):
    for seed in range(20):
        homes = [home for _, home in build(level, seed).goal.homes]
        assert {DRAWER_ID, BIN_ID} <= set(homes) and len(set(homes)) == (2 if level == 1 else 3)
        assert all(homes.count(home) <= HOME_CAPACITY[home if home in HOME_CAPACITY else "box"] for home in homes)


def test_a_drawer_that_stays_open_is_not_tidy():
    setup = build(1, 0)
    goal, state = setup.goal, start(setup)
    for call in goal.solve(state):
        if call.name != "pull":
            state = carried_out(state, call)
    assert not goal.success(state) and goal.progress(state) < 1.0
    assert [call.name for call in goal.solve(state)] == ["pull", "done"]


def test_the_first_rule_that_names_a_thing_decides():
    rules = (HomeRule("color", "red", BIN_ID), HomeRule("shape", "cube", DRAWER_ID), HomeRule("rest", "", "blue_box"))
    told = {
        ("red", "cube"): BIN_ID,
        ("red", "ball"): BIN_ID,
        ("green", "cube"): DRAWER_ID,
        ("green", "ball"): "blue_box",
    }
    assert {pair: home_of(rules, *pair) for pair in told} == told
    assert home_of(rules[:2], "green", "ball") is None


def test_exceptions_are_told_where_two_rules_name_a_thing():
    """Before the last level nothing is named by both of them."""
    for seed in range(12):
        words = build(3, seed).instruction
        assert any(word in words for word in ("too", "even", "included", "except", "includes")), words
        assert "except" not in build(2, seed).instruction


def test_the_rules_are_told_only_once():
    env = ArmEnv("tidy", cameras=(), level=3)
    env.reset(seed=1)
    first, goal = env.instruction, env.setup.goal
    voice = next(each for each in env.setup.events if isinstance(each, InstructionUpdates))
    assert goal is not None
    while env.instruction == first and env.body.time_s < 60:
        for control in run(env.body, oracle_call(env.body, goal.solve(env.body.state())[0])):
            env.body.step(control)
    assert env.instruction == voice.phrases[0].text and env.instruction in GO_ON_PHRASES
    assert env.body.state().holding is not None


def test_the_drawer_is_shut_at_the_start_where_it_has_to_be_opened():
    assert [round(opening(start(build(level, 2))) / DRAWER_TRAVEL_M, 3) for level in (1, 2, 3)] == [1.0, 0.0, 0.0]
    assert start(build(2, 2))[DRAWER_ID].pos[0] == pytest.approx(CLOSED_DRAWER_X_M)


@pytest.mark.parametrize("task", ["tidy", "inspect"])
def test_a_hand_without_fingers_is_refused_in_a_sentence(task: str):
    with pytest.raises(BadInput, match=rf"ur5e_suction cannot play {task}: .* no fingers\. Arms that can: .*panda"):
        ArmEnv(task, "ur5e_suction", cameras=())
