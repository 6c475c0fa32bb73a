"""The cost of a large ledger: resuming an evaluation and writing a report. CPU time in s and peak memory.

A ledger of n lines is made from one real episode with other seeds, outcomes and policies, as an evaluation would
have stored them. Each measurement runs in a process of its own, for two sizes, to show growth that is faster than
linear.

python benchmarks/growth.py [--episodes 50000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from qwenarm.episode.drive import drive
from qwenarm.episode.episode_json import head_to_json, turns_to_json
from qwenarm.episode.trace import EPISODES_FILE, Trace, scan, to_line
from qwenarm.evaluation.evaluate import Begun, Plan, evaluate, plan
from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.factory import perform
from qwenarm.types import Outcome, RunConfig

RESULTS_FILE = Path(__file__).parent / "results" / "growth.json"
LEDGER_TASKS, LEDGER_POLICY = ("put", "stack", "sort", "deliver", "recall"), "oracle"
GOAL_COSTS = {"resume": (10.0, 300.0), "report": (20.0, 300.0)}
"""Maximum seconds and megabytes for 50,000 episodes."""
PEAK_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def make_ledger(folder: Path, episodes: int) -> None:
    """Writes a ledger with every episode of ``planned``, half of them successes."""
    seeds = episodes // len(LEDGER_TASKS)
    for _ in evaluate(planned(1), folder):
        pass  # writes the manifest and what a policy says about itself
    first = next(head for _, head in scan(folder))
    (episode,) = drive([perform(first.run.config, first.run.seed, None, suite=first.run.suite)])
    trace = Trace(folder)
    trace.append(episode)  # its pictures
    turns = turns_to_json(episode, lambda _: next((folder / "frames").iterdir()).name)
    with open(folder / EPISODES_FILE, "w", encoding="utf-8") as file:
        for task in LEDGER_TASKS:
            config = replace(episode.run.config, task=task)
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                outcome = Outcome.SUCCESS if seed % 2 else Outcome.FAILURE
                made = replace(episode, run=replace(episode.run, config=config, seed=seed), outcome=outcome)
                file.write(to_line({**head_to_json(made), **turns}))


def planned(seeds: int) -> Plan:
    """Returns the evaluation that the ledger belongs to."""
    return plan(RunConfig(policy=LEDGER_POLICY), tasks=",".join(LEDGER_TASKS), seeds=seeds, controls="none")


def resume(folder: Path, episodes: int) -> None:
    """Starts the evaluation, of which nothing is missing."""
    (begun,) = evaluate(planned(episodes // len(LEDGER_TASKS)), folder)
    assert isinstance(begun, Begun) and len(begun.rows) == begun.total == episodes


def report(folder: Path, episodes: int) -> None:
    """Writes the tables and plots, without a page for each episode."""
    from qwenarm.report import write_report

    assert write_report([folder], folder / "report", "none").episodes == episodes


def measured(what: str, folder: Path, episodes: int) -> dict[str, float]:
    """Returns CPU seconds and peak memory in MB of a process that does one thing."""
    command = [sys.executable, __file__, "--only", what, "--folder", str(folder), "--episodes", str(episodes)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main() -> None:
    """Measures, prints, and writes benchmarks/results/growth.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=50_000)
    parser.add_argument("--only", choices=GOAL_COSTS)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.only:
        begun = time.perf_counter()
        {"resume": resume, "report": report}[args.only](args.folder, args.episodes)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT_BYTES / 1e6
        spent = {"cpu_s": time.process_time(), "wall_s": time.perf_counter() - begun, "peak_mb": peak}
        print(json.dumps(spent))
        return
    found = []
    for episodes in (args.episodes // 10, args.episodes):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            make_ledger(folder, episodes)
            size = (folder / EPISODES_FILE).stat().st_size / 1e6
            for what in GOAL_COSTS:
                found.append(
                    {"what": what, "episodes": episodes, "ledger_mb": size, **measured(what, folder, episodes)}
                )
                print(json.dumps(found[-1]), flush=True)
    RESULTS_FILE.parent.mkdir(exist_ok=True)
    RESULTS_FILE.write_text(json.dumps({"goals": GOAL_COSTS, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
