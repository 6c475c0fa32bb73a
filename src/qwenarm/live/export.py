"""Makes a film or a LeRobot dataset of a finished run: a process of its own, so that neither the page nor the next run
has to wait.

python -m qwenarm.live.export RUN_FOLDER mp4|gif|lerobot   (prints what a visitor should know)
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from qwenarm.display.episode_page import write_page
from qwenarm.display.film import film_again
from qwenarm.episode.trace import read
from qwenarm.errors import QwenarmError
from qwenarm.export.run import export_to
from qwenarm.factory import make_env
from qwenarm.registry import only_allowed

EXPORT_FILES = {"mp4": "film.mp4", "gif": "film.gif", "lerobot": "lerobot.zip"}
"""The file in the folder of the run, by format."""
REFUSED_EXIT_CODE = 2
"""Standard error says why in one sentence."""
UNFINISHED_FOLDER = "unfinished-export"
LEFT_BEHIND = "What an export that was killed had left behind was removed."
LEROBOT_CAMERAS, LEROBOT_SIZE_PX = "front,wrist", (240, 320)
EXPORT_NICENESS = 10
"""A run that is played has precedence."""
FILM_SPEED = 2


def export(folder: Path, to: str, tell: Callable[[str], None] = print) -> Path:
    """Replays a run and makes a file of it; with an MP4 the page of the run is written anew, with the film in it.

    A file that is there already stays as it is: nothing appears before it is complete, and a run never changes.

    Args:
        folder: The run's folder.
        to: One of EXPORT_FILES.
        tell: Told what was left of an export that was killed.

    Returns:
        The path of the file.

    Raises:
        BadInput: A library is missing.
    """
    path = folder / EXPORT_FILES[to]
    with _alone(folder), only_allowed(()):
        if not path.exists():
            with _unfinished(folder / UNFINISHED_FOLDER, tell) as part:
                (_zip_dataset if to == "lerobot" else _film)(folder, part / path.name).replace(path)
        if to == "mp4":
            write_page(read(folder).episodes[-1], folder / "page.html", path, FILM_SPEED)
    return path


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other process exports this run: one whose server was killed goes on to its end."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _unfinished(folder: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    """An empty folder for what is not complete, without what a killed export had left there."""
    if folder.exists():
        shutil.rmtree(folder)
        tell(LEFT_BEHIND)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _film(folder: Path, path: Path) -> Path:
    episode = read(folder).episodes[-1]
    with closing(make_env(episode.run.config)) as env:
        film_again(env, episode, path, FILM_SPEED)
    return path


def _zip_dataset(folder: Path, path: Path) -> Path:
    dataset = path.parent / "dataset"
    export_to(folder, "lerobot", dataset, False, LEROBOT_CAMERAS, LEROBOT_SIZE_PX)
    return Path(shutil.make_archive(str(path.with_suffix("")), "zip", dataset))


if __name__ == "__main__":
    os.nice(EXPORT_NICENESS)
    try:
        export(Path(sys.argv[1]), sys.argv[2])
    except QwenarmError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED_EXIT_CODE)
