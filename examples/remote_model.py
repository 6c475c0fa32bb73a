"""Your own Qwen behind any OpenAI-compatible server plays the first seeds of a task, several episodes at once.

vllm serve Qwen/Qwen3-VL-4B-Instruct          # or SGLang, or transformers serve
python examples/remote_model.py http://localhost:8000 --seeds 8
"""

import argparse
from collections import Counter
from pathlib import Path

from qwenarm.display.episode_page import write_page
from qwenarm.episode.drive import drive
from qwenarm.episode.trace import Trace
from qwenarm.factory import perform
from qwenarm.mind.open_model import open_model
from qwenarm.types import RunConfig


def main(arguments: list[str] | None = None) -> None:
    """Plays the episodes in lockstep, keeps them in a trace, and writes a page about each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="http://host:port; #NAME,option=value may follow, see docs/servers.md")
    parser.add_argument("--task", default="put")
    parser.add_argument("--altitude", choices=("step", "plan"), default="step")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4, help="episodes at once, each with one request at a time")
    parser.add_argument("--out", type=Path, default=Path("runs/remote"))
    args = parser.parse_args(arguments)

    backend = open_model(args.url)
    print("asking", {key: backend.describe()[key] for key in ("model", "url", "family", "constrain")})
    config = RunConfig(args.task, policy="vlm", model=args.url, altitude=args.altitude)
    trace, outcomes = Trace(args.out), Counter[str]()
    plays = (perform(config, seed, backend) for seed in range(args.seeds))
    for episode in drive(plays, backend, args.batch):
        trace.append(episode)
        outcomes[str(episode.outcome)] += 1
        page = write_page(episode, args.out / f"{episode.task}-{episode.seed}.html")
        print(f"seed {episode.seed}: {episode.outcome} after {len(episode.turns)} turns, {page}")
    print(dict(outcomes.most_common()))


if __name__ == "__main__":
    main()
