"""Decisions on a GPU: plain ``generate``, our engine (fused and not), and a vLLM server, on the same prompts.

On a GPU the recommended engine is a server (vLLM or SGLang); this shows why. Prompts are first looks of ``put``
with the prompt for any Qwen-VL and one frame of 640 x 480; answers are greedy. vLLM is left out where it is not
installed. Figures are medians of wall time per decision.

    python benchmarks/gpu_decoding.py                          # Qwen3-VL 2B, 4B and 8B from the Hub
    python benchmarks/gpu_decoding.py --device cpu --tiny      # the bundled model, to see that the script runs
"""

import argparse
import json
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from decoding import RESULTS_FOLDER, PlainGenerate, first_looks, medians, prompts_of, take_turns
from vllm_cpu import serve

from qwenarm.mind.backends.local import QwenVL, make_engine
from qwenarm.mind.backends.openai_server import OpenAIServer

MODEL_IDS = tuple(f"Qwen/Qwen3-VL-{size}-Instruct" for size in ("2B", "4B", "8B"))
BATCH_SIZES = (1, 8, 32)
PROMPTS_PER_BATCH = 3


def measure(source: str, device: str, batches: list[int], vllm: str | None) -> dict[str, Any]:
    """Returns median milliseconds of wall time per decision, by batch size and variant."""
    model = QwenVL(source, device=device, batch=max(batches))
    looks = first_looks(model, model.preset, PROMPTS_PER_BATCH * max(batches))
    prompts = prompts_of(model, looks, model.preset)
    torch.set_num_threads(model.threads)
    plain_engine = make_engine(model.model, model.sampling, fused=False)

    def not_fused(given: Any) -> None:
        plain_engine.generate([model.request(prompt) for prompt in given])

    variants = {"plain generate": PlainGenerate(model).generate, "engine, not fused": not_fused}
    variants["engine"] = model.generate
    with ExitStack() as stack:
        if vllm:
            url, _ = stack.enter_context(serve(Path(vllm), source, "--gpu-memory-utilization", "0.5"))
            variants["vLLM"] = OpenAIServer(url, preset=model.preset.name).generate
        found = {}
        for size in batches:
            groups = [prompts[start : start + size] for start in range(0, PROMPTS_PER_BATCH * size, size)]
            times = medians(take_turns(variants, groups, rounds=2), size)
            found[str(size)] = {name: round(clocks["wall"], 2) for name, clocks in times.items()}
            ratios = ", ".join(f"{name} {ms:.1f} ms" for name, ms in found[str(size)].items())
            print(f"{source}, batch {size}: {ratios}", flush=True)
    return found


def main() -> None:
    """Measures, prints, and on a GPU writes benchmarks/results/gpu_decoding.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODEL_IDS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCH_SIZES))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the bundled model, in batches of 1 and 2")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no CUDA device, so there is nothing to measure; --device cpu --tiny shows that this runs.")
    if args.tiny:
        args.models, args.batches = ["bundled"], [1, 2]
    vllm = shutil.which("vllm") if args.device == "cuda" else None
    if not vllm:
        print("vLLM is left out: it is not installed, or there is no GPU (see benchmarks/vllm_cpu.py).")
    found = {source: measure(source, args.device, args.batches, vllm) for source in args.models}
    if args.device == "cuda":
        content = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "ms per decision": found}
        (RESULTS_FOLDER / "gpu_decoding.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
