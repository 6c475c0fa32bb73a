"""Fine-tuning learns, stops and goes on to the bit, and writes checkpoints that open anywhere."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, Qwen3VLForConditionalGeneration

from qwenarm.cli.main import main
from qwenarm.errors import BadInput
from qwenarm.mind.checkpoints.load import bundled_folder
from qwenarm.mind.open_model import open_model
from qwenarm.train.batches import Example, Reader
from qwenarm.train.curve import draw_curve
from qwenarm.train.dataset import Shard
from qwenarm.train.learner import Learner, Settings
from qwenarm.train.sft import Corpus, SftOptions, exactness, fine_tune

SETTINGS = Settings(steps=4)


def options(folder: Path, out: Path, **changed: Any) -> SftOptions:
    return replace(SftOptions((folder,), out, held_out=(folder,), batch=4, every=2, settings=SETTINGS), **changed)


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = Path(tmp_path_factory.mktemp("sft"))
    fine_tune(options(folder, out))
    return out


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[int, object], None]]:
    """Presses Ctrl-C, which a program in the background of a shell would not hear."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda step, report: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_stopped_in_any_way_a_run_goes_on_to_the_bit(
    run: Path, folder: Path, tmp_path: Path, ctrl_c: Callable[[int, object], None]
):
    """Ctrl-C saves the step under way; after a crash the last saved step is the beginning."""
    unwatched = options(folder, tmp_path, held_out=())

    class Crash(Exception): ...

    def crash_after_three(step: int, report: object) -> None:
        if step == 3:
            raise Crash

    with pytest.raises(KeyboardInterrupt):
        fine_tune(unwatched, ctrl_c)
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["step"] == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(Crash):
        fine_tune(unwatched, crash_after_three)
    fine_tune(unwatched)
    whole, resumed = (torch.load(out / "state.pt", weights_only=True) for out in (run, tmp_path))
    assert whole["step"] == resumed["step"] == 4
    assert all(torch.equal(whole["masters"][name], weight) for name, weight in resumed["masters"].items())


def test_killed_while_it_wrote_its_last_checkpoint_a_run_writes_it_again(run: Path, folder: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "run")
    weights = tmp_path / "run" / "checkpoint" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    fine_tune(options(folder, tmp_path / "run"))
    assert weights.read_bytes() == (run / "checkpoint" / weights.name).read_bytes()


def test_ctrl_c_twice_stops_at_once(folder: Path, tmp_path: Path, ctrl_c: Callable[[int, object], None]):
    with pytest.raises(KeyboardInterrupt):
        fine_tune(options(folder, tmp_path, every=4), lambda *told: [ctrl_c(*told) for _ in range(2)])
    assert not (tmp_path / "state.pt").exists()


def test_the_checkpoint_opens_here_and_in_plain_transformers(run: Path):
    backend = open_model(str(run / "checkpoint"))
    assert backend.family.name == "qwen3_vl" and backend.preset.name == "bundled"
    model = AutoModelForImageTextToText.from_pretrained(run / "checkpoint")
    assert sum(weight.numel() for weight in model.parameters()) > 9e6


def test_the_log_tells_of_held_out_decisions_and_becomes_a_picture(run: Path):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    looks = [line["held_out"] for line in lines if "held_out" in line]
    assert set(looks[-1]) == {"put", "rearrange", "parcels"}
    assert looks[-1]["put"]["exact"] > 0.5  # it starts from a model that knows this task
    assert draw_curve(run).stat().st_size > 10_000


@pytest.mark.slow
def test_two_processes_take_the_same_steps_together(folder: Path, tmp_path: Path):
    fine_tune(options(folder, tmp_path, processes=2, held_out=(), settings=Settings(steps=2)))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 2


def test_options_that_cannot_work_are_refused(folder: Path, tmp_path: Path):
    with pytest.raises(BadInput, match="multiple"):
        fine_tune(options(folder, tmp_path, batch=3, processes=2))
    with pytest.raises(BadInput, match="--mix names fly"):
        fine_tune(options(folder, tmp_path, mix={"fly": 2.0}))


def test_a_state_of_other_settings_is_named(run: Path, folder: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "run")
    with pytest.raises(BadInput, match="use another --out"):
        fine_tune(options(folder, tmp_path / "run", settings=Settings(steps=6, optimizer="adamw")))


def test_missed_decisions_are_drawn_more_often_and_tasks_as_often_as_the_mix_says(shards: list[Shard], reader: Reader):
    corpus = Corpus(shards, reader, {"put": 2.0})
    put, others = ([i for i, task in enumerate(corpus.tasks) if (task == "put") == own] for own in (True, False))
    corpus.note(put, [1.0] + [0.0] * (len(put) - 1))
    drawn = corpus.draw([0], 4000)
    assert sum(index in put for index in drawn) / 4000 == pytest.approx(2 / (2 + len(set(corpus.tasks)) - 1), abs=0.05)
    assert drawn.count(put[0]) == pytest.approx(11 * drawn.count(put[1]), rel=0.4)
    corpus.note(put, [0.0] * len(put))
    assert corpus.draw([0], 4000) != drawn
    assert min(map(corpus.draw([0], 4000).count, others)) > 0  # nothing is given up


@pytest.fixture
def learner(reader: Reader) -> Learner:
    return Learner(bundled_folder(), reader, Settings(steps=1000, lr=4e-3))


@pytest.mark.slow
def test_it_learns_a_few_decisions_by_heart(learner: Learner, shards: list[Shard]):
    """Loss falls, answers are exact, and the supervised heads come to look where they should."""
    corpus = Corpus([shard for shard in shards if shard.head["task"] == "rearrange"], learner.reader, {})
    batches = corpus.batches(range(4))
    reports = [learner.learn(batches) for _ in range(20)]
    assert reports[-1]["words"] < 0.5 * reports[0]["words"]
    assert reports[-1]["cells"] > reports[0]["cells"]
    assert exactness(learner, batches)["exact"] == 1


def test_in_eye_steps_only_the_vision_tower_learns(shards: list[Shard], reader: Reader):
    learner = Learner(bundled_folder(), reader, Settings(steps=200, eye_steps=100))
    learner.step = 80  # the heads are no longer alone
    before = {name: master.detach().clone() for name, master in learner.masters.items()}
    corpus = Corpus(shards, reader, {})
    report = learner.learn(corpus.batches([corpus.tasks.index("parcels"), corpus.tasks.index("put")]))
    moved = {name for name, master in learner.masters.items() if not torch.equal(master, before[name])}
    assert set(report) == {"eye"} and not learner.misses
    assert moved and all(".visual." in name for name in moved)


def test_it_computes_what_transformers_does(learner: Learner, examples: list[Example]):
    """In float32: of a decision with two pictures, as it is padded in a batch."""
    pair = [next(e for e in examples if len(e[1]["images"]) == 2), examples[0]]
    tokens = [learner.reader.tokens(example) for example in pair]
    plain: Any = Qwen3VLForConditionalGeneration.from_pretrained(bundled_folder(), dtype=torch.float32)
    for name, weight in learner.weights.items():
        weight.data = dict(plain.named_parameters())[name].data.clone()
    with torch.no_grad():
        ours = learner.forward(learner.reader.batch(pair, tokens))[0]
        for own, example, found in zip(tokens, pair, ours, strict=True):
            alone = learner.reader.batch([example], [own])
            moments = alone.pixels.view(-1, 3, 1, alone.pixels.shape[1] // 3).expand(-1, -1, 2, -1)
            theirs = plain.model(
                input_ids=alone.ids, pixel_values=moments.reshape(len(moments), -1), image_grid_thw=alone.grids,
                mm_token_type_ids=(alone.ids == learner.reader.image).long(), use_cache=False,
            ).last_hidden_state[0]  # fmt: skip
            torch.testing.assert_close(found[: len(own.ids)], theirs, atol=2e-4, rtol=1e-3)


@pytest.mark.render
def test_the_commands_work_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data, out = str(tmp_path / "data"), str(tmp_path / "sft")
    assert main(["collect", "--task", "put", "--quick", "--out", data]) == 0
    assert main(["data", "check", data]) == 0
    assert main(["data", "show", data]) == 0
    assert "decisions 6" in capsys.readouterr().out, "no column is cut off"
    assert main(["train", "sft", "--quick", "--data", data, "--out", out]) == 0
    first = capsys.readouterr()
    assert "Loading" not in first.err and "before" not in first.out
    assert main(["train", "sft", "--quick", "--data", data, "--out", out]) == 0
    assert "a larger --steps goes on from there" in capsys.readouterr().out
    assert (tmp_path / "sft" / "curve.png").exists()
    assert main(["train", "sft", "--mix", "put=much", "--data", data]) == 2
    capsys.readouterr()
