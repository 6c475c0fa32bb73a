"""Contract of every task: scenes that can be seen and reached, words that mean the goal, goals that judge, solvers that
end. It holds for whatever stands in the folder of tasks; what the tasks of the frozen suites promise beyond it is last.
"""

import re
from functools import cache

import numpy as np
import pytest

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import FIXED_SHAPES, HELD_OUT, OBJECT_SHAPES
from qwenarm.body.scene import WORKSPACE_X, WORKSPACE_Y
from qwenarm.body.simulation import Body
from qwenarm.env import ArmEnv
from qwenarm.errors import BadInput
from qwenarm.evaluation.suites import TASKS_V1
from qwenarm.perturbations import parse
from qwenarm.registry import list_names, load
from qwenarm.tasks import oracle_call, oracle_point
from qwenarm.tasks.core.events import InstructionUpdates, Phrase
from qwenarm.tasks.core.planning import WorldPoint
from qwenarm.types import ImagePoint, SkillCall

TASKS = (*list_names("tasks"), "examples.new_task:TASK")
LEVELS = [(task, level) for task in TASKS for level in range(1, len(load("tasks", task).levels) + 1)]
SEEN = [(color, shape) for color in COLOR_RGB for shape in OBJECT_SHAPES if (color, shape) not in HELD_OUT]


@cache
def build(task, level, seed):
    """An episode, which many tests look at and none changes."""
    return load("tasks", task).build(np.random.default_rng(seed), level)


def fresh_body(setup, arm="panda"):
    return Body(setup.scene, load("arms", arm))


@pytest.mark.parametrize(("task", "level"), LEVELS)
def test_same_seed_same_episode_and_other_seed_another(task, level):
    assert build.__wrapped__(task, level, 7) == build(task, level, 7)
    assert len({repr(build(task, level, seed)) for seed in range(20)}) == 20


@pytest.mark.parametrize(("task", "level"), LEVELS)
def test_objects_are_unique_within_reach_and_apart(task, level):
    for seed in range(40):
        everything = build(task, level, seed).scene.objects
        assert len({p.spec.id for p in everything}) == len(everything)
        on_table = [p for p in everything if p.pos[2] < p.spec.origin_height + 1e-3]
        placements = [p for p in on_table if p.spec.shape not in FIXED_SHAPES]
        for p in placements:
            assert WORKSPACE_X[0] <= p.pos[0] <= WORKSPACE_X[1] and WORKSPACE_Y[0] <= p.pos[1] <= WORKSPACE_Y[1]
            for other in placements:
                gap = np.hypot(p.pos[0] - other.pos[0], p.pos[1] - other.pos[1]) - p.spec.radius - other.spec.radius
                assert p is other or gap > 0.02


@pytest.mark.parametrize("combos", [SEEN, HELD_OUT], ids=["seen", "held out"])
@pytest.mark.parametrize(("task", "level"), LEVELS)
def test_only_allowed_combinations_appear(task, level, combos):
    for seed in range(8):
        scene = load("tasks", task).build(np.random.default_rng(seed), level, combos).scene
        specs = [p.spec for p in scene.objects]
        assert all((spec.color, spec.shape) in combos for spec in specs if not spec.fixture)


@pytest.mark.parametrize("task", TASKS)
def test_every_level_says_what_it_adds(task):
    levels = load("tasks", task).levels
    assert levels and all(levels) and len(set(levels)) == len(levels)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("beyond", [0, 1, -1])
def test_a_level_that_is_not_there_is_told(task, beyond):
    last = len(load("tasks", task).levels)
    with pytest.raises(BadInput, match="level"):
        build(task, last + beyond if beyond > 0 else beyond, 0)


@pytest.mark.parametrize(("task", "level"), LEVELS)
def test_nothing_is_fulfilled_at_the_start_and_the_solver_names_what_there_is(task, level):
    for seed in range(5):
        setup = build(task, level, seed)
        state = fresh_body(setup).state()
        assert setup.goal.progress(state) == 0.0 and not setup.goal.success(state)
        calls = setup.goal.solve(state)
        assert calls[-1].name in ("done", "give_up", "look") and not {"done", "give_up"} & {
            call.name for call in calls[:-1]
        }
        moves = [call.name for call in calls if call.name in ("pick", "place")]
        assert moves == (["pick", "place"] * len(moves))[: len(moves)]
        assert len(calls) <= setup.max_turns
        ids = {p.spec.id for p in setup.scene.objects}
        pointed = [call.args["at"] for call in calls if "at" in call.args]
        assert all(isinstance(at, WorldPoint) or at in ids for at in pointed)
        assert all(WORKSPACE_X[0] - 0.02 < at.x < WORKSPACE_X[1] + 0.02 for at in pointed if isinstance(at, WorldPoint))


def phrases(setup):
    """The instruction and what replaces it on the way."""
    updates = [each for each in setup.events if isinstance(each, InstructionUpdates)]
    return [Phrase(setup.instruction, setup.translations), *(phrase for each in updates for phrase in each.phrases)]


@pytest.mark.parametrize(("task", "level"), LEVELS)
def test_words_are_finished_sentences_and_translations_are_in_their_language(task, level):
    for seed in range(5):
        for phrase in phrases(build(task, level, seed)):
            assert phrase.text and set(phrase.translations) <= {"es", "zh"}
            assert not any(mark in text for text in (phrase.text, *phrase.translations.values()) for mark in "{}")
            assert re.search("[\u4e00-\u9fff]", phrase.translations.get("zh", "\u4e00"))
            assert not re.search("[\u4e00-\u9fff]|[A-Za-z]_", phrase.text + phrase.translations.get("es", ""))


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_translation_is_said_and_not_guessed(task):
    env = ArmEnv(task, cameras=(), perturbations=parse("words:3"))
    spoken = phrases(build(task, 1, 4))
    if all(phrase.translations for phrase in spoken):
        env.reset(seed=4)
        assert env.instruction in spoken[0].translations.values()
    else:
        with pytest.raises(BadInput, match="has no translation"):
            env.reset(seed=4)


@pytest.mark.render
@pytest.mark.parametrize(("task", "level"), LEVELS)
def test_every_object_can_be_seen_and_the_oracle_points_at_it(task, level):
    for seed in range(8):
        body = fresh_body(build(task, level, seed), "panda" if seed % 2 else "ur5e")
        body.segmentation = cache(body.segmentation)  # nothing moves, and each object asks for it again
        seen = body.segmentation("front", (240, 320))
        for index, placement in enumerate(body.scene.objects):
            if placement.spec.shape == "barrier":
                assert not (seen == index).any()  # it waits below the table
                continue
            assert (seen == index).sum() > 60, f"{placement.spec.id} is hidden, seed {seed}"
            point = oracle_point(body, placement.spec.id)
            assert point is not None and point.label == placement.spec.label
            assert seen[int(point.v * 240), int(point.u * 320)] == index


@pytest.mark.render
def test_oracle_calls_point_in_the_cameras_asked_for():
    setup = build("put", 1, 3)
    body, name = fresh_body(setup), setup.scene.objects[0].spec.id
    for camera in ("front", "overhead"):
        call = oracle_call(body, SkillCall("pick", {"at": name}), (camera,))
        assert isinstance(call.args["at"], ImagePoint) and call.args["at"].camera == camera
    assert oracle_call(body, SkillCall("give_up", {"reason": "tired"})).args == {"reason": "tired"}


@pytest.mark.parametrize("task", TASKS_V1)
def test_the_suites_tasks_grow_with_their_levels(task):
    counts = [np.mean([len(build(task, level, s).scene.objects) for s in range(15)]) for level in (1, 2, 3)]
    assert counts == sorted(counts) and counts[2] > counts[0] + 1


@pytest.mark.parametrize(("task", "level"), [each for each in LEVELS if each[0] in TASKS_V1])
def test_the_suites_tasks_have_many_instructions_in_three_languages(task, level):
    assert len({build(task, level, seed).instruction for seed in range(20)}) > 15
    assert all(
        set(phrase.translations) == {"es", "zh"} for seed in range(5) for phrase in phrases(build(task, level, seed))
    )
