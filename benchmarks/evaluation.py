"""The cost of an evaluation beyond model, rendering and physics, and whether workers or batches change any result.

The same episodes of the bundled model are played by one and two processes, one and sixteen prompts at a time, and by
four processes; all ledgers must have the same hash. Then part of the suite ``quick`` with all its controls shows how
long a thousand of its episodes take on two cores.

Shares are of wall time within a run, in which model, rendering and physics are timed where they happen. If other
load keeps the cores busy, episodes per minute of CPU time are more reliable than episodes per minute.
"""

import argparse
import hashlib
import json
import os
import resource
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenarm.episode.trace import read
from qwenarm.evaluation import ledger
from qwenarm.evaluation.evaluate import Begun, Plan, evaluate, plan
from qwenarm.evaluation.suites import suite_named
from qwenarm.factory import make_backend
from qwenarm.types import RunConfig

RESULTS_FOLDER = Path(__file__).parent / "results"
TIMED_PARTS = ("model", "render", "physics")
WORKERS_AND_BATCH = ((1, 1), (1, 16), (2, 1), (2, 16), (4, 4))
"""(workers, batch)."""
GOAL_SHARE, GOAL_MINUTES, CPU_CORES = 0.85, 30.0, 2


@dataclass
class Played:
    """One run. Wall time is from the first job to the last line; CPU time is that of all processes in that time."""

    folder: Path
    episodes: int
    wall_s: float
    cpu_s: float


def cpu() -> float:
    """Returns the CPU time in s of this process and of those that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def run(what: Plan, folder: Path, workers: int, batch: int) -> Played:
    """Plays a plan, then starts it again with nothing left to do, to measure the cost of starting."""
    spent = []
    episodes, began, ended = 0, 0.0, 0.0
    for _ in range(2):
        before = cpu()
        for event in evaluate(what, folder, workers=workers, batch=batch):
            if isinstance(event, Begun):
                began = began or time.perf_counter()
                episodes = episodes or event.total
            else:
                ended = time.perf_counter()
        spent.append(cpu() - before)
    return Played(folder, episodes, ended - began, spent[0] - spent[1])


def seconds(folder: Path) -> Counter[str]:
    """Returns the wall seconds of all episodes by what they were spent on."""
    found: Counter[str] = Counter()
    for episode in read(folder, images=False).episodes:
        whole = episode.run.seconds
        for turn in episode.turns:
            found.update({part: spent for part, spent in turn.seconds.items() if part not in whole})
        found.update(whole)
    return found


def ledger_hash(folder: Path) -> str:
    """Returns the hash of all episodes in the order of their keys, without wall times."""
    marks = sorted(f"{key} {digest}" for key, digest in ledger.fingerprints(folder))
    return hashlib.sha256("".join(marks).encode()).hexdigest()


def told(played: Played, workers: int, batch: int) -> dict[str, Any]:
    """Returns the figures of one run."""
    spent = seconds(played.folder)
    share = {part: spent[part] / (played.wall_s * workers) for part in TIMED_PARTS}
    return {
        "workers": workers,
        "batch": batch,
        "episodes": played.episodes,
        "wall_s": played.wall_s,
        "cpu_s": played.cpu_s,
        "episodes_per_minute": 60 * played.episodes / played.wall_s,
        "episodes_per_cpu_minute": 60 * played.episodes / played.cpu_s,
        "share": share,
        "share_of_parts": sum(share.values()),
        "hash": ledger_hash(played.folder),
    }


def compared(scratch: Path, tasks: str, seeds: int) -> list[dict[str, Any]]:
    """Plays the same episodes in every setup."""
    found = []
    for workers, batch in WORKERS_AND_BATCH:
        what = plan(RunConfig(), tasks=tasks, seeds=seeds)
        found.append(told(run(what, scratch / f"{workers}-{batch}", workers, batch), workers, batch))
        print(json.dumps(found[-1], indent=1), flush=True)
    return found


def thousand(scratch: Path, tasks: str) -> dict[str, Any]:
    """Returns the time that a thousand episodes of the suite take, in its own proportions of model and controls."""
    played = run(plan(RunConfig(), suite_named("quick"), tasks, seeds=1), scratch / "quick", CPU_CORES, 16)
    roles = Counter(row.role for row in ledger.rows(played.folder))
    minutes = 1000 / 60 * played.cpu_s / played.episodes / CPU_CORES
    return {**told(played, CPU_CORES, 16), "roles": dict(roles), "minutes_per_1000_on_2_cores": minutes}


def main() -> None:
    """Measures, prints, and writes benchmarks/results/evaluation.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="put,stack,sort,deliver,recall")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--quick-task", default="", help="of the suite only these")
    args = parser.parse_args()

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    make_backend(RunConfig())  # do not count the import of torch
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        runs = compared(Path(scratch), args.task, args.seeds)
        quick = thousand(Path(scratch), args.quick_task)
    same = len({entry["hash"] for entry in runs}) == 1
    result = {"cores": os.cpu_count(), "load_before": load, "same": same, "runs": runs, "quick": quick}
    print(f"all ledgers the same: {same}")
    print(f"share of {', '.join(TIMED_PARTS)}: {runs[0]['share_of_parts']:.1%} (goal {GOAL_SHARE:.0%})")
    minutes = quick["minutes_per_1000_on_2_cores"]
    print(f"1,000 episodes of quick on {CPU_CORES} cores: {minutes:.1f} min (goal {GOAL_MINUTES:.0f})")
    (RESULTS_FOLDER / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
