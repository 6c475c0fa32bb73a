"""What a model needs in memory, told before a weight is read. How to hold it in what is free: ``fitting.py``.

The numbers of weights come from the headers of the safetensors files, everything else from config.json. What a model
needs is its weights and the larger of two things: the vision tower at work on the frames of a batch, or the language
model at work on the prompts with their cache. The coefficients of both were fitted to what the allocator hands out
while transformers generates; tests/mind/test_memory.py measures it again for every family.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenarm.mind.coordinates import Size
from qwenarm.mind.model_sizes import Published

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
FOUR_BIT = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes a weight in bitsandbytes' NF4: four bits, a scale of eight bits for every 64 weights, and a scale in fp32 for
every 256 scales ("double quantisation", arxiv.org/abs/2305.14314)."""

COUNTS = {
    "vision_config": ("patch_size", "temporal_patch_size", "spatial_merge_size", "hidden_size"),
    "text_config": ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size"),
}
"""Numbers of config.json that are divided by, or without which there is no model."""

PACKED = 256 << 20
"""Bytes of weights in fp32 up to which a CPU holds them a second time, in the order that it multiplies by fastest
(``packed.py``)."""


@dataclass(frozen=True)
class Weights:
    """How many numbers a model has, and how many of them 4-bit quantisation takes. stored: their bytes, where the
    files are quantised already and so cannot be had in another dtype; else 0."""

    total: int
    linear: int
    stored: int = 0

    def size(self, dtype: str, four_bit: bool = False) -> int:
        """Bytes in memory."""
        if self.stored:
            return self.stored
        kept = self.total - self.linear if four_bit else self.total
        return round(kept * BYTES[dtype] + (self.linear * FOUR_BIT if four_bit else 0))


@dataclass(frozen=True)
class Load:
    """What is asked of a model at once: prompts, the frames of each (H, W), its tokens of text, the answer's tokens."""

    batch: int = 1
    frames: tuple[Size, ...] = ((480, 640),)
    text: int = 2000
    answer: int = 256


@dataclass(frozen=True)
class Need:
    """Bytes: of the weights, and of the most that is held beside them while answering."""

    weights: int
    work: int

    @property
    def total(self) -> int:
        return self.weights + self.work


def gb(size: float) -> str:
    """Bytes in words, in units of 1e9."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


def weights_in(folder: Path, config: Mapping[str, Any]) -> Weights:
    """Counted from the headers of a checkpoint's safetensors files; no weight is read.

    Left out is what transformers leaves out: heads for multi-token prediction, and an output layer that is tied to the
    input. linear counts the matrices outside of embeddings, output layer, routers and fused experts.
    """
    tied = bool(config.get("tie_word_embeddings"))
    total = linear = stored = 0
    for name, shape, size in _headers(folder):
        if name.startswith("mtp.") or (tied and name.startswith("lm_head.")):
            continue
        count = math.prod(shape)
        total, stored = total + count, stored + size
        if len(shape) == 2 and not any(part in name for part in ("embed", "lm_head", ".experts.", ".mlp.gate.")):
            linear += count
    return Weights(total, linear, stored if config.get("quantization_config") else 0)


def impossible_size(config: Mapping[str, Any]) -> str:
    """The first number of a completed config.json by which no model can be built, in words; "" if there is none."""
    for part, names in COUNTS.items():
        for name in names:
            value = config[part].get(name, 1)
            if not isinstance(value, int) or value < 1:
                return f"{part}.{name} is {value!r}, where a whole number from 1 on is needed"
    return ""


def _headers(folder: Path) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """(name, shape, bytes) of every tensor. The format: eight bytes with the length of a JSON header, then that."""
    for shard in sorted(folder.glob("*.safetensors")):
        with shard.open("rb") as stream:
            entries = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        for name, entry in entries.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                yield name, tuple(entry["shape"]), end - begin


def need_of(weights: Weights, config: Mapping[str, Any], load: Load, dtype: str, four_bit: bool = False) -> Need:
    """What a model needs under a load. config: with "text_config" and "vision_config", as transformers completes it."""
    wide, merged = BYTES[dtype], image_tokens(config, load.frames)
    tokens = merged + load.text
    vision = load.batch * _vision_numbers(config, load.frames) * wide
    words = load.batch * (tokens * _text_numbers(config["text_config"]) * wide + _logits(config["text_config"]))
    held = load.batch * cache_bytes(config, tokens + load.answer, dtype)
    return Need(weights.size(dtype, four_bit), max(vision, words + held))


def need_of_size(size: Published, dtype: str = "bfloat16", four_bit: bool = False, load: Load | None = None) -> Need:
    """What one of the published sizes needs."""
    return need_of(Weights(size.parameters, size.linear), size.config, load or Load(), dtype, four_bit)


def image_tokens(config: Mapping[str, Any], frames: Iterable[Size]) -> int:
    """Tokens that frames on the family's grid take in a prompt."""
    cell = config["vision_config"]["patch_size"] * config["vision_config"].get("spatial_merge_size", 2)
    return sum(round(height / cell) * round(width / cell) for height, width in frames)


def cache_bytes(config: Mapping[str, Any], tokens: int, dtype: str) -> int:
    """The cache of one sequence: keys and values, and for layers of linear attention a state that does not grow."""
    text = config["text_config"]
    kinds = text.get("layer_types") or ["full_attention"] * text["num_hidden_layers"]
    linear = sum(kind == "linear_attention" for kind in kinds)
    per_token = 2 * (len(kinds) - linear) * text["num_key_value_heads"] * _head_dim(text)
    return per_token * tokens * BYTES[dtype] + linear * _state_bytes(text, BYTES[dtype])


def _state_bytes(text: Mapping[str, Any], wide: int) -> int:
    """One layer's state of Gated DeltaNet, kept in fp32, and the tail of its convolution."""
    if "linear_num_value_heads" not in text:
        return 0
    values = text["linear_num_value_heads"] * text["linear_value_head_dim"]
    keys = text["linear_num_key_heads"] * text["linear_key_head_dim"]
    return 4 * values * text["linear_key_head_dim"] + wide * (2 * keys + values) * text["linear_conv_kernel_dim"]


def _head_dim(text: Mapping[str, Any]) -> int:
    return text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]


def _vision_numbers(config: Mapping[str, Any], frames: Iterable[Size]) -> int:
    """Numbers that the vision tower holds at its widest point."""
    vision = config["vision_config"]
    patches = sum(height * width for height, width in frames) // vision["patch_size"] ** 2
    return patches * (7 * vision["hidden_size"] + 4 * vision["intermediate_size"])


def _text_numbers(text: Mapping[str, Any]) -> int:
    """Numbers that the language model holds for each token of a prompt while it reads it."""
    chosen = text.get("num_experts_per_tok") or 0
    if chosen and text.get("moe_intermediate_size"):
        mlp = chosen * (2 * text["hidden_size"] + 3 * text["moe_intermediate_size"])
    else:
        mlp = 3 * text["intermediate_size"]
    heads = text["num_attention_heads"] * _head_dim(text)
    kinds = text.get("layer_types") or ()
    linear = 24 * text["linear_num_value_heads"] * text["linear_value_head_dim"] if "linear_attention" in kinds else 0
    return 4 * text["hidden_size"] + 4 * heads + mlp + linear


def _logits(text: Mapping[str, Any]) -> int:
    """Bytes for the scores of one next token, in fp32, and a copy of them."""
    return 2 * 4 * text["vocab_size"]
