"""Makes docs/media/demo.gif: a real episode, filmed, as README shows it.

python docs/make_media.py
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio.v3 as iio
import numpy as np
from PIL import Image

from qwenarm.display.film import FilmRecorder
from qwenarm.episode.rollout import drive
from qwenarm.factory import RunConfig, make_backend, perform

GIF = Path(__file__).parent / "media" / "demo.gif"
WIDTH = 480
EVERY = 2
"""One picture of the GIF for so many of the film's 20 a second."""
COLORS = 256
LARGEST = 2_000_000


def shrink(film: Path) -> list[Image.Image]:
    """The film's pictures, fewer and smaller, all with one palette, so that the GIF does not flicker."""
    pictures = [Image.fromarray(np.asarray(frame)) for frame in iio.imiter(film)][::EVERY]
    height = round(WIDTH * pictures[0].height / pictures[0].width)
    small = [picture.resize((WIDTH, height), Image.Resampling.LANCZOS) for picture in pictures]
    # Maximum coverage keeps the small things' colours, which a median cut would give away to the walls.
    palette = small[len(small) // 2].quantize(COLORS, Image.Quantize.MAXCOVERAGE, kmeans=4)
    return [picture.quantize(COLORS, palette=palette, dither=Image.Dither.NONE) for picture in small]


def main() -> None:
    """Plays, films, converts. Fails when the episode is no success: README shows no lucky cut of a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", default="put the red cube in the blue bowl")
    parser.add_argument("--policy", default="vlm")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    config = RunConfig(policy=args.policy, words=args.words)
    backend = make_backend(config)
    with TemporaryDirectory() as folder:
        recorder = FilmRecorder(Path(folder) / "film.mp4")
        (episode,) = drive([perform(config, args.seed, backend, [recorder])], backend)
        if episode.outcome != "success":
            raise SystemExit(f"The episode ended with: {episode.outcome}. {episode.detail}")
        first, *others = shrink(recorder.path)
    GIF.parent.mkdir(exist_ok=True)
    first.save(GIF, save_all=True, append_images=others, duration=50 * EVERY, loop=0, optimize=True)
    size = GIF.stat().st_size
    print(f"{GIF}: {size / 1e6:.2f} MB, {1 + len(others)} pictures")
    if size > LARGEST:
        raise SystemExit(f"Larger than {LARGEST / 1e6:.0f} MB: lower WIDTH or COLORS.")


if __name__ == "__main__":
    main()
