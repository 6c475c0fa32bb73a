"""Demonstrations are asked exactly as a model is when it acts, are complete, and are collected once."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwenarm.episode.drive import play_alone
from qwenarm.episode.rollout import play
from qwenarm.errors import BadInput
from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.factory import COMBINATION_SETS, make_env
from qwenarm.mind.families import family_named
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.vlm_policy import VlmPolicy
from qwenarm.registry import load
from qwenarm.skills import specs
from qwenarm.tasks.inspect.verdict import read_verdict
from qwenarm.train.batches import Example, Reader
from qwenarm.train.collect import collect_all, plan_jobs
from qwenarm.train.dataset import Shard, problems, read_shards
from qwenarm.train.task_config import UNCHOSEN
from qwenarm.types import Completion, FormatError, Outcome, Prompt, RunConfig, RunInfo

pytestmark = pytest.mark.render
ORACLE = RunConfig(policy="oracle", combos="seen")
ELSEWHERE = replace(load("tasks", "put"), scenes_of="another package")


class Replies:
    """A backend that gives prepared answers and keeps the prompts."""

    thinking = False

    def __init__(self, answers: list[str]) -> None:
        self.family, self.answers, self.prompts = family_named("qwen3_vl"), answers, list[Prompt]()

    def describe(self) -> dict:
        return {}

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        self.prompts += prompts
        return [Completion(self.answers.pop(0)) for _ in prompts]


@pytest.mark.parametrize("task", ["put", "rearrange", "parcels"])
def test_tokens_and_pixels_are_those_of_acting(task: str, shards: list[Shard], reader: Reader):
    (shard,) = (shard for shard in shards if shard.head["task"] == task)
    seed = shard.lines[0]["seed"]
    lines = [line for line in shard.lines if line["seed"] == seed]
    env = make_env(replace(ORACLE, task=task))
    backend = Replies([line["answer"] for line in lines])
    policy = VlmPolicy(backend, specs(), reader.encoder.checkpoint.preset)  # type: ignore[arg-type]
    episode, _ = play_alone(play(env, policy, RunInfo(replace(ORACLE, task=task), seed)), backend)
    env.close()
    assert episode.outcome is Outcome.SUCCESS
    assert len(backend.prompts) == len(lines)
    for prompt, line in zip(backend.prompts, lines, strict=True):
        ids, pixels, _ = reader.encoder.encode(prompt)
        tokens = reader.tokens((shard, line))
        assert tokens.ids[: tokens.answer] == ids
        batch = reader.batch([(shard, line)], [tokens])
        assert pixels is not None and np.array_equal(batch.pixels.numpy(), pixels.numpy())
        assert reader.tokenizer.decode(tokens.ids[tokens.answer :]) == line["answer"] + "<|im_end|>"


def test_every_archive_is_sound(shards: list[Shard]):
    assert not [problem for shard in shards for problem in problems(shard)]
    assert all(shard.head["succeeded"] == shard.head["episodes"] == 2 for shard in shards)


def test_a_changed_picture_and_a_wrong_point_are_found(shards: list[Shard], tmp_path: Path):
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(shards[0].path) as whole, zipfile.ZipFile(broken, "w") as copy:
        names = [name for name in whole.namelist() if name.endswith(".png")]
        for name in whole.namelist():
            copy.writestr(name, whole.read(names[1] if name == names[0] else name))
    lines = [json.loads(json.dumps(line)) for line in shards[0].lines]
    line = next(line for line in lines if line["points"] and line["points"][0][0] >= 0)
    line["points"][0][1:3] = [0.0, 0.0]
    found = list(problems(replace(Shard.read(broken), lines=lines)))
    assert any("not what its name says" in problem for problem in found)
    assert any("is not on the" in problem for problem in found)


def test_what_is_there_is_not_made_again_and_what_is_missing_is_the_same_again(folder: Path, tmp_path: Path):
    jobs = plan_jobs(ORACLE, ["put"], [1], [""], 2)
    assert list(collect_all(jobs, folder)) == []
    assert len(list(collect_all(jobs, tmp_path))) == 1
    (again,) = read_shards([tmp_path])
    assert again.lines == Shard.read(folder / again.path.name).lines


def test_seeds_of_evaluations_are_refused():
    with pytest.raises(BadInput, match="for evaluation"):
        plan_jobs(ORACLE, ["put"], [1], [""], 10, first_seed=FIRST_SEED - 5)
    with pytest.raises(BadInput, match="oracle or vlm"):
        plan_jobs(RunConfig(policy="random"), ["put"], [1], [""], 10)


def test_a_users_own_task_and_perturbations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    jobs = plan_jobs(replace(ORACLE, combos="all"), ["new_task:TASK"], [1], ["", "words:1"], 1)
    assert sum(collect_all(jobs, tmp_path)) > 2
    assert {shard.head["perturbations"] for shard in read_shards([tmp_path])} == {"", "words:1"}


@pytest.mark.parametrize("chosen", COMBINATION_SETS)
def test_combinations_that_were_not_chosen_follow_from_the_task(chosen: str):
    tasks = ["put", f"{__name__}:ELSEWHERE"]
    assert [job.config.combos for job in plan_jobs(replace(ORACLE, combos=chosen), tasks, [1], [""], 1)] == [chosen] * 2
    unchosen = plan_jobs(replace(ORACLE, combos=UNCHOSEN), tasks, [1], [""], 1)
    assert [job.config.combos for job in unchosen] == ["seen", "all"]
    for job in unchosen:
        make_env(job.config).close()


def test_mistakes_are_made_and_put_right(tmp_path: Path):
    """The history shows what went wrong; the answer is always the oracle's."""
    jobs = plan_jobs(ORACLE, ["put"], [1], [""], 4, mistakes=0.6)
    assert sum(collect_all(jobs, tmp_path)) > 12
    (shard,) = read_shards([tmp_path])
    assert not list(problems(shard))
    assert any("failed" in line["messages"][-1]["content"][-1]["text"] for line in shard.lines)


def test_a_wrong_verdict_is_put_right(tmp_path: Path):
    """A learner sees that what was said before may be wrong, and does not learn to repeat it."""
    assert sum(collect_all(plan_jobs(ORACLE, ["inspect"], [1], [""], 2, mistakes=1.0), tmp_path)) > 4
    (shard,) = read_shards([tmp_path])
    for seed in {line["seed"] for line in shard.lines}:
        first, second, *_ = [line for line in shard.lines if line["seed"] == seed]
        (right,) = parse(first["answer"], specs(), family_named("qwen3_vl"), {"front": (192, 256)}).calls
        said = second["messages"][-1]["content"][-1]["text"].split("History: ")[1].split("}")[0] + "}"
        assert read_verdict(said) is not None and read_verdict(said) != read_verdict(str(right.args["text"]))


def test_a_models_decisions_are_put_right(tmp_path: Path):
    jobs = plan_jobs(RunConfig(policy="vlm", model="bundled", combos="seen"), ["put"], [1], [""], 2, 2)
    assert sum(collect_all(jobs, tmp_path)) >= 6
    (shard,) = read_shards([tmp_path])
    for line in shard.lines:
        decision = parse(line["said"], specs(), family_named("qwen3_vl"), {"front": (192, 256)})
        assert decision.error is not FormatError.EMPTY
        assert line["answer"].startswith("<tool_call>")
    assert shard.head["policy"] == "vlm"


def test_a_plan_is_all_the_calls_that_are_left(tmp_path: Path):
    jobs = plan_jobs(replace(ORACLE, altitude="plan"), ["put"], [1], [""], 1)
    assert sum(collect_all(jobs, tmp_path)) >= 1
    (shard,) = read_shards([tmp_path])
    first = shard.lines[0]["answer"]
    assert first.count("<tool_call>") == 3 and first.rindex('"done"') > first.rindex('"place"')


def test_a_drawer_is_pulled_open(tmp_path: Path):
    jobs = plan_jobs(ORACLE, ["tidy"], [2], [""], 1)
    assert sum(collect_all(jobs, tmp_path)) > 4
    (shard,) = read_shards([tmp_path])
    assert shard.head["preset"] == "bundled" and shard.head["succeeded"] == 1
    assert any('"pull"' in line["answer"] for line in shard.lines)


def test_points_and_objects_agree(examples: list[Example], reader: Reader):
    """The cells of what a point means show that object's colour."""
    for shard, line in examples:
        batch = reader.batch([(shard, line)], [reader.tokens((shard, line))])
        for (k, *_), cells in zip(line["points"], batch.meant[0], strict=True):
            assert cells.any()
            if k >= 0:
                color = reader.values["color"][line["objects"][k]["color"]]
                assert (batch.cells["color"][0][cells] == color).all()


@pytest.mark.parametrize(("altitudes", "command"), [((), "collect"), (["chunk"], "collect --altitude chunk")])
def test_where_demonstrations_are_missing_the_command_that_makes_them_is_named(
    tmp_path: Path, altitudes: list[str], command: str
):
    with pytest.raises(BadInput, match=f"`qwenarm {command}` makes some"):
        read_shards([tmp_path], altitudes)


def test_no_folder_of_demonstrations_is_said():
    with pytest.raises(BadInput, match="No folder of demonstrations is named"):
        read_shards([])
