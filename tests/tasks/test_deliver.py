"""Deliveries: the wall rises when first a thing is lifted, touching it is told, and orders change with the lift."""

from dataclasses import replace

import numpy as np
import pytest

from qwenarm.env import ArmEnv
from qwenarm.skills import run
from qwenarm.tasks import oracle_call
from qwenarm.tasks.deliver import Delivery

pytestmark = pytest.mark.render


def act(body, call):
    for control in run(body, oracle_call(body, call, ("front", "overhead"))):
        body.step(control)


def begun(level, seed=1):
    env = ArmEnv("deliver", level=level, cameras=())
    env.reset(seed=seed)
    goal = env.setup.goal
    assert isinstance(goal, Delivery)
    return env, env.body, goal


def test_the_wall_waits_below_the_table_until_a_thing_is_lifted():
    _, body, goal = begun(1)
    wall = goal.wall.wall
    for _ in range(20):
        body.step(body.hold())
    assert body.state()[wall].top < 0 and goal.wall.risen_periods == -1
    act(body, goal.solve(body.state())[0])
    assert body.state()[wall].bottom == pytest.approx(0, abs=1e-6) and not goal.wall.contact_periods


def test_orders_change_when_the_thing_named_first_is_lifted_and_each_is_told():
    env, body, goal = begun(3)
    told = [env.instruction]
    for _ in range(env.setup.max_turns):
        call = goal.solve(body.state())[0]
        if call.name == "done":
            break
        act(body, call)
        told.append(env.instruction)
    assert goal.success(body.state()) and len(dict.fromkeys(told)) == 3 == len(goal.orders)


def test_a_delivery_that_touched_the_wall_is_none():
    _, body, goal = begun(1)
    for _ in range(3):
        act(body, goal.solve(body.state())[0])
    state = body.state()
    assert goal.success(state)
    touched = replace(goal, wall=replace(goal.wall, contact_periods=1))
    assert not touched.success(state) and touched.progress(state) <= 0.5


def test_the_wall_stands_between_things_and_places_with_room_on_both_sides():
    for seed in range(15):
        _, body, goal = begun(2, seed)
        state, wall = body.state(), goal.wall.wall
        for name, thing in state.objects.items():
            if name != wall:
                gap = float(np.abs(state[wall].local(thing.pos)[:2]).max()) - thing.spec.radius
                assert gap > 0.015


def test_an_order_that_was_overtaken_is_no_success():
    _, body, goal = begun(2)
    for _ in range(3):
        act(body, goal.solve(body.state())[0])
    state = body.state()
    assert goal.success(state) and goal.lifts.stage == 1
    early = replace(goal, orders=(*goal.orders, goal.orders[0]))  # as if another order were to come
    assert not early.success(state) and early.progress(state) < 1.0
