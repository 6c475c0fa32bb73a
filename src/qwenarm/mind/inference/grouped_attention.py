"""Attention of grouped queries on a CPU without copies of keys and values.

In a Qwen model several query heads share one head of keys and values. Where a mask is needed, and more than one token
is read, transformers' "sdpa" repeats keys and values for each of them, which at every token copies the whole cache
several times. Here the queries of a group are laid behind one another instead, as if they were more tokens of one head:
it is the same sum for each of them, and the cache is read once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED_ATTENTION = "qwenarm_grouped"
"""Its name among transformers' implementations of attention."""


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Computes the same as transformers' ``sdpa_attention_forward``.

    Args:
        module: The layer, with ``num_key_value_groups``.
        query: (B, heads, tokens, size) float.
        key, value: (B, heads / groups, cached + tokens, size) float.
        attention_mask: (B, 1, tokens, cached + tokens) bool or float, or None.
        scaling: Factor of the products of queries and keys; by default 1 / sqrt(size).
        options: The others of ``sdpa_attention_forward``.

    Returns:
        (B, tokens, heads, size) float, and no weights.
    """
    groups = getattr(module, "num_key_value_groups", 1)
    batch, heads, tokens, size = query.shape
    if groups == 1 or tokens == 1 or attention_mask is None or attention_mask.shape[1] != 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    answered = scaled_dot_product_attention(
        query.reshape(batch, heads // groups, groups * tokens, size),
        key,
        value,
        attn_mask=attention_mask.repeat(1, 1, groups, 1),
        scale=scaling,
    )
    return answered.reshape(batch, heads, tokens, size).transpose(1, 2).contiguous(), None


def use_grouped_attention(model: Any) -> None:
    """Makes a model's language layers use it, on a CPU and if they would use "sdpa"."""
    config = model.config.get_text_config()
    if model.device.type != "cpu" or config._attn_implementation != "sdpa":
        return
    whole = config is model.config
    model.set_attn_implementation(GROUPED_ATTENTION if whole else {"text_config": GROUPED_ATTENTION})


AttentionInterface.register(GROUPED_ATTENTION, grouped_attention)
AttentionMaskInterface.register(GROUPED_ATTENTION, sdpa_mask)
