"""How the engine runs a model: an interface, and transformers' own forward pass as its default implementation."""

from __future__ import annotations

import copy
from typing import Any, Protocol

import torch
from transformers import DynamicCache

from qwenarm.mind.inference.grouped_attention import use_grouped_attention


class ForwardPass(Protocol):
    """A model, and the caches of keys and values that it fills."""

    def new_cache(self, rows: int = 1) -> Any:
        """Returns an empty cache. It has ``get_seq_length()``, and ``reorder_cache(rows)`` to keep some rows."""
        ...

    def copy_cache(self, cache: Any, rows: int, room: int) -> Any:
        """Copies a cache of one row to ``rows`` rows, with room for ``room`` more tokens."""
        ...

    def __call__(
        self,
        ids: torch.Tensor,
        position: torch.Tensor,
        mask: torch.Tensor | None,
        cache: Any,
        pixels: torch.Tensor | None = None,
        grids: torch.Tensor | None = None,
        logits_kept: int = 1,
    ) -> torch.Tensor:
        """Reads tokens after those in the cache, and adds theirs to it.

        Args:
            ids: (rows, width) int64.
            position: (3, rows, width) int64, in time, height and width (M-RoPE).
            mask: (rows, cached + width) bool, false in gaps; None if there are none.
            cache: Made by this forward pass; changed in place.
            pixels: (patches of all images, values) float, or None.
            grids: (images, 3) int64 on the CPU, the patches of each image; or None.
            logits_kept: Number of the last tokens for which logits are computed.

        Returns:
            (rows, logits_kept, vocabulary) logits.
        """
        ...


class TransformersForward:
    """Runs the model as transformers does. A recurrent state cannot be cropped, so caches are copied whole."""

    def __init__(self, model: Any) -> None:
        self.model = model
        use_grouped_attention(model)
        self.has_eyes = hasattr(model.model, "visual")
        if self.has_eyes:
            embed_patches_by_product(model.model.visual.patch_embed)

    def new_cache(self, rows: int = 1) -> Any:
        return DynamicCache(config=self.model.config)

    def copy_cache(self, cache: Any, rows: int, room: int) -> Any:
        fresh = copy.deepcopy(cache)
        if rows > 1:
            fresh.reorder_cache(torch.zeros(rows, dtype=torch.long, device=self.model.device))
        return fresh

    def __call__(
        self,
        ids: torch.Tensor,
        position: torch.Tensor,
        mask: torch.Tensor | None,
        cache: Any,
        pixels: torch.Tensor | None = None,
        grids: torch.Tensor | None = None,
        logits_kept: int = 1,
    ) -> torch.Tensor:
        images: dict[str, Any] = {}
        if pixels is not None and grids is not None:
            images["pixel_values"] = repeat_in_time(pixels, self.model.config.vision_config)
            images["image_grid_thw"] = grids.to(ids.device)
        return self.model(
            input_ids=ids,
            position_ids=position if self.has_eyes else position[0],  # all three are the same for text
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=logits_kept,
            **images,
        ).logits


def repeat_in_time(pixels: torch.Tensor, vision: Any) -> torch.Tensor:
    """Turns patches of still images (patches, values) into a vision tower's input: videos of equal frames."""
    still = pixels.view(len(pixels), vision.in_channels, 1, -1)
    return still.expand(-1, -1, vision.temporal_patch_size, -1).flatten(1)


def embed_patches_by_product(embed: Any) -> None:
    """Replaces the convolution that embeds patches by a matrix product, which is several times faster.

    The kernel is as large as the stride, so both compute the same linear map. Does nothing if accelerate moves
    weights between devices, because its hooks replace ``forward`` as well.
    """
    if hasattr(embed, "_hf_hook"):
        return
    weight, bias = embed.proj.weight.flatten(1), embed.proj.bias
    embed.forward = lambda patches: torch.nn.functional.linear(patches.to(weight.dtype), weight, bias)
