"""Films a finished run: a process of its own, so that neither the page nor the next run has to wait.

python -m qwenarm.live.export RUN_FOLDER mp4|gif
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

from qwenarm.display.episode_page import write_page
from qwenarm.display.film import FilmRecorder
from qwenarm.episode.replay import replay
from qwenarm.episode.trace import read
from qwenarm.factory import make_env
from qwenarm.registry import only_allowed

FILM_FORMATS = ("mp4", "gif")
EXPORT_NICENESS = 10
"""A run that is played has precedence."""
FILM_SPEED = 2


def export(folder: Path, film_format: str) -> Path:
    """Replays a run and films it; with an MP4 the page of the run is written anew, with the film in it.

    Args:
        folder: Of the run.
        film_format: One of FILM_FORMATS.

    Returns:
        The path of the film.
    """
    episode = read(folder).episodes[-1]
    part, film = folder / f"part.{film_format}", folder / f"film.{film_format}"
    with only_allowed(()), closing(make_env(episode.run.config)) as env:
        replay(env, episode, [FilmRecorder(part, FILM_SPEED)])
    part.replace(film)
    if film_format == "mp4":
        write_page(episode, folder / "page.html", film, FILM_SPEED)
    return film


if __name__ == "__main__":
    os.nice(EXPORT_NICENESS)
    export(Path(sys.argv[1]), sys.argv[2])
