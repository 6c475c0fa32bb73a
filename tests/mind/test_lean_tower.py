"""The lean tower computes what transformers' tower computes, for any pictures, and only where it knows the tower."""

import copy

import pytest
import torch

from qwenarm.mind.checkpoints.load import load_model, locate
from qwenarm.mind.checkpoints.placement import Need, Plan, Room
from qwenarm.mind.inference.engine import Engine
from qwenarm.mind.inference.fused.decoder import Lean
from qwenarm.mind.inference.fused.packed_linear import packs
from qwenarm.mind.inference.fused.vision import GRIDS, LeanTower
from qwenarm.mind.inference.transformers_forward import moments

PLAN = Plan(Room("cpu", (1 << 30,)), "float32", Need(0, 0))
SETS = (
    [(12, 16)],
    [(4, 4), (4, 4), (4, 4)],
    [(6, 4), (2, 8), (6, 4), (16, 12)],
    [(2 * side, 4) for side in range(1, GRIDS + 3)] * 2,
)


@pytest.fixture(scope="module", params=["qwen3_vl", "bundled"])
def model(request, save_tiny, tmp_path_factory):
    own = request.param == "bundled"
    folder = None if own else save_tiny(tmp_path_factory.mktemp("tower") / request.param, request.param)
    return load_model(locate("bundled" if own else str(folder)), PLAN)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sizes", SETS, ids=len)
@torch.inference_mode()
def test_every_feature_is_that_of_transformers(model, sizes, packed):
    vision, grids = model.config.vision_config, torch.tensor([(1, *size) for size in sizes])
    source = torch.Generator().manual_seed(len(sizes))
    pixels = torch.randn(int(grids.prod(1).sum()), 3 * vision.patch_size**2, generator=source)
    whole = model.model.get_image_features(moments(pixels, vision), grids, return_dict=True)
    lean = LeanTower(model.model.visual, packed and packs(model)).forward(pixels, grids)
    assert len(lean) == 1 + len(vision.deepstack_visual_indexes)
    for seen, expected in zip(lean, [whole.pooler_output, *whole.deepstack_features], strict=True):
        expected = torch.cat(expected)
        torch.testing.assert_close(seen, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@torch.inference_mode()
def test_half_as_many_digits_cost_no_more_than_with_transformers(model):
    vision, grids = model.config.vision_config, torch.tensor([(1, 12, 16), (1, 6, 4)])
    pixels = torch.randn(int(grids.prod(1).sum()), 3 * vision.patch_size**2, generator=torch.Generator().manual_seed(0))
    true, coarse = LeanTower(model.model.visual).forward(pixels, grids), copy.deepcopy(model).to(torch.bfloat16)
    found = coarse.model.get_image_features(moments(pixels.bfloat16(), vision), grids, return_dict=True)
    theirs = [torch.cat(part) for part in (found.pooler_output, *found.deepstack_features)]
    ours = LeanTower(coarse.model.visual).forward(pixels.bfloat16(), grids)
    for right, one, other in zip(true, ours, theirs, strict=True):
        assert one.dtype == torch.bfloat16
        assert (one - right).norm() <= 1.1 * (other - right).norm()


@pytest.mark.parametrize(("kind", "known"), [("qwen3_vl", True), ("qwen2_5_vl", False), ("qwen3_5", False)])
def test_only_qwen3_vl_is_seen_this_way(save_tiny, tmp_path, kind, known):
    model = load_model(locate(str(save_tiny(tmp_path / kind, kind))), PLAN)
    assert LeanTower.fits(model.model.visual) == known
    passes = Engine(model).passes
    assert (isinstance(passes, Lean) and passes.tower is not None) == known
    model.model.visual.config.hidden_act = "gelu"
    assert not LeanTower.fits(model.model.visual)
