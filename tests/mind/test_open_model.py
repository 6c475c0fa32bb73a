"""One word opens a model."""

import subprocess
import sys

import pytest

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.checkpoints import load as checkpoints
from qwenarm.mind.open_model import list_models, open_model
from qwenarm.mind.prompt.presets import BUNDLED_PRESET, QWEN_PRESET


def test_a_folder(tiny):
    model = open_model(str(tiny), device="cpu")
    assert (model.name, model.family.name, model.preset) == (str(tiny), "qwen3_vl", QWEN_PRESET)


def test_the_bundled_model(tiny, monkeypatch):
    monkeypatch.setattr(checkpoints, "bundled_folder", lambda: tiny)
    assert open_model("bundled", device="cpu").preset is BUNDLED_PRESET


def test_a_script(tmp_path):
    (tmp_path / "replies.jsonl").write_text('"one"\n')
    model = open_model(f"scripted:{tmp_path / 'replies.jsonl'}", family="qwen3_5")
    assert model.describe()["replies"] == 1
    assert model.family.name == "qwen3_5"


def test_a_server_that_is_down():
    with pytest.raises(ModelUnavailable, match="Is the server running"):
        open_model("http://127.0.0.1:9#qwen", backoff_s=0.01)


def test_an_unknown_option(tmp_path):
    (tmp_path / "replies.jsonl").write_text('"one"\n')
    with pytest.raises(BadInput, match="speed"):
        open_model(f"scripted:{tmp_path / 'replies.jsonl'}", speed=3)


def test_every_way_to_name_a_model_is_listed():
    listed = list_models()
    assert {"bundled", "./folder", "http://localhost:8000", "scripted:FILE", "module:NAME"} <= set(listed)
    assert all(len(words.split()) > 2 for words in listed.values())


def test_what_does_not_run_a_model_needs_no_torch():
    code = (
        "import sys, qwenarm.mind.open_model, qwenarm.mind.vlm_policy, qwenarm.mind.prompt.messages;"
        "import qwenarm.mind.backends.scripted;"
        "print([name for name in ('torch', 'transformers', 'mujoco', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
