"""Laws of the goals, on worlds that are arranged by hand: no physics in here."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenarm.body.cameras import FRONT, project
from qwenarm.body.objects.spec import WALL_THICKNESS_M, make_spec
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.registry import load
from qwenarm.tasks import Arrange, Relation, Sort
from qwenarm.tasks.core.planning import SIDE_DIRECTIONS, SIDE_GAP_M, Side
from qwenarm.types import SkillCall

UPRIGHT = np.array([1.0, 0, 0, 0])


def world(*specs, holding=None):
    """The specs in a row on the table."""
    objects = {
        spec.id: ObjectState(spec, np.array([0.5, -0.3 + 0.2 * i, spec.origin_height]), UPRIGHT, 0.0)
        for i, spec in enumerate(specs)
    }
    return WorldState(objects, holding, np.array([0.3, 0, 0.4]), 0.08)


def moved(state, what, where, holding=None):
    """The same world with one thing on (or in) another, or in the hand if ``where`` is None."""
    thing = state[what]
    if where is None:
        pos = np.array([0.3, 0.0, 0.4])
    else:
        base = state[where]
        level = base.pos[2] + WALL_THICKNESS_M if base.spec.container else base.top
        pos = np.array([*base.pos[:2], level + thing.spec.origin_height])
    return replace(state, objects={**state.objects, what: replace(thing, pos=pos)}, holding=holding)


def play(goal, state, calls):
    """Carries symbolic calls out in thought; returns the progress after each."""
    progress = [goal.progress(state)]
    for call in calls:
        if call.name == "pick":
            assert state.holding is None
            state = moved(state, call.args["at"], None, holding=call.args["at"])
        elif call.name == "place":
            assert state.holding is not None
            at = call.args["at"]
            if isinstance(at, str):
                state = moved(state, state.holding, at)
            else:
                held = state[state.holding]
                pos = np.array([at.x, at.y, held.spec.origin_height])
                state = replace(state, objects={**state.objects, held.spec.id: replace(held, pos=pos)}, holding=None)
        progress.append(goal.progress(state))
    return state, progress


def strict(goal):
    """The same goal, where what leans on the content of a container does not count as in it."""
    if isinstance(goal, Arrange):
        return replace(goal, relations=tuple(replace(relation, leaning=False) for relation in goal.relations))
    return replace(goal, leaning=False) if isinstance(goal, Sort) else goal


CUBE, OTHER, THIRD = make_spec("cube", "red"), make_spec("cube", "green"), make_spec("cylinder", "blue")
BOWL, TRAY = make_spec("bowl", "white"), make_spec("tray", "black")


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), task=st.sampled_from(["put", "stack", "sort"]), level=st.integers(1, 3))
def test_the_solvers_calls_lead_to_success_by_rising_progress(seed, task, level):
    setup = load("tasks", task).build(np.random.default_rng(seed), level)
    state = world(*(p.spec for p in setup.scene.objects))
    calls = setup.goal.solve(state)
    end, progress = play(setup.goal, state, calls[:1])
    # One call at a time, as the oracle does; several things in one container lie in one another here, which is fine.
    for _ in range(40):
        calls = setup.goal.solve(end)
        if calls[0].name == "done":
            break
        end, more = play(setup.goal, end, calls[:1])
        progress += more[1:]
    assert setup.goal.success(end) and setup.goal.progress(end) == 1.0
    assert all(a < b for a, b in zip(progress[:-1], progress[1:], strict=True))


def test_success_needs_an_empty_hand_and_rest():
    goal = Arrange((Relation(CUBE.id, BOWL.id),))
    there = moved(world(CUBE, BOWL, OTHER), CUBE.id, BOWL.id)
    assert goal.success(there)
    assert not goal.success(replace(there, holding=OTHER.id))
    rolling = replace(there.objects[CUBE.id], speed=0.2)
    assert not goal.success(replace(there, objects={**there.objects, CUBE.id: rolling}))
    assert goal.progress(replace(there, holding=OTHER.id)) < 1.0


def test_what_is_held_for_nothing_is_put_aside_first():
    goal = Arrange((Relation(CUBE.id, BOWL.id),))
    calls = goal.solve(moved(world(CUBE, BOWL, OTHER), OTHER.id, None, holding=OTHER.id))
    assert [call.name for call in calls] == ["place", "pick", "place", "done"]
    assert not isinstance(calls[0].args["at"], str)


def test_what_is_held_for_the_goal_is_placed_at_once():
    goal = Arrange((Relation(CUBE.id, BOWL.id),))
    calls = goal.solve(moved(world(CUBE, BOWL), CUBE.id, None, holding=CUBE.id))
    assert calls == [SkillCall("place", {"at": BOWL.id}), SkillCall("done")]


def test_buried_things_are_freed_from_the_top():
    goal = Arrange((Relation(CUBE.id, BOWL.id),))
    state = moved(moved(world(CUBE, BOWL, OTHER, THIRD), OTHER.id, CUBE.id), THIRD.id, OTHER.id)
    picked = [call.args["at"] for call in goal.solve(state) if call.name == "pick"]
    assert picked == [THIRD.id, OTHER.id, CUBE.id]


def test_a_tower_is_built_from_its_base_and_kept_as_far_as_it_stands():
    goal = Arrange((Relation(OTHER.id, CUBE.id), Relation(THIRD.id, OTHER.id)))
    start = world(CUBE, OTHER, THIRD)
    assert [c.args["at"] for c in goal.solve(start)[:-1]] == [OTHER.id, CUBE.id, THIRD.id, OTHER.id]
    half = moved(start, OTHER.id, CUBE.id)
    assert [c.args["at"] for c in goal.solve(half)[:-1]] == [THIRD.id, OTHER.id]


def test_sorting_takes_the_leftmost_in_the_front_image_first():
    goal = Sort("color", (("red", BOWL.id), ("green", TRAY.id)))
    state = world(OTHER, CUBE, BOWL, TRAY, THIRD)  # y rises along the row; the front camera looks back, right is +y
    assert [c.args["at"] for c in goal.solve(state) if c.name == "pick"] == [OTHER.id, CUBE.id]
    state = world(CUBE, OTHER, BOWL, TRAY, THIRD)
    assert goal.solve(state)[0].args["at"] == CUBE.id


def test_sorting_takes_strangers_out():
    goal = Sort("color", (("red", BOWL.id), ("green", TRAY.id)))
    state = moved(
        moved(moved(world(CUBE, OTHER, THIRD, BOWL, TRAY), CUBE.id, BOWL.id), OTHER.id, TRAY.id), THIRD.id, TRAY.id
    )
    assert not goal.success(state)
    end, _ = play(goal, state, goal.solve(state)[:-1])
    assert goal.success(end)


@pytest.mark.parametrize(("distance", "holds"), [(0.09, True), (0.25, False)])
def test_next_to(distance, holds):
    relation = Relation(CUBE.id, OTHER.id, beside=True)
    state = world(CUBE, OTHER)
    pos = state[OTHER.id].pos + [0, distance, 0]
    near = replace(state, objects={**state.objects, CUBE.id: replace(state[CUBE.id], pos=pos)})
    assert relation.holds(near) is holds
    calls = Arrange((relation,)).solve(state)
    assert relation.holds(play(Arrange((relation,)), state, calls[:-1])[0])


@pytest.mark.parametrize("side", SIDE_DIRECTIONS)
@given(angle=st.floats(-3.1, 3.1), gap=st.floats(0.0, 0.3))
@settings(deadline=None, max_examples=60)
def test_a_side_is_a_quarter_of_all_directions_as_the_front_camera_sees_them(side, angle, gap):
    base, thing = world(CUBE, OTHER).objects.values()
    reach = base.spec.radius + thing.spec.radius + gap
    way = reach * np.array([np.cos(angle), np.sin(angle)])
    thing = replace(thing, pos=np.array([*(base.pos[:2] + way), thing.pos[2]]))
    state = replace(world(CUBE, OTHER), objects={CUBE.id: base, OTHER.id: thing})
    holding = [s for s in SIDE_DIRECTIONS if Relation(OTHER.id, CUBE.id, True, s).holds(state)]
    (u, v), (at_u, at_v) = (
        project(x.pos, np.array(FRONT.pos), FRONT.axes(), FRONT.fovy_deg, 1.0)[0] for x in (thing, base)
    )
    seen = {"left": u < at_u, "right": u > at_u, "front": v > at_v, "behind": v < at_v}
    assert len(holding) <= 1 and all(seen[s] for s in holding)
    if gap < SIDE_GAP_M - 1e-6 and abs(abs(way[0]) - abs(way[1])) > 1e-6:
        assert len(holding) == 1
    opposite: dict[Side, Side] = {"left": "right", "right": "left", "front": "behind", "behind": "front"}
    turned = Relation(CUBE.id, OTHER.id, True, opposite[side])
    assert turned.holds(state) == Relation(OTHER.id, CUBE.id, True, side).holds(state)


@pytest.mark.parametrize("side", SIDE_DIRECTIONS)
def test_the_solver_puts_a_thing_on_the_side_that_is_wished(side):
    goal, state = Arrange((Relation(OTHER.id, CUBE.id, True, side),)), world(CUBE, THIRD, OTHER)
    end, progress = play(goal, state, goal.solve(state))
    assert not goal.success(state) and goal.success(end) and progress == sorted(progress)
