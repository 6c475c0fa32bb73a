"""The vision tower of Qwen3-VL in few operations, for images so small that calls cost as much as arithmetic.

It runs on the weights of the loaded model and computes what transformers' tower computes, up to the order of sums. What
it saves:

* Position embeddings and rotations depend only on an image's grid. They are computed once per grid and cached.
* To the tower, a still image is a video of two equal frames. Its patch embedding is linear, so each patch is embedded
  once, with the sum of both frames' weights.
* Images of the same grid go through as one batch, and attend in one call.
* Queries and keys are rotated together. GELU is part of the matrix product where weights are packed.

Other towers run as transformers has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.nn.functional import interpolate, layer_norm, scaled_dot_product_attention

from qwenarm.mind.inference.fused.packed_linear import PackedLinear

MAX_CACHED_GRIDS = 16


@dataclass(frozen=True)
class _GridConstants:
    """What all images of one grid share.

    Attributes:
        embedding: (patches, hidden) of the positions, plus the bias of the patch embedding.
        cos: (patches, 1, 1, head size) float32 of the rotation.
        sin: The same shape; its first half is negative, so that the rotation is x · cos + roll(x, half) · sin.
    """

    embedding: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor


@dataclass(frozen=True)
class _Block:
    """One layer. The norms are transformers' own modules."""

    attention_norm: Any
    qkv: PackedLinear
    out: PackedLinear
    mlp_norm: Any
    up: PackedLinear
    down: PackedLinear


@dataclass(frozen=True)
class _Merger:
    """Turns each group of patches into one token. ``norm_over_group`` says that the norm spans the group."""

    norm: Any
    norm_over_group: bool
    first: PackedLinear
    second: PackedLinear


class FusedVision:
    """A vision tower that runs on the weights of transformers' module, which must not change while it is in use.

    Args:
        visual: transformers' module.
        pack: Whether to pack its weights.
    """

    def __init__(self, visual: Any, pack: bool = False) -> None:
        self.visual, self.pack, config = visual, pack, visual.config
        self.heads, self.merge = config.num_heads, config.spatial_merge_size
        weight = visual.patch_embed.proj.weight  # (hidden, channels, frames, patch, patch)
        self.patch = PackedLinear(weight.float().sum(dim=2).flatten(1).to(weight.dtype), pack=pack)
        self.blocks = [self._block(block) for block in visual.blocks]
        self.merger, *mergers = (self._merger(part) for part in (visual.merger, *visual.deepstack_merger_list))
        self.deepstack = dict(zip(visual.deepstack_visual_indexes, mergers, strict=True))
        self._constants = lru_cache(maxsize=MAX_CACHED_GRIDS)(self._constants_of)

    @staticmethod
    def supports(visual: Any) -> bool:
        """Returns whether a tower can run this way."""
        config = visual.config
        return config.model_type == "qwen3_vl_vision" and config.hidden_act == "gelu_pytorch_tanh"

    def __call__(self, pixels: torch.Tensor, grids: torch.Tensor) -> list[torch.Tensor]:
        """Encodes images.

        Args:
            pixels: (patches of all images, values) float.
            grids: (images, 3) int64 on the CPU, the patches of each image in time, height and width.

        Returns:
            The visual tokens (tokens of all images, hidden), then as many for each of the first layers of the
            language model, to be added after that layer (DeepStack).
        """
        sizes = [(height, width) for _, height, width in grids.tolist()]
        if len(set(sizes)) == 1:
            batch = self._encode(pixels.view(len(sizes), -1, pixels.shape[1]), self._constants(sizes[0]))
            return list(batch.transpose(0, 1).flatten(1, 2))
        images = pixels.split([height * width for height, width in sizes])
        encoded = dict[int, torch.Tensor]()
        for size in dict.fromkeys(sizes):
            indices = [index for index, own in enumerate(sizes) if own == size]
            batch = self._encode(torch.stack([images[index] for index in indices]), self._constants(size))
            encoded |= zip(indices, batch, strict=True)
        return list(torch.cat([encoded[index] for index in range(len(sizes))], dim=1))

    def _encode(self, images: torch.Tensor, grid: _GridConstants) -> torch.Tensor:
        """Maps (images, patches, values) to (images, 1 + DeepStack layers, tokens, hidden)."""
        hidden, features = self.patch(images).add_(grid.embedding), []
        for index, block in enumerate(self.blocks):
            hidden += block.out(self._attend(block, hidden, grid))
            hidden += block.down(block.up.gelu(_normalise(hidden, block.mlp_norm), "tanh"))
            if index in self.deepstack:
                features.append(_merge(hidden, self.deepstack[index]))
        return torch.stack([_merge(hidden, self.merger), *features], dim=1)

    def _attend(self, block: _Block, hidden: torch.Tensor, grid: _GridConstants) -> torch.Tensor:
        qkv = block.qkv(_normalise(hidden, block.attention_norm)).unflatten(2, (3, self.heads, -1))
        plain = qkv[:, :, :2].float()
        rotated = (plain * grid.cos).addcmul_(plain.roll(plain.shape[-1] // 2, dims=-1), grid.sin).to(qkv.dtype)
        queries, keys, values = (part.transpose(1, 2) for part in (*rotated.unbind(2), qkv[:, :, 2]))
        return scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)

    def _block(self, block: Any) -> _Block:
        attention, mlp = block.attn, block.mlp
        qkv, out, up, down = map(self._linear, (attention.qkv, attention.proj, mlp.linear_fc1, mlp.linear_fc2))
        return _Block(block.norm1, qkv, out, block.norm2, up, down)

    def _merger(self, part: Any) -> _Merger:
        first, second = map(self._linear, (part.linear_fc1, part.linear_fc2))
        return _Merger(part.norm, part.use_postshuffle_norm, first, second)

    def _linear(self, layer: Any) -> PackedLinear:
        return PackedLinear(layer.weight, layer.bias, self.pack)

    def _constants_of(self, size: tuple[int, int]) -> _GridConstants:
        """Returns the constants of a grid with ``size`` patches in height and width.

        The learnt position embeddings are those of a square grid, and are interpolated to this size. The rotation of a
        patch has the angles row x frequency, then column x frequency, for half of a head's elements; element i and
        element i + half are turned by the same angle, so cos and sin are written twice.
        """
        side = self.visual.num_grid_per_side
        table = self.visual.pos_embed.weight.float().view(1, side, side, -1).movedim(3, 1)
        places = interpolate(table, size, mode="bilinear", align_corners=True)[0].movedim(0, 2)
        axes = (torch.arange(length, dtype=torch.float32, device=table.device) for length in size)
        rows, columns = torch.meshgrid(*axes, indexing="ij")
        angles = torch.stack([rows, columns], dim=2)[..., None] * self.visual.rotary_pos_emb.inv_freq.float()
        angles = self._in_merge_order(angles.flatten(2))[:, None, None]
        cos, sin = angles.cos(), angles.sin()
        bias = self.visual.patch_embed.proj.bias
        embedding = (self._in_merge_order(places) + bias.float()).to(bias.dtype)
        return _GridConstants(embedding, torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1))

    def _in_merge_order(self, grid: torch.Tensor) -> torch.Tensor:
        """Maps (height, width, values) to (patches, values), with patches that will be merged next to each other."""
        cells = grid.unflatten(1, (-1, self.merge)).unflatten(0, (-1, self.merge))
        return cells.transpose(1, 2).flatten(0, 3)


def _normalise(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
    return layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _merge(hidden: torch.Tensor, merger: _Merger) -> torch.Tensor:
    """Maps (images, patches, hidden) to (images, tokens, hidden of the language model)."""
    grouped = (len(hidden), -1, merger.first.weight.shape[1])
    if merger.norm_over_group:
        groups = _normalise(hidden.view(grouped), merger.norm)
    else:
        groups = _normalise(hidden, merger.norm).view(grouped)
    return merger.second(merger.first.gelu(groups, "none"))
