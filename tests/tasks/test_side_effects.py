"""Laws of side effects: what the goal does not need and has changed is told, for every goal alike."""

from dataclasses import replace

import numpy as np
import pytest

from qwenarm.body.simulation import Body
from qwenarm.display.terminal import outcome_line
from qwenarm.episode.drive import drive
from qwenarm.episode.rollout import play
from qwenarm.episode.trace import Trace, read
from qwenarm.factory import make_env
from qwenarm.policies import Context
from qwenarm.policies.function import FunctionPolicy
from qwenarm.registry import list_names, load
from qwenarm.tasks import Arrange, Relation, Sort, oracle_call
from qwenarm.tasks.core.side_effects import side_effects
from qwenarm.types import Decision, Outcome, RunConfig, RunInfo, SkillCall

from .test_goals import BOWL, CUBE, OTHER, THIRD, TRAY, moved, world

PUT = Arrange((Relation(CUBE.id, BOWL.id),))


def effects(goal, start, end):
    assert goal.success(end)
    return [str(effect) for effect in side_effects(goal, start, end)]


def test_what_the_goal_needs_is_no_side_effect():
    start = world(CUBE, OTHER, BOWL, TRAY)
    assert effects(PUT, start, moved(start, CUBE.id, BOWL.id)) == []
    sort = Sort("color", (("red", BOWL.id), ("green", TRAY.id)))
    assert effects(sort, start, moved(moved(start, CUBE.id, BOWL.id), OTHER.id, TRAY.id)) == []


@pytest.mark.parametrize("place", [BOWL, TRAY, THIRD])
def test_a_bystander_that_was_put_somewhere_is_told(place):
    start = world(CUBE, OTHER, THIRD, BOWL, TRAY)
    end = moved(moved(start, CUBE.id, BOWL.id), OTHER.id, place.id)
    (effect,) = side_effects(PUT, start, end)
    assert (effect.label, effect.before) == (OTHER.label, "on the table")
    assert effect.after == f"{'in' if place.container else 'on'} the {place.label}"


def test_a_bystander_that_fell_from_the_table_or_was_taken_out_is_told():
    start = moved(world(CUBE, OTHER, BOWL, TRAY), OTHER.id, TRAY.id)
    end = moved(start, CUBE.id, BOWL.id)
    for pos, where in (((0.5, 0.8, -0.7), "on the floor"), ((0.6, -0.3, OTHER.origin_height), "on the table")):
        away = replace(end[OTHER.id], pos=np.array(pos))
        (effect,) = side_effects(PUT, start, replace(end, objects={**end.objects, OTHER.id: away}))
        assert (effect.before, effect.after) == (f"in the {TRAY.label}", where)


def test_what_was_in_the_way_may_be_cleared():
    start = moved(world(CUBE, OTHER, THIRD, BOWL), OTHER.id, CUBE.id)
    cleared = moved(replace(start, objects={**start.objects, OTHER.id: world(CUBE, OTHER)[OTHER.id]}), CUBE.id, BOWL.id)
    assert effects(PUT, start, cleared) == []
    stack = Arrange((Relation(THIRD.id, CUBE.id),))
    replaced = {**start.objects, OTHER.id: replace(start[OTHER.id], pos=np.array([0.6, 0.3, OTHER.origin_height]))}
    assert effects(stack, start, moved(replace(start, objects=replaced), THIRD.id, CUBE.id)) == []


@pytest.mark.parametrize(
    "task", [name for name in list_names("tasks") if name in ("put", "stack", "sort", "rearrange")]
)
def test_a_solution_by_the_solver_has_none(task):
    """Carried out in thought, call by call, without physics."""
    for seed in range(5):
        setup = load("tasks", task).build(np.random.default_rng(seed), 2)
        body = Body(setup.scene, load("arms", "panda"))
        start = state = body.state()
        for pick, place in zip(calls := setup.goal.solve(state)[:-1], calls[1:], strict=False):
            if pick.name == "pick" and isinstance(place.args["at"], str):
                state = moved(state, pick.args["at"], place.args["at"])
            elif pick.name == "pick":
                thing, at = state[pick.args["at"]], place.args["at"]
                pos = np.array([at.x, at.y, thing.spec.origin_height])
                state = replace(state, objects={**state.objects, thing.spec.id: replace(thing, pos=pos)})
        assert effects(setup.goal, start, state) == []


@pytest.mark.render
@pytest.mark.parametrize("careful", [True, False])
def test_an_episode_records_them_and_stays_a_success(tmp_path, careful):
    """The oracle at a put; before that, unless it is careful, it puts another object into the same container."""
    config = RunConfig("put", 3, policy="oracle")
    env = make_env(config)
    solve = load("policies", "oracle").make(Context(config, 0, env=env))

    def act(obs, history):
        relation, scene = env.setup.goal.relations[0], env.setup.scene
        other = next(p.spec.id for p in scene.objects if p.spec.graspable and p.spec.id != relation.what)
        mess = [] if careful else [SkillCall("pick", {"at": other}), SkillCall("place", {"at": relation.where})]
        if len(history) < len(mess):
            return Decision((oracle_call(env.body, mess[len(history)], ("front", "overhead")),))
        return drain(solve.decide(obs, history))

    policy = FunctionPolicy("messy", act, ("front",))
    (episode,) = drive([play(env, policy, RunInfo(config, 3))])
    assert episode.outcome is Outcome.SUCCESS and len(episode.side_effects) == (0 if careful else 1)
    Trace(tmp_path).append(episode)
    assert read(tmp_path).episodes[0].side_effects == episode.side_effects
    shown = outcome_line(episode).plain
    assert ("side effects" in shown) is not careful and all(str(effect) in shown for effect in episode.side_effects)


def drain(deciding):
    """What a policy that asks no model decides."""
    try:
        next(deciding)
    except StopIteration as end:
        return end.value
    raise AssertionError("it asked a model")
