"""What a GPU is told to do for one decision: operations launched, waits for it, copies to it. Needs none.

Small batches leave a GPU waiting for the host, and each launch costs the host some microseconds, whatever it computes.
How many there are hangs on a model's depth and on the code, not on the machine, so they are counted on a pretended GPU
(pretend_gpu.py), with Qwen3-VL's true number of layers, each a few numbers wide. Prompt and answer are those of
gpu_decoding.py, which measures the same in time where there is a GPU. The constant prefix is at hand and graphs are
recorded, as from the second decision on. A graph counts as one launch; of how many operations it is stands beside it.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from decoding import FORCED_HEAD, RUNS
from gpu_decoding import ANSWER, build, decide, plain, questions
from pretend_gpu import Gpu, pretend_gpu

from qwenarm.mind.engine import Engine

RESULTS = Path(__file__).parent / "results"
SIZES = ("2B", "4B")
BATCHES = (1, 8)


def counted(gpu: Gpu, work: Callable[[], Any]) -> dict[str, int]:
    """What one piece of work asks of the GPU."""
    before = gpu.kernels + gpu.replays, gpu.waits, gpu.copies
    work()
    now = gpu.kernels + gpu.replays, gpu.waits, gpu.copies
    return dict(
        zip(("launches", "waits", "copies"), (new - old for new, old in zip(now, before, strict=True)), strict=True)
    )


def compared(gpu: Gpu, whole: Callable[[], Any], first: Callable[[], Any], steps: int) -> dict[str, float]:
    """A decision, of it what comes before the first token, and a step behind that."""
    all_of_it, beginning = counted(gpu, whole), counted(gpu, first)
    each = {f"{name} a step": (all_of_it[name] - beginning[name]) / steps for name in all_of_it}
    return {**all_of_it, "launches before the first token": beginning["launches"], **each}


def count(gpu: Gpu, size: str, rows: int, shallow: bool = False) -> dict[str, dict[str, float]]:
    """Plain ``generate``, the engine, and the engine with graphs. shallow: of two layers."""
    model = build(size, thin=True, shallow=shallow)
    asked = questions(model, rows, seed=rows)
    found = {"plain": compared(gpu, lambda: plain(model, asked, ANSWER), lambda: plain(model, asked, 1), ANSWER - 1)}
    for name, graphs in (("engine", False), ("graphs", True)):
        engine = Engine(model, graphs=graphs)
        decide(engine, asked)

        def write(runs: Sequence[int] = RUNS, engine: Engine = engine) -> None:
            decide(engine, asked, runs)

        found[name] = compared(gpu, write, lambda write=write: write(RUNS[:1]), len(RUNS) - 1)
    return found


def main() -> None:
    """Counts, prints, and writes benchmarks/results/gpu_counts.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    args = parser.parse_args()

    found: dict[str, Any] = {"tokens of an answer": FORCED_HEAD + sum(RUNS), "choices": len(RUNS)}
    with pretend_gpu() as gpu:
        for size in args.sizes:
            for rows in BATCHES:
                found[f"{size}, {rows} together"] = ways = count(gpu, size, rows)
                for way, row in ways.items():
                    print(
                        f"{size}, {rows} together, {way}: " + ", ".join(f"{n} {v:g}" for n, v in row.items()),
                        flush=True,
                    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gpu_counts.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
