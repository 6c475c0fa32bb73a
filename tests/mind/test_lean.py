"""The lean language half computes what transformers' layers compute, and leaves them their weights."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from qwenarm.mind.checkpoints import load_model, locate
from qwenarm.mind.engine import Engine
from qwenarm.mind.fitting import Need, Plan, Room
from qwenarm.mind.lean import ROOM, Lean
from qwenarm.mind.recorded import BLOCK, Recorded
from qwenarm.mind.whole import Whole

DENSE = ("qwen2_5_vl", "qwen3_vl")
PLAN = Plan(Room("cpu", (1 << 30,)), "float32", Need(0, 0))
WIDTH = 11
STEPS = max(ROOM, BLOCK) // WIDTH + 2
"""Past the room that a cache begins with."""
close = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(
    scope="module", params=[(kind, way) for kind in (*DENSE, "bundled") for way in (Lean, Recorded)], ids=str
)
def both(request, save_tiny, tmp_path_factory):
    """The same weights, run lean and run whole."""
    kind, way = request.param
    folder = tmp_path_factory.mktemp("lean") / kind
    source = kind if kind == "bundled" else str(save_tiny(folder, kind))
    lean, whole = (load_model(locate(source), PLAN) for _ in range(2))
    return way(lean), Whole(whole)


def asked(model, rows, width, seed):
    """Random words; M-RoPE counts alike along all three axes."""
    source = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 200, (rows, width), generator=source)
    return ids, torch.arange(width).expand(3, rows, -1)


@torch.inference_mode()
def test_a_prefix_a_batch_with_gaps_and_many_steps(both):
    logits = []
    for passes in both:
        ids, places = asked(passes.model, 1, 7, 0)
        prefix = passes.new_cache()
        found = [passes.forward(ids, places, None, prefix)]
        cache = passes.copy(prefix, 3, 5)
        mask = torch.ones(3, 12, dtype=torch.bool)
        mask[0, 7:9] = mask[2, 7:8] = False
        ids, places = asked(passes.model, 3, 5, 1)
        found.append(passes.forward(ids, places + 7, mask, cache).clone())
        for step in range(STEPS):
            ids, places = asked(passes.model, 3, WIDTH, step)
            counts = torch.ones(3, WIDTH, dtype=torch.bool)
            counts[0, 0] = step % 2 == 0
            mask = torch.cat([mask, counts], dim=1)
            found.append(passes.forward(ids, places + 12 + step, mask, cache).clone())
        cache.reorder_cache(torch.tensor([2, 0]))
        found.append(passes.forward(ids[[2, 0]], places[:, :2] + 99, mask_of(mask), cache).clone())
        assert cache.get_seq_length() == 12 + WIDTH * (STEPS + 1)
        found.append(passes.forward(*asked(passes.model, 1, 1, 9), None, prefix))  # the prefix itself is as it was
        logits.append(found)
    for lean, whole in zip(*logits, strict=True):
        torch.testing.assert_close(lean, whole, **close)


def mask_of(mask):
    return torch.cat([mask[[2, 0]], torch.ones(2, WIDTH, dtype=torch.bool)], dim=1)


@torch.inference_mode()
def test_frames_are_seen_alike(both):
    vision = both[0].model.config.vision_config
    ids, grid = torch.tensor([[9, *[both[0].image] * 4, 10]]), torch.tensor([[1, 4, 4]])
    pixels = torch.randn(16, 3 * vision.patch_size**2, generator=torch.Generator().manual_seed(0))
    places = torch.arange(6).expand(3, 1, -1)
    lean, whole = (passes.forward(ids, places, None, passes.new_cache(), pixels, grid) for passes in both)
    torch.testing.assert_close(lean, whole, **close)


@torch.inference_mode()
def test_transformers_layers_keep_their_weights(both):
    lean, whole = both
    ids, _ = asked(lean.model, 2, 6, 3)
    torch.testing.assert_close(lean.model(input_ids=ids).logits, whole.model(input_ids=ids).logits, **close)
    for layer, parts in zip(lean.layers, lean.text.layers, strict=True):
        assert (
            layer.qkv.weight.untyped_storage().data_ptr() == parts.self_attn.k_proj.weight.untyped_storage().data_ptr()
        )
        assert (
            layer.gate_up.weight.untyped_storage().data_ptr() == parts.mlp.up_proj.weight.untyped_storage().data_ptr()
        )


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5"])
def test_only_dense_layers_on_one_device_are_run_this_way(save_tiny, tmp_path, kind):
    model = load_model(locate(str(save_tiny(tmp_path / kind, kind))), PLAN)
    assert isinstance(Engine(model).passes, Lean) == (kind in DENSE)
    model.hf_device_map = {"": 0}
    assert isinstance(Engine(model).passes, Whole)


class Capture(TorchDispatchMode):
    """Refuses what cannot be recorded in a CUDA graph: whatever makes the host wait for a value, or for how many."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "lift_fresh", "item", "repeat_interleave")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        picks = name in ("index", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        assert name not in self.WAITS and not picks, f"{func} makes the host wait"
        self.count += 1
        return func(*args, **(kwargs or {}))


@torch.inference_mode()
def test_a_step_is_all_operations_that_a_graph_can_hold(both):
    passes = both[0]
    if not isinstance(passes, Recorded):
        pytest.skip("only steps that are recorded")
    cache = passes.copy(passes.new_cache(), 2, 0)
    ids, places = asked(passes.model, 2, 3, 0)
    passes.forward(ids, places, None, cache)
    (recording,) = (passes._recordings[key] for key in passes._recordings if key[:2] == (2, 4) and key[2] == BLOCK)
    before = {name: getattr(recording, name).data_ptr() for name in ("ids", "position", "slots", "allowed")}
    first = passes.forward(ids, places, None, cache)
    with Capture() as seen:
        again = recording.play()
    assert seen.count > 10 * len(passes.layers)
    assert again.data_ptr() == first.data_ptr(), "a graph answers in the same place"
    assert before == {name: getattr(recording, name).data_ptr() for name in before}, "and reads the same places"


def test_what_makes_the_host_wait_is_caught():
    row = torch.arange(4.0)
    for wait in (
        lambda: row[row > 1],
        lambda: row.nonzero(),
        lambda: float(row[0]),
        lambda: row.masked_select(row > 1),
    ):
        with pytest.raises(AssertionError, match="wait"), Capture():
            wait()


@pytest.mark.gpu
@torch.inference_mode()
def test_replayed_graphs_are_the_steps_they_record(save_tiny, tmp_path):
    source, found = str(save_tiny(tmp_path / "qwen3_vl")), []
    for way in (Lean, Recorded):
        passes = way(load_model(locate(source), PLAN).to("cuda"))
        ids, places = (part.to("cuda") for part in asked(None, 1, 7, 0))
        prefix = passes.new_cache()
        passes.forward(ids, places, None, prefix)
        cache = passes.copy(prefix, 2, 0)
        for step, width in enumerate((1, 3, 1, 16, 3, 1)):
            ids, places = (part.to("cuda") for part in asked(None, 2, width, step))
            found.append(passes.forward(ids, places + cache.get_seq_length(), None, cache).clone())
    half = len(found) // 2
    torch.testing.assert_close(torch.stack(found[:half]), torch.stack(found[half:]), **close)
