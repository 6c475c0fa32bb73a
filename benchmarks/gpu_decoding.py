"""How fast Qwen3-VL of true shape decides, against plain ``generate`` and against what the memory delivers. For a GPU.

Weights are random, for speed does not hang on what they say. Shapes, prompt and answer are those of a real decision: a
frame of 640 x 480, a prompt of which all but frame and task is constant, an answer of a call's length and pace (see
decoding.py). Goals: at batch 1 at most 1.5 times the roofline per step, and per decision at least 4 times as fast as
plain ``generate``. The roofline is the time to read every weight of the language half and the cache once, at the
bandwidth at which this device copies.

Without a CUDA device it says so and ends. ``--device cpu`` measures on a CPU, where 2B takes some minutes; graphs are
left out there. ``--tiny`` runs it all with a model of two layers, where there is no GPU on a pretended one
(pretend_gpu.py), to see that it runs; its figures mean nothing and are not written down.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from decoding import FORCED_HEAD, RUNS, Paced
from transformers import AutoConfig, AutoModelForImageTextToText

from qwenarm.errors import BadInput
from qwenarm.mind.inference.engine import Asked, Engine
from qwenarm.mind.inference.transformers_forward import moments
from qwenarm.mind.model_sizes import size_of

RESULTS = Path(__file__).parent / "results"
SIZES = ("2B", "4B", "8B")
BATCHES = (1, 8, 32)
CONSTANT, VARYING = 1420, 26  # tokens of the prompt before its frame and behind it
GRID = (1, 30, 40)  # patches of a frame of 640 x 480
ANSWER = FORCED_HEAD + sum(RUNS) + 1
STEP_GOAL, DECISION_GOAL = 1.5, 4.0


def build(size: str, device: str = "cuda", thin: bool = False, shallow: bool = False) -> Any:
    """Qwen3-VL of that size with random weights, in bf16 on a device. thin: its layers are a few numbers wide. shallow:
    it has two of them.
    """
    published = size_of(f"Qwen/Qwen3-VL-{size}-Instruct")
    if published is None:
        raise BadInput(f"There is no Qwen3-VL-{size}. Sizes: {', '.join(SIZES)}.")
    shape = {**published.config}
    text, vision = dict(shape["text_config"]), dict(shape["vision_config"])
    if thin:
        text |= {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16, "vocab_size": 2000}
        text |= {"num_attention_heads": 4, "num_key_value_heads": 2}
        text["rope_parameters"] = {"rope_type": "default", "mrope_section": [2, 3, 3]}
        vision |= {"hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 64}
        shape |= {"image_token_id": 1990, "video_token_id": 1991, "vision_start_token_id": 1992}
    if shallow:
        text |= {"num_hidden_layers": 2}
        vision |= {"depth": 2, "deepstack_visual_indexes": [0]}
    shape |= {"text_config": text, "vision_config": vision}
    config = AutoConfig.for_model(shape.pop("model_type"), **shape)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    return model.eval()


def questions(model: Any, rows: int, seed: int) -> list[Asked]:
    """Prompts with the same beginning and frames and tasks of their own."""
    source, vision = torch.Generator().manual_seed(seed), model.config.vision_config
    cells = GRID[1] * GRID[2] // vision.spatial_merge_size**2
    constant = [7 + place % 1000 for place in range(CONSTANT)]
    found = []
    for _ in range(rows):
        task = torch.randint(5, 1000, (VARYING,), generator=source).tolist()
        pixels = torch.randn(GRID[1] * GRID[2], 3 * vision.patch_size**2, generator=source)
        ids = [*constant, *[model.config.image_token_id] * cells, *task]
        found.append(Asked(ids, Paced(), pixels, torch.tensor([GRID])))
    return found


def plain(model: Any, asked: Sequence[Asked], length: int) -> None:
    """The same prompts through transformers' own ``generate``, for so many tokens."""
    ids = torch.tensor([one.ids for one in asked], device=model.device)
    still = torch.cat([one.pixels for one in asked if one.pixels is not None])
    with torch.inference_mode():
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == model.config.image_token_id).int(),
            pixel_values=moments(still, model.config.vision_config).to(ids.device, model.dtype),
            image_grid_thw=torch.cat([one.grids for one in asked if one.grids is not None]).to(ids.device),
            do_sample=False, min_new_tokens=length, max_new_tokens=length,
        )  # fmt: skip


def ms(work: Callable[[], Any], times: int, device: str) -> float:
    """Median of so many runs after one that warms up."""
    taken = []
    for _ in range(times + 1):
        _finish(device)
        began = time.perf_counter()
        work()
        _finish(device)
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken[1:])


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def bandwidth(device: str, size: int = 1 << 30) -> float:
    """Bytes a second read and written by a copy of so many."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / ms(lambda: target.copy_(source), 10, device) * 1e3


def roofline_ms(model: Any, tokens: int, rows: int, speed: float) -> float:
    """The least time of a step: every weight that it uses, and the cache of all rows, once through memory."""
    text = model.config.text_config
    weights = sum(weight.numel() for weight in model.model.language_model.layers.parameters())
    weights += model.lm_head.weight.numel()
    cache = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * tokens * rows
    return 2 * (weights + cache) / speed * 1e3


def measure_plain(model: Any, asked: Sequence[Asked], times: int) -> dict[str, float]:
    """transformers' ``generate`` at one batch size. What a token takes is the difference between long and short."""
    device = model.device.type
    whole, once = (ms(lambda length=length: plain(model, asked, length), times, device) for length in (ANSWER, 1))
    return {"prefill ms": once, "token ms": (whole - once) / (ANSWER - 1), "decision ms": whole}


def decide(engine: Engine, asked: Sequence[Asked], runs: Sequence[int] = RUNS) -> None:
    """The engine answers the prompts, at the pace of a call."""
    engine.write([Asked(one.ids, Paced(runs), one.pixels, one.grids) for one in asked])


def measure(engine: Engine, asked: Sequence[Asked], times: int) -> dict[str, float]:
    """The engine at one batch size, likewise."""
    device = engine.device.type
    whole, first = (ms(lambda runs=runs: decide(engine, asked, runs), times, device) for runs in (RUNS, RUNS[:1]))
    return {"prefill ms": first, "step ms": (whole - first) / (len(RUNS) - 1), "decision ms": whole}


def compare(model: Any, rows: int, speed: float, times: int) -> dict[str, dict[str, float]]:
    """One batch size: plain, the engine, and the engine with its steps recorded as CUDA graphs."""
    asked = questions(model, rows, seed=rows)
    found = {"plain": measure_plain(model, asked, times)}
    least = roofline_ms(model, len(asked[0].ids), rows, speed)
    for name in ("engine",):
        try:
            row = measure(Engine(model), asked, times)
        except RuntimeError as error:  # what fails on this device must not cost what was measured before
            print(f"{name}, batch {rows}: failed, {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        row |= {"roofline ms": least, "step / roofline": row["step ms"] / least}
        row |= {"decisions a second": rows / row["decision ms"] * 1e3}
        found[name] = {**row, "times plain": found["plain"]["decision ms"] / row["decision ms"]}
    return found


def tell(size: str, rows: int, found: Mapping[str, Mapping[str, float]]) -> None:
    """Prints one batch size."""
    for way, row in found.items():
        print(
            f"{size} batch {rows} {way}: " + ", ".join(f"{name} {value:.2f}" for name, value in row.items()), flush=True
        )


def main() -> None:
    """Measures, prints, and writes benchmarks/results/gpu_decoding.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="two thin layers, also without a GPU; nothing is written")
    args = parser.parse_args()

    if args.device == "cpu" or torch.cuda.is_available():
        run(args)
    else:
        print("No CUDA device is at hand: nothing to measure. `--tiny` shows that the script runs.", file=sys.stderr)


def run(args: argparse.Namespace) -> None:
    """All sizes and batches."""
    speed, found = bandwidth(args.device, 1 << (20 if args.tiny else 30)), {}
    for size in args.sizes:
        model, found[size] = build(size, args.device, thin=args.tiny, shallow=args.tiny), {}
        for rows in args.batches:
            found[size][rows] = compare(model, rows, speed, args.times)
            tell(size, rows, found[size][rows])
            if not args.tiny:
                write(args.device, speed, found)
        del model
    print(f"goals: step / roofline at most {STEP_GOAL:g} at batch 1, times plain at least {DECISION_GOAL:g}")


def write(device: str, speed: float, found: Mapping[str, Any]) -> None:
    """Into benchmarks/results/gpu_decoding.json, or true_shape_cpu.json, what there is so far."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    named = {"device": name, "bytes a second": speed, "torch": torch.__version__}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / ("gpu_decoding.json" if device == "cuda" else "true_shape_cpu.json")
    path.write_text(json.dumps({**named, "sizes": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
