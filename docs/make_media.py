"""Makes docs/media/demo.gif: a real episode, filmed, as README shows it.

python docs/make_media.py
"""

import argparse
from pathlib import Path

from qwenarm.display.film import FilmRecorder
from qwenarm.episode.drive import drive
from qwenarm.factory import make_backend, perform
from qwenarm.types import RunConfig

GIF = Path(__file__).parent / "media" / "demo.gif"
MAX_BYTES = 1_000_000


def main() -> None:
    """Plays and films. Fails when the episode is no success: README shows no lucky cut of a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", default="put the red cube in the blue bowl")
    parser.add_argument("--policy", default="vlm")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    config = RunConfig(policy=args.policy, words=args.words)
    backend = make_backend(config)
    (episode,) = drive([perform(config, args.seed, backend, [FilmRecorder(GIF)])], backend)
    if episode.outcome != "success":
        raise SystemExit(f"The episode ended with: {episode.outcome}. {episode.detail}")
    size = GIF.stat().st_size
    print(f"{GIF}: {size / 1e6:.2f} MB")
    if size > MAX_BYTES:
        raise SystemExit(f"It is larger than {MAX_BYTES / 1e6:.0f} MB; choose a shorter episode.")


if __name__ == "__main__":
    main()
