"""The vision tower of Qwen3-VL in few operations, for pictures so small that the calls take as long as the sums.

The weights are those of the loaded model; the sums are those of transformers' tower, up to their order
(tests/mind/test_lean_tower.py holds one against the other). What is spared: positions and their embeddings depend on a
picture's grid alone and are kept; a still picture is two equal moments, so it is embedded once, by the sum of both
moments' weights; pictures of the same grid attend in one call; queries and keys are turned together; weights are packed
(``packed.py``) where that pays. Nothing in it waits for a GPU; transformers' tower does so three times a layer.

For Qwen3-VL. All other towers run as transformers has them (``lean.py``, ``whole.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.nn.functional import interpolate, layer_norm, scaled_dot_product_attention

from qwenarm.mind.inference.fused.packed_linear import Linear

GRIDS = 16
"""Of so many grids the constants are kept."""


@dataclass(frozen=True)
class _Grid:
    """What all pictures of one grid share. embedding (patches, hidden): of the places, and the patches' bias. cos and
    sin (patches, 1, 1, head size) float32 of the rotation; the sines of the first half are negative, as what they are
    multiplied with is x rolled by half its length.
    """

    embedding: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor


@dataclass(frozen=True)
class _Block:
    """Norms are transformers' own modules."""

    before: Any
    qkv: Linear
    out: Linear
    between: Any
    up: Linear
    down: Linear


@dataclass(frozen=True)
class _Merger:
    """Makes one token of each group of patches. wide: the norm is over a group, not over each patch."""

    norm: Any
    wide: bool
    first: Linear
    second: Linear


class LeanTower:
    """The tower of a model of transformers, run through its own weights, which do not change meanwhile. packed: whether
    they are (``packed.py``).
    """

    def __init__(self, visual: Any, packed: bool = False) -> None:
        self.visual, self.packed, config = visual, packed, visual.config
        self.heads, self.merge = config.num_heads, config.spatial_merge_size
        weight = visual.patch_embed.proj.weight  # (hidden, channels, moments, patch, patch)
        self.patch = Linear(weight.float().sum(dim=2).flatten(1).to(weight.dtype), packed=packed)
        self.blocks = [self._block(block) for block in visual.blocks]
        self.merger, *mergers = (self._merger(part) for part in (visual.merger, *visual.deepstack_merger_list))
        self.taps = dict(zip(visual.deepstack_visual_indexes, mergers, strict=True))
        self._grid = lru_cache(maxsize=GRIDS)(self._made)

    @staticmethod
    def fits(visual: Any) -> bool:
        """Whether a tower is one of those that can be run this way."""
        config = visual.config
        return config.model_type == "qwen3_vl_vision" and config.hidden_act == "gelu_pytorch_tanh"

    def forward(self, pixels: torch.Tensor, grids: torch.Tensor) -> list[torch.Tensor]:
        """pixels (patches of all, values of one moment), grids (pictures, 3) int64 on the CPU -> the visual tokens
        (tokens of all, hidden), and such features for each of the language half's first layers (deepstack).
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
        hidden, features = self.patch(pictures).add_(grid.embedding), []
        for index, block in enumerate(self.blocks):
            hidden += self._attend(block, hidden, grid)
            hidden += block.down(block.up.gelu(_norm(hidden, block.between), "tanh"))
            if index in self.taps:
                features.append(_merged(hidden, self.taps[index]))
        return torch.stack([_merged(hidden, self.merger), *features], dim=1)

    def _attend(self, block: _Block, hidden: torch.Tensor, grid: _Grid) -> torch.Tensor:
        found = block.qkv(_norm(hidden, block.before)).unflatten(2, (3, self.heads, -1))
        both = found[:, :, :2].float()
        turned = (both * grid.cos).addcmul_(both.roll(both.shape[-1] // 2, dims=-1), grid.sin).to(found.dtype)
        queries, keys, values = (part.transpose(1, 2) for part in (*turned.unbind(2), found[:, :, 2]))
        return block.out(scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))

    def _block(self, block: Any) -> _Block:
        attention, mlp = block.attn, block.mlp
        qkv, out, up, down = map(self._linear, (attention.qkv, attention.proj, mlp.linear_fc1, mlp.linear_fc2))
        return _Block(block.norm1, qkv, out, block.norm2, up, down)

    def _merger(self, part: Any) -> _Merger:
        first, second = map(self._linear, (part.linear_fc1, part.linear_fc2))
        return _Merger(part.norm, part.use_postshuffle_norm, first, second)

    def _linear(self, layer: Any) -> Linear:
        return Linear(layer.weight, layer.bias, self.packed)

    def _made(self, size: tuple[int, int]) -> _Grid:
        side = self.visual.num_grid_per_side
        table = self.visual.pos_embed.weight.float().view(1, side, side, -1).movedim(3, 1)
        places = interpolate(table, size, mode="bilinear", align_corners=True)[0].movedim(0, 2)
        lines = (torch.arange(length, dtype=torch.float32, device=table.device) for length in size)
        rows, columns = torch.meshgrid(*lines, indexing="ij")
        angles = torch.stack([rows, columns], dim=2)[..., None] * self.visual.rotary_pos_emb.inv_freq.float()
        angles = self._in_order(angles.flatten(2))[:, None, None]
        cos, sin = angles.cos(), angles.sin()
        bias = self.visual.patch_embed.proj.bias
        embedding = (self._in_order(places) + bias.float()).to(bias.dtype)
        return _Grid(embedding, torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1))

    def _in_order(self, grid: torch.Tensor) -> torch.Tensor:
        """(height, width, values) -> (patches, values), those that will be merged next to each other."""
        cells = grid.unflatten(1, (-1, self.merge)).unflatten(0, (-1, self.merge))
        return cells.transpose(1, 2).flatten(0, 3)


def _norm(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
    return layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _merged(hidden: torch.Tensor, merger: _Merger) -> torch.Tensor:
    """(pictures, patches, hidden) -> (pictures, tokens, hidden of the language half)."""
    grouped = (len(hidden), -1, merger.first.weight.shape[1])
    if merger.wide:
        groups = _norm(hidden.view(grouped), merger.norm)
    else:
        groups = _norm(hidden, merger.norm).view(grouped)
    return merger.second(merger.first.gelu(groups, "none"))
