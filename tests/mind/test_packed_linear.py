"""Packed layers compute what plain ones do, and only small models on a CPU are packed."""

import pytest
import torch
from torch.nn.functional import gelu, linear

from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.checkpoints.model import load_model
from qwenarm.mind.checkpoints.placement import FreeMemory, MemoryNeed, ModelPlacement
from qwenarm.mind.inference.fused import packed_linear
from qwenarm.mind.inference.fused.decoder import FusedDecoder

ON_CPU = ModelPlacement(FreeMemory("cpu", (1 << 30,)), "float32", MemoryNeed(0, 0))


@pytest.fixture
def model(save_tiny, tmp_path):
    return load_model(locate(str(save_tiny(tmp_path / "model"))), ON_CPU)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@torch.inference_mode()
def test_a_packed_layer_is_the_layer(model, biased, transposed):
    source = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(40, 24, generator=source), torch.randn(40, generator=source) if biased else None
    weight = weight.t().contiguous().t() if transposed else weight
    for part in (
        packed_linear.PackedLinear(weight, bias, packed_linear.can_pack(model)),
        packed_linear.PackedLinear(weight, bias),
    ):
        for shape in ((1, 1), (1, 3), (2, 70), (3, 1)):
            x = torch.randn(*shape, 24, generator=source)
            expected = linear(x, weight, bias)
            torch.testing.assert_close(part(x), expected, rtol=1e-5, atol=1e-5)
            for form in ("none", "tanh"):
                torch.testing.assert_close(part.gelu(x, form), gelu(expected, approximate=form), rtol=1e-5, atol=1e-5)


def test_large_models_and_other_numbers_are_left_alone(model, monkeypatch):
    here = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX")
    assert packed_linear.can_pack(model) == here
    monkeypatch.setattr(packed_linear, "MAX_PACKED_BYTES", 1000)
    assert not packed_linear.can_pack(model)
    monkeypatch.undo()
    assert not packed_linear.can_pack(model.to(torch.bfloat16))


@torch.inference_mode()
def test_a_model_computes_alike_packed_and_plain(model, monkeypatch):
    ids, places = torch.tensor([[5, 6, 7]]), torch.arange(3).expand(3, 1, -1)
    packing = FusedDecoder(model)
    expected = packing(ids, places, None, packing.new_cache())
    monkeypatch.setattr(packed_linear, "MAX_PACKED_BYTES", 0)
    plain = FusedDecoder(model)
    torch.testing.assert_close(plain(ids, places, None, plain.new_cache()), expected, rtol=1e-4, atol=1e-4)
