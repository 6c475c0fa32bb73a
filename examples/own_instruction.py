"""Your own words make their own scene; the simulator judges the result if it can read them as a goal.

python examples/own_instruction.py "stack the green cube on the yellow cube"
python examples/own_instruction.py "put the red cube in the blue bowl" --policy vlm
"""

import argparse
from pathlib import Path

from qwenarm.display.episode_page import write_page
from qwenarm.episode.drive import drive
from qwenarm.episode.watchers import Watcher
from qwenarm.factory import make_backend, perform
from qwenarm.types import Episode, RunConfig, SkillCall, SkillResult


class Diary(Watcher):
    """Prints what happens. A watcher is told of every event of an episode and changes nothing."""

    def called(self, call: SkillCall, result: SkillResult) -> None:
        print(f"  {call.name:6} {'ok' if result.ok else result.detail}")

    def finished(self, episode: Episode) -> None:
        print(f"  {episode.outcome}, {episode.progress:.0%} of the way")


def main(arguments: list[str] | None = None) -> None:
    """Plays one episode per seed and writes a page about each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="?", default="put the green ball in the white tray")
    parser.add_argument("--policy", default="oracle", help="see `qwenarm list policies`")
    parser.add_argument("--model", default="bundled", help="for vlm: bundled, a Hub id, a folder or a URL")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/own"))
    args = parser.parse_args(arguments)

    config = RunConfig(policy=args.policy, model=args.model, words=args.words)
    backend = make_backend(config)
    for seed in range(args.seeds):
        print(f'seed {seed}: "{args.words}"')
        (episode,) = drive([perform(config, seed, backend, watchers=[Diary()])], backend)
        print("  page", write_page(episode, args.out / f"{seed}.html"))


if __name__ == "__main__":
    main()
