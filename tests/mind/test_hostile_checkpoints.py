"""A checkpoint that would hang the process or fill its memory is refused in one sentence, before anything is built."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.checkpoints import limited
from qwenarm.mind.checkpoints.limited import LimitExceeded, run_limited


@pytest.fixture
def broken(tiny, tmp_path):
    """A copy of the tiny checkpoint, free to be broken."""
    return shutil.copytree(tiny, tmp_path / "copy")


def refusal(source: Path) -> str:
    """The message with which a source is refused; it must come quickly and fit on a line."""
    began = time.process_time()
    with pytest.raises(ModelUnavailable) as caught:
        QwenVL(str(source))
    assert time.process_time() - began < 10
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


def edit(path: Path, *keys: str, value: Any) -> None:
    """Another value at a place in a JSON file; a text is written as it is."""
    held = json.loads(path.read_text()) if path.exists() else {}
    inner = held
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = "SLOT" if isinstance(value, str) else value
    path.write_text(json.dumps(held).replace('"SLOT"', str(value)))


CONFIG = {
    "ten billion layers": (("text_config", "num_hidden_layers"), 10**10),
    "ten billion blocks": (("vision_config", "depth"), 10**10),
    "a wide model": (("text_config", "hidden_size"), 10**6),
    "a long vocabulary": (("text_config", "vocab_size"), 10**12),
    "many experts' worth": (("text_config", "intermediate_size"), 10**12),
    "a wide vision tower": (("vision_config", "hidden_size"), 10**6),
    "a patch as large as a city": (("vision_config", "patch_size"), 10**6),
    "a long time": (("vision_config", "temporal_patch_size"), 10**9),
    "many positions": (("vision_config", "num_position_embeddings"), 10**12),
    "a merge of everything": (("vision_config", "spatial_merge_size"), 10**6),
    "NaN": (("text_config", "rms_norm_eps"), "NaN"),
    "infinity": (("text_config", "rms_norm_eps"), "Infinity"),
    "a number beyond all": (("text_config", "rms_norm_eps"), "1e400"),
    "an unknown quantisation": (("quantization_config",), {"quant_method": "magic"}),
    "a quantisation that is none": (("quantization_config",), [4]),
    "a negative end": (("eos_token_id",), -1),
    "an end that is no number": (("eos_token_id",), ["x"]),
}


@pytest.mark.parametrize("name", CONFIG)
def test_numbers_of_another_world(broken, name):
    place, value = CONFIG[name]
    edit(broken / "config.json", *place, value=value)
    assert repr(str(broken)) in refusal(broken)


@pytest.mark.parametrize("value", [-1, [2**40], "true", ["x"], {"a": 1}], ids=str)
def test_ends_that_are_no_tokens(broken, value):
    edit(broken / "generation_config.json", "eos_token_id", value=value)
    assert "eos_token_id" in refusal(broken)


IMAGES = {
    "enlarged without end": ("size", {"shortest_edge": 10**9, "longest_edge": 10**10}),
    "in the older spelling": ("size", {"min_pixels": 10**9, "max_pixels": 10**10}),
    "an edge that is no number": ("size", {"shortest_edge": "much", "longest_edge": 10**6}),
    "divided by zero": ("image_std", [0.5, 0, 0.5]),
    "no deviation": ("image_std", 0),
    "a mean for two channels": ("image_mean", [0.5, 0.5]),
    "a mean that is no number": ("image_mean", "[NaN, 0.5, 0.5]"),
    "a patch as large as a city": ("patch_size", 10**6),
    "a long time": ("temporal_patch_size", 10**9),
    "a merge of everything": ("merge_size", 10**6),
}


@pytest.mark.parametrize("name", IMAGES)
def test_pictures_of_another_world(broken, name):
    key, value = IMAGES[name]
    edit(broken / "preprocessor_config.json", key, value=value)
    assert "preprocessor_config.json" in refusal(broken)


ENDLESS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "one long text": "{{ 'a' * 99999999999 }}",
    "a text that doubles": "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x * 2 %}{% endfor %}",
    "much to read": "{% for a in range(99999) %}{{ 'a' * 999 }}{% endfor %}",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_without_end(broken, monkeypatch, name):
    monkeypatch.setattr(limited, "MAX_CPU_S", 1)
    path = broken / "chat_template.jinja"
    path.write_text(ENDLESS[name] + path.read_text())
    assert "chat_template.jinja" in refusal(broken)


def test_a_tokenizer_whose_texts_grow(broken):
    doubled = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    edit(broken / "tokenizer.json", "normalizer", value={"type": "Sequence", "normalizers": [doubled] * 60})
    assert "tokenizer.json" in refusal(broken)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("/nowhere"),
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors", "more.json"]
)
@pytest.mark.parametrize("kind", SPECIAL)
def test_only_regular_files_are_opened(broken, name, kind):
    (broken / name).unlink(missing_ok=True)
    SPECIAL[kind](broken / name)
    assert f"{name} of" in refusal(broken)


def test_links_to_regular_files_are_what_the_hub_s_cache_has(broken, tmp_path):
    for path in list(broken.iterdir()):
        if path.is_file():
            path.rename(tmp_path / path.name)
            path.symlink_to(tmp_path / path.name)
    assert QwenVL(str(broken)).opening == ""


def test_what_runs_under_limits_returns_or_says_why(monkeypatch):
    assert run_limited(lambda: "yes\n" * 100_000) == "yes\n" * 100_000
    with pytest.raises(ValueError, match="division by zero"):
        run_limited(lambda: str(1 / 0))
    with pytest.raises(LimitExceeded):
        run_limited(lambda: "x" * (limited.MAX_MEMORY_BYTES + 1))
    monkeypatch.setattr(limited, "MAX_WALL_S", 0.2)
    with pytest.raises(LimitExceeded):
        run_limited(lambda: str(time.sleep(60)))
