"""The table of the model card: closed-loop success of the bundled model and its controls on put, stack and sort.

python benchmarks/closed_loop.py [--workers 2]    stop it at any time: the same command continues
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from qwenarm.display.progress import show_evaluation
from qwenarm.evaluation.evaluate import Score, plan, scores
from qwenarm.evaluation.ledger import rows
from qwenarm.types import RunConfig

RESULTS = Path(__file__).parent / "results" / "closed_loop.json"
TASKS = "put,stack,sort"
ROWS = (
    ("bundled model", RunConfig(), 100),
    ("bundled, seen combinations only", RunConfig(combos="seen"), 100),
    ("bundled, unseen combinations only", RunConfig(combos="unseen"), 100),
    ("bundled, seen from overhead", RunConfig(cameras="overhead"), 100),
    ("bundled, blind (grey frames)", RunConfig(policy="blind"), 100),
    ("oracle", RunConfig(policy="oracle"), 200),
    ("random", RunConfig(policy="random"), 100),
    ("idle", RunConfig(policy="idle"), 100),
)
"""The players, their options, and seeds per task."""


def measure(config: RunConfig, seeds: int, out: Path, workers: int) -> list[Score]:
    """Returns a row of the table, one score per task. Episodes in the ledger are not played again."""
    folder = out / "-".join(filter(None, (config.policy, config.combos, config.cameras)))
    wanted = plan(config, tasks=TASKS, seeds=seeds)
    show_evaluation(Console(), wanted, folder, workers=workers, batch=8)
    return scores(rows(folder))


def text(score: Score) -> str:
    """Returns, for example, "93/100 = 93 % (86-97)"."""
    rate = score.rate
    return f"{rate.k}/{rate.n} = {100 * rate.value:.0f} % ({100 * rate.low:.0f}–{100 * rate.high:.0f})"


def main() -> None:
    """Plays what is missing, prints the table in Markdown, and writes benchmarks/results/closed_loop.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/closed-loop"))
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    found = {who: measure(config, seeds, args.out, args.workers) for who, config, seeds in ROWS}
    print("| policy | n per task | put | stack (two) | sort |\n| --- | --- | --- | --- | --- |")
    for who, row in found.items():
        print(f"| {who} | {row[0].rate.n} | {' | '.join(map(text, row))} |")
    entries = [
        {"who": who, "task": s.cell.task, "successes": s.rate.k, "n": s.rate.n, "interval": (s.rate.low, s.rate.high)}
        for who, row in found.items()
        for s in row
    ]
    RESULTS.write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    main()
