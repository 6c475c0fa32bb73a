"""Reinforcement learning prefers what did better, from what was really drawn, and resumes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qwenarm.cli.main import main
from qwenarm.errors import BadInput, UnknownName
from qwenarm.mind.checkpoints.load import bundled_folder
from qwenarm.mind.open_model import open_model
from qwenarm.train.batches import Example, Reader
from qwenarm.train.learner import Learner, Settings, learning_rate
from qwenarm.train.rl import WARM_UP_STEPS, RlOptions, advantages, log_probabilities, policy_loss, reinforce
from qwenarm.types import RunConfig


@pytest.mark.parametrize("steps", [1, 7, 40, 1000])
@pytest.mark.parametrize("warm_up", [0, WARM_UP_STEPS, 40])
def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero(steps: int, warm_up: int):
    settings = Settings(lr=0.5, steps=steps, warm_up_steps=warm_up)
    rates = [learning_rate(settings, step) for step in range(steps + 1)]
    peak = rates.index(max(rates))
    assert peak <= max(0, min(warm_up, steps // 10) - 1) and rates[peak] == 0.5
    assert rates[: peak + 1] == sorted(rates[: peak + 1]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert min(rates[:-1]) > 0 and rates[-1] == 0


def test_attempts_are_held_against_each_other():
    assert advantages([1.0, 1.0, 1.0]) == [0.0, 0.0, 0.0]
    better, worse = advantages([1.5, 0.5])
    assert better == pytest.approx(1.0) and worse == pytest.approx(-1.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_makes_the_better_answer_likelier(reader: Reader, examples: list[Example], sign: float):
    learner = Learner(bundled_folder(), reader, Settings(lr=2e-3, steps=1000, supervise=False))
    batch = reader.batch(examples[:2], [reader.tokens(example) for example in examples[:2]])
    with torch.no_grad():
        before = log_probabilities(learner, batch)
    for _ in range(3):
        loss, distance = policy_loss(learner, batch, torch.tensor([sign, sign]), before, kl=0.0)
        loss.backward()
        learner.gather_gradients()
        learner.take_step()
    with torch.no_grad():
        after = log_probabilities(learner, batch)
    assert sign * float((after - before).sum()) > 0
    assert distance >= 0


def test_the_penalty_is_zero_at_the_first_model_and_grows_away_from_it(reader: Reader, examples: list[Example]):
    learner = Learner(bundled_folder(), reader, Settings(supervise=False))
    batch = reader.batch(examples[:1], [reader.tokens(examples[0])])
    with torch.no_grad():
        now = log_probabilities(learner, batch)
    assert policy_loss(learner, batch, torch.zeros(1), now, 1.0)[1] == pytest.approx(0, abs=1e-4)
    assert policy_loss(learner, batch, torch.zeros(1), now - 1, 1.0)[1] > 0


def test_a_run_plays_learns_and_goes_on(tmp_path: Path):
    config = RunConfig(model="bundled", combos="seen", task="stack", level=2)
    options = RlOptions(config, ("stack",), tmp_path, iterations=1, scenes=1, attempts=2, watched=1, every=1)
    reinforce(options)
    reinforce(replace(options, iterations=2))
    shutil.rmtree(tmp_path / "checkpoint")  # as if killed right after the last state was saved
    reinforce(replace(options, iterations=2))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2]
    assert all("stack" in line["watched"] for line in lines)
    assert all(line["dropped"] <= 0.1 * (line["decisions"] + line["dropped"]) for line in lines)
    assert open_model(str(tmp_path / "checkpoint")).preset.name == "bundled"


def test_the_command_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", "rl", "--quick", "--task", "put", "--out", str(tmp_path)]) == 0
    assert str(tmp_path / "checkpoint") in capsys.readouterr().out.replace("\n", "")


def test_a_group_of_one_cannot_be_compared(tmp_path: Path):
    with pytest.raises(BadInput, match="2 attempts"):
        reinforce(RlOptions(RunConfig(), ("put",), tmp_path, attempts=1))


@pytest.mark.parametrize(("task", "level", "told"), [("nosuch", 1, "nosuch"), ("put", 9, "level 9")])
def test_what_cannot_be_played_is_told_before_anything_is_made(tmp_path: Path, task: str, level: int, told: str):
    options = RlOptions(RunConfig(model="bundled", level=level), ("stack", task), tmp_path / "rl")
    with pytest.raises((BadInput, UnknownName), match=told):
        reinforce(options)
    assert not (tmp_path / "rl").exists()
