"""The fused vision tower computes what transformers' tower does, for any images, and only where it knows the tower."""

import copy

import pytest
import torch

from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.checkpoints.model import load_model
from qwenarm.mind.checkpoints.placement import FreeMemory, MemoryNeed, ModelPlacement
from qwenarm.mind.inference.fused.packed_linear import can_pack
from qwenarm.mind.inference.fused.vision import MAX_CACHED_GRIDS, FusedVision
from qwenarm.mind.inference.transformers_forward import repeat_in_time

ON_CPU = ModelPlacement(FreeMemory("cpu", (1 << 30,)), "float32", MemoryNeed(0, 0))
SETS = (
    [(12, 16)],
    [(4, 4), (4, 4), (4, 4)],
    [(6, 4), (2, 8), (6, 4), (16, 12)],
    [(2 * side, 4) for side in range(1, MAX_CACHED_GRIDS + 3)] * 2,
)


@pytest.fixture(scope="module", params=["qwen3_vl", "bundled"])
def model(request, save_tiny, tmp_path_factory):
    own = request.param == "bundled"
    folder = None if own else save_tiny(tmp_path_factory.mktemp("tower") / request.param, request.param)
    return load_model(locate("bundled" if own else str(folder)), ON_CPU)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sizes", SETS, ids=len)
@torch.inference_mode()
def test_every_feature_is_that_of_transformers(model, sizes, packed):
    vision, grids = model.config.vision_config, torch.tensor([(1, *size) for size in sizes])
    source = torch.Generator().manual_seed(len(sizes))
    pixels = torch.randn(int(grids.prod(1).sum()), 3 * vision.patch_size**2, generator=source)
    plain = model.model.get_image_features(repeat_in_time(pixels, vision), grids, return_dict=True)
    fused = FusedVision(model.model.visual, packed and can_pack(model))(pixels, grids)
    assert len(fused) == 1 + len(vision.deepstack_visual_indexes)
    for seen, expected in zip(fused, [plain.pooler_output, *plain.deepstack_features], strict=True):
        expected = torch.cat(expected)
        torch.testing.assert_close(seen, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@torch.inference_mode()
def test_bfloat16_loses_no_more_than_in_transformers(model):
    vision, grids = model.config.vision_config, torch.tensor([(1, 12, 16), (1, 6, 4)])
    pixels = torch.randn(int(grids.prod(1).sum()), 3 * vision.patch_size**2, generator=torch.Generator().manual_seed(0))
    true, coarse = FusedVision(model.model.visual)(pixels, grids), copy.deepcopy(model).to(torch.bfloat16)
    found = coarse.model.get_image_features(repeat_in_time(pixels.bfloat16(), vision), grids, return_dict=True)
    theirs = [torch.cat(part) for part in (found.pooler_output, *found.deepstack_features)]
    ours = FusedVision(coarse.model.visual)(pixels.bfloat16(), grids)
    for right, one, other in zip(true, ours, theirs, strict=True):
        assert one.dtype == torch.bfloat16
        assert (one - right).norm() <= 1.25 * (other - right).norm()


@pytest.mark.parametrize(("kind", "known"), [("qwen3_vl", True), ("qwen2_5_vl", False), ("qwen3_5", False)])
def test_only_qwen3_vl_is_supported(save_tiny, tmp_path, kind, known):
    model = load_model(locate(str(save_tiny(tmp_path / kind, kind))), ON_CPU)
    assert FusedVision.supports(model.model.visual) == known
    model.model.visual.config.hidden_act = "gelu"
    assert not FusedVision.supports(model.model.visual)
