"""How long a new user waits: `import qwenarm`, `qwenarm --help`, and the demo after installation, with its peak memory.

Goals: import in less than 0.3 s and without torch, demo in less than 30 s to the film on two cores, peak memory
below 1.5 GB.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

RESULTS_FOLDER = Path(__file__).parent / "results"
QWENARM_COMMAND = [str(Path(sys.executable).with_name("qwenarm"))]
DEMO_INSTRUCTION = "put the red cube in the blue bowl"
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, kilobytes on Linux


@dataclass(frozen=True)
class Cost:
    """The cost of one process: wall seconds, CPU seconds, peak resident memory in MB, exit status."""

    seconds: float
    cpu_s: float
    peak_mb: float
    status: int


def cost_of(command: list[str]) -> Cost:
    """Runs a command to its end. Memory is that of the process itself, without larger children."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * PEAK_UNIT / 1e6, process.returncode)


def typical(command: list[str], times: int) -> Cost:
    """Returns the run of median duration, after one that fills the disk cache."""
    cost_of(command)
    runs = [cost_of(command) for _ in range(times)]
    return min(runs, key=lambda run: abs(run.seconds - statistics.median(r.seconds for r in runs)))


def demo(policy: str, out: str) -> Cost:
    """Runs the demo like `make demo`, with the bundled model or another policy."""
    return cost_of([*QWENARM_COMMAND, "run", DEMO_INSTRUCTION, "--policy", policy, "--out", out])


def main() -> None:
    """Measures, prints, and writes benchmarks/results/startup.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    bare = typical([sys.executable, "-c", "pass"], 5)
    found = {
        "python alone": bare,
        "import qwenarm": typical([sys.executable, "-c", "import qwenarm"], 7),
        "qwenarm --help": typical([*QWENARM_COMMAND, "--help"], 5),
    }
    with tempfile.TemporaryDirectory() as out:
        found |= {f"demo, {policy}": demo(policy, out) for policy in ("oracle", "vlm")}
    for name, cost in found.items():
        remark = "" if cost.status == 0 else f"  exit status {cost.status}"
        print(f"{name:16} {cost.seconds:7.2f} s  {cost.cpu_s:7.2f} s of CPU  {cost.peak_mb:7.0f} MB{remark}")
    imported = found["import qwenarm"].seconds - bare.seconds
    print(f"import qwenarm without Python's own start: {imported:.2f} s (goal 0.3 s)")
    (RESULTS_FOLDER / "startup.json").write_text(
        json.dumps({name: vars(cost) for name, cost in found.items()}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
