"""Writes films picture by picture: MP4 with H.264 in yuv420p, which every browser and player shows, or GIF."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import TracebackType

import imageio_ffmpeg
import numpy as np

from qwenarm.errors import BadInput

MP4_OPTIONS = ("-crf", "20", "-preset", "veryfast", "-movflags", "+faststart")
"""Hardly visible losses, little time, and an index at the front so that a page can play the file while it loads."""
FILM_SUFFIXES = (".mp4", ".gif")
GIF_FPS, GIF_WIDTH = 10, 640
GIF_OPTIONS = (
    "-filter_complex",
    f"fps={GIF_FPS},scale='min({GIF_WIDTH},iw)':-1:flags=lanczos,split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none",
)
"""Fewer and smaller pictures, and one palette for all of them, so that nothing flickers."""


class FilmWriter:
    """A film under construction. The name's ending, .mp4 or .gif, says what is written.

    The first picture fixes the size; an odd side is made even by repeating the last row or column, as yuv420p demands.
    As a context manager it always closes the file, so a film of what led to an exception can be watched.

    Raises:
        BadInput: for another ending.
    """

    def __init__(self, path: Path | str, fps: int = 20) -> None:
        self.path, self.fps = Path(path), fps
        if self.path.suffix.lower() not in FILM_SUFFIXES:
            raise BadInput(f"The name of a film ends in {' or '.join(FILM_SUFFIXES)}, not as in {self.path.name!r}.")
        self.pictures = 0
        self._shape: tuple[int, ...] = ()
        self._ffmpeg: Generator[None, np.ndarray | None, None] | None = None
        self._closed = False

    def add(self, rgb: np.ndarray) -> None:
        """Appends one picture, (H, W, 3) uint8.

        Raises:
            BadInput: for an array that is no picture or has another size than the first, or when the film is closed.
            OSError: when the file cannot be written.
        """
        if self._closed:
            raise BadInput(f"The film {self.path} is already closed.")
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise BadInput(f"A film takes pictures of shape (H, W, 3) in uint8, not {rgb.shape} in {rgb.dtype}.")
        if self._ffmpeg is None:
            self._shape, self._ffmpeg = rgb.shape, self._start(rgb)
        if rgb.shape != self._shape:
            raise BadInput(f"This film's pictures are {_size(self._shape)}; one of {_size(rgb.shape)} cannot be added.")
        self._ffmpeg.send(np.ascontiguousarray(_even(rgb)))
        self.pictures += 1

    def close(self) -> None:
        """Finishes the file. Without a single picture there is none."""
        self._closed = True
        if self._ffmpeg is not None:
            self._ffmpeg.close()
            self._ffmpeg = None

    def __enter__(self) -> FilmWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, rgb: np.ndarray) -> Generator[None, np.ndarray | None, None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        height, width = _even(rgb).shape[:2]
        is_gif = self.path.suffix.lower() == ".gif"
        ffmpeg = imageio_ffmpeg.write_frames(
            str(self.path),
            (width, height),
            fps=self.fps,
            codec="gif" if is_gif else "libx264",
            pix_fmt_in="rgb24",
            pix_fmt_out="pal8" if is_gif else "yuv420p",
            quality=None,  # pyright: ignore[reportArgumentType]
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=list(GIF_OPTIONS if is_gif else MP4_OPTIONS),
        )
        ffmpeg.send(None)  # starts the program
        return ffmpeg


def _even(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    return np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else rgb


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]}"
