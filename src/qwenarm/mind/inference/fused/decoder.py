"""The language half of a dense Qwen-VL model in few operations, for models that decode faster than Python calls layers.

The weights are those of the loaded model, not copies of them; the sums are those of transformers' layers, up to their
order (tests/mind/test_lean.py holds one against the other). What is spared are calls: queries, keys and values come out
of one matrix product, as do the two halves of the MLP; norms and rotation treat queries and keys at once; grouped heads
attend as more queries of one head. Keys and values lie in a buffer with room to grow. Of the last layer only keys and
values are made for every token: what else it computes is wanted of the last ones alone.

For layers of full attention with a dense MLP (Qwen2.5-VL, dense Qwen3-VL) whose weights lie unquantised on one device.
Everything else runs as transformers has it (``whole.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from qwenarm.mind.inference.fused.packed_linear import Linear, packs
from qwenarm.mind.inference.fused.vision import LeanTower
from qwenarm.mind.inference.transformers_forward import moments, multiply_patches

DENSE = ("qwen2_5_vl", "qwen3_vl")
ROOM = 64
"""Slots for tokens to come, whenever a cache is made or has grown full."""


class LeanCache:
    """Keys and values: (layers, rows, key heads, slots, head size). The first ``length`` slots are written."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, length: int) -> None:
        self.keys, self.values, self.length = keys, values, length

    def get_seq_length(self) -> int:
        return self.length

    def reorder_cache(self, rows: torch.Tensor) -> None:
        """Keeps these rows, in this order; some may be named twice."""
        self.keys, self.values = (part.index_select(1, rows) for part in (self.keys, self.values))

    def forget(self, width: int) -> None:
        """Goes back by so many tokens."""
        self.length -= width

    def extend(self, width: int) -> None:
        """Makes room for so many tokens more."""
        missing = self.length + width - self.keys.shape[3]
        if missing > 0:
            self.keys, self.values = (_longer(part, missing + ROOM) for part in (self.keys, self.values))


def _longer(part: torch.Tensor, slots: int) -> torch.Tensor:
    layers, rows, heads, _, size = part.shape
    return torch.cat([part, part.new_zeros(layers, rows, heads, slots, size)], dim=3)


@dataclass(frozen=True)
class _Layer:
    """qk (heads, size): of the norms of queries and keys."""

    before: torch.Tensor
    qkv: Linear
    qk: torch.Tensor | None
    out: Linear
    between: torch.Tensor
    gate_up: Linear
    down: Linear


class Lean:
    """A model of transformers, read and written through its own weights."""

    goes_back = True
    """Whether its caches can forget their last tokens."""

    @torch.no_grad()
    def __init__(self, model: Any) -> None:
        self.model, self.text, self.packed = model, model.model.language_model, packs(model)
        config = model.config.get_text_config()
        self.heads, self.kept = config.num_attention_heads, config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.epsilon, self.image = config.rms_norm_eps, model.config.image_token_id
        self.least = torch.tensor(self.epsilon)
        self.layers = [self._layer(layer) for layer in self.text.layers]
        self.head = Linear(model.lm_head.weight, packed=self.packed)
        visual = model.model.visual
        self.tower = LeanTower(visual, self.packed) if LeanTower.fits(visual) else None
        multiply_patches(visual.patch_embed)

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether a model is one of those that can be run this way."""
        moved = getattr(model, "hf_device_map", None) is not None or getattr(model, "is_quantized", False)
        return model.config.model_type in DENSE and not moved

    def new_cache(self, rows: int = 1) -> LeanCache:
        shape = (len(self.layers), rows, self.kept, 0, self.size)
        weight = self.layers[0].qkv.weight
        return LeanCache(weight.new_empty(shape), weight.new_empty(shape), 0)

    def copy(self, cache: LeanCache, rows: int, slots: int) -> LeanCache:
        """The same beginning for so many rows, with room for so many tokens more."""
        keys, values = (_longer(part.expand(-1, rows, -1, -1, -1), slots + ROOM) for part in (cache.keys, cache.values))
        return LeanCache(keys, values, cache.length)

    def forward(
        self,
        ids: torch.Tensor,
        position: torch.Tensor,
        mask: torch.Tensor | None,
        cache: LeanCache,
        pixels: torch.Tensor | None = None,
        grid: torch.Tensor | None = None,
        wanted: int = 1,
    ) -> torch.Tensor:
        """ids (rows, width), position (3, rows, width), mask (rows, length + width) bool -> the logits (rows, wanted,
        vocabulary) behind the last tokens. Keys and values are added to the cache. pixels (patches, values of one
        moment), grid (frames, 3) int64 on the CPU.
        """
        hidden, shown, deep = self.text.embed_tokens(ids), None, []
        if pixels is not None:
            assert grid is not None
            seen, *deep = self._see(pixels, grid)
            shown = (ids == self.image).nonzero().unbind(1)
            hidden[shown] = seen.to(hidden.dtype)
        cache.extend(ids.shape[1])
        start, cache.length = cache.length, cache.length + ids.shape[1]
        slots = torch.arange(start, cache.length, device=ids.device)
        alone = mask is None and ids.shape[1] == 1  # one token may look at all that there is
        counts = slots.new_ones(1, cache.length, dtype=torch.bool) if mask is None else mask
        allowed = None if alone else self._looks(counts, slots, ids)
        return self._run(hidden, position, slots, allowed, cache, cache.length, wanted, shown, deep)

    def _see(self, pixels: torch.Tensor, grid: torch.Tensor) -> list[torch.Tensor]:
        """The visual tokens (tokens, hidden) of all frames, and what they add behind the first layers (deepstack)."""
        if self.tower is not None:
            return self.tower.forward(pixels, grid)
        patches = moments(pixels, self.model.config.vision_config)
        seen = self.model.model.get_image_features(patches, grid.to(pixels.device), return_dict=True)
        return [torch.cat(part) for part in (seen.pooler_output, *(getattr(seen, "deepstack_features", None) or ()))]

    def _run(
        self,
        hidden: torch.Tensor,
        position: torch.Tensor,
        slots: torch.Tensor,
        allowed: torch.Tensor | None,
        cache: LeanCache,
        span: int,
        wanted: int = 1,
        shown: tuple[torch.Tensor, ...] | None = None,
        deep: Sequence[torch.Tensor] = (),
    ) -> torch.Tensor:
        """Embedded tokens (rows, width, hidden) -> logits (rows, wanted, vocabulary). slots (width,): where their keys
        and values go. span: so many slots are looked at. shown: rows and columns of the visual tokens, deep: features
        of frames for the first layers.
        """
        turn = self._turn(hidden, position)
        keys, values = cache.keys.narrow(3, 0, span).unbind(), cache.values.narrow(3, 0, span).unbind()
        for index, layer in enumerate(self.layers):
            width = hidden.shape[1]
            if index == len(self.layers) - 1 and index >= len(deep):
                width, allowed = wanted, self._of_last(wanted, allowed)
            held = keys[index], values[index]
            hidden = hidden[:, -width:] + self._attend(layer, hidden, width, turn, held, slots, allowed)
            gate, up = layer.gate_up(self._norm(hidden, layer.between)).chunk(2, dim=-1)
            hidden += layer.down(silu(gate) * up)
            if index < len(deep):
                hidden[shown] += deep[index].to(hidden.dtype)
        return self.head(self._norm(hidden[:, -wanted:], self.text.norm.weight))

    def _norm(self, hidden: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        if not self.packed:
            return rms_norm(hidden, hidden.shape[-1:], weight, self.epsilon)
        # The same sums; on a CPU torch's own takes three times as many operations for them.
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        normed = hidden * torch.addcmul(self.least, length, length, value=1 / hidden.shape[-1]).rsqrt_()
        return normed if weight is None else normed.mul_(weight)

    def _turn(self, hidden: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of the rotation, (rows, width, 1, size); the sines of the first half are negative, as what
        they are multiplied with is x rolled by half its length.
        """
        cos, sin = self.text.rotary_emb(hidden, position)
        first, second = sin.chunk(2, dim=-1)
        return cos[:, :, None], torch.cat([-first, second], dim=-1)[:, :, None]

    def _looks(self, counts: torch.Tensor, slots: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """counts (1 or rows, span) bool -> (rows, 1, heads per key x width, span), 0 for the slots that each token may
        look at, -inf for others. Those are earlier ones that count, and its own (a gap that looks nowhere would be no
        number).
        """
        (rows, width), span = ids.shape, counts.shape[1]
        every, own = torch.arange(span, device=ids.device), slots[:, None]
        seen = (every < own) & counts[:, None] | (every == own)
        group = self.heads // self.kept
        looks = self.layers[0].qkv.weight.new_zeros(seen.shape).masked_fill_(~seen, -torch.inf)
        return looks[:, None].expand(rows, group, width, span).reshape(rows, 1, group * width, span)

    def _of_last(self, wanted: int, allowed: torch.Tensor | None) -> torch.Tensor | None:
        """What the last tokens may look at."""
        group = self.heads // self.kept
        return None if allowed is None else allowed.unflatten(2, (group, -1))[:, :, :, -wanted:].flatten(2, 3)

    def _attend(
        self,
        layer: _Layer,
        hidden: torch.Tensor,
        wanted: int,
        turn: tuple[torch.Tensor, torch.Tensor],
        held: tuple[torch.Tensor, torch.Tensor],
        slots: torch.Tensor,
        allowed: torch.Tensor | None,
    ) -> torch.Tensor:
        """Keeps the keys and values of all tokens, and lets the last ``wanted`` of them attend."""
        (rows, width, _), (keys, values) = hidden.shape, held
        found = layer.qkv(self._norm(hidden, layer.before)).view(rows, width, -1, self.size)
        both, own = found.narrow(2, 0, self.heads + self.kept), found.narrow(2, self.heads + self.kept, self.kept)
        if layer.qk is not None:
            both = self._norm(both, None) * layer.qk
        both = (both * turn[0]).addcmul_(both.roll(self.size // 2, dims=-1), turn[1])
        keys.index_copy_(2, slots, both.narrow(2, self.heads, self.kept).transpose(1, 2))
        values.index_copy_(2, slots, own.transpose(1, 2))
        asked = both.narrow(2, 0, self.heads)[:, -wanted:].transpose(1, 2).reshape(rows, self.kept, -1, self.size)
        got = scaled_dot_product_attention(asked, keys, values, allowed)
        got = got.view(rows, self.heads, wanted, self.size).transpose(1, 2)
        return layer.out(got.reshape(rows, wanted, -1))

    def _layer(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        qkv = (attention.q_proj, attention.k_proj, attention.v_proj)
        biases = [part.bias for part in qkv if part.bias is not None]
        norms = [(attention.q_norm, self.heads), (attention.k_norm, self.kept)] if hasattr(attention, "q_norm") else []
        return _Layer(
            before=layer.input_layernorm.weight,
            qkv=Linear(_joined(qkv), torch.cat(biases) if biases else None, self.packed),
            qk=torch.cat([norm.weight.expand(heads, -1) for norm, heads in norms]) if norms else None,
            out=Linear(attention.o_proj.weight, packed=self.packed),
            between=layer.post_attention_layernorm.weight,
            gate_up=Linear(_joined((mlp.gate_proj, mlp.up_proj)), packed=self.packed),
            down=Linear(mlp.down_proj.weight, packed=self.packed),
        )


def _joined(parts: Sequence[Any]) -> torch.Tensor:
    """The weights of linear layers in one matrix, of which they become views.

    On a CPU in fp32 it lies transposed: MKL multiplies one row by that in half the time.
    """
    whole = torch.cat([part.weight.data for part in parts])
    if whole.device.type == "cpu" and whole.dtype == torch.float32:
        whole = whole.t().contiguous().t()
    for part, view in zip(parts, whole.split([part.weight.shape[0] for part in parts]), strict=True):
        part.weight.data = view
    return whole
