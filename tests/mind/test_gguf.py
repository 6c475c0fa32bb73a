"""A text model in GGUF answers as the same weights in safetensors do; what is not one is refused before it is built."""

import builtins
import json
import struct
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.checkpoints import gguf as reading
from qwenarm.mind.families import family_of
from qwenarm.mind.open_model import open_model
from qwenarm.mind.prompt.messages import to_prompt
from qwenarm.mind.prompt.presets import BUNDLED_PRESET

gguf = pytest.importorskip("gguf", reason="gguf-py is not installed (extra gguf)")
pytest.importorskip("accelerate", reason="transformers needs accelerate for GGUF (extra gguf)")
CONTROL_TOKEN, PLAIN_TOKEN, ADDED_TOKEN = 3, 1, 4


def write_gguf(folder: Path, path: Path, **changed) -> Path:
    """A checkpoint's weights, vocabulary and template as llama.cpp's converter writes them, with some keys changed."""
    model = QwenVL(str(folder), device="cpu", images=False, constrained=False).model
    tokenizer, config = AutoTokenizer.from_pretrained(folder), model.config
    arch = config.model_type
    writer = gguf.GGUFWriter(path, changed.pop("arch", arch))
    for name, value in {
        "context_length": config.max_position_embeddings,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "embedding_length": config.hidden_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        **({"attention.key_length": config.head_dim} if arch == "qwen3" else {}),
        **changed,
    }.items():
        writer.add_uint32(f"{arch}.{name}", value)
    writer.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", config.rms_norm_eps)
    writer.add_float32(f"{arch}.rope.freq_base", config.rope_parameters["rope_theta"])
    add_vocabulary(writer, tokenizer)
    kinds = {value: key for key, value in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(kinds[arch], config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        base, _, end = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(base)}.{end}", weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_vocabulary(writer, tokenizer) -> None:
    added = tokenizer.added_tokens_decoder
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = {place: CONTROL_TOKEN if token.special else ADDED_TOKEN for place, token in added.items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(names)
    writer.add_token_types([special.get(place, PLAIN_TOKEN) for place in range(len(names))])
    writer.add_token_merges([" ".join(pair) for pair in merges_of(tokenizer)])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template)


def merges_of(tokenizer) -> list[list[str]]:
    return json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]


@pytest.fixture(scope="module", params=reading.GGUF_ARCHITECTURES)
def folder(request, tmp_path_factory, save_tiny) -> Path:
    return save_tiny(tmp_path_factory.mktemp("text") / request.param, request.param)


@pytest.fixture(scope="module")
def file(folder, tmp_path_factory) -> Path:
    return write_gguf(folder, tmp_path_factory.mktemp("gguf") / "model.gguf")


@pytest.fixture
def prompts(look, specs):
    family = family_of("qwen3")
    return [to_prompt(look(words, size=(64, 96)), (), specs, family, BUNDLED_PRESET) for words in ("put it", "stack")]


def test_it_answers_as_in_safetensors(folder, file, prompts):
    plain = open_model(f"{folder}#images=no,device=cpu,constrained=no")
    for source in (file, file.parent):
        model = open_model(f"{source}#images=no,device=cpu,constrained=no")
        for name, weight in plain.model.state_dict().items():
            torch.testing.assert_close(model.model.state_dict()[name], weight)
        for prompt in prompts:
            assert model.text_of(prompt) == plain.text_of(prompt)
            assert model.request(prompt).ids == plain.request(prompt).ids
        said, expected = model.generate(prompts), plain.generate(prompts)
        assert [each.text for each in said] == [each.text for each in expected]
    told = model.describe()
    assert told["model_type"] == plain.describe()["model_type"] and told["sha256"] != plain.describe()["sha256"]


def test_nothing_beside_it_is_read(file, tmp_path):
    (tmp_path / "model.gguf").write_bytes(file.read_bytes())
    for name in ("tokenizer.json", "generation_config.json", "config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("not JSON")
    model = open_model(f"{tmp_path}#images=no,device=cpu,constrained=no")
    assert model.tokenizer.eos_token == "<|im_end|>"


def test_it_needs_to_be_told_that_there_are_no_pictures(file):
    with pytest.raises(ModelUnavailable, match=r"takes no images.*--policy state_text and #images=no"):
        open_model(f"{file}#device=cpu")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"block_count": 10**6}, "block_count"),
        ({"block_count": 0}, "block_count"),
        ({"embedding_length": 2**31}, "describes about"),
        ({"attention.head_count_kv": 0}, "num_key_value_heads"),
        ({"feed_forward_length": 96}, "should be"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(folder, tmp_path, changed, words):
    path = write_gguf(folder, tmp_path / "odd.gguf", **changed)
    with pytest.raises(ModelUnavailable, match=words) as refused:
        open_model(f"{path}#images=no,device=cpu")
    assert "\n" not in str(refused.value)


def test_another_architecture_is_refused_with_the_way_out(file, tmp_path):
    path = tmp_path / "other.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(
        ModelUnavailable, match=r"'llama'.*qwen2, qwen3, without.*llama-server -m .*other\.gguf --jinja"
    ):
        open_model(f"{path}#images=no")


def test_two_files_in_a_folder_are_named(file, tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(file.read_bytes())
    with pytest.raises(ModelUnavailable, match=r"name one of them: a\.gguf, b\.gguf"):
        open_model(f"{tmp_path}#images=no")


@pytest.mark.parametrize("package", reading.NEEDED_PACKAGES)
def test_a_missing_package_is_named(file, monkeypatch, package):
    monkeypatch.setattr(reading, "find_spec", lambda name: None if name == package else builtins)
    with pytest.raises(ModelUnavailable, match=rf"needs {package}: `pip install 'qwenarm\[gguf\]'`; or .*llama-server"):
        open_model(f"{file}#images=no")


def test_a_damaged_header_is_refused_at_once(file, tmp_path):
    """Every number in the header's beginning is made huge, and the file is cut everywhere."""
    whole, path = file.read_bytes(), tmp_path / "damaged.gguf"
    for data in [
        b"", b"GGUF", *(whole[:place] for place in range(8, len(whole), len(whole) // 40)),
        *(whole[:place] + struct.pack("<Q", 2**62) + whole[place + 8 :] for place in range(4, 400)),
    ]:  # fmt: skip
        path.write_bytes(data)
        try:
            reading.read_gguf(path, str(path))
        except ModelUnavailable as refused:
            assert "\n" not in str(refused)
