"""A film of the oracle, which knows where everything is: this is what the arm and its skills can do.

python examples/oracle_film.py --task sort --seed 7
"""

import argparse
from pathlib import Path

from qwenarm.display.episode_page import write_page
from qwenarm.display.film import FilmRecorder
from qwenarm.episode.drive import drive
from qwenarm.factory import perform
from qwenarm.types import RunConfig


def main(arguments: list[str] | None = None) -> None:
    """Plays one episode; writes film.mp4 and page.html."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="stack")
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arm", default="panda")
    parser.add_argument("--out", type=Path, default=Path("runs/oracle"))
    args = parser.parse_args(arguments)

    recorder = FilmRecorder(args.out / "film.mp4")
    config = RunConfig(args.task, args.level, args.arm, policy="oracle")
    (episode,) = drive([perform(config, args.seed, backend=None, watchers=[recorder])])

    print(f'"{episode.instruction}": {episode.outcome} after {len(episode.turns)} turns')
    for turn in episode.turns:
        for call, result in zip(turn.decision.calls, turn.results, strict=False):
            print(f"  {call.name}: {'ok' if result.ok else result.detail}")
    print("film", recorder.path)
    print("page", write_page(episode, args.out / "page.html", recorder.path if recorder.written else None))


if __name__ == "__main__":
    main()
