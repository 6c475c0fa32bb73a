"""Makes a film or a LeRobot dataset of a finished run: a process of its own, so that neither the page nor the next run
has to wait.

python -m qwenarm.live.export RUN_FOLDER mp4|gif|lerobot
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from qwenarm.display.episode_page import write_page
from qwenarm.display.film import FilmRecorder
from qwenarm.episode.replay import replay
from qwenarm.episode.trace import read
from qwenarm.errors import QwenarmError
from qwenarm.export.run import export_to
from qwenarm.factory import make_env
from qwenarm.registry import only_allowed

EXPORT_FILES = {"mp4": "film.mp4", "gif": "film.gif", "lerobot": "lerobot.zip"}
"""By format, the file in the folder of the run."""
REFUSED_EXIT_CODE = 2
"""Standard error says why in one sentence."""
LEROBOT_CAMERAS, LEROBOT_SIZE_PX = "front,wrist", (240, 320)
EXPORT_NICENESS = 10
"""A run that is played has precedence."""
FILM_SPEED = 2


def export(folder: Path, to: str) -> Path:
    """Replays a run and makes a file of it; with an MP4 the page of the run is written anew, with the film in it.

    Args:
        folder: Of the run.
        to: One of EXPORT_FILES.

    Returns:
        The path of the file.

    Raises:
        BadInput: A library is missing.
    """
    return _zip_dataset(folder) if to == "lerobot" else _film(folder, to)


def _film(folder: Path, film_format: str) -> Path:
    episode = read(folder).episodes[-1]
    part, film = folder / f"part.{film_format}", folder / EXPORT_FILES[film_format]
    with only_allowed(()), closing(make_env(episode.run.config)) as env:
        replay(env, episode, [FilmRecorder(part, FILM_SPEED)])
    part.replace(film)
    if film_format == "mp4":
        write_page(episode, folder / "page.html", film, FILM_SPEED)
    return film


def _zip_dataset(folder: Path) -> Path:
    path = folder / EXPORT_FILES["lerobot"]
    with TemporaryDirectory(dir=folder) as part, only_allowed(()):
        dataset = Path(part, "dataset")
        export_to(folder, "lerobot", dataset, False, LEROBOT_CAMERAS, LEROBOT_SIZE_PX)
        Path(shutil.make_archive(f"{part}/whole", "zip", dataset)).replace(path)
    return path


if __name__ == "__main__":
    os.nice(EXPORT_NICENESS)
    try:
        export(Path(sys.argv[1]), sys.argv[2])
    except QwenarmError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED_EXIT_CODE)
