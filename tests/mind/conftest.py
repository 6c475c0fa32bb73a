"""A tiny Qwen-VL checkpoint with random weights and a small vocabulary of its own, in the layout of the Hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.mind.fake_server import FakeServer

from qwenarm.mind.families import TEXT_MODEL_TYPES
from qwenarm.types import Frame, Observation, Param, Proprio, SkillSpec

torch.set_num_threads(1)  # models here are tiny, and test processes share the cores


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device is at hand")


SPECS = (
    SkillSpec("pick", "Grasp the object at a point.\n\nMore.", (Param("at", "point", "the object"),)),
    SkillSpec("place", "Put down what is held.", (Param("at", "point", "the place"),)),
    SkillSpec("push", "Push an object.", (Param("at", "point"), Param("distance", "number", "m", required=False))),
    SkillSpec("turn", "Turn the hand.", (Param("way", "string", choices=("left", "right")),)),
    SkillSpec("say", "Say something.", (Param("text", "string"),)),
    SkillSpec("done", "The task is fulfilled."),
)

TEMPLATE = """\
{%- macro body(content) %}
{%- if content is string %}{{ content }}{% else %}
{%- for part in content %}
{%- if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}
{%- endfor %}
{%- endif %}
{%- endmacro %}
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}{{ body(message.content) }}
TOOLS{{ '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\nOPENING' }}{% endif %}
"""
TOOLS = """\
{%- if loop.first and tools %}{{ '\\n\\n# Tools\\n<tools>' }}
{%- for tool in tools %}{{ '\\n' }}{{ tool | tojson }}{% endfor %}{{ '\\n</tools>\\nCALL' }}
{%- endif %}"""
JSON_CALL = "<tool_call>{}</tool_call>"
XML_CALL = "<tool_call><function=NAME></function></tool_call>"
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
PLAIN = ("<tool_call>", "</tool_call>", "<think>", "</think>")


def template(opening: str = "", *, tools: bool = True, xml: bool = False) -> str:
    """A chat template in Qwen's layout. opening: what it writes at the head of an answer."""
    text = TEMPLATE.replace("TOOLS", TOOLS if tools else "").replace("OPENING", opening)
    return text.replace("CALL", XML_CALL if xml else JSON_CALL)


def save(folder: Path, model_type: str = "qwen3_vl", opening: str = "") -> Path:
    """Writes the checkpoint. Two layers of 32, and a vision tower of the same size: some 100 kB."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    folder.mkdir(parents=True)
    tokenizer = _save_tokenizer(
        folder, template(opening, xml=model_type.startswith("qwen3_5"), tools=model_type != "qwen2_5_vl")
    )
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    shape, kind = _shape(model_type, len(tokenizer), ids), AutoModelForImageTextToText
    if model_type in TEXT_MODEL_TYPES:
        shape, kind = {**shape["text_config"], "tie_word_embeddings": False}, AutoModelForCausalLM
        shape["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0}
    config = AutoConfig.for_model(model_type, **shape)
    torch.manual_seed(0)
    model: Any = kind.from_config(config, dtype=torch.float32)
    model.lm_head.weight.data.normal_(std=0.5)  # answers that vary from prompt to prompt
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.save_pretrained(folder, safe_serialization=True)
    if model_type not in TEXT_MODEL_TYPES:
        _save_preprocessor(folder, 14 if model_type == "qwen2_5_vl" else 16)
    return folder


def _save_tokenizer(folder: Path, chat_template: str) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    raw.train_from_iterator(
        ["Task: put the red cube in the blue bowl", '{"name": "pick", "arguments": {"at": '] * 4, trainer
    )
    raw.add_tokens([AddedToken(name, special=False, normalized=False) for name in PLAIN])
    raw.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(chat_template)
    return tokenizer


def _save_preprocessor(folder: Path, patch: int) -> None:
    settings = {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "patch_size": patch,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": 1024, "longest_edge": 1 << 20},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def _shape(model_type: str, vocabulary: int, ids: dict[str, int]) -> dict[str, Any]:
    text: dict[str, Any] = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 16, "vocab_size": vocabulary, "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
    }  # fmt: skip
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 32,
    }
    if "moe" in model_type:
        text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
        text |= {"shared_expert_intermediate_size": 32} if model_type == "qwen3_5_moe" else {}
    if model_type in ("qwen3_vl", "qwen3_vl_moe"):
        vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    if model_type == "qwen2_5_vl":
        vision |= {"fullatt_block_indexes": [1], "window_size": 56}
    if model_type in ("qwen3_5", "qwen3_5_moe"):
        text |= {
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
        }
        text |= {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_conv_kernel_dim": 2}
        text["rope_parameters"]["partial_rotary_factor"] = 1.0
        vision |= {"num_position_embeddings": 64}
    return {
        "text_config": text,
        "vision_config": vision,
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": False,
    }


@pytest.fixture(scope="session")
def specs() -> tuple[SkillSpec, ...]:
    """Skills of every shape."""
    return SPECS


@pytest.fixture(scope="session")
def look() -> Callable[..., Observation]:
    """Makes observations: look("put it", cameras=("front",), size=(64, 96), holding=False, seed=0)."""
    return make_observation


def make_observation(
    instruction: str = "put the red cube in the blue bowl",
    cameras: tuple[str, ...] = ("front",),
    size: tuple[int, int] = (64, 96),
    holding: bool = False,
    seed: int = 0,
) -> Observation:
    rng = np.random.default_rng(seed)
    frames = tuple(Frame(rng.integers(0, 255, (*size, 3), dtype=np.uint8), camera) for camera in cameras)
    return Observation(frames, Proprio(np.zeros(7), np.zeros(3), np.zeros(4), 0.0, holding), instruction)


@pytest.fixture(scope="session")
def save_tiny() -> Callable[..., Path]:
    """Writes a tiny checkpoint: save_tiny(folder, model_type="qwen3_vl", opening="")."""
    return save


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3-VL. Shared: copy it before breaking it."""
    return save(tmp_path_factory.mktemp("tiny") / "qwen3_vl")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.close()
