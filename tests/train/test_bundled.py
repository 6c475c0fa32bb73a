"""The recipe runs, learns, stops and goes on, and what it writes is loaded as any other checkpoint."""

import json
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch

from qwenarm.errors import BadInput
from qwenarm.mind.open_model import open_model
from qwenarm.mind.prompt.presets import BUNDLED
from qwenarm.train.bundled import ask_all, main, train
from qwenarm.train.config import Config
from qwenarm.train.labels import Pictures
from qwenarm.train.learner import Learner

pytestmark = pytest.mark.render


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of two steps each on a handful of pictures, stopped after the first three and taken up again."""
    folder = Path(tmp_path_factory.mktemp("train"))
    config = Config(out=folder, frames=6, eye_steps=2, reader_steps=1, batch=2, questions=2, save_every=1, device="cpu")
    main(config)
    main(Config(**{**vars(config), "reader_steps": 3}))
    return folder


def test_a_stopped_run_goes_on(out: Path):
    learner = Learner(Config(out=out, device="cpu"))
    learner.load(out / "state.pt")
    assert learner.step == 5
    assert json.loads((out / "config.json").read_text())["reader_steps"] == "3"


def test_the_checkpoint_opens_like_any_other(out: Path):
    backend = open_model(str(out / "checkpoint"))
    assert backend.family.name == "qwen3_vl"
    assert backend.preset == BUNDLED
    assert sum(f.stat().st_size for f in (out / "checkpoint").iterdir()) < 60e6


def test_a_broken_state_is_named(out: Path, tmp_path: Path):
    (tmp_path / "state.pt").write_bytes((out / "state.pt").read_bytes()[:1000])
    with pytest.raises(BadInput, match="is no state"):
        Learner(Config(out=tmp_path, device="cpu")).load(tmp_path / "state.pt")


def test_a_run_can_begin_with_a_checkpoint(out: Path, tmp_path: Path):
    done, fresh = Learner(Config(out=out, device="cpu")), Learner(Config(out=tmp_path, device="cpu", seed=5))
    done.load(out / "state.pt")
    fresh.begin_with(out / "checkpoint")
    for name, master in done.masters.items():
        torch.testing.assert_close(fresh.masters[name], master, atol=1e-3, rtol=2e-3)


def test_settings_that_cannot_work_are_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="multiple"):
        main(Config(out=tmp_path, batch=3, processes=2))


def test_it_learns_one_batch_by_heart(pictures: Pictures, tmp_path: Path):
    """Loss falls, and the supervised heads come to look at what is meant."""
    learner = Learner(Config(out=tmp_path, device="cpu", eye_steps=0, reader_steps=100_000))
    two = Pictures(*(column[:2] for column in astuple(pictures)))
    questions = ask_all(np.random.default_rng(0), two, 3)
    reports = [learner.learn(two, questions) for _ in range(25)]
    assert reports[-1]["loss"] < 0.6 * reports[0]["loss"]
    assert reports[-1]["looking"] > reports[0]["looking"]


def test_bfloat16_model_follows_its_masters(learner: Learner):
    name, master = next(iter(learner.masters.items()))
    torch.testing.assert_close(learner.named[name].float(), master, atol=1e-2, rtol=1e-2)


def test_train_is_what_main_calls(out: Path):
    """A finished run does nothing more."""
    before = (out / "log.jsonl").read_text() if (out / "log.jsonl").exists() else ""
    train(Config(out=out, frames=6, eye_steps=2, reader_steps=3, batch=2, questions=2, device="cpu"))
    assert before == ((out / "log.jsonl").read_text() if (out / "log.jsonl").exists() else "")
