"""The agent's own share of an episode: all wall time that is not the model, physics or rendering. Goal: at most 5 %.

Uses the bundled model if it is present. Otherwise replies are scripted and take no time, so the share is an upper
bound: every real model makes it smaller.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from qwenarm.episode.drive import drive
from qwenarm.errors import ModelUnavailable
from qwenarm.factory import make_backend, perform
from qwenarm.types import Episode, RunConfig

RESULTS_FOLDER = Path(__file__).parent / "results"
NOT_OURS = ("model", "physics", "render")
GOAL_SHARE = 0.05


def play(config: RunConfig, seeds: int) -> tuple[list[Episode], str]:
    """Plays the episodes. Returns them and the name of the policy."""
    try:
        backend, who = make_backend(config), config.model
    except ModelUnavailable as error:
        print(f"{error}\nThe oracle plays instead: no model time at all.", file=sys.stderr)
        config, backend, who = RunConfig(config.task, policy="oracle"), None, "oracle"
    return list(drive((perform(config, seed, backend) for seed in range(seeds)), backend)), who


def main() -> None:
    """Measures, prints, and writes benchmarks/results/agent_overhead.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="put")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()

    episodes, who = play(RunConfig(args.task, model=args.model), args.seeds)
    seconds: Counter[str] = Counter()
    for episode in episodes:
        for turn in episode.turns:
            seconds.update(turn.seconds)
    total = sum(seconds.values())
    ours = sum(value for part, value in seconds.items() if part not in NOT_OURS)
    turns = sum(len(episode.turns) for episode in episodes)
    print(f"{who}: {len(episodes)} episodes of {args.task}, {turns} turns, {total:.1f} s")
    for part, value in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"  {part:8} {value:7.2f} s  {value / total:6.1%}")
    print(f"agent overhead {ours / total:.1%} (goal {GOAL_SHARE:.0%})")
    found = {"who": who, "task": args.task, "seeds": args.seeds, "turns": turns, "seconds": dict(seconds)}
    text = json.dumps({**found, "overhead": ours / total}, indent=1)
    (RESULTS_FOLDER / "agent_overhead.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
