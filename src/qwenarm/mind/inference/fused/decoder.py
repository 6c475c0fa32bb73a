"""The language model of a dense Qwen-VL in few operations, for models whose layers cost less than the calls to them.

It runs on the weights of the loaded model, not on copies, and computes what transformers' layers compute, up to the
order of sums (tests/mind/test_fused_decoder.py compares the two). What it saves:

* Queries, keys and values come out of one matrix product, and so do the two halves of the MLP. To that end their
  weights are joined in one matrix, and transformers' layers are given views of it.
* Norm and rotation treat queries and keys as one tensor.
* Several query heads share one key head (grouped-query attention). Instead of repeating keys and values, the queries of
  a group are concatenated and attend as additional tokens of a single head.
* Keys and values lie in one buffer with room to grow, so that a step appends to it in place.
* In the last layer, only keys and values are needed for every token; the rest is computed for the last tokens alone.

Models with full attention and a dense MLP (Qwen2.5-VL, dense Qwen3-VL) can run this way if their weights are
unquantised on one device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from qwenarm.mind.inference.fused.packed_linear import PackedLinear, can_pack
from qwenarm.mind.inference.fused.vision import FusedVision
from qwenarm.mind.inference.transformers_forward import embed_patches_by_product, repeat_in_time

DENSE_MODEL_TYPES = ("qwen2_5_vl", "qwen3_vl")
SPARE_CACHE_TOKENS = 64
"""Number of free slots that are added whenever a cache is copied or full."""


class KeyValueCache:
    """Keys and values of all layers: (layers, rows, key heads, slots, head size), with ``length`` slots in use."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, length: int) -> None:
        self.keys, self.values, self.length = keys, values, length

    def get_seq_length(self) -> int:
        """Returns the number of cached tokens."""
        return self.length

    def reorder_cache(self, rows: torch.Tensor) -> None:
        """Keeps these rows, in this order."""
        self.keys, self.values = (part.index_select(1, rows) for part in (self.keys, self.values))

    def drop_last(self, tokens: int) -> None:
        """Forgets the last tokens."""
        self.length -= tokens

    def append(self, tokens: int) -> slice:
        """Reserves the next slots, which are yet to be written, and adds room if needed."""
        start, self.length = self.length, self.length + tokens
        missing = self.length - self.keys.shape[3]
        if missing > 0:
            self.keys, self.values = (
                _with_slots(part, missing + SPARE_CACHE_TOKENS) for part in (self.keys, self.values)
            )
        return slice(start, self.length)


def _with_slots(part: torch.Tensor, slots: int) -> torch.Tensor:
    layers, rows, heads, _, size = part.shape
    return torch.cat([part, part.new_zeros(layers, rows, heads, slots, size)], dim=3)


@dataclass(frozen=True)
class _Layer:
    """The weights of a layer. ``qk_norm`` (query and key heads, head size) is None if those have no norms."""

    attention_norm: torch.Tensor
    qkv: PackedLinear
    qk_norm: torch.Tensor | None
    out: PackedLinear
    mlp_norm: torch.Tensor
    gate_up: PackedLinear
    down: PackedLinear


@dataclass(frozen=True)
class _Step:
    """What all layers share while they read some tokens.

    Attributes:
        cache: Keys and values.
        slots: The slots of the cache for the tokens' keys and values.
        cos: (rows, width, 1, head size) of the rotation.
        sin: The same shape; its first half is negative, because it is multiplied with x rolled by half its size.
        mask: (rows, 1, query heads per key head x width, slots in use), 0 where a token may attend and -inf
            elsewhere, or None if it may attend everywhere.
    """

    cache: KeyValueCache
    slots: slice
    cos: torch.Tensor
    sin: torch.Tensor
    mask: torch.Tensor | None


class FusedDecoder:
    """A ``ForwardPass`` with fused operations. It takes over the model's weights, which must then stay unchanged."""

    @torch.no_grad()
    def __init__(self, model: Any) -> None:
        self.model, self.text, self.pack = model, model.model.language_model, can_pack(model)
        config = model.config.get_text_config()
        self.query_heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        self.group = self.query_heads // self.key_heads
        self.head_size = getattr(config, "head_dim", None) or config.hidden_size // self.query_heads
        self.epsilon, self.image_token = config.rms_norm_eps, model.config.image_token_id
        self._epsilon = torch.tensor(self.epsilon)
        self.layers = [self._layer(layer) for layer in self.text.layers]
        self.head = PackedLinear(model.lm_head.weight, pack=self.pack)
        visual = model.model.visual
        self.vision = FusedVision(visual, self.pack) if FusedVision.supports(visual) else None
        embed_patches_by_product(visual.patch_embed)

    @staticmethod
    def supports(model: Any) -> bool:
        """Returns whether a model can run this way."""
        spread = getattr(model, "hf_device_map", None) is not None
        quantised = getattr(model, "is_quantized", False)
        return model.config.model_type in DENSE_MODEL_TYPES and not spread and not quantised

    def new_cache(self, rows: int = 1) -> KeyValueCache:
        shape = (len(self.layers), rows, self.key_heads, 0, self.head_size)
        weight = self.layers[0].qkv.weight
        return KeyValueCache(weight.new_empty(shape), weight.new_empty(shape), 0)

    def copy_cache(self, cache: KeyValueCache, rows: int, room: int) -> KeyValueCache:
        parts = (part.expand(-1, rows, -1, -1, -1) for part in (cache.keys, cache.values))
        keys, values = (_with_slots(part, room + SPARE_CACHE_TOKENS) for part in parts)
        return KeyValueCache(keys, values, cache.length)

    def __call__(
        self,
        ids: torch.Tensor,
        position: torch.Tensor,
        mask: torch.Tensor | None,
        cache: KeyValueCache,
        pixels: torch.Tensor | None = None,
        grids: torch.Tensor | None = None,
        logits_kept: int = 1,
    ) -> torch.Tensor:
        hidden, image_places, deepstack = self.text.embed_tokens(ids), None, []
        if pixels is not None:
            assert grids is not None
            tokens, *deepstack = self._encode_images(pixels, grids)
            image_places = (ids == self.image_token).nonzero().unbind(1)
            hidden[image_places] = tokens.to(hidden.dtype)
        slots = cache.append(ids.shape[1])
        cos, sin = self._rotation(hidden, position)
        step = _Step(cache, slots, cos, sin, self._attention_mask(mask, slots, ids))
        for index, layer in enumerate(self.layers):
            is_last = index == len(self.layers) - 1 and index >= len(deepstack)
            hidden = self._run_layer(layer, index, hidden, logits_kept if is_last else ids.shape[1], step)
            if index < len(deepstack):
                hidden[image_places] += deepstack[index].to(hidden.dtype)
        return self.head(self._normalise(hidden[:, -logits_kept:], self.text.norm.weight))

    def _encode_images(self, pixels: torch.Tensor, grids: torch.Tensor) -> Sequence[torch.Tensor]:
        """Returns the visual tokens (tokens, hidden) of all images, and what to add after the first layers."""
        if self.vision is not None:
            return self.vision(pixels, grids)
        patches = repeat_in_time(pixels, self.model.config.vision_config)
        encoded = self.model.model.get_image_features(patches, grids.to(pixels.device), return_dict=True)
        parts = (encoded.pooler_output, *(getattr(encoded, "deepstack_features", None) or ()))
        return [torch.cat(part) for part in parts]

    def _run_layer(self, layer: _Layer, index: int, hidden: torch.Tensor, kept: int, step: _Step) -> torch.Tensor:
        """Maps (rows, width, hidden) to (rows, kept, hidden) of the last tokens."""
        hidden = hidden[:, -kept:] + layer.out(self._attend(layer, index, hidden, kept, step))
        gate, up = layer.gate_up(self._normalise(hidden, layer.mlp_norm)).chunk(2, dim=-1)
        return hidden.add_(layer.down(silu(gate).mul_(up)))

    def _attend(self, layer: _Layer, index: int, hidden: torch.Tensor, kept: int, step: _Step) -> torch.Tensor:
        """Stores all keys and values, and lets the last ``kept`` tokens attend. Returns (rows, kept, heads x head
        size).
        """
        rows, width, _ = hidden.shape
        qkv = layer.qkv(self._normalise(hidden, layer.attention_norm)).view(rows, width, -1, self.head_size)
        qk, own_values = qkv.split([self.query_heads + self.key_heads, self.key_heads], dim=2)
        if layer.qk_norm is not None:
            qk = self._normalise(qk, None) * layer.qk_norm
        # The rotation turns element i and element i + half of each head as a pair; rolling by half swaps the two.
        qk = (qk * step.cos).addcmul_(qk.roll(self.head_size // 2, dims=-1), step.sin)
        queries, own_keys = qk.split([self.query_heads, self.key_heads], dim=2)
        keys, values = (part[index, :, :, : step.slots.stop] for part in (step.cache.keys, step.cache.values))
        keys[:, :, step.slots] = own_keys.transpose(1, 2)
        values[:, :, step.slots] = own_values.transpose(1, 2)
        # The query heads of a group are neighbours: (rows, key heads x group, kept, size) is regrouped, without moving
        # anything, as (rows, key heads, group x kept, size), in the order of the mask.
        queries = queries[:, -kept:].transpose(1, 2).reshape(rows, self.key_heads, -1, self.head_size)
        mask = step.mask
        if mask is not None and kept < width:
            mask = mask.unflatten(2, (self.group, width))[:, :, :, -kept:].flatten(2, 3)
        attended = scaled_dot_product_attention(queries, keys, values, mask)
        return attended.view(rows, self.query_heads, kept, self.head_size).transpose(1, 2).reshape(rows, kept, -1)

    def _normalise(self, hidden: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        """Applies RMS norm over the last dimension."""
        if not self.pack:
            return rms_norm(hidden, hidden.shape[-1:], weight, self.epsilon)
        # On a CPU, torch's own RMS norm takes three times as many operations.
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        normed = hidden * torch.addcmul(self._epsilon, length, length, value=1 / hidden.shape[-1]).rsqrt_()
        return normed if weight is None else normed.mul_(weight)

    def _rotation(self, hidden: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns cos and sin of a ``_Step``."""
        cos, sin = self.text.rotary_emb(hidden, position)
        first, second = sin.chunk(2, dim=-1)
        return cos[:, :, None], torch.cat([-first, second], dim=-1)[:, :, None]

    def _attention_mask(self, mask: torch.Tensor | None, slots: slice, ids: torch.Tensor) -> torch.Tensor | None:
        """Returns the mask of a ``_Step``: every token may attend to itself, and to earlier ones outside of gaps.

        Tokens in gaps attend to themselves too, because a softmax over nothing is not a number.

        Args:
            mask: (rows, slots in use) bool, false in gaps; or None.
            slots: The slots of the tokens that are read.
            ids: (rows, width) tokens that are read.
        """
        rows, width = ids.shape
        if mask is None and width == 1:
            return None
        every = torch.arange(slots.stop, device=ids.device)
        own = every[slots, None]
        earlier = every < own
        allowed = (earlier if mask is None else earlier & mask[:, None]) | (every == own)
        bias = self.layers[0].qkv.weight.new_zeros(allowed.shape).masked_fill_(~allowed, -torch.inf)
        return bias.expand(rows, width, -1).repeat(1, self.group, 1)[:, None]

    def _layer(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        qkv = (attention.q_proj, attention.k_proj, attention.v_proj)
        biases = [part.bias for part in qkv if part.bias is not None]
        norms = None
        if hasattr(attention, "q_norm"):
            heads = ((attention.q_norm, self.query_heads), (attention.k_norm, self.key_heads))
            norms = torch.cat([norm.weight.expand(count, -1) for norm, count in heads])
        return _Layer(
            attention_norm=layer.input_layernorm.weight,
            qkv=PackedLinear(_join(qkv), torch.cat(biases) if biases else None, self.pack),
            qk_norm=norms,
            out=PackedLinear(attention.o_proj.weight, pack=self.pack),
            mlp_norm=layer.post_attention_layernorm.weight,
            gate_up=PackedLinear(_join((mlp.gate_proj, mlp.up_proj)), pack=self.pack),
            down=PackedLinear(mlp.down_proj.weight, pack=self.pack),
        )


def _join(layers: Sequence[Any]) -> torch.Tensor:
    """Joins the weights of linear layers in one matrix, of which they become views.

    On a CPU in float32 the matrix is stored transposed, because MKL then multiplies a single row in half the time.
    """
    joined = torch.cat([layer.weight.data for layer in layers])
    if joined.device.type == "cpu" and joined.dtype == torch.float32:
        joined = joined.t().contiguous().t()
    for layer, view in zip(layers, joined.split([layer.weight.shape[0] for layer in layers]), strict=True):
        layer.weight.data = view
    return joined
