"""A checkpoint that cannot work is refused at once, in one sentence."""

import json
import shutil
import time

import pytest

from qwenarm.errors import ModelUnavailable
from qwenarm.mind import checkpoints
from qwenarm.mind.backends.qwen_vl import QwenVL
from qwenarm.mind.checkpoints import locate
from qwenarm.mind.presets import BUNDLED, QWEN


@pytest.fixture
def broken(tiny, tmp_path):
    """A copy of the tiny checkpoint, free to be broken."""
    return shutil.copytree(tiny, tmp_path / "copy")


def refusal(source):
    """The message with which a source is refused; it must come quickly and fit on a line."""
    began = time.perf_counter()
    with pytest.raises(ModelUnavailable) as caught:
        QwenVL(str(source))
    assert time.perf_counter() - began < 10
    message = str(caught.value)
    assert "\n" not in message
    return message


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_whole_checkpoint_is_described(tiny):
    found = locate(str(tiny))
    assert found.family.name == "qwen3_vl"
    assert found.preset is QWEN
    assert len(found.sha256) == 64
    assert found.weight_bytes > 100_000


def test_a_checkpoint_may_ask_for_its_preset(broken):
    (broken / "qwenarm.json").write_text('{"preset": "bundled"}')
    assert locate(str(broken)).preset is BUNDLED


def test_missing_folder(tmp_path):
    assert "no folder" in refusal(tmp_path / "nothing")
    assert "no folder" in refusal("a-name-that-is-no-hub-id")


def test_a_folder_without_a_config(tmp_path):
    assert "config.json" in refusal(tmp_path)


def test_a_tokenizer_of_another_model(broken):
    edit(broken / "config.json", image_token_id=7)
    assert "its config.json says 7" in refusal(broken)


def test_a_config_that_is_no_json(broken):
    (broken / "config.json").write_text("{")
    assert "cannot be read" in refusal(broken)
    (broken / "config.json").write_text("[]")
    assert "not a JSON object" in refusal(broken)


def test_another_architecture(broken):
    (broken / "config.json").write_text('{"model_type": "bert"}')
    message = refusal(broken)
    assert "'bert'" in message
    assert "qwen3_vl" in message


@pytest.mark.parametrize("keep", [0, 4, 100, 50_000])
def test_truncated_weights(broken, keep):
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    assert "model.safetensors" in refusal(broken)


def test_no_safetensors(broken):
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    assert "safetensors" in refusal(broken)


def test_a_missing_shard(broken):
    (broken / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}')
    assert "incomplete" in refusal(broken)


def test_weights_of_another_shape(broken):
    config = json.loads((broken / "config.json").read_text())
    config["text_config"]["intermediate_size"] *= 2
    edit(broken / "config.json", **config)
    assert "cannot be loaded" in refusal(broken)


def test_weights_that_lack_a_layer(broken):
    config = json.loads((broken / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    edit(broken / "config.json", **config)
    assert "lacks" in refusal(broken)


def test_no_tokenizer(broken):
    (broken / "tokenizer.json").unlink()
    assert "tokenizer.json" in refusal(broken)


def test_a_tokenizer_that_is_no_json(broken):
    (broken / "tokenizer.json").write_text("{")
    assert "processor" in refusal(broken)


def test_no_image_settings(broken):
    (broken / "preprocessor_config.json").unlink()
    assert "preprocessor_config.json" in refusal(broken)


def test_no_chat_template(broken):
    (broken / "chat_template.jinja").unlink()
    assert "chat template" in refusal(broken)


def test_the_hub_is_out_of_reach(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    message = refusal("nobody/no-such-model")
    assert "'nobody/no-such-model'" in message
    assert "cache" in message


def test_the_bundled_model_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "bundled_folder", lambda: tmp_path)
    assert "qwenarm train bundled" in refusal("bundled")


def test_the_bundled_model_has_its_preset(monkeypatch, tiny):
    monkeypatch.setattr(checkpoints, "bundled_folder", lambda: tiny)
    assert locate("bundled").preset is BUNDLED
