"""Laws of stocking a shelf: where its bays are, when an order is carried out, and what has to be said."""

from dataclasses import replace

import numpy as np
import pytest

from qwenarm.body.cameras import FRONT, project
from qwenarm.body.objects.spec import WALL_THICKNESS_M
from qwenarm.body.simulation import Body
from qwenarm.registry import load
from qwenarm.skills import run
from qwenarm.tasks import oracle_call
from qwenarm.tasks.shelf.goal import BAY_CAPACITY, BAY_IDS, MissingItem, OrderLine, StockShelf, bay_placements, denies
from qwenarm.types import SkillCall


def build(level, seed):
    return load("tasks", "shelf").build(np.random.default_rng(seed), level)


def put(state, what, bay):
    """The same world with a thing in a bay."""
    thing, base = state[what], state[bay]
    pos = base.pos + [0, 0, WALL_THICKNESS_M + thing.spec.origin_height]
    return replace(state, objects={**state.objects, what: replace(thing, pos=pos)})


def saying(state, text, name="say"):
    return replace(state, said=(*state.said, SkillCall(name, {"text" if name == "say" else "reason": text})))


def carried_out(goal, state):
    """The world after a solver's picks and places, and nothing said."""
    calls = [call for call in goal.solve(state) if call.name in ("pick", "place")]
    for pick, place in zip(calls[::2], calls[1::2], strict=True):
        state = put(state, pick.args["at"], place.args["at"])
    return state


@pytest.mark.parametrize("left", [True, False])
def test_the_bays_are_called_as_they_are_seen(left):
    at = {
        p.spec.id: project(np.array(p.pos), np.array(FRONT.pos), FRONT.axes(), FRONT.fovy_deg, 4 / 3)[0]
        for p in bay_placements(left)[0]
    }
    assert set(at) == set(BAY_IDS)
    for side in ("left", "right"):
        assert at[f"upper_{side}_bay"][1] < at[f"lower_{side}_bay"][1] - 0.1
    for row in ("upper", "lower"):
        assert at[f"{row}_left_bay"][0] < at[f"{row}_right_bay"][0] - 0.1
    assert all(0.02 < u < 0.98 and 0.02 < v < 0.98 for u, v in at.values())


@pytest.mark.render
@pytest.mark.parametrize("arm", ["panda", "ur5e"])
def test_two_things_find_room_in_every_bay(arm):
    setup = build(1, 0)
    things = [p for p in setup.scene.objects if p.spec.graspable][:2]
    for bay in (BAY_IDS[0], BAY_IDS[3]) if arm == "panda" else (BAY_IDS[1], BAY_IDS[2]):
        body = Body(setup.scene, load("arms", arm))
        for thing in things:
            for call in (SkillCall("pick", {"at": thing.spec.id}), SkillCall("place", {"at": bay})):
                for control in run(body, oracle_call(body, call, ("front", "overhead"))):
                    body.step(control)
        assert all(body.state().inside(thing.spec.id, bay) for thing in things)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_an_order_is_carried_out_by_rising_progress(level):
    for seed in range(12):
        setup = build(level, seed)
        goal, state = setup.goal, Body(setup.scene, load("arms", "panda")).state()
        progress = [goal.progress(state)]
        for call in goal.solve(state):
            if call.name == "pick":
                state = replace(state, holding=call.args["at"])
            elif call.name == "place":
                state = replace(put(state, state.holding, call.args["at"]), holding=None)
            elif call.name == "say":
                state = saying(state, call.args["text"])
            progress.append(goal.progress(state))
        assert goal.success(state) and progress[-1] == 1.0
        assert all(a < b for a, b in zip(progress[:-2], progress[1:-1], strict=True))


def test_what_is_out_of_stock_is_not_there_and_has_to_be_told():
    found = 0
    for seed in range(20):
        setup = build(3, seed)
        goal, state = setup.goal, Body(setup.scene, load("arms", "panda")).state()
        end = carried_out(goal, state)
        if goal.missing is None:
            assert goal.success(end) and not goal.success(saying(end, "it is not there", "give_up"))
            continue
        found += 1
        color, shape = goal.missing.color, goal.missing.shape
        solids = [thing.spec for thing in state.objects.values() if thing.spec.graspable]
        assert not [s for s in solids if color in (s.color, None) and shape in (s.shape, None)]
        assert not goal.success(end) and not goal.success(saying(end, "all done"))
        assert not goal.success(saying(end, f"here is the {goal.missing.label}"))
        for how in ("say", "give_up"):
            assert goal.success(saying(end, f"we have no {goal.missing.label}", how))
    assert 4 < found < 18


def test_two_of_three_are_any_two_and_no_more():
    setup = build(1, 0)
    state = Body(setup.scene, load("arms", "panda")).state()
    ids = [thing.spec.id for thing in state.objects.values() if thing.spec.graspable][:3]
    goal = StockShelf((OrderLine(tuple(ids), BAY_CAPACITY, BAY_IDS[0]),))
    for kept in range(3):
        two = state
        for thing in ids[:kept] + ids[kept + 1 :]:
            two = put(two, thing, BAY_IDS[0])
        three = put(two, ids[kept], BAY_IDS[0])
        assert goal.success(two) and not goal.success(three)
        assert [call.name for call in goal.solve(three)] == ["pick", "place", "done"]


def test_what_stood_on_the_shelf_stays_where_it_was():
    for seed in range(6):
        setup = build(2, seed)
        goal, state = setup.goal, Body(setup.scene, load("arms", "panda")).state()
        end = carried_out(goal, state)
        assert goal.success(end)
        for thing, bay in goal.stays:
            elsewhere = put(end, thing, next(b for b in BAY_IDS if b != bay))
            assert not goal.success(elsewhere)
            assert goal.success(carried_out(goal, elsewhere))


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("There is no yellow ball.", True),
        ("I can't find the yellow ball", True),
        ("the yellow ball is out of stock", True),
        ("the yellow ball is missing", True),
        ("No hay ninguna bola amarilla", True),
        ("la bola amarilla está agotada", True),
        ("没有黄色球", True),
        ("the yellow ball is on the left", False),
        ("I put the black cube there; noted", False),
        ("la bola amarilla está ahí", False),
        ("黄色球在左边", False),
    ],
)
def test_denials_are_understood(text, denied):
    assert denies(text) is denied
    state = saying(Body(build(1, 0).scene, load("arms", "panda")).state(), text)
    assert MissingItem("yellow", "ball").was_reported(state) is denied
    assert not MissingItem("green", "ball").was_reported(state)
