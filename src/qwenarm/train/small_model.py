"""A small Qwen3-VL checkpoint as a trainable model, with a faster but equivalent vision tower."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from qwenarm.errors import BadInput
from qwenarm.mind.checkpoints.load import quiet

NUMBER_SCALE = 0.03
"""Amplitude of the waves from which the embeddings of numbers start."""
LONGEST_WAVE, WAVES_A_UNIT = 1.0, 60.0
"""Number of periods of the longest and the shortest of these waves over all numbers."""


def load_trainable(folder: Path, fresh: bool = False) -> Qwen3VLForConditionalGeneration:
    """Loads a model in float32.

    Args:
        folder: A checkpoint of the architecture ``qwen3_vl``.
        fresh: Whether to start from random weights instead of its own.

    Raises:
        BadInput: The checkpoint has another architecture.
    """
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind != "qwen3_vl":
        raise BadInput(
            f"This loop trains small models of the type qwen3_vl; {folder} is a {kind}. Train it with --lora."
        )
    if fresh:
        model = Qwen3VLForConditionalGeneration(Qwen3VLConfig.from_pretrained(folder)).float()
    else:
        with quiet():
            model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    # "eager" returns the attention maps, which are supervised. The vision tower's are not, so it takes the fast kernel.
    model.set_attn_implementation({"text_config": "eager", "vision_config": "sdpa"})
    visual: Any = model.model.visual
    visual.patch_embed.forward = partial(_embed_patches, visual.patch_embed)
    for block in visual.blocks:
        block.attn.forward = partial(_attend, block.attn)
    return model


def _embed_patches(embed: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Embeds patches with one linear map. An image is the same moment twice, so both moments' weights can be summed;
    the backward pass of the original convolution is several times slower on a CPU.
    """
    return F.linear(pixels, embed.proj.weight.sum(2).flatten(1), embed.proj.bias)


def _attend(attn: Any, hidden: torch.Tensor, cu_seqlens: torch.Tensor, position_embeddings: Any, **_: Any) -> Any:
    """Computes attention within each of several images of the same grid in one call."""
    qkv = attn.qkv(hidden).view(len(cu_seqlens) - 1, -1, 3, attn.num_heads, attn.head_dim)
    cos, sin = (part[: qkv.shape[1], None].to(hidden.dtype) for part in position_embeddings)
    half = attn.head_dim // 2
    turned = [x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin for x in qkv[:, :, :2].unbind(2)]
    queries, keys, values = (x.transpose(1, 2) for x in (*turned, qkv[:, :, 2]))
    # The fused kernel is slower for such small heads.
    weights = (queries * attn.scaling @ keys.transpose(2, 3)).softmax(-1)
    return attn.proj((weights @ values).transpose(1, 2).reshape(hidden.shape))


def smooth_numbers(weight: torch.Tensor, tokens: torch.Tensor) -> None:
    """Initialises the embeddings of numbers as waves of many lengths: neighbours are similar, and positions easy to
    read.

    ``weight`` (vocabulary, width) is changed in place; ``tokens`` are those of 0, 1, 2, ...
    """
    half, count = weight.shape[1] // 2, len(tokens)
    waves = torch.exp(torch.linspace(math.log(LONGEST_WAVE), math.log(WAVES_A_UNIT), half))
    phase = 2 * math.pi * torch.rand(half, generator=torch.Generator().manual_seed(0))
    angle = 2 * math.pi * torch.arange(count)[:, None] / count * waves + phase
    with torch.no_grad():
        weight[tokens] = torch.cat([angle.cos(), angle.sin()], 1) * NUMBER_SCALE / waves.repeat(2) ** 0.3
