"""A model of any family, run through transformers' own forward pass; ``lean.py`` has the same methods."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import DynamicCache


class Whole:
    """A model of transformers and the caches it keeps."""

    goes_back = False
    """Whether its caches can forget their last tokens."""

    def __init__(self, model: Any) -> None:
        self.model = model
        multiply_patches(model.model.visual.patch_embed)

    def new_cache(self, rows: int = 1) -> Any:
        """Empty; it takes as many rows as come first."""
        return DynamicCache(config=self.model.config)

    def copy(self, cache: Any, rows: int, slots: int) -> Any:
        """The same beginning for so many rows. All of it: a recurrent state cannot be cropped."""
        fresh = copy.deepcopy(cache)
        if rows > 1:
            fresh.reorder_cache(torch.zeros(rows, dtype=torch.long, device=self.model.device))
        return fresh

    def forward(
        self,
        ids: torch.Tensor,
        position: torch.Tensor,
        mask: torch.Tensor | None,
        cache: Any,
        pixels: torch.Tensor | None = None,
        grid: torch.Tensor | None = None,
        wanted: int = 1,
    ) -> torch.Tensor:
        """ids (rows, width), position (3, rows, width), mask (rows, length + width) bool -> the logits (rows, wanted,
        vocabulary) behind the last tokens. Keys and values are added to the cache. pixels (patches, values of one
        moment), grid (frames, 3) int64 on the CPU.
        """
        return self.model(
            input_ids=ids,
            position_ids=position,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=wanted,
            pixel_values=None if pixels is None else moments(pixels, self.model.config.vision_config),
            image_grid_thw=None if grid is None else grid.to(ids.device),
        ).logits


def moments(pixels: torch.Tensor, vision: Any) -> torch.Tensor:
    """Still patches (patches, values of one moment) as transformers' towers take them: each a film of equal moments."""
    still = pixels.view(len(pixels), vision.in_channels, 1, -1)
    return still.expand(-1, -1, vision.temporal_patch_size, -1).flatten(1)


def multiply_patches(embed: Any) -> None:
    """Lets a vision tower embed its patches by a matrix product. Its convolution's kernel is as large as its stride, so
    this is the same linear map, several times faster. Left alone where weights move about (accelerate's hooks).
    """
    if hasattr(embed, "_hf_hook"):
        return
    weight, bias = embed.proj.weight.flatten(1), embed.proj.bias
    embed.forward = lambda patches: torch.nn.functional.linear(patches.to(weight.dtype), weight, bias)
