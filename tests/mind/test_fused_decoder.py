"""The fused decoder computes what transformers' layers compute, and leaves them their weights."""

import pytest
import torch

from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.checkpoints.model import load_model
from qwenarm.mind.checkpoints.placement import FreeMemory, MemoryNeed, ModelPlacement
from qwenarm.mind.inference.fused.decoder import SPARE_CACHE_TOKENS, FusedDecoder
from qwenarm.mind.inference.transformers_forward import TransformersForward

DENSE = ("qwen2_5_vl", "qwen3_vl")
ON_CPU = ModelPlacement(FreeMemory("cpu", (1 << 30,)), "float32", MemoryNeed(0, 0))
WIDTH = 11
STEPS = SPARE_CACHE_TOKENS // WIDTH + 2
"""More steps than the first cache has room for."""
close = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module", params=(*DENSE, "bundled"))
def both(request, save_tiny, tmp_path_factory):
    """The same weights, run fused and by transformers."""
    folder = tmp_path_factory.mktemp("decoder") / request.param
    source = request.param if request.param == "bundled" else str(save_tiny(folder, request.param))
    fused, plain = (load_model(locate(source), ON_CPU) for _ in range(2))
    return FusedDecoder(fused), TransformersForward(plain)


def asked(rows, width, seed):
    """Random words; M-RoPE counts alike along all three axes."""
    source = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 200, (rows, width), generator=source)
    return ids, torch.arange(width).expand(3, rows, -1)


def test_a_prefix_a_batch_with_gaps_and_many_steps(both):
    for fused, plain in zip(*(logits_of(passes) for passes in both), strict=True):
        torch.testing.assert_close(fused, plain, **close)


@torch.inference_mode()
def logits_of(passes, device="cpu"):
    """All logits of a prefix, of three rows with gaps behind it, of many steps in which rows leave, and again of the
    prefix.
    """

    def forward(ids, places, mask, cache):
        shown = None if mask is None else mask.to(device)
        found.append(passes(ids.to(device), places.to(device), shown, cache).cpu().clone())

    found, prefix = [], passes.new_cache()
    forward(*asked(1, 7, 0), None, prefix)
    cache = passes.copy_cache(prefix, 3, 5)
    mask = torch.ones(3, 12, dtype=torch.bool)
    mask[0, 7:9] = mask[2, 7:8] = False
    ids, places = asked(3, 5, 1)
    forward(ids, places + 7, mask, cache)
    for step in range(STEPS):
        ids, places = asked(3, WIDTH, step)
        counts = torch.ones(3, WIDTH, dtype=torch.bool)
        counts[0, 0] = step % 2 == 0
        mask = torch.cat([mask, counts], dim=1)
        forward(ids, places + 12 + step, mask, cache)
    for rows in ([2, 0], [1]):  # of those that are there
        cache.reorder_cache(torch.tensor(rows, device=device))
        ids, places = asked(len(rows), WIDTH, 99)
        mask = torch.cat([mask[rows], torch.ones(len(rows), WIDTH, dtype=torch.bool)], dim=1)
        forward(ids, places + 99, mask, cache)
    assert cache.get_seq_length() == 12 + WIDTH * (STEPS + 2)
    forward(*asked(1, 1, 9), None, prefix)  # which is as it was
    return found


@torch.inference_mode()
def test_frames_are_seen_alike(both):
    vision = both[0].model.config.vision_config
    ids, grid = torch.tensor([[9, *[both[0].image_token] * 4, 10]]), torch.tensor([[1, 4, 4]])
    pixels = torch.randn(16, 3 * vision.patch_size**2, generator=torch.Generator().manual_seed(0))
    places = torch.arange(6).expand(3, 1, -1)
    fused, plain = (passes(ids, places, None, passes.new_cache(), pixels, grid) for passes in both)
    torch.testing.assert_close(fused, plain, **close)


@torch.inference_mode()
def test_transformers_layers_keep_their_weights(both):
    fused, plain = both
    ids, _ = asked(2, 6, 3)
    torch.testing.assert_close(fused.model(input_ids=ids).logits, plain.model(input_ids=ids).logits, **close)
    for layer, parts in zip(fused.layers, fused.text.layers, strict=True):
        assert (
            layer.qkv.weight.untyped_storage().data_ptr() == parts.self_attn.k_proj.weight.untyped_storage().data_ptr()
        )
        assert (
            layer.gate_up.weight.untyped_storage().data_ptr() == parts.mlp.up_proj.weight.untyped_storage().data_ptr()
        )


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5"])
def test_only_dense_models_on_one_device_are_supported(save_tiny, tmp_path, kind):
    model = load_model(locate(str(save_tiny(tmp_path / kind, kind))), ON_CPU)
    assert FusedDecoder.supports(model) == (kind in DENSE)
    model.hf_device_map = {"": 0}
    assert not FusedDecoder.supports(model)
