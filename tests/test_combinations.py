"""Whatever the registry offers goes together, or is refused in one sentence that names what does."""

import re
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import qwenarm as qa
from qwenarm.api.evaluations import plan_evaluation
from qwenarm.env import ArmEnv
from qwenarm.errors import BadInput, QwenarmError
from qwenarm.evaluation.evaluate import Begun, evaluate, plan
from qwenarm.factory import make_env, prepare
from qwenarm.registry import list_names, load
from qwenarm.types import RunConfig

LIMITED_ARM = "so101"
"""It does not reach all of the table, so that scenes are drawn again and again until they fit: its last levels take
seconds, and only its first are tried."""


def listed(refusal: BaseException) -> list[str]:
    """The names that a refusal ends with, after checking that it is one sentence about what was asked and these."""
    (names,) = re.findall(r"^[^.]+\. Arms that can: ([\w, ]+)\.$", str(refusal))
    return names.split(", ")


@pytest.mark.parametrize("arm", list_names("arms"))
@pytest.mark.parametrize("task", list_names("tasks"))
def test_an_arm_gets_a_scene_in_which_nothing_moves_or_hears_which_arms_do(arm: str, task: str) -> None:
    levels = range(1, 2 if arm == LIMITED_ARM else len(load("tasks", task).levels) + 1)
    for level in levels:
        config = RunConfig(task, level, arm, policy="idle")
        try:
            setup = prepare(config, 0)
        except BadInput as refusal:
            assert arm not in (others := listed(refusal)) and others
            assert prepare(RunConfig(task, level, others[-1], policy="idle"), 0).instruction
            continue
        if level == 1:
            with closing(make_env(config)) as env:
                env.reset(seed=0, options={"setup": setup})
                before = env.body.qpos.copy()
                env.body.step(env.body.hold())
                assert not env.body.clamps and np.abs(env.body.qpos - before).max() < 0.01
                assert set(env.body.state().objects) == {each.spec.id for each in setup.scene.objects}


@pytest.mark.parametrize("policy", [*list_names("policies"), "ws://localhost:1", "zmq://localhost:1", "nobody"])
@pytest.mark.parametrize("altitude", ["step", "plan", "chunk", "high"])
@pytest.mark.parametrize("control", ["", "osc", "joints"])
def test_who_decides_what_is_told_before_anything_is_opened(policy: str, altitude: str, control: str) -> None:
    config = RunConfig(policy=policy, altitude=altitude, control=control)
    fits = policy != "nobody" and altitude != "high" and not control
    fits = fits and (altitude != "chunk" or not policy.endswith("state_text"))
    if fits:
        assert prepare(config, 0).goal is not None
        return
    with pytest.raises(QwenarmError, match=r"^[^.]+(\. Valid: |\. Policies: |, such as libero_|, behind ws://).+\.$"):
        prepare(config, 0)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"clock": "slow"}, "latency:SECONDS"),
        ({"cameras": "rear"}, "overhead"),
        ({"altitude": "chunk", "cameras": "front"}, "leave out --cameras"),
        ({"combos": "rare"}, "unseen"),
        ({"perturbations": (("wind", 1),)}, "layout"),
        ({"perturbations": (("look", 4),)}, "0 to 3"),
        ({"level": 9}, "it has 1 to 3"),
    ],
)
def test_each_choice_is_checked_for_every_policy(asked: dict[str, Any], told: str) -> None:
    for policy in ("vlm", "oracle"):
        if policy == "vlm" or "altitude" not in asked:
            with pytest.raises(QwenarmError, match=told):
                prepare(RunConfig(policy=policy, **asked), 0)


def test_an_evaluation_of_scenes_that_do_not_fit_is_refused_before_it_begins() -> None:
    with pytest.raises(BadInput, match=r"seed 100000\d"):
        plan(RunConfig(arm=LIMITED_ARM, policy="oracle"), tasks="deliver", seeds=2)


def test_scenes_in_the_ledger_are_known_to_fit_and_new_ones_are_still_refused(tmp_path: Path) -> None:
    config = RunConfig(arm=LIMITED_ARM, policy="idle")
    asked: dict[str, Any] = {"config": config, "tasks": "sort", "level": 2, "controls": "none", "folder": tmp_path}
    ledger = tmp_path / "episodes.jsonl"
    list(evaluate(plan_evaluation(**asked, seeds=2)[0], tmp_path))
    played = ledger.read_bytes()
    with patch.object(ArmEnv, "build", side_effect=AssertionError("was built before")):
        (begun,) = evaluate(plan_evaluation(**asked, seeds=2)[0], tmp_path)
    assert isinstance(begun, Begun) and len(begun.rows) == begun.total == 2
    refused: list[dict[str, Any]] = [{}, {"tasks": "deliver"}, {"level": 9}, {"tasks": "x"}]
    for more in refused:
        with pytest.raises(QwenarmError, match=r"seed 1000002|deliver|no level 9|'x'"):
            plan_evaluation(**asked | more, seeds=3)
    assert ledger.read_bytes() == played


def test_a_refused_policy_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QwenarmError, match="localhost:1"):
        qa.run(policy="ws://localhost:1", film=False)
    with pytest.raises(QwenarmError, match="no fingers"):
        qa.run(policy="oracle", arm="ur5e_suction", task="tidy", film=False)
    assert not list(tmp_path.iterdir())
