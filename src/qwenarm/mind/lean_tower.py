"""The vision tower of Qwen3-VL in few operations, for pictures so small that a CPU waits for the calls.

The weights are those of the loaded model; the sums are those of transformers' tower, up to their order
(tests/mind/test_lean_tower.py holds one against the other). What is spared: positions and their embeddings depend on a
picture's grid alone and are kept; a still picture is two equal moments, so it is embedded once, by the sum of both
moments' weights; pictures of the same grid attend in one call; queries and keys are turned together.

For Qwen3-VL in fp32 on a CPU. All other towers run as transformers has them (``lean.py``, ``whole.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.nn.functional import interpolate, layer_norm, linear, scaled_dot_product_attention

GRIDS = 16
"""Of so many grids the constants are kept."""


@dataclass(frozen=True)
class _Grid:
    """What all pictures of one grid share. embedding (patches, hidden): of the places, and the patches' bias. cos and
    sin (patches, 1, 1, head size) of the rotation; the sines of the first half are negative, as what they are
    multiplied with is x rolled by half its length.
    """

    embedding: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor


class LeanTower:
    """The tower of a model of transformers, run through its own weights, which do not change meanwhile."""

    def __init__(self, visual: Any) -> None:
        self.visual, config = visual, visual.config
        self.heads, self.merge = config.num_heads, config.spatial_merge_size
        weight = visual.patch_embed.proj.weight  # (hidden, channels, moments, patch, patch)
        self.patch = weight.sum(dim=2).flatten(1)
        self.taps = dict(zip(visual.deepstack_visual_indexes, visual.deepstack_merger_list, strict=True))
        self._grid = lru_cache(maxsize=GRIDS)(self._made)

    @staticmethod
    def fits(visual: Any) -> bool:
        """Whether a tower is one of those that can be run this way."""
        known = visual.config.model_type == "qwen3_vl_vision" and visual.config.hidden_act == "gelu_pytorch_tanh"
        return known and visual.dtype == torch.float32 and visual.device.type == "cpu"

    def forward(self, pixels: torch.Tensor, grids: torch.Tensor) -> list[torch.Tensor]:
        """pixels (patches of all, values of one moment), grids (pictures, 3) int64 -> the visual tokens (tokens of all,
        hidden), and such features for each of the language half's first layers (deepstack).
        """
        sizes = [(height, width) for _, height, width in grids.tolist()]
        pictures = pixels.split([height * width for height, width in sizes])
        seen = dict[int, torch.Tensor]()
        for size in dict.fromkeys(sizes):
            places = [place for place, own in enumerate(sizes) if own == size]
            alike = self._see(torch.stack([pictures[place] for place in places]), self._grid(size))
            seen |= zip(places, alike, strict=True)
        return list(torch.cat([seen[place] for place in range(len(sizes))], dim=1))

    def _see(self, pictures: torch.Tensor, grid: _Grid) -> torch.Tensor:
        """(pictures, patches, values) -> (pictures, tokens and features, tokens, hidden)."""
        hidden, features = linear(pictures, self.patch).add_(grid.embedding), []
        for index, block in enumerate(self.visual.blocks):
            hidden += self._attend(block.attn, _norm(hidden, block.norm1), grid)
            inner = linear(_norm(hidden, block.norm2), block.mlp.linear_fc1.weight, block.mlp.linear_fc1.bias)
            hidden += linear(_gelu(inner), block.mlp.linear_fc2.weight, block.mlp.linear_fc2.bias)
            if index in self.taps:
                features.append(self.taps[index](hidden))
        merged = [self.visual.merger(hidden), *features]
        return torch.stack([part.view(len(pictures), -1, part.shape[-1]) for part in merged], dim=1)

    def _attend(self, attention: Any, hidden: torch.Tensor, grid: _Grid) -> torch.Tensor:
        found = linear(hidden, attention.qkv.weight, attention.qkv.bias).unflatten(2, (3, self.heads, -1))
        both = found[:, :, :2]
        turned = (both * grid.cos).addcmul_(both.roll(both.shape[-1] // 2, dims=-1), grid.sin)
        queries, keys, values = (part.transpose(1, 2) for part in (*turned.unbind(2), found[:, :, 2]))
        got = scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        return linear(got, attention.proj.weight, attention.proj.bias)

    def _made(self, size: tuple[int, int]) -> _Grid:
        side = self.visual.num_grid_per_side
        table = self.visual.pos_embed.weight.view(1, side, side, -1).movedim(3, 1)
        places = interpolate(table, size, mode="bilinear", align_corners=True)[0].movedim(0, 2)
        rows, columns = torch.meshgrid(*(torch.arange(length).float() for length in size), indexing="ij")
        angles = torch.stack([rows, columns], dim=2)[..., None] * self.visual.rotary_pos_emb.inv_freq
        angles = self._in_order(angles.flatten(2))[:, None, None]
        cos, sin = angles.cos(), angles.sin()
        embedding = self._in_order(places) + self.visual.patch_embed.proj.bias
        return _Grid(embedding, torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1))

    def _in_order(self, grid: torch.Tensor) -> torch.Tensor:
        """(height, width, values) -> (patches, values), those that will be merged next to each other."""
        cells = grid.unflatten(1, (-1, self.merge)).unflatten(0, (-1, self.merge))
        return cells.transpose(1, 2).flatten(0, 3)


def _norm(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
    return layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _gelu(x: torch.Tensor) -> torch.Tensor:
    """gelu's tanh form, x·σ(2·√(2/π)·(x + 0.044715·x³)): a CPU has a fast σ and a slow tanh."""
    scale = 2 * math.sqrt(2 / math.pi)
    inner = x.square().mul_(0.044715 * scale).add_(scale).mul_(x)
    return inner.sigmoid_().mul_(x)
