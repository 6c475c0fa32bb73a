"""Rows of sub-goals: each counts only after the one before it, and what has come undone is done again."""

from dataclasses import replace

import numpy as np
import pytest

from qwenarm.body.scene import OBJECT_GAP_M
from qwenarm.body.state import CONTACT_TOLERANCE_M, ObjectState
from qwenarm.registry import load
from qwenarm.tasks import Arrange, Relation
from qwenarm.tasks.long.goal import InOrder, SubgoalTracker
from qwenarm.tasks.long.task import SUBGOAL_COUNT

from .test_goals import BOWL, CUBE, OTHER, UPRIGHT, moved, play, world

FIRST, SECOND = Arrange((Relation(CUBE.id, BOWL.id),)), Arrange((Relation(OTHER.id, BOWL.id),))


def counted(*states):
    """The goal after these states have been seen."""
    tracker = SubgoalTracker((FIRST, SECOND))
    for state in states:
        if tracker.reached < 2:
            tracker.check(state)
    return InOrder(tracker, Arrange(FIRST.relations + SECOND.relations))


START = world(CUBE, OTHER, BOWL)
ONE = moved(START, CUBE.id, BOWL.id)
WRONG = moved(START, OTHER.id, BOWL.id)
BOTH = moved(ONE, OTHER.id, BOWL.id)


def test_in_order_it_is_a_success():
    goal = counted(START, ONE, BOTH)
    assert goal.success(BOTH) and goal.progress(BOTH) == 1.0 and [c.name for c in goal.solve(BOTH)] == ["done"]


def test_the_second_before_the_first_does_not_count():
    goal = counted(START, WRONG, BOTH)
    assert goal.tracker.reached == 1 and not goal.success(BOTH) and goal.progress(BOTH) < 1.0
    again = replace(BOTH, holding=OTHER.id)
    goal.tracker.check(again)
    goal.tracker.check(BOTH)
    assert goal.success(BOTH)


def test_what_has_come_undone_is_no_success_and_is_done_again():
    goal = counted(START, ONE, BOTH)
    assert not goal.success(WRONG)
    assert [c.args.get("at") for c in goal.solve(WRONG)] == [CUBE.id, BOWL.id, None]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_rows_are_as_long_as_the_level_says_and_name_every_thing(level):
    for seed in range(10):
        setup = load("tasks", "long").build(np.random.default_rng(seed), level)
        assert len(setup.goal.tracker.goals) == SUBGOAL_COUNT[level - 1]
        for relation in (r for goal in setup.goal.tracker.goals if len(goal.relations) == 1 for r in goal.relations):
            assert setup.scene.spec(relation.what).label in setup.instruction
            assert setup.scene.spec(relation.where).label in setup.instruction


def has_room(state, taken):
    """Do the fingers fit in beside it, and does nothing tower up near to it, where the palm will be?"""
    for other in (thing for thing in state.objects.values() if thing is not taken):
        edge = np.hypot(*(other.pos[:2] - taken.pos[:2])) - other.spec.radius
        if other.top > taken.bottom + CONTACT_TOLERANCE_M and edge - taken.spec.radius < OBJECT_GAP_M:
            return False
        if other.top > taken.top + 0.03 and edge < 0.10:
            return False
    return True


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_hand_has_room_for_all_that_is_taken_and_a_bowl_holds_one_thing(level):
    for seed in range(15):
        setup = load("tasks", "long").build(np.random.default_rng(seed), level)
        goal, state = setup.goal, world()
        things = {p.spec.id: ObjectState(p.spec, np.array(p.pos), UPRIGHT, 0.0) for p in setup.scene.objects}
        state = replace(state, objects=things)
        for _ in range(setup.max_turns):
            pick, *more = goal.solve(state)
            if pick.name == "done":
                break
            assert has_room(state, state[pick.args["at"]]), (seed, pick)
            state, _ = play(goal, state, [pick, more[0]])
            goal.tracker.check(state)
        assert goal.success(state), seed
        for bowl in (name for name, thing in things.items() if thing.spec.shape == "bowl"):
            assert sum(state.inside(name, bowl) for name in things) <= 1, seed
