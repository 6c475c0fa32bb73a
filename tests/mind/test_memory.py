"""What is planned is what is used: weights to the byte, work by the allocator's own count, and a choice that fits."""

import itertools
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForImageTextToText

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.checkpoints import placement
from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.checkpoints.memory import (
    BYTES_PER_WEIGHT,
    WeightCount,
    Workload,
    cache_bytes,
    image_tokens,
    need_of,
    need_of_size,
    weights_in,
)
from qwenarm.mind.checkpoints.model import _placement_options, load_model, plan_for
from qwenarm.mind.checkpoints.placement import FreeMemory, free_memory, out_of_memory, place, suggest_smaller
from qwenarm.mind.families import MODEL_FAMILIES
from qwenarm.mind.model_sizes import MODEL_SIZES, size_of

GB = 10**9
TYPES = [kind for family in MODEL_FAMILIES for kind in family.model_types]
ON_THE_HUB = {
    "Qwen2.5-VL-3B": 3_754_622_976,
    "Qwen2.5-VL-7B": 8_292_166_656,
    "Qwen2.5-VL-32B": 33_452_718_336,
    "Qwen2.5-VL-72B": 73_410_777_344,
    "Qwen3-VL-2B": 2_127_532_032,
    "Qwen3-VL-4B": 4_437_815_808,
    "Qwen3-VL-8B": 8_767_123_696,
    "Qwen3-VL-30B-A3B": 31_070_754_032,
    "Qwen3.5-0.8B": 873_438_784,
    "Qwen3.5-2B": 2_274_069_824,
    "Qwen3.5-4B": 4_659_865_088,
    "Qwen3.5-9B": 9_653_104_368,
    "Qwen3.5-27B": 27_781_427_952,
}
"""Numbers in the safetensors files, as the Hub counts them."""


def on_meta(config):
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(
            AutoConfig.for_model(**{k: v for k, v in config.items() if v is not None})
        )


def count(model):
    return sum(weight.numel() for weight in model.parameters())


def linear_of(model):
    return sum(
        m.weight.numel() for name, m in model.named_modules() if type(m) is torch.nn.Linear and name != "lm_head"
    )


# --- weights


QUICK = {"Qwen2.5-VL-3B", "Qwen3-VL-2B", "Qwen3-VL-30B-A3B", "Qwen3.5-0.8B"}
BUILT = [pytest.param(s, id=s.name, marks=() if s.name in QUICK else pytest.mark.slow) for s in MODEL_SIZES]


@pytest.mark.parametrize("size", BUILT)
def test_the_shapes_have_the_published_numbers_of_parameters(size):
    model = on_meta(size.config)
    assert (count(model), linear_of(model)) == (size.parameters, size.linear)
    if size.name in ON_THE_HUB:
        assert ON_THE_HUB[size.name] - size.parameters == prediction_head(model, size)


def prediction_head(model, size):
    """Numbers in Qwen3.5's head for multi-token prediction: one layer of full attention, a projection, three norms."""
    if not size.model_type.startswith("qwen3_5"):
        return 0
    width = size.text["hidden_size"]
    return sum(w.numel() for w in model.model.language_model.layers[3].parameters()) + 2 * width**2 + 3 * width


@pytest.mark.parametrize("kind", TYPES)
def test_the_headers_tell_the_weights_that_are_loaded(save_tiny, tmp_path, kind):
    folder = save_tiny(tmp_path / kind, kind)
    checkpoint = locate(str(folder))
    model = load_model(checkpoint, plan_for(checkpoint, Workload(), "cpu"))
    assert checkpoint.weights == WeightCount(count(model), linear_of(model))
    held = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    assert checkpoint.weights.size("float32") == held


def test_the_bundled_checkpoint_needs_what_it_takes():
    checkpoint = locate("bundled")
    model = load_model(checkpoint, plan_for(checkpoint, Workload(), "cpu"))
    held = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    assert checkpoint.weights.size("float32") == pytest.approx(held, rel=0.05)


def test_no_weight_is_read(tiny, monkeypatch):
    monkeypatch.setattr(safe_open, "get_tensor", None, raising=False)
    short = tiny.parent / "headers"
    short.mkdir(exist_ok=True)
    header = (tiny / "model.safetensors").read_bytes()
    (short / "model.safetensors").write_bytes(header[: 8 + int.from_bytes(header[:8], "little")])
    assert weights_in(short, {}).total == weights_in(tiny, {}).total


def test_prediction_heads_and_tied_outputs_are_not_counted(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {name: np.zeros((4, 8), np.float16) for name in ("mtp.layers.0.w", "lm_head.weight", "model.x.weight")}
    save_file(tensors, tmp_path / "model.safetensors")
    assert weights_in(tmp_path, {"tie_word_embeddings": True}) == WeightCount(32, 32)
    assert weights_in(tmp_path, {}) == WeightCount(64, 32)
    quantised = weights_in(tmp_path, {"quantization_config": {"quant_method": "fp8"}})
    assert quantised.size("float32") == quantised.size("bfloat16") == 2 * 64


# --- work


def peak(work):
    """(What work returns, the most bytes that torch's CPU allocator had out at once while it ran.)"""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        result = work()
    events = [e for e in watched.profiler.kineto_results.events() if e.name() == "[memory]"]
    sizes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return result, max(itertools.accumulate(sizes))


MEASURED = [pytest.param(kind, marks=() if kind == "qwen3_vl" else pytest.mark.slow) for kind in TYPES]


@pytest.mark.parametrize("kind", MEASURED)
@pytest.mark.parametrize(
    "workload", [Workload(1, ((448, 448),), 50, 4), Workload(2, ((224, 224),), 700, 4)], ids=["eye", "words"]
)
def test_the_work_is_what_the_allocator_hands_out(kind, workload):
    model = medium(kind)
    config = model.config.to_dict()
    inputs = question(model, config, workload)
    options = {
        "max_new_tokens": workload.answer_tokens,
        "min_new_tokens": workload.answer_tokens,
        "do_sample": False,
        "pad_token_id": 0,
    }
    with torch.inference_mode():
        output, used = peak(lambda: model.generate(**inputs, **options, return_dict_in_generate=True))
    planned = need_of(WeightCount(0, 0), config, workload, "bfloat16").work
    assert used <= planned * 1.1, f"{used / planned:.2f} of the plan"
    assert used >= planned * 0.5, f"{used / planned:.2f} of the plan"
    tokens = output.sequences.shape[1] - 1
    assert cache_bytes(config, tokens, "bfloat16") * workload.batch == pytest.approx(
        held_in(output.past_key_values), rel=0.05
    )


def held_in(cache):
    tensors = (value for layer in cache.layers for value in vars(layer).values())
    flat = itertools.chain.from_iterable(v.values() if isinstance(v, dict) else [v] for v in tensors)
    return sum(t.untyped_storage().nbytes() for t in flat if isinstance(t, torch.Tensor) and t.dim() >= 3)


def medium(kind):
    """A model wide enough for its activations to outweigh everything small."""
    size = next(size for size in MODEL_SIZES if size.model_type == kind)
    few = {"num_hidden_layers": 4, "vocab_size": 2000, "hidden_size": 256, "intermediate_size": 768}
    text = {**size.text, **few, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [12, 10, 10]}
    if "layer_types" in text:
        text |= {"layer_types": text["layer_types"][:4], "linear_num_key_heads": 2, "linear_num_value_heads": 4}
        text["rope_parameters"]["partial_rotary_factor"] = 1.0
    if "num_experts" in text:
        text |= {"num_experts": 8, "num_experts_per_tok": 4, "moe_intermediate_size": 128}
    vision = {**size.vision, "hidden_size": 128, "depth": 3, "intermediate_size": 480, "num_heads": 4}
    vision |= {"out_hidden_size": 256}
    vision |= {"deepstack_visual_indexes": [0, 1]} if "deepstack_visual_indexes" in vision else {}
    vision |= {"fullatt_block_indexes": [2]} if kind == "qwen2_5_vl" else {}
    ids = {"image_token_id": 5, "vision_start_token_id": 3, "vision_end_token_id": 4, "video_token_id": 6}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, text_config=text, vision_config=vision, **ids)
    return AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16).eval()


def question(model, config, workload):
    patch = config["vision_config"]["patch_size"]
    grids = [[1, height // patch, width // patch] for height, width in workload.frames] * workload.batch
    patches = sum(h * w for _, h, w in grids)
    ids = torch.tensor(
        [[3] + [5] * image_tokens(config, workload.frames) + [4] + [7] * (workload.text_tokens - 2)] * workload.batch
    )
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == 5).int(),
        "pixel_values": torch.randn(patches, 3 * 2 * patch**2, dtype=torch.bfloat16),
        "image_grid_thw": torch.tensor(grids),
    }


@pytest.mark.parametrize("kind", TYPES)
def test_needs_grow_with_everything_that_is_asked(kind):
    size = next(size for size in MODEL_SIZES if size.model_type == kind)
    work = need_of_size(size).work
    for more in ({"batch": 8}, {"text_tokens": 20_000}, {"answer_tokens": 100_000}, {"frames": ((480, 640),) * 30}):
        assert need_of_size(size, workload=replace(Workload(), **more)).work > work, more


# --- the choice


def ask(name, room, dtype=None, workload=None):
    size = size_of(name)
    return place(name, WeightCount(size.parameters, size.linear), size.config, workload or Workload(), room, dtype)


FOUR_B, EIGHT_B, MIXTURE = "Qwen/Qwen3-VL-4B-Instruct", "Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen3-VL-30B-A3B-Instruct"


@pytest.mark.parametrize(
    ("name", "room", "words"),
    [
        (EIGHT_B, FreeMemory("cuda", (24 * GB,)), "bfloat16 on cuda:0: 17.5 GB of weights"),
        (EIGHT_B, FreeMemory("cuda", (24 * GB,), bf16=False), "float16 on cuda:0"),
        (EIGHT_B, FreeMemory("cuda", (12 * GB,), four_bit=True), "4-bit, bfloat16 on cuda:0: 6.4 GB of weights"),
        (EIGHT_B, FreeMemory("cuda", (12 * GB, 12 * GB), four_bit=True, several=True), "bfloat16 on 2 CUDA devices"),
        (
            EIGHT_B,
            FreeMemory("cuda", (5 * GB, 5 * GB), four_bit=True, several=True),
            "4-bit, bfloat16 on 2 CUDA devices",
        ),
        (EIGHT_B, FreeMemory("mps", (24 * GB,)), "float16 on mps"),
        (FOUR_B, FreeMemory("cpu", (16 * GB,)), "bfloat16 on cpu"),
    ],
)
def test_the_first_way_that_fits_is_taken(name, room, words):
    plan = ask(name, room)
    assert plan.describe().startswith(words)
    assert plan.need.total < sum(room.free)


def test_a_small_model_is_held_in_fp32_on_a_cpu():
    checkpoint = locate("bundled")
    plan = place("bundled", checkpoint.weights, checkpoint.config, Workload(), FreeMemory("cpu", (8 * GB,)))
    assert (plan.dtype, plan.device) == ("float32", "cpu")
    assert plan.need.weights == 2 * checkpoint.weights.size("float32"), "as it is, and packed"


def test_a_wished_dtype_is_kept_to():
    assert ask(FOUR_B, FreeMemory("cpu", (24 * GB,)), "float32").dtype == "float32"
    with pytest.raises(ModelUnavailable, match="in float32"):
        ask(EIGHT_B, FreeMemory("cuda", (24 * GB,), four_bit=True), "float32")
    with pytest.raises(BadInput, match="bfloat16"):
        ask(FOUR_B, FreeMemory("cpu", (24 * GB,)), "float7")


@pytest.mark.parametrize(
    ("name", "room", "parts"),
    [
        (EIGHT_B, FreeMemory("cuda", (12 * GB,)), ["needs 18.2 GB", "12.0 GB free", "install bitsandbytes", FOUR_B]),
        (EIGHT_B, FreeMemory("cpu", (12 * GB,)), ["needs 18.2 GB in bfloat16", f"{FOUR_B} needs 9.5 GB and would fit"]),
        (MIXTURE, FreeMemory("cuda", (24 * GB,), four_bit=True), ["62.7 GB", f"{EIGHT_B} needs 18.2 GB and would fit"]),
        ("Qwen/Qwen3.5-9B", FreeMemory("cpu", (12 * GB,)), ["Qwen/Qwen3.5-4B needs 9.9 GB and would fit"]),
        ("Qwen/Qwen3.5-0.8B", FreeMemory("cpu", (1 * GB,)), ["none of the open models would fit", "bundled"]),
    ],
)
def test_what_does_not_fit_is_told_in_one_sentence_with_what_would(name, room, parts):
    with pytest.raises(ModelUnavailable) as caught:
        ask(name, room)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert [part for part in (f"'{name}'", *parts) if part not in message] == [], message


@pytest.mark.parametrize("free", [2, 6, 12, 24, 80, 200])
def test_what_is_offered_does_fit(free):
    room = FreeMemory("cuda", (free * GB,), four_bit=True)
    for size in MODEL_SIZES:
        offered = suggest_smaller(size.ids[0], size.parameters, Workload(), room).split()[0]
        if size_of(offered):
            assert ask(offered, room).need.total < free * GB
            assert size_of(offered).parameters < size.parameters


def test_spread_layers_leave_room_to_work_on_every_device():
    plan = ask(EIGHT_B, FreeMemory("cuda", (12 * GB, 12 * GB, 12 * GB), several=True))
    assert plan.max_weight_bytes is not None
    assert sum(plan.max_weight_bytes.values()) >= plan.need.weights
    assert all(share + plan.need.work <= 12 * GB for share in plan.max_weight_bytes.values())
    assert _placement_options(plan) == {"device_map": "auto", "max_memory": plan.max_weight_bytes}


def test_four_bits_are_asked_of_transformers():
    asked = _placement_options(ask(EIGHT_B, FreeMemory("cuda", (12 * GB,), four_bit=True)))
    assert asked["quantization_config"].load_in_4bit
    assert asked["device_map"] == {"": "cuda:0"}


def test_quantised_weights_keep_their_dtype():
    weights, room = WeightCount(1000, 500, stored_bytes=600), FreeMemory("cpu", (12 * GB,))
    config = {**size_of(EIGHT_B).config, "dtype": "float16"}
    assert place("mine", weights, config, Workload(), room).dtype == "float16"
    assert place("mine", weights, config, Workload(), room, "float16").dtype == "float16"
    with pytest.raises(ModelUnavailable, match="'mine' is quantised for float16"):
        place("mine", weights, config, Workload(), room, "float32")


def test_what_is_free_is_found():
    room = free_memory("cpu")
    assert room.kind == "cpu"
    assert 0 < room.free[0] < 2**50


def test_the_command_is_told_before_weights_are_read(tiny, monkeypatch):
    monkeypatch.setattr(placement, "_free_ram", lambda: 1000)
    monkeypatch.setattr("transformers.AutoModelForImageTextToText.from_pretrained", None)
    checkpoint = locate(str(tiny))
    with pytest.raises(ModelUnavailable, match="cpu has 0 MB free"):
        plan_for(checkpoint, Workload(), "cpu")


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("[enforce fail] can't allocate memory"), MemoryError()],
)
def test_memory_that_does_not_last_is_one_sentence(tiny, monkeypatch, error):
    def fail(*args, **options):
        raise error

    checkpoint = locate(str(tiny))
    plan = plan_for(checkpoint, Workload(), "cpu")
    monkeypatch.setattr("transformers.AutoModelForImageTextToText.from_pretrained", fail)
    with pytest.raises(ModelUnavailable, match=r"ran out of memory.*would fit"):
        load_model(checkpoint, plan)
    assert "smaller batch" in out_of_memory("x", checkpoint.weights, plan, prompts=4)


def test_all_dtypes_are_torchs():
    assert all(
        torch.empty(0, dtype=getattr(torch, name)).element_size() == size for name, size in BYTES_PER_WEIGHT.items()
    )


def test_several_devices_without_the_means_to_use_them():
    with pytest.raises(ModelUnavailable, match=r"cuda has 12.0 GB free.*spread over 2 devices it fits.*accelerate"):
        ask(EIGHT_B, FreeMemory("cuda", (12 * GB, 12 * GB)))


def test_the_freest_device_is_taken_where_one_must_do(monkeypatch):
    free = (2 * GB, 78 * GB, 40 * GB)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (free[number], free[number]))
    monkeypatch.setattr(placement, "find_spec", lambda name: None)
    room = free_memory()
    assert (room.free[0], room.devices) == (78 * GB, 1)
    assert ask(EIGHT_B, room).device == "cuda:1"
