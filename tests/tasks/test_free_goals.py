"""Laws of the goals of free words."""

from dataclasses import replace
from itertools import product

import numpy as np
from tests.tasks.test_goals import moved, play, world

from qwenarm.body.objects.spec import CONTAINER_HEIGHT_M, make_spec
from qwenarm.body.scene import Placement, Scene
from qwenarm.tasks import Relation
from qwenarm.tasks.language.goals import Answer, AnyTower, Exactly, Holds, InBetween, OneInEach, Together
from qwenarm.tasks.language.ground import goal_of
from qwenarm.tasks.language.read_instruction import read
from qwenarm.types import SkillCall

SOLIDS = [make_spec("cube", color) for color in ("red", "blue", "green")]
START = world(*SOLIDS, make_spec("ball", "white"), make_spec("bowl", "blue"), make_spec("box", "red"))


def into(*whats, where="blue_bowl"):
    return tuple(Relation(what, where) for what in whats)


def test_exactly_so_many_is_no_more_and_no_less():
    goal = Together((Exactly(1, into("red_cube", "blue_cube")),))
    one = moved(START, "blue_cube", "blue_bowl")
    assert goal.progress(START) == 0 and goal.success(one)
    both = moved(one, "red_cube", "red_box")
    assert goal.success(both)
    assert not goal.success(moved(one, "red_cube", "blue_bowl"))
    calls = goal.solve(moved(one, "red_cube", "blue_bowl"))
    assert [call.name for call in calls] == ["pick", "place", "done"]


def test_counts_for_two_places_share_what_there_is():
    tray = make_spec("tray", "white")
    start = world(*SOLIDS, make_spec("cube", "white"), make_spec("bowl", "blue"), tray)
    cubes = [name for name in start.objects if name.endswith("cube")]
    goal = Together((Exactly(2, into(*cubes)), Exactly(1, into(*cubes, where=tray.id))))
    for places in product((None, "blue_bowl", tray.id), repeat=len(cubes)):
        state = start
        for cube, place in zip(cubes, places, strict=True):
            state = moved(state, cube, place) if place else state
        plan = goal.solve(state)
        assert goal.success(play(goal, state, plan)[0]), places
        for _ in plan:  # one call at a time, as the oracle does
            state, _ = play(goal, state, goal.solve(state)[:1])
        assert goal.success(state), places


def test_what_is_excepted_must_not_be_there():
    goal = Together((Holds(Relation("red_cube", "blue_bowl")),), kept=(Exactly(0, into("blue_cube")),))
    right = moved(START, "red_cube", "blue_bowl")
    assert goal.progress(START) == 0 and goal.success(right)
    assert not goal.success(moved(right, "blue_cube", "blue_bowl"))


def test_a_tower_in_any_order_stands_in_every_order():
    goal = Together((AnyTower(("red_cube", "blue_cube", "green_cube")),))
    two = moved(START, "blue_cube", "green_cube")
    assert 0 < goal.progress(two) < 1 and goal.success(moved(two, "red_cube", "blue_cube"))
    assert not goal.success(moved(START, "red_cube", "blue_cube"))
    state, progress = play(goal, START, goal.solve(START))
    assert goal.success(state) and progress == sorted(progress)


def test_each_in_its_own_means_no_two_in_one():
    goal = Together((OneInEach((("red_cube",), ("blue_cube",)), ("blue_bowl", "red_box")),))
    one = moved(START, "red_cube", "red_box")
    assert goal.success(moved(one, "blue_cube", "blue_bowl"))
    assert not goal.success(moved(one, "blue_cube", "red_box"))


def test_a_set_is_together_and_no_two_sets_are_in_the_same_place():
    goal = Together((OneInEach((("red_cube", "blue_cube"), ("white_ball",)), ("blue_bowl", "red_box")),))
    things = ("red_cube", "blue_cube", "white_ball")
    for places in product((None, "blue_bowl", "red_box"), repeat=len(things)):
        state = START
        for thing, place in zip(things, places, strict=True):
            state = moved(state, thing, place) if place else state
        red, blue, ball = places
        assert goal.success(state) == (None not in places and red == blue != ball), places
        assert goal.success(play(goal, state, goal.solve(state))[0]), places


def test_one_of_the_places_is_any_of_them_and_the_one_that_has_most():
    goal = Together((OneInEach((("red_cube", "blue_cube"),), ("blue_bowl", "red_box")),))
    for place in ("blue_bowl", "red_box"):
        begun = moved(START, "red_cube", place)
        assert not goal.success(begun) and goal.success(moved(begun, "blue_cube", place))
        assert goal.solve(begun)[:2] == [SkillCall("pick", {"at": "blue_cube"}), SkillCall("place", {"at": place})]


def test_between_is_near_the_line_from_one_to_the_other():
    goal = Together((InBetween("white_ball", ("red_cube", "blue_cube")),))
    state, _ = play(goal, START, goal.solve(START))
    assert not goal.success(START) and goal.success(state)
    ball, (x, y, z) = state["white_ball"], state["white_ball"].pos
    for dx, dy, there in [(0.03, 0, True), (-0.03, 0.04, True), (0.05, 0, False), (0, 0.12, False), (0, -0.12, False)]:
        at = replace(ball, pos=np.array([x + dx, y + dy, z]))
        assert goal.success(replace(state, objects={**state.objects, "white_ball": at})) == there, (dx, dy)
    assert not goal.success(replace(state, holding="white_ball"))


def test_what_leans_on_the_content_of_a_container_is_in_it():
    scene = Scene(tuple(Placement(thing.spec, tuple(thing.pos)) for thing in START.objects.values()))
    for words in ("put the red cube and the blue cube in the bowl", "put two of the cubes in the bowl"):
        goal = goal_of(read(words).wish, scene)
        state = moved(START, "red_cube", "blue_bowl")
        bowl, other = state["blue_bowl"].pos, state["blue_cube"]
        leaning = replace(other, pos=bowl + [0.04, 0, CONTAINER_HEIGHT_M["bowl"] + 0.01 + other.spec.origin_height])
        state = replace(state, objects={**state.objects, "blue_cube": leaning})
        assert goal.success(state) and goal.solve(state) == [SkillCall("done")]
        assert not goal.success(replace(state, holding="blue_cube"))
        beyond = replace(leaning, pos=leaning.pos + [0.03, 0, 0])  # its middle is outside the wall
        assert not goal.success(replace(state, objects={**state.objects, "blue_cube": beyond}))


def test_the_right_number_said_last_is_the_answer():
    goal = Answer(3)

    def said(*texts):
        return replace(START, said=tuple(SkillCall("say", {"text": text}) for text in texts))

    assert goal.success(said("there are three cubes")) and goal.success(said("2", "sorry: 3"))
    assert not goal.success(START) and not goal.success(said("3", "or 4"))


def test_only_means_that_nothing_else_is_there():
    scene = Scene(tuple(Placement(thing.spec, tuple(thing.pos)) for thing in START.objects.values()))
    goal = goal_of(read("put only the red cube in the blue bowl").wish, scene)
    right = moved(START, "red_cube", "blue_bowl")
    assert goal.success(right) and goal.success(moved(right, "white_ball", "red_box"))
    both = moved(right, "white_ball", "blue_bowl")
    assert not goal.success(both) and [call.name for call in goal.solve(both)] == ["pick", "place", "done"]
    cubes = goal_of(read("put only the cubes in the red box").wish, scene)
    assert not cubes.success(moved(START, "red_cube", "red_box")) and len(cubes.solve(START)) == 7
