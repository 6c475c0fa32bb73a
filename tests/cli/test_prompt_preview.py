"""What `qwenarm prompt` prints is what the model reads."""

import json

import numpy as np
import pytest
from PIL import Image
from tests.mind.conftest import save

from qwenarm.cli.main import main
from qwenarm.cli.prompt_preview import memory_line, read_prompt, save_frames
from qwenarm.episode.drive import drive
from qwenarm.errors import ModelUnavailable, UnknownName
from qwenarm.factory import perform
from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.families import MODEL_FAMILIES
from qwenarm.mind.prompt import qwen_vocabulary
from qwenarm.types import RunConfig

pytestmark = pytest.mark.render


def test_it_is_what_the_bundled_model_is_asked():
    config, backend = RunConfig("put"), QwenVL("bundled", device="cpu")
    episode = next(drive([perform(config, 5, backend)], backend))
    turn = episode.turns[0]
    reading = read_prompt(config, 5)
    assert reading.text.replace(" x 48", "") == backend.text_of(turn.prompts[0])
    assert reading.text_tokens + sum(reading.image_tokens) == turn.completions[0].tokens_in
    assert np.array_equal(reading.frames[0][1], turn.prompts[0].images[0])


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("thinking", [False, True])
def test_every_family_without_a_checkpoint(family, thinking):
    reading = read_prompt(RunConfig("put", model=family.name), 1, thinking)
    (name, rgb), (count,) = reading.frames[0], reading.image_tokens
    assert name == "front"
    assert count == rgb.shape[0] * rgb.shape[1] // family.grid**2
    assert reading.text.count(f"<|image_pad|> x {count}") == 1
    assert reading.text.endswith("<think>\n") == (thinking and family.thinking is not None)
    assert ("<function=pick>" in reading.text) == (family.dialect == "xml")
    assert "no checkpoint is at hand" in reading.summary()


def test_tokens_are_those_of_the_real_vocabulary(monkeypatch):
    counted = read_prompt(RunConfig("put", model="qwen3_vl"), 3)
    assert counted.text_tokens == pytest.approx(1495, abs=30)
    monkeypatch.setattr(qwen_vocabulary, "find_spec", lambda name: None)
    estimated = read_prompt(RunConfig("put", model="qwen3_vl"), 3)
    assert estimated.text_tokens == pytest.approx(counted.text_tokens, rel=0.05)
    assert "estimated" in estimated.source and "estimated" not in counted.source


@pytest.mark.parametrize("kind", ["qwen3", "qwen3_vl"])
def test_the_prompt_without_pictures(tmp_path, kind):
    folder = save(tmp_path / kind, kind)
    config = RunConfig("put", policy="state_text", model=f"{folder}#images=no,device=cpu")
    reading = read_prompt(config, 1)
    assert "Scene: " in reading.text and "image_pad" not in reading.text
    assert not reading.frames and not reading.image_tokens and reading.text_tokens > 100


def test_the_prompt_of_a_control(capsys):
    assert main(["prompt", "put", "--model", "qwen3_vl", "--policy", "state_text"]) == 0
    assert "\nScene: " in capsys.readouterr().out
    assert main(["prompt", "put", "--policy", "oracle"]) == 2
    assert "asks no model" in capsys.readouterr().err


def test_the_cameras_that_are_chosen_are_shown():
    reading = read_prompt(RunConfig("put", model="qwen3_vl", cameras="overhead, front"), 1)
    assert [name for name, _ in reading.frames] == ["overhead", "front"]
    assert '"enum": ["overhead", "front"]' in reading.text


def test_frames_are_saved(tmp_path):
    reading = read_prompt(RunConfig("put"), 1)
    (path,) = save_frames(reading, tmp_path / "frames")
    assert np.array_equal(np.asarray(Image.open(path)), reading.frames[0][1])


def test_a_published_id_tells_its_memory():
    assert memory_line("Qwen/Qwen3-VL-4B-Instruct") == "memory  9.5 GB in bfloat16, 3.5 GB in 4-bit"
    assert memory_line("bundled") == ""


def test_the_command(capsys, tmp_path):
    assert main(["prompt", "put", "--altitude", "plan", "--save", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "<|im_start|>assistant" in said
    assert "total  " in said
    assert (tmp_path / "front.png").is_file()


@pytest.fixture(params=["qwen2_5_vl", "qwen3_vl"])
def small(request, tmp_path):
    """A checkpoint that reads at most 256 x 28 x 28 pixels of a frame."""
    folder = save(tmp_path / request.param, request.param)
    path = folder / "preprocessor_config.json"
    size = {"shortest_edge": 1024, "longest_edge": 200704}
    path.write_text(json.dumps({**json.loads(path.read_text()), "size": size}))
    return folder


def test_it_is_what_a_checkpoint_with_limits_of_its_own_is_asked(small):
    config, backend = RunConfig("put", model=str(small)), QwenVL(str(small), device="cpu")
    turn = next(drive([perform(config, 5, backend)], backend)).turns[0]
    reading = read_prompt(config, 5)
    (count,) = reading.image_tokens
    assert reading.text.replace(f" x {count}", "", 1) == backend.text_of(turn.prompts[0])
    assert reading.text_tokens + count == turn.completions[0].tokens_in
    assert reading.sizes[0][0] * reading.sizes[0][1] <= 200704
    assert f"read as {reading.sizes[0][1]} x {reading.sizes[0][0]}, {count} tokens" in reading.summary()


def test_no_weights_are_needed(small):
    with_weights = read_prompt(RunConfig("put", model=str(small)), 1)
    (small / "model.safetensors").unlink()
    assert read_prompt(RunConfig("put", model=str(small)), 1).text == with_weights.text


@pytest.mark.parametrize("model", ["./nosuch", "nosuch", "~/no/such"])
def test_a_folder_that_is_not_there(model):
    with pytest.raises(ModelUnavailable, match="no folder"):
        read_prompt(RunConfig("put", model=model), 0)


@pytest.mark.parametrize("model", ["http://localhost:8000", "nobody/nothing"])
def test_what_has_no_prompt_names_what_has(model):
    with pytest.raises(UnknownName, match="qwen3_vl"):
        read_prompt(RunConfig("put", model=model), 0)
