"""A checkpoint that cannot work is refused at once, in one sentence."""

import json
import shutil
import time

import pytest

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.checkpoints import load as checkpoints
from qwenarm.mind.checkpoints.load import first_line, is_cached, locate
from qwenarm.mind.inference.preprocessing import PromptEncoder
from qwenarm.mind.prompt.chat_templates import TEMPLATE_FILES
from qwenarm.mind.prompt.presets import BUNDLED_PRESET, QWEN_PRESET


@pytest.fixture
def broken(tiny, tmp_path):
    """A copy of the tiny checkpoint, free to be broken."""
    return shutil.copytree(tiny, tmp_path / "copy")


def refusal(source):
    """The message with which a source is refused; it must come quickly and fit on a line."""
    began = time.process_time()
    with pytest.raises(ModelUnavailable) as caught:
        QwenVL(str(source))
    assert time.process_time() - began < 10
    message = str(caught.value)
    assert "\n" not in message
    return message


def edit(path, **changes):
    held = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**held, **changes}))


def test_a_whole_checkpoint_is_described(tiny):
    found = locate(str(tiny))
    assert found.family.name == "qwen3_vl"
    assert found.preset is QWEN_PRESET
    assert len(found.sha256) == 64
    assert found.weight_bytes > 100_000


def test_a_checkpoint_may_ask_for_its_preset(broken):
    (broken / "qwenarm.json").write_text('{"preset": "bundled"}')
    assert locate(str(broken)).preset is BUNDLED_PRESET


def test_missing_folder(tmp_path):
    assert "no folder" in refusal(tmp_path / "nothing")
    assert "no folder" in refusal("a-name-that-is-no-hub-id")


def test_a_folder_without_a_config(tmp_path):
    assert "config.json" in refusal(tmp_path)


def test_a_tokenizer_of_another_model(broken):
    edit(broken / "config.json", image_token_id=7)
    assert "image_token_id is 7 in its config.json" in refusal(broken)


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


@pytest.mark.parametrize("places", [["a"], {"a": {"b": 1}}, {"a": 1}, "a", None], ids=str)
def test_an_index_that_is_none(broken, places):
    edit(broken / "model.safetensors.index.json", weight_map=places)
    assert "model.safetensors.index.json" in refusal(broken)


def change(folder, part, **numbers):
    """Other numbers in a part of config.json."""
    held = json.loads((folder / "config.json").read_text())[part]
    edit(folder / "config.json", **{part: {**held, **numbers}})


def test_weights_of_another_shape(broken):
    change(broken, "text_config", intermediate_size=128)
    message = refusal(broken)
    assert "mlp." in message and "64" in message and "128" in message


@pytest.mark.parametrize(
    ("part", "name", "number"),
    [
        ("vision_config", "patch_size", 0),
        ("vision_config", "spatial_merge_size", 0),
        ("text_config", "num_attention_heads", 0),
        ("text_config", "hidden_size", "big"),
    ],
)
def test_numbers_that_no_model_can_have(broken, part, name, number):
    change(broken, part, **{name: number})
    message = refusal(broken)
    assert "config.json" in message and name in message and repr(number) in message


BREAKING = {
    "syntax": "{% if %}",
    "wants no system message": '{% if messages[0].role == "system" %}{{ raise_exception("no system") }}{% endif %}',
    "takes text alone": '{% for message in messages %}{{ message.content + "." }}{% endfor %}',
    "writes no image": "{% for message in messages %}{{ message.role }}{% endfor %}",
    "writes two": "<|image_pad|><|image_pad|>",
    "empty": "\n",
    "binary": b"\xff\xfe",
}


@pytest.mark.parametrize("template", BREAKING.values(), ids=BREAKING)
def test_a_template_that_cannot_write_the_prompts(broken, template):
    (broken / "chat_template.jinja").write_bytes(template if isinstance(template, bytes) else template.encode())
    message = refusal(broken)
    assert "chat_template.jinja" in message and repr(str(broken)) in message


def test_a_template_that_wants_a_system_message(broken):
    path = broken / "chat_template.jinja"
    wants = '{% if messages[0].role != "system" %}{{ raise_exception("no system") }}{% endif %}'
    path.write_text(wants + path.read_text())
    assert QwenVL(str(broken)).opening == ""


def test_one_of_several_templates(broken):
    """transformers allows a list of named ones in tokenizer_config.json."""
    own = (broken / "chat_template.jinja").read_text()
    (broken / "chat_template.jinja").unlink()
    for name in ("default", "tool_use"):
        named = [{"name": "rag", "template": "{{ rag }}"}, {"name": name, "template": own}]
        edit(broken / "tokenizer_config.json", chat_template=named)
        found = locate(str(broken))
        assert (found.template, found.template_file) == (own, "tokenizer_config.json")
        PromptEncoder(found)


def test_of_two_files_with_templates_it_is_the_one_that_transformers_takes(broken):
    own = (broken / "chat_template.jinja").read_text()
    (broken / "chat_template.jinja").unlink()
    for name in reversed(TEMPLATE_FILES):
        if name.endswith(".jinja"):
            (broken / name).write_text(f"{name} {own}")
        else:
            edit(broken / name, chat_template=f"{name} {own}")
        encoder = PromptEncoder(locate(str(broken)))
        taken = encoder.processor.chat_template or encoder.processor.tokenizer.chat_template
        assert encoder.checkpoint.template_file == name
        assert encoder.template == taken


IMAGES = {
    "empty": {},
    "of another model": {"image_processor_type": "CLIPImageProcessor"},
    "patches of another size": {"patch_size": 14},
    "another merge": {"merge_size": 4},
    "no patches": {"patch_size": 0},
    "no pixels": {"size": {"shortest_edge": 0, "longest_edge": 0}},
    "a class of transformers that makes no images": {"image_processor_type": "AutoModelForCausalLM"},
    "a fixed size": {"size": {"height": 224, "width": 224}},
}


@pytest.mark.parametrize("changes", IMAGES.values(), ids=IMAGES)
def test_image_settings_of_another_model(broken, changes):
    path = broken / "preprocessor_config.json"
    if changes:
        edit(path, **changes)
    else:
        path.write_text("{}")
    message = refusal(broken)
    assert "preprocessor_config.json" in message or "processor of" in message


OLDER_IMAGES = {
    "Qwen2.5-VL's own class": {"image_processor_type": "Qwen2_5_VLImageProcessor"},
    "its fast twin": {"image_processor_type": "Qwen2_5_VLImageProcessorFast"},
    "limits by their older names": {"size": {"min_pixels": 2048, "max_pixels": 4096}},
    "limits beside the size": {"size": None, "min_pixels": 2048, "max_pixels": 4096},
    "another class's code": {"auto_map": {"AutoImageProcessor": "evil--Processor"}},
}


@pytest.mark.parametrize("changes", OLDER_IMAGES.values(), ids=OLDER_IMAGES)
def test_image_settings_as_older_versions_wrote_them(broken, changes):
    path = broken / "preprocessor_config.json"
    settings = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in settings.items() if value is not None}))
    images = PromptEncoder(locate(str(broken))).processor.image_processor
    limits = (2048, 4096) if "2048" in json.dumps(changes) else (1024, 1 << 20)
    assert (images.size["shortest_edge"], images.size["longest_edge"]) == limits


def test_a_reason_of_another_library_is_cut():
    assert len(first_line(ValueError("Should be one of " + "aria, beit, " * 200))) < 310


def test_a_vocabulary_without_the_image(broken):
    held = json.loads((broken / "tokenizer.json").read_text())
    edit(broken / "tokenizer.json", added_tokens=[one for one in held["added_tokens"] if "image" not in one["content"]])
    assert "<|image_pad|>" in refusal(broken)


def test_a_note_without_a_preset(broken):
    (broken / "qwenarm.json").write_text("{}")
    assert "names no preset" in refusal(broken)


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "config.json",
        "preprocessor_config.json",
        "generation_config.json",
        "merges.txt",
        "tokenizer.model",
    ],
)
def test_every_small_file_counts(broken, tiny, name):
    with (broken / name).open("a") as file:
        file.write("\n")
    before, after = locate(str(tiny)).files, locate(str(broken)).files
    assert len(before) == 16 and before != after


def test_files_of_no_account(broken, tiny):
    (broken / "README.md").write_text("words")
    assert locate(str(broken)).files == locate(str(tiny)).files


def test_what_is_described_tells_the_files(tiny):
    assert QwenVL(str(tiny)).describe()["files"] == locate(str(tiny)).files


def test_without_weights(broken):
    (broken / "model.safetensors").unlink()
    assert PromptEncoder(locate(str(broken), weights=False)).family.name == "qwen3_vl"


@pytest.fixture
def cached(broken, monkeypatch, tmp_path):
    """The Hub out of reach, and in its cache a "my/model" whose weights never came."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    commit, home = "a" * 40, tmp_path / "hub" / "models--my--model"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    (broken / "model.safetensors").unlink()
    shutil.copytree(broken, home / "snapshots" / commit)
    return "my/model"


def test_a_download_that_did_not_finish(cached):
    assert is_cached(cached)
    assert "download is incomplete" in refusal(cached)
    assert locate(cached, weights=False).revision == "a" * 40


def test_no_weights_are_fetched_that_are_not_wanted(monkeypatch, tiny):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *_, allow_patterns, **__: asked.append(allow_patterns) or str(tiny)
    )
    for weights in (True, False):
        locate("my/model", weights)
    assert ["*.safetensors" in patterns for patterns in asked] == [True, False]


@pytest.mark.parametrize(
    ("source", "at"),
    [
        ("./nosuch", True),
        ("../no/such", True),
        ("~/nosuch", True),
        ("nosuch", True),
        ("my/model", False),
        ("a--b/c", False),
    ],
)
def test_what_is_at_hand(source, at, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert is_cached(source) is at


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
    assert "tokenizer.json of" in refusal(broken)


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
    assert "cache" in message and "no such folder" in message


def test_the_bundled_model_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "bundled_folder", lambda: tmp_path)
    assert "install qwenarm again" in refusal("bundled")


def test_the_bundled_model_has_its_preset(monkeypatch, tiny):
    monkeypatch.setattr(checkpoints, "bundled_folder", lambda: tiny)
    assert locate("bundled").preset is BUNDLED_PRESET
