"""The skills carry what the solvers say to success: a sample of every task, level and arm (the long one: -m slow)."""

import numpy as np
import pytest

from qwenarm import skills
from qwenarm.body.simulation import Body
from qwenarm.env import ArmEnv
from qwenarm.registry import list_names, load
from qwenarm.tasks import oracle_call

pytestmark = pytest.mark.render
CASES = [(task, level) for task in list_names("tasks") for level in range(1, len(load("tasks", task).levels) + 1)]


def solve(task, level, arm, seed):
    """Plays an episode; returns success, the reasons of the calls that failed, and the progress after each."""
    env = ArmEnv(task, arm, level, cameras=())
    env.reset(seed=seed)
    setup, body, reasons, progress = env.setup, env.body, [], [0.0]
    assert setup.goal is not None
    for _ in range(setup.max_turns):
        call = setup.goal.solve(body.state())[0]
        motion = skills.run(body, oracle_call(body, call, ("front", "overhead")))
        while True:
            try:
                body.step(next(motion))
            except StopIteration as end:
                reasons += [] if end.value.ok else [f"{call.name} {call.args}: {end.value.detail}"]
                break
        progress.append(setup.goal.progress(body.state()))
        if call.name in ("done", "give_up"):
            break
    for _ in range(10):
        body.step(body.hold())
    success = setup.goal.success(body.state())
    body.close()
    return success, reasons, progress


@pytest.mark.parametrize(("task", "level"), CASES)
def test_the_oracle_succeeds_by_progress_that_never_falls(task, level):
    arm = ("panda", "ur5e")[level % 2]
    success, reasons, progress = solve(task, level, arm, seed=level)
    assert success and not reasons
    assert progress == sorted(progress) and progress[-1] == 1.0


@pytest.mark.parametrize("arm", list_names("arms"))
def test_every_arm_puts_one_thing_in_another(arm):
    assert solve("put", 1, arm, seed=3)[:2] == (True, [])


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["panda", "ur5e"])
@pytest.mark.parametrize(("task", "level"), CASES)
def test_the_oracle_hardly_ever_fails(task, level, arm):
    played = [solve(task, level, arm, seed)[0] for seed in range(40)]
    assert np.mean(played) >= 0.95, f"seeds {[seed for seed, success in enumerate(played) if not success]}"


def test_same_seed_same_bits():
    ends = []
    for _ in range(2):
        setup = load("tasks", "put").build(np.random.default_rng(5), 1)
        body = Body(setup.scene, load("arms", "panda"))
        motion = skills.run(body, oracle_call(body, setup.goal.solve(body.state())[0]))
        for control in motion:
            body.step(control)
        ends.append(body.final_hash())
    assert ends[0] == ends[1]
