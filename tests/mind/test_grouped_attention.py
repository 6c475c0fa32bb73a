"""Grouped attention computes what transformers' "sdpa" computes."""

from types import SimpleNamespace

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.inference.engine import Engine
from qwenarm.mind.inference.grouped_attention import GROUPED_ATTENTION, grouped_attention


@pytest.mark.parametrize("tokens", [1, 5])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("masked", [True, False])
def test_it_is_the_same_attention(tokens, groups, masked):
    torch.manual_seed(0)
    heads, cached = 2, 7
    layer = SimpleNamespace(num_key_value_groups=groups, is_causal=True, training=False)
    query = torch.randn(4, heads * groups, tokens, 8)
    key, value = torch.randn(2, 4, heads, cached + tokens if masked else tokens, 8)
    mask = None
    if masked:
        mask = torch.ones(tokens, cached + tokens, dtype=torch.bool).tril(cached).repeat(4, 1, 1, 1)
        mask[1, :, :, 2:5] = False
    ours, _ = grouped_attention(layer, query, key, value, mask, scaling=0.4)
    theirs, _ = sdpa_attention_forward(layer, query, key, value, mask, scaling=0.4)
    assert ours.shape == (4, tokens, heads * groups, 8)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_engine_uses_it_for_the_language_alone(tiny):
    model = QwenVL(str(tiny), device="cpu", fused=False).model
    assert type(Engine(model)) is Engine
    assert model.config.text_config._attn_implementation == GROUPED_ATTENTION
    assert model.config.vision_config._attn_implementation == "sdpa"
