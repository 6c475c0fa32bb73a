"""Computes how much memory a model needs before any weight is read. For its placement see ``placement.py``.

The number of weights comes from the headers of the safetensors files, everything else from config.json. A model needs
its weights plus the larger of two amounts: that of the vision tower while it encodes the images of a batch, and that of
the language model while it reads the prompts, including its cache. The coefficients of both were fitted to what torch's
allocator uses while transformers generates; tests/mind/test_memory.py measures it again for every family.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenarm.mind.coordinates import Size
from qwenarm.mind.model_sizes import ModelSize

BYTES_PER_WEIGHT = {"float32": 4, "bfloat16": 2, "float16": 2}
NF4_BYTES_PER_WEIGHT = 0.5 + 1 / 64 + 4 / (64 * 256)
"""With bitsandbytes' NF4: four bits, a scale of eight bits for every 64 weights, and a float32 scale for every 256
scales ("double quantisation", arxiv.org/abs/2305.14314).
"""

POSITIVE_COUNTS = {
    "vision_config": ("patch_size", "temporal_patch_size", "spatial_merge_size", "hidden_size"),
    "text_config": ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size"),
}
"""Numbers in config.json that must be positive."""

MAX_PACKED_BYTES = 256 << 20
"""Maximum bytes of float32 weights of which a CPU holds a packed copy (``inference/fused/packed_linear.py``)."""


@dataclass(frozen=True)
class WeightCount:
    """The number of weights of a model.

    Attributes:
        total: All weights.
        linear: Those that 4-bit quantisation covers.
        stored_bytes: The size of the files if they are already quantised, which fixes the dtype; otherwise 0.
    """

    total: int
    linear: int
    stored_bytes: int = 0

    def size(self, dtype: str, four_bit: bool = False) -> int:
        """Returns the size in memory, in bytes."""
        if self.stored_bytes:
            return self.stored_bytes
        unquantised = self.total - self.linear if four_bit else self.total
        quantised = self.linear * NF4_BYTES_PER_WEIGHT if four_bit else 0
        return round(unquantised * BYTES_PER_WEIGHT[dtype] + quantised)


@dataclass(frozen=True)
class Workload:
    """The prompts that a model answers together: their number, (H, W) of each one's frames, and their tokens."""

    batch: int = 1
    frames: tuple[Size, ...] = ((480, 640),)
    text_tokens: int = 2000
    answer_tokens: int = 256


@dataclass(frozen=True)
class MemoryNeed:
    """The size of the weights, and the maximum that is needed besides them while answering, in bytes."""

    weights: int
    work: int

    @property
    def total(self) -> int:
        return self.weights + self.work


def gb(size: float) -> str:
    """Returns a number of bytes in words, such as "4.7 GB" (of 1e9 bytes)."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


def weights_in(folder: Path, config: Mapping[str, Any]) -> WeightCount:
    """Counts the weights in the headers of a checkpoint's safetensors files, without reading any.

    It skips what transformers does not load: heads for multi-token prediction, and an output layer that is tied to the
    input. 4-bit quantisation covers the matrices outside embeddings, output layer, routers and fused experts.
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
    return WeightCount(total, linear, stored if config.get("quantization_config") else 0)


def impossible_size(config: Mapping[str, Any]) -> str:
    """Returns what is wrong with the first impossible number in a completed config.json, or ""."""
    for part, names in POSITIVE_COUNTS.items():
        for name in names:
            value = config[part].get(name, 1)
            if not isinstance(value, int) or value < 1:
                return f"{part}.{name} is {value!r}, but must be a positive whole number"
    return ""


def _headers(folder: Path) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Yields (name, shape, bytes) of every tensor. A file begins with the length of its JSON header in eight bytes."""
    for shard in sorted(folder.glob("*.safetensors")):
        with shard.open("rb") as stream:
            entries = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        for name, entry in entries.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                yield name, tuple(entry["shape"]), end - begin


def need_of(
    weights: WeightCount, config: Mapping[str, Any], workload: Workload, dtype: str, four_bit: bool = False
) -> MemoryNeed:
    """Returns what a model needs for a workload.

    Args:
        weights: The number of its weights.
        config: A config with "text_config" and "vision_config", as transformers completes it.
        workload: The prompts that are answered together.
        dtype: The dtype of activations, and of weights that are not quantised.
        four_bit: Whether the weights are quantised to 4-bit.
    """
    width, images = BYTES_PER_WEIGHT[dtype], image_tokens(config, workload.frames)
    tokens, text = images + workload.text_tokens, config["text_config"]
    vision = workload.batch * _vision_numbers(config, workload.frames) * width
    logits = 2 * 4 * text["vocab_size"]  # of one token, in float32, and a copy of them
    reading = workload.batch * (tokens * _text_numbers(text) * width + logits)
    cache = workload.batch * cache_bytes(config, tokens + workload.answer_tokens, dtype)
    return MemoryNeed(weights.size(dtype, four_bit), max(vision, reading + cache))


def need_of_size(size: ModelSize, four_bit: bool = False, workload: Workload | None = None) -> MemoryNeed:
    """Returns what a published model needs, by default for one prompt with a frame of 640 x 480."""
    count = WeightCount(size.parameters, size.linear)
    return need_of(count, size.config, workload or Workload(), "bfloat16", four_bit)


def image_tokens(config: Mapping[str, Any], frames: Iterable[Size]) -> int:
    """Tokens that frames on the family's grid take in a prompt; 0 if the model takes no images."""
    if not config["vision_config"]:
        return 0
    cell = config["vision_config"]["patch_size"] * config["vision_config"].get("spatial_merge_size", 2)
    return sum(round(height / cell) * round(width / cell) for height, width in frames)


def cache_bytes(config: Mapping[str, Any], tokens: int, dtype: str) -> int:
    """Returns the bytes of one sequence's cache: keys and values, and the fixed state of linear attention."""
    text = config["text_config"]
    kinds = text.get("layer_types") or ["full_attention"] * text["num_hidden_layers"]
    linear = sum(kind == "linear_attention" for kind in kinds)
    per_token = 2 * (len(kinds) - linear) * text["num_key_value_heads"] * _head_size(text)
    return per_token * tokens * BYTES_PER_WEIGHT[dtype] + linear * _state_bytes(text, BYTES_PER_WEIGHT[dtype])


def _state_bytes(text: Mapping[str, Any], width: int) -> int:
    """Returns the bytes of a layer's Gated DeltaNet state (float32) and its convolution's tail (``width`` each)."""
    if "linear_num_value_heads" not in text:
        return 0
    values = text["linear_num_value_heads"] * text["linear_value_head_dim"]
    keys = text["linear_num_key_heads"] * text["linear_key_head_dim"]
    return 4 * values * text["linear_key_head_dim"] + width * (2 * keys + values) * text["linear_conv_kernel_dim"]


def _head_size(text: Mapping[str, Any]) -> int:
    return text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]


def _vision_numbers(config: Mapping[str, Any], frames: Iterable[Size]) -> int:
    """Numbers that the vision tower holds at its widest point; 0 if there is none."""
    vision = config["vision_config"]
    if not vision:
        return 0
    patches = sum(height * width for height, width in frames) // vision["patch_size"] ** 2
    return patches * (7 * vision["hidden_size"] + 4 * vision["intermediate_size"])


def _text_numbers(text: Mapping[str, Any]) -> int:
    """Returns how many numbers the language model holds per token of a prompt while reading it."""
    experts = text.get("num_experts_per_tok") or 0
    if experts and text.get("moe_intermediate_size"):
        mlp = experts * (2 * text["hidden_size"] + 3 * text["moe_intermediate_size"])
    else:
        mlp = 3 * text["intermediate_size"]
    heads = text["num_attention_heads"] * _head_size(text)
    kinds = text.get("layer_types") or ()
    linear = 24 * text["linear_num_value_heads"] * text["linear_value_head_dim"] if "linear_attention" in kinds else 0
    return 4 * text["hidden_size"] + 4 * heads + mlp + linear
